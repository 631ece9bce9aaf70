//! Every transport that runs on TCP, over TLS; what is trusted, and what is said of what is not.

use futures_util::{SinkExt, StreamExt};
use throughline_wire::{AttemptOutcome, Codec, DownFrame, UpFrame, frame::TransportOffer};
use tokio_tungstenite::{accept_hdr_async, tungstenite::handshake::server};

use super::{
    super::testing::{Certified, Link, Port, message, network, nobody},
    *,
};
use crate::{
    config::{Transport, Via},
    core::session::End,
    transport::Report,
};

fn ping() -> UpFrame {
    UpFrame::Ping { nonce: Some(1) }
}

fn pong() -> DownFrame {
    DownFrame::Pong { nonce: Some(1), window_ms: None }
}

/// Why a poll to this port fails.
async fn refusal(port: &Port, tls: Tls) -> Box<str> {
    let mut link = Link::open(&network(&port.url, tls), Via::json(Transport::Polling), None, &[]);
    link.poll(&[ping()]);
    let (accepted, end) = tokio::join!(port.accept(), link.end());
    assert!(accepted.is_err());
    match end {
        End::Failed { outcome: AttemptOutcome::Refused, reason } => reason,
        end => panic!("refused, and not {end:?}"),
    }
}

#[tokio::test]
async fn polls_event_streams_and_websockets_run_over_tls_with_a_root_of_ones_own() {
    let certified = Certified::new("127.0.0.1");
    let port = Port::new(Some(&certified)).await;
    let network = network(&port.url, certified.trusted());

    let mut polling = Link::open(&network, Via::json(Transport::Polling), None, &[]);
    polling.poll(&[ping()]);
    let head = port.answer(200, Codec::Json.media_type(), &message(Codec::Json, &[pong()])).await;
    assert_eq!(head[0], "post /v1/poll http/1.1");
    assert_eq!(polling.frames().await, [pong()]);

    let mut sse = Link::open(&network, Via::json(Transport::Sse), None, &[ping()]);
    let event = [b"data: ", &*message(Codec::Json, &[pong()]), b"\n"].concat();
    let head = port.answer(200, "text/event-stream", &event).await;
    assert_eq!(head[0], "post /v1/events http/1.1");
    assert_eq!(sse.frames().await, [pong()]);

    let mut websocket = Link::open(&network, Via::bincode(Transport::WebSocket), None, &[ping()]);
    let mut path = String::new();
    #[allow(clippy::result_large_err, reason = "tungstenite's own")]
    let agree = |request: &server::Request, mut response: server::Response| {
        path = request.uri().to_string();
        let name = request.headers()["sec-websocket-protocol"].clone();
        response.headers_mut().insert("sec-websocket-protocol", name);
        Ok(response)
    };
    let mut socket = accept_hdr_async(port.accept().await.unwrap(), agree).await.unwrap();
    assert!(socket.next().await.unwrap().unwrap().is_binary());
    let answer = message(Codec::Bincode, &[pong()]);
    socket.send(tokio_tungstenite::tungstenite::Message::Binary(answer)).await.unwrap();
    assert_eq!(websocket.frames().await, [pong()]);
    assert_eq!(path, "/v1/websocket");
}

#[tokio::test]
async fn an_offer_is_followed_to_another_host_over_tls_and_posts_go_beside_it() {
    let certified = Certified::new("127.0.0.1");
    let port = Port::new(Some(&certified)).await;
    let offer = TransportOffer {
        name: "polling".into(),
        url: Some(format!("{}/else/where", port.url).into()),
        certificate_hashes: Vec::new(),
    };
    let network = network("http://127.0.0.1:1", certified.trusted());
    let mut link = Link::open(&network, Via::json(Transport::Polling), Some(offer), &[]);
    link.poll(&[ping()]);
    let answer = message(Codec::Json, &[pong()]);
    let head = port.answer(200, Codec::Json.media_type(), &answer).await;
    assert_eq!(head[0], "post /else/where http/1.1");
    assert_eq!(link.frames().await, [pong()]);
    link.post(&[ping()]);
    let head = port.answer(200, Codec::Json.media_type(), &answer).await;
    assert_eq!(head[0], "post /else/send http/1.1");
    assert!(matches!(link.report().await, Report::Post { answer: Ok(frames), .. } if frames == [pong()]));
}

