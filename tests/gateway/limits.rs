//! Each limit is crossed, met by its name and counted, and the session lives on where it should.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant, SystemTime},
};

use rustls::version::TLS13;
use serde_json::{Value, json};
use throughline::{
    broker::Pending,
    certificates::Certificates,
    gateway::{Authenticate, Credentials, Denied, Identity, LimitConfig},
    http::{
        ForwardedHeader, TrustedProxies,
        listener::{ListenerConfig, TlsConfig},
    },
    limits::Usage,
};
use throughline_wire::{Codec, SessionId};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use wtransport::{ClientConfig, Endpoint};

use crate::kit::{
    PATIENCE,
    http::{Answer, Ask},
    panics,
    running::{Plan, Running},
    secure::{Secure, config},
    speech::{Heard, Known, frames, hello},
    websocket::Socket,
};

/// A gateway that counts loopback too.
async fn limited(change: impl FnOnce(&mut Plan)) -> Running {
    let mut plan = Plan::default();
    plan.gateway.limits.address_exempt = Vec::new();
    change(&mut plan);
    Running::with(plan).await
}

fn met(gateway: &Running, limit: &str) -> u64 {
    gateway.metric(&format!("throughline_limited_total{{limit=\"{limit}\"}}"))
}

/// Until something is so that becomes so by itself.
async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{what}"));
}

fn commands(first: u64, items: Vec<Value>) -> Value {
    json!({"type": "commands", "first": first, "items": items})
}

fn send(n: u64, size: usize) -> Value {
    json!({"type": "send", "channel": "news", "data": {"n": n, "fill": "x".repeat(size)}})
}

async fn socket(gateway: &Running, hello: Value) -> Socket {
    let mut socket = Socket::open(gateway.clients, Codec::Json).await;
    socket.say_frames(&[hello]).await;
    assert!(socket.hear(|frame| frame["type"] == "welcome" || frame["type"] == "retry").await);
    socket
}

/// Says so many sends, some in a message; gives how long their replies took, and their commands in the order of these.
async fn say_all(socket: &mut Socket, sends: u64, in_a_message: u64, size: usize) -> (Duration, Vec<u64>) {
    let began = Instant::now();
    for first in (1..=sends).step_by(in_a_message as usize) {
        let items = (first..first + in_a_message).map(|n| send(n, size)).collect();
        socket.say_frames(&[commands(first, items)]).await;
    }
    let is_last = |item: &Value| item["type"] == "reply" && item["command"] == sends;
    assert!(
        socket.hear(|frame| frame["items"].as_array().is_some_and(|items| items.iter().any(is_last))).await
    );
    let items = socket.heard.0.iter().filter_map(|frame| frame["items"].as_array()).flatten();
    let replies = items.filter(|item| item["type"] == "reply" && item["ok"] == true);
    (began.elapsed(), replies.filter_map(|item| item["command"].as_u64()).collect())
}

#[tokio::test]
async fn whoever_says_too_many_commands_is_slowed_down_and_each_counts_once() {
    let gateway = limited(|plan| {
        plan.session.limits.commands_per_second = 50;
        plan.gateway.limits.commands_burst = 10;
    })
    .await;
    let mut socket = socket(&gateway, hello()).await;
    assert_eq!(socket.heard.first("welcome").unwrap()["limits"]["commandsPerSecond"], 50);
    let (took, replies) = say_all(&mut socket, 40, 5, 1).await;
    assert_eq!(replies, (1..=40).collect::<Vec<_>>());
    // 30 above the burst take 600 ms at the rate; the last message is not waited for.
    assert!(took >= Duration::from_millis(450), "{took:?}");
    assert!(met(&gateway, "session_commands") > 0);
    assert_eq!(gateway.refusals("rate_limited"), 0);
    assert!(socket.hear_all().await, "the link is the same");
}

#[tokio::test]
async fn whoever_says_too_many_bytes_is_slowed_down_and_each_command_counts_once() {
    let gateway = limited(|plan| plan.gateway.limits.bytes_per_second = 40_000).await;
    let mut socket = socket(&gateway, hello()).await;
    let (took, replies) = say_all(&mut socket, 5, 1, 25_000).await;
    assert_eq!(replies, (1..=5).collect::<Vec<_>>());
    // 25,000 above the burst of 80,000 before the last one.
    assert!(took >= Duration::from_millis(400), "{took:?}");
    assert!(met(&gateway, "session_bytes") > 0 && met(&gateway, "session_commands") == 0);
}

