//! Requests over a connection that is kept: one at a time, on a lane of its own.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response, header, request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use throughline_wire::{Codec, DownFrame};

use super::{Network, Report, Reporter, decode, dial::Forwarding};
use crate::{address::Target, core::session::End};

/// One connection at a time, made when it is needed.
#[derive(Debug, Default)]
pub(super) struct Lane {
    connection: Option<Kept>,
}

#[derive(Debug)]
struct Kept {
    /// Whether a proxy forwards what is asked here, and what it is told of who asks.
    forwarded: Option<Option<HeaderValue>>,
    sender: http1::SendRequest<Full<Bytes>>,
    driver: tokio::task::JoinHandle<()>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Lane {
    /// Posts a message and returns the answer once its head is there. A lane is for one host.
    ///
    /// # Cancel safety
    /// A request that is dropped takes its connection with it.
    pub(super) async fn post(
        &mut self,
        network: &Network,
        target: &Target,
        media_type: &'static str,
        message: &Bytes,
    ) -> Result<Response<Incoming>, End> {
        let request = Request::post(&*target.path).header(header::CONTENT_TYPE, media_type);
        self.ask(network, target, request, message.clone()).await
    }

    /// Asks for what is there.
    ///
    /// # Cancel safety
    /// As for [`post`](Self::post).
    pub(super) async fn get(
        &mut self,
        network: &Network,
        target: &Target,
    ) -> Result<Response<Incoming>, End> {
        self.ask(network, target, Request::get(&*target.path), Bytes::new()).await
    }

    async fn ask(
        &mut self,
        network: &Network,
        target: &Target,
        request: request::Builder,
        body: Bytes,
    ) -> Result<Response<Incoming>, End> {
        // A kept connection may have been closed at the other end meanwhile, or be busy with an answer given up.
        let mut kept = self.connection.take();
        if let Some(connection) = &mut kept
            && connection.sender.ready().await.is_err()
        {
            kept = None;
        }
        let mut kept = match kept {
            Some(kept) => kept,
            None => connect(network, target).await?,
        };
        let lost = |error: &dyn std::error::Error| End::Lost(format!("{target}: {error}").into());
        let mut request = request.header(header::HOST, &*target.authority).header(header::ACCEPT, "*/*");
        if let Some(authorization) = &kept.forwarded {
            request = request.uri(target.url("http", "https"));
            if let Some(authorization) = authorization {
                request = request.header(header::PROXY_AUTHORIZATION, authorization);
            }
        }
        let request = request.body(Full::new(body)).map_err(|error| lost(&error))?;
        let answer = kept.sender.send_request(request).await.map_err(|error| lost(&error))?;
        self.connection = Some(kept);
        Ok(answer)
    }
}

async fn connect(network: &Network, target: &Target) -> Result<Kept, End> {
    let forwarding = if target.secure { None } else { network.dial.forward() };
    let (connection, forwarded) = match forwarding {
        Some(Forwarding { dialing, authorization }) => {
            (network.connect_by(target, dialing).await?, Some(authorization))
        }
        None => (network.connect(target).await?, None),
    };
    let (sender, driving) = http1::Builder::new()
        .handshake(TokioIo::new(connection))
        .await
        .map_err(|error| End::Lost(format!("{target}: {error}").into()))?;
    let driver = tokio::spawn(async move {
        if let Err(error) = driving.await {
            tracing::trace!(%error, "a connection ended");
        }
    });
    Ok(Kept { forwarded, sender, driver })
}

/// The frames of an answer, or how it ends the link. One that comes in pieces shows by each that the link lives, where
/// that is to be `heard`.
pub(super) async fn frames(
    network: &Network,
    codec: Codec,
    answer: Response<Incoming>,
    heard: Option<&Reporter>,
) -> Result<Vec<DownFrame>, End> {
    let (head, body) = answer.into_parts();
    let status = head.status.as_u16();
    let spoken = message_codec(&head.headers);
    let largest = network.limits.frame_bytes.saturating_mul(16);
    let (mut pieces, mut body) = (Limited::new(body, largest), BytesMut::new());
    while let Some(piece) = pieces.frame().await {
        let piece = piece.map_err(|error| End::Lost(format!("the answer broke off: {error}").into()))?;
        if let Some(reporter) = heard.filter(|_| !body.is_empty()) {
            reporter.report(Report::SignOfLife).await;
        }
        body.extend(piece.into_data().ok());
    }
    let refused = || End::Refused { status, retry_after: retry_after(&head.headers) };
    // A refusal that the protocol can express is a message too, whatever its status.
    let (frames, fault) = match spoken {
        Some(codec) => decode(codec, &body, network.limits),
        None if head.status.is_success() && body.is_empty() => (Vec::new(), None),
        None if head.status.is_success() => decode(codec, &body, network.limits),
        None => return Err(refused()),
    };
    match fault {
        Some(_) if !head.status.is_success() => Err(refused()),
        Some(fault) => Err(End::Protocol(fault)),
        None if frames.is_empty() && !head.status.is_success() => Err(refused()),
        None => Ok(frames),
    }
}

/// The codec that an answer says it is in.
pub(super) fn message_codec(headers: &HeaderMap) -> Option<Codec> {
    Codec::from_media_type(headers.get(header::CONTENT_TYPE)?.to_str().ok()?)
}

/// The seconds of a `Retry-After`.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(3_600)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use throughline_wire::UpFrame;
    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::{
        ProxyDial,
        config::{Transport, Via},
        transport::testing::{Certified, Link, Port, message, network, network_by, nobody},
    };

