//! One client of a herd: its session, and what is known of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Result, anyhow};
use throughline_client::{
    Config, Event, Events, Incoming, LinkChange, SendError, Session, SubscribeFrom,
    wire::{ChannelName, Json, Meta, Payload},
};

use crate::{
    application::{Outcome, Sent},
    dial::{By, From},
    herd::{CROWD, Order, Plan, room},
    ledger::{Account, Ledger},
    log::Log,
    tally::Tally,
};

/// What is known of a client.
#[derive(Debug)]
pub(crate) struct Member {
    client: u32,
    wants: By,
    on: Option<By>,
    channels: [Heard; 2],
    is_settled: bool,
    /// The newest mark that has come in each channel.
    mark: u64,
}

/// What a client has heard of one channel.
#[derive(Debug)]
struct Heard {
    name: ChannelName,
    ledger: Ledger,
    mark: u64,
}

/// A client that runs. Dropping it ends its session without a goodbye.
pub(crate) struct Running {
    client: u32,
    session: Session,
    member: Arc<Mutex<Member>>,
}

impl Running {
    /// Joins.
    pub(crate) fn join(plan: &Plan, number: u32, log: &Arc<Log>, tally: &Arc<Tally>) -> Result<Self> {
        let client = plan.first + number;
        let mut config = Config::new(&*plan.url);
        config.dial = Arc::new(From { address: plan.from, client, log: Arc::clone(log) });
        let (wants, only) = plan.mix.wants(client);
        if let Some(via) = only {
            config = config.only(via);
        }
        let heard = |name: String| -> Result<Heard> {
            let name = ChannelName::parse(&name).map_err(|code| anyhow!("{name}: {code}"))?;
            Ok(Heard { name, ledger: Ledger::default(), mark: 0 })
        };
        let channels = [heard(CROWD.to_owned())?, heard(room(client / 2 % plan.rooms))?];
        config.subscriptions =
            channels.iter().map(|heard| (heard.name.clone(), SubscribeFrom::Now)).collect();
        let member = Member { client, wants, on: None, channels, is_settled: false, mark: 0 };
        let member = Arc::new(Mutex::new(member));
        let (session, events) = Session::connect(config)?;
        tokio::spawn(follow(events, Arc::clone(&member), Arc::clone(log), Arc::clone(tally)));
        Ok(Self { client, session, member })
    }

    /// Sends its how manyth thing to the application, and waits for how that ends.
    pub(crate) async fn send(&self, number: u64) -> (Sent, Outcome) {
        let sent = (self.client, number);
        let text = format!("[{},{number}]", self.client);
        let payload = Json::parse(text.as_bytes()).map(Payload::Json).expect("two numbers are JSON");
        let channel = lock(&self.member).channels[1].name.clone();
        let outcome = match self.session.send(channel, None, None, Meta::default(), payload).await {
            Ok(_) => Outcome::Accepted,
            Err(SendError::Rejected(_)) => Outcome::Refused,
            Err(_) => Outcome::Unknown,
        };
        (sent, outcome)
    }

    /// The gateway is about to go.
    pub(crate) fn unsettle(&self, tally: &Tally) {
        lock(&self.member).settle(tally);
    }

    /// What it was told.
    pub(crate) fn account(&self) -> Account {
        let mut account = Account::default();
        lock(&self.member).channels.iter().for_each(|heard| account += heard.ledger.account());
        account
    }

    /// Whether it has come as far as an order waits for.
    pub(crate) fn has(&self, order: Order) -> bool {
        let member = lock(&self.member);
        match order {
            Order::Settle => member.is_settled,
            Order::Mark(mark) => member.mark >= mark,
            Order::Unsettle | Order::Hush | Order::Tell => true,
        }
    }

    /// How it stands, for a person.
    pub(crate) fn describe(&self) -> String {
        let Member { client, wants, on, channels, .. } = &*lock(&self.member);
        let accounts: Vec<_> = channels.iter().map(|heard| (heard.mark, heard.ledger.account())).collect();
        format!("client {client}, on {on:?} and not {wants:?}; marks and accounts: {accounts:?}")
    }
}

/// Takes what comes until the session ends.
async fn follow(mut events: Events, member: Arc<Mutex<Member>>, log: Arc<Log>, tally: Arc<Tally>) {
    while let Some(incoming) = events.next().await {
        lock(&member).hear(&incoming, &log, &tally);
    }
}

fn lock(member: &Mutex<Member>) -> MutexGuard<'_, Member> {
    member.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Member {
    fn hear(&mut self, incoming: &Incoming, log: &Log, tally: &Tally) {
        match incoming {
            Incoming::Subscribed { subscribed, .. } => {
                self.about(&subscribed.channel, |heard| heard.ledger.subscribed(subscribed.position));
            }
            Incoming::Event { epoch, event, .. } => {
                let said = read(event);
                let mark = said.as_ref().map_or(0, |(_, mark, _)| *mark);
                // What its publisher counted in an epoch that was over says nothing of this one.
                let number = said.map(|(number, _, counted)| {
                    let is_of_another =
                        counted.is_some_and(|counted| Some(counted) != epoch.map(|epoch| epoch.to_string()));
                    if is_of_another { event.offset.get() } else { number }
                });
                self.about(&event.channel, |heard| {
                    heard.ledger.event(*epoch, event.offset, number);
                    heard.mark = heard.mark.max(mark);
                });
                let mark = self.channels.iter().map(|heard| heard.mark).min().unwrap_or(0);
                if mark > std::mem::replace(&mut self.mark, mark) {
                    tally.marked(mark);
                }
            }
            Incoming::Gap { gap, .. } => match &gap.channel {
                Some(channel) => self.about(channel, |heard| heard.ledger.gap(gap)),
                None => self.channels.iter_mut().for_each(|heard| heard.ledger.gap(gap)),
            },
            Incoming::Link(LinkChange::Up { via, .. }) => {
                let by = By::of(via.transport);
                self.on = Some(by);
                log.up(self.client, by, by == self.wants);
            }
            Incoming::Link(LinkChange::Down { reason, retry_in, .. }) => {
                self.on = None;
                log.down(self.client);
                if **reason == *"drain" {
                    log.told(self.client, *retry_in);
                } else if tally.rounds() > 0 {
                    // Before that it was the door's, which lets no more in than it should.
                    log.broken(format!("client {} lost its link: {reason}", self.client));
                }
            }
            Incoming::Unsubscribed { .. } => log.fault(format!("client {} is unsubscribed", self.client)),
            _ => {}
        }
        self.settle(tally);
    }

    fn about(&mut self, channel: &ChannelName, note: impl FnOnce(&mut Heard)) {
        self.channels.iter_mut().find(|heard| heard.name == *channel).map(note);
    }

    /// Settled is who is on what it wants, and was told that each channel began anew as often as it did. Whoever comes back
    /// from WebTransport finds it again in its own time.
    fn settle(&mut self, tally: &Tally) {
        let rounds = tally.rounds();
        let is_there = self.on == Some(self.wants)
            || (rounds > 0 && self.wants == By::WebTransport && self.on.is_some());
        let is_settled = is_there && self.channels.iter().all(|heard| heard.ledger.epochs() >= rounds);
        if is_settled != std::mem::replace(&mut self.is_settled, is_settled) {
            tally.settled(is_settled);
        }
    }
}

/// The number that an event was given by its publisher, its mark, and the epoch that the number counts in, where known.
fn read(event: &Event) -> Option<(u64, u64, Option<String>)> {
    let Payload::Json(text) = &event.payload else { return None };
    serde_json::from_str(text.as_str()).ok()
}
