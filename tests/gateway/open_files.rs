//! A gateway with few descriptors: what it has left is for those who are there, and what they need to come back.

use std::net::SocketAddr;

use serde_json::{Value, json};
use throughline_wire::Codec;
use tokio::{io::AsyncReadExt as _, net::TcpStream, time::timeout};

use crate::kit::{
    PATIENCE,
    http::{Answer, Ask},
    process::{Process, Serve},
    speech::{Heard, frames, hello},
    websocket::Socket,
};

/// How many files the process may have open: 90 of them are the mark, 95 the end.
const MOST: usize = 100;
const LOW: &str = "0";
const HIGH: &str = "1";
const FULL: &str = "2";

/// A process that was given so many, as by a supervisor's limit.
fn serve() -> Serve {
    let script = format!("ulimit -n {MOST}; exec \"$@\"");
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_throughline"), "serve"]);
    command.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    // Whoever says nothing is left alone meanwhile.
    for patience in
        ["http.keep_alive_ms=600000", "session.provisional_ms=600000", "session.heartbeat_ms=60000"]
    {
        command.args(["--set", patience]);
    }
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    Serve::of(Process::start(command))
}

/// Connections that are kept, so that the process has this many files open, until it says that it is so short of them.
async fn short(serve: &Serve, files: usize, pressure: &str, held: &mut Vec<TcpStream>) {
    let folder = format!("/proc/{}/fd", serve.process.id());
    let waiting = async {
        while !is_pressed(serve, pressure).await {
            // What answers has been accepted. In between there may be a file more, for a moment.
            while std::fs::read_dir(&folder).expect("it runs").count() < files {
                let mut stream = Ask::get("/healthz").open(serve.client_address()).await;
                let mut answer = [0; 1_024];
                if stream.read(&mut answer).await.is_ok_and(|length| answer[..length].starts_with(OK)) {
                    held.push(stream);
                } else {
                    break; // turned away, since it is shorter than that already
                }
            }
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("it never is so short: {pressure}"));
}

const OK: &[u8] = b"HTTP/1.1 200";

/// Whether the process says that it is so short of files.
async fn is_pressed(serve: &Serve, pressure: &str) -> bool {
    let metrics = Ask::get("/metrics").to(serve.admin_address()).await.text();
    let series = format!("throughline_pressure{{limit=\"open_files\"}} {pressure}");
    metrics.lines().any(|line| line == series)
}

async fn poll(address: SocketAddr, hello: &Value) -> (Answer, Heard) {
    let answer = Ask::frames("/v1/poll", frames(std::slice::from_ref(hello))).to(address).await;
    let heard = Heard::read(&answer.body);
    (answer, heard)
}

#[tokio::test]
async fn short_of_files_newcomers_are_refused_and_sessions_go_on_and_come_back_until_there_is_room() {
    let mut serve = serve();
    let clients = serve.client_address();
    let mut socket = Socket::open(clients, Codec::Json).await;
    let subscribe =
        json!({"type": "commands", "first": 1, "items": [{"type": "subscribe", "channel": "news"}]});
    socket.say_frames(&[hello(), subscribe]).await;
    assert!(socket.hear(|frame| frame["type"] == "items").await);
    let (_, opened) = poll(clients, &hello()).await;
    let away = opened.first("welcome").expect("there is room").clone();
    let resume = json!({"token": away["token"], "incarnation": away["incarnation"], "after": 0, "low": 1});
    // Whoever says its name is told everything anew.
    let client = json!({"name": "test", "version": "1"});
    let resume = json!({"type": "hello", "version": 0, "instance": "test", "client": client, "attach": 2, "resume": resume});

    let mut held = Vec::new();
    short(&serve, 91, HIGH, &mut held).await;
    let (_, refused) = poll(clients, &hello()).await;
    assert_eq!((refused.codes(), refused.retry()), (vec!["overloaded"], Some("overload")));
    let (_, back) = poll(clients, &resume).await;
    assert_eq!(back.first("welcome").map(|welcome| &welcome["resumed"]), Some(&json!(true)), "{back:?}");

    short(&serve, 96, FULL, &mut held).await;
    let (answer, refused) = poll(clients, &resume).await;
    assert_eq!((answer.status, refused.codes()), (503, vec!["overloaded"]), "no connection is taken");
    let published = Ask::json("/api/v1/publish", r#"{"channel": "news", "data": 1}"#);
    assert_eq!(published.to(serve.admin_address()).await.status, 200);
    let is_event = |frame: &Value| frame["items"][0]["type"] == "event";
    assert!(socket.hear(is_event).await, "who is here is served");

    drop(held);
    short(&serve, 0, LOW, &mut Vec::new()).await;
    let (_, opened) = poll(clients, &hello()).await;
    assert!(opened.first("welcome").is_some(), "{opened:?}");
    serve.process.signal("TERM");
    serve.process.error_line("there is room again");
    serve.process.error_line("stopped");
    let limits: Vec<_> =
        serve.process.errors.iter().filter(|line| line.contains("short of open_files")).collect();
    assert_eq!(limits.len(), 1, "it is said once: {limits:?}");
}
