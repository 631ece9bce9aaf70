//! The suite of all adapters, against both forms of this one.

mod support;

use bytes::Bytes;
use http::Request;
use support::{Running, Stream};
use throughline_conformance::{Bounds, Harness, ScriptedGate};
use throughline_link::Shape;
use throughline_wire::Codec;
use tokio::io::DuplexStream;

mod by_message {
    throughline_conformance::suite!(super::ByMessage, links, streams, requests);
}

mod by_address {
    throughline_conformance::suite!(super::ByAddress, streams);
}

/// The adapter, called by `POST`.
struct ByMessage(Running);

/// The adapter, called by `GET`.
struct ByAddress(Running);

impl Harness for ByMessage {
    type Client = Stream;

    const NAME: &'static str = "sse";
    const SHAPE: Shape = Shape::DownStream;
    const CODECS: &'static [Codec] = &[Codec::Json];

    fn start(gate: ScriptedGate, bounds: Bounds) -> Self {
        Self(Running::start(gate, bounds))
    }

    fn connect(&self) -> DuplexStream {
        self.0.connect()
    }

    async fn open(&self, codec: Codec, first: Bytes) -> Stream {
        self.0.call(Request::post("/").header("content-type", codec.media_type()), first).await
    }

    async fn open_in_wrong_codec(&self) -> Stream {
        self.open(Codec::Bincode, Bytes::from_static(b"binary")).await
    }
}

impl Harness for ByAddress {
    type Client = Stream;

    const NAME: &'static str = "sse";
    const SHAPE: Shape = Shape::DownStream;
    const CODECS: &'static [Codec] = &[Codec::Json];

    fn start(gate: ScriptedGate, bounds: Bounds) -> Self {
        Self(Running::start(gate, bounds))
    }

    fn connect(&self) -> DuplexStream {
        self.0.connect()
    }

    async fn open(&self, _codec: Codec, _first: Bytes) -> Stream {
        self.0.call(Request::get("/?channel=a"), Bytes::new()).await
    }

    async fn open_in_wrong_codec(&self) -> Stream {
        unreachable!("an address has no codec");
    }
}
