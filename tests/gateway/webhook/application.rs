//! An application that is reached by webhook, and answers when its test says so.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router, body::Bytes, extract::State, http::HeaderMap, response::IntoResponse as _, serve::Listener,
};
use http::{Response, StatusCode};
use serde_json::Value;
use throughline::upstream::webhook::{Event, WebhookConfig};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::kit::{PATIENCE, issued::Issued};

/// The secret that gateway and application share.
pub(crate) const SECRET: &str = "a secret of the tests";

/// It runs until it is dropped.
pub(crate) struct Application {
    url: String,
    asked: mpsc::UnboundedReceiver<Asked>,
    _serving: tokio_util::task::AbortOnDropHandle<std::io::Result<()>>,
}

/// Connections by TLS. One whose handshake fails is none.
struct Secure {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Secure {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, address) = self.listener.accept().await.expect("a listener");
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A request that waits for its answer.
pub(crate) struct Asked {
    pub(crate) headers: HeaderMap,
    pub(crate) event: Value,
    /// The event as it came.
    pub(crate) body: Bytes,
    answer: oneshot::Sender<Response<String>>,
}

impl Application {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/hook?of=tests", listener.local_addr().expect("bound"));
        Self::serve(listener, url)
    }

    /// By TLS, at `localhost`, with this certificate.
    pub(super) async fn start_secure(issued: &Issued) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("https://localhost:{}/hook", listener.local_addr().expect("bound").port());
        Self::serve(Secure { listener, acceptor: TlsAcceptor::from(Arc::new(issued.server())) }, url)
    }

    fn serve<L: Listener<Addr: std::fmt::Debug>>(listener: L, url: String) -> Self {
        let (to, asked) = mpsc::unbounded_channel();
        let router = Router::new().route("/hook", axum::routing::post(ask)).with_state(to);
        let serving = tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, asked, _serving: tokio_util::task::AbortOnDropHandle::new(serving) }
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What a gateway needs to reach it.
    pub(crate) fn config(&self) -> WebhookConfig {
        let events = vec![Event::Intent];
        WebhookConfig { events, ..WebhookConfig::new(self.url.parse().expect("an address"), SECRET) }
    }

    /// The next request.
    pub(crate) async fn asked(&mut self) -> Asked {
        timeout(PATIENCE, self.asked.recv()).await.expect("a request in time").expect("it serves")
    }
    /// Whether a request is there already.
    pub(crate) fn is_asked(&self) -> bool {
        !self.asked.is_empty()
    }
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }

    pub(crate) fn answer(self, body: &Value) {
        self.answer_by(200, &[], &body.to_string());
    }

    pub(crate) fn answer_by(self, status: u16, headers: &[(&str, &str)], body: &str) {
        let response = Response::builder().status(status);
        let response = headers.iter().fold(response, |response, &(name, value)| response.header(name, value));
        let _ = self.answer.send(response.body(body.into()).expect("a response"));
    }
}

async fn ask(
    State(to): State<mpsc::UnboundedSender<Asked>>,
    headers: HeaderMap,
    body: Bytes,
) -> axum::response::Response {
    let event = serde_json::from_slice(&body).expect("JSON");
    let (answer, answered) = oneshot::channel();
    let _ = to.send(Asked { headers, event, body, answer });
    match answered.await {
        Ok(response) => response.into_response(),
        Err(_) => StatusCode::IM_A_TEAPOT.into_response(), // its test does not care
    }
}
