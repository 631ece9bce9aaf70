//! The admin API end to end.

use serde_json::{Value, json};
use throughline::{
    broker::MemoryConfig,
    http::admin::{AdminConfig, AdminKey},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::kit::{
    http::{Answer, Ask},
    running::{Plan, Running},
    speech::{Heard, Known, frames},
};

async fn publish(gateway: &Running, body: Value) -> Answer {
    Ask::json("/api/v1/publish", &body.to_string()).to(gateway.admin).await
}

async fn history(gateway: &Running, query: &str) -> Value {
    Ask::get(&format!("/api/v1/channels/{query}")).to(gateway.admin).await.json()
}

#[tokio::test]
async fn what_is_published_is_in_the_history_at_the_position_that_was_answered() {
    let gateway = Running::start().await;
    let event = json!({"channel": "news", "name": "greeting", "key": "k", "meta": {"lang": "en"}, "data": {"a": [1]}});
    let answer = publish(&gateway, event).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let position = answer.json()["results"][0][0]["position"].clone();
    assert_eq!(position["offset"], 1);
    let bytes = publish(&gateway, json!({"channel": "news", "bytes": "AAH/"})).await;
    assert_eq!(bytes.json()["results"][0][0]["position"]["offset"], 2);
    publish(&gateway, json!({"channel": "news"})).await;

    let all = history(&gateway, "news/history").await;
    assert_eq!(all["head"], json!({"epoch": position["epoch"], "offset": 3}));
    assert_eq!(all["base"], 0);
    let events = all["events"].as_array().unwrap();
    assert_eq!(events.len(), 3);
    let mut first = events[0].clone();
    assert!(first.as_object_mut().unwrap().remove("time").is_some_and(|time| time.is_u64()));
    let expected = json!({
        "type": "event", "channel": "news", "offset": 1, "name": "greeting", "key": "k", "meta": {"lang": "en"},
        "data": {"a": [1]},
    });
    assert_eq!(first, expected);
    assert_eq!(events[1]["bytes"], "AAH/");
    assert!(events[2].get("data").is_none() && events[2].get("bytes").is_none());
}

#[tokio::test]
async fn history_goes_on_after_an_offset_while_the_epoch_is_the_same() {
    let gateway = Running::start().await;
    let events: Vec<Value> = (1..=5).map(|n| json!({"channel": "news", "data": n})).collect();
    let answer = publish(&gateway, json!({"events": events})).await;
    let epoch = answer.json()["results"][4][0]["position"]["epoch"].as_str().unwrap().to_owned();

    let page = history(&gateway, &format!("news/history?after=1&limit=2&epoch={epoch}")).await;
    let offsets = |page: &Value| -> Vec<u64> {
        page["events"].as_array().unwrap().iter().map(|event| event["offset"].as_u64().unwrap()).collect()
    };
    assert_eq!((offsets(&page), &page["next"]), (vec![2, 3], &json!(3)));
    let page = history(&gateway, "news/history?after=3&limit=2").await;
    assert_eq!((offsets(&page), page.get("next")), (vec![4, 5], None));
    let last = history(&gateway, "news/history?limit=2").await;
    assert_eq!(offsets(&last), [4, 5]);

    let other = Ask::get("/api/v1/channels/news/history?after=1&epoch=another").to(gateway.admin).await;
    assert_eq!((other.status, &*other.code()), (409, "epoch_mismatch"));
}

#[tokio::test]
async fn an_idempotency_key_publishes_once_in_the_body_or_the_header() {
    let gateway = Running::start().await;
    let event = json!({"channel": "news", "data": 1, "idempotencyKey": "k-1"});
    let first = publish(&gateway, event.clone()).await;
    assert_eq!(first.json(), publish(&gateway, event.clone()).await.json());
    let plain = r#"{"channel": "news", "data": 1}"#;
    let by_header =
        Ask::json("/api/v1/publish", plain).header("idempotency-key", "k-1").to(gateway.admin).await;
    assert_eq!(first.json(), by_header.json());
    let both = Ask::json("/api/v1/publish", &event.to_string()).header("idempotency-key", "k-2");
    assert_eq!(both.to(gateway.admin).await.code(), "malformed_request");
    assert_eq!(history(&gateway, "news/history").await["head"]["offset"], 1);
}

#[tokio::test]
async fn a_batch_is_answered_event_by_event_and_channel_by_channel() {
    let gateway = Running::start().await;
    let batch = json!({"events": [
        {"channels": ["a", "b"], "data": 1},
        {"channel": "a", "data": 2},
    ]});
    let results = publish(&gateway, batch).await.json()["results"].clone();
    let landed = |event: usize, at: usize| {
        let one = &results[event][at];
        (one["channel"].as_str().unwrap().to_owned(), one["position"]["offset"].as_u64().unwrap())
    };
    assert_eq!(landed(0, 0), ("a".into(), 1));
    assert_eq!(landed(0, 1), ("b".into(), 1));
    assert_eq!(landed(1, 0), ("a".into(), 2));
    assert_eq!(publish(&gateway, json!({"events": []})).await.json(), json!({"results": []}));
}

#[tokio::test]
async fn a_batch_with_one_wrong_event_publishes_nothing_and_names_the_place() {
    let gateway = Running::start().await;
    let batch = json!({"events": [{"channel": "a", "data": 1}, {"channels": ["a", "not a name"]}]});
    let answer = publish(&gateway, batch).await;
    assert_eq!((answer.status, &*answer.code()), (400, "invalid_channel"));
    assert!(answer.text().contains("events[1].channels[1]"), "{}", answer.text());
    assert_eq!(history(&gateway, "a/history").await["head"]["offset"], 0);
}

#[tokio::test]
async fn where_nothing_could_be_published_the_status_says_so_and_the_key_is_free_again() {
    let build =
        |builder: throughline::Builder| builder.memory(MemoryConfig { channels: 1, ..Default::default() });
    let gateway = Running::with(Plan { build, ..Plan::default() }).await;
    publish(&gateway, json!({"channel": "only", "data": 1})).await;
    let other = json!({"channel": "other", "data": 1, "idempotencyKey": "k"});
    for _ in 0..2 {
        let answer = publish(&gateway, other.clone()).await;
        assert_eq!((answer.status, &*answer.code()), (503, "too_many_channels"));
        assert_eq!(answer.json()["results"][0][0]["error"]["retryable"], true);
    }
    let half = publish(&gateway, json!({"channels": ["only", "other"], "data": 1})).await;
    assert_eq!(half.status, 200);
    assert_eq!(half.json()["results"][0][0]["position"]["offset"], 2);
    assert_eq!(half.json()["results"][0][1]["error"]["code"], "too_many_channels");
}

#[tokio::test]
async fn what_is_wrong_is_refused_by_name() {
    let plan = Plan {
        admin: AdminConfig { body_bytes: 4_096, event_bytes: 2_048, ..Plan::default().admin },
        ..Plan::default()
    };
    let gateway = Running::with(plan).await;
    let deep = format!(r#"{{"channel":"a","data":{}{}}}"#, "[".repeat(129), "]".repeat(129));
    let long = format!(r#"{{"channel":"a","data":"{}"}}"#, "x".repeat(2_048));
    let huge = format!(r#"{{"channel":"a","data":"{}"}}"#, "x".repeat(8_192));
    let many = format!(r#"{{"channels":[{}]}}"#, vec![r#""a""#; 1_001].join(","));
    let events = format!(r#"{{"events":[{}]}}"#, vec!["1"; 1_001].join(","));
    let bodies: &[(&str, u16, &str)] = &[
        ("", 400, "malformed_request"),
        ("[]", 400, "malformed_request"),
        ("{\"channel\":\"a\"", 400, "malformed_request"),
        ("{}", 400, "malformed_request"),
        (r#"{"channels":[]}"#, 400, "malformed_request"),
        (r#"{"channel":"a","channels":["a"]}"#, 400, "malformed_request"),
        (r#"{"channel":7}"#, 400, "malformed_request"),
        (r#"{"channel":"a","events":[]}"#, 400, "malformed_request"),
        (r#"{"channel":"a","payload":1}"#, 400, "unknown_member"),
        (r#"{"channel":"a","dta":1}"#, 400, "unknown_member"),
        (r#"{"channel":"a","channel":"b"}"#, 400, "duplicate_member"),
        (r#"{"channel":"a b"}"#, 400, "invalid_channel"),
        (r#"{"channel":"a","data":1,"bytes":""}"#, 400, "malformed_payload"),
        (r#"{"channel":"a","bytes":"AAH"}"#, 400, "malformed_payload"),
        (r#"{"channel":"a","data":"\ud800"}"#, 400, "lone_surrogate"),
        (&deep, 400, "payload_too_deep"),
        (r#"{"channel":"a","meta":{"Not":"legal"}}"#, 400, "invalid_meta"),
        (r#"{"channel":"a","meta":{"a":"1","a":"2"}}"#, 400, "invalid_meta"),
        (&long, 413, "message_too_large"),
        (&huge, 413, "message_too_large"),
        (&many, 413, "message_too_large"),
        (&events, 413, "message_too_large"),
    ];
    for (body, status, code) in bodies {
        let answer = Ask::json("/api/v1/publish", body).to(gateway.admin).await;
        assert_eq!((answer.status, &*answer.code()), (*status, *code), "{body:.80}: {}", answer.text());
        assert_eq!(answer.json()["error"]["retryable"], false, "{body:.80}");
    }
    let hint = Ask::json("/api/v1/publish", r#"{"channel":"a","dta":1}"#).to(gateway.admin).await;
    assert!(hint.text().contains(r#"did you mean \"data\"?"#), "{}", hint.text());

    let asks: Vec<(Ask, u16, &str)> = vec![
        (Ask::json("/api/v1/publish", "\u{0}").body(b"{\"channel\":\"\xff\"}"), 400, "not_utf8"),
        (Ask::frames("/api/v1/publish", "{}"), 415, "unsupported_codec"),
        (Ask::new("POST", "/api/v1/publish").body(b"{}"), 415, "unsupported_codec"),
        (Ask::get("/api/v1/publish"), 405, "method_not_allowed"),
        (Ask::get("/api/v1/volatile"), 405, "method_not_allowed"),
        (Ask::json("/api/v1/volatile", r#"{"channel":"a","key":"k"}"#), 400, "unknown_member"),
        (Ask::json("/api/v1/volatile", r#"{"data":1}"#), 400, "malformed_request"),
        (Ask::json("/api/v1/sessions", "{}"), 405, "method_not_allowed"),
        (Ask::get("/api/v1/nothing"), 404, "not_found"),
        (Ask::get("/v1/poll"), 404, "not_found"),
        (Ask::get("/api/v1/channels/a%20b/history"), 400, "invalid_channel"),
        (Ask::get("/api/v1/channels/a/history?limit=0"), 400, "number_out_of_range"),
        (Ask::get("/api/v1/channels/a/history?limit=1001"), 400, "number_out_of_range"),
        (Ask::get("/api/v1/channels/a/history?after=9007199254740992"), 400, "number_out_of_range"),
        (Ask::get("/api/v1/channels/a/history?afer=1"), 400, "unknown_member"),
        (Ask::get("/api/v1/channels/a/history?limit=1&limit=2"), 400, "duplicate_member"),
        (Ask::get("/api/v1/sessions/AAAAAAAAAAAAAAAAAAAAAA"), 404, "session_unknown"),
        (Ask::get("/api/v1/sessions/nonsense"), 404, "session_unknown"),
        (Ask::json("/api/v1/sessions/AAAAAAAAAAAAAAAAAAAAAA/disconnect", "{}"), 404, "session_unknown"),
        (Ask::frames("/api/v1/sessions/AAAAAAAAAAAAAAAAAAAAAA/disconnect", ""), 415, "unsupported_codec"),
    ];
    for (ask, status, code) in asks {
        let answer = ask.clone().to(gateway.admin).await;
        assert_eq!((answer.status, &*answer.code()), (status, code), "{ask:?}: {}", answer.text());
    }
    let wrong_method = Ask::get("/api/v1/publish").to(gateway.admin).await;
    assert_eq!(wrong_method.value("allow"), Some("post"));
    assert_eq!(gateway.metric("throughline_events_published_total"), 0);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let gateway = Running::with(Plan::impatient()).await;
    let mut stream = Ask::new("POST", "/api/v1/publish")
        .header("content-type", "application/json")
        .header("content-length", "100")
        .open(gateway.admin)
        .await;
    stream.write_all(b"{\"channel\"").await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
}

#[tokio::test]
async fn sessions_are_listed_page_by_page_and_one_by_one() {
    let gateway = Running::start().await;
    let mut opened = Vec::new();
    for _ in 0..5 {
        opened.push(Known::open(&gateway).await.id);
    }
    let (mut listed, mut after) = (Vec::new(), String::new());
    loop {
        let page =
            Ask::get(&format!("/api/v1/sessions?limit=2&after={after}")).to(gateway.admin).await.json();
        assert_eq!(page["count"], 5);
        let sessions = page["sessions"].as_array().unwrap();
        assert!(sessions.len() <= 2);
        listed.extend(sessions.iter().map(|session| session["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    opened.sort_unstable();
    listed.sort_unstable();
    assert_eq!(listed, opened);
    let one = Ask::get(&format!("/api/v1/sessions/{}", opened[0])).to(gateway.admin).await.json();
    assert_eq!(one["id"], Value::String(opened[0].clone()));
    assert_eq!(one["received"], 1);
    assert_eq!(one["subscriptions"][0]["channel"], "news");
}

#[tokio::test]
async fn one_request_says_why_a_user_is_on_polling() {
    let gateway = Running::start().await;
    let mut known = Known::open(&gateway).await;
    let tried = |transport: &str, outcome: &str| json!({"type": "tried", "transport": transport, "outcome": outcome, "tookMs": 40, "agoMs": 5});
    let post = [known.named(), tried("webtransport", "blocked"), tried("websocket", "of a later version")];
    let told = Ask::frames("/v1/send", frames(&post)).to(gateway.clients).await;
    assert_eq!(Heard::read(&told.body).0, [json!({"type": "ack", "upTo": 1})], "it is not answered");
    known.look(&gateway).await;

    let path = format!("/api/v1/sessions/{}", known.id);
    let session = Ask::get(&path).to(gateway.admin).await.json();
    let transports = &session["transports"];
    assert!(transports.get("now").is_none(), "{transports}");
    let history = transports["history"].as_array().unwrap();
    let told: Vec<_> = history
        .iter()
        .map(|entry| {
            (
                entry["by"].clone(),
                entry["transport"].clone(),
                entry["outcome"].clone(),
                entry["times"].clone(),
            )
        })
        .collect();
    let line = |by: &str, transport: &str, outcome: &str, times: u64| {
        (json!(by), json!(transport), json!(outcome), json!(times))
    };
    assert_eq!(
        told,
        [
            line("gateway", "polling", "answered", 2),
            line("client", "webtransport", "blocked", 1),
            line("client", "websocket", "other", 1),
            line("gateway", "polling", "answered", 1),
        ]
    );
    assert_eq!((&history[0]["codec"], &history[1]["tookMs"]), (&json!("throughline.v1.json"), &json!(40)));
    assert!(history[1].get("codec").is_none());
    let counted = |labels: &str| gateway.metric(&format!("throughline_attempts_total{{{labels}}}"));
    assert_eq!(counted("transport=\"webtransport\",outcome=\"blocked\""), 1);
    assert_eq!(counted("transport=\"websocket\",outcome=\"other\""), 1);
    let listed = Ask::get("/api/v1/sessions").to(gateway.admin).await.json();
    assert!(listed["sessions"][0].get("transports").is_none());
}

#[tokio::test]
async fn a_session_that_is_disconnected_is_told_so_and_is_gone() {
    let gateway = Running::with(Plan::holding()).await;
    let mut known = Known::open(&gateway).await;
    let address = gateway.clients;
    let hello = known.resume();
    // A poll of the instance that is known already is held.
    let poll = tokio::spawn(async move { Ask::frames("/v1/poll", frames(&[hello])).to(address).await });
    let path = format!("/api/v1/sessions/{}", known.id);
    let attached = async {
        while Ask::get(&path).to(gateway.admin).await.json()["transports"]["now"]["transport"] != "polling" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::kit::PATIENCE, attached).await.expect("the poll is held");
    let ended = Ask::json(&format!("{path}/disconnect"), "").to(gateway.admin).await;
    assert_eq!((ended.status, &ended.json()["disconnected"]), (200, &Value::String(known.id.clone())));
    let told = Heard::read(&poll.await.unwrap().body);
    assert_eq!(told.retry(), Some("disconnected"), "{told:?}");
    assert_eq!(Ask::get(&path).to(gateway.admin).await.status, 404);
    assert!(!known.look(&gateway).await.1);
}

#[tokio::test]
async fn a_client_is_asked_to_move_or_the_error_says_why_not() {
    let gateway = Running::with(Plan::holding()).await;
    let mut known = Known::open(&gateway).await;
    let path = format!("/api/v1/sessions/{}/migrate", known.id);
    let wanted = json!({"transports": ["sse", "websocket"], "delayMs": 5, "spreadMs": 10}).to_string();
    let refused = [
        (wanted.as_str(), 409, "no_link"),
        (r#"{"transports": ["carrier-pigeon"]}"#, 400, "not_offered"),
        (r#"{"transports": []}"#, 400, "malformed_request"),
        (r#"{"delayMs": 5}"#, 400, "malformed_request"),
        (r#"{"transports": ["sse"], "delayMs": 86400001}"#, 400, "number_out_of_range"),
        (r#"{"transport": "sse"}"#, 400, "unknown_member"),
    ];
    for (body, status, code) in refused {
        let answer = Ask::json(&path, body).to(gateway.admin).await;
        assert_eq!((answer.status, &*answer.code()), (status, code), "{body}");
    }
    let nobody = "/api/v1/sessions/AAAAAAAAAAAAAAAAAAAAAA/migrate";
    assert_eq!(Ask::json(nobody, &wanted).to(gateway.admin).await.code(), "session_unknown");

    let (address, hello) = (gateway.clients, known.resume());
    let poll = tokio::spawn(async move { Ask::frames("/v1/poll", frames(&[hello])).to(address).await });
    let asked = async {
        loop {
            let answer = Ask::json(&path, &wanted).to(gateway.admin).await;
            if answer.status == 200 {
                break answer.json();
            }
            tokio::task::yield_now().await;
        }
    };
    let asked = tokio::time::timeout(crate::kit::PATIENCE, asked).await.expect("the poll is held");
    assert_eq!(asked["asked"], Value::String(known.id.clone()));
    let heard = Heard::read(&poll.await.unwrap().body);
    let migrate = heard.first("migrate").unwrap_or_else(|| panic!("{heard:?}"));
    let names: Vec<_> =
        migrate["transports"].as_array().unwrap().iter().map(|offer| &offer["name"]).collect();
    assert_eq!(names, ["sse", "websocket"]);
    assert_eq!((&migrate["delayMs"], &migrate["spreadMs"]), (&json!(5), &json!(10)));
}

#[tokio::test]
async fn with_a_key_nothing_but_health_is_open() {
    let admin = AdminConfig { key: AdminKey::new("a-key-of-some-length"), ..AdminConfig::default() };
    let gateway = Running::with(Plan { admin, ..Plan::default() }).await;
    let asks = [
        Ask::json("/api/v1/publish", r#"{"channel":"a"}"#),
        Ask::get("/api/v1/channels/a/history"),
        Ask::get("/api/v1/sessions"),
        Ask::get("/metrics"),
        Ask::get("/nothing"),
    ];
    for ask in asks {
        for key in [None, Some("Bearer a-key-of-another-sort"), Some("a-key-of-some-length")] {
            let ask = match key {
                None => ask.clone(),
                Some(key) => ask.clone().header("authorization", key),
            };
            let answer = ask.clone().to(gateway.admin).await;
            assert_eq!((answer.status, &*answer.code()), (401, "unauthorized"), "{ask:?}");
            assert_eq!(answer.value("www-authenticate"), Some("bearer"));
        }
        let open = ask.header("authorization", "Bearer a-key-of-some-length").to(gateway.admin).await;
        assert_ne!(open.status, 401);
    }
    assert_eq!(Ask::get("/healthz").to(gateway.admin).await.status, 200);
}

#[tokio::test]
async fn metrics_and_health_have_their_types() {
    let gateway = Running::start().await;
    let metrics = Ask::get("/metrics").to(gateway.admin).await;
    let media_type = metrics.value("content-type");
    assert_eq!(media_type, Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert!(metrics.text().ends_with("# EOF\n"));
    let health = Ask::get("/healthz").to(gateway.admin).await;
    assert_eq!((health.status, health.json()), (200, json!({"healthy": true})));
}
