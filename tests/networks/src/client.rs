//! Both clients behind one door: the one in Rust, in this process, and the one in TypeScript, in a page of Chromium.
//!
//! Either is as it is by default, with all four transports and no memory of what worked before. Times are each client's own, from
//! the call that makes the session; what came, and how often, is counted here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};
use throughline_client::{
    Events, Incoming, Session, SubscribeFrom, Transport, Via,
    wire::{Json, Meta, Payload, Send},
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::chromium::{Chromium, Page, Told};
use crate::route::{HELLO, Route};
use crate::traffic::channel_named;

/// A client that is played.
#[derive(Clone, Copy, Debug)]
pub enum Client<'a> {
    /// `clients/rust`.
    Rust,
    /// `clients/js`.
    Chromium(&'a Chromium),
}

/// An event that came to the application.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// Its own number, from 0.
    pub(crate) number: u64,
    /// How long after the session was made.
    pub(crate) after: Duration,
}

pub(crate) type Arriving = mpsc::UnboundedReceiver<Arrival>;

/// A session of either client.
#[derive(Debug)]
pub(crate) enum Running {
    Rust(Session),
    Page(InPage),
}

/// A session in a page.
#[derive(Debug)]
pub(crate) struct InPage {
    page: Page,
    told: Arc<WhatIsTold>,
    hearing: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct WhatIsTold {
    on: watch::Sender<Option<Transport>>,
    /// Those that wait for the reply to a command, by its number.
    replies: Mutex<BTreeMap<u64, oneshot::Sender<()>>>,
    is_closed: watch::Sender<bool>,
    error: watch::Sender<Option<String>>,
}

impl Client<'_> {
    /// How long a POST takes on a connection of its own, which the gateway answers at once.
    pub(crate) async fn bare_post(self, route: &Route) -> Result<Duration> {
        match self {
            Self::Rust => route.bare_post().await,
            Self::Chromium(chromium) => {
                let (page, mut told) = chromium.open(route).await?;
                page.call("post", HELLO.into());
                ms(&told.answer("posted").await?)
            }
        }
    }

    /// Makes a session that is subscribed to a channel.
    pub(crate) async fn connect(
        self,
        route: &Route,
        channel: &str,
        from: SubscribeFrom,
        poll_hold: Option<Duration>,
    ) -> Result<(Running, Arriving)> {
        let (arrives, arriving) = mpsc::unbounded_channel();
        let running = match self {
            Self::Rust => {
                let mut config = route.client()?;
                config.timing.poll_hold = poll_hold.unwrap_or(config.timing.poll_hold);
                config.subscriptions = vec![(channel_named(channel)?, from)];
                let begun = Instant::now();
                let (session, events) = Session::connect(config)?;
                tokio::spawn(pass_on(events, begun, arrives));
                Running::Rust(session)
            }
            Self::Chromium(chromium) => {
                let (page, tells) = chromium.open(route).await?;
                let from = match from {
                    SubscribeFrom::Last(last) => json!({ "last": last }),
                    _ => "now".into(),
                };
                let mut timing = json!({});
                if let Some(hold) = poll_hold {
                    timing["pollHoldMs"] = u64::try_from(hold.as_millis())?.into();
                }
                page.call("connect", json!({ "channel": channel, "from": from, "timing": timing }));
                let told = Arc::<WhatIsTold>::default();
                let hearing = tokio::spawn({
                    let told = Arc::clone(&told);
                    async move {
                        if let Err(error) = told.hear(tells, arrives).await {
                            told.error.send_replace(Some(format!("{error:#}")));
                        }
                    }
                });
                Running::Page(InPage { page, told, hearing })
            }
        };
        Ok((running, arriving))
    }
}

/// Passes events on that carry a number.
async fn pass_on(mut events: Events, begun: Instant, arrives: mpsc::UnboundedSender<Arrival>) {
    while let Some(incoming) = events.next().await {
        if let Incoming::Event { event, .. } = incoming
            && let Payload::Json(text) = &event.payload
            && let Ok(data) = serde_json::from_str::<Value>(text.as_str())
            && let Some(number) = data["n"].as_u64()
            && arrives.send(Arrival { number, after: begun.elapsed() }).is_err()
        {
            return;
        }
    }
}

