//! How operators ask for a drain, and how balancers learn of it.

use serde_json::json;

use crate::kit::{http::Ask, process::Serve, running::Running};

#[tokio::test]
async fn readiness_fails_at_once_on_both_listeners_and_liveness_does_not() {
    let gateway = Running::start().await;
    let status = async |path: &str| {
        let ask = |address| Ask::get(path).to(address);
        (ask(gateway.clients).await.status, ask(gateway.admin).await.status)
    };
    assert_eq!(status("/readyz").await, (200, 200));
    gateway.handle.drain(None);
    assert_eq!(status("/readyz").await, (503, 503));
    assert_eq!(status("/healthz").await, (200, 200));
    let told = Ask::get("/readyz").to(gateway.admin).await.json();
    assert_eq!(told, json!({"ready": false, "draining": true}));
}

#[tokio::test]
async fn a_drain_is_asked_for_once_and_says_how_far_it_is() {
    let gateway = Running::start().await;
    let none = Ask::get("/api/v1/drain").to(gateway.admin).await.json();
    assert_eq!(none["draining"], false);
    let begun = Ask::json("/api/v1/drain", r#"{"deadlineMs": 5000}"#).to(gateway.admin).await.json();
    assert_eq!(
        (&begun["draining"], &begun["sessions"], &begun["deadlineMs"]),
        (&json!(true), &json!(0), &json!(5000))
    );
    assert!(gateway.handle.drained().await);
    let again = Ask::json("/api/v1/drain", r#"{"deadlineMs": 9000}"#).to(gateway.admin).await.json();
    assert_eq!((&again["done"], &again["deadlineMs"]), (&json!(true), &json!(5000)), "the same drain");
    assert_eq!(gateway.metric("throughline_draining"), 1);

    let wrong = Ask::json("/api/v1/drain", r#"{"deadline": 1}"#).to(gateway.admin).await;
    assert_eq!((wrong.status, &*wrong.code()), (400, "unknown_member"));
    let wrong = Ask::json("/api/v1/drain", r#"{"deadlineMs": 99999999}"#).to(gateway.admin).await;
    assert_eq!((wrong.status, &*wrong.code()), (400, "number_out_of_range"));
    let wrong = Ask::new("DELETE", "/api/v1/drain").to(gateway.admin).await;
    assert_eq!((wrong.status, wrong.value("allow")), (405, Some("post")));
}

#[test]
fn a_process_that_drained_by_request_is_there_until_it_is_signalled() {
    let mut serve = Serve::start(&[]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(Ask::json("/api/v1/drain", "{}").to(serve.admin_address()));
    serve.process.error_line("drained");
    let told = runtime.block_on(Ask::get("/api/v1/drain").to(serve.admin_address())).json();
    assert_eq!(told["done"], true);
    serve.process.signal("TERM");
    assert_eq!(serve.process.wait(), Some(0));
}
