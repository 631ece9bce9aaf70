//! Short words for tests of the core, and a bench to put one on.

use std::time::Duration;

use throughline_wire::{
    ChannelName, Command, DownFrame, Epoch, Event, Item, Meta, Offset, Payload, Position, Reply, SessionId,
    Subscribed, Token, Unsubscribed, UpFrame,
    frame::{Backoff, Hello, Items, Limits, Retry, Welcome},
    item::{Accepted, UnsubscribeReason},
};

use super::Core;
use crate::{
    config::{Config, Transport, Via},
    core::{Outcome, Output, Time, names::LinkKey, names::Ticket},
    incoming::Incoming,
};

pub(crate) const WEBTRANSPORT: Via = Via::json(Transport::WebTransport);
pub(crate) const WEBSOCKET: Via = Via::json(Transport::WebSocket);
pub(crate) const POLLING: Via = Via::json(Transport::Polling);
pub(crate) const SSE: Via = Via::json(Transport::Sse);

pub(crate) fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap()
}

pub(crate) fn position(epoch: &str, offset: u64) -> Position {
    Position { epoch: Epoch::parse(epoch).unwrap(), offset: Offset::new(offset).unwrap() }
}

pub(crate) fn subscribed(name: &str, command: Option<u64>, offset: u64) -> Item {
    Item::Subscribed(Subscribed {
        channel: channel(name),
        command,
        position: position("e", offset),
        recovered: true,
    })
}

pub(crate) fn unsubscribed(name: &str, command: Option<u64>) -> Item {
    let reason = if command.is_some() { UnsubscribeReason::Requested } else { UnsubscribeReason::Revoked };
    Item::Unsubscribed(Unsubscribed { channel: channel(name), command, reason })
}

pub(crate) fn event(name: &str, offset: u64) -> Item {
    Item::Event(Event {
        channel: channel(name),
        offset: Offset::new(offset).unwrap(),
        time: 0,
        name: None,
        key: None,
        sender: None,
        meta: Meta::default(),
        payload: Payload::Empty,
    })
}

pub(crate) fn reply(command: u64) -> Item {
    Item::Reply(Reply { command, result: Ok(Accepted::default()) })
}

pub(crate) fn items(first: u64, items: impl Into<Vec<Item>>) -> DownFrame {
    DownFrame::Items(Items { first, items: items.into(), ack: None })
}

pub(crate) fn send() -> Command {
    Command::Send(throughline_wire::Send {
        channel: channel("room"),
        name: None,
        id: None,
        meta: Meta::default(),
        payload: Payload::Empty,
    })
}

pub(crate) fn retry(reason: throughline_wire::RetryReason, delay_ms: u64, is_final: bool) -> DownFrame {
    DownFrame::Retry(Retry { delay_ms, spread_ms: 0, reason, slot: None, transports: None, is_final })
}

/// A welcome to session `n`, incarnation 1, that goes on where the client is.
pub(crate) fn welcome(n: u8, resumed: bool) -> Welcome {
    Welcome {
        session: SessionId::from_random([n; 16]),
        token: Token::new(format!("token {n}")),
        incarnation: 1,
        link: 7,
        resumed,
        reason: None,
        next: 1,
        received: 0,
        user: None,
        time: 0,
        heartbeat_ms: 15_000,
        resume_window_ms: 120_000,
        window_ms: 0,
        backoff: Backoff { base_ms: 1_000, cap_ms: 30_000 },
        auth_expires_in_ms: None,
        limits: (!resumed).then(Limits::default),
        transports: None,
        features: None,
    }
}

/// A core, a clock, and what it has said so far.
pub(crate) struct Bench {
    pub(crate) core: Core,
    pub(crate) now: Time,
    outputs: Vec<Output>,
    tickets: u64,
    /// Whether handshakes are not answered. Otherwise they are at once: what is said first shows with its opening.
    pub(crate) hangs: bool,
}

impl Bench {
    pub(crate) fn new(transports: &[Via]) -> Self {
        let mut config = Config::new("http://gateway");
        config.transports = transports.to_vec();
        config.negotiate = false;
        Self::with(config)
    }

    pub(crate) fn with(config: Config) -> Self {
        let core = Core::new(config, 1, Time::from_secs(1_000_000));
        Self { core, now: Time::ZERO, outputs: Vec::new(), tickets: 0, hangs: false }
    }

    /// A bench whose session 1 is up on one link.
    pub(crate) fn up(via: Via) -> (Self, LinkKey) {
        let mut bench = Self::new(&[via]);
        let (link, _) = bench.opened();
        bench.down(link, [DownFrame::Welcome(Box::new(welcome(1, false)))]);
        (bench, link)
    }

