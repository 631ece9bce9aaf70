//! The webhook: an application in any language, reached by HTTP.
//!
//! What happens is posted as one JSON object to one address, and what is answered is what the client hears. A request
//! is signed, limited in time, and repeated under the same `id` where nobody answered or the answer says "not now";
//! docs/webhook.md has the shape of both directions.
//!
//! Left out on purpose: redirects (a signed request goes where it was configured to go), a cache of answers, and a
//! queue of intents that outlives their clients' patience. What became of sessions is kept until it is heard: nobody
//! else would tell it.
//!
//! Read next: `event` for what is asked, `answer` for what is understood, `post` for how it gets there and how often.

mod answer;
mod event;
mod lanes;
mod metrics;
mod open;
mod post;
mod session;
mod signature;

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderName, Uri, header};
pub(crate) use metrics::WebhookMetrics;
pub(crate) use open::{Knock, Turned};
use rustls::pki_types::CertificateDer;
pub use session::Sessions;
use throughline_wire::{ErrorCode, Payload, Position, ReplyError, Sender, item::Accepted};
use tower::Service;

use self::{
    answer::{Accept, Publishing},
    event::IntentEvent,
    lanes::Lanes,
    post::{Failure, Post},
};
use super::{Intent, IntentResult, Order, Orders};
use crate::{broker::Broker, channel::NewEvent};

/// How the application is reached.
#[derive(Clone)]
pub struct WebhookConfig {
    /// Where events are posted: `http` or `https`.
    pub url: Uri,
    /// What the application is asked and told. Default: who may enter, and what becomes of what clients send.
    pub events: Vec<Event>,
    /// What requests are signed with, at least [`WebhookConfig::SECRET_BYTES`] bytes each. Every secret makes a signature
    /// of its own in the same header, so that the application may change to the next one before or after the gateway.
    pub secrets: Vec<String>,
    /// How long one attempt may take, from the connection to the last byte of the answer. Shorter leaves more of
    /// [`total`](Self::total) for the next. Default: 5 seconds.
    pub timeout: Duration,
    /// How long all attempts may take together, with the pauses between them. Default: 30 seconds; a gateway sets it to its
    /// own [`handler_timeout`](crate::gateway::GatewayConfig::handler_timeout).
    pub total: Duration,
    /// How often an event is tried. Default: 3.
    pub attempts: u32,
    /// How many requests may be under way at once, each on a connection of its own. Default: 128.
    pub requests: usize,
    /// How many may wait for one of those; the next is refused with `overloaded` at once. Each holds its event.
    /// Default: 4,096.
    pub waiting: usize,
    /// In which order intents are posted: [`Order::Channel`] is kept here. Default: by session.
    pub orders: Orders,
    /// How many intents about one channel there may be where they come in order across sessions, the one under way among
    /// them; the next is refused with `overloaded` at once. Default: 256.
    pub lane: usize,
    /// The largest answer; it is held in memory while it is read. Default: 64 KiB.
    pub answer_bytes: usize,
    /// Which headers of a client the application is shown when it says who that is. A cookie is shown only where a page
    /// that may connect stands behind the request. Default: `authorization`, `cookie`, `user-agent`.
    pub forward_headers: Vec<HeaderName>,
    /// Roots that are trusted beside those of the system, for `https`. Default: none.
    pub roots: Vec<CertificateDer<'static>>,
}

impl WebhookConfig {
    /// The shortest secret.
    pub const SECRET_BYTES: usize = 16;

    /// The defaults, for this address and this secret.
    pub fn new(url: Uri, secret: impl Into<String>) -> Self {
        Self {
            url,
            events: vec![Event::Open, Event::Intent],
            secrets: vec![secret.into()],
            timeout: Duration::from_secs(5),
            total: Duration::from_secs(30),
            attempts: 3,
            requests: 128,
            waiting: 4_096,
            orders: Orders::default(),
            lane: 256,
            answer_bytes: 64 * 1024,
            forward_headers: vec![header::AUTHORIZATION, header::COOKIE, header::USER_AGENT],
            roots: Vec::new(),
        }
    }
}

impl std::fmt::Debug for WebhookConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookConfig").field("url", &self.url).finish_non_exhaustive()
    }
}

/// What an application is asked or told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// Who may enter.
    Open,
    /// What becomes of what clients send.
    Intent,
    /// What became of sessions.
    Session,
}

impl Event {
    /// Every type.
    pub const ALL: &[Self] = &[Self::Open, Self::Intent, Self::Session];

    /// The `type` of the event.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Intent => "intent",
            Self::Session => "session",
        }
    }

    /// The event of this type.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|event| event.as_str() == word)
    }
}

/// Why there is no webhook of a configuration. The configuration's fault.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookError {
    /// The address is not one that could be called.
    #[error("{0:?} is not an address like \"https://app.example.com/throughline\"")]
    Url(String),
    /// Requests would not be signed.
    #[error("there is no secret to sign with")]
    NoSecret,
    /// A secret that could be guessed.
    #[error("a secret has at least {} bytes", WebhookConfig::SECRET_BYTES)]
    ShortSecret,
    /// No certificate could be checked.
    #[error("the trusted roots are not usable: {0}")]
    Roots(String),
}

