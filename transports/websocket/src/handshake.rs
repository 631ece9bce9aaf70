//! The opening handshake: whether a request asks for a WebSocket that we can give, and in which codec.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body_util::Full;
use hyper::{ext::Protocol, upgrade::OnUpgrade};
use throughline_link::answer::{answer, media_type};
use throughline_wire::{Codec, DownFrame, ErrorCode, frame::ErrorFrame};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

type Answer = Response<Full<Bytes>>;

/// The codec and the response that opens the link, or the response that refuses it.
#[expect(clippy::result_large_err, reason = "both are responses, and both are sent")]
pub(crate) fn accept<B>(request: &Request<B>) -> Result<(Codec, Answer), Answer> {
    if request.version() == Version::HTTP_2 {
        return accept_stream(request);
    }
    let headers = request.headers();
    // RFC 6455, 4.2.1
    if request.method() != Method::GET {
        let refusal =
            refuse(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Unsupported, "a WebSocket opens with GET");
        return Err(with(refusal, header::ALLOW, GET));
    }
    let upgrades =
        has_token(headers, header::UPGRADE, "websocket") && has_token(headers, header::CONNECTION, "upgrade");
    if request.version() != Version::HTTP_11 || !upgrades {
        let why = "this address speaks WebSocket over HTTP/1.1; where the client did, a proxy has taken its upgrade away";
        return Err(upgrade_required(why));
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != VERSION) {
        return Err(upgrade_required("the WebSocket version has to be 13"));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
    if !STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16) {
        let why = "sec-websocket-key is not 16 bytes in base64";
        return Err(refuse(StatusCode::BAD_REQUEST, ErrorCode::Unsupported, why));
    }
    let (codec, protocol) = choose_codec(headers)?;
    if request.extensions().get::<OnUpgrade>().is_none() {
        let why = "the server does not hand this connection over";
        return Err(refuse(StatusCode::NOT_IMPLEMENTED, ErrorCode::Unsupported, why));
    }

    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let accept = HeaderValue::try_from(derive_accept_key(key)).unwrap_or(HeaderValue::from_static(""));
    response = with(response, header::UPGRADE, WEBSOCKET);
    response = with(response, header::CONNECTION, UPGRADE);
    response = with(response, header::SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(protocol) = protocol {
        response = with(response, header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    Ok((codec, response))
}

/// The same over HTTP/2, where a WebSocket is a stream of its own: nothing is upgraded, and no key is exchanged.
#[expect(clippy::result_large_err, reason = "both are responses, and both are sent")]
fn accept_stream<B>(request: &Request<B>) -> Result<(Codec, Answer), Answer> {
    // RFC 8441, 5
    let is_ours =
        request.extensions().get::<Protocol>().is_some_and(|protocol| protocol.as_str() == "websocket");
    if request.method() != Method::CONNECT || !is_ours {
        let why = "over HTTP/2 a WebSocket opens with CONNECT and the protocol websocket";
        let refusal = refuse(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Unsupported, why);
        return Err(with(refusal, header::ALLOW, CONNECT));
    }
    let headers = request.headers();
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != VERSION) {
        let refusal =
            refuse(StatusCode::BAD_REQUEST, ErrorCode::Unsupported, "the WebSocket version has to be 13");
        return Err(with(refusal, header::SEC_WEBSOCKET_VERSION, VERSION));
    }
    let (codec, protocol) = choose_codec(headers)?;
    if request.extensions().get::<OnUpgrade>().is_none() {
        let why = "the server does not hand this stream over";
        return Err(refuse(StatusCode::NOT_IMPLEMENTED, ErrorCode::Unsupported, why));
    }
    let mut response = Response::new(Full::default());
    if let Some(protocol) = protocol {
        response = with(response, header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    Ok((codec, response))
}

/// The first protocol of the client's that is one of ours. With none named, the text codec, and none is named back.
#[expect(clippy::result_large_err, reason = "both are responses, and both are sent")]
fn choose_codec(headers: &HeaderMap) -> Result<(Codec, Option<HeaderValue>), Answer> {
    let mut offered = tokens(headers, header::SEC_WEBSOCKET_PROTOCOL).peekable();
    if offered.peek().is_none() {
        return Ok((Codec::Json, None));
    }
    let ours = [Codec::Json, Codec::Bincode];
    // Subprotocols are compared exactly, unlike the other tokens.
    let chosen = offered.find_map(|name| ours.into_iter().find(|codec| codec.name() == name));
    let Some(codec) = chosen else {
        let why = "sec-websocket-protocol names neither throughline.v1.json nor throughline.v1.bincode";
        return Err(refuse(StatusCode::BAD_REQUEST, ErrorCode::UnsupportedCodec, why));
    };
    Ok((codec, Some(HeaderValue::from_static(codec.name()))))
}

fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|value| value.eq_ignore_ascii_case(token))
}

/// The members of a header that is a list, over all its lines.
fn tokens(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

fn upgrade_required(why: &str) -> Answer {
    let mut refusal = refuse(StatusCode::UPGRADE_REQUIRED, ErrorCode::Unsupported, why);
    refusal = with(refusal, header::UPGRADE, WEBSOCKET);
    refusal = with(refusal, header::CONNECTION, UPGRADE);
    with(refusal, header::SEC_WEBSOCKET_VERSION, VERSION)
}

fn refuse(status: StatusCode, code: ErrorCode, why: &str) -> Answer {
    let mut body = BytesMut::new();
    let error = ErrorFrame { code, message: why.into(), command: None, fatal: true };
    Codec::Json.encode_down(&DownFrame::Error(error), &mut body);
    answer(status, media_type(Codec::Json), Full::new(body.freeze()))
}

fn with<B>(mut response: Response<B>, name: HeaderName, value: HeaderValue) -> Response<B> {
    response.headers_mut().insert(name, value);
    response
}

const CONNECT: HeaderValue = HeaderValue::from_static("CONNECT");
const GET: HeaderValue = HeaderValue::from_static("GET");
const UPGRADE: HeaderValue = HeaderValue::from_static("upgrade");
const VERSION: HeaderValue = HeaderValue::from_static("13");
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