#[tokio::test]
async fn a_poll_and_a_post_that_hold_too_much_are_answered_later_and_taken_whole() {
    let gateway = limited(|plan| {
        plan.session.limits.commands_per_second = 50;
        plan.gateway.limits.commands_burst = 5;
    })
    .await;
    let mut known = Known::open(&gateway).await;
    let began = Instant::now();
    let first = known.next_command(&gateway);
    let hello = known.resume();
    let items = (0..25).map(|n| send(n, 1)).collect();
    let answer = Ask::frames("/v1/poll", frames(&[hello, commands(first, items)])).to(gateway.clients).await;
    known.note(&Heard::read(&answer.body));
    assert!(began.elapsed() >= Duration::from_millis(350), "20 above the burst");
    let posted = [known.named(), commands(first + 25, (0..10).map(|n| send(n, 1)).collect())];
    let answer = Ask::frames("/v1/send", frames(&posted)).to(gateway.clients).await;
    let heard = Heard::read(&answer.body);
    assert_eq!(heard.first("ack").unwrap()["upTo"], first + 34, "{heard:?}");
    assert!(began.elapsed() >= Duration::from_millis(500), "30 above the burst");
    assert_eq!((known.next_command(&gateway), gateway.refusals("rate_limited")), (first + 35, 0));
}

#[tokio::test]
async fn whoever_goes_on_all_the_same_is_refused_by_name_and_its_session_lives_on() {
    let gateway = limited(|plan| {
        plan.session.limits.commands_per_second = 100;
        plan.session.heartbeat_ms = 1_000; // nobody is held back for longer than half of it
    })
    .await;
    let mut known = Known::open(&gateway).await;
    let first = known.next_command(&gateway);
    let noops = commands(first, vec![json!({"type": "noop"}); 1_700]);
    Ask::frames("/v1/send", frames(&[known.named(), noops])).to(gateway.clients).await;
    let next = known.next_command(&gateway);
    assert_eq!(next, first + 1_700);
    // A post is not heard, and says so by having no `ack`.
    let more = [known.named(), commands(next, vec![send(1, 1)])];
    let answer = Ask::frames("/v1/send", frames(&more)).to(gateway.clients).await;
    let heard = Heard::read(&answer.body);
    assert_eq!((heard.codes(), heard.first("ack")), (vec!["rate_limited"], None));
    // A link is told when to come back.
    let hello = known.resume();
    let mut refused = socket(&gateway, hello).await;
    assert!(!refused.hear(|_| false).await);
    let retry = refused.heard.first("retry").unwrap();
    assert_eq!((refused.heard.codes(), refused.close), (vec!["rate_limited"], Some(4001)));
    assert!((10_000..=15_500).contains(&retry["delayMs"].as_u64().unwrap()), "{retry}");
    assert_eq!((gateway.refusals("rate_limited"), known.next_command(&gateway)), (2, next));
    assert_eq!(met(&gateway, "session_commands"), 1);
    // And is the same session once some of it is paid for.
    let going_on = async { while !known.look(&gateway).await.1 {} };
    timeout(PATIENCE, going_on).await.expect("it is heard again");
}

/// Everybody is who they say they are.
struct Gullible;

impl Authenticate for Gullible {
    fn authenticate<'a>(&'a self, credentials: &'a Credentials) -> Pending<'a, Result<Identity, Denied>> {
        let user = credentials.token.as_ref().map(|token| token.reveal().into());
        Box::pin(std::future::ready(Ok(Identity { user, ..Identity::default() })))
    }
}

fn hello_of(user: &str) -> Value {
    let mut hello = hello();
    hello["auth"] = user.into();
    hello
}

#[tokio::test]
async fn a_user_has_so_many_sessions_and_is_told_when_to_come_back_for_another() {
    let gateway = limited(|plan| {
        plan.build = |builder| builder.authenticate(Gullible);
        plan.gateway.limits.user_sessions = 2;
    })
    .await;
    let mut first = socket(&gateway, hello_of("ann")).await;
    let mut second = socket(&gateway, hello_of("ann")).await;
    let mut third = socket(&gateway, hello_of("ann")).await;
    assert!(!third.hear(|_| false).await);
    let retry = third.heard.first("retry").unwrap();
    assert_eq!((third.heard.codes(), third.close), (vec!["too_many_sessions"], Some(4001)));
    assert_eq!((&retry["reason"], &retry["delayMs"]), (&json!("overload"), &json!(5_000)));
    assert_eq!((met(&gateway, "user_sessions"), gateway.refusals("too_many_sessions")), (1, 1));
    assert!(
        socket(&gateway, hello_of("bob")).await.heard.retry().is_none(),
        "another user is another matter"
    );
    assert!(first.hear_all().await && second.hear_all().await);
    first.say_frames(&[json!({"type": "bye"})]).await;
    assert!(!first.hear(|_| false).await);
    assert!(socket(&gateway, hello_of("ann")).await.heard.retry().is_none(), "there is room again");
    assert_eq!(gateway.handle.session_count(), 3);
}

