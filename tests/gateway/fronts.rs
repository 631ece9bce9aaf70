//! The files in `deploy/`: a gateway behind each of these proxies, below a prefix, by every transport that they pass on and,
//! past them, by WebTransport; and streams on which nothing is said but heartbeats.
//!
//! `NGINX`, `HAPROXY` and `CADDY` name the programs. Without one its file is not run, but for continuous integration,
//! where nothing is skipped.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::json;
use throughline::{
    Builder,
    channel::NewEvent,
    gateway::GatewayConfig,
    http::{ForwardedHeader, OriginPolicy, TrustedProxies},
};
use throughline_client::{
    Config, Events, Incoming, LinkChange, Session, SubscribeFrom, Transport, Via,
    wire::{ChannelName, Codec, Meta, Payload},
};
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::kit::{
    PATIENCE,
    http::Ask,
    running::{Plan, Running},
    speech::{Heard, frames, hello},
    websocket::Socket,
};

/// Where the files say that the gateway listens.
const GATEWAY: &str = "127.0.0.1:7080";
/// Where they say that browsers call it.
const PUBLIC_URL: &str = "https://rt.example.com";

/// How long the files let something idle.
const TIMEOUT: &str = "60s";

/// How fast time passes for a file and its gateway: as they say, or five times as fast, all of it, so that what outlasts
/// what stays the same.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    AsWritten,
    Hurried,
}

/// What one of the files needs to be run: the program, how it is told where to listen, and what is around the file.
#[derive(Clone, Copy)]
struct Proxy {
    /// The variable that names the program.
    variable: &'static str,
    file: &'static str,
    /// What the file says of where it listens, and what it says instead.
    listens: (&'static str, fn(SocketAddr) -> String),
    /// Puts the file together with what is around it, and says how it is run.
    run: fn(&Path, &Path, &str) -> (String, Command),
}

/// A proxy that runs until it is dropped.
struct Front {
    process: Child,
    address: SocketAddr,
    folder: PathBuf,
    /// Keeps the port from everybody who does not ask for it by number: bound, and never listening.
    _port: TcpSocket,
}

impl Front {
    /// Runs a file of `deploy/` with other addresses; nothing where its program is not told.
    async fn start(proxy: Proxy, gateway: SocketAddr, pace: Pace) -> Option<Self> {
        let Proxy { variable, file, listens: (listens, instead), run } = proxy;
        let Some(program) = std::env::var_os(variable) else {
            assert!(std::env::var_os("CI").is_none(), "{variable} has to name the proxy");
            eprintln!("skipped: {variable} does not name the proxy");
            return None;
        };
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file);
        let text = fs::read_to_string(path).expect("the file");
        for part in [GATEWAY, listens, "/realtime/", TIMEOUT] {
            assert!(text.contains(part), "{file} has {part:?}");
        }
        let told = format!("public_url = {PUBLIC_URL:?}");
        assert!(text.contains(&told), "{file} says what the gateway is told");
        let text = text.replace(GATEWAY, &gateway.to_string());
        let text = if pace == Pace::Hurried { text.replace(TIMEOUT, "12s") } else { text };
        let port = TcpSocket::new_v4().expect("a socket");
        port.set_reuseaddr(true)
            .and_then(|()| port.bind((Ipv4Addr::LOCALHOST, 0).into()))
            .expect("a free port");
        let address = port.local_addr().expect("bound");
        let name = format!("throughline-front-{}-{}", std::process::id(), address.port());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("a folder");
        let (text, mut command) =
            run(Path::new(&program), &folder, &text.replacen(listens, &instead(address), 1));
        fs::write(folder.join("conf"), text).expect("room for a file");
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut front = Self { process: process.expect("the proxy starts"), address, folder, _port: port };
        let listens = timeout(PATIENCE, front.listens()).await;
        assert!(listens.expect("it listens or it ends"), "{file} is not taken");
        Some(front)
    }

