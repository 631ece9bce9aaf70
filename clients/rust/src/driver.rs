//! Drives the core: the one place with a clock, tasks and channels.
//!
//! One task per session. It takes what the application wants, what links report and what time it is, tells the core, and
//! does what the core says. It never waits for the network, nor for the application: what the application has not
//! taken waits in the core, and the core acknowledges no more.

// The core is told the time; here is where it is read.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::{collections::BTreeMap, sync::Arc};

use throughline_wire::{ChannelName, Command, Payload, Token};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};

use crate::{
    config::Via,
    core::{
        Outcome, Output, Time,
        names::{LinkKey, Ticket},
        negotiation::verdict::Verdicts,
        session::{Core, End},
    },
    incoming::Incoming,
    state::State,
    transport::{self, LinkTask, Network, Report, Say, encode},
};

/// A command of the application: it waits in its caller while too many have no reply.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) command: Command,
    pub(crate) outcome: oneshot::Sender<Outcome>,
}

/// What else the application wants: never waits behind commands.
#[derive(Debug)]
pub(crate) enum Control {
    Migrate { via: Via, outcome: oneshot::Sender<Outcome> },
    Authenticate { token: Token },
    NetworkChanged,
    Cut,
    Close { done: oneshot::Sender<()> },
}

/// Something that the application says and nobody keeps.
#[derive(Debug)]
pub(crate) struct Volatile {
    pub(crate) channel: ChannelName,
    pub(crate) name: Option<Box<str>>,
    pub(crate) payload: Payload,
}

/// Where the application's wishes come in.
pub(crate) struct Wishes {
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) controls: mpsc::Receiver<Control>,
    pub(crate) volatiles: mpsc::Receiver<Volatile>,
}

/// How many reports links may be ahead of the driver: past it connections are not read.
const REPORTS: usize = 64;

pub(crate) struct Driver {
    core: Core,
    verdicts: Verdicts,
    origin: Box<str>,
    started: Instant,
    network: Arc<Network>,
    requests: mpsc::Receiver<Request>,
    controls: mpsc::Receiver<Control>,
    volatiles: mpsc::Receiver<Volatile>,
    reports: mpsc::Receiver<(LinkKey, Report)>,
    reporter: mpsc::Sender<(LinkKey, Report)>,
    incoming: mpsc::Sender<Incoming>,
    state: watch::Sender<State>,
    links: BTreeMap<LinkKey, LinkTask>,
    waiting: BTreeMap<Ticket, oneshot::Sender<Outcome>>,
    next_ticket: u64,
    closing: Vec<oneshot::Sender<()>>,
}

/// What happened next.
enum News {
    Request(Option<Request>),
    Control(Option<Control>),
    Report(Option<(LinkKey, Report)>),
    Volatile(Volatile),
    /// The application has room again.
    Room,
    Time,
}

impl Driver {
    pub(crate) fn new(
        core: Core,
        network: Network,
        wishes: Wishes,
        incoming: mpsc::Sender<Incoming>,
        state: watch::Sender<State>,
    ) -> Self {
        let (reporter, reports) = mpsc::channel(REPORTS);
        let (origin, verdicts) = core.memory();
        Self {
            core,
            verdicts,
            origin,
            started: Instant::now(),
            network: Arc::new(network),
            requests: wishes.requests,
            controls: wishes.controls,
            volatiles: wishes.volatiles,
            reports,
            reporter,
            incoming,
            state,
            links: BTreeMap::new(),
            waiting: BTreeMap::new(),
            next_ticket: 0,
            closing: Vec::new(),
        }
    }

    /// Runs until the session is closed, or until the application has dropped its last handle.
    pub(crate) async fn run(mut self) {
        // What was asked for before the first message goes out travels in it.
        while self.core.has_room()
            && let Ok(request) = self.requests.try_recv()
        {
            self.request(request);
        }
        loop {
            self.deliver();
            self.core.settle(self.now());
            // Whoever hears of an outcome finds the state that it came with.
            self.state.send_if_modified(|state| {
                let news = self.core.state();
                std::mem::replace(state, news.clone()) != news
            });
            self.perform();
            if self.core.is_closed() {
                break;
            }
            match self.news().await {
                // Nobody is left to ask for anything; whoever waits hears which outcomes are unknown.
                News::Request(None) | News::Control(None) => self.core.stop(None),
                News::Control(Some(control)) => self.control(control),
                News::Request(Some(request)) => {
                    self.request(request);
                    while self.core.has_room()
                        && let Ok(request) = self.requests.try_recv()
                    {
                        self.request(request);
                    }
                }
                News::Report(Some((link, report))) => self.report(link, report),
                News::Volatile(Volatile { channel, name, payload }) => {
                    self.core.say_volatile(self.now(), channel, name, payload);
                }
                News::Room | News::Time | News::Report(None) => {}
            }
            // A machine that stood still has let the time pass: what came meanwhile is read before anything is late, by the tasks
            // of a connection, then of its link.
            if self.core.deadline().is_some_and(|at| at <= self.now()) {
                for _ in 0..3 {
                    tokio::task::yield_now().await;
                }
            }
            for _ in 0..REPORTS {
                let Ok((link, report)) = self.reports.try_recv() else { break };
                self.report(link, report);
            }
        }
        self.links.clear();
        self.requests.close();
        self.controls.close();
        // Who has just asked hears that it is too late: the sender of the outcome is dropped.
        while self.requests.try_recv().is_ok() {}
        while self.controls.try_recv().is_ok() {}
        for outcome in std::mem::take(&mut self.waiting).into_values() {
            let _ = outcome.send(Outcome::Closed);
        }
        for done in self.closing.drain(..) {
            let _ = done.send(());
        }
        // What came before the end is still the application's to take.
        while let Some(incoming) = self.core.poll_incoming() {
            if self.incoming.send(incoming).await.is_err() {
                break;
            }
        }
    }

