//! The link against a gateway's end of WebTransport that says what the test says.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use throughline_wire::{
    AttemptOutcome, ChannelName, CloseCode, Codec, DecodeLimits, DownFrame, Payload, RetryReason, UpFrame,
    frame::{Retry, TransportOffer, VolatileDown, VolatileUp},
};
use tokio::net::UdpSocket;
use wtransport::VarInt;

use crate::{
    config::{Transport, Via},
    core::session::End,
    transport::{
        Report, Say,
        dial::{Dial, Dialing, Resolving},
        proxy::ProxyDial,
        testing::{Certified, Gate, Guest, Link, Port, message, network, network_by, nobody},
    },
};

const BOTH: [Codec; 2] = [Codec::Json, Codec::Bincode];

/// An address that is never called, since the offer is known.
const ELSEWHERE: &str = "http://127.0.0.1:1";

const fn via(codec: Codec) -> Via {
    Via { transport: Transport::WebTransport, codec }
}

/// A link and its guest, which have met.
async fn meet(codec: Codec, hello: &[UpFrame]) -> (Link, Guest, Gate) {
    let certified = Certified::new("localhost");
    let gate = Gate::new(&certified);
    let offer = gate.offer(&[certified.hash()]);
    let mut link = Link::open(&network(ELSEWHERE, nobody()), via(codec), Some(offer), hello);
    let guest = gate.accept().await;
    assert!(matches!(link.report().await, Report::Opened));
    (link, guest, gate)
}

fn ping(nonce: u64) -> UpFrame {
    UpFrame::Ping { nonce: Some(nonce) }
}

fn pong(nonce: u64) -> DownFrame {
    DownFrame::Pong { nonce: Some(nonce), window_ms: None }
}

fn up(seq: u64, bytes: usize) -> UpFrame {
    let channel = ChannelName::parse("cursors").unwrap();
    UpFrame::Volatile(VolatileUp { channel, name: None, seq, payload: Payload::Bytes(vec![7; bytes].into()) })
}

fn down(seq: u64, bytes: usize) -> DownFrame {
    DownFrame::Volatile(VolatileDown {
        channel: ChannelName::parse("cursors").unwrap(),
        name: None,
        time: 0,
        seq,
        sender: None,
        payload: Payload::Bytes(vec![7; bytes].into()),
    })
}

/// Why a link was refused, in words.
async fn refusal(link: &mut Link) -> String {
    match link.end().await {
        End::Failed { outcome: AttemptOutcome::Refused, reason } => reason.into(),
        end => panic!("refused, and not {end:?}"),
    }
}

#[tokio::test]
async fn what_is_said_is_heard_and_answered_in_both_codecs() {
    for codec in BOTH {
        let (mut link, mut guest, _gate) = meet(codec, &[ping(1)]).await;
        assert_eq!(guest.path, "/v1/webtransport");
        assert_eq!(guest.protocols.as_deref(), Some(&*format!("\"{}\"", codec.name())));
        assert_eq!(guest.hear(codec).await, [ping(1)]);
        guest.say(codec, &[pong(1), pong(2)]).await;
        let mut heard = link.frames().await;
        while heard.len() < 2 {
            heard.extend(link.frames().await);
        }
        assert_eq!(heard, [pong(1), pong(2)]);
        link.say(&[ping(3)]);
        assert_eq!(guest.hear(codec).await, [ping(3)]);
    }
}

#[tokio::test]
async fn a_link_may_stand_before_it_has_anything_to_say() {
    let (link, mut guest, _gate) = meet(Codec::Bincode, &[]).await;
    link.say(&[ping(1)]);
    assert_eq!(guest.hear(Codec::Bincode).await, [ping(1)]);
}

#[tokio::test]
async fn frames_of_any_size_go_both_ways_whole() {
    for codec in BOTH {
        let (mut link, mut guest, _gate) = meet(codec, &[up(1, 300_000)]).await;
        assert_eq!(guest.hear(codec).await, [up(1, 300_000)]);
        guest.say(codec, &[down(2, 300_000)]).await;
        assert_eq!(link.frames().await, [down(2, 300_000)]);
    }
}