#[tokio::test]
async fn the_sessions_of_a_user_share_its_commands_and_those_of_nobody_their_address_s() {
    let gateway = limited(|plan| {
        plan.build = |builder| builder.authenticate(Gullible);
        plan.gateway.limits.user_commands_per_second = 20; // and 40 at once
        plan.gateway.limits.address_commands_per_second = 20;
    })
    .await;
    for (hello, limit) in [(hello_of("ann"), "user_commands"), (hello(), "address_commands")] {
        for _ in 0..2 {
            assert_eq!(met(&gateway, limit), 0);
            let mut socket = socket(&gateway, hello.clone()).await;
            say_all(&mut socket, 39, 39, 1).await;
        }
        assert_eq!((met(&gateway, limit), met(&gateway, "session_commands")), (1, 0));
    }
}

#[tokio::test]
async fn whoever_owes_too_much_is_not_heard_by_way_of_a_new_session_and_others_are() {
    let gateway = limited(|plan| {
        plan.build = |builder| builder.authenticate(Gullible);
        plan.gateway.limits.user_commands_per_second = 20;
    })
    .await;
    let mut first = socket(&gateway, hello_of("ann")).await;
    first.say_frames(&[commands(1, vec![json!({"type": "noop"}); 1_000])]).await;
    assert!(first.hear(|frame| frame["upTo"] == 1_000 || frame["ack"] == 1_000).await);
    let answer = Ask::frames("/v1/poll", frames(&[hello_of("ann")])).to(gateway.clients).await;
    let heard = Heard::read(&answer.body);
    assert_eq!((heard.codes(), heard.retry()), (vec!["rate_limited"], Some("overload")));
    let answer = Ask::frames("/v1/poll", frames(&[hello_of("bob")])).to(gateway.clients).await;
    assert!(Heard::read(&answer.body).first("welcome").is_some());
}

#[tokio::test]
async fn from_an_address_come_so_many_sessions_and_those_there_are_go_on() {
    let gateway = limited(|plan| plan.gateway.limits.address_sessions = 2).await;
    let (mut first, second) = (Known::open(&gateway).await, Known::open(&gateway).await);
    let answer = Ask::frames("/v1/poll", frames(&[hello()])).to(gateway.clients).await;
    let heard = Heard::read(&answer.body);
    assert_eq!((heard.codes(), heard.retry()), (vec!["too_many_sessions"], Some("overload")));
    assert_eq!(answer.value("retry-after"), Some("5"));
    assert_eq!(met(&gateway, "address_sessions"), 1);
    assert!(first.look(&gateway).await.1);
    Ask::frames("/v1/send", frames(&[second.named(), json!({"type": "bye"})])).to(gateway.clients).await;
    Known::open(&gateway).await;
}

/// Asks for what there always is, on a connection of its own.
async fn knock(gateway: &Running) -> Answer {
    Ask::get("/v1/negotiate").to(gateway.clients).await
}

#[track_caller]
fn is_turned_away(answer: &Answer, code: &str) {
    let heard = Heard::read(&answer.body);
    assert_eq!(
        (answer.status, heard.codes(), heard.retry()),
        (503, vec![code], Some("overload")),
        "{answer:?}"
    );
    assert_eq!(answer.value("retry-after"), Some("5"));
}

#[tokio::test]
async fn from_an_address_come_so_many_connections_and_those_there_are_go_on() {
    let gateway = limited(|plan| plan.gateway.limits.address_connections = 2).await;
    let mut first = socket(&gateway, hello()).await;
    let second = socket(&gateway, hello()).await;
    is_turned_away(&knock(&gateway).await, "too_many_connections");
    assert_eq!(met(&gateway, "address_connections"), 1);
    assert!(first.hear_all().await);
    drop(second);
    until("there is room again", async || knock(&gateway).await.status == 200).await;
}

