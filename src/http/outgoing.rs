//! Requests that the gateway makes itself: to an application's webhook, and for keys to whoever issues tokens.
//!
//! hyper's client over TCP, with TLS on top of it where the address says so. Left out on purpose: redirects (a request goes
//! where it was configured to go), proxies, and HTTP/2.

use std::{
    error::Error,
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::Uri;
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use tower::Service;

/// Connects to the host of an address.
#[derive(Clone)]
pub(crate) struct Connector {
    tls: Option<TlsConnector>,
}

/// Why an address cannot be called. The configuration's fault.
#[derive(Debug)]
pub(crate) enum Uncallable {
    /// It is neither `http` nor `https` with a host, or it holds a password.
    Address,
    /// No certificate could be checked.
    Roots(String),
}

impl Connector {
    /// For this address. With `https` it reads the system's roots from disk and trusts them, and these.
    pub(crate) fn to(url: &Uri, roots: &[CertificateDer<'static>]) -> Result<Self, Uncallable> {
        let legal = url.host().is_some_and(|host| !host.is_empty())
            && url.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        match url.scheme_str() {
            Some("http") if legal => Ok(Self { tls: None }),
            Some("https") if legal => Self::tls(roots).map_err(Uncallable::Roots),
            _ => Err(Uncallable::Address),
        }
    }

    fn tls(roots: &[CertificateDer<'static>]) -> Result<Self, String> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        for root in roots {
            store.add(root.clone()).map_err(|error| error.to_string())?;
        }
        if store.is_empty() {
            return Err("there is none".into());
        }
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(store)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { tls: Some(TlsConnector::from(Arc::new(config))) })
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<Stream>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let tls = self.tls.clone();
        Box::pin(async move {
            let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            let standard = if tls.is_some() { 443 } else { 80 };
            let port = url.port_u16().unwrap_or(standard);
            let stream = TcpStream::connect((&*host, port)).await?;
            stream.set_nodelay(true)?;
            let Some(tls) = tls else { return Ok(TokioIo::new(Stream(Box::new(stream)))) };
            let name = ServerName::try_from(host).map_err(|error| io::Error::other(error.to_string()))?;
            Ok(TokioIo::new(Stream(Box::new(tls.connect(name, stream).await?))))
        })
    }
}

/// Bytes both ways, whatever is under them.
trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytes for T {}

/// One connection.
pub(crate) struct Stream(Box<dyn Bytes>);

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// An error with what caused it.
pub(crate) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
