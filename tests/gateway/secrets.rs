//! Secrets in files are exchanged while sessions stand: each takes effect, and one that cannot be used does not.

#![cfg(unix)]

use std::fs;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use throughline::auth::{Jwt, JwtConfig, Key};
use throughline_wire::Codec;

use crate::{
    kit::{
        http::Ask,
        issued::Folder,
        process::Serve,
        speech::{Heard, frames, hello},
        websocket::Socket,
    },
    webhook::application::Application,
};

/// A gateway whose every secret is in a file.
struct Stage {
    folder: Folder,
    serve: Serve,
}

impl Stage {
    fn set(application: &Application) -> Self {
        let folder = Folder::new("secrets");
        for (name, secret) in [
            ("token-now", "the first token key"),
            ("token-before", "an older token key"),
            ("auth", "the first secret of the application"),
            ("admin", "the first admin key"),
            ("webhook", "the first webhook secret"),
        ] {
            fs::write(folder.path(name), format!("{secret}\n")).expect("a file");
        }
        let path = |name: &str| folder.path(name);
        let config = format!(
            r#"
[[token_keys]]
id = "now"
secret_file = "{}"
[[token_keys]]
id = "before"
secret_file = "{}"
[[auth.keys]]
algorithm = "HS256"
secret_file = "{}"
[[namespaces]]
name = "*"
publish = "users"
[admin]
key_file = "{}"
[webhook]
url = "{}"
events = ["intent"]
secret_files = ["{}"]
"#,
            path("token-now"),
            path("token-before"),
            path("auth"),
            path("admin"),
            application.url(),
            path("webhook"),
        );
        let file = folder.path("throughline.toml");
        fs::write(&file, config).expect("a file");
        let serve = Serve::start(&["--config", &file]);
        Self { folder, serve }
    }

    /// Replaces a secret, and waits until the gateway has taken it.
    fn replace(&mut self, file: &str, secret: &str) {
        fs::write(self.folder.path(file), secret).expect("a file");
        self.serve.process.signal("HUP");
        self.serve.process.error_line("there is a new secret");
    }

    /// Replaces a secret by one that cannot be used, and waits until the gateway has said so.
    fn spoil(&mut self, file: &str, secret: &str) -> String {
        fs::write(self.folder.path(file), secret).expect("a file");
        // Twice: it might have been half written.
        self.serve.process.signal("HUP");
        loop {
            // Two signals may become one.
            self.serve.process.signal("HUP");
            let line = self.serve.process.error_line("");
            if line.contains("the old one stays") {
                return line;
            }
        }
    }

    async fn say(&self, hello: Value) -> Heard {
        let answer = Ask::frames("/v1/poll", frames(&[hello])).to(self.serve.client_address()).await;
        Heard::read(&answer.body)
    }

    async fn admin(&self, key: &str) -> u16 {
        let ask = Ask::get("/metrics").header("authorization", &format!("Bearer {key}"));
        ask.to(self.serve.admin_address()).await.status
    }

