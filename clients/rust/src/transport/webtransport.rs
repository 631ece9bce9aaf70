//! One WebTransport session: frames on one bidirectional stream, and datagrams beside it. The codec is the protocol.
//!
//! A link has a UDP socket of its own, so that it goes over the path that is there when it is opened. Everything that
//! may hang is bounded by the time that a connection may take; once the session stands, its silence is the core's
//! to judge, so QUIC's own idle time-out is longer than anything the core waits for, and only clears up.
//!
//! wtransport's tasks keep a connection as long as it lives. So a [`Socket`] closes all that goes over it when it is
//! dropped: that is what makes dropping a link a hard cut.

use std::{io, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream::FuturesUnordered};
use throughline_wire::{
    AttemptOutcome, CloseCode, Codec, DownFrame, codec::FrameSplitter, frame::TransportOffer,
};
use tokio::{sync::mpsc, time};
use wtransport::{
    ClientConfig, Connection, Endpoint, RecvStream, SendStream, VarInt,
    config::{DnsLookupFuture, DnsResolver, QuicTransportConfig},
    endpoint::{ConnectOptions, endpoint_side::Client},
    error::{ConnectingError, ConnectionError, SendDatagramError, StreamReadError, StreamWriteError},
    quinn::IdleTimeout,
};

use super::{Network, Report, Reporter, Say, decode, failed, negotiate, not_connected, tls};
use crate::{address::Target, config::Transport, core::session::End};

/// Runs the link to its end, and reports how it ended.
pub(super) async fn run(
    network: Arc<Network>,
    codec: Codec,
    offer: Option<TransportOffer>,
    hello: Bytes,
    sayings: mpsc::Receiver<Say>,
    reporter: Reporter,
) {
    let end = match open(&network, codec, offer).await {
        Ok(session) => {
            reporter.report(Report::Opened).await;
            converse(session, &network, codec, hello, sayings, &reporter).await
        }
        Err(end) => end,
    };
    reporter.report(Report::Ended(end)).await;
}

/// A session that stands.
struct Session {
    connected: Connected,
    up: SendStream,
    down: RecvStream,
}

/// A connection on a socket of its own.
struct Connected {
    socket: Socket,
    connection: Connection,
}

/// A UDP socket, and what goes over it: closed with this code when it is dropped.
struct Socket {
    endpoint: Endpoint<Client>,
    code: VarInt,
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.endpoint.close(self.code, b"");
    }
}

async fn open(network: &Network, codec: Codec, offer: Option<TransportOffer>) -> Result<Session, End> {
    let offer = match offer {
        None if !network.address.is_secure() => {
            // Over plain http nothing says which certificate to accept: the gateway has to.
            let asking = negotiate::ask(network, Transport::WebTransport);
            let asked = time::timeout(2 * network.connect, asking).await;
            let hung = |_| failed(AttemptOutcome::Hung, "what is on offer was not answered");
            Some(asked.map_err(hung)??)
        }
        offer => offer,
    };
    let target = network.target(Transport::WebTransport, offer.as_ref())?;
    let hashes = offer.iter().flat_map(|offer| &offer.certificate_hashes);
    let hashes: Vec<_> = hashes.filter_map(|hash| tls::parse_hash(hash)).collect();
    let (tls, verifier) =
        network.trust.quic(&hashes).await.map_err(|error| failed(AttemptOutcome::Refused, error))?;

    let resolving = network.dial.resolve(&target.host, target.port);
    let addresses = match time::timeout(network.connect, resolving).await {
        Ok(Ok(addresses)) => addresses,
        Ok(Err(error)) => return Err(not_connected(&target, &error)),
        Err(_) => {
            return Err(failed(AttemptOutcome::Blocked, format!("{target} could not be resolved in time")));
        }
    };
    let shaking = async {
        let connected = race(&target, codec, &tls, &addresses).await?;
        let stream = connected.connection.open_bi().await.map_err(|error| end_of(&error))?;
        let lost = |error| failed(AttemptOutcome::Lost, format!("{target}: {error}"));
        let (up, down) = stream.await.map_err(lost)?;
        Ok(Session { connected, up, down })
    };
    match time::timeout(2 * network.connect, shaking).await {
        Ok(Ok(session)) => Ok(session),
        Ok(Err(end)) => match verifier.verdict() {
            // What QUIC says of a certificate is less than is known.
            Some(Err(untrusted)) => Err(failed(AttemptOutcome::Refused, untrusted)),
            _ => Err(end),
        },
        Err(_) if verifier.verdict().is_some() => {
            Err(failed(AttemptOutcome::Hung, format!("{target} did not answer the WebTransport handshake")))
        }
        Err(_) => Err(failed(AttemptOutcome::Blocked, format!("{target} did not answer over UDP"))),
    }
}

