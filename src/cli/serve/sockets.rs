//! What the gateway listens on, and what it says of it.

use std::{
    io::{self, Write as _},
    net::{SocketAddr, UdpSocket},
};

use anyhow::Context as _;
use tokio::net::TcpListener;

use crate::{cli::config::Settings, gateway::bind_udp, http::listener};

/// Everything that was bound.
pub(super) struct Sockets {
    pub(super) clients: TcpListener,
    pub(super) clients_address: SocketAddr,
    pub(super) admin: TcpListener,
    pub(super) admin_address: SocketAddr,
    pub(super) webtransport: Option<UdpSocket>,
    pub(super) webtransport_address: Option<SocketAddr>,
}

/// Where clients find WebTransport.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum WebTransportUrl {
    /// At the host and the port number that they called.
    Beside(String),
    /// Somewhere else.
    Absolute(String),
}

impl WebTransportUrl {
    /// What they have to be told.
    pub(super) fn to_tell(&self) -> Option<&str> {
        match self {
            Self::Beside(_) => None,
            Self::Absolute(url) => Some(url),
        }
    }

    fn as_str(&self) -> &str {
        match self {
            Self::Beside(url) | Self::Absolute(url) => url,
        }
    }
}

impl Sockets {
    pub(super) async fn bind(settings: &Settings) -> anyhow::Result<Self> {
        let (clients, webtransport) = clients_side(settings).await?;
        let admin = tcp(&settings.admin.listen).await?;
        Ok(Self {
            clients_address: clients.local_addr()?,
            admin_address: admin.local_addr()?,
            webtransport_address: webtransport.as_ref().map(UdpSocket::local_addr).transpose()?,
            clients,
            admin,
            webtransport,
        })
    }

    /// Where clients find WebTransport, if they do.
    pub(super) fn webtransport_url(&self, settings: &Settings) -> Option<WebTransportUrl> {
        let address = self.webtransport_address?;
        if !settings.webtransport.url.is_empty() {
            return Some(WebTransportUrl::Absolute(settings.webtransport.url.clone()));
        }
        let url = format!("https://{address}{}/v1/webtransport", settings.clients.base_path);
        let is_beside = address.port() == self.clients_address.port();
        Some(if is_beside { WebTransportUrl::Beside(url) } else { WebTransportUrl::Absolute(url) })
    }

    /// Says where it listens, and what to try.
    pub(super) fn announce(&self, settings: &Settings) -> io::Result<()> {
        let (base, clients, admin) = (&settings.clients.base_path, self.clients_address, self.admin_address);
        let scheme = if settings.tls.certificate_file.is_empty() { "http" } else { "https" };
        let url = if clients.port() == 7080 && base.is_empty() && scheme == "http" {
            String::new()
        } else {
            format!(" --url {scheme}://{clients}{base}")
        };
        let admin_url = if admin.port() == 7081 { String::new() } else { format!(" --admin http://{admin}") };
        let mut out = io::stdout().lock();
        writeln!(out, "throughline {}", env!("CARGO_PKG_VERSION"))?;
        writeln!(out, "clients  {scheme}://{clients}{base}/")?;
        if let Some(url) = self.webtransport_url(settings) {
            writeln!(out, "         {} (WebTransport, UDP)", url.as_str())?;
        }
        writeln!(out, "admin    http://{admin}/")?;
        writeln!(out, "try      throughline listen news{url}")?;
        writeln!(out, "         throughline publish news '{{\"hello\":\"world\"}}'{admin_url}")?;
        out.flush()
    }
}

/// The clients' listener, and the socket of WebTransport: on the same port number, unless told otherwise.
async fn clients_side(settings: &Settings) -> anyhow::Result<(TcpListener, Option<UdpSocket>)> {
    let listen = &settings.clients.listen;
    let mut tries = 0;
    loop {
        tries += 1;
        let clients = tcp(listen).await?;
        if !settings.webtransport.enabled {
            return Ok((clients, None));
        }
        let beside = clients.local_addr()?;
        let told = &settings.webtransport.listen;
        let address = if told.is_empty() { beside } else { told.parse()? };
        match bind_udp(address) {
            Ok(socket) => return Ok((clients, Some(socket))),
            // A port that the system chose for TCP may be taken for UDP: let it choose another.
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse
                    && told.is_empty()
                    && listen.ends_with(":0")
                    && tries < TRIES => {}
            Err(error) => {
                return Err(error).with_context(|| {
                    format!(
                        "cannot listen on {address} by UDP, for WebTransport (`webtransport.listen` is another place for \
                         it, `webtransport.enabled = false` goes without it)"
                    )
                });
            }
        }
    }
}

async fn tcp(address: &str) -> anyhow::Result<TcpListener> {
    listener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

/// How many ports are tried where any will do.
const TRIES: u32 = 16;
