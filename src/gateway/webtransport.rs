//! WebTransport, offered beside the transports of the HTTP side on a UDP socket of its own.
//!
//! Two things are particular to it. A page cannot read the status of a refused handshake, so origins are checked at the
//! gate, and a refusal travels as frames. And what is offered changes while the gateway runs: a certificate that clients
//! know by its hash is replaced before it ends.

use std::{
    future::Future,
    io,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
};

use http::Uri;
use socket2::{Domain, Protocol, Socket, Type};
use throughline_link::{Gate, LinkRequest, Visit};
use throughline_webtransport::WebTransport;
use throughline_wire::{ErrorCode, frame::TransportOffer};
use tokio_util::sync::CancellationToken;

use super::{
    Gateway, Shared,
    peer::{GatewayGate, GatewayPeer},
};
use crate::{
    certificates::Certificates,
    http::{OriginPolicy, WEBTRANSPORT, proxies::forget},
};

/// The gate of links that come by UDP.
#[derive(Clone, Debug)]
pub(crate) struct WebTransportGate {
    gate: GatewayGate,
    origins: Arc<OriginPolicy>,
}

impl Gate for WebTransportGate {
    type Peer = GatewayPeer;

    fn admit(&self, remote: SocketAddr) -> Option<Visit> {
        self.gate.admit(remote)
    }

    fn cut(&self) {
        self.gate.cut();
    }

    fn open(&self, mut link: LinkRequest) -> GatewayPeer {
        // No proxy passes HTTP/3 on: what such headers say is the client's own word.
        forget(&mut link.headers);
        let checked = self.origins.check(&link.headers, &Uri::default(), None);
        let mut peer = self.gate.open(link);
        if let Err(refused) = checked {
            tracing::warn!(%refused, "a page was refused");
            peer.forbid(ErrorCode::OriginRefused);
        }
        peer
    }
}

impl Gateway {
    /// Serves WebTransport on a socket, and offers it to clients, until `stop`; then tells those still there.
    ///
    /// `url` is where clients find it: an absolute address (`https://rt.example.com/v1/webtransport`), or `None` where
    /// it has the host and the port number of the gateway's HTTP side, only UDP. The path is always
    /// `{base_path}/v1/webtransport`. Which pages may connect is said by [`GatewayConfig::origins`]; certificates of the
    /// gateway's own are offered with their hashes, and told anew with every change. Somebody has to keep them
    /// ([`Handle::keep_certificates`]).
    ///
    /// To stop without cutting anybody off, call [`Handle::shutdown`] first.
    ///
    /// ```no_run
    /// # use std::{io, sync::Arc, time::SystemTime};
    /// # use throughline::{Gateway, certificates::Certificates, gateway::bind_udp};
    /// # use tokio_util::sync::CancellationToken;
    /// # fn offer(gateway: &Gateway) -> io::Result<()> {
    /// let now = SystemTime::now();
    /// let certificates = Certificates::development(["localhost"], now).map_err(io::Error::other)?;
    /// let socket = bind_udp(([127, 0, 0, 1], 7080).into())?;
    /// let stop = CancellationToken::new();
    /// tokio::spawn(gateway.serve_webtransport(socket, &certificates, None, stop.clone())?);
    ///
    /// let handle = gateway.handle();
    /// tokio::spawn(async move {
    ///     handle.keep_certificates(certificates, SystemTime::now, Arc::default()).await;
    /// });
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// [`GatewayConfig::origins`]: super::GatewayConfig::origins
    /// [`Handle::keep_certificates`]: super::Handle::keep_certificates
    /// [`Handle::shutdown`]: super::Handle::shutdown
    ///
    /// # Errors
    /// A socket that cannot be used, or a certificate that QUIC cannot.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn serve_webtransport(
        &self,
        socket: UdpSocket,
        certificates: &Certificates,
        url: Option<&str>,
        stop: CancellationToken,
    ) -> io::Result<impl Future<Output = ()> + Send + 'static> {
        let shared = Arc::clone(&self.handle.shared);
        let origins = Arc::new(policy_at(socket.local_addr()?, &shared.config.origins));
        let gate = WebTransportGate { gate: GatewayGate { shared: Arc::clone(&shared) }, origins };
        let config = throughline_webtransport::Config {
            max_message_bytes: shared.config.message_bytes,
            path: format!("{}{WEBTRANSPORT}", shared.config.base_path),
            ..Default::default()
        };
        let tls = certificates.server_config(&[b"h3"]).map_err(io::Error::other)?;
        let endpoint = WebTransport::new(gate, config).bind(socket, tls)?;
        let url: Option<Box<str>> = url.map(Into::into);
        let mut hashes = certificates.watch_hashes();
        offer(&shared, Some(webtransport(url.as_deref(), &hashes.borrow_and_update())));
        Ok(async move {
            let serving = endpoint.serve(shared.links.clone(), stop);
            let mut serving = std::pin::pin!(serving);
            loop {
                tokio::select! {
                    () = &mut serving => break,
                    // Those who change them may end before us: what was said last stays true then.
                    Ok(()) = hashes.changed() => {
                        offer(&shared, Some(webtransport(url.as_deref(), &hashes.borrow_and_update())));
                    }
                }
            }
            offer(&shared, None);
        })
    }

    /// Offers WebTransport before it is served: a client that is told nothing of it at its welcome does not look for it
    /// again, one that finds nobody there does.
    #[cfg(feature = "cli")]
    pub(crate) fn promise_webtransport(&self, certificates: &Certificates, url: Option<&str>) {
        let hashes = certificates.watch_hashes();
        offer(&self.handle.shared, Some(webtransport(url, &hashes.borrow())));
    }

    /// Takes the promise back: it will not be served.
    #[cfg(feature = "cli")]
    pub(crate) fn withdraw_webtransport(&self) {
        offer(&self.handle.shared, None);
    }
}

