//! Who waits for whom, by `ordered_by`.

use serde_json::json;
use throughline::{
    gateway::GatewayConfig,
    upstream::{
        Orders,
        webhook::{Webhook, WebhookConfig},
    },
};

use super::{
    application::Application,
    intents::{client, result, say, send},
};
use crate::kit::running::{Plan, Running};

async fn gateway(application: &Application, lane: usize) -> Running {
    let orders = Orders::parse(["game=channel", "free=none"]).unwrap();
    let config = WebhookConfig { orders: orders.clone(), lane, ..application.config() };
    let plan = Plan::default();
    let gateway = GatewayConfig { orders, ..plan.gateway.clone() };
    Running::with(Plan { gateway, webhook: Some(Webhook::new(config).unwrap()), ..plan }).await
}

#[tokio::test]
async fn by_channel_one_session_waits_for_another_about_the_same_channel() {
    let mut application = Application::start().await;
    let gateway = gateway(&application, 256).await;
    let (mut one, mut other) = (client(&gateway).await, client(&gateway).await);
    say(&mut one, 1, send("game:1", json!("first"))).await;
    let first = application.asked().await;
    say(&mut other, 1, send("game:1", json!("second"))).await;
    for channel in ["game:2", "chat:1"] {
        let command = if channel == "game:2" { 2 } else { 3 };
        say(&mut other, command, send(channel, json!("beside"))).await;
        let beside = application.asked().await;
        assert_eq!(beside.event["channel"], channel, "{}", beside.event);
        beside.answer(&json!({}));
        assert_eq!(result(&mut other, command).await["ok"], true);
    }
    assert!(!application.is_asked());
    first.answer(&json!({}));
    let second = application.asked().await;
    assert_eq!(second.event["data"], "second");
    second.answer(&json!({}));
    assert_eq!(result(&mut other, 1).await["ok"], true);
}

#[tokio::test]
async fn a_lane_that_is_full_is_told_to_the_sender_at_once() {
    let mut application = Application::start().await;
    let gateway = gateway(&application, 1).await;
    let (mut one, mut other) = (client(&gateway).await, client(&gateway).await);
    say(&mut one, 1, send("game:1", json!(1))).await;
    let held = application.asked().await;
    say(&mut other, 1, send("game:1", json!(2))).await;
    assert_eq!(result(&mut other, 1).await["error"]["code"], "overloaded");
    held.answer(&json!({}));
    assert_eq!(result(&mut one, 1).await["ok"], true);
    say(&mut other, 2, send("game:1", json!(3))).await;
    application.asked().await.answer(&json!({}));
    assert_eq!(result(&mut other, 2).await["ok"], true);
}

#[tokio::test]
async fn without_an_order_one_session_has_several_under_way_about_one_channel() {
    let mut application = Application::start().await;
    let gateway = gateway(&application, 256).await;
    let mut socket = client(&gateway).await;
    say(&mut socket, 1, send("free:1", json!(1))).await;
    say(&mut socket, 2, send("free:1", json!(2))).await;
    let (first, second) = (application.asked().await, application.asked().await);
    second.answer(&json!({}));
    assert_eq!(result(&mut socket, 2).await["ok"], true);
    first.answer(&json!({}));
    assert_eq!(result(&mut socket, 1).await["ok"], true);
}
