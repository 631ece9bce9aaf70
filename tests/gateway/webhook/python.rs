//! The backend of examples/backend_python, as its readers run it: it checks signatures by code of its own.

use std::process::{Command, Stdio};

use serde_json::json;
use throughline_wire::Codec;

use crate::kit::{
    http::Ask,
    issued::Folder,
    process::{Process, Serve},
    speech::{Heard, frames, hello},
    websocket::Socket,
};

/// The backend, and where it is.
fn backend(secret_file: &str) -> (Process, String) {
    let mut command = Command::new("python3");
    command
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/backend_python/backend.py"))
        .args(["--port", "0", "--secret-file", secret_file])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut process = Process::start(command);
    let line = process.line("listening on ");
    (process, line.trim_start_matches("listening on ").to_owned())
}

fn secret(folder: &Folder, name: &str, secret: &str) -> String {
    let file = folder.path(name);
    std::fs::write(&file, secret).unwrap();
    file
}

/// Says something in the chat, and gives the reply.
fn say(serve: &Serve) -> serde_json::Value {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut socket = Socket::open(serve.client_address(), Codec::Json).await;
        let mut hello = hello();
        hello["auth"] = json!("ada");
        socket.say_frames(&[hello]).await;
        assert!(socket.hear(|frame| frame["type"] == "welcome").await, "{:?}", socket.heard);
        let said = json!({"type": "send", "channel": "chat", "name": "say", "data": {"text": " hi "}});
        socket.say_frames(&[json!({"type": "commands", "first": 1, "items": [said]})]).await;
        let is_reply = |frame: &serde_json::Value| frame["items"][0]["type"] == "reply";
        assert!(socket.hear(is_reply).await, "{:?}", socket.heard);
        socket.heard.0.iter().find(|frame| is_reply(frame)).unwrap()["items"][0].clone()
    })
}

#[test]
fn the_backend_knows_who_may_enter_and_answers_what_the_gateway_signed_by_publishing() {
    let folder = Folder::new("backend");
    let shared = secret(&folder, "secret", "0123456789abcdef\n");
    let next = secret(&folder, "next", "the one that comes next\n");
    let (mut backend, url) = backend(&shared);
    let url = format!("webhook.url={url}");
    // The gateway signs by the next secret already, and the backend knows the old one still.
    let secrets = format!("webhook.secret_files={next},{shared}");
    let serve = Serve::start(&["--set", &url, "--set", &secrets]);
    let mut listener = serve.listen(&["chat", "--transport", "websocket", "--auth", "bob"]);
    listener.line("- #1 subscribed");
    let reply = say(&serve);
    assert_eq!((&reply["ok"], &reply["data"]), (&json!(true), &json!({"length": 2})), "{reply}");
    assert!(listener.line("websocket #2").ends_with("\"said\" {\"text\": \"hi\"}"));
    backend.line("intent ");
    let nobody = Ask::frames("/v1/poll", frames(&[hello()]));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let turned_away = runtime.block_on(nobody.to(serve.client_address()));
    assert_eq!(Heard::read(&turned_away.body).codes(), ["unauthorized"]);
}

#[test]
fn the_backend_knows_who_is_online() {
    let folder = Folder::new("backend");
    let shared = secret(&folder, "secret", "0123456789abcdef");
    let (mut backend, url) = backend(&shared);
    let (url, secrets) = (format!("webhook.url={url}"), format!("webhook.secret_files={shared}"));
    let events = "webhook.events=open,intent,session";
    let serve = Serve::start(&[
        "--set",
        &url,
        "--set",
        &secrets,
        "--set",
        events,
        "--set",
        "session.presence_grace_ms=0",
    ]);
    let listen = |user| serve.listen(&["chat", "--transport", "websocket", "--auth", user]);
    let bob = listen("bob");
    assert_eq!(backend.line("online"), "online bob");
    let _ada = listen("ada");
    assert_eq!(backend.line("online"), "online ada bob");
    drop(bob);
    assert_eq!(backend.line("online"), "online ada");
}

#[test]
fn the_backend_refuses_what_another_secret_signed_or_nobody() {
    let folder = Folder::new("backend");
    let theirs = secret(&folder, "theirs", "0123456789abcdef");
    let ours = secret(&folder, "ours", "fedcba9876543210");
    let (_backend, url) = backend(&theirs);
    let (told, secrets) = (format!("webhook.url={url}"), format!("webhook.secret_files={ours}"));
    let serve = Serve::start(&["--set", &told, "--set", &secrets, "--set", "webhook.events=intent"]);
    assert_eq!(say(&serve)["error"]["code"], "handler_failed");
    let address = url.trim_start_matches("http://").trim_end_matches('/').parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let event = r#"{"type":"intent","id":"a.1"}"#;
    assert_eq!(runtime.block_on(Ask::json("/", event).to(address)).status, 401);
    // Genuine once, and recorded: 14 November 2023.
    let signed = mac(&format!("1700000000000.{event}"));
    let old = Ask::json("/", event).header("throughline-signature", &format!("t=1700000000000,v1={signed}"));
    assert_eq!(runtime.block_on(old.to(address)).status, 401);
}

/// HMAC-SHA256 in hexadecimal, by the secret of the backend.
fn mac(text: &str) -> String {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(b"0123456789abcdef").unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}
