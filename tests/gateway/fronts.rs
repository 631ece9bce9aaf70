//! The files in `deploy/`: a gateway behind each of these proxies, below a prefix, by every transport that they pass on.
//!
//! `NGINX`, `HAPROXY` and `CADDY` name the programs. Without one its file is not run, but for continuous integration,
//! where nothing is skipped.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use throughline::{
    channel::NewEvent,
    gateway::GatewayConfig,
    http::{ForwardedHeader, OriginPolicy, TrustedProxies},
};
use throughline_client::{
    Config, Events, Incoming, Session, SubscribeFrom, Transport, Via,
    wire::{ChannelName, Meta, Payload},
};
use tokio::{io::AsyncReadExt as _, net::TcpStream, time::timeout};

use crate::kit::{
    PATIENCE,
    http::Ask,
    running::{Plan, Running},
    speech::{Heard, frames, hello},
};

/// Where the files say that the gateway listens.
const GATEWAY: &str = "127.0.0.1:7080";
/// Where they say that browsers call it.
const PUBLIC_URL: &str = "https://rt.example.com";

/// How many ports are tried.
const TRIES: usize = 4;

/// A proxy that runs until it is dropped.
struct Front {
    process: Child,
    address: SocketAddr,
    folder: PathBuf,
}

impl Front {
    /// Runs a file of `deploy/` with other addresses; nothing where its program is not told. `listens` is what it says of
    /// where it listens, `run` puts it together with what is around it and says how it is run.
    async fn start(
        variable: &str,
        file: &str,
        gateway: SocketAddr,
        listens: (&str, impl Fn(SocketAddr) -> String),
        run: impl Fn(&Path, &Path, &str) -> (String, Command),
    ) -> Option<Self> {
        let Some(program) = std::env::var_os(variable) else {
            assert!(std::env::var_os("CI").is_none(), "{variable} has to name the proxy");
            eprintln!("skipped: {variable} does not name the proxy");
            return None;
        };
        let (listens, instead) = listens;
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file);
        let text = fs::read_to_string(path).expect("the file");
        for part in [GATEWAY, listens, "/realtime/"] {
            assert!(text.contains(part), "{file} has {part:?}");
        }
        let told = format!("public_url = {PUBLIC_URL:?}");
        assert!(text.contains(&told), "{file} says what the gateway is told");
        let text = text.replace(GATEWAY, &gateway.to_string());
        for _ in 0..TRIES {
            let address = TcpListener::bind("127.0.0.1:0").and_then(|place| place.local_addr());
            let address = address.expect("a free port");
            let name = format!("throughline-front-{}-{}", std::process::id(), address.port());
            let folder = std::env::temp_dir().join(name);
            fs::create_dir_all(&folder).expect("a folder");
            let (text, mut command) =
                run(Path::new(&program), &folder, &text.replacen(listens, &instead(address), 1));
            fs::write(folder.join("conf"), text).expect("room for a file");
            let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
            let mut front = Self { process: process.expect("the proxy starts"), address, folder };
            if timeout(PATIENCE, front.listens()).await.expect("it listens or it ends") {
                return Some(front);
            }
            // Somebody else may have had the port meanwhile.
        }
        panic!("{file} is not taken");
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

/// A gateway that is told what the files say.
async fn gateway() -> Running {
    let plan = Plan::default();
    let origins =
        OriginPolicy { public_url: Some(PUBLIC_URL.into()), is_loopback: true, ..OriginPolicy::default() };
    let proxies = TrustedProxies::new(["127.0.0.1"], ForwardedHeader::default()).expect("an address");
    let gateway = GatewayConfig { origins, proxies, ..plan.gateway };
    Running::with(Plan { gateway, build: |builder| builder.authenticate(super::origins::ByAddress), ..plan })
        .await
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

async fn event(events: &mut Events) {
    while !matches!(events.next().await.expect("it goes on"), Incoming::Event { .. }) {}
}

#[tokio::test]
async fn nginx_passes_every_transport_on_below_a_prefix() {
    let gateway = gateway().await;
    let listens = ("listen 80;", |address| format!("listen {address};"));
    let front = Front::start("NGINX", "nginx.conf", gateway.clients, listens, |program, folder, server| {
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
    });
    if let Some(front) = front.await {
        // From an address that is trusted: as another proxy in front of this one would.
        passes_everything_on(&gateway, &front, "203.0.113.7").await;
    }
}

#[tokio::test]
async fn haproxy_passes_every_transport_on_below_a_prefix() {
    let gateway = gateway().await;
    let listens = ("bind :80", |address| format!("bind {address}"));
    let front = Front::start("HAPROXY", "haproxy.cfg", gateway.clients, listens, |program, folder, text| {
        let mut command = Command::new(program);
        command.arg("-db").arg("-f").arg(folder.join("conf"));
        (text.to_owned(), command)
    });
    if let Some(front) = front.await {
        passes_everything_on(&gateway, &front, "203.0.113.7").await;
    }
}

#[tokio::test]
async fn caddy_passes_every_transport_on_below_a_prefix() {
    let gateway = gateway().await;
    let listens = ("rt.example.com {", |address: SocketAddr| {
        format!("http://:{} {{\n\tbind {}", address.port(), address.ip())
    });
    let front = Front::start("CADDY", "Caddyfile", gateway.clients, listens, |program, folder, text| {
        let mut command = Command::new(program);
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(folder.join("conf"));
        command.env("XDG_DATA_HOME", folder).env("XDG_CONFIG_HOME", folder).env("HOME", folder);
        (format!("{{\n\tadmin off\n\tauto_https off\n}}\n{text}"), command)
    });
    if let Some(front) = front.await {
        // It passes on what no proxy in front of it can have said.
        passes_everything_on(&gateway, &front, "127.0.0.1").await;
    }
}
