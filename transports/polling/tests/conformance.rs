//! The suite of all adapters, against this one.

use std::{future::Future, pin::Pin};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use throughline_conformance::{Bounds, Client, Goodbye, Harness, Heard, ScriptedGate, advice_after, serve};
use throughline_link::Shape;
use throughline_polling::{Config, Polling};
use throughline_wire::{CloseCode, Codec};
use tokio::{io::DuplexStream, task::JoinSet};

throughline_conformance::suite!(Running, links, requests);

/// The adapter in memory.
struct Running {
    polling: Polling<ScriptedGate>,
}

impl Harness for Running {
    type Client = Poll;

    const NAME: &'static str = "polling";
    const SHAPE: Shape = Shape::Answer;
    const CODECS: &'static [Codec] = &[Codec::Json, Codec::Bincode];

    fn start(gate: ScriptedGate, bounds: Bounds) -> Self {
        let config = Config {
            max_message_bytes: bounds.max_message_bytes,
            body_timeout: bounds.body_timeout,
            budget_bytes: bounds.budget_bytes,
        };
        Self { polling: Polling::new(gate, config) }
    }

    fn connect(&self) -> DuplexStream {
        let polling = self.polling.clone();
        serve(move |request| polling.answer(request, None, Shape::Answer))
    }

    async fn open(&self, codec: Codec, first: Bytes) -> Poll {
        Poll::send(self.connect(), codec.media_type(), first).await
    }

    async fn open_in_wrong_codec(&self) -> Poll {
        Poll::send(self.connect(), "application/xml", Bytes::from_static(b"<hello/>")).await
    }
}

/// One request, and what it waits for.
struct Poll {
    response: Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>> + Send>>,
    goodbye: Option<Goodbye>,
    // Dropped with the poll: the connection is cut.
    _sender: SendRequest<Full<Bytes>>,
    _connection: JoinSet<()>,
}

impl Poll {
    async fn send(pipe: DuplexStream, media_type: &str, message: Bytes) -> Self {
        let (mut sender, connection) = handshake(TokioIo::new(pipe)).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async { drop(connection.await) });
        let request = Request::post("/").header("host", "x").header("content-type", media_type);
        let response = Box::pin(sender.send_request(request.body(Full::new(message)).unwrap()));
        Self { response, goodbye: None, _sender: sender, _connection: tasks }
    }
}

impl Client for Poll {
    async fn send(&mut self, _message: Bytes) {
        unreachable!("a poll carries one message up");
    }

    async fn next(&mut self) -> Heard {
        if let Some(goodbye) = self.goodbye.take() {
            return Heard::Goodbye(goodbye);
        }
        let Ok(response) = self.response.as_mut().await else { return Heard::Lost };
        let seconds = response
            .headers()
            .get("retry-after")
            .map(|value| value.to_str().unwrap().parse::<u64>().unwrap());
        self.goodbye = Some(Goodbye {
            status: Some(response.status().as_u16()),
            retry_after_ms: seconds.map(|seconds| seconds * 1_000),
            ..Goodbye::default()
        });
        Heard::Message(response.into_body().collect().await.unwrap().to_bytes())
    }

    async fn leave(self) {}
}

#[tokio::test]
async fn a_poll_that_another_link_took_the_place_of_is_the_last_on_its_connection() {
    for (code, version, is_last) in [
        (CloseCode::SUPERSEDED, Version::HTTP_11, true),
        (CloseCode::SUPERSEDED, Version::HTTP_2, false),
        (CloseCode::POSITIONS, Version::HTTP_11, false),
    ] {
        let gate = ScriptedGate::default();
        gate.refuse_all("over", advice_after(code, "over", 0));
        let mut poll = Request::post("/").body(Full::<Bytes>::default()).unwrap();
        *poll.version_mut() = version;
        let answer = Polling::new(gate, Config::default()).answer(poll, None, Shape::Answer).await;
        let said = answer.headers().get("connection").map(|value| value.as_bytes());
        assert_eq!(said, is_last.then_some(&b"close"[..]), "{code:?} by {version:?}");
    }
}
