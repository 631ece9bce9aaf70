//! The adapter in memory, and a client that reads streams.

use std::{future::Future, pin::Pin};

use bytes::Bytes;
use http::{Response, request};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use throughline_conformance::{Bounds, Client, Goodbye, Heard, ScriptedGate, serve};
use throughline_sse::{Config, ServerSentEvents};
use tokio::{io::DuplexStream, task::JoinSet};

/// The adapter.
pub(crate) struct Running {
    sse: ServerSentEvents<ScriptedGate>,
}

impl Running {
    pub(crate) fn start(gate: ScriptedGate, bounds: Bounds) -> Self {
        let config = Config {
            max_message_bytes: bounds.max_message_bytes,
            body_timeout: bounds.body_timeout,
            budget_bytes: bounds.budget_bytes,
            ..Config::default()
        };
        Self { sse: ServerSentEvents::new(gate, config) }
    }

    pub(crate) fn connect(&self) -> DuplexStream {
        let sse = self.sse.clone();
        serve(move |request| sse.answer(request, None))
    }

    pub(crate) async fn call(&self, request: request::Builder, body: Bytes) -> Stream {
        let (mut sender, connection) = handshake(TokioIo::new(self.connect())).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async { drop(connection.await) });
        let request = request.header("host", "x").body(Full::new(body)).unwrap();
        let response = Box::pin(sender.send_request(request));
        Stream {
            reply: Reply::Awaited(response),
            text: String::new(),
            last_event_id: None,
            retry_ms: None,
            _sender: sender,
            _connection: tasks,
        }
    }
}

/// A stream, read as the HTML standard says.
pub(crate) struct Stream {
    reply: Reply,
    /// What has arrived of the block that is under way.
    text: String,
    pub(crate) last_event_id: Option<String>,
    pub(crate) retry_ms: Option<u64>,
    // Dropped with the stream: the connection is cut.
    _sender: SendRequest<Full<Bytes>>,
    _connection: JoinSet<()>,
}

enum Reply {
    Awaited(Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>> + Send>>),
    Open(Response<Incoming>),
}

impl Stream {
    /// The response, once its head is there.
    pub(crate) async fn response(&mut self) -> hyper::Result<&mut Response<Incoming>> {
        if let Reply::Awaited(response) = &mut self.reply {
            self.reply = Reply::Open(response.await?);
        }
        let Reply::Open(response) = &mut self.reply else { unreachable!("it has just been set") };
        Ok(response)
    }

    /// The next block, as it stands; none when the stream has ended.
    pub(crate) async fn block(&mut self) -> hyper::Result<Option<String>> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return Ok(Some(block));
            }
            let Some(frame) = self.response().await?.frame().await else {
                assert_eq!(self.text, "", "the stream ends within a block");
                return Ok(None);
            };
            if let Ok(data) = frame?.into_data() {
                self.text += str::from_utf8(&data).unwrap();
            }
        }
    }
}

impl Client for Stream {
    async fn send(&mut self, _message: Bytes) {
        unreachable!("a stream carries one message up");
    }

    async fn next(&mut self) -> Heard {
        loop {
            let block = match self.block().await {
                Ok(Some(block)) => block,
                Ok(None) => break,
                Err(_) => return Heard::Lost,
            };
            let mut message = None;
            for line in block.lines() {
                match line.split_once(": ").unwrap() {
                    ("data", data) => message = Some(Bytes::copy_from_slice(data.as_bytes())),
                    ("id", id) => self.last_event_id = Some(id.to_owned()),
                    ("retry", ms) => self.retry_ms = Some(ms.parse().unwrap()),
                    (field, _) => panic!("unknown field {field}"),
                }
            }
            if let Some(message) = message {
                return Heard::Message(message);
            }
        }
        let retry_after_ms = self.retry_ms;
        let Ok(response) = self.response().await else { return Heard::Lost };
        Heard::Goodbye(Goodbye {
            status: Some(response.status().as_u16()),
            retry_after_ms,
            ..Goodbye::default()
        })
    }

    async fn leave(self) {}
}
