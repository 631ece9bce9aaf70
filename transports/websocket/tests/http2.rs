//! WebSocket over HTTP/2 (RFC 8441): the suite of all adapters, and the handshake, which is another one.

use std::{convert::Infallible, future::Future};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Empty, Full};
use hyper::{
    body::Incoming, client::conn::http2 as client, ext::Protocol, server::conn::http2 as server,
    service::service_fn, upgrade::Upgraded,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use throughline_conformance::{
    Bounds, Client, Event, Goodbye, Harness, Heard, PIPE_BYTES, ScriptedGate, settle,
};
use throughline_link::{LinkEnd, Shape};
use throughline_websocket::{Config, WebSocket};
use throughline_wire::Codec;
use tokio::{
    io::{DuplexStream, duplex},
    task::AbortHandle,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        protocol::{CloseFrame, Role},
    },
};

throughline_conformance::suite!(Streams, links, streams);

/// The adapter on streams of HTTP/2.
struct Streams {
    websocket: WebSocket<ScriptedGate>,
}

impl Streams {
    /// A connection on which requests may be made.
    async fn call(&self) -> Connection {
        let connection = client::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .handshake::<_, Empty<Bytes>>(TokioIo::new(self.connect()))
            .await;
        let (sender, connection) = connection.unwrap();
        let driver = tokio::spawn(async { drop(connection.await) }).abort_handle();
        // RFC 8441, 3: only once the server has said that it takes these.
        settle().await;
        Connection { sender, _driver: Driver(driver) }
    }

    async fn ask(&self, request: Request<Empty<Bytes>>) -> (Connection, Response<Incoming>) {
        let mut connection = self.call().await;
        let response = connection.sender.send_request(request).await.unwrap();
        (connection, response)
    }

    async fn socket(&self, named: Codec, spoken: Codec) -> Socket {
        let (connection, response) = self.ask(handshake(Some(named.name()))).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["sec-websocket-protocol"], named.name());
        let stream = hyper::upgrade::on(response).await.unwrap();
        let stream = WebSocketStream::from_raw_socket(TokioIo::new(stream), Role::Client, None).await;
        Socket { stream, codec: spoken, _connection: connection }
    }
}

impl Harness for Streams {
    type Client = Socket;

    const NAME: &'static str = "websocket";
    const SHAPE: Shape = Shape::Duplex;
    const CODECS: &'static [Codec] = &[Codec::Json, Codec::Bincode];

    fn start(gate: ScriptedGate, bounds: Bounds) -> Self {
        let config = Config {
            max_message_bytes: bounds.max_message_bytes,
            budget_bytes: bounds.budget_bytes,
            ..Config::default()
        };
        Self { websocket: WebSocket::new(gate, config) }
    }

    fn connect(&self) -> DuplexStream {
        let (client, connection) = duplex(PIPE_BYTES);
        let websocket = self.websocket.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let (response, link) = websocket.answer(request, None);
            link.map(tokio::spawn);
            answered(response)
        });
        let mut http = server::Builder::new(TokioExecutor::new());
        http.enable_connect_protocol().max_send_buf_size(8 * 1024);
        tokio::spawn(http.serve_connection(TokioIo::new(connection), service));
        client
    }

    async fn open(&self, codec: Codec, first: Bytes) -> Socket {
        let mut socket = self.socket(codec, codec).await;
        socket.send(first).await;
        socket
    }

    async fn open_in_wrong_codec(&self) -> Socket {
        let mut socket = self.socket(Codec::Json, Codec::Bincode).await;
        socket.send(Bytes::from_static(b"binary")).await;
        socket
    }
}

fn answered(
    response: Response<Full<Bytes>>,
) -> impl Future<Output = Result<Response<Full<Bytes>>, Infallible>> {
    std::future::ready(Ok(response))
}

/// The client's end of a connection, which ends with it.
struct Connection {
    sender: client::SendRequest<Empty<Bytes>>,
    _driver: Driver,
}

struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Socket {
    stream: WebSocketStream<TokioIo<Upgraded>>,
    codec: Codec,
    _connection: Connection,
}

impl Client for Socket {
    async fn send(&mut self, message: Bytes) {
        let message = match self.codec {
            Codec::Json => Message::Text(message.try_into().unwrap()),
            Codec::Bincode => Message::Binary(message),
        };
        // A server that refuses an earlier message may have closed.
        let _ = self.stream.send(message).await;
    }