/// Connects to the address that answers first: each is tried a little after the one before (RFC 8305, section 5).
async fn race(
    target: &Target,
    codec: Codec,
    tls: &rustls::ClientConfig,
    addresses: &[SocketAddr],
) -> Result<Connected, End> {
    let mut attempts: FuturesUnordered<_> = addresses
        .iter()
        .zip(0..)
        .map(|(&address, before)| async move {
            time::sleep(STAGGER * before).await;
            connect(target, codec, tls.clone(), address).await
        })
        .collect();
    let mut end = failed(AttemptOutcome::Blocked, format!("{target} has no address"));
    while let Some(attempt) = attempts.next().await {
        match attempt {
            Ok(connected) => return Ok(connected),
            Err(error) => end = error,
        }
    }
    Err(end)
}

async fn connect(
    target: &Target,
    codec: Codec,
    tls: rustls::ClientConfig,
    address: SocketAddr,
) -> Result<Connected, End> {
    let any: SocketAddr = if address.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
    let config = ClientConfig::builder()
        .with_bind_address(any)
        .with_custom_tls_and_transport(tls, quic())
        .dns_resolver(Resolved(address))
        .build();
    let endpoint = Endpoint::client(config).map_err(|error| not_connected(target, &error))?;
    let socket = Socket { endpoint, code: VarInt::from_u32(0) };
    // A name is resolved to the address; an address stands for itself, so it has to be that one.
    let authority = match target.host.parse::<std::net::IpAddr>() {
        Ok(_) => address.to_string(),
        Err(_) => target.authority.to_string(),
    };
    let options = ConnectOptions::builder(format!("https://{authority}{}", target.path))
        .add_header("wt-available-protocols", format!("\"{}\"", codec.name()))
        .build();
    let connection = socket.endpoint.connect(options).await.map_err(|error| match error {
        ConnectingError::ConnectionError(error) => match end_of(&error) {
            End::Lost(reason) => failed(AttemptOutcome::Lost, format!("{target}: {reason}")),
            end => end,
        },
        ConnectingError::SessionRejected => {
            failed(AttemptOutcome::Refused, format!("{target} refused the WebTransport session"))
        }
        error => failed(AttemptOutcome::Blocked, format!("{target}: {error}")),
    })?;
    Ok(Connected { socket, connection })
}

fn quic() -> QuicTransportConfig {
    let mut quic = QuicTransportConfig::default();
    let idle = IdleTimeout::try_from(IDLE).expect("some minutes are a time-out");
    quic.max_idle_timeout(Some(idle)).keep_alive_interval(Some(KEEP_ALIVE));
    // The gateway opens no streams but those of HTTP/3.
    quic.max_concurrent_bidi_streams(0_u8.into());
    quic
}

/// Knows one address.
#[derive(Debug)]
struct Resolved(SocketAddr);

impl DnsResolver for Resolved {
    fn resolve(&self, _: &str) -> Pin<Box<dyn DnsLookupFuture>> {
        let address = self.0;
        Box::pin(async move { Ok::<_, io::Error>(Some(address)) })
    }
}

/// Reads and writes side by side: neither may hold the other up.
async fn converse(
    mut session: Session,
    network: &Network,
    codec: Codec,
    hello: Bytes,
    sayings: mpsc::Receiver<Say>,
    reporter: &Reporter,
) -> End {
    let Connected { socket, connection } = &mut session.connected;
    let reading = read(&mut session.down, connection, network, codec, reporter);
    tokio::pin!(reading);
    let end = tokio::select! {
        end = &mut reading => end,
        end = write(&mut session.up, connection, hello, sayings) => end,
        end = datagrams(connection, network, codec, reporter) => end,
        end = gone(connection) => {
            // What was said before the end may still be unread.
            time::timeout(STAGGER, reading).await.unwrap_or(end)
        }
    };
    let code = if matches!(end, End::Protocol(_)) { CloseCode::PROTOCOL_ERROR } else { CloseCode::NORMAL };
    socket.code = VarInt::from(code.0);
    end
}

