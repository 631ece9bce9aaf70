//! 100,000 forged hellos beside 1,000 honest resumes, against a gateway in a process of its own.
//!
//! What is asserted are counts: every forged one is refused by name, every honest one is let in at once. How long the
//! honest ones took is printed, with the flood and without; on two cores the flood's own work is in it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use throughline::auth::{Jwt, JwtConfig, Key};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::interval,
};

use crate::kit::{
    http::Ask,
    issued::Folder,
    process::Serve,
    speech::{Heard, hello},
};

const FORGED: u64 = 100_000;
const HONEST: usize = 1_000;
/// From one honest resume to the next.
const PACE: Duration = Duration::from_millis(2);
/// How many forge at once.
const AT_ONCE: usize = 16;
const SECRET: &str = "a secret of the tests, and of nobody else";

/// A connection that is kept for the next request.
struct Line {
    stream: TcpStream,
    held: Vec<u8>,
}

impl Line {
    async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a listener");
        stream.set_nodelay(true).expect("a socket");
        Self { stream, held: Vec::new() }
    }

    /// Polls once.
    async fn poll(&mut self, frame: &Value) -> Heard {
        let body = frame.to_string();
        let head = format!("POST /v1/poll HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n", body.len());
        let request = format!("{head}content-type: text/plain\r\n\r\n{body}");
        self.stream.write_all(request.as_bytes()).await.expect("a connection");
        loop {
            if let Some(end) = self.held.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.held[..end]).to_ascii_lowercase();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                let length: usize = length.map_or(0, |length| length.parse().expect("a number"));
                if self.held.len() >= end + 4 + length {
                    let heard = Heard::read(&self.held[end + 4..end + 4 + length]);
                    self.held.drain(..end + 4 + length);
                    return heard;
                }
            }
            assert_ne!(self.stream.read_buf(&mut self.held).await.expect("a connection"), 0, "it was closed");
        }
    }
}

fn token(user: &str, secret: &str) -> String {
    let key = Key::new(Some("a"), "HS256".parse().unwrap(), secret.as_bytes()).unwrap();
    let claims = json!({"sub": user, "exp": 32_503_680_000_u64});
    Jwt::new(vec![key], JwtConfig::default(), || 0).unwrap().mint(claims.as_object().unwrap()).unwrap()
}

fn hello_of(user: &str, secret: &str) -> Value {
    let mut hello = hello();
    hello["auth"] = token(user, secret).into();
    hello
}

/// Has every session come back once, at this attach number, one every [`PACE`]; gives how long each took, in order.
async fn come_back(address: SocketAddr, sessions: &[Value], attach: u64) -> Vec<Duration> {
    let (mut tasks, mut every) = (JoinSet::new(), interval(PACE));
    for hello in sessions {
        every.tick().await;
        let mut hello = hello.clone();
        hello["attach"] = attach.into();
        tasks.spawn(async move {
            let began = Instant::now();
            let heard = Line::open(address).await.poll(&hello).await;
            let took = began.elapsed();
            let welcome = heard.first("welcome").unwrap_or_else(|| panic!("sent away: {heard:?}"));
            assert_eq!(welcome["resumed"], true, "{heard:?}");
            took
        });
    }
    let mut took = tasks.join_all().await;
    took.sort_unstable();
    took
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "100,000 requests: a run of its own, see docs/security.md"]
async fn forged_hellos_beside_honest_resumes() {
    let folder = Folder::new("flood");
    let file = folder.path("throughline.toml");
    // At this rate nobody waits for a place: what is left to wait for is the machine.
    let session = "[session]\nadmission_rate = 1_000_000\nprovisional_ms = 60_000\n";
    let config =
        format!("[[auth.keys]]\nid = \"a\"\nalgorithm = \"HS256\"\nsecret = \"{SECRET}\"\n{session}");
    std::fs::write(&file, config).expect("a file");
    let serve = Serve::start(&["--config", &file, "--log", "error"]);
    let (address, admin) = (serve.client_address(), serve.admin_address());
    let mut sessions = Vec::new();
    let mut line = Line::open(address).await;
    for n in 0..HONEST {
        let mut hello = hello_of(&format!("user {n}"), SECRET);
        let heard = line.poll(&hello).await;
        let welcome = heard.first("welcome").unwrap_or_else(|| panic!("{heard:?}"));
        hello["client"] = json!({"name": "test", "version": "1"}); // so that each is told everything, at once
        hello["resume"] =
            json!({"token": welcome["token"], "incarnation": welcome["incarnation"], "after": 0, "low": 1});
        sessions.push(hello);
    }
    let alone = come_back(address, &sessions, 2).await;

    let forged = Arc::new(AtomicU64::new(0));
    let mut flood = JoinSet::new();
    for own in sessions.iter().take(AT_ONCE) {
        let (forged, own) = (Arc::clone(&forged), own.clone());
        flood.spawn(async move {
            let mut line = Line::open(address).await;
            let mut hello = hello_of("user 0", "another secret, which is long enough too");
            while forged.fetch_add(1, Ordering::Relaxed) < FORGED {
                hello["resume"] = own["resume"].clone(); // somebody else's session, and a forged name
                let heard = line.poll(&hello).await;
                assert_eq!(heard.retry(), Some("unauthorized"), "{heard:?}");
            }
        });
    }
    while forged.load(Ordering::Relaxed) < 1_000 {
        tokio::task::yield_now().await;
    }
    let beside = come_back(address, &sessions, 3).await;
    let at_their_end = forged.load(Ordering::Relaxed);
    flood.join_all().await;

    let metrics = Ask::get("/metrics").to(admin).await.text();
    assert!(metrics.contains(&format!("throughline_refusals_total{{code=\"unauthorized\"}} {FORGED}\n")));
    let admitted = "throughline_admissions_total{class=\"resume\",verdict=\"";
    for verdict in ["appointed", "windowed"] {
        assert!(
            metrics.contains(&format!("{admitted}{verdict}\"}} 0\n")),
            "none of the honest was sent away"
        );
    }
    let ms = |took: &[Duration], part: usize| took[took.len() * part / 100].as_secs_f64() * 1_000.0;
    let beside_it = at_their_end.min(FORGED);
    println!("{HONEST} honest resumes, one every {PACE:?}, beside {beside_it} of {FORGED} forged hellos");
    for part in [50, 99] {
        let (alone, beside) = (ms(&alone, part), ms(&beside, part));
        println!("{part} %: {alone:.2} ms alone, {beside:.2} ms beside the flood, x {:.2}", beside / alone);
    }
}
