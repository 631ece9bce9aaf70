//! Listening sockets that were there before this process: a supervisor's, by `LISTEN_FDS`, or its predecessor's.

use std::net::{SocketAddr, TcpListener};

use anyhow::Context as _;

/// What was passed on.
#[derive(Debug, Default)]
pub(super) struct Inherited {
    pub(super) clients: Option<TcpListener>,
    pub(super) admin: Option<TcpListener>,
}

impl Inherited {
    /// The sockets of `LISTEN_FDS` (sd_listen_fds(3)): by their names in `LISTEN_FDNAMES`, `clients` and `admin`; without
    /// such names the first is the clients', the second the admin API's. Called before there are threads.
    #[cfg(unix)]
    pub(super) fn from_supervisor() -> anyhow::Result<Self> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut passed = listenfd::ListenFd::from_env();
        let names: Vec<_> = names.split(':').collect();
        let is_named = names.iter().any(|name| NAMES.contains(name));
        let mut inherited = Self::default();
        for at in 0..passed.len() {
            let name = if is_named { names.get(at) } else { NAMES.get(at) };
            let place = match name.copied() {
                Some(CLIENTS) => &mut inherited.clients,
                Some(ADMIN) => &mut inherited.admin,
                _ => {
                    tracing::warn!(at, name, "a socket was passed that nobody asked for");
                    continue;
                }
            };
            let socket = passed.take_tcp_listener(at).context("a socket of LISTEN_FDS is of no use")?;
            anyhow::ensure!(place.is_none(), "two sockets of LISTEN_FDS have the name {name:?}");
            *place = socket;
        }
        Ok(inherited)
    }

    #[cfg(not(unix))]
    pub(super) fn from_supervisor() -> anyhow::Result<Self> {
        Ok(Self::default())
    }

    /// Whether there is nothing.
    #[cfg(unix)]
    pub(super) fn is_empty(&self) -> bool {
        self.clients.is_none() && self.admin.is_none()
    }
}

/// A socket as tokio's, if it listens where it should.
pub(super) fn adopt(
    socket: Option<TcpListener>,
    listen: &str,
) -> anyhow::Result<Option<tokio::net::TcpListener>> {
    let Some(socket) = socket else { return Ok(None) };
    let there = socket.local_addr().context("a socket that was passed on has no address")?;
    if let Ok(told) = listen.parse::<SocketAddr>()
        && told.port() != 0
        && told != there
    {
        tracing::warn!(%there, %told, "a socket that was passed on listens elsewhere than configured: it counts");
    }
    socket.set_nonblocking(true)?;
    Ok(Some(tokio::net::TcpListener::from_std(socket)?))
}

/// The names of the listeners, in their order.
#[cfg(unix)]
pub(super) const NAMES: [&str; 2] = [CLIENTS, ADMIN];
#[cfg(unix)]
const CLIENTS: &str = "clients";
#[cfg(unix)]
const ADMIN: &str = "admin";
