//! QUIC as links need it: small windows, few streams, and no packet buffer larger than it has to be.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use wtransport::{
    proto::WEBTRANSPORT_ALPN,
    quinn::{
        self, AsyncUdpSocket, IdleTimeout, ServerConfig, TransportConfig, UdpPoller, VarInt,
        crypto::rustls::QuicServerConfig,
        udp::{RecvMeta, Transmit},
    },
};

use crate::Config;

/// The configuration of an endpoint.
pub(crate) fn server_config(mut tls: rustls::ServerConfig, config: &Config) -> io::Result<ServerConfig> {
    tls.alpn_protocols = vec![WEBTRANSPORT_ALPN.to_vec()];
    // Nothing may be said before the handshake is done: it could be repeated by whoever heard it.
    tls.max_early_data_size = 0;
    let tls = QuicServerConfig::try_from(tls).map_err(io::Error::other)?;
    let mut server = ServerConfig::with_crypto(Arc::new(tls));
    server.transport_config(Arc::new(transport_config(config)));
    // Those that wait for `Endpoint::serve` to look at them; it looks at once.
    server.max_incoming(config.handshake.pending);
    Ok(server)
}

fn transport_config(config: &Config) -> TransportConfig {
    let buffers = config.buffers;
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(IdleTimeout::from(milliseconds(config.idle_timeout.as_millis()))))
        .keep_alive_interval(config.keep_alive)
        // The request, the link's stream, and room to refuse others. QUIC keeps a place for each.
        .max_concurrent_bidi_streams(VarInt::from_u32(4))
        // Control, the two of QPACK, one that means nothing (RFC 9114, 6.2.3), and room to refuse others.
        .max_concurrent_uni_streams(VarInt::from_u32(8))
        .stream_receive_window(VarInt::from_u32(buffers.receive))
        .receive_window(VarInt::from_u32(buffers.receive.saturating_mul(2)))
        .send_window(buffers.send)
        .datagram_receive_buffer_size(Some(buffers.datagrams))
        .datagram_send_buffer_size(buffers.datagrams);
    transport
}

fn milliseconds(ms: u128) -> VarInt {
    u64::try_from(ms).ok().and_then(|ms| VarInt::from_u64(ms).ok()).unwrap_or(VarInt::MAX)
}

/// A socket that takes fewer packets at once than the system would: each connection keeps a buffer for as many.
pub(crate) struct Frugal {
    pub(crate) socket: Arc<dyn AsyncUdpSocket>,
    pub(crate) packets_at_once: usize,
}

impl fmt::Debug for Frugal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.fmt(formatter)
    }
}

impl AsyncUdpSocket for Frugal {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.socket).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_send(transmit)
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [io::IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_recv(context, buffers, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments().min(self.packets_at_once).max(1)
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

/// An endpoint on this socket.
pub(crate) fn endpoint(
    socket: Arc<dyn AsyncUdpSocket>,
    tls: rustls::ServerConfig,
    config: &Config,
) -> io::Result<quinn::Endpoint> {
    let server = server_config(tls, config)?;
    let socket = Arc::new(Frugal { socket, packets_at_once: config.buffers.packets_at_once });
    let runtime = Arc::new(quinn::TokioRuntime);
    quinn::Endpoint::new_with_abstract_socket(quinn::EndpointConfig::default(), Some(server), socket, runtime)
}
