//! An application that is reached by TLS: whom the gateway trusts, as its operator says.

use serde_json::{Value, json};
use throughline_wire::Codec;

use super::{
    application::{Application, SECRET},
    intents::{result, say, send},
};
use crate::kit::{
    issued::{Folder, Issued},
    process::Serve,
    speech::hello,
    websocket::Socket,
};

/// `throughline serve` behind this application, that says something to it.
async fn serve(application: &Application, more: &[&str]) -> (Serve, Socket) {
    let (url, secret) = (format!("webhook.url={}", application.url()), format!("webhook.secrets={SECRET}"));
    let mut flags = vec!["--set", &url, "--set", &secret, "--set", "webhook.events=intent"];
    flags.extend(["--set", "webhook.attempts=1"]);
    flags.extend(more);
    let serve = Serve::start(&flags);
    let mut socket = Socket::open(serve.client_address(), Codec::Json).await;
    socket.say_frames(&[hello()]).await;
    assert!(socket.hear(|frame| frame["type"] == "welcome").await);
    say(&mut socket, 1, send("a", json!(1))).await;
    (serve, socket)
}

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted_where_its_file_is_named() {
    let folder = Folder::new("webhook-tls");
    let authority = Issued::authority();
    let roots = folder.path("roots.pem");
    std::fs::write(&roots, &authority.certificate).unwrap();
    let mut application = Application::start_secure(&authority.issue("localhost")).await;
    let trusting = format!("webhook.ca_file={roots}");
    let (_serve, mut socket) = serve(&application, &["--set", &trusting]).await;
    let asked = application.asked().await;
    assert_eq!((&asked.event["type"], &asked.event["data"]), (&json!("intent"), &json!(1)));
    asked.answer(&json!({"data": "by TLS"}));
    let reply: Value = result(&mut socket, 1).await;
    assert_eq!((&reply["ok"], &reply["data"]), (&json!(true), &json!("by TLS")));
}

#[tokio::test]
async fn who_is_not_trusted_or_has_another_name_is_told_nothing() {
    let folder = Folder::new("webhook-tls");
    let authority = Issued::authority();
    let roots = folder.path("roots.pem");
    std::fs::write(&roots, &authority.certificate).unwrap();
    let trusting = format!("webhook.ca_file={roots}");
    for (name, more) in [("localhost", &[][..]), ("elsewhere.example", &["--set", &trusting][..])] {
        let application = Application::start_secure(&authority.issue(name)).await;
        let (_serve, mut socket) = serve(&application, more).await;
        assert_eq!(result(&mut socket, 1).await["error"]["code"], "handler_failed", "{name}");
        assert!(!application.is_asked(), "{name}");
    }
}