/// Which pages may connect to this socket. It may be reached from afar although the HTTP side, behind a proxy perhaps, is
/// not: then hosts have names of their own, and pages on loopback are strangers.
fn policy_at(socket: SocketAddr, origins: &OriginPolicy) -> OriginPolicy {
    OriginPolicy { is_loopback: origins.is_loopback && socket.ip().is_loopback(), ..origins.clone() }
}

/// Offers WebTransport before all others, in place of what was offered of it; or not any more.
fn offer(shared: &Shared, ours: Option<TransportOffer>) {
    let offers = shared.session.transports.now();
    let others = offers.iter().filter(|offer| &*offer.name != NAME).cloned();
    shared.session.transports.set(ours.into_iter().chain(others).collect());
}

fn webtransport(url: Option<&str>, hashes: &[String]) -> TransportOffer {
    let url = url.unwrap_or_else(|| WEBTRANSPORT.trim_start_matches("/v1/"));
    let certificate_hashes = hashes.iter().map(|hash| (**hash).into()).collect();
    TransportOffer { name: NAME.into(), url: Some(url.into()), certificate_hashes }
}

/// Binds a UDP socket with room for bursts: what arrives while every core is busy waits there, and what finds no room
/// is lost and sent again. The system grants what it allows (Linux: `net.core.rmem_max` and `net.core.wmem_max`).
///
/// # Errors
/// Those of the system.
pub fn bind_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    // What is not granted is no reason to go without.
    let _ = socket.set_recv_buffer_size(BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(BUFFER_BYTES);
    socket.bind(&address.into())?;
    let granted = socket.recv_buffer_size().unwrap_or_default();
    tracing::debug!(%address, asked = BUFFER_BYTES, granted, "bound by UDP");
    Ok(socket.into())
}

/// What is asked for, each way: some 1,500 packets.
const BUFFER_BYTES: usize = 2 << 20;
const NAME: &str = WebTransport::<WebTransportGate>::NAME;

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header};

    use super::*;

    fn may_connect(told: &OriginPolicy, socket: &str, host: &'static str, origin: &'static str) -> bool {
        let headers = HeaderMap::from_iter([
            (header::HOST, HeaderValue::from_static(host)),
            (header::ORIGIN, HeaderValue::from_static(origin)),
        ]);
        let policy = policy_at(socket.parse().expect("an address"), told);
        policy.check(&headers, &Uri::default(), None).is_ok()
    }

    #[test]
    fn a_socket_that_is_reached_from_afar_has_a_host_of_its_own_and_no_loopback_pages() {
        let told = OriginPolicy { is_loopback: true, ..OriginPolicy::default() };
        let (near, afar) = ("127.0.0.1:7080", "0.0.0.0:7080");
        assert!(may_connect(&told, near, near, "http://localhost:3000"));
        assert!(!may_connect(&told, near, "rt.example.com:7080", "https://rt.example.com:7080"));
        assert!(may_connect(&told, afar, "rt.example.com:7080", "https://rt.example.com:7080"));
        assert!(!may_connect(&told, afar, "rt.example.com:7080", "http://localhost:3000"));
    }

    #[test]
    fn pages_of_the_public_address_may_connect_although_the_port_is_another() {
        let (afar, host, page) = ("0.0.0.0:7080", "rt.example.com:7080", "https://rt.example.com");
        assert!(!may_connect(&OriginPolicy::default(), afar, host, page));
        let told = OriginPolicy { public_url: Some(page.into()), ..OriginPolicy::default() };
        assert!(may_connect(&told, afar, host, page));
        assert!(!may_connect(&told, afar, host, "https://rt.example.com:7080"));
    }
}
