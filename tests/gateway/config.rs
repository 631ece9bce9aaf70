//! What `serve` can be told, and by whom.

use std::ffi::OsString;

use throughline::{
    cli::config::{Layers, Settings, describe},
    limits::Limit,
    session::{SlowPolicy, SlowRule},
};

use crate::kit::issued::{Folder, Issued};

fn layers(file: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Layers {
    let mut layers = Layers::default();
    layers.add_toml(file, "file.toml");
    layers.add_environment(
        environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))),
    );
    flags.iter().for_each(|(key, value)| layers.add_flag("--set", key, value));
    layers
}

fn settings(file: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Settings {
    layers(file, environment, flags).finish().unwrap()
}

#[track_caller]
fn refused(layers: Layers, parts: &[&str]) {
    let problems = layers.finish().unwrap_err().to_string();
    for part in parts {
        assert!(problems.contains(part), "{part} is not in {problems}");
    }
}

/// Every key of a file, by its path.
fn keys(table: &toml::Table, prefix: &str) -> Vec<(String, toml::Value)> {
    let mut all = Vec::new();
    for (name, value) in table {
        let path = format!("{prefix}{name}");
        match value {
            toml::Value::Table(section) => all.extend(keys(section, &format!("{path}."))),
            value => all.push((path, value.clone())),
        }
    }
    all
}

#[test]
fn nothing_has_to_be_configured() {
    let settings = settings("", &[], &[]);
    assert_eq!(settings, Settings::default());
    assert_eq!(settings.clients.listen, "127.0.0.1:7080");
    assert_eq!(settings.admin.listen, "127.0.0.1:7081");
}

#[test]
fn a_variable_is_stronger_than_the_file_and_a_flag_than_a_variable() {
    let file = "[session]\nheartbeat_ms = 2000\npoll_hold_ms = 2000\nprobe_ms = 2000";
    let environment =
        [("THROUGHLINE_SESSION_POLL_HOLD_MS", "3000"), ("THROUGHLINE_SESSION_PROBE_MS", "3000")];
    let session = settings(file, &environment, &[("session.probe_ms", "4000")]).session;
    assert_eq!((session.heartbeat_ms, session.poll_hold_ms, session.probe_ms), (2_000, 3_000, 4_000));
}

#[test]
fn each_kind_of_value_is_read_from_each_source() {
    let file =
        "origins = [\"https://a.example\"]\nanonymous = true\nbase_path = \"/rt\"\n[limits]\nchannels = 10";
    let by_file = settings(file, &[], &[]);
    let environment = [
        ("THROUGHLINE_ORIGINS", "https://a.example"),
        ("THROUGHLINE_ANONYMOUS", "true"),
        ("THROUGHLINE_BASE_PATH", "/rt"),
        ("THROUGHLINE_LIMITS_CHANNELS", "10"),
    ];
    let by_variable = settings("", &environment, &[]);
    let flags = [
        ("origins", "https://a.example"),
        ("anonymous", "true"),
        ("base_path", "/rt"),
        ("limits.channels", "1_0"),
    ];
    let by_flag = settings("", &[], &flags);
    assert_eq!(by_file, by_variable);
    assert_eq!(by_file, by_flag);
    assert_eq!((by_file.limits.channels, by_file.clients.anonymous), (10, true));
}

#[test]
fn what_is_printed_is_a_file_that_says_the_defaults_key_by_key() {
    let printed = describe();
    assert_eq!(settings(&printed, &[], &[]), Settings::default());
    let table: toml::Table = printed.parse().unwrap();
    let keys = keys(&table, "");
    assert!(keys.len() >= 46, "{}", keys.len());
    for (path, default) in keys {
        if ["tls.certificate_file", "tls.key_file", "webhook.url"].contains(&&*path) {
            continue; // none is anything alone: see below, and the webhook's own tests
        }
        let variable = format!("THROUGHLINE_{}", path.replace('.', "_").to_uppercase());
        assert!(printed.contains(&format!("Variable: {variable}\n")), "{variable}");
        // What it says is read: another value makes other settings.
        let other = match &default {
            toml::Value::Integer(number) => (number + 1).to_string(),
            toml::Value::Boolean(flag) => (!flag).to_string(),
            toml::Value::Array(_) => "https://a.example".into(),
            _ => match &*path {
                "listen" => "127.0.0.1:1".into(),
                "admin.listen" => "127.0.0.1:2".into(),
                "webtransport.listen" => "127.0.0.1:3".into(),
                "webtransport.url" => "https://rt.example.com/v1/webtransport".into(),
                "base_path" => "/rt".into(),
                "public_url" => "https://rt.example".into(),
                "http.forwarded_header" => "forwarded".into(),
                "log.format" => "json".into(),
                "admin.key" => "0123456789abcdef".into(),
                "admin.key_file" => concat!(env!("CARGO_MANIFEST_DIR"), "/LICENSE-MIT").into(),
                _ => "debug".into(),
            },
        };
        let other = match &*path {
            "admin.hosts" => "gateway.internal".into(),
            "auth.jwks_url" => "http://127.0.0.1:1/keys".into(),
            "limits.address_exempt" => "192.0.2.0/24".into(),
            "http.trusted_proxies" => "10.0.0.0/8".into(),
            "webhook.events" => "intent".into(),
            "webhook.ordered_by" => "game=channel".into(),
            "webhook.forward_headers" => "x-request-id".into(),
            _ => other,
        };
        assert_ne!(settings("", &[(&variable, &other)], &[]), Settings::default(), "{path}");
        assert_eq!(
            settings("", &[(&variable, &other)], &[]),
            settings("", &[], &[(&path, &other)]),
            "{path}"
        );
    }
}

#[test]
fn every_key_is_in_the_operators_document() {
    let document =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md")).unwrap();
    for (path, _) in keys(&describe().parse().unwrap(), "") {
        let is_there = [format!("`{path}`"), format!("`{path} ")].iter().any(|key| document.contains(key));
        assert!(is_there, "{path} is not in docs/operations.md");
    }
}

#[test]
fn every_limit_is_in_the_table_of_limits_by_its_key_and_by_its_word() {
    let document =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md")).unwrap();
    let (_, section) = document.split_once("\n## Limits\n").unwrap();
    let rows: Vec<Vec<&str>> = section
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    for (path, _) in keys(&describe().parse().unwrap(), "") {
        if path.starts_with("limits.") {
            assert!(rows.iter().any(|row| row[2] == format!("`{path}`")), "{path} is in no row");
        }
    }
    for limit in Limit::ALL.iter().map(|limit| limit.as_str()) {
        assert!(rows.iter().any(|row| row[5] == format!("`{limit}`")), "{limit} is in no row");
    }
}

#[test]
fn limits_without_sense_are_refused() {
    refused(
        layers("", &[], &[("limits.address_exempt", "everybody")]),
        &["`limits.address_exempt`", "everybody"],
    );
    refused(layers("", &[], &[("limits.commands_per_second", "1")]), &["`limits.commands_ahead`"]);
    settings("", &[], &[("limits.commands_per_second", "1"), ("limits.commands_ahead", "10")]);
    settings(
        "",
        &[],
        &[("limits.commands_per_second", "0"), ("limits.address_exempt", "192.0.2.7,2001:db8::/32")],
    );
    refused(layers("", &[], &[("limits.shed_at_percent", "100")]), &["`limits.shed_at_percent`"]);
    refused(layers("", &[], &[("limits.address_prefix", "129")]), &["`limits.address_prefix`"]);
    refused(layers("", &[], &[("limits.volatile_bytes", "65537")]), &["`limits.volatile_bytes`"]);
    let larger = [("limits.volatile_bytes", "65537"), ("limits.message_bytes", "131072")];
    assert_eq!(settings("", &[], &larger).limits.volatile_bytes, 65_537);
}

#[test]
fn the_printed_example_of_a_token_key_is_one() {
    let printed = describe();
    let at = printed.find("# [[token_keys]]").unwrap();
    let example = printed[at..]
        .replace("# ", "")
        .replace("secret_file = \"/run/secrets/throughline-token-key\"", "secret = \"0123456789abcdef\"");
    let example = example.split(" or secret").next().unwrap();
    let keys = settings(example, &[], &[]).lists.token_keys;
    assert_eq!((keys.len(), &*keys[0].id), (1, "a"));
    assert!(!format!("{keys:?}").contains("0123"), "a secret is not shown");
}

#[test]
fn an_unknown_key_is_an_error_with_a_hint_whoever_says_it() {
    refused(
        layers("[session]\nheartbeat = 1", &[], &[]),
        &["file.toml", "`session.heartbeat`", "`session.heartbeat_ms`"],
    );
    refused(layers("heartbeat_ms = 1", &[], &[]), &["did you mean `session.heartbeat_ms`?"]);
    refused(layers("[sesion]\nheartbeat_ms = 1", &[], &[]), &["there is no key `sesion`"]);
    refused(
        layers("", &[("THROUGHLINE_LISEN", "x")], &[]),
        &["THROUGHLINE_LISEN", "did you mean `THROUGHLINE_LISTEN`?"],
    );
    refused(layers("", &[], &[("limit.channels", "1")]), &["--set", "did you mean `limits.channels`?"]);
    refused(
        layers("[[token_keys]]\nid = \"a\"\nsecrt = \"x\"", &[], &[]),
        &["token_keys[0]", "did you mean `secret`?"],
    );
    refused(layers("", &[], &[("nonsense", "1")]), &["`throughline config` prints all keys"]);
}

#[test]
fn what_an_orchestrator_puts_into_the_environment_is_no_setting() {
    let environment = [
        ("THROUGHLINE_SERVICE_HOST", "10.0.0.1"),
        ("THROUGHLINE_PORT", "tcp://10.0.0.1:7080"),
        ("THROUGHLINE_PORT_7080_TCP_ADDR", "10.0.0.1"),
        ("THROUGHLINE_CONFIG", "throughline.toml"),
        ("THROUGHLINE_ADMIN_URL", "http://127.0.0.1:7081"),
        ("PATH", "/bin"),
    ];
    assert_eq!(settings("", &environment, &[]), Settings::default());
}

#[test]
fn a_value_of_the_wrong_kind_is_refused_where_it_was_said() {
    refused(layers("listen = 7080", &[], &[]), &["file.toml", "`listen` has to be a string"]);
    refused(layers("[limits]\nchannels = -1", &[], &[]), &["`limits.channels`", "a whole number"]);
    refused(
        layers("", &[("THROUGHLINE_ANONYMOUS", "yes")], &[]),
        &["THROUGHLINE_ANONYMOUS", "true or false"],
    );
    refused(layers("", &[], &[("limits.channels", "many")]), &["--set", "a whole number"]);
    refused(layers("origins = \"https://a.example\"", &[], &[]), &["a list of strings"]);
    refused(layers("listen = ", &[], &[]), &["file.toml"]);
    refused(layers("listen = \"a\"\nlisten = \"b\"", &[], &[]), &["file.toml"]);
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let file = "listen = \"here\"\nbase_path = \"rt/\"\norigins = [\"a.example\"]\n[log]\nformat = \"xml\"\nfilter = \"a=loud\"\n[session]\nheartbeat_ms = 999\n[limits]\nchannels = 0";
    refused(
        layers(file, &[], &[]),
        &[
            "`listen`",
            "`base_path`",
            "`origins`",
            "`log.format`",
            "`log.filter`",
            "`session.heartbeat_ms` is 1000 to 60000, not 999",
            "`limits.channels`",
        ],
    );
}

#[test]
fn what_is_said_of_proxies_and_of_the_public_address_has_to_be_right() {
    for url in [
        "rt.example",
        "https://rt.example/",
        "https://rt.example/live",
        "wss://rt.example",
        "null",
        "https://",
    ] {
        refused(layers("", &[], &[("public_url", url)]), &["`public_url`", url, "`base_path`"]);
    }
    for origin in ["https://app.example/", "*", "null", "https://user@app.example"] {
        refused(layers("", &[], &[("origins", origin)]), &["`origins`", origin]);
    }
    for network in ["proxy.internal", "10.0.0.0/33", "10.1.2.3/8"] {
        refused(layers("", &[], &[("http.trusted_proxies", network)]), &["`http.trusted_proxies`", network]);
    }
    refused(
        layers("", &[], &[("http.forwarded_header", "via")]),
        &["`http.forwarded_header`", "via", "x-forwarded-for"],
    );
    let file = "public_url = \"https://rt.example:8443\"\n[http]\ntrusted_proxies = [\"10.0.0.0/8\", \"fd00::/8\", \"::1\"]\n\
                forwarded_header = \"forwarded\"";
    assert_eq!(settings(file, &[], &[]).http.trusted_proxies.len(), 3);
}

#[test]
fn nothing_starts_beyond_loopback_unless_it_is_meant() {
    for address in ["0.0.0.0:7080", "[::]:7080", "192.0.2.1:7080"] {
        refused(layers("", &[], &[("listen", address)]), &[address, "--anonymous", "127.0.0.1"]);
        settings("", &[], &[("listen", address), ("anonymous", "true")]);
        refused(layers("", &[], &[("admin.listen", address)]), &[address, "admin.key_file"]);
        settings("", &[], &[("admin.listen", address), ("admin.key", "0123456789abcdef")]);
        refused(layers("", &[], &[("admin.listen", address), ("anonymous", "true")]), &["admin.key_file"]);
    }
    for address in ["0.0.0.0:7080", "192.0.2.1:7080"] {
        refused(layers("", &[], &[("webtransport.listen", address)]), &[address, "--anonymous"]);
        settings("", &[], &[("webtransport.listen", address), ("anonymous", "true")]);
    }
    refused(layers("", &[], &[("admin.key", "short")]), &["at least 16"]);
    refused(layers("", &[], &[("admin.listen", "127.0.0.1:7080")]), &["two listeners"]);
}

#[test]
fn a_place_for_webtransport_that_clients_would_not_find_is_refused() {
    let elsewhere = [("webtransport.listen", "0.0.0.0:7090"), ("anonymous", "true")];
    refused(
        layers("", &[], &elsewhere),
        &["`webtransport.url`", "https://rt.example.com:7090/v1/webtransport"],
    );
    let told = [elsewhere[0], elsewhere[1], ("webtransport.url", "https://a.example:7090/v1/webtransport")];
    settings("", &[], &told);
    settings("", &[], &[("webtransport.listen", "127.0.0.1:7090")]);
    for url in ["a.example", "http://a.example/", "https:///", "https://"] {
        refused(layers("", &[], &[("webtransport.url", url)]), &["`webtransport.url`", url]);
    }
}

#[test]
fn certificate_files_are_checked_before_anything_starts() {
    let folder = Folder::new("config");
    let (certificate, key) = folder.write(&Issued::now("rt.example.com"));
    let both = [("THROUGHLINE_TLS_CERTIFICATE_FILE", &*certificate), ("THROUGHLINE_TLS_KEY_FILE", &*key)];
    let tls = settings("", &both, &[]).tls;
    assert_eq!((tls.certificate_file, tls.key_file), (certificate.clone(), key.clone()));
    refused(layers("", &both[..1], &[]), &["`tls.key_file` is missing", &certificate]);
    refused(layers("", &both[1..], &[]), &["`tls.certificate_file` is missing", &key]);
    let exchanged = [("tls.certificate_file", &*key), ("tls.key_file", &*certificate)];
    refused(layers("", &[], &exchanged), &["`tls`", &key, "exchanged"]);
    folder.write_key(&Issued::now("rt.example.com"));
    refused(layers("", &both, &[]), &[&certificate, &key, "does not belong"]);
}

#[test]
fn token_keys_are_checked() {
    let key = |id: &str, secret: &str| format!("[[token_keys]]\nid = \"{id}\"\nsecret = \"{secret}\"\n");
    refused(layers(&key("a", "short"), &[], &[]), &["token_keys", "less than 16 bytes"]);
    let twice = key("a", "0123456789abcdef").repeat(2);
    refused(layers(&twice, &[], &[]), &["twice"]);
    refused(layers("[[token_keys]]\nid = \"a\"", &[], &[]), &["either `secret` or `secret_file`"]);
    refused(layers("[[token_keys]]\nid = \"a\"\nsecret_file = \"/nowhere\"", &[], &[]), &["/nowhere"]);
}

#[test]
fn what_slow_sessions_get_is_said_by_namespace_and_leaves_open_who_may_do_what() {
    let namespace = |members: &str| format!("[[namespaces]]\nname = \"price\"\n{members}\n");
    let lists = |members: &str| settings(&namespace(members), &[], &[]).lists;
    let both = lists("slow = \"latest\"\nslow_events = 10");
    let rule = SlowRule { events: 10, ..SlowRule::new(SlowPolicy::Latest) };
    assert_eq!((both.namespaces.len(), both.slow), (0, vec![("price".to_owned(), rule)]));
    let both = lists("slow = \"gap\"\nslow_bytes = 1_000\nsubscribe = \"anyone\"");
    let rule = SlowRule { bytes: 1_000, ..SlowRule::new(SlowPolicy::Gap) };
    assert_eq!((both.namespaces.len(), both.slow), (1, vec![("price".to_owned(), rule)]));
    let neither = lists("");
    assert_eq!((neither.namespaces.len(), neither.slow.len()), (1, 0));
}

#[test]
fn what_slow_sessions_get_is_checked() {
    let namespace = |members: &str| format!("[[namespaces]]\nname = \"price\"\n{members}\n");
    for (members, said) in [
        ("slow = \"newest\"", "one of replay, latest, gap"),
        ("slow = \"latest\"\nslow_events = 0", "`slow_events` has to be a whole number from 1"),
        ("slow = \"gap\"\nslow_bytes = \"1 MiB\"", "`slow_bytes` has to be a whole number from 1"),
        ("slow_events = 10", "`slow`"),
        ("slow = \"latest\"\nslow_event = 10", "did you mean `slow_events`?"),
        ("slow = \"latest\"\nslow_events = 1000", "below `retention.events`, 1000, not 1000"),
    ] {
        refused(layers(&namespace(members), &[], &[]), &["namespaces", said]);
    }
    let twice = namespace("slow = \"gap\"").repeat(2);
    refused(layers(&twice, &[], &[]), &["two rules for \"price\""]);
    let apart = [namespace("slow = \"gap\""), namespace("subscribe = \"anyone\"")].concat();
    refused(layers(&apart, &[], &[]), &["two rules for \"price\""]);
}
