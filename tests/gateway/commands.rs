//! The command line as real processes.

use throughline_wire::Codec;

use crate::kit::{
    http::Ask,
    process::{Serve, end, run, throughline},
    speech::hello,
    websocket::Socket,
};

#[test]
fn what_is_published_shows_up_in_listen_over_each_transport_and_codec() {
    let serve = Serve::start(&[]);
    let ways = [
        ("websocket", "json"),
        ("websocket", "bincode"),
        ("polling", "json"),
        ("polling", "bincode"),
        ("sse", "json"),
    ];
    let mut listeners = ways.map(|(transport, codec)| {
        (transport, serve.listen(&["news", "--transport", transport, "--codec", codec]))
    });
    for (_, listener) in &mut listeners {
        listener.line("- #1 subscribed news@0");
    }
    let published = serve.publish(&["news", r#"{"hello":"world"}"#, "--name", "greeting"]);
    assert!(published.out.starts_with("news@1 (epoch "), "{published:?}");
    assert_eq!(published.code, Some(0));
    for (transport, listener) in &mut listeners {
        let line = listener.line(transport);
        assert_eq!(line, format!("{transport} #2 news@1 \"greeting\" {{\"hello\":\"world\"}}"));
    }
    // A listener that ends says bye, and its session is gone at once.
    for (_, listener) in &mut listeners {
        listener.signal("INT");
        assert_eq!(listener.wait(), Some(0));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sessions = runtime.block_on(Ask::get("/api/v1/sessions").to(serve.admin_address())).json();
    assert_eq!(sessions["count"], 0, "{sessions}");
}

#[test]
fn listen_begins_with_the_last_events_in_the_first_answer() {
    let serve = Serve::start(&[]);
    for n in 0..5 {
        serve.publish(&["news", &n.to_string()]);
    }
    let mut listener = serve.listen(&["news", "--last", "2"]);
    assert_eq!(listener.line("polling"), "polling #2 news@4 3");
    assert_eq!(listener.line("polling"), "polling #3 news@5 4");
    // And goes on to something better.
    while listener.line("- web").contains("lost") {}
}

#[test]
fn a_stop_says_goodbye_on_every_link() {
    let mut serve = Serve::start(&[]);
    let mut listeners = ["websocket", "polling", "sse"].map(|transport| {
        let mut listener = serve.listen(&["news", "--transport", transport]);
        listener.line("- #1 subscribed");
        (transport, listener)
    });
    serve.process.signal("TERM");
    for (transport, listener) in &mut listeners {
        let line = listener.line(&format!("- {transport}"));
        assert!(line.contains("opened") || line.contains("drain"), "{line}");
        let line = if line.contains("drain") { line } else { listener.line(&format!("- {transport}")) };
        assert!(line.contains("lost (drain); again in "), "{line}");
    }
    assert_eq!(serve.process.wait(), Some(0));
    assert!(serve.process.errors.iter().any(|line| line.contains("stopped")), "{:?}", serve.process.errors);
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut serve = Serve::start(&["--set", "drain.deadline_ms=3600000"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // A link whose client never takes its goodbye: it is not driven any more once it stands.
    let mut socket = runtime.block_on(Socket::open(serve.client_address(), Codec::Json));
    runtime.block_on(async {
        socket.say_frames(&[hello()]).await;
        assert!(socket.hear(|frame| frame["type"] == "welcome").await);
    });
    serve.process.signal("TERM");
    serve.process.error_line("stopping");
    serve.process.signal("TERM");
    assert_eq!(serve.process.wait(), Some(0));
    assert!(
        serve.process.errors.iter().any(|line| line.contains("stopped at once")),
        "{:?}",
        serve.process.errors
    );
}

#[test]
fn tokens_are_in_no_log_line_at_any_level() {
    let mut serve = Serve::start(&["--log", "trace", "--log-format", "json"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let token = runtime.block_on(async {
        let mut socket = Socket::open(serve.client_address(), Codec::Json).await;
        socket.say_frames(&[hello()]).await;
        assert!(socket.hear(|frame| frame["type"] == "welcome").await);
        let token = socket.heard.first("welcome").unwrap()["token"].as_str().unwrap().to_owned();
        let polled = crate::kit::speech::frames(&[serde_json::json!({
            "type": "session", "token": token, "incarnation": 1, "link": 0,
        })]);
        Ask::frames("/v1/send", polled).to(serve.client_address()).await;
        socket.say_frames(&[serde_json::json!({"type": "bye"})]).await;
        socket.hear(|_| false).await;
        token
    });
    serve.process.error_line("link ended");
    serve.process.signal("TERM");
    serve.process.wait();
    let secret = token.rsplit('.').next().unwrap();
    let mut links = 0;
    for line in &serve.process.errors {
        assert!(!line.contains(secret), "{line}");
        let line: serde_json::Value = serde_json::from_str(line).expect("every line is an object");
        if line["message"] == "link ended" && line["transport"] == "websocket" {
            links += 1;
            assert!(line["session"].is_string() && line["duration_ms"].is_u64(), "{line}");
            assert!(line["reason"].is_string(), "{line}");
        }
    }
    assert_eq!(links, 1, "one line per link end: {:?}", serve.process.errors);
    assert!(serve.process.errors.iter().any(|line| line.contains("DEBUG")), "the filter was obeyed");
}

#[test]
fn serve_says_what_to_do_where_it_refuses() {
    let refused = run(&["serve", "--listen", "0.0.0.0:0"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.err.contains("--anonymous"), "{refused:?}");
    let refused = run(&["serve", "--admin-listen", "0.0.0.0:0"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.err.contains("admin.key_file"), "{refused:?}");
    let refused = run(&["serve", "--set", "session.hartbeat_ms=1"]);
    assert!(refused.err.contains("did you mean `session.heartbeat_ms`?"), "{refused:?}");

    let allowed = Serve::start(&["--listen", "0.0.0.0:0", "--anonymous"]);
    assert!(allowed.clients.starts_with("http://0.0.0.0:"), "{}", allowed.clients);
}

#[test]
fn the_file_the_environment_and_the_flags_are_read_in_that_order() {
    let folder = std::env::temp_dir().join(format!("throughline-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("throughline.toml");
    std::fs::write(
        &file,
        "base_path = \"/file\"\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n",
    )
    .unwrap();
    let file = file.to_str().unwrap().to_owned();
    let path_of = |variable: Option<&str>, flags: &[&str]| {
        let mut command = throughline(&[&["serve"], flags].concat());
        command.env("THROUGHLINE_CONFIG", &file);
        if let Some(path) = variable {
            command.env("THROUGHLINE_BASE_PATH", path);
        }
        let mut process = crate::kit::process::Process::start(command);
        let line = process.line("clients");
        line.split_whitespace().nth(1).unwrap().rsplit('/').nth(1).unwrap().to_owned()
    };
    assert_eq!(path_of(None, &[]), "file");
    assert_eq!(path_of(Some("/variable"), &[]), "variable");
    assert_eq!(path_of(Some("/variable"), &["--base-path", "/flag"]), "flag");

    assert_eq!(run(&["check", &file]).code, Some(0));
    std::fs::write(&file, "lissen = 1\n").unwrap();
    let wrong = run(&["check", &file]);
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.err.contains("did you mean `listen`?"), "{wrong:?}");
    std::fs::write(&file, run(&["config"]).out).unwrap();
    assert_eq!(run(&["check", &file]).code, Some(0), "what `config` prints is a file");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn publish_says_what_is_wrong() {
    let serve = Serve::start(&["--set", "admin.key=0123456789abcdef"]);
    let no_json = serve.publish(&["news", "hello"]);
    assert!(no_json.code == Some(1) && no_json.err.contains("malformed_payload"), "{no_json:?}");
    let no_key = serve.publish(&["news", "1"]);
    assert!(no_key.code == Some(1) && no_key.err.contains("unauthorized"), "{no_key:?}");
    let no_name = serve.publish(&["not a name", "1", "--admin-key", "0123456789abcdef"]);
    assert!(no_name.code == Some(1) && no_name.err.contains("invalid_channel"), "{no_name:?}");
    let nobody = run(&["publish", "news", "1", "--admin", "http://127.0.0.1:1"]);
    assert!(nobody.code == Some(1) && nobody.err.contains("is `throughline serve` running?"), "{nobody:?}");
    let twice = ["news,other", "1", "--admin-key", "0123456789abcdef", "--idempotency-key", "k"];
    assert_eq!(serve.publish(&twice).out, serve.publish(&twice).out);
}

#[test]
fn listen_refuses_what_cannot_be() {
    let serve = Serve::start(&[]);
    let ended = end(serve.listen(&["news", "--transport", "sse", "--codec", "bincode"]));
    assert!(ended.code == Some(1) && ended.err.contains("--codec json"), "{ended:?}");
    let ended = end(serve.listen(&["$health"]));
    assert!(ended.code == Some(1) && ended.err.contains("$health"), "{ended:?}");
}