impl Running {
    /// What it runs on, if it runs.
    pub(crate) fn on(&self) -> Option<Transport> {
        match self {
            Self::Rust(session) => session.state().borrow().via.map(|via| via.transport),
            Self::Page(page) => *page.told.on.borrow(),
        }
    }

    /// When it ran on something of which this holds: now, if it does. None if it does not in time.
    pub(crate) async fn runs_on(
        &self,
        patience: Duration,
        mut holds: impl FnMut(Transport) -> bool,
    ) -> Option<Instant> {
        let running = async {
            match self {
                Self::Rust(session) => {
                    let mut state = session.state();
                    let mut is_on = |via: Option<Via>| via.is_some_and(|via| holds(via.transport));
                    state.wait_for(|state| is_on(state.via)).await.map(drop)
                }
                Self::Page(page) => {
                    let mut on = page.told.on.subscribe();
                    on.wait_for(|on| on.is_some_and(&mut holds)).await.map(drop)
                }
            }
        };
        let runs = tokio::time::timeout(patience, running).await;
        matches!(runs, Ok(Ok(()))).then(Instant::now)
    }

    /// Gives it a command; what is returned ends with its reply.
    pub(crate) async fn begin_send(&self, channel: &str, number: u64) -> Result<JoinHandle<()>> {
        match self {
            Self::Rust(session) => {
                let payload = Json::parse(format!("{{\"n\":{number}}}").as_bytes());
                let payload = payload.map(Payload::Json).map_err(|error| anyhow!("{error}"))?;
                let channel = channel_named(channel)?;
                let sending = session
                    .begin_send(Send { channel, name: None, id: None, meta: Meta::default(), payload })
                    .await;
                Ok(tokio::spawn(async move { drop(sending.outcome().await) }))
            }
            Self::Page(InPage { page, told, .. }) => {
                let (replied, reply) = oneshot::channel();
                told.replies.lock().unwrap_or_else(PoisonError::into_inner).insert(number, replied);
                page.call("send", json!([channel, number]));
                Ok(tokio::spawn(async move { drop(reply.await) }))
            }
        }
    }

    /// Ends it, with a goodbye if that can be said in time.
    ///
    /// # Errors
    /// When something has gone wrong in its page, now or before.
    pub(crate) async fn close(&self, patience: Duration) -> Result<()> {
        match self {
            Self::Rust(session) => {
                let _ = tokio::time::timeout(patience, session.close()).await;
                Ok(())
            }
            Self::Page(InPage { page, told, .. }) => {
                page.call("close", Value::Null);
                let mut is_closed = told.is_closed.subscribe();
                let _ = tokio::time::timeout(patience, is_closed.wait_for(|is_closed| *is_closed)).await;
                told.error.borrow().as_ref().map_or(Ok(()), |error| Err(anyhow!("{error}")))
            }
        }
    }
}

impl WhatIsTold {
    async fn hear(&self, mut tells: Told, arrives: mpsc::UnboundedSender<Arrival>) -> Result<()> {
        loop {
            let told = tells.next().await?;
            if let Some(number) = told["event"].as_u64() {
                let _ = arrives.send(Arrival { number, after: ms(&told["after"])? });
            } else if let Some(number) = told["replied"].as_u64() {
                let waits = self.replies.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
                waits.map(|replied| replied.send(()));
            } else if let Some(on) = told.get("on") {
                self.on.send_replace(on.as_str().and_then(Transport::parse));
            } else if told["closed"] == true {
                self.is_closed.send_replace(true);
            }
        }
    }
}

impl Drop for InPage {
    fn drop(&mut self) {
        self.hearing.abort();
    }
}

fn ms(told: &Value) -> Result<Duration> {
    let ms = told.as_f64().context("a time in milliseconds")?;
    Ok(Duration::try_from_secs_f64(ms / 1e3)?)
}
