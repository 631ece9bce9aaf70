//! Attacks that docs/security.md lists and that are nobody else's: what is too much, what is shown again, and what must not
//! be seen.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use throughline::auth::{Jwt, JwtConfig, Key};
use throughline_client::{
    Config, Incoming, LinkChange, Session, SubscribeFrom, Transport, Via, wire::ChannelName,
};
use throughline_wire::{Codec, Token};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::kit::{
    PATIENCE,
    http::Ask,
    issued::Folder,
    panics,
    process::Serve,
    running::{Plan, Running},
    speech::{Heard, Known, frames, hello},
    ways::{Doors, Way},
    websocket::{Socket, compressed_frame},
};

async fn gateway() -> Running {
    Running::with(Plan { webtransport: true, ..Plan::default() }).await
}

#[tokio::test]
async fn a_message_of_a_mebibyte_is_refused_by_name_on_each_transport_and_harms_nobody() {
    let gateway = gateway().await;
    let mut known = Known::open(&gateway).await;
    for (count, way) in (1..).zip(Way::ALL) {
        let heard = way.say_text(gateway.doors(), "x".repeat(1 << 20), |_| false).await;
        assert_eq!(heard.codes(), ["message_too_large"], "{way:?}");
        assert_eq!(gateway.refusals("message_too_large"), count, "{way:?}");
    }
    let post = Ask::frames("/v1/send", "x".repeat(1 << 20)).to(gateway.clients).await;
    assert_eq!((post.status, Heard::read(&post.body).codes()), (413, vec!["message_too_large"]));
    assert!(known.look(&gateway).await.1, "others are served");
    panics::assert_none();
}

#[tokio::test]
async fn ten_thousand_subscriptions_are_too_many_and_the_session_keeps_what_it_may_have() {
    const WANTED: usize = 10_000;
    const AT_ONCE: usize = 50;
    let gateway = gateway().await;
    let mut socket = Socket::open(gateway.clients, Codec::Json).await;
    socket.say_frames(&[hello()]).await;
    assert!(socket.hear(|frame| frame["type"] == "welcome").await);
    let (mut subscribed, mut refused, mut last) = (0, 0, 0);
    for first in (0..WANTED).step_by(AT_ONCE) {
        let items: Vec<Value> = (first..first + AT_ONCE)
            .map(|number| json!({"type": "subscribe", "channel": format!("c{number}")}))
            .collect();
        let ack = json!({"type": "ack", "upTo": last});
        let commands = json!({"type": "commands", "first": first + 1, "items": items});
        socket.heard = Heard::default();
        socket.say_frames(&[ack, commands]).await;
        let wanted = subscribed + refused + AT_ONCE;
        while subscribed + refused < wanted {
            assert!(socket.hear(|frame| frame["type"] == "items").await, "{:?}", socket.heard);
            for frame in socket.heard.0.drain(..).filter(|frame| frame["type"] == "items") {
                let items = frame["items"].as_array().expect("a list");
                last = last.max(frame["first"].as_u64().expect("a number") + items.len() as u64 - 1);
                subscribed += items.iter().filter(|item| item["type"] == "subscribed").count();
                let is_refused = |item: &&Value| item["error"]["code"] == "too_many_subscriptions";
                refused += items.iter().filter(is_refused).count();
            }
        }
    }
    assert_eq!((subscribed, refused), (256, WANTED - 256));
    assert_eq!(gateway.refusals("too_many_subscriptions"), (WANTED - 256) as u64);
    assert!(socket.hear_all().await, "its link stands");
    let channels = gateway.metric("throughline_channels");
    assert!(channels <= 256 + AT_ONCE as u64, "what is refused costs nothing: {channels}");
    panics::assert_none();
}