    fn pong() -> DownFrame {
        DownFrame::Pong { nonce: Some(1), window_ms: None }
    }

    #[tokio::test]
    async fn a_proxy_that_forwards_is_asked_in_absolute_form_and_told_who_asks() {
        let proxy = Port::new(None).await;
        let dial = ProxyDial::new(&proxy.url).unwrap().credentials("me", "secret").forward_plain_requests();
        let network = Arc::new(network_by("http://gateway.example:7080/live", nobody(), Arc::new(dial)));
        let mut link = Link::open(&network, Via::json(Transport::Polling), None, &[]);
        link.poll(&[UpFrame::Ping { nonce: Some(1) }]);
        let answer = message(Codec::Json, &[pong()]);
        let head = proxy.answer(200, Codec::Json.media_type(), &answer).await;
        assert_eq!(head[0], "post http://gateway.example:7080/live/v1/poll http/1.1");
        assert!(head.contains(&"host: gateway.example:7080".to_owned()), "{head:?}");
        assert!(head.iter().any(|line| line.starts_with("proxy-authorization: basic ")), "{head:?}");
        assert_eq!(link.frames().await, [pong()]);
    }

    #[tokio::test]
    async fn an_answer_in_pieces_shows_by_each_that_it_comes() {
        let port = Port::new(None).await;
        let mut link = Link::open(&network(&port.url, nobody()), Via::json(Transport::Polling), None, &[]);
        link.poll(&[UpFrame::Ping { nonce: Some(1) }]);
        let mut client = port.accept().await.unwrap();
        let text = Codec::Json.media_type();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {text}\r\ntransfer-encoding: chunked\r\n\r\n");
        let answer = message(Codec::Json, &[pong()]);
        let (first, rest) = answer.split_at(5);
        let chunk = |piece: &[u8]| [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
        client.write_all(&[head.as_bytes(), &chunk(first), &chunk(&rest[..5])].concat()).await.unwrap();
        assert!(matches!(link.report_at_once().await, Report::SignOfLife));
        client.write_all(&[chunk(&rest[5..]), chunk(b"")].concat()).await.unwrap();
        assert_eq!(link.frames().await, [pong()]);
    }

    #[tokio::test]
    async fn a_proxy_is_asked_for_a_tunnel_for_tls_and_for_websockets() {
        for (url, transport, asked) in [
            ("https://gateway.example", Transport::Polling, "connect gateway.example:443 http/1.1"),
            ("http://gateway.example", Transport::WebSocket, "connect gateway.example:80 http/1.1"),
        ] {
            let proxy = Port::new(None).await;
            let dial = ProxyDial::new(&proxy.url).unwrap().forward_plain_requests();
            let tls = Certified::new("gateway.example").trusted();
            let network = Arc::new(network_by(url, tls, Arc::new(dial)));
            let mut link = Link::open(&network, Via::json(transport), None, &[]);
            link.poll(&[UpFrame::Ping { nonce: Some(1) }]);
            assert_eq!(proxy.answer(403, "text/plain", b"no").await[0], asked);
            let End::Failed { reason, .. } = link.end().await else { panic!("it has not opened") };
            assert!(reason.ends_with("the proxy refused CONNECT with status 403"), "{reason}");
        }
    }
}