    async fn next(&mut self) -> Heard {
        loop {
            return match self.stream.next().await {
                Some(Ok(Message::Text(text))) => Heard::Message(text.into()),
                Some(Ok(Message::Binary(bytes))) => Heard::Message(bytes),
                Some(Ok(Message::Close(Some(CloseFrame { code, reason })))) => Heard::Goodbye(Goodbye {
                    close: Some((code.into(), reason.to_string())),
                    ..Goodbye::default()
                }),
                Some(Ok(_)) => continue,
                _ => Heard::Lost,
            };
        }
    }

    async fn leave(mut self) {
        self.stream.close(None).await.unwrap();
        while self.stream.next().await.is_some() {}
    }
}

/// A request that opens a WebSocket.
fn handshake(protocol: Option<&str>) -> Request<Empty<Bytes>> {
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .version(Version::HTTP_2)
        .uri("https://localhost/")
        .extension(Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13");
    if let Some(protocol) = protocol {
        request = request.header("sec-websocket-protocol", protocol);
    }
    request.body(Empty::new()).unwrap()
}

fn start() -> Streams {
    Streams::start(ScriptedGate::default(), Bounds::default())
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_a_protocol_speaks_text_and_is_told_none() {
    let (_connection, response) = start().ask(handshake(None)).await;
    assert_eq!(response.status(), StatusCode::OK);
    for absent in ["sec-websocket-protocol", "sec-websocket-accept", "upgrade", "connection"] {
        assert!(response.headers().get(absent).is_none(), "{absent}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_handshake_is_refused_by_name() {
    let with = |change: fn(&mut Request<Empty<Bytes>>)| {
        let mut request = handshake(Some(Codec::Json.name()));
        change(&mut request);
        request
    };
    let get = with(|request| {
        *request.method_mut() = Method::GET;
        request.extensions_mut().remove::<Protocol>();
    });
    let other = with(|request| {
        request.extensions_mut().insert(Protocol::from_static("connect-udp"));
    });
    let old = with(|request| {
        request.headers_mut().insert("sec-websocket-version", http::HeaderValue::from_static("8"));
    });
    let foreign = with(|request| {
        request.headers_mut().insert("sec-websocket-protocol", http::HeaderValue::from_static("chat"));
    });
    let refused = [
        (get, StatusCode::METHOD_NOT_ALLOWED, "unsupported"),
        (other, StatusCode::METHOD_NOT_ALLOWED, "unsupported"),
        (old, StatusCode::BAD_REQUEST, "unsupported"),
        (foreign, StatusCode::BAD_REQUEST, "unsupported_codec"),
    ];
    for (request, status, code) in refused {
        let (_connection, response) = start().ask(request).await;
        assert_eq!(response.status(), status);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let frame: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&frame["code"], &frame["fatal"]), (&code.into(), &true.into()), "{frame}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_sockets_share_a_connection_and_the_end_of_one_is_not_that_of_the_other() {
    let gate = ScriptedGate::default();
    let streams = Streams::start(gate.clone(), Bounds::default());
    let mut connection = streams.call().await;
    let mut sockets = Vec::new();
    for _ in 0..2 {
        let response = connection.sender.send_request(handshake(None)).await.unwrap();
        let stream = hyper::upgrade::on(response).await.unwrap();
        let stream = WebSocketStream::from_raw_socket(TokioIo::new(stream), Role::Client, None).await;
        sockets.push((stream, gate.next().await));
    }
    let (mut second, mut at_second) = sockets.pop().unwrap();
    let (mut first, mut at_first) = sockets.pop().unwrap();
    first.close(None).await.unwrap();
    while first.next().await.is_some() {}
    assert_eq!(at_first.next().await, Event::Ended(LinkEnd::ClosedByClient));
    second.send(Message::text("still here")).await.unwrap();
    assert_eq!(at_second.next().await, Event::Received("still here".into()));
    at_second.say("so are we");
    assert_eq!(second.next().await.unwrap().unwrap(), Message::text("so are we"));
}

/// What a client grants before it reads: little, so that one that does not read stalls its link.
const WINDOW: u32 = 8 * 1024;
