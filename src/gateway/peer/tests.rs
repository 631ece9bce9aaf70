//! Links as WebTransport opens them, played without a network.

use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use throughline_link::{Gate as _, LinkRequest, Opening, Peer as _, Shape, Transmit};
use throughline_wire::{ChannelName, Codec};

use super::{GatewayGate, GatewayPeer};
use crate::{
    Gateway,
    broker::Pending,
    gateway::{Authenticate, Credentials, Denied, Identity},
};

const HELLO: &str = r#"{"type":"hello","version":0,"instance":"me","attach":1}"#;
const SUBSCRIBE: &str = r#"{"type":"commands","first":1,"items":[{"type":"subscribe","channel":"news"}]}"#;

/// The peer of a link of frames that is opened as WebTransport does it.
fn opened(gate: &GatewayGate) -> GatewayPeer {
    gate.open(LinkRequest {
        transport: "webtransport",
        codec: Codec::Json,
        shape: Shape::Duplex,
        datagrams: true,
        opening: Opening::Message,
        remote: None,
        headers: http::HeaderMap::new(),
    })
}

/// One whose client holds `news`.
fn listening(gate: &GatewayGate) -> GatewayPeer {
    let mut peer = opened(gate);
    peer.receive_datagram(volatile(1).as_bytes()); // before there is a session: dropped
    peer.receive(HELLO.as_bytes());
    peer.receive(SUBSCRIBE.as_bytes());
    let told = told(&mut peer);
    assert!(told.iter().any(|line| line.contains("subscribed")), "{told:?}");
    peer
}

fn volatile(seq: u64) -> String {
    format!(r#"{{"type":"volatile","channel":"news","seq":{seq},"data":1}}"#)
}

/// All that is to be transmitted, a datagram by its name.
fn told(peer: &mut GatewayPeer) -> Vec<String> {
    let mut told = Vec::new();
    loop {
        let mut buffer = BytesMut::new();
        let text = match peer.poll_transmit(&mut Context::from_waker(Waker::noop()), 65_536, &mut buffer) {
            Poll::Pending => return told,
            Poll::Ready(Transmit::Message) => String::new(),
            Poll::Ready(Transmit::Datagram) => "datagram ".into(),
            Poll::Ready(Transmit::Close(advice)) => format!("close {} ", advice.reason),
        };
        told.push(text + std::str::from_utf8(&buffer).expect("text"));
    }
}

#[tokio::test]
async fn a_datagram_is_one_volatile_and_anything_else_in_one_is_nothing() {
    let gateway = Gateway::builder().build();
    let shared = gateway.handle().shared;
    let gate = GatewayGate { shared };
    let (mut speaker, mut listener) = (listening(&gate), listening(&gate));
    let two = format!("{}\n{}", volatile(1), volatile(2));
    let ignored = ["", "\n", "{", "\u{0}", r#"{"type":"bye"}"#, r#"{"type":"ping","nonce":1}"#, HELLO, &two];
    for datagram in ignored {
        speaker.receive_datagram(datagram.as_bytes());
        speaker.receive_datagram(&[datagram.as_bytes(), b"\xff"].concat());
    }
    let news =
        gate.shared.broker.open(&ChannelName::parse("news").expect("a name")).await.expect("a channel");
    news.wake();
    assert!(told(&mut listener).is_empty() && told(&mut speaker).is_empty());
    for seq in [3, 3, 4, 2] {
        speaker.receive_datagram(format!("{}\n", volatile(seq)).as_bytes());
    }
    news.wake();
    let heard = told(&mut listener);
    assert_eq!(heard.len(), 2, "{heard:?}");
    for (line, seq) in heard.iter().zip([3, 4]) {
        assert!(line.starts_with("datagram ") && line.contains(&format!("\"seq\":{seq},")), "{line}");
    }
    assert!(told(&mut speaker).is_empty());
}

/// Somebody who never says who a client is.
struct Undecided;

impl Authenticate for Undecided {
    fn authenticate<'a>(&'a self, _: &'a Credentials) -> Pending<'a, Result<Identity, Denied>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn what_is_kept_until_it_is_known_who_speaks_has_a_bound() {
    let gateway = Gateway::builder().authenticate(Undecided).build();
    let gate = GatewayGate { shared: gateway.handle().shared };
    let ping = "{\"type\":\"ping\"}\n";
    for (with_hello, behind, is_kept) in [(256, 256, true), (257, 0, false), (0, 257, false)] {
        let mut peer = opened(&gate);
        peer.receive(format!("{HELLO}\n{}", ping.repeat(with_hello)).as_bytes());
        for _ in 0..behind {
            peer.receive(ping.as_bytes());
        }
        let told = told(&mut peer).concat();
        assert_eq!((told.is_empty(), told.contains("message_too_large")), (is_kept, !is_kept), "{told}");
    }
}