    fn now(&self) -> Time {
        self.started.elapsed()
    }

    /// Waits for whatever comes first.
    async fn news(&mut self) -> News {
        let deadline = self.core.deadline().and_then(|at| self.started.checked_add(at));
        let timer = async move {
            match deadline {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let (has_room, is_behind) = (self.core.has_room(), self.core.has_incoming());
        tokio::select! {
            report = self.reports.recv() => News::Report(report),
            control = self.controls.recv() => News::Control(control),
            Some(volatile) = self.volatiles.recv() => News::Volatile(volatile),
            request = self.requests.recv(), if has_room => News::Request(request),
            _ = self.incoming.reserve(), if is_behind && !self.incoming.is_closed() => News::Room,
            () = timer => News::Time,
        }
    }

    /// Hands over what the application has room for. Nobody listens: then it counts as taken.
    fn deliver(&mut self) {
        while self.core.has_incoming() {
            match self.incoming.try_reserve() {
                Ok(permit) => match self.core.poll_incoming() {
                    Some(incoming) => permit.send(incoming),
                    None => return,
                },
                Err(mpsc::error::TrySendError::Full(())) => return,
                Err(mpsc::error::TrySendError::Closed(())) => drop(self.core.poll_incoming()),
            }
        }
    }

    fn request(&mut self, request: Request) {
        let ticket = self.ticket(request.outcome);
        self.core.command(request.command, ticket);
    }

    fn control(&mut self, control: Control) {
        let now = self.now();
        match control {
            Control::Migrate { via, outcome } => {
                let ticket = self.ticket(outcome);
                self.core.migrate(now, via, ticket);
            }
            Control::Authenticate { token } => self.core.authenticate(now, token),
            Control::NetworkChanged => self.core.network_changed(now),
            Control::Cut => {
                if let Some(link) = self.core.active() {
                    self.links.remove(&link);
                    self.core.handle_ended(now, link, End::Lost("cut".into()));
                }
            }
            Control::Close { done } => {
                self.closing.push(done);
                self.core.close(now);
            }
        }
    }

    fn ticket(&mut self, outcome: oneshot::Sender<Outcome>) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.waiting.insert(ticket, outcome);
        ticket
    }

    fn report(&mut self, link: LinkKey, report: Report) {
        // A link that was dropped may have left a word behind.
        if !self.links.contains_key(&link) {
            return;
        }
        let now = self.now();
        match report {
            Report::Opened => self.core.handle_opened(now, link),
            Report::Frames(frames) => self.core.handle_frames(now, link, frames),
            Report::SignOfLife => self.core.handle_sign_of_life(now, link),
            Report::Answer { attach, frames } => self.core.handle_answer(now, link, attach, frames),
            Report::Post { post, answer } => self.core.handle_post(now, link, post, answer),
            Report::Ended(end) => {
                self.links.remove(&link);
                self.core.handle_ended(now, link, end);
            }
        }
    }

    /// Does what the core wants done.
    fn perform(&mut self) {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Open { link, via, offer, hello } => {
                    let hello = encode(via.codec, &hello);
                    let task = transport::open(&self.network, &self.reporter, link, via, offer, hello);
                    self.links.insert(link, task);
                }
                Output::Poll { link, attach, message } => {
                    self.say(link, |codec| Say::Poll { attach, message: encode(codec, &message) });
                }
                Output::Post { link, post, message } => {
                    self.say(link, |codec| Say::Post { post, message: encode(codec, &message) });
                }
                Output::Transmit { link, message } => {
                    self.say(link, |codec| Say::Message(encode(codec, &message)));
                }
                Output::Volatile { link, message } => {
                    if let Some(task) = self.links.get(&link) {
                        task.whisper(Say::Datagram(encode(task.via.codec, &message)));
                    }
                }
                Output::Close { link, in_peace: true } => self.say(link, |_| Say::Goodbye),
                Output::Close { link, in_peace: false } => drop(self.links.remove(&link)),
                Output::Remember(verdict) => self.verdicts.remember(&self.origin, verdict),
                Output::Settle { ticket, outcome } => {
                    if let Some(waiting) = self.waiting.remove(&ticket) {
                        // Whoever asked may have left.
                        let _ = waiting.send(outcome);
                    }
                }
            }
        }
    }

    fn say(&mut self, link: LinkKey, say: impl FnOnce(throughline_wire::Codec) -> Say) {
        let Some(task) = self.links.get(&link) else { return };
        if !task.say(say(task.via.codec)) {
            // The other end reads nothing any more.
            self.links.remove(&link);
            let now = self.now();
            self.core.handle_ended(now, link, End::Lost("stuck".into()));
            self.core.settle(now);
        }
    }
}
