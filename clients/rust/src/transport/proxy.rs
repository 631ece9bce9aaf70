//! Through an HTTP proxy, as in a company's network.

use std::{fmt, io, sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use url::{Host, Url};

use super::dial::{Connection, Dial, Dialing, Forwarding, Resolving, TcpDial};
use crate::error::ConfigError;

/// Connects through an HTTP proxy: asks it for a tunnel to the gateway with `CONNECT` (RFC 9110, section 9.3.6).
///
/// ```
/// # use std::sync::Arc;
/// use throughline_client::{Config, ProxyDial};
///
/// let mut config = Config::new("https://gateway.example");
/// config.dial = Arc::new(ProxyDial::new("http://proxy.corp.example:3128")?.credentials("me", "secret"));
/// # Ok::<_, throughline_client::ConfigError>(())
/// ```
///
/// TLS with the gateway runs inside of the tunnel. Datagrams do not go through a proxy, so WebTransport fails at once,
/// and the other transports carry the session.
///
/// # Errors
/// A dialing fails as the way to the proxy does, or with a [`ProxyError`] inside of an [`io::Error`].
#[derive(Clone)]
pub struct ProxyDial {
    host: Box<str>,
    port: u16,
    authorization: Option<HeaderValue>,
    forwards: bool,
    patience: Duration,
    way: Arc<dyn Dial>,
}

impl ProxyDial {
    /// Through the proxy at `http://host[:port]`.
    ///
    /// # Errors
    /// [`ConfigError::Proxy`] when that is no such address.
    pub fn new(proxy: &str) -> Result<Self, ConfigError> {
        let wrong = || ConfigError::Proxy(proxy.to_owned());
        let url = Url::parse(proxy).map_err(|_| wrong())?;
        let is_plain = url.scheme() == "http"
            && url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none();
        let host = match url.host() {
            Some(Host::Domain(name)) if is_plain => name.into(),
            Some(Host::Ipv4(address)) if is_plain => address.to_string().into(),
            Some(Host::Ipv6(address)) if is_plain => address.to_string().into(),
            _ => return Err(wrong()),
        };
        Ok(Self {
            host,
            port: url.port().unwrap_or(80),
            authorization: None,
            forwards: false,
            patience: Duration::from_secs(4),
            way: Arc::new(TcpDial),
        })
    }

    /// Tells the proxy who asks (RFC 7617). They reach it in plain text. Default: nobody.
    #[must_use]
    pub fn credentials(mut self, user: &str, password: &str) -> Self {
        let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
        let mut authorization = HeaderValue::try_from(basic).expect("base64 is a legal header");
        authorization.set_sensitive(true);
        self.authorization = Some(authorization);
        self
    }

    /// Hands plain http requests (polls, posts, event streams) to the proxy as they are, in absolute form, as browsers
    /// do: many a proxy takes `CONNECT` for TLS alone. WebSockets and TLS still ask for a tunnel. Default: all ask.
    #[must_use]
    pub const fn forward_plain_requests(mut self) -> Self {
        self.forwards = true;
        self
    }

    /// How long the proxy may take to answer `CONNECT`. [`Timing::connect`](crate::Timing::connect) bounds
    /// the whole dialing as well. Default: 4 s.
    #[must_use]
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How the proxy is reached. Default: [`TcpDial`].
    #[must_use]
    pub fn reached_by(mut self, dial: Arc<dyn Dial>) -> Self {
        self.way = dial;
        self
    }

    async fn tunnel(&self, host: &str, port: u16) -> io::Result<Box<dyn Connection>> {
        let connection = self.way.dial(&self.host, self.port).await?;
        let authority =
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let mut request = Request::connect(&authority).header(header::HOST, &authority);
        if let Some(authorization) = &self.authorization {
            request = request.header(header::PROXY_AUTHORIZATION, authorization);
        }
        let request = request
            .body(Empty::<Bytes>::new())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;

        let not_http = |error: hyper::Error| io::Error::from(ProxyError::Broken(error.to_string()));
        let (mut sender, driving) = http1::handshake(TokioIo::new(connection)).await.map_err(not_http)?;
        let asking = async move {
            let answer = sender.send_request(request).await.map_err(not_http)?;
            match answer.status() {
                status if status.is_success() => hyper::upgrade::on(answer).await.map_err(not_http),
                StatusCode::PROXY_AUTHENTICATION_REQUIRED => Err(ProxyError::Credentials.into()),
                status => Err(ProxyError::Refused { status: status.as_u16() }.into()),
            }
        };
        // Both in this one future: who drops it drops the connection.
        let driving = driving.with_upgrades();
        tokio::pin!(asking, driving);
        let mut driven = false;
        let upgraded = loop {
            tokio::select! {
                biased;
                upgraded = &mut asking => break upgraded?,
                _ = &mut driving, if !driven => driven = true,
            }
        };
        Ok(Box::new(TokioIo::new(upgraded)))
    }
}

impl Dial for ProxyDial {
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> Dialing<'a> {
        Box::pin(async move {
            let tunnel = tokio::time::timeout(self.patience, self.tunnel(host, port)).await;
            tunnel.unwrap_or_else(|_| Err(ProxyError::Silent.into()))
        })
    }

    fn resolve<'a>(&'a self, _: &'a str, _: u16) -> Resolving<'a> {
        let unsupported = || io::Error::new(io::ErrorKind::Unsupported, "an HTTP proxy carries no datagrams");
        Box::pin(async move { Err(unsupported()) })
    }

    fn forward(&self) -> Option<Forwarding<'_>> {
        self.forwards.then(|| Forwarding {
            dialing: self.way.dial(&self.host, self.port),
            authorization: self.authorization.clone(),
        })
    }
}

impl fmt::Debug for ProxyDial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyDial")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("authorization", &self.authorization)
            .field("forwards", &self.forwards)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

/// Why a proxy made no tunnel. It comes inside of an [`io::Error`]; the client shows its words, and tries again
/// or another transport.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// It wants to know who asks (status 407): give it [`credentials`](ProxyDial::credentials), or better ones.
    #[error("the proxy wants credentials, or others (status 407)")]
    Credentials,
    /// It will not, or it cannot reach the gateway.
    #[error("the proxy refused CONNECT with status {status}")]
    Refused {
        /// The status of its answer.
        status: u16,
    },
    /// It did not answer within [`patience`](ProxyDial::patience).
    #[error("the proxy did not answer CONNECT in time")]
    Silent,
    /// It hung up, or what it said is no HTTP.
    #[error("the proxy broke off: {0}")]
    Broken(String),
}

impl From<ProxyError> for io::Error {
    fn from(error: ProxyError) -> Self {
        let kind = match error {
            ProxyError::Credentials | ProxyError::Refused { .. } => io::ErrorKind::PermissionDenied,
            ProxyError::Silent => io::ErrorKind::TimedOut,
            ProxyError::Broken(_) => io::ErrorKind::UnexpectedEof,
        };
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests;
