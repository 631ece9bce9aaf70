//! What `throughline check` makes of a webhook.

use throughline::cli::config::{Layers, Settings};

use crate::kit::issued::{Folder, Issued};

const SECRET: (&str, &str) = ("webhook.secrets", "0123456789abcdef");

fn settings(flags: &[(&str, &str)]) -> Result<Settings, String> {
    let mut layers = Layers::default();
    flags.iter().for_each(|(key, value)| layers.add_flag("--set", key, value));
    layers.finish().map_err(|problems| problems.to_string())
}

#[test]
fn what_is_wrong_with_a_webhook_is_said_by_its_key() {
    let url = ("webhook.url", "http://127.0.0.1:1/hook");
    assert!(settings(&[url, SECRET]).is_ok());
    for (flags, parts) in [
        (&[url][..], ["`webhook.secrets`", "no secret"]),
        (&[url, ("webhook.secrets", "short")], ["`webhook.secrets`", "at least 16"]),
        (&[url, ("webhook.secret_files", "/nowhere")], ["`webhook.secret_files`", "/nowhere"]),
        (&[("webhook.url", "app.example.com"), SECRET], ["`webhook.url`", "app.example.com"]),
        (&[("webhook.url", "http://a b/"), SECRET], ["`webhook.url`", "http://a b/"]),
        (&[url, SECRET, ("webhook.events", "opened")], ["`webhook.events`", "open, intent"]),
        (&[url, SECRET, ("webhook.forward_headers", "a b")], ["`webhook.forward_headers`", "a b"]),
        (&[url, SECRET, ("webhook.ordered_by", "game=turn")], ["`webhook.ordered_by`", "game=turn"]),
        (&[url, SECRET, ("webhook.attempts", "0")], ["`webhook.attempts`", "1 to 100"]),
        (&[url, SECRET, ("webhook.ca_file", "/nowhere")], ["`webhook.ca_file`", "/nowhere"]),
    ] {
        let problems = settings(flags).unwrap_err();
        assert!(parts.iter().all(|part| problems.contains(part)), "{problems}");
        assert!(!problems.contains("0123"), "{problems}");
    }
}

#[test]
fn beyond_loopback_a_webhook_says_who_may_enter() {
    let (listen, url) = (("listen", "0.0.0.0:7080"), ("webhook.url", "http://127.0.0.1:1/hook"));
    assert!(settings(&[listen, url, SECRET]).is_ok());
    for flags in [&[listen][..], &[listen, url, SECRET, ("webhook.events", "intent")]] {
        let problems = settings(flags).unwrap_err();
        assert!(problems.contains("`webhook.url`") && problems.contains("--anonymous"), "{problems}");
    }
}

#[test]
fn secrets_and_roots_may_be_in_files() {
    let folder = Folder::new("webhook");
    let (certificate, key) = folder.write(&Issued::now("app.example.com"));
    let url = ("webhook.url", "https://app.example.com/hook");
    assert!(settings(&[url, ("webhook.secret_files", &key), ("webhook.ca_file", &certificate)]).is_ok());
    let problems = settings(&[url, SECRET, ("webhook.ca_file", &key)]).unwrap_err();
    assert!(problems.contains("`webhook.ca_file`") && problems.contains(&key), "{problems}");
}