#[tokio::test]
async fn from_an_address_so_many_connections_are_begun_and_those_there_are_go_on() {
    let gateway = limited(|plan| {
        plan.gateway.limits.address_handshakes_per_second = 1;
        plan.gateway.limits.address_handshakes_burst = 3;
    })
    .await;
    let mut socket = socket(&gateway, hello()).await;
    let mut answer = knock(&gateway).await;
    while answer.status == 200 {
        answer = knock(&gateway).await;
    }
    is_turned_away(&answer, "rate_limited");
    assert_eq!(met(&gateway, "address_handshakes"), 1);
    assert!(socket.hear_all().await);
}

#[tokio::test]
async fn what_is_exempt_is_not_counted() {
    let gateway = limited(|plan| {
        plan.gateway.limits =
            LimitConfig { address_connections: 1, address_sessions: 1, ..LimitConfig::default() };
    })
    .await;
    let (_first, _second) = (socket(&gateway, hello()).await, socket(&gateway, hello()).await);
    assert_eq!(gateway.handle.session_count(), 2);
}

#[tokio::test]
async fn a_trusted_proxy_has_as_many_connections_as_it_likes() {
    let gateway = limited(|plan| {
        plan.gateway.limits =
            LimitConfig { address_exempt: Vec::new(), address_connections: 1, ..LimitConfig::default() };
        plan.gateway.proxies = TrustedProxies::new(["127.0.0.1"], ForwardedHeader::XForwardedFor).unwrap();
    })
    .await;
    let (_first, _second) = (socket(&gateway, hello()).await, socket(&gateway, hello()).await);
    assert_eq!((gateway.handle.session_count(), met(&gateway, "address_connections")), (2, 0));
}

#[tokio::test]
async fn over_tls_and_by_udp_whoever_is_too_many_is_turned_away_and_counted() {
    let certificates = Certificates::development(["localhost", "127.0.0.1"], SystemTime::now()).unwrap();
    let limits = LimitConfig { address_exempt: Vec::new(), address_connections: 1, ..LimitConfig::default() };
    let gateway =
        Secure::limited(&certificates, ListenerConfig::default(), TlsConfig::default(), limits).await;
    let met = |times: u64| {
        let series = format!("throughline_limited_total{{limit=\"address_connections\"}} {times}");
        gateway.handle.metrics().lines().any(|line| line == series)
    };
    let held = TcpStream::connect(gateway.clients).await.unwrap();
    // Nothing of TLS is computed for another.
    let mut another = TcpStream::connect(gateway.clients).await.unwrap();
    let _ = another.write_all(b"\x16\x03\x01").await;
    let mut heard = Vec::new();
    let _ = timeout(PATIENCE, another.read_to_end(&mut heard)).await.expect("it is closed");
    assert!(heard.is_empty() && met(1), "{heard:?}");
    // By QUIC an address is known to be its client's once the handshake is done.
    let config = ClientConfig::builder().with_bind_default().with_custom_tls(config(&[b"h3"], &[&TLS13]));
    let client = Endpoint::client(config.build()).unwrap();
    let url = format!("https://127.0.0.1:{}/v1/webtransport", gateway.clients.port());
    if let Ok(connection) = client.connect(&url).await {
        let opening = async {
            let _stream = connection.open_bi().await.ok()?.await;
            Some(connection.closed().await)
        };
        timeout(PATIENCE, opening).await.expect("it is closed");
    }
    assert!(met(2));
    drop(held);
    panics::assert_none();
}

/// What the gateway of the test below believes to use, in percent.
static USED: AtomicU64 = AtomicU64::new(0);

#[tokio::test]
async fn short_of_memory_nobody_new_is_let_in_and_who_was_there_goes_on() {
    let gateway = limited(|plan| {
        plan.gateway.limits.memory_bytes = 100;
        plan.build = |builder| {
            builder
                .machine(|| Usage { memory_bytes: Some(USED.load(Ordering::Relaxed)), open_files: Some(10) })
        };
    })
    .await;
    let pressure = "throughline_pressure{limit=\"memory\"}";
    let mut known = Known::open(&gateway).await;
    USED.store(92, Ordering::Relaxed);
    until("it is noticed", async || gateway.metric(pressure) == 1).await;
    let mut refused = socket(&gateway, hello()).await;
    assert!(!refused.hear(|_| false).await);
    assert_eq!((refused.heard.codes(), refused.close), (vec!["overloaded"], Some(4001)));
    assert_eq!((refused.heard.retry(), met(&gateway, "memory")), (Some("overload"), 1));
    assert!(known.look(&gateway).await.1, "a session that is held is taken up");
    USED.store(99, Ordering::Relaxed);
    until("it is noticed", async || gateway.metric(pressure) == 2).await;
    is_turned_away(&knock(&gateway).await, "overloaded");
    assert!(gateway.handle.session(SessionId::parse(&known.id).unwrap()).is_some());
    assert_eq!(gateway.metric("throughline_memory_bytes{of=\"limit\"}"), 100);
    USED.store(10, Ordering::Relaxed);
    until("there is room again", async || gateway.metric(pressure) == 0).await;
    Known::open(&gateway).await;
}