#[tokio::test]
async fn an_untrusted_certificate_is_refused_and_told_in_words() {
    let certified = Certified::new("127.0.0.1");
    let port = Port::new(Some(&certified)).await;
    let host = port.url.trim_start_matches("https://");
    for (tls, why) in [
        (Certified::new("127.0.0.1").trusted(), "no root that is trusted here vouches for it".to_owned()),
        (nobody(), "no root certificate is known here".to_owned()),
        (
            Tls { certificate_hashes: vec![[7; 32]], ..nobody() },
            format!("its SHA-256 is {}, which is none of those that were named", certified.hash()),
        ),
    ] {
        assert_eq!(
            &*refusal(&port, tls).await,
            format!("{host}: the certificate of 127.0.0.1 is not trusted: {why}")
        );
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused_and_told_in_words() {
    let certified = Certified::new("elsewhere.example");
    let port = Port::new(Some(&certified)).await;
    let reason = refusal(&port, certified.trusted()).await;
    assert!(reason.contains("elsewhere.example"), "{reason}");
}

#[tokio::test]
async fn a_hash_stands_for_a_certificate_whatever_its_name_and_root() {
    let certified = Certified::new("elsewhere.example");
    let port = Port::new(Some(&certified)).await;
    let mut tls = nobody();
    tls.accept_hash(&certified.hash()).unwrap();
    let mut link = Link::open(&network(&port.url, tls), Via::json(Transport::Polling), None, &[]);
    link.poll(&[ping()]);
    port.answer(200, Codec::Json.media_type(), &message(Codec::Json, &[pong()])).await;
    assert_eq!(link.frames().await, [pong()]);
}

#[tokio::test]
async fn a_port_that_speaks_no_tls_is_no_gateway() {
    let port = Port::new(None).await;
    let url = port.url.replace("http:", "https:");
    let mut link = Link::open(&network(&url, nobody()), Via::json(Transport::Polling), None, &[]);
    link.poll(&[ping()]);
    let (plain, end) = tokio::join!(
        async {
            let mut plain = port.accept().await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut plain, b"HTTP/1.1 400 No\r\n\r\n").await.unwrap();
            plain
        },
        link.end()
    );
    drop(plain);
    assert!(matches!(end, End::Failed { outcome: AttemptOutcome::Refused, .. }), "{end:?}");
}

#[test]
fn a_hash_is_hexadecimal_with_colons_or_without() {
    let hash: String = (0..32).map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":");
    let bytes = std::array::from_fn(|index| u8::try_from(index).unwrap());
    assert_eq!(parse_hash(&hash), Some(bytes));
    assert_eq!(parse_hash(&hash.replace(':', "").to_lowercase()), Some(bytes));
    for wrong in ["", "00", &hash[..62], &format!("{hash}:20"), &hash.replace('A', "G"), "é"] {
        assert_eq!(parse_hash(wrong), None, "{wrong}");
        assert_eq!(Tls::default().accept_hash(wrong), Err(ConfigError::CertificateHash(wrong.to_owned())));
    }
}

#[test]
fn roots_are_read_from_pem_and_none_is_an_error() {
    let certified = Certified::new("localhost");
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in
        base64::Engine::encode(&base64::prelude::BASE64_STANDARD, &certified.root).as_bytes().chunks(64)
    {
        pem.push_str(std::str::from_utf8(line).unwrap());
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    let mut tls = Tls::default();
    tls.trust_pem(pem.as_bytes()).unwrap();
    assert_eq!(tls.roots, certified.trusted().roots);
    assert!(matches!(tls.trust_pem(b"nothing"), Err(ConfigError::Certificate(_))));
    assert!(matches!(tls.trust_pem(&pem.as_bytes()[..100]), Err(ConfigError::Certificate(_))));
}