#[tokio::test]
async fn what_may_be_lost_goes_as_a_datagram_where_it_fits_and_as_a_message_where_not() {
    for codec in BOTH {
        let (link, mut guest, _gate) = meet(codec, &[]).await;
        link.cast(up(1, 100));
        let datagram = guest.connection.receive_datagram().await.unwrap();
        let frames: Vec<_> =
            codec.up_frames(&datagram, DecodeLimits::default()).map(Result::unwrap).collect();
        assert_eq!(frames, [up(1, 100)]);
        link.cast(up(2, 60_000));
        assert_eq!(guest.hear(codec).await, [up(2, 60_000)]);
    }
}

#[tokio::test]
async fn datagrams_bring_what_may_be_lost_and_nothing_else() {
    for codec in BOTH {
        let (mut link, guest, _gate) = meet(codec, &[]).await;
        guest.connection.send_datagram(b"{").unwrap();
        guest.connection.send_datagram(message(codec, &[pong(1)])).unwrap();
        guest.connection.send_datagram(message(codec, &[down(2, 100)])).unwrap();
        assert_eq!(link.frames().await, [down(2, 100)]);
    }
}

#[tokio::test]
async fn a_certificate_that_the_gateway_did_not_name_is_refused_and_told() {
    let (certified, other) = (Certified::new("localhost"), Certified::new("localhost"));
    let gate = Gate::new(&certified);
    // Its root is trusted: named hashes count alone, as in a browser.
    let network = network(ELSEWHERE, certified.trusted());
    let mut link = Link::open(&network, via(Codec::Json), Some(gate.offer(&[other.hash()])), &[]);
    let (_, reason) = tokio::join!(gate.fail(), refusal(&mut link));
    assert_eq!(
        reason,
        format!(
            "the certificate of 127.0.0.1 is not trusted: its SHA-256 is {}, which is none of those that were named",
            certified.hash()
        )
    );
}

#[tokio::test]
async fn either_of_two_named_certificates_is_accepted_and_a_new_offer_brings_new_ones() {
    let (old, new) = (Certified::new("localhost"), Certified::new("localhost"));
    let network = network(ELSEWHERE, nobody());
    for certified in [&old, &new] {
        let gate = Gate::new(certified);
        let offer = gate.offer(&[old.hash(), new.hash()]);
        let mut link = Link::open(&network, via(Codec::Json), Some(offer), &[]);
        gate.accept().await;
        assert!(matches!(link.report().await, Report::Opened));
    }
    let gate = Gate::new(&new);
    let mut link = Link::open(&network, via(Codec::Json), Some(gate.offer(&[old.hash()])), &[]);
    let ((), _) = tokio::join!(gate.fail(), refusal(&mut link));
    let mut link = Link::open(&network, via(Codec::Json), Some(gate.offer(&[new.hash()])), &[]);
    gate.accept().await;
    assert!(matches!(link.report().await, Report::Opened));
}

#[tokio::test]
async fn where_no_certificate_is_named_a_root_vouches_for_it() {
    let certified = Certified::new("127.0.0.1");
    let gate = Gate::new(&certified);
    let mut link =
        Link::open(&network(ELSEWHERE, certified.trusted()), via(Codec::Json), Some(gate.offer(&[])), &[]);
    gate.accept().await;
    assert!(matches!(link.report().await, Report::Opened));

    let stranger = Certified::new("127.0.0.1");
    let mut link =
        Link::open(&network(ELSEWHERE, stranger.trusted()), via(Codec::Json), Some(gate.offer(&[])), &[]);
    let ((), reason) = tokio::join!(gate.fail(), refusal(&mut link));
    assert!(reason.ends_with("no root that is trusted here vouches for it"), "{reason}");
}

#[tokio::test]
async fn over_plain_http_the_gateway_is_asked_where_it_is_and_what_to_accept() {
    let certified = Certified::new("localhost");
    let gate = Gate::new(&certified);
    let port = Port::new(None).await;
    let mut link = Link::open(&network(&format!("{}/live", port.url), nobody()), via(Codec::Json), None, &[]);
    let answer = format!(
        r#"{{"version":0,"transports":[{{"name":"sse","url":"events"}},{{"name":"webtransport",
            "url":"https://{}/elsewhere?a=b","certificateHashes":["{}"]}}],"later":null}}"#,
        gate.address,
        certified.hash()
    );
    let head = port.answer(200, "application/json", answer.as_bytes()).await;
    assert_eq!(head[0], "get /live/v1/negotiate http/1.1");
    assert_eq!(gate.accept().await.path, "/elsewhere?a=b");
    assert!(matches!(link.report().await, Report::Opened));
}