/// Says what there is to say: all of it in one write.
async fn write(
    up: &mut SendStream,
    connection: &Connection,
    hello: Bytes,
    mut sayings: mpsc::Receiver<Say>,
) -> End {
    let writing = async {
        let mut waiting = BytesMut::from(hello);
        loop {
            up.write_all(&waiting).await?;
            waiting.clear();
            let mut next = sayings.recv().await;
            if next.is_none() {
                break;
            }
            let mut goodbye = false;
            while let Some(say) = next {
                match say {
                    Say::Message(bytes) => waiting.extend_from_slice(&bytes),
                    Say::Datagram(frame) => match connection.send_datagram(&frame) {
                        Ok(()) | Err(SendDatagramError::NotConnected) => {}
                        Err(SendDatagramError::TooLarge | SendDatagramError::UnsupportedByPeer) => {
                            waiting.extend_from_slice(&frame);
                        }
                    },
                    Say::Goodbye => goodbye = true,
                    Say::Poll { .. } | Say::Post { .. } => {}
                }
                next = sayings.try_recv().ok();
            }
            if goodbye {
                up.write_all(&waiting).await?;
                up.finish().await?;
                break;
            }
        }
        Ok::<_, StreamWriteError>(())
    };
    match writing.await {
        // A gateway that takes no more may still have something to say, and so may one that is gone.
        Ok(()) | Err(StreamWriteError::NotConnected | StreamWriteError::Stopped(_)) => {
            std::future::pending().await
        }
        Err(error) => End::Lost(error.to_string().into()),
    }
}

async fn read(
    down: &mut RecvStream,
    connection: &Connection,
    network: &Network,
    codec: Codec,
    reporter: &Reporter,
) -> End {
    let mut splitter = FrameSplitter::new(codec, network.limits.frame_bytes);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let mut piece = match down.read(&mut buffer).await {
            Ok(Some(length)) => &buffer[..length],
            Ok(None) => return End::Lost("the gateway ended the stream".into()),
            Err(StreamReadError::Reset(code)) => return closed(unmapped(code), "the stream was reset"),
            Err(StreamReadError::NotConnected) => return end_of(&connection.closed().await),
            Err(error) => return End::Lost(error.to_string().into()),
        };
        let (mut all, mut fault) = (Vec::new(), None);
        while fault.is_none() {
            match splitter.next(&mut piece) {
                Ok(Some(frame)) => {
                    let (frames, wrong) = decode(codec, frame, network.limits);
                    all.extend(frames);
                    fault = wrong;
                }
                Ok(None) => break,
                Err(error) => fault = Some(error.to_string().into()),
            }
        }
        // Bytes that complete no frame are a sign of life too.
        let report = if all.is_empty() { Report::SignOfLife } else { Report::Frames(all) };
        reporter.report(report).await;
        if let Some(fault) = fault {
            return End::Protocol(fault);
        }
    }
}

/// Reports what comes as datagrams. They may be lost, so one that says nothing is.
async fn datagrams(connection: &Connection, network: &Network, codec: Codec, reporter: &Reporter) -> End {
    while let Ok(datagram) = connection.receive_datagram().await {
        let (mut frames, _) = decode(codec, &datagram, network.limits);
        frames.retain(|frame| matches!(frame, DownFrame::Volatile(_)));
        if !frames.is_empty() {
            reporter.report(Report::Frames(frames)).await;
        }
    }
    // How it ended is told by the stream, after what is still to be read there.
    std::future::pending().await
}

/// Waits for the end of the session. Streams that the gateway should not open are let go: else they would keep
/// wtransport from the rest.
async fn gone(connection: &Connection) -> End {
    loop {
        if let Err(error) = connection.accept_uni().await {
            return end_of(&error);
        }
    }
}

/// How a session ended.
fn end_of(error: &ConnectionError) -> End {
    match error {
        ConnectionError::ApplicationClosed(close) => closed(close.code().into_inner(), &error.to_string()),
        error => End::Lost(error.to_string().into()),
    }
}

/// An end with the gateway's code, where it is one: HTTP/3 has codes of its own.
fn closed(code: u64, what: &str) -> End {
    match u16::try_from(code) {
        Ok(code @ 1_000..=4_999) => End::Closed(code),
        _ => End::Lost(what.into()),
    }
}

/// The code that a stream was reset with, out of HTTP/3's numbering (draft-ietf-webtrans-http3, section 4.4).
const fn unmapped(code: VarInt) -> u64 {
    let Some(shifted) = code.into_inner().checked_sub(0x52e4_a40f_a8db) else { return u64::MAX };
    shifted - shifted / 0x1f
}

/// How long an address has to answer before the next is tried beside it (RFC 8305, section 5), and how long after a
/// session's end what it said before is waited for.
const STAGGER: Duration = Duration::from_millis(250);

/// When QUIC itself gives a silent gateway up: after anything that the core waits for. The gateway has a time of its
/// own, and the smaller counts.
const IDLE: Duration = Duration::from_secs(180);

/// How often a link at rest is heard of by what is between: much of what translates addresses forgets a UDP flow
/// after 30 s, though RFC 4787 (REQ-5) asks for two minutes, and a gateway's heartbeat may be slower than either.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// How much is read at once.
const READ_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests;
