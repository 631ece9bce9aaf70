//! Requests, each on a connection of its own: a bare POST is what every client's first event is held against.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use throughline_client::Connection;
use tokio::net::TcpStream;

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

/// Connects, posts, and reads the answer to its end.
pub(crate) async fn post(to: SocketAddr, path: &str, media_type: &str, body: String) -> Result<Answer> {
    let request = Request::post(path).header(header::CONTENT_TYPE, media_type);
    let request = request.header(header::HOST, to.to_string()).body(body.into())?;
    in_time(async { send(connect(to).await?, request).await }).await
}

/// Connects, gets, and reads the answer to its end.
pub(crate) async fn get(from: SocketAddr, path: &str) -> Result<Answer> {
    let request = Request::get(path).header(header::HOST, from.to_string());
    let request = request.body(Full::default())?;
    in_time(async { send(connect(from).await?, request).await }).await
}

/// The same over a connection that stands, whatever it is.
pub(crate) async fn send(connection: Box<dyn Connection>, request: Request<Full<Bytes>>) -> Result<Answer> {
    let (mut sender, driving) = http1::handshake(TokioIo::new(connection)).await?;
    let driving = tokio::spawn(driving);
    let answer = sender.send_request(request).await.context("the request is answered")?;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.context("the answer comes to its end")?.to_bytes();
    driving.abort();
    Ok(Answer { status, body })
}

/// Bounds what may hang.
pub(crate) async fn in_time<T>(what: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(PATIENCE, what).await.unwrap_or_else(|_| Err(anyhow!("a request takes too long")))
}

async fn connect(to: SocketAddr) -> Result<Box<dyn Connection>> {
    let connection = TcpStream::connect(to).await.context("the connection stands")?;
    connection.set_nodelay(true)?;
    Ok(Box::new(connection))
}

/// How long a request may take, its connection included.
const PATIENCE: Duration = Duration::from_secs(15);
