//! Mounts the gateway in an axum application, which says who may enter and publishes by itself.
//!
//! `cargo run --example embed_axum`, then in other terminals:
//!
//! ```text
//! curl -N -H 'x-user: ann' 'http://127.0.0.1:3000/realtime/v1/events?channel=orders'
//! curl -X POST http://127.0.0.1:3000/orders/7
//! ```

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::post,
};
use throughline::{
    Gateway, Handle,
    broker::Pending,
    channel::NewEvent,
    gateway::{Authenticate, Credentials, Denied, GatewayConfig, Identity},
    wire::{ChannelName, Json, Payload},
};

/// Whoever a trusted proxy in front says it is.
struct ByHeader;

impl Authenticate for ByHeader {
    fn authenticate<'a>(&'a self, credentials: &'a Credentials) -> Pending<'a, Result<Identity, Denied>> {
        let user = credentials.headers.get("x-user").and_then(|user| user.to_str().ok());
        let identity = user
            .map(|user| Identity { user: Some(user.into()), ..Identity::default() })
            .ok_or(Denied::Unauthorized);
        Box::pin(std::future::ready(identity))
    }
}

/// An ordinary handler: does its work, then says so to everybody who listens.
async fn order(State(gateway): State<Handle>, Path(id): Path<u32>) -> Result<String, StatusCode> {
    let channel = ChannelName::parse("orders").map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let data = Json::parse(format!(r#"{{"order":{id}}}"#).as_bytes()).map_err(|_| StatusCode::BAD_REQUEST)?;
    let event = NewEvent { payload: Payload::Json(data), ..NewEvent::default() };
    let position = gateway.publish(&channel, event).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(format!("order {id} is event {} of {channel}\n", position.offset))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let config = GatewayConfig { base_path: "/realtime".into(), ..GatewayConfig::default() };
    let gateway = Gateway::builder().config(config).authenticate(ByHeader).build();
    let handle = gateway.handle();
    let app =
        Router::new().route("/orders/{id}", post(order)).with_state(handle.clone()).fallback_service(gateway);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app)
        .with_graceful_shutdown(async move {
            let _ = tokio::signal::ctrl_c().await;
            handle.shutdown(std::time::Duration::from_secs(5)).await;
        })
        .await
}