#[tokio::test]
async fn a_gateway_that_does_not_offer_it_is_not_tried() {
    for (status, body, end) in [
        (200, r#"{"transports":[{"name":"polling","url":"poll"}]}"#, AttemptOutcome::Unsupported),
        (200, "{}", AttemptOutcome::Unsupported),
    ] {
        let port = Port::new(None).await;
        let mut link = Link::open(&network(&port.url, nobody()), via(Codec::Json), None, &[]);
        port.answer(status, "application/json", body.as_bytes()).await;
        let ended = link.end().await;
        assert!(matches!(&ended, End::Failed { outcome, .. } if *outcome == end), "{ended:?}");
    }
    let port = Port::new(None).await;
    let mut link = Link::open(&network(&port.url, nobody()), via(Codec::Json), None, &[]);
    port.answer(404, "text/html", b"nothing here").await;
    assert_eq!(link.end().await, End::Refused { status: 404, retry_after: None });
    let mut link = Link::open(&network(&port.url, nobody()), via(Codec::Json), None, &[]);
    port.answer(200, "text/html", b"<p>Sign in to the hotel's network").await;
    assert!(matches!(link.end().await, End::Protocol(_)));
}

#[tokio::test]
async fn a_session_that_is_refused_says_so() {
    let certified = Certified::new("localhost");
    let gate = Gate::new(&certified);
    let offer = gate.offer(&[certified.hash()]);
    let mut link = Link::open(&network(ELSEWHERE, nobody()), via(Codec::Json), Some(offer), &[]);
    let ((), reason) = tokio::join!(gate.refuse(), refusal(&mut link));
    assert_eq!(reason, format!("{} refused the WebTransport session", gate.address));
}

#[tokio::test]
async fn a_gateway_that_says_goodbye_is_heard_to_the_end_and_let_go() {
    let (mut link, mut guest, _gate) = meet(Codec::Json, &[]).await;
    let retry = DownFrame::Retry(Retry {
        delay_ms: 5,
        spread_ms: 0,
        reason: RetryReason::Drain,
        slot: None,
        transports: None,
        is_final: false,
    });
    guest.say(Codec::Json, std::slice::from_ref(&retry)).await;
    guest.down.finish().await.unwrap();
    assert_eq!(link.frames().await, [retry]);
    assert_eq!(link.end().await, End::Lost("the gateway ended the stream".into()));
    assert_eq!(guest.code().await, u64::from(CloseCode::NORMAL.0));
}

#[tokio::test]
async fn a_gateway_that_closes_is_heard_to_the_end_and_its_code_is_told() {
    for (code, end) in [
        (4_001, End::Closed(4_001)),
        (1_001, End::Closed(1_001)),
        // HTTP/3's own.
        (0x100, End::Lost("connection closed by peer: 256".into())),
    ] {
        let (mut link, mut guest, _gate) = meet(Codec::Json, &[]).await;
        guest.say(Codec::Json, &[pong(1)]).await;
        assert_eq!(link.frames().await, [pong(1)]);
        guest.connection.close(VarInt::from_u32(code), b"");
        assert_eq!(link.end().await, end);
    }
}

#[tokio::test]
async fn a_stream_that_is_reset_tells_its_code() {
    let (mut link, mut guest, _gate) = meet(Codec::Json, &[]).await;
    let first = 0x52e4_a40f_a8db_u64;
    guest.down.reset((first + 4_301 + 4_301 / 0x1e).try_into().unwrap()).unwrap();
    assert_eq!(link.end().await, End::Closed(4_301));
}

#[tokio::test]
async fn a_goodbye_is_said_after_the_rest_and_waits_for_the_gateways() {
    let (mut link, mut guest, _gate) = meet(Codec::Json, &[]).await;
    link.say(&[ping(1)]);
    link.say(&[ping(2)]);
    assert!(link.task.say(Say::Goodbye));
    let mut heard = guest.hear(Codec::Json).await;
    while heard.len() < 2 {
        heard.extend(guest.hear(Codec::Json).await);
    }
    assert_eq!(heard, [ping(1), ping(2)]);
    guest.hear_the_end().await;
    guest.say(Codec::Json, &[pong(2)]).await;
    guest.down.finish().await.unwrap();
    assert_eq!(link.frames().await, [pong(2)]);
    assert_eq!(link.end().await, End::Lost("the gateway ended the stream".into()));
    assert_eq!(guest.code().await, u64::from(CloseCode::NORMAL.0));
}

#[tokio::test]
async fn what_cannot_be_read_ends_the_link_and_is_told_to_the_gateway() {
    let (mut link, mut guest, _gate) = meet(Codec::Json, &[]).await;
    guest.down.write_all(b"no frame\n").await.unwrap();
    assert!(matches!(link.end().await, End::Protocol(_)));
    assert_eq!(guest.code().await, u64::from(CloseCode::PROTOCOL_ERROR.0));
}

#[tokio::test]
async fn a_frame_without_end_is_not_kept() {
    let (mut link, mut guest, _gate) = meet(Codec::Json, &[]).await;
    let endless = vec![b' '; DecodeLimits::default().frame_bytes + 2];
    let (_, end) = tokio::join!(guest.down.write_all(&endless), link.end());
    assert!(matches!(end, End::Protocol(_)), "{end:?}");
}

#[tokio::test]
async fn dropping_a_link_cuts_it_at_once() {
    let (link, guest, gate) = meet(Codec::Json, &[ping(1)]).await;
    drop(link);
    assert_eq!(guest.code().await, 0);
    gate.wait_idle().await;
}

#[tokio::test]
async fn dropping_a_link_cuts_a_handshake_that_hangs() {
    let certified = Certified::new("localhost");
    let gate = Gate::new(&certified);
    let offer = gate.offer(&[certified.hash()]);
    let link = Link::open(&network(ELSEWHERE, nobody()), via(Codec::Json), Some(offer), &[]);
    let _unanswered = gate.ignore().await;
    drop(link);
    // A client that is still there would keep its connection alive.
    gate.wait_idle().await;
}

#[tokio::test]
async fn a_handshake_that_is_never_answered_is_given_up_and_told_from_a_blocked_port() {
    let certified = Certified::new("localhost");
    let gate = Gate::new(&certified);
    let mut network = network_by(ELSEWHERE, nobody(), Arc::new(crate::TcpDial));
    network.connect = Duration::from_secs(1);
    let network = Arc::new(network);
    let mut hung = Link::open(&network, via(Codec::Json), Some(gate.offer(&[certified.hash()])), &[]);

    let silence = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let offer = TransportOffer {
        url: Some(format!("https://{}/", silence.local_addr().unwrap()).into()),
        ..gate.offer(&[certified.hash()])
    };
    let mut blocked = Link::open(&network, via(Codec::Json), Some(offer), &[]);

    let _unanswered = gate.ignore().await;
    let end = hung.end().await;
    assert!(matches!(end, End::Failed { outcome: AttemptOutcome::Hung, .. }), "{end:?}");
    let end = blocked.end().await;
    assert!(matches!(end, End::Failed { outcome: AttemptOutcome::Blocked, .. }), "{end:?}");
}

/// Sends datagrams to where the test says, whatever the name.
struct Detour(Vec<SocketAddr>);

impl Dial for Detour {
    fn dial<'a>(&'a self, _: &'a str, _: u16) -> Dialing<'a> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }

    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a> {
        assert_eq!((host, port), ("gateway.example", 7));
        let addresses = self.0.clone();
        Box::pin(async move { Ok(addresses) })
    }
}

#[tokio::test]
async fn datagrams_go_where_the_dial_says_and_to_the_address_that_answers() {
    let certified = Certified::new("gateway.example");
    let gate = Gate::new(&certified);
    let silence = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let dial = Detour(vec![silence.local_addr().unwrap(), gate.address]);
    let network = Arc::new(network_by("https://gateway.example:7", certified.trusted(), Arc::new(dial)));
    // Nothing was offered: over https it is where it always is.
    let mut link = Link::open(&network, via(Codec::Json), None, &[]);
    let guest = gate.accept().await;
    assert_eq!(guest.path, "/v1/webtransport");
    assert_eq!(guest.authority, "gateway.example:7");
    assert!(matches!(link.report().await, Report::Opened));
}

#[tokio::test]
async fn behind_an_http_proxy_it_fails_at_once() {
    let proxy = ProxyDial::new("http://proxy.example:3128").unwrap();
    let network = Arc::new(network_by("https://gateway.example", nobody(), Arc::new(proxy)));
    let mut link = Link::open(&network, via(Codec::Json), None, &[]);
    let end = link.end().await;
    assert!(matches!(end, End::Failed { outcome: AttemptOutcome::Unsupported, .. }), "{end:?}");
}
