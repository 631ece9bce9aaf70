//! The application behind the gateway: it publishes without an end, and counts what clients send.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::sleep,
};

/// Intents by what their client called them: the gateway's ids of each.
type Seen = Arc<Mutex<HashMap<String, Vec<String>>>>;

pub(crate) struct Application {
    pub(crate) address: SocketAddr,
    seen: Seen,
    stop: Arc<AtomicBool>,
}

/// What it was sent.
pub(crate) struct Intents {
    pub(crate) applied: usize,
    pub(crate) twice: usize,
    pub(crate) unseen: usize,
}

impl Application {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let seen = Seen::default();
        let noting = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let seen = Arc::clone(&noting);
                let service = service_fn(move |request| intent(request, Arc::clone(&seen)));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Ok(Self { address, seen, stop: Arc::default() })
    }

    /// Publishes to every channel in turn, each time the next number of that channel, until it is stopped.
    pub(crate) fn publish_to(&self, admin: SocketAddr) {
        let stop = Arc::clone(&self.stop);
        tokio::spawn(async move {
            let mut number = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                for channel in 0..CHANNELS {
                    let event = json!({"channel": channel_of(channel), "data": number}).to_string();
                    if let Err(error) = post(admin, "/api/v1/publish", &event).await {
                        eprintln!("a publish failed: {error:#}");
                        std::process::exit(1);
                    }
                    sleep(BETWEEN).await;
                }
            }
        });
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// What became of the intents, of which these were accepted.
    pub(crate) fn intents(&self, accepted: &[String]) -> Intents {
        let seen = self.seen.lock().expect("nobody panics with it");
        Intents {
            applied: seen.len(),
            // The same id is the same intent, delivered again.
            twice: seen.values().filter(|ids| ids.iter().any(|id| *id != ids[0])).count(),
            unseen: accepted.iter().filter(|key| !seen.contains_key(*key)).count(),
        }
    }
}

async fn intent(request: Request<Incoming>, seen: Seen) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    let event: Value = serde_json::from_slice(&body).unwrap_or_default();
    if let (Some(key), Some(id)) = (event["data"].as_str(), event["id"].as_str()) {
        seen.lock().expect("nobody panics with it").entry(key.into()).or_default().push(id.into());
    }
    Ok(Response::new(Full::from("{}")))
}

/// The channel of a number.
pub(crate) fn channel_of(number: usize) -> String {
    format!("load:{}", number % CHANNELS)
}

async fn post(address: SocketAddr, path: &str, body: &str) -> Result<()> {
    let head = format!(
        "POST {path} HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
        body.len()
    );
    ask(address, &head, body).await.map(|_| ())
}

/// The body of what is there.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Result<String> {
    ask(address, &format!("GET {path} HTTP/1.1\r\n"), "").await
}

async fn ask(address: SocketAddr, head: &str, body: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).await.context("to connect")?;
    let request = format!("{head}host: {address}\r\nconnection: close\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.context("to write")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.context("to read")?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "it is answered with {answer:?}");
    Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

/// Each client has one of them.
const CHANNELS: usize = 50;
const BETWEEN: Duration = Duration::from_millis(20);
