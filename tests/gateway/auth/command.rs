//! Tokens on the command line: made, taken, and in no log.

use std::fs;

use serde_json::json;
use throughline_wire::Codec;

use super::hello_by;
use crate::kit::{
    issued::Folder,
    process::{Ended, Serve, run},
    websocket::Socket,
};

const CONFIG: &str = r#"
[auth]
audience = ["throughline"]
issuer = "the tests"

[[auth.keys]]
id = "a"
algorithm = "HS256"
secret = "a secret of the tests, and of nobody else"

[[namespaces]]
name = "room"
subscribe = "granted"
"#;

fn written(config: &str) -> (Folder, String) {
    let folder = Folder::new("auth");
    let file = folder.path("throughline.toml");
    fs::write(&file, config).unwrap();
    (folder, file)
}

fn token(file: &str, arguments: &[&str]) -> Ended {
    run(&[&["token", "--config", file], arguments].concat())
}

#[test]
fn a_token_that_was_made_opens_what_it_grants_and_is_in_no_log_line_at_any_level() {
    let (_folder, file) = written(CONFIG);
    let made = token(&file, &["--user", "ann", "--channel", "room:7=subscribe,publish"]);
    assert_eq!((made.code, &*made.err), (Some(0), ""), "{made:?}");
    assert_eq!(made.out.lines().count(), 1, "the token and nothing else");
    let stale = token(&file, &["--user", "ann", "--audience", "elsewhere"]).out;
    let mut serve = Serve::start(&["--config", &file, "--log", "trace", "--log-format", "json"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut socket = Socket::open(serve.client_address(), Codec::Json).await;
        let commands = json!({"type": "commands", "first": 1, "items": [
            {"type": "subscribe", "channel": "room:7"},
            {"type": "subscribe", "channel": "room:8", "token": stale},
        ]});
        socket.say_frames(&[hello_by(&made.out), commands]).await;
        assert!(socket.hear_all().await, "{:?}", socket.heard.0);
        assert_eq!(socket.heard.codes(), ["unauthorized"], "of room:8 alone");
        assert_eq!(socket.heard.first("welcome").unwrap()["user"], "ann");
        socket.say_frames(&[json!({"type": "auth", "token": stale})]).await;
        assert!(!socket.hear(|_| false).await);
        let mut socket = Socket::open(serve.client_address(), Codec::Json).await;
        socket.say_frames(&[hello_by(&stale)]).await;
        assert!(!socket.hear(|_| false).await);
        assert_eq!(socket.close, Some(4200));
    });
    serve.process.error_line("its audience is not this gateway");
    serve.process.signal("TERM");
    serve.process.wait();
    for token in [&made.out, &stale] {
        for part in token.split('.').skip(1) {
            assert!(!serve.process.errors.iter().any(|line| line.contains(part)), "a token was logged");
        }
    }
    assert!(serve.process.errors.iter().any(|line| line.contains("DEBUG")), "the filter was obeyed");
}

#[test]
fn what_cannot_be_made_a_token_is_said() {
    let (_folder, file) = written(CONFIG);
    let cases: &[(&[&str], &str)] = &[
        (&["--user", "ann", "--expires", "soon"], "--expires"),
        (&["--user", "ann", "--expires", "99999999999999999999h"], "--expires"),
        (&["--user", "ann", "--channel", "room:7"], "PATTERN=ACTIONS"),
        (&["--user", "ann", "--channel", "room:7=own"], "subscribe, publish, presence, history"),
        (&["--user", "ann", "--channel", "room*=publish"], "pattern"),
    ];
    for (arguments, said) in cases {
        let refused = token(&file, arguments);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.err.contains(said), "{refused:?}");
    }
    let (_folder, file) = written("");
    assert!(token(&file, &["--user", "ann"]).err.contains("[[auth.keys]]"));
}

#[test]
fn a_configuration_is_told_what_is_wrong_with_its_keys_and_rules() {
    let key = |members: &str| format!("[[auth.keys]]\n{members}\n");
    let secret = "secret = \"a secret of the tests, and of nobody else\"";
    let published = |url: &str, more: &str| format!("[auth]\njwks_url = \"{url}\"\n{more}\n");
    let cases = [
        (
            key(&format!("algorithm = \"none\"\n{secret}")),
            "auth.keys[0]: \"none\": the algorithm is not one of",
        ),
        (key(secret), "`algorithm` is missing"),
        (key("algorithm = \"HS256\"\nsecret = \"short\""), "at least 32 bytes"),
        (key("algorithm = \"HS256\"\nsecret_file = \"/nowhere\""), "/nowhere"),
        (key("algorithm = \"HS256\"\npublic_key_file = \"/nowhere\""), "HS256 has no public keys"),
        (key("algorithm = \"RS256\"\npublic_key_file = \"/nowhere\""), "/nowhere"),
        (key(&format!("algorithm = \"RS256\"\n{secret}")), "public key"),
        (key("algorithm = \"HS256\""), "one of `secret`, `secret_file` and `public_key_file`"),
        (key(&format!("algorithm = \"HS256\"\n{secret}\nkid = \"a\"")), "there is no key `kid`"),
        (key(&format!("id = \"a\"\nalgorithm = \"HS256\"\n{secret}")).repeat(2), "two keys have the same id"),
        ("[[namespaces]]\nname = \"room:7\"\n".into(), "room:7"),
        ("[[namespaces]]\nname = \"$user\"\n".into(), "$user"),
        ("[[namespaces]]\nname = \"room\"\npublish = \"everybody\"\n".into(), "nobody, granted, owner"),
        ("[[namespaces]]\nname = \"room\"\n".repeat(2), "two rules"),
        ("[auth]\nuser_claim = \"\"\n".into(), "auth.user_claim"),
        (published("http://issuer.example/keys", ""), "`auth.jwks_url`"),
        (published("http://127.0.0.1/keys", "jwks_algorithms = [\"HS256\"]"), "HS256 is symmetric"),
        (
            published("http://127.0.0.1/keys", "jwks_algorithms = [\"none\"]"),
            "`auth.jwks_algorithms`: \"none\"",
        ),
        (published("http://127.0.0.1/keys", "jwks_algorithms = []"), "`auth.jwks_algorithms`: there is no"),
        (published("http://127.0.0.1/keys", "jwks_ca_file = \"/nowhere\""), "`auth.jwks_ca_file`"),
        (published("http://127.0.0.1/keys", "jwks_max_age_ms = 1000"), "`auth.jwks_max_age_ms` is 60000 to"),
    ];
    for (config, said) in cases {
        let (_folder, file) = written(&config);
        let refused = run(&["check", &file]);
        assert_eq!(refused.code, Some(2), "{config}: {refused:?}");
        assert!(refused.err.contains(said), "{config}: {refused:?}");
    }
    let (_folder, file) = written(&format!("listen = \"0.0.0.0:7080\"\n{CONFIG}"));
    assert_eq!(run(&["check", &file]).code, Some(0), "whoever connects is authenticated");
    let config = published("http://127.0.0.1:1/keys", "");
    let (_folder, file) = written(&format!("listen = \"0.0.0.0:7080\"\n{config}"));
    assert_eq!(
        run(&["check", &file]).code,
        Some(0),
        "by published keys too, though nobody publishes any yet"
    );
}
