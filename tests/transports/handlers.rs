//! What a handler does to the session that it answers.

use std::{
    convert::Infallible,
    future::{Future, Pending, pending},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use throughline::upstream::Intent;
use throughline_client::{
    Config, SendError, Session, Transport, Via,
    wire::{self, ChannelName, Json, Meta, Payload, item::Accepted},
};
use tokio::sync::Notify;
use tower::Service;

use super::support::gateway::TestGateway;

/// Panics at what is empty, echoes the rest.
#[derive(Clone)]
struct Touchy;

impl Service<Intent> for Touchy {
    type Response = Accepted;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Accepted, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, intent: Intent) -> Self::Future {
        Box::pin(async move {
            assert!(!intent.said.payload.is_empty(), "this handler has a defect");
            Ok(Accepted { position: None, payload: intent.said.payload })
        })
    }
}

/// Tells that it was asked, and never answers.
#[derive(Clone)]
struct Silent(Arc<Notify>);

impl Service<Intent> for Silent {
    type Response = Accepted;
    type Error = Infallible;
    type Future = Pending<Result<Accepted, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Intent) -> Self::Future {
        self.0.notify_one();
        pending()
    }
}

#[tokio::test]
async fn what_was_said_is_of_unknown_outcome_once_the_last_handle_is_dropped() {
    let asked = Arc::new(Notify::new());
    let gateway = TestGateway::start(|builder| builder.handler(Silent(Arc::clone(&asked)))).await;
    let config = Config::new(format!("http://{}", gateway.address)).only(Via::json(Transport::WebSocket));
    let (session, _events) = Session::connect(config).expect("a legal configuration");
    let channel = ChannelName::parse("orders").expect("a legal name");
    let said = wire::Send { channel, name: None, id: None, meta: Meta::default(), payload: Payload::Empty };
    let sending = session.begin_send(said).await;
    asked.notified().await;
    drop(session);
    let outcome = sending.outcome().await;
    assert!(matches!(outcome, Err(SendError::OutcomeUnknown)), "{outcome:?}");
}

#[tokio::test]
async fn a_handler_that_panics_fails_its_intent_and_its_lane_goes_on() {
    let gateway = TestGateway::start(|builder| builder.handler(Touchy)).await;
    let config = Config::new(format!("http://{}", gateway.address)).only(Via::json(Transport::WebSocket));
    let (session, _events) = Session::connect(config).expect("a legal configuration");
    let channel = ChannelName::parse("orders").expect("a legal name");
    let json = Payload::Json(Json::parse(b"7").expect("legal JSON"));
    for _ in 0..100 {
        let failed = session.send(channel.clone(), None, None, Meta::default(), Payload::Empty).await;
        assert!(
            matches!(&failed, Err(SendError::Rejected(error)) if &*error.code == "handler_failed"),
            "{failed:?}"
        );
    }
    let accepted = session.send(channel, None, None, Meta::default(), json.clone()).await;
    assert_eq!(accepted.expect("the lane goes on").payload, json);
}
