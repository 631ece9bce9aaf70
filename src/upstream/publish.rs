//! The handler of a gateway that was given none: what a client says is published to the channel it names.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use throughline_wire::{ErrorCode, Payload, ReplyError, Sender, item::Accepted};
use tower::Service;

use super::{Intent, IntentResult};
use crate::{broker::Broker, channel::NewEvent};

/// Publishes each intent to its channel, stamped with its sender, and answers with the position.
#[derive(Clone)]
pub struct Publish {
    broker: Arc<dyn Broker>,
}

impl Publish {
    /// Publishes to this broker.
    pub fn new(broker: Arc<dyn Broker>) -> Self {
        Self { broker }
    }
}

impl Service<Intent> for Publish {
    type Response = Accepted;
    type Error = ReplyError;
    type Future = Pin<Box<dyn Future<Output = IntentResult> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ReplyError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, intent: Intent) -> Self::Future {
        let broker = Arc::clone(&self.broker);
        Box::pin(async move {
            let Intent { session, user, said, .. } = intent;
            let event = NewEvent {
                name: said.name,
                key: None,
                sender: Some(Sender { user, session }),
                meta: said.meta,
                payload: said.payload,
            };
            let position = broker.publish(&said.channel, event).await.map_err(ErrorCode::from)?;
            Ok(Accepted { position: Some(position), payload: Payload::Empty })
        })
    }
}

impl std::fmt::Debug for Publish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publish").finish_non_exhaustive()
    }
}
