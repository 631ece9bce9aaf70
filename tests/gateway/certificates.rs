//! A certificate is replaced under a hundred live sessions, on every transport.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::Arc,
    time::{Duration, SystemTime},
};

use throughline::{
    certificates::{CertificateFiles, Certificates, Looked},
    channel::NewEvent,
};
use throughline_client::{
    Config, Events, Incoming, LinkChange, Session, SubscribeFrom, Transport, Via,
    wire::{ChannelName, Json, Payload},
};
use tokio::{sync::Notify, time::timeout};

use crate::kit::{
    PATIENCE,
    http2::{Caller, Socket},
    issued::{Folder, Issued},
    panics,
    process::Serve,
    secure::{EITHER, Secure, connect, shown},
};

const DAY: Duration = Duration::from_secs(86_400);

/// How many come at once.
const WAVE: usize = 10;

/// One session, and what it has heard.
struct Member {
    via: &'static str,
    session: Session,
    events: Events,
}

impl Member {
    async fn hear(&mut self, data: &str) {
        loop {
            let incoming = timeout(PATIENCE, self.events.next()).await;
            match incoming.expect("in time").expect("it is open") {
                Incoming::Event { event, .. } => {
                    return assert_eq!(event.payload, json(data), "{}", self.via);
                }
                Incoming::Subscribed { .. } | Incoming::Link(LinkChange::Up { resumed: false, .. }) => {}
                other => panic!("{}: {other:?}", self.via),
            }
        }
    }
}

/// A hundred sessions: by WebTransport, WebSocket on HTTP/1.1 and on HTTP/2, event streams and long-polling.
struct Crowd {
    members: Vec<Member>,
    sockets: Vec<Socket>,
    _caller: Caller,
}

impl Crowd {
    /// Has them all listen to `news`. They know these certificates beside those that the gateway tells them.
    async fn gather(gateway: &Secure, hashes: &[String]) -> Self {
        let members = Self::join(gateway, hashes, 80).await;
        let mut caller = Caller::connect(gateway.clients).await;
        let mut sockets = Vec::new();
        for _ in 0..20 {
            sockets.push(caller.socket("news").await);
        }
        assert_eq!(gateway.handle.session_count(), 100);
        Self { members, sockets, _caller: caller }
    }

    /// So many sessions of our client, on its transports in turn.
    async fn join(gateway: &Secure, hashes: &[String], count: usize) -> Vec<Member> {
        let ways = [
            ("webtransport", Via::bincode(Transport::WebTransport)),
            ("websocket", Via::bincode(Transport::WebSocket)),
            ("sse", Via::json(Transport::Sse)),
            ("polling", Via::json(Transport::Polling)),
        ];
        let mut members: Vec<Member> = Vec::new();
        for (number, (name, via)) in ways.into_iter().cycle().take(count).enumerate() {
            let mut config = Config::new(format!("https://{}", gateway.clients)).only(via);
            config.negotiate = false;
            config.tls.system_roots = false;
            hashes.iter().for_each(|hash| config.tls.accept_hash(hash).expect("a hash"));
            let (session, events) = Session::connect(config).expect("a legal configuration");
            members.push(Member { via: name, session, events });
            // In waves, so that no handshake waits behind all others.
            let comes = if (number + 1) % WAVE == 0 || number + 1 == count {
                number - number % WAVE
            } else {
                continue;
            };
            for member in &members[comes..] {
                let news = ChannelName::parse("news").expect("a name");
                let subscribed = member.session.subscribe(news, SubscribeFrom::Now);
                timeout(PATIENCE, subscribed).await.expect("in time").expect("nobody is refused");
            }
        }
        members
    }

    /// Waits until each has heard this event, on the link that it had.
    async fn hear(&mut self, data: &str) {
        for member in &mut self.members {
            member.hear(data).await;
        }
        for socket in &mut self.sockets {
            socket.hear(data).await;
        }
    }
}

async fn publish(gateway: &Secure, data: &'static str) {
    let news = ChannelName::parse("news").expect("a name");
    let event = NewEvent { payload: json(data), ..NewEvent::default() };
    gateway.handle.publish(&news, event).await.expect("it is taken");
}

fn json(data: &str) -> Payload {
    Payload::Json(Json::parse(data.as_bytes()).expect("JSON"))
}

