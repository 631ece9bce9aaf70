//! What the gateway listens on, and what it says of it.

use std::{
    io::{self, Write as _},
    net::{SocketAddr, UdpSocket},
};

use anyhow::Context as _;
use tokio::net::TcpListener;

use super::inherited::{Inherited, adopt};
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
    /// Binds what was not inherited. A UDP port that the process before still has is left to
    /// [`await_udp`](Self::await_udp).
    pub(super) async fn bind(
        settings: &Settings,
        inherited: Inherited,
        is_successor: bool,
    ) -> anyhow::Result<Self> {
        let inherited_clients = adopt(inherited.clients, &settings.clients.listen)?;
        let admin = adopt(inherited.admin, &settings.admin.listen)?;
        let (clients, webtransport_address, webtransport) = match inherited_clients {
            Some(clients) => {
                let address = udp_address(settings, clients.local_addr()?)?;
                let socket = address.map(bind_udp).transpose();
                let socket = match socket {
                    Err(error) if is_successor && error.kind() == io::ErrorKind::AddrInUse => None,
                    other => other.with_context(|| no_udp(address))?,
                };
                (clients, address, socket)
            }
            None => {
                let (clients, socket) = clients_side(settings).await?;
                (clients, socket.as_ref().map(UdpSocket::local_addr).transpose()?, socket)
            }
        };
        let admin = match admin {
            Some(admin) => admin,
            None => tcp(&settings.admin.listen).await?,
        };
        Ok(Self {
            clients_address: clients.local_addr()?,
            admin_address: admin.local_addr()?,
            webtransport_address,
            clients,
            admin,
            webtransport,
        })
    }

    /// The UDP socket, once it can be had: the process before has it until its last link by WebTransport has ended.
    pub(super) async fn await_udp(address: SocketAddr) -> io::Result<UdpSocket> {
        loop {
            match bind_udp(address) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => tokio::time::sleep(AGAIN).await,
                other => return other,
            }
        }
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
        let told = &settings.webtransport.listen;
        let Some(address) = udp_address(settings, clients.local_addr()?)? else { return Ok((clients, None)) };
        match bind_udp(address) {
            Ok(socket) => return Ok((clients, Some(socket))),
            // A port that the system chose for TCP may be taken for UDP: let it choose another.
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse
                    && told.is_empty()
                    && listen.ends_with(":0")
                    && tries < TRIES => {}
            Err(error) => {
                return Err(error).with_context(|| no_udp(Some(address)));
            }
        }
    }
}

/// Where WebTransport listens, beside the clients' listener or elsewhere.
fn udp_address(settings: &Settings, beside: SocketAddr) -> anyhow::Result<Option<SocketAddr>> {
    let told = &settings.webtransport.listen;
    let address = if told.is_empty() { beside } else { told.parse()? };
    Ok(settings.webtransport.enabled.then_some(address))
}

fn no_udp(address: Option<SocketAddr>) -> String {
    let address = address.map(|address| address.to_string()).unwrap_or_default();
    format!(
        "cannot listen on {address} by UDP, for WebTransport (`webtransport.listen` is another place for it, \
         `webtransport.enabled = false` goes without it)"
    )
}

async fn tcp(address: &str) -> anyhow::Result<TcpListener> {
    listener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

/// How many ports are tried where any will do.
const TRIES: u32 = 16;
/// How often it is tried whether the UDP port is free.
const AGAIN: std::time::Duration = std::time::Duration::from_millis(50);