    /// Waits until it listens, or has ended.
    async fn listens(&mut self) -> bool {
        loop {
            if self.process.try_wait().expect("a child").is_some() {
                return false;
            }
            if TcpStream::connect(self.address).await.is_ok() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A gateway that is told what the files say, and serves WebTransport at an address of its own.
async fn gateway(change: impl FnOnce(&mut Plan)) -> Running {
    let plan = Plan::default();
    let origins =
        OriginPolicy { public_url: Some(PUBLIC_URL.into()), is_loopback: true, ..OriginPolicy::default() };
    let proxies = TrustedProxies::new(["127.0.0.1"], ForwardedHeader::default()).expect("an address");
    let gateway = GatewayConfig { origins, proxies, ..plan.gateway };
    let build: fn(Builder) -> Builder = |builder| builder.authenticate(super::origins::ByAddress);
    let mut plan = Plan { gateway, build, webtransport: true, tells_webtransport: true, ..plan };
    change(&mut plan);
    Running::with(plan).await
}

/// Every transport once, what browsers say, and whom a client is taken for who says that it passes on another.
async fn passes_everything_on(gateway: &Running, front: &Front, taken_for: &str) {
    let news = ChannelName::parse("news").expect("a legal name");
    for transport in [Transport::WebSocket, Transport::Sse, Transport::Polling] {
        let config = Config::new(format!("http://{}/realtime", front.address)).only(Via::json(transport));
        let (session, mut events) = Session::connect(config).expect("a legal configuration");
        let subscribed = timeout(PATIENCE, session.subscribe(news.clone(), SubscribeFrom::Now)).await;
        subscribed.unwrap_or_else(|_| panic!("{transport:?} opens")).expect("nobody refuses");
        for _ in 0..3 {
            gateway.handle.publish(&news, NewEvent::default()).await.expect("there is room");
            timeout(PATIENCE, event(&mut events))
                .await
                .unwrap_or_else(|_| panic!("{transport:?} is not held back"));
        }
        let said = session.send(news.clone(), None, None, Meta::default(), Payload::default());
        let reply = timeout(PATIENCE, said).await;
        reply.unwrap_or_else(|_| panic!("{transport:?} answers")).expect("nobody refuses");
    }

    let poll = || Ask::frames("/realtime/v1/poll", frames(&[hello()])).header("host", "rt.example.com");
    let of_a_client = poll().header("x-forwarded-for", "203.0.113.7").header("forwarded", "for=6.6.6.6");
    let answer = of_a_client.header("origin", PUBLIC_URL).to(front.address).await;
    let heard = Heard::read(&answer.body);
    let user =
        heard.first("welcome").unwrap_or_else(|| panic!("{answer:?}"))["user"].as_str().expect("a user");
    assert_eq!(user.split(' ').next(), Some(taken_for));
    for stranger in ["https://evil.example", "http://rt.example.com", "http://127.0.0.1", "null"] {
        let answer = poll().header("origin", stranger).to(front.address).await;
        assert_eq!(
            (answer.status, Heard::read(&answer.body).codes()),
            (403, vec!["origin_refused"]),
            "{stranger}"
        );
    }

    // By address, as an EventSource does: the first block comes although no event does.
    let stream = Ask::get("/realtime/v1/events?channel=news").header("host", "rt.example.com");
    let mut stream = stream.open(front.address).await;
    let (mut text, mut piece) = (String::new(), [0; 1_024]);
    while !text.contains("subscribed") {
        let length = timeout(PATIENCE, stream.read(&mut piece))
            .await
            .expect("it is not held back")
            .expect("it is open");
        assert!(length > 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&piece[..length]));
    }
    assert!(text.to_ascii_lowercase().contains("content-type: text/event-stream"), "{text}");
}

/// A session that begins at the proxy moves to WebTransport, which passes it by.
async fn moves_past_it(proxy: Proxy) {
    // Not known by the address: that is the proxy's word by one way, and its own by the other.
    let gateway = gateway(|plan| plan.build = |builder| builder).await;
    let Some(front) = Front::start(proxy, gateway.clients, Pace::AsWritten).await else { return };
    let news = ChannelName::parse("news").expect("a legal name");
    let config = Config::new(format!("http://{}/realtime", front.address));
    let (session, mut events) = Session::connect(config).expect("a legal configuration");
    timeout(PATIENCE, session.subscribe(news.clone(), SubscribeFrom::Now))
        .await
        .expect("it opens")
        .expect("nobody refuses");
    let moved = async {
        while !matches!(
            events.next().await.expect("it goes on"),
            Incoming::Link(LinkChange::Up { via, .. }) if via.transport == Transport::WebTransport
        ) {}
    };
    timeout(PATIENCE, moved).await.expect("it moves up");
    gateway.handle.publish(&news, NewEvent::default()).await.expect("there is room");
    timeout(PATIENCE, event(&mut events)).await.expect("it is heard there");
    let listed = gateway.handle.sessions(None, 100).sessions;
    assert!(listed.iter().any(|session| session.transport == Some("webtransport")), "{listed:?}");
}

async fn event(events: &mut Events) {
    while !matches!(events.next().await.expect("it goes on"), Incoming::Event { .. }) {}
}

const NGINX: Proxy = Proxy {
    variable: "NGINX",
    file: "nginx.conf",
    listens: ("listen 80;", |address| format!("listen {address};")),
    run: |program, folder, server| {
        let at = |name: &str| folder.join(name).display().to_string();
        let around = format!(
            "daemon off;\nmaster_process off;\npid {};\nerror_log {};\nevents {{ }}\nhttp {{\naccess_log off;\n\
             client_body_temp_path {};\nproxy_temp_path {};\nfastcgi_temp_path {};\nuwsgi_temp_path {};\nscgi_temp_path {};\n\
             {server}\n}}\n",
            at("pid"),
            at("error.log"),
            at("body"),
            at("proxy"),
            at("fastcgi"),
            at("uwsgi"),
            at("scgi"),
        );
        let mut command = Command::new(program);
        command.arg("-e").arg(folder.join("error.log")).arg("-c").arg(folder.join("conf"));
        (around, command)
    },
};

const HAPROXY: Proxy = Proxy {
    variable: "HAPROXY",
    file: "haproxy.cfg",
    listens: ("bind :80", |address| format!("bind {address}")),
    run: |program, folder, text| {
        let mut command = Command::new(program);
        command.arg("-db").arg("-f").arg(folder.join("conf"));
        (text.to_owned(), command)
    },
};

const CADDY: Proxy = Proxy {
    variable: "CADDY",
    file: "Caddyfile",
    listens: ("rt.example.com {", |address| {
        format!("http://:{} {{\n\tbind {}", address.port(), address.ip())
    }),
    run: |program, folder, text| {
        let mut command = Command::new(program);
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(folder.join("conf"));
        command.env("XDG_DATA_HOME", folder).env("XDG_CONFIG_HOME", folder).env("HOME", folder);
        (format!("{{\n\tadmin off\n\tauto_https off\n}}\n{text}"), command)
    },
};

/// What passes through this proxy, and past it.
async fn passes(proxy: Proxy, taken_for: &str) {
    let gateway = gateway(|_| {}).await;
    if let Some(front) = Front::start(proxy, gateway.clients, Pace::AsWritten).await {
        passes_everything_on(&gateway, &front, taken_for).await;
    }
    moves_past_it(proxy).await;
}

#[tokio::test]
async fn nginx_passes_every_transport_on_below_a_prefix() {
    // From an address that is trusted: as another proxy in front of this one would.
    passes(NGINX, "203.0.113.7").await;
}

#[tokio::test]
async fn haproxy_passes_every_transport_on_below_a_prefix() {
    passes(HAPROXY, "203.0.113.7").await;
}

#[tokio::test]
async fn caddy_passes_every_transport_on_below_a_prefix() {
    // It passes on what no proxy in front of it can have said.
    passes(CADDY, "127.0.0.1").await;
}

/// A fifth of 15 s, of 25 s, and of 75 s: the defaults, against a fifth of what the files say.
const HEARTBEAT_MS: u64 = 3_000;
const POLL_HOLD_MS: u64 = 5_000;
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// So many heartbeats take longer than the proxies' patience.
const BEATS: usize = 5;

/// A gateway that beats so often, and holds a poll for so long.
async fn beating(heartbeat_ms: u64, poll_hold_ms: u64) -> Running {
    gateway(|plan| {
        plan.session.heartbeat_ms = heartbeat_ms;
        plan.session.poll_hold_ms = poll_hold_ms;
        plan.listener.keep_alive = KEEP_ALIVE;
    })
    .await
}

/// A WebSocket on which nothing is said but heartbeats: whether there were enough of them before it was cut.
async fn idle_socket(front: &Front) -> bool {
    let mut socket = Socket::below(front.address, "/realtime", Codec::Json).await;
    socket.say_frames(&[hello()]).await;
    let mut pings = 0;
    while socket.hear(|frame| frame["type"] == "ping").await {
        let heard = std::mem::take(&mut socket.heard.0);
        for ping in heard.iter().filter(|frame| frame["type"] == "ping") {
            socket.say_frames(&[json!({"type": "pong", "nonce": ping["nonce"]})]).await;
            pings += 1;
        }
        if pings > BEATS {
            return true;
        }
    }
    false
}

/// The same of an event stream.
async fn idle_stream(front: &Front) -> bool {
    let stream = Ask::get("/realtime/v1/events?channel=news").header("host", "rt.example.com");
    let mut stream = stream.open(front.address).await;
    let (mut text, mut piece) = (String::new(), [0; 1_024]);
    while text.matches("\"ping\"").count() <= BEATS {
        match timeout(PATIENCE, stream.read(&mut piece)).await.expect("something or an end in time") {
            Ok(length @ 1..) => text.push_str(&String::from_utf8_lossy(&piece[..length])),
            Ok(0) | Err(_) => return false,
        }
        if text.contains("\r\n0\r\n") {
            return false; // the last chunk
        }
    }
    true
}

/// A poll that is held in vain: whether the gateway answers it.
async fn idle_poll(front: &Front) -> bool {
    let poll = |hello| Ask::frames("/realtime/v1/poll", frames(&[hello])).header("host", "rt.example.com");
    let opened = Heard::read(&poll(hello()).to(front.address).await.body);
    let welcome = opened.first("welcome").expect("there is room");
    let resume =
        json!({"token": welcome["token"], "incarnation": welcome["incarnation"], "after": 0, "low": 1});
    let again = json!({"type": "hello", "version": 0, "instance": "test", "attach": 2, "resume": resume});
    // The first says that it came back; what follows has nothing to say.
    for attach in 2..4 {
        let mut again = again.clone();
        again["attach"] = json!(attach);
        if poll(again).to(front.address).await.status != 200 {
            return false;
        }
    }
    true
}

/// What of it all outlasts the proxy.
async fn idles(proxy: Proxy, gateway: &Running) -> Option<[bool; 3]> {
    let front = Front::start(proxy, gateway.clients, Pace::Hurried).await?;
    let (socket, stream, poll) = tokio::join!(idle_socket(&front), idle_stream(&front), idle_poll(&front));
    Some([socket, stream, poll])
}

#[tokio::test]
async fn what_idles_outlasts_each_proxy_by_its_heartbeats_and_would_not_without() {
    let with = beating(HEARTBEAT_MS, POLL_HOLD_MS).await;
    // As if there were none.
    let without = beating(60_000, 60_000).await;
    let (nginx, haproxy, caddy, cut_by_nginx, cut_by_haproxy) = tokio::join!(
        idles(NGINX, &with),
        idles(HAPROXY, &with),
        idles(CADDY, &with),
        idles(NGINX, &without),
        idles(HAPROXY, &without),
    );
    for (name, outlasted) in [("nginx", nginx), ("HAProxy", haproxy), ("Caddy", caddy)] {
        assert!(outlasted.is_none_or(|all| all == [true; 3]), "{name}: {outlasted:?}");
    }
    // Caddy would wait for ever.
    for (name, outlasted) in [("nginx", cut_by_nginx), ("HAProxy", cut_by_haproxy)] {
        assert!(outlasted.is_none_or(|all| all == [false; 3]), "{name}: {outlasted:?}");
    }
}