/// An application that is reached by HTTP. Cheap to clone; clones share connections and bounds.
#[derive(Clone, Debug)]
pub struct Webhook {
    post: Arc<Post>,
    lanes: Arc<Lanes>,
    /// Names this run of the gateway.
    run: Arc<str>,
}

impl Webhook {
    /// A webhook with its connections. For `https` it reads the system's roots from disk.
    ///
    /// # Errors
    /// When the configuration is not usable.
    pub fn new(config: WebhookConfig) -> Result<Self, WebhookError> {
        let lanes = Arc::new(Lanes::new(config.lane));
        let run = random_text::<9>().into();
        Ok(Self { post: Arc::new(Post::new(config)?), lanes, run })
    }

    /// Signs with these secrets in place of those that it has, for all clones, from the next attempt on.
    ///
    /// # Errors
    /// [`WebhookError::NoSecret`] and [`WebhookError::ShortSecret`]: then those that it has stay.
    pub fn replace_secrets(&self, secrets: &[String]) -> Result<(), WebhookError> {
        self.post.signer.replace(secrets)
    }

    /// The handler of intents: a [`tower::Service`] that asks the application, and publishes what it says.
    pub fn intents(&self, broker: Arc<dyn Broker>) -> Intents {
        Intents { webhook: self.clone(), broker }
    }

    /// Who is told of the life of sessions: a [`tower::Service`] of [`SessionEvent`](super::SessionEvent)s.
    pub fn sessions(&self) -> Sessions {
        Sessions { webhook: self.clone() }
    }

    /// Whether the application is asked or told this.
    pub fn is_told(&self, event: Event) -> bool {
        self.post.config.events.contains(&event)
    }

    pub(crate) fn metrics(&self) -> &WebhookMetrics {
        &self.post.metrics
    }
}

/// Hands intents to a [`Webhook`]; made by [`Webhook::intents`].
#[derive(Clone)]
pub struct Intents {
    webhook: Webhook,
    broker: Arc<dyn Broker>,
}

impl Intents {
    async fn handle(&self, intent: Intent) -> IntentResult {
        let id = format!("{}.{}", intent.session, intent.command);
        let channel = &intent.said.channel;
        let _turn = match self.webhook.post.config.orders.of(channel) {
            Order::Channel => match self.webhook.lanes.turn(channel).await {
                None => return Err(refusal(&id, &Failure::Overloaded)),
                turn => turn,
            },
            Order::Session | Order::None => None,
        };
        let body = IntentEvent::new(&id, &intent).to_body();
        let answer = self
            .webhook
            .post
            .send(Event::Intent, &id, body)
            .await
            .map_err(|failure| refusal(&id, &failure))?;
        let accept = answer.read().map_err(|why| {
            tracing::warn!(id, %why, "the webhook's answer is not understood");
            ReplyError::from(ErrorCode::HandlerFailed)
        })?;
        let Accept { payload, publish } = accept?;
        let position = self.publish(intent, publish).await?;
        Ok(Accepted { position, payload })
    }

    /// Publishes what the answer asks for; gives the place of the first event in the intent's own channel.
    async fn publish(&self, intent: Intent, publish: Publishing) -> Result<Option<Position>, ReplyError> {
        let Intent { session, user, said, .. } = intent;
        let events = match publish {
            Publishing::Nothing => return Ok(None),
            Publishing::AsSaid => {
                let sender = Some(Sender { user, session });
                let event =
                    NewEvent { name: said.name, key: None, sender, meta: said.meta, payload: said.payload };
                vec![(said.channel.clone(), event)]
            }
            Publishing::Events(events) => events,
        };
        let mut position = None;
        for (channel, event) in events {
            let at = self.broker.publish(&channel, event).await.map_err(ErrorCode::from)?;
            if channel == said.channel {
                position.get_or_insert(at);
            }
        }
        Ok(position)
    }
}

impl Service<Intent> for Intents {
    type Response = Accepted;
    type Error = ReplyError;
    type Future = Pin<Box<dyn Future<Output = IntentResult> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ReplyError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, intent: Intent) -> Self::Future {
        let intents = self.clone();
        Box::pin(async move { intents.handle(intent).await })
    }
}

impl std::fmt::Debug for Intents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intents").field("webhook", &self.webhook).finish_non_exhaustive()
    }
}

/// The time on the wall, in milliseconds since the Unix epoch.
fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// So many random bytes as text.
fn random_text<const N: usize>() -> String {
    let mut random = [0; N];
    getrandom::fill(&mut random).expect("the operating system gives randomness");
    URL_SAFE_NO_PAD.encode(random)
}

/// What a client is told where the application said nothing that could be told.
fn refusal(id: &str, failure: &Failure) -> ReplyError {
    tracing::warn!(id, %failure, "the webhook gave no answer");
    match failure {
        Failure::Overloaded => ErrorCode::Overloaded,
        Failure::TimedOut => ErrorCode::TimedOut,
        Failure::Failed(_) => ErrorCode::HandlerFailed,
    }
    .into()
}

/// A payload as the member that it is in JSON.
fn payload_members(payload: &Payload) -> (Option<&serde_json::value::RawValue>, Option<String>) {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    match payload {
        Payload::Empty => (None, None),
        Payload::Json(json) => {
            (Some(serde_json::from_str(json.as_str()).expect("checked when it entered")), None)
        }
        Payload::Bytes(bytes) => (None, Some(STANDARD.encode(bytes))),
    }
}
