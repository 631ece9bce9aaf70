//! From a client's first packet to the stream that carries its frames.

use std::str::FromStr;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use throughline_wire::Codec;
use tokio::time::timeout;
use wtransport::{
    Connection, RecvStream, SendStream,
    endpoint::{IncomingSessionFuture, SessionRequest},
    quinn,
};

use crate::Config;

/// A client that has opened its stream.
pub(crate) struct Opened {
    pub(crate) connection: Connection,
    pub(crate) streams: (SendStream, RecvStream),
    pub(crate) codec: Codec,
    /// Whether `codec` is what the client asked for. One that knows none of ours is told so, in text.
    pub(crate) is_codec_known: bool,
    pub(crate) headers: HeaderMap,
}

/// Sees a client through its handshake; `None` where it does not get there, in time or at all.
pub(crate) async fn open(incoming: quinn::Incoming, config: &Config) -> Option<Opened> {
    let session = IncomingSessionFuture::with_quic_incoming(incoming);
    timeout(config.handshake.timeout, async {
        let request = session.await.ok()?;
        if request.path().split('?').next() != Some(&config.path) {
            tracing::debug!(path = request.path(), "no such path");
            request.not_found().await;
            return None;
        }
        let (codec, is_codec_known) = choose_codec(&request);
        let headers = headers(&request);
        let accepted = match codec {
            Some(codec) => {
                request.accept_with_headers([("wt-protocol", format!("\"{}\"", codec.name()))]).await
            }
            None => request.accept().await,
        };
        let connection = accepted.ok()?;
        let streams = connection.accept_bi().await.ok()?;
        Some(Opened { connection, streams, codec: codec.unwrap_or(Codec::Json), is_codec_known, headers })
    })
    .await
    .ok()
    .flatten()
}

/// The first of the client's protocols that is one of ours, none where it named none, and whether that will do.
fn choose_codec(request: &SessionRequest) -> (Option<Codec>, bool) {
    let Some(offered) = request.headers().get("wt-available-protocols") else { return (None, true) };
    let ours = [Codec::Json, Codec::Bincode];
    let chosen = protocols(offered).find_map(|name| ours.into_iter().find(|codec| codec.name() == name));
    (chosen, chosen.is_some() || protocols(offered).next().is_none())
}

/// The members of a list of strings (RFC 9651, 3.1 and 3.3.3), parameters ignored. Names with an escape are not ours.
fn protocols(list: &str) -> impl Iterator<Item = &str> {
    list.split(',')
        .filter_map(|member| member.trim().strip_prefix('"')?.split_once('"').map(|(name, _)| name))
}

/// The request's headers as HTTP/1.1 would have them: `host` for `:authority`, and no pseudo-headers else.
fn headers(request: &SessionRequest) -> HeaderMap {
    let mut headers: HeaderMap = request
        .headers()
        .iter()
        .filter_map(|(name, value)| {
            Some((HeaderName::from_str(name).ok()?, HeaderValue::from_str(value).ok()?))
        })
        .collect();
    if let Ok(host) = HeaderValue::from_str(request.authority()) {
        headers.insert(header::HOST, host);
    }
    headers
}
