//! The link against a gateway's end of WebTransport that says what the test says.

use std::sync::Arc;

use throughline_wire::{AttemptOutcome, Codec, DownFrame, UpFrame};

use super::super::{
    Report, Say,
    dial::TcpDial,
    testing::{Certified, Gate, Guest, Link, message, network, nobody},
};
use crate::{
    config::{Transport, Via},
    core::session::End,
};

const BOTH: [Codec; 2] = [Codec::Json, Codec::Bincode];

const fn via(codec: Codec) -> Via {
    Via { transport: Transport::WebTransport, codec }
}

/// A link and its guest, which have met.
async fn meet(codec: Codec, hello: &[UpFrame]) -> (Link, Guest, Gate) {
    let certified = Certified::new("localhost");
    let gate = Gate::new(&certified);
    let network = network("http://127.0.0.1:1", nobody(), Arc::new(TcpDial));
    let mut link = Link::open(&network, via(codec), Some(gate.offer(&[certified.hash()])), hello);
    let guest = gate.accept().await;
    assert!(matches!(link.report().await, Report::Opened));
    (link, guest, gate)
}

fn ping(nonce: u64) -> UpFrame {
    UpFrame::Ping { nonce: Some(nonce) }
}

fn pong(nonce: u64) -> DownFrame {
    DownFrame::Pong { nonce: Some(nonce), window_ms: None }
}

#[tokio::test]
async fn what_is_said_is_heard_and_answered_in_both_codecs() {
    for codec in BOTH {
        let (mut link, mut guest, _gate) = meet(codec, &[ping(1)]).await;
        assert_eq!(guest.path, "/v1/webtransport");
        assert_eq!(guest.protocols.as_deref(), Some(&*format!("\"{}\"", codec.name())));
        assert_eq!(guest.hear(codec).await, [ping(1)]);
        guest.say(codec, &[pong(1), pong(2)]).await;
        let mut heard = link.frames().await;
        while heard.len() < 2 {
            heard.extend(link.frames().await);
        }
        assert_eq!(heard, [pong(1), pong(2)]);
        link.say(&[ping(3)]);
        assert_eq!(guest.hear(codec).await, [ping(3)]);
    }
}