    /// Lets the core do what is due, and returns all it wants done.
    pub(crate) fn run(&mut self) -> Vec<Output> {
        self.core.settle(self.now);
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Open { link, via, .. } if via.is_duplex() && !self.hangs => {
                    self.outputs.push(output);
                    self.core.handle_opened(self.now, link);
                    self.core.settle(self.now);
                }
                Output::Transmit { link, message } if as_hello(&message[0]).is_some() => {
                    let opening = self.outputs.iter_mut().find_map(|output| match output {
                        Output::Open { link: opened, hello, .. } if *opened == link => Some(hello),
                        _ => None,
                    });
                    match opening {
                        Some(hello) => *hello = message,
                        None => self.outputs.push(Output::Transmit { link, message }),
                    }
                }
                output => self.outputs.push(output),
            }
        }
        std::mem::take(&mut self.outputs)
    }

    /// The link that the core opens now, and what it says first.
    pub(crate) fn opened(&mut self) -> (LinkKey, Hello) {
        let outputs = self.run();
        let link = outputs.iter().find_map(|output| match output {
            Output::Open { link, .. } => Some(*link),
            _ => None,
        });
        let hello = outputs.iter().find_map(|output| match output {
            Output::Open { hello, .. } => hello.first().and_then(as_hello),
            _ => None,
        });
        let poll = outputs.iter().find_map(|output| match output {
            Output::Poll { message, .. } => message.first().and_then(as_hello),
            _ => None,
        });
        (link.expect("a link"), hello.or(poll).expect("a hello"))
    }

    /// What a stream that is opened now says first.
    pub(crate) fn opening(&mut self) -> (LinkKey, Vec<UpFrame>) {
        let outputs = self.run();
        let opened = outputs.iter().find_map(|output| match output {
            Output::Open { link, hello, .. } => Some((*link, hello.clone())),
            _ => None,
        });
        opened.unwrap_or_else(|| panic!("a stream in {outputs:?}"))
    }

    /// The poll that goes out now.
    pub(crate) fn polled(&mut self) -> Hello {
        let outputs = self.run();
        let poll = outputs.iter().find_map(|output| match output {
            Output::Poll { message, .. } => message.first().and_then(as_hello),
            _ => None,
        });
        poll.unwrap_or_else(|| panic!("a poll in {outputs:?}"))
    }

    /// The post that goes out now.
    pub(crate) fn posted(&mut self) -> (LinkKey, u64, Vec<UpFrame>) {
        let outputs = self.run();
        let post = outputs.iter().find_map(|output| match output {
            Output::Post { link, post, message } => Some((*link, *post, message.clone())),
            _ => None,
        });
        post.unwrap_or_else(|| panic!("a post in {outputs:?}"))
    }

    /// All that is said on duplex links now, but for what was tried.
    pub(crate) fn said(&mut self) -> Vec<UpFrame> {
        let said = self.run().into_iter().filter_map(|output| match output {
            Output::Transmit { message, .. } => Some(message),
            _ => None,
        });
        said.flatten().filter(|frame| !matches!(frame, UpFrame::Tried(_))).collect()
    }

    /// Frames come down: on a poll, as the answer to the latest one.
    pub(crate) fn down(&mut self, link: LinkKey, frames: impl IntoIterator<Item = DownFrame>) {
        let frames = frames.into_iter().collect();
        match self.core.links.get(&link).and_then(|link| link.poll) {
            Some(poll) => self.core.handle_answer(self.now, link, poll.attach, frames),
            None => self.core.handle_frames(self.now, link, frames),
        }
    }

    pub(crate) fn welcome(&mut self, link: LinkKey, welcome: Welcome) {
        self.down(link, [DownFrame::Welcome(Box::new(welcome))]);
    }

    pub(crate) fn command(&mut self, command: Command) -> Ticket {
        self.tickets += 1;
        self.core.command(command, Ticket(self.tickets));
        Ticket(self.tickets)
    }

    pub(crate) fn migrate(&mut self, via: Via) -> Ticket {
        self.tickets += 1;
        self.core.migrate(self.now, via, Ticket(self.tickets));
        Ticket(self.tickets)
    }

    /// What came of it, if anything has.
    pub(crate) fn outcome(&mut self, ticket: Ticket) -> Option<Outcome> {
        let outputs = self.run();
        let outcome = outputs.iter().find_map(|output| match output {
            Output::Settle { ticket: settled, outcome } if *settled == ticket => Some(outcome.clone()),
            _ => None,
        });
        self.outputs = outputs;
        outcome
    }

    /// The application takes all there is.
    pub(crate) fn taken(&mut self) -> Vec<Incoming> {
        std::iter::from_fn(|| self.core.poll_incoming()).collect()
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
    }
}

fn as_hello(frame: &UpFrame) -> Option<Hello> {
    match frame {
        UpFrame::Hello(hello) => Some((**hello).clone()),
        _ => None,
    }
}
