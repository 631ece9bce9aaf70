//! How a client reaches the gateway: by itself, or by way of a forward proxy as companies have them.
//!
//! A client and the bare POST beside it take the same route, TLS included, so that what is compared is the protocol and not
//! the way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http_body_util::Full;
use hyper::{Request, header};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use throughline_client::{Codec, Config, Dial, ProxyDial, TcpDial, Tls};
use tokio_rustls::TlsConnector;

use crate::http;

/// How a client reaches the gateway.
#[derive(Clone)]
pub struct Route {
    /// Where the client believes the gateway to be.
    pub gateway: SocketAddr,
    /// What comes before `/v1/`: "" or "/realtime".
    pub base: String,
    /// What is between.
    pub by: By,
    /// The certificate to trust, in PEM, where the gateway is called over TLS.
    pub trust: Option<Vec<u8>>,
}

/// What is between.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    /// The network.
    Itself,
    /// A proxy that is asked for a tunnel: `CONNECT host:port`.
    Tunnel(SocketAddr),
    /// A proxy that is given whole addresses, `POST http://host:port/…`, and asked for a tunnel for WebSockets, as by
    /// browsers.
    Forwarding(SocketAddr),
}

impl Route {
    /// Straight to this address.
    pub fn to(gateway: SocketAddr) -> Self {
        Self { gateway, base: String::new(), by: By::Itself, trust: None }
    }

    /// Where the gateway is mounted, without a slash at its end.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.trust.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{}", self.gateway, self.base)
    }

    /// A client that takes it, with everything else as it is by default.
    ///
    /// # Errors
    /// When the certificate to trust is none.
    pub fn client(&self) -> Result<Config> {
        let mut config = Config::new(self.url());
        config.dial = self.dial()?;
        if let Some(pem) = &self.trust {
            let mut tls = Tls::default();
            tls.system_roots = false;
            tls.trust_pem(pem)?;
            config.tls = tls;
        }
        Ok(config)
    }

    /// How long a POST takes on a connection of its own, which the gateway answers at once.
    ///
    /// # Errors
    /// When it is not answered as it should be: the route carries nothing.
    pub async fn bare_post(&self) -> Result<Duration> {
        let path = format!("{}/v1/poll", self.base);
        let (host, port) = (self.gateway.ip().to_string(), self.gateway.port());
        let target = match self.by {
            By::Forwarding(_) => format!("http://{host}:{port}{path}"),
            By::Itself | By::Tunnel(_) => path,
        };
        let request = Request::post(target)
            .header(header::HOST, self.gateway.to_string())
            .header(header::CONTENT_TYPE, Codec::Json.media_type())
            .body(Full::from(HELLO))?;
        let connector = self.trust.as_deref().map(connector).transpose()?;
        let dial = self.dial()?;
        let begun = Instant::now();
        let answer = http::in_time(async {
            let connection = match self.by {
                By::Forwarding(proxy) => TcpDial.dial(&proxy.ip().to_string(), proxy.port()).await?,
                By::Itself | By::Tunnel(_) => dial.dial(&host, port).await?,
            };
            let Some(connector) = connector else { return http::send(connection, request).await };
            let name = ServerName::from(self.gateway.ip());
            http::send(Box::new(connector.connect(name, connection).await?), request).await
        })
        .await?;
        let took = begun.elapsed();
        ensure!(answer.status == 200, "a bare POST is answered with {}", answer.status);
        Ok(took)
    }

    fn dial(&self) -> Result<Arc<dyn Dial>> {
        Ok(match self.by {
            By::Itself => Arc::new(TcpDial),
            By::Tunnel(proxy) => Arc::new(ProxyDial::new(&format!("http://{proxy}"))?),
            By::Forwarding(proxy) => {
                Arc::new(ProxyDial::new(&format!("http://{proxy}"))?.forward_plain_requests())
            }
        })
    }
}

/// What a bare POST says: a session is opened, and the answer is a welcome.
pub(crate) const HELLO: &str = r#"{"type":"hello","version":0,"instance":"bare","attach":1}"#;

fn connector(pem: &[u8]) -> Result<TlsConnector> {
    let mut roots = rustls::RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(pem) {
        roots.add(root?)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("the provider has them")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