#[tokio::test]
async fn what_is_compressed_is_not_unpacked_on_any_transport() {
    let gateway = gateway().await;
    // A mebibyte of zeros, as gzip has it: some thousand bytes.
    let bomb = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &[0; 1_000][..]].concat();
    for (count, path) in (1..).zip(["/v1/poll", "/v1/send", "/v1/events"]) {
        for encoding in ["gzip", "br", "deflate", "identity, gzip"] {
            let ask = Ask::frames(path, &bomb).header("content-encoding", encoding);
            let answer = ask.to(gateway.clients).await;
            assert_eq!(answer.status, 415, "{path} {encoding} {answer:?}");
            assert_eq!(Heard::read(&answer.body).codes(), ["unsupported_codec"], "{path} {encoding}");
        }
        assert_eq!(gateway.refusals("unsupported_codec"), count * 4, "{path}");
    }
    let plain = Ask::frames("/v1/poll", frames(&[hello()])).header("content-encoding", "identity");
    assert!(Heard::read(&plain.to(gateway.clients).await.body).first("welcome").is_some());
    let publish = Ask::json("/api/v1/publish", r#"{"channel":"news"}"#).header("content-encoding", "gzip");
    let answer = publish.to(gateway.admin).await;
    assert_eq!((answer.status, &*answer.code()), (415, "unsupported_codec"));

    // Compression of a WebSocket is offered by browsers, and not taken; a compressed frame breaks the protocol.
    let upgrade = Ask::get("/v1/websocket")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==")
        .header("sec-websocket-protocol", Codec::Json.name())
        .header("sec-websocket-extensions", "permessage-deflate");
    let mut stream = upgrade.open(gateway.clients).await;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(PATIENCE, stream.read_u8()).await.expect("in time").expect("an answer"));
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101") && !head.contains("extensions"), "{head}");
    let mut socket = Socket::open(gateway.clients, Codec::Json).await;
    socket.say(compressed_frame(bomb)).await;
    assert!(!socket.hear(|_| false).await, "{:?}", socket.heard);
    assert_eq!(gateway.handle.session_count(), 1, "of the one that was not compressed");
    panics::assert_none();
}

#[tokio::test]
async fn a_hello_that_is_said_again_takes_no_session_on_any_transport() {
    let gateway = gateway().await;
    for way in Way::ALL {
        let mut known = Known::open(&gateway).await;
        let overheard = known.resume();
        assert!(known.look(&gateway).await.1);
        // Whoever has overheard it says it again, with whatever else.
        let commands = json!({"type": "commands", "first": 2, "items": [
            {"type": "send", "channel": "news", "data": "in the name of another"}]});
        let heard = way.say(gateway.doors(), &[overheard, commands], |_| false).await;
        assert_eq!(heard.retry(), Some("superseded"), "{way:?} {heard:?}");
        assert!(known.look(&gateway).await.1, "{way:?}: its client has it");
    }
    assert_eq!(gateway.metric("throughline_volatiles_published_total"), 0);
    let history = Ask::get("/api/v1/channels/news/history").to(gateway.admin).await;
    assert_eq!(history.json()["events"], json!([]), "nothing was said");
}

const SECRET: &str = "a secret of the tests, and of nobody else";

fn jwt(user: &str) -> String {
    let key = Key::new(Some("a"), "HS256".parse().unwrap(), SECRET.as_bytes()).unwrap();
    let jwt = Jwt::new(vec![key], JwtConfig::default(), || 0).unwrap();
    let claims = json!({"sub": user, "exp": 32_503_680_000_u64});
    jwt.mint(claims.as_object().unwrap()).unwrap()
}

