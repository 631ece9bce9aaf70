//! From a client's first packet to the stream that carries its frames.

use std::str::FromStr;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use throughline_wire::Codec;
use tokio::time::timeout;
use wtransport::{
    proto::{
        error::ErrorCode,
        ids::SessionId,
        session::{SessionRequest, SessionResponse},
    },
    quinn::{Connection, Incoming, RecvStream, SendStream},
};

use crate::{
    Config,
    http3::{self, Asked, Signals, to_quinn},
};

/// A client that has opened its stream.
pub(crate) struct Opened {
    pub(crate) connection: Connection,
    pub(crate) signals: Signals,
    pub(crate) session: SessionId,
    pub(crate) streams: (SendStream, RecvStream),
    pub(crate) codec: Codec,
    /// Whether `codec` is what the client asked for. One that knows none of ours is told so, in text.
    pub(crate) is_codec_known: bool,
    pub(crate) headers: HeaderMap,
}

/// Why a client did not get there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Failed {
    /// It took too long.
    TooSlow,
    /// It left, broke a rule, or wanted something else.
    Otherwise,
}

/// Sees a client through its handshake.
pub(crate) async fn open(incoming: Incoming, config: &Config) -> Result<Opened, Failed> {
    let handshake = async {
        let connection = incoming.accept().ok()?.await.ok()?;
        match ask(&connection, config).await {
            Ok(opened) => opened,
            Err(breach) => {
                breach.close(&connection);
                None
            }
        }
    };
    let opened = timeout(config.handshake.timeout, handshake).await.map_err(|_| Failed::TooSlow)?;
    opened.ok_or(Failed::Otherwise)
}

async fn ask(connection: &Connection, config: &Config) -> Result<Option<Opened>, http3::Breach> {
    let Asked { request, mut signals } = http3::greet(connection).await?;
    let Some(session) = signals.session() else { return Ok(None) };
    // Without its query, in which there may be what nobody should read in a log.
    let path = request.path().split('?').next().unwrap_or_default();
    if path != config.path {
        tracing::debug!(path, "no such path");
        http3::answer(&mut signals, SessionResponse::not_found().headers()).await?;
        let _ = signals.response().finish();
        let _ = signals.response().stopped().await;
        connection.close(to_quinn(ErrorCode::NoError.to_code()), b"");
        return Ok(None);
    }
    let (codec, is_codec_known) = choose_codec(&request);
    let mut response = SessionResponse::ok();
    if let Some(codec) = codec {
        response.add("wt-protocol", format!("\"{}\"", codec.name()));
    }
    http3::answer(&mut signals, response.headers()).await?;
    let streams = http3::stream(connection, session).await?;
    Ok(Some(Opened {
        connection: connection.clone(),
        signals,
        session,
        streams,
        codec: codec.unwrap_or(Codec::Json),
        is_codec_known,
        headers: headers(&request),
    }))
}

/// The first of the client's protocols that is one of ours, none where it named none, and whether that will do.
fn choose_codec(request: &SessionRequest) -> (Option<Codec>, bool) {
    let Some(offered) = request.get("wt-available-protocols") else { return (None, true) };
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
        .as_ref()
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