/// Has a hundred listen, replaces the certificate, and sees that none of them noticed, while those who come get the new one.
async fn nobody_notices(
    gateway: &Secure,
    certificates: &Certificates,
    hashes: &[String],
    replace: impl Future<Output = ()>,
) {
    let before = certificates.present_hash();
    let mut crowd = Crowd::gather(gateway, hashes).await;
    let streams = |what: &str| -> BTreeMap<&str, u64> {
        ["webtransport", "websocket", "sse"]
            .map(|transport| (transport, gateway.metric(&what.replace('%', transport))))
            .into()
    };
    let opened = streams("throughline_links_opened_total{transport=\"%\"}");
    assert_eq!(opened, BTreeMap::from([("webtransport", 20), ("websocket", 40), ("sse", 20)]));
    publish(gateway, "1").await;
    crowd.hear("1").await;
    assert_eq!(gateway.shown_by_udp().await, before);

    replace.await;
    let after = certificates.present_hash();
    assert_ne!(before, after);
    assert_eq!(gateway.shown_by_tcp(b"http/1.1").await, after);
    assert_eq!(gateway.shown_by_tcp(b"h2").await, after);
    assert_eq!(gateway.shown_by_udp().await, after);

    publish(gateway, "2").await;
    crowd.hear("2").await;
    assert_eq!(gateway.handle.session_count(), 100);
    assert_eq!(
        streams("throughline_links_opened_total{transport=\"%\"}"),
        opened,
        "each is on the link that it had"
    );
    for reason in ["lost", "closed_by_client", "silence", "superseded", "drain"] {
        let ended = format!("throughline_links_ended_total{{transport=\"%\",reason=\"{reason}\"}}");
        assert!(streams(&ended).values().all(|ended| *ended == 0), "{reason}");
    }
    // Whoever comes now comes in.
    let mut late = Crowd::join(gateway, hashes, 4).await;
    publish(gateway, "3").await;
    for member in &mut late {
        member.hear("3").await;
    }
    crowd.hear("3").await;
    panics::assert_none();
}

#[tokio::test]
async fn a_certificate_of_its_own_is_rotated_under_a_hundred_sessions() {
    // It began to serve nine and a half days ago, so that its successor is valid by the clocks of clients, too.
    let now = SystemTime::now();
    let certificates =
        Certificates::development(["localhost", "127.0.0.1"], now - 9 * DAY - DAY / 2).expect("randomness");
    let gateway = Secure::start(&certificates).await;
    let hashes = certificates.hashes().to_vec();
    nobody_notices(&gateway, &certificates, &hashes, async {
        assert!(matches!(certificates.look(now + DAY), Looked::Replaced));
    })
    .await;
    assert_eq!(certificates.present_hash(), hashes[1], "as was told before");
    // What is offered are the present one and the next.
    let mut caller = Caller::connect(gateway.clients).await;
    let (_, negotiation) = caller.get("/v1/negotiate").await;
    let negotiation: serde_json::Value = serde_json::from_slice(&negotiation).expect("JSON");
    let offer = &negotiation["transports"][0];
    assert_eq!((&offer["name"], &offer["url"]), (&"webtransport".into(), &"webtransport".into()));
    assert_eq!(offer["certificateHashes"], serde_json::json!(certificates.hashes().to_vec()));
}

#[tokio::test]
async fn a_certificate_from_files_is_reloaded_under_a_hundred_sessions() {
    let folder = Folder::new("reload");
    let (first, second) = (Issued::now("localhost"), Issued::now("localhost"));
    let (certificate, key) = folder.write(&first);
    let files = CertificateFiles { certificate: certificate.into(), key: key.into() };
    let certificates = Certificates::from_files(files, SystemTime::now()).expect("usable");
    let gateway = Secure::start(&certificates).await;
    let nudge = Arc::new(Notify::new());
    let (handle, kept) = (gateway.handle.clone(), certificates.clone());
    let nudged = Arc::clone(&nudge);
    let keeping = tokio::spawn(async move { handle.keep_certificates(kept, SystemTime::now, nudged).await });
    let mut changes = certificates.watch_hashes();
    let hashes = [first.hash.clone(), second.hash.clone()];
    nobody_notices(&gateway, &certificates, &hashes, async {
        folder.write(&second);
        nudge.notify_one();
        timeout(PATIENCE, changes.changed()).await.expect("in time").expect("it is kept");
    })
    .await;
    assert_eq!(certificates.present_hash(), second.hash);
    assert_eq!(gateway.metric("throughline_certificate_reloads_total{result=\"loaded\"}"), 1);
    let mut caller = Caller::connect(gateway.clients).await;
    let (_, negotiation) = caller.get("/v1/negotiate").await;
    assert!(
        !String::from_utf8_lossy(&negotiation).contains("certificateHashes"),
        "clients know whom to trust"
    );
    keeping.abort();
}

#[cfg(unix)]
#[test]
fn serve_reloads_on_a_signal_and_keeps_what_it_has_when_the_new_files_are_bad() {
    let folder = Folder::new("signal");
    let (first, second) = (Issued::now("localhost"), Issued::now("localhost"));
    let (certificate, key) = folder.write(&first);
    let certificate = format!("tls.certificate_file={certificate}");
    let key = format!("tls.key_file={key}");
    let mut serve = Serve::start(&["--set", &certificate, "--set", &key]);
    let address = serve.clients.strip_prefix("https://").expect("it speaks TLS").parse().expect("an address");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let shown = || runtime.block_on(async { shown(&connect(address, &[b"http/1.1"], EITHER).await) });
    assert_eq!(shown(), first.hash);
    folder.write_key(&second);
    // Twice: the other file might have been on its way.
    serve.process.signal("HUP");
    serve.process.signal("HUP");
    let said = serve.process.error_line("the old one stays");
    assert!(said.contains("does not belong"), "{said}");
    assert_eq!(shown(), first.hash);
    folder.write(&second);
    serve.process.signal("HUP");
    let said = serve.process.error_line("there is a new certificate");
    assert!(said.contains(&second.hash), "{said}");
    assert_eq!(shown(), second.hash);
    serve.process.signal("TERM");
    assert_eq!(serve.process.wait(), Some(0));
}
