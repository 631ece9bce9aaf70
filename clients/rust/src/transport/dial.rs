//! How connections are made: TCP, or whatever an application or a test puts under a transport.

use std::{fmt, future::Future, io, net::SocketAddr, pin::Pin};

use http::HeaderValue;
use tokio::io::{AsyncRead, AsyncWrite};

/// A connection, as a [`Dial`] makes it.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Connection for T {}

impl fmt::Debug for dyn Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

/// What [`Dial::dial`] returns.
pub type Dialing<'a> = Pin<Box<dyn Future<Output = io::Result<Box<dyn Connection>>> + Send + 'a>>;

/// What [`Dial::resolve`] returns.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>>;

/// Makes connections. Every byte of every transport goes over one that this made, TLS included; the datagrams of
/// WebTransport go where it says.
///
/// # Cancel safety
/// A dialing or a resolving that takes longer than the configured time is dropped.
pub trait Dial: Send + Sync + 'static {
    /// Connects to a port of a host (a name or an address, IPv6 without brackets).
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> Dialing<'a>;

    /// The addresses where a host takes the datagrams of WebTransport, the first to be tried first; each later one is
    /// tried beside those before it after a quarter of a second. By default those that the system knows of the name.
    ///
    /// What carries no datagrams fails here, best with [`io::ErrorKind::Unsupported`]: then WebTransport fails at once.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }

    /// A way for plain http requests to a proxy that forwards them, in place of [`dial`](Self::dial): they are written in
    /// absolute form then (RFC 9112, section 3.2.2). WebSockets and TLS are dialed all the same. By default there is none.
    fn forward(&self) -> Option<Forwarding<'_>> {
        None
    }
}

/// A way to a proxy that forwards requests.
pub struct Forwarding<'a> {
    /// The connection to the proxy.
    pub dialing: Dialing<'a>,
    /// What tells the proxy who asks: the value of `Proxy-Authorization`.
    pub authorization: Option<HeaderValue>,
}

impl fmt::Debug for Forwarding<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forwarding").field("authorization", &self.authorization).finish_non_exhaustive()
    }
}

/// TCP, without Nagle's delay.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpDial;

impl Dial for TcpDial {
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> Dialing<'a> {
        Box::pin(async move {
            let stream = tokio::net::TcpStream::connect((host, port)).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Connection>)
        })
    }
}

impl fmt::Debug for dyn Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dial")
    }
}