/// The first words of an event stream whose client has hardly any room, and takes no more than these.
#[cfg(target_os = "linux")]
async fn stalled(gateway: &Running, hello: Value) -> (TcpStream, String) {
    let hello = frames(&[hello, commands(1, vec![json!({"type": "subscribe", "channel": "news"})])]);
    let head =
        format!("POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", hello.len());
    let mut stream = narrow(gateway, &(head + &hello)).await;
    let (mut text, mut piece) = (String::new(), [0; 256]);
    while !text.contains("subscribed") {
        let length = timeout(PATIENCE, stream.read(&mut piece)).await.unwrap().unwrap();
        assert!(length > 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&piece[..length]));
    }
    (stream, text)
}

/// A client that has hardly any room, and has asked for this.
#[cfg(target_os = "linux")]
async fn narrow(gateway: &Running, request: &str) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stream = socket.connect(gateway.clients).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn whoever_takes_nothing_is_cut_and_counted_and_its_session_waits_for_it() {
    let gateway = limited(|plan| plan.listener.write_timeout = Duration::from_millis(300)).await;
    let (stream, text) = stalled(&gateway, hello()).await;
    let publish = json!({"channel": "news", "data": "x".repeat(8_000)}).to_string();
    until("it is cut", async || {
        Ask::json("/api/v1/publish", &publish).to(gateway.admin).await;
        met(&gateway, "write_time") > 0
    })
    .await;
    assert_eq!(met(&gateway, "write_time"), 1, "once");
    let (_, welcome) = text.split_once("\"session\":\"").expect("a welcome");
    let session = SessionId::parse(welcome.split('"').next().unwrap()).unwrap();
    until("the link has ended", async || {
        gateway.handle.session(session).expect("it lives on").transport.is_none()
    })
    .await;
    drop(stream);
}

/// What the system holds for clients that do not read, with the bound on what is unsent and without:
/// `cargo test --release --test gateway limits::what_stalled -- --ignored --nocapture`.
#[cfg(target_os = "linux")]
#[tokio::test]
#[ignore = "it measures the whole machine: nothing else may talk by TCP meanwhile"]
async fn what_stalled_clients_cost_in_the_kernel() {
    for unsent_bytes in [0, 16 * 1024, 32 * 1024, 128 * 1024] {
        let gateway = limited(|plan| plan.listener.unsent_bytes = unsent_bytes).await;
        let before = kernel_bytes();
        let mut clients = Vec::new();
        for _ in 0..STALLED {
            // No window of what is unacknowledged holds back an event stream by address.
            let request = "GET /v1/events?channel=news HTTP/1.1\r\nhost: localhost\r\n\r\n";
            let mut client = narrow(&gateway, request).await;
            client.read_exact(&mut [0; 16]).await.unwrap();
            clients.push(client);
        }
        for n in 0..600 {
            let publish =
                json!({"channel": "news", "data": "x".repeat(8_000), "key": n.to_string()}).to_string();
            Ask::json("/api/v1/publish", &publish).to(gateway.admin).await;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        let each = (kernel_bytes() - before) / STALLED as i64;
        println!("unsent_bytes = {unsent_bytes}: {each} bytes of kernel memory for each stalled client");
    }
}

#[cfg(target_os = "linux")]
const STALLED: usize = 100;

/// What all TCP sockets of the machine hold: pages of 4 KiB.
#[cfg(target_os = "linux")]
fn kernel_bytes() -> i64 {
    let text = std::fs::read_to_string("/proc/net/sockstat").unwrap();
    let tcp = text.lines().find(|line| line.starts_with("TCP:")).unwrap();
    let pages: i64 = tcp.rsplit(' ').next().unwrap().parse().unwrap();
    pages * 4_096
}