#[test]
fn no_token_of_any_kind_is_in_a_log_line_at_any_level_whatever_the_transport() {
    let folder = Folder::new("logs");
    let file = folder.path("throughline.toml");
    let config = format!(
        "[[auth.keys]]\nid = \"a\"\nalgorithm = \"HS256\"\nsecret = \"{SECRET}\"\n\
         [[token_keys]]\nid = \"a\"\nsecret = \"{SECRET}\"\n[admin]\nkey = \"an admin key to search for\"\n"
    );
    std::fs::write(&file, config).expect("a file");
    let filter = "trace,throughline=trace,hyper=trace,tungstenite=trace,h2=trace,quinn=trace,rustls=trace";
    let mut serve = Serve::start(&["--config", &file, "--log", filter]);
    let tcp = serve.client_address();
    let doors = Doors { tcp, udp: tcp };
    let mut secrets = vec![SECRET.to_owned(), "an admin key to search for".into()];
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for way in Way::ALL {
            let (good, bad) = (jwt("ann"), format!("{}forged", jwt("bob")));
            let mut hello = hello();
            hello["auth"] = json!(good);
            let opened =
                way.say(doors, std::slice::from_ref(&hello), |frame| frame["type"] == "welcome").await;
            let welcome = opened.first("welcome").unwrap_or_else(|| panic!("{way:?} {opened:?}"));
            let token = welcome["token"].as_str().unwrap().to_owned();
            hello["attach"] = json!(2);
            hello["client"] = json!({"name": "test", "version": "1"});
            hello["resume"] =
                json!({"token": token, "incarnation": welcome["incarnation"], "after": 0, "low": 1});
            let resumed =
                way.say(doors, std::slice::from_ref(&hello), |frame| frame["type"] == "welcome").await;
            assert_eq!(resumed.first("welcome").unwrap()["resumed"], true, "{way:?} {resumed:?}");
            // What is wrong is logged in more words.
            hello["auth"] = json!(bad);
            assert_eq!(way.say(doors, &[hello.clone()], |_| false).await.retry(), Some("unauthorized"));
            hello["auth"] = json!(good);
            hello["resume"]["token"] = json!(format!("{}A", token));
            way.say(doors, &[hello.clone(), json!({"type": "auth", "token": bad})], |_| false).await;
            secrets.extend([&good, &bad, &token].map(|token| token.rsplit('.').next().unwrap().to_owned()));
        }
        let admin = serve.admin_address();
        Ask::get("/metrics").header("authorization", "Bearer an admin key to search for").to(admin).await;
        Ask::get("/v1/events?channel=news&ticket=a.ticket.tosearchfor").to(tcp).await;
        secrets.push("tosearchfor".into());
    });
    serve.process.signal("TERM");
    serve.process.wait();
    let lines = &serve.process.errors;
    for secret in &secrets {
        let found: Vec<_> = lines.iter().filter(|line| line.contains(&**secret)).collect();
        assert!(found.is_empty(), "{secret}: {found:?}");
    }
    assert!(lines.iter().any(|line| line.contains("a token is refused")), "the filter was obeyed");
}

/// Passes bytes on to a gateway, and keeps what its clients say.
async fn overhear(gateway: std::net::SocketAddr) -> (std::net::SocketAddr, Arc<Mutex<Vec<Vec<u8>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let overheard = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&overheard);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let at = {
                let mut kept = kept.lock();
                kept.push(Vec::new());
                kept.len() - 1
            };
            let kept = Arc::clone(&kept);
            tokio::spawn(async move {
                let Ok(mut server) = TcpStream::connect(gateway).await else { return };
                let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                    (client.split(), server.split());
                let up = async {
                    let mut piece = [0; 4_096];
                    while let Ok(length @ 1..) = from_client.read(&mut piece).await {
                        kept.lock()[at].extend_from_slice(&piece[..length]);
                        if to_server.write_all(&piece[..length]).await.is_err() {
                            return;
                        }
                    }
                };
                tokio::select! {
                    () = up => {}
                    _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
                }
            });
        }
    });
    (address, overheard)
}

#[tokio::test]
async fn our_client_puts_no_token_into_an_address() {
    let build = |builder: throughline::Builder| {
        let key = Key::new(Some("a"), "HS256".parse().unwrap(), SECRET.as_bytes()).unwrap();
        builder.authenticate(Jwt::new(vec![key], JwtConfig::default(), || 0).unwrap())
    };
    let gateway = Running::with(Plan { build, ..Plan::default() }).await;
    let (address, overheard) = overhear(gateway.clients).await;
    for via in [Via::json(Transport::Polling), Via::json(Transport::Sse), Via::json(Transport::WebSocket)] {
        let mut config = Config::new(format!("http://{address}")).only(via);
        config.auth = Some(Token::new(jwt("ann")));
        let (session, mut events) = Session::connect(config).expect("a legal configuration");
        let news = ChannelName::parse("news").expect("a name");
        let subscribed = session.subscribe(news, SubscribeFrom::Now);
        timeout(PATIENCE, subscribed).await.expect("in time").expect("nobody is refused");
        loop {
            let incoming = timeout(PATIENCE, events.next()).await.expect("in time").expect("it is open");
            if matches!(incoming, Incoming::Link(LinkChange::Up { .. })) {
                break;
            }
        }
    }
    let said = overheard.lock().concat();
    let said = String::from_utf8_lossy(&said);
    let token = jwt("ann");
    assert!(said.contains(&*token), "it is said, in a body");
    let mut addresses = 0;
    for line in said.lines().filter(|line| line.contains(" HTTP/1.1")) {
        addresses += 1;
        assert!(!line.contains('?') && !line.contains("eyJ"), "{line}");
    }
    assert!(addresses >= 5, "{addresses}");
}