    async fn reloads(&self, key: &str, secret: &str, result: &str) -> String {
        let ask = Ask::get("/metrics").header("authorization", &format!("Bearer {key}"));
        let metrics = ask.to(self.serve.admin_address()).await.text();
        let series = format!("throughline_secret_reloads_total{{secret=\"{secret}\",result=\"{result}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&series)).expect("a series").to_owned()
    }
}

fn hello_of(user: &str, secret: &str) -> Value {
    let key = Key::new(None, "HS256".parse().unwrap(), secret.as_bytes()).unwrap();
    let jwt = Jwt::new(vec![key], JwtConfig::default(), || 0).unwrap();
    let claims = json!({"sub": user, "exp": 32_503_680_000_u64});
    let mut hello = hello();
    hello["auth"] = jwt.mint(claims.as_object().unwrap()).unwrap().into();
    hello
}

fn resume(of: &Heard, auth: &Value) -> Value {
    let welcome = of.first("welcome").unwrap_or_else(|| panic!("{of:?}"));
    json!({
        "type": "hello", "version": 0, "instance": "test", "attach": 2, "auth": auth,
        "client": {"name": "test", "version": "1"},
        "resume": {"token": welcome["token"], "incarnation": welcome["incarnation"], "after": 0, "low": 1},
    })
}

const FIRST: &str = "the first secret of the application";
const SECOND: &str = "the second secret of the application";

#[tokio::test(flavor = "multi_thread")]
async fn every_secret_is_exchanged_under_a_session_that_stands() {
    let mut application = Application::start().await;
    let mut stage = Stage::set(&application);
    let mut socket = Socket::open(stage.serve.client_address(), Codec::Json).await;
    socket.say_frames(&[hello_of("ann", FIRST)]).await;
    assert!(socket.hear_all().await, "{:?}", socket.heard);

    // What clients' tokens are proven by.
    stage.replace("auth", SECOND);
    assert_eq!(stage.say(hello_of("ann", FIRST)).await.retry(), Some("unauthorized"));
    let ben = stage.say(hello_of("ben", SECOND)).await;
    assert_eq!(ben.first("welcome").unwrap()["user"], "ben");

    // What session tokens are signed with: the present one becomes the one before.
    let before = ben.first("welcome").unwrap()["token"].clone();
    stage.replace("token-before", "the first token key");
    stage.replace("token-now", "the second token key");
    let resumed = stage.say(resume(&ben, &hello_of("ben", SECOND)["auth"])).await;
    let welcome = resumed.first("welcome").unwrap_or_else(|| panic!("{resumed:?}"));
    assert_eq!(welcome["resumed"], true);
    assert_ne!(welcome["token"], before, "and it is told the token of the new key");
    stage.replace("token-before", "nobody's token key");
    let mut again = resume(&ben, &hello_of("ben", SECOND)["auth"]);
    again["attach"] = json!(3);
    assert_eq!(stage.say(again.clone()).await.retry(), Some("positions"), "the first key is forgotten");
    again["resume"]["token"] = welcome["token"].clone();
    assert_eq!(stage.say(again).await.first("welcome").unwrap()["resumed"], true);

    // What the admin API wants to see.
    assert_eq!(stage.admin("the first admin key").await, 200);
    stage.replace("admin", "the second admin key");
    assert_eq!(stage.admin("the first admin key").await, 401);
    assert_eq!(stage.admin("the second admin key").await, 200);

    // What requests to the application are signed with.
    for (number, secret) in [(1, "the first webhook secret"), (2, "the second webhook secret")] {
        if number == 2 {
            stage.replace("webhook", secret);
        }
        let send = json!({"type": "send", "channel": "news", "data": number});
        socket.say_frames(&[json!({"type": "commands", "first": number, "items": [send]})]).await;
        let asked = application.asked().await;
        assert!(is_signed(asked.header("throughline-signature"), &asked.body, secret), "{secret}");
        asked.answer(&json!({"data": number}));
        assert!(socket.hear(|frame| frame["items"][0]["data"] == number).await, "{:?}", socket.heard);
    }
    assert!(socket.hear_all().await, "its link has stood all the while");
    assert_eq!(socket.heard.codes(), [""; 0]);
    for (secret, count) in
        [("auth_keys", "1"), ("token_keys", "3"), ("admin_key", "1"), ("webhook_secrets", "1")]
    {
        assert_eq!(stage.reloads("the second admin key", secret, "loaded").await, count, "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_cannot_be_used_changes_nothing_and_holds_up_no_other() {
    let application = Application::start().await;
    let mut stage = Stage::set(&application);
    for (file, name) in [
        ("auth", "auth_keys"),
        ("token-now", "token_keys"),
        ("admin", "admin_key"),
        ("webhook", "webhook_secrets"),
    ] {
        let said = stage.spoil(file, "too short");
        assert!(said.contains(name) && !said.contains("too short"), "{said}");
        assert_eq!(stage.reloads("the first admin key", name, "failed").await, "1");
    }
    let ann = stage.say(hello_of("ann", FIRST)).await;
    assert_eq!(ann.first("welcome").unwrap()["user"], "ann");
    let resumed = stage.say(resume(&ann, &hello_of("ann", FIRST)["auth"])).await;
    assert_eq!(resumed.first("welcome").unwrap()["resumed"], true);
    stage.replace("auth", SECOND);
    assert_eq!(stage.say(hello_of("ann", SECOND)).await.first("welcome").unwrap()["user"], "ann");
    fs::remove_file(stage.folder.path("admin")).expect("a file");
    assert_eq!(stage.admin("the first admin key").await, 200);
}

/// docs/webhook.md: HMAC-SHA256 over the time, a dot and the body.
fn is_signed(header: &str, body: &[u8], secret: &str) -> bool {
    let time = header.strip_prefix("t=").and_then(|rest| rest.split(',').next()).expect("a time");
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(body);
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    header.ends_with(&format!(",v1={hex}"))
}
