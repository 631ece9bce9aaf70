//! The ceiling: a server that only writes bytes which are ready made.
//!
//! It serves one transport to any number of clients on one thread, from one epoll loop: no session, no codec, no
//! acknowledgement, no memory of what was said. A publish writes to every client what the gateway would write, as
//! long and in the same sockets. Publishes that come in one round of the loop are written together, so it is also
//! the ceiling of what coalesces. A poll has to be read before it can be answered; so it is.

use std::io::Write as _;

use anyhow::{Result, ensure};
use mio::{Events, Interest, Poll, Token, net::TcpListener};

use crate::{
    Transport,
    publishers::payload,
    wire::{Wire, http_lengths},
};

const LISTENER: Token = Token(0);
/// The most events that are written as one.
const MOST: usize = 64;

/// A connection.
struct Peer {
    wire: Wire,
    /// Whether it is a client, and not one who publishes.
    is_client: bool,
    /// Whether it can be written to: a stream always, a poll while it waits.
    is_waiting: bool,
    /// Events published that it does not have.
    owed: usize,
}

/// Serves until it is killed.
pub(crate) fn run(transport: Transport) -> Result<()> {
    ensure!(transport != Transport::Webtransport, "a bare writer of QUIC is nothing bare");
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind("127.0.0.1:0".parse()?)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let address = listener.local_addr()?;
    println!("clients  http://{address}/\nadmin    http://{address}/");
    std::io::stdout().flush()?;

    let ready: Vec<Vec<u8>> = (0..=MOST).map(|count| message(transport, &items(count))).collect();
    let greeting = greeting(transport);
    let mut peers: Vec<Option<Peer>> = vec![None]; // the listener's place
    let mut readiness = Events::with_capacity(1_024);
    let mut scratch = vec![0; 64 * 1_024];
    loop {
        poll.poll(&mut readiness, None)?;
        let mut published = 0;
        for event in &readiness {
            if event.token() == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    let wire = Wire::over(stream, poll.registry(), Token(peers.len()))?;
                    peers.push(Some(Peer { wire, is_client: false, is_waiting: false, owed: 0 }));
                }
                continue;
            }
            let at = event.token().0;
            let Some(peer) = &mut peers[at] else { continue };
            if !serve(peer, &mut scratch, transport, &greeting, &mut published)? {
                peers[at] = None;
            }
        }
        for peer in peers.iter_mut().flatten().filter(|peer| peer.is_client) {
            peer.owed += published;
            if peer.is_waiting && peer.owed > 0 {
                let count = peer.owed.min(MOST);
                let _ = peer.wire.send(&ready[count]); // one that has left is found out by reading
                peer.owed -= count;
                peer.is_waiting = transport != Transport::Polling;
            }
        }
    }
}

/// Reads requests; false once the other side has closed.
fn serve(
    peer: &mut Peer,
    scratch: &mut [u8],
    transport: Transport,
    greeting: &[u8],
    published: &mut usize,
) -> Result<bool> {
    let Peer { wire, is_client, is_waiting, .. } = peer;
    let mut answers = Vec::new();
    wire.flush()?;
    let open = wire.read::<anyhow::Error>(scratch, |bytes| {
        let mut used = 0;
        if *is_client && transport != Transport::Polling {
            return Ok(bytes.len());
        }
        while let Some((head, body)) = http_lengths(&bytes[used..]) {
            if bytes.len() < used + head + body {
                break;
            }
            if bytes[used..].starts_with(b"POST /api/v1/publish") {
                *published += 1;
                answers.extend_from_slice(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
            } else if *is_client {
                *is_waiting = true;
            } else {
                *is_client = true;
                *is_waiting = transport != Transport::Polling;
                answers.extend_from_slice(greeting);
            }
            used += head + body;
        }
        Ok(used)
    });
    if !answers.is_empty() {
        wire.send(&answers)?;
    }
    Ok(open.unwrap_or(false))
}

/// What the gateway says first.
fn greeting(transport: Transport) -> Vec<u8> {
    let welcome = r#"{"type":"welcome","token":"t","incarnation":1,"link":1}"#;
    let subscribed = r#"{"type":"items","first":1,"items":[{"type":"subscribed","channel":"bench"}]}"#;
    let frames = format!("{welcome}\n{subscribed}");
    let head: &[u8] = match transport {
        Transport::Websocket => {
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
        }
        Transport::Sse => {
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        }
        Transport::Polling | Transport::Webtransport => b"",
    };
    [
        head,
        &message(
            transport,
            &frames.replace('\n', if transport == Transport::Sse { "\n\ndata: " } else { "\n" }),
        ),
    ]
    .concat()
}

/// A frame of so many events, as long as the gateway's. Its first item has the number 1, which every client has.
fn items(count: usize) -> String {
    let event = format!(
        r#"{{"type":"event","channel":"bench","offset":1000,"time":1764000000000,"data":{}}}"#,
        payload()
    );
    format!(r#"{{"type":"items","first":0000,"items":[{}]}}"#, vec![event; count].join(","))
}

/// Frames as the transport carries them.
fn message(transport: Transport, frames: &str) -> Vec<u8> {
    let length = frames.len();
    match transport {
        Transport::Websocket => {
            let mut message = match u16::try_from(length) {
                Ok(length @ ..126) => vec![0x81, length as u8],
                Ok(length) => [&[0x81, 126][..], &length.to_be_bytes()].concat(),
                Err(_) => [&[0x81, 127][..], &(length as u64).to_be_bytes()].concat(),
            };
            message.extend_from_slice(frames.as_bytes());
            message
        }
        Transport::Webtransport => format!("{frames}\n").into_bytes(),
        Transport::Sse => {
            let block = format!("data: {frames}\n\n");
            format!("{:X}\r\n{block}\r\n", block.len()).into_bytes()
        }
        Transport::Polling => format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ncache-control: no-store\r\n\
             x-accel-buffering: no\r\nvary: origin\r\ncontent-length: {length}\r\ndate: Tue, 24 Nov 2026 00:00:00 GMT\r\n\r\n{frames}"
        )
        .into_bytes(),
    }
}
