//! A fault in mid-session: how long until events flow again, and whether all came, once and in order.
//!
//! The clock starts when something was *due* and stayed away. On a busy link that is the acknowledgement of the first command
//! sent after the strike, a round trip after it was sent. On an idle one it is the next sign of life, a heartbeat after the
//! last. It stops at the first event that was published after the strike.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use throughline_client::{SubscribeFrom, Transport};

use crate::client::Client;
use crate::gateway::Admin;
use crate::ledger::Account;
use crate::line::Line;
use crate::network::Network;
use crate::route::Route;
use crate::traffic::{Arrivals, Publisher, Sender};

/// A play with one fault in it.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// The gateway behind the network.
    pub admin: Admin,
    /// A network of its own.
    pub network: &'a Network,
    /// The way through it.
    pub line: &'a Line,
    /// Names its channels.
    pub name: &'a str,
    /// The client.
    pub client: Client<'a>,
    /// What the session has to run on before the fault.
    pub on: Transport,
    /// What goes wrong.
    pub strike: &'a dyn Fn(&Network),
    /// What makes it good again.
    pub heal: &'a dyn Fn(&Network),
    /// Whether events and commands flow when it does.
    pub is_busy: bool,
    /// How long an idle session is left alone after the strike, before something is published.
    pub quiet: Duration,
    /// The longest time between two signs of life on an idle link: a heartbeat, or the hold of a poll.
    pub heartbeat: Duration,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct MidSession {
    /// From when something was due to the first event since; none if it did not come.
    pub healed: Option<Duration>,
    /// What the session ran on when that event came.
    pub on: Option<Transport>,
    /// From when the network was good again to the transport of before: zero if it was there by then, none if it did
    /// not come back.
    pub back: Option<Duration>,
    /// Events that came down.
    pub down: Account,
    /// Commands that went up.
    pub up: Account,
}

impl Scene<'_> {
    /// Plays it.
    ///
    /// # Errors
    /// When it cannot be played: the session never ran on what it has to run on before the fault.
    pub async fn play(&self) -> Result<MidSession> {
        let down = format!("{}-down", self.name);
        let route = Route::to(self.network.address());
        let connecting = self.client.connect(&route, &down, SubscribeFrom::Now, Some(self.heartbeat));
        let (session, arriving) = connecting.await?;
        let session = Arc::new(session);
        let arrivals = Arrivals::begin(arriving);
        if session.runs_on(PATIENCE, |on| on == self.on).await.is_none() {
            session.close(FLOWS_FOR).await?;
            bail!("the session runs on {:?}, not on {}", session.on(), self.on);
        }

        let mut publisher = Publisher::new(self.admin, down);
        let mut sender = None;
        let (first, due) = if self.is_busy {
            publisher.go_on(EVENTS_EVERY);
            let up = format!("{}-up", self.name);
            let sender = &*sender.insert(Sender::go_on(Arc::clone(&session), up, COMMANDS_EVERY));
            tokio::time::sleep(FLOWS_FOR).await;
            let struck = self.strike();
            let due = sender.first_after(struck).await + self.line.round_trip();
            (publisher.first_after(struck).await, due)
        } else {
            let sign = self.sign_of_life().await?;
            tokio::time::sleep_until((sign + self.heartbeat / 2).into()).await;
            self.strike();
            tokio::time::sleep(self.quiet).await;
            let expected = Instant::now() + self.line.delay;
            publisher.publish().await?;
            // After a while it is the event itself that is due.
            (0, if self.quiet.is_zero() { sign + self.heartbeat } else { expected })
        };
        let healed = arrivals.came(first, PATIENCE).await;
        let on = session.on();

        tokio::time::sleep(FLOWS_FOR).await;
        let good = Instant::now();
        (self.heal)(self.network);
        let back = session.runs_on(PATIENCE, |on| on == self.on).await;
        let back = back.map(|at| at.saturating_duration_since(good));

        let published = publisher.stop().await;
        let down = arrivals.account(published, PATIENCE).await;
        let up = match sender {
            Some(sender) => sender.stop(self.admin, PATIENCE).await?.0,
            None => Account::default(),
        };
        session.close(FLOWS_FOR).await?;
        let healed = healed.map(|at| at.saturating_duration_since(due));
        Ok(MidSession { healed, on, back, down, up })
    }

    fn strike(&self) -> Instant {
        let now = Instant::now();
        (self.strike)(self.network);
        now
    }

    /// Waits on an idle link for what comes down by itself; returns when it did.
    async fn sign_of_life(&self) -> Result<Instant> {
        let (mut tcp, mut udp) = (self.network.tcp.watch(), self.network.udp.watch());
        loop {
            let quiet = Instant::now();
            // What the opening, a migration or an acknowledgement still brings is not a heartbeat.
            let last = |counters: Option<Instant>| counters.unwrap_or(quiet);
            let news = async {
                let before = (tcp.borrow().last_down, udp.borrow().last_down);
                tokio::select! {
                    counters = tcp.wait_for(|counters| counters.last_down != before.0) => counters.map(|counters| last(counters.last_down)).ok(),
                    counters = udp.wait_for(|counters| counters.last_down != before.1) => counters.map(|counters| last(counters.last_down)).ok(),
                }
            };
            match tokio::time::timeout(3 * self.heartbeat, news).await {
                Ok(Some(at)) if at.duration_since(quiet) > self.heartbeat / 3 => return Ok(at),
                Ok(Some(_)) => {}
                Ok(None) => bail!("the network is gone"),
                Err(_) => bail!("nothing comes down an idle link"),
            }
        }
    }
}

/// How often something is published on a busy link.
const EVENTS_EVERY: Duration = Duration::from_millis(20);
/// How often a command is sent there.
const COMMANDS_EVERY: Duration = Duration::from_millis(50);
/// How long all is well before the fault, and how long it is left after events flow again.
const FLOWS_FOR: Duration = Duration::from_secs(1);
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);
