//! The session: the conversation that survives its links.
//!
//! A session is two numbered streams. *Items* go down: events are pulled from the logs of its channels when a link
//! can take them and get their number then; replies, subscription results and gaps get theirs beside them. What is
//! numbered stays in the journal until the client acknowledges it. *Commands* come up and are taken
//! one by one, each once.
//!
//! Nothing here reads a clock, draws randomness, spawns or waits. A [`Session`] has four kinds of method: getters;
//! `handle_*` for what the world did, each told the time; commands for what the application wants; and what to do
//! next: [`take_effects`](Session::take_effects), [`transmit`](Session::transmit),
//! [`deadline`](Session::deadline). One rule for whoever drives it: change it once, then drain the effects, then
//! look at the deadline.
//!
//! Read next: `attach` for how links come and go and `rebuild` for new numbers, `commands` for what goes up and
//! `answers` for what becomes of it, `transmit` and `pull` for what goes down, `slow` for whoever falls behind,
//! `volatile` for what is said and not kept, `presence` for who is here, `life` for what the application is told. The
//! rules cited as L1, C2, N3 … are those of docs/protocol.md.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod answers;
mod assigned;
mod attach;
mod commands;
mod config;
mod credentials;
mod effect;
mod ending;
mod history;
mod journal;
mod leave;
mod life;
mod link;
mod presence;
mod pull;
mod rebuild;
mod slow;
mod subscription;
mod tag;
mod tally;
mod timers;
mod token;
mod transmit;
mod volatile;

use std::{collections::VecDeque, sync::Arc};

pub use answers::SendResult;
pub use assigned::user_channel;
pub use attach::Opening;
use commands::Commands;
pub use config::{Crowded, Now, Offers, SessionConfig, Window};
use credentials::Credentials;
pub use effect::{Dropped, Effect, SubscribeRequest, UnsubscribeRequest};
pub use ending::Ending;
use history::Aside;
pub use history::{Attached, Attempt, OTHER, Parting, TRANSPORTS, TransportHistory, Witness};
use journal::Journal;
pub use leave::Leave;
pub use life::Life;
pub use link::{Goodbye, LinkId, LinkKind, LinkSpec, Via};
use link::{Link, Migration};
use presence::Presence;
pub use slow::{SlowPolicy, SlowRule, SlowRules, UnknownPolicy};
use subscription::Subscription;
pub use tag::ResumeTag;
pub use tally::Tally;
use throughline_wire::{ChannelName, ErrorCode, Item, Position, Reply, SessionId, frame::TransportOffer};
pub(crate) use token::MAC_BYTES;
pub use token::{KeyError, TokenKeys};
pub use transmit::{Output, encode_goodbye};

use crate::{channel::Listener, limits::Meter};

/// One client's conversation. See the [module](self) for how to drive it.
pub struct Session {
    id: SessionId,
    user: Option<Box<str>>,
    /// Whose limits it counts for.
    payer: Option<Arc<Meter>>,
    config: Arc<SessionConfig>,
    listener: Arc<dyn Listener>,
    phase: Phase,
    credentials: Credentials,
    /// Whose item numbers these are (N1).
    incarnation: u64,
    /// The client object that attached last.
    instance: Box<str>,
    /// The highest attach number that was accepted (L1).
    attach: u64,
    links: Vec<Link>,
    next_link: u64,
    subscriptions: Vec<Subscription>,
    /// How often the size of a batch has doubled since a link began or an answer was lost.
    pace: u8,
    /// Whether the link that items flowed on last was a poll, and ended by its answer.
    is_between_polls: bool,
    /// Whether it is lost, as far as was told.
    is_lost: bool,
    /// How often its life was told.
    life_events: u32,
    /// Whether the last pull left events behind since the window of those that are not acknowledged was full.
    is_window_full: bool,
    /// Where the next pull begins, so that a busy channel does not starve the others.
    scan_from: usize,
    journal: Journal,
    /// The highest number that slid out without an acknowledgement (L13).
    slid: u64,
    /// Items that are no events and have no number yet.
    pending: VecDeque<Item>,
    commands: Commands,
    effects: Vec<Effect>,
    tally: Tally,
    /// The history of its transports, and what else most sessions have little of.
    aside: Option<Box<Aside>>,
    /// The presence of the channels in which it takes part.
    presence: Option<Box<Presence>>,
}

/// Where a session is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Opened, and its client has not shown yet that it knows (C5).
    Provisional { until_ms: u64 },
    /// Known to its client. Without an active link since `detached_ms`.
    Established { detached_ms: u64 },
    /// Over.
    Ended,
}

impl Session {
    /// The session's public name.
    pub const fn id(&self) -> SessionId {
        self.id
    }

    /// The authenticated user.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Whose item numbers these are.
    pub const fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Whether it is over.
    pub fn is_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// Whether its client has not shown yet that it knows the session.
    pub const fn is_provisional(&self) -> bool {
        matches!(self.phase, Phase::Provisional { .. })
    }

    /// The link that items flow on, with its transport.
    pub fn active(&self) -> Option<(LinkId, LinkSpec)> {
        self.active_link().map(|link| (link.id, link.spec))
    }

    /// Whether the client of a link can only repeat its [tag](Self::write_resume_tag).
    pub fn is_plain(&self, link: LinkId) -> bool {
        self.link_index(link).is_some_and(|index| self.links[index].spec.kind.is_plain())
    }

    /// The last command taken.
    pub const fn received(&self) -> u64 {
        self.commands.received
    }

    /// The highest item number that the client has acknowledged.
    pub const fn acknowledged(&self) -> u64 {
        self.journal.floor()
    }

    /// Whether the last [`transmit`](Self::transmit) of the active link left events behind that wait for an
    /// acknowledgement. That will wake the link, so events that come until then need not.
    pub const fn is_window_full(&self) -> bool {
        self.is_window_full
    }

    /// How many items are numbered and not acknowledged.
    pub const fn unacknowledged(&self) -> u64 {
        self.journal.next() - 1 - self.journal.floor()
    }

    /// The channels it holds, with its place in each.
    pub fn subscriptions(&self) -> impl ExactSizeIterator<Item = (&ChannelName, Position)> {
        self.subscriptions.iter().map(|held| (held.channel.name(), held.cursor))
    }

    /// What its journal and its waiting items cost beyond its own size, in bytes.
    pub fn journal_bytes(&self) -> usize {
        self.journal.cost()
            + self.pending.capacity() * size_of::<Item>()
            + self.commands.answered.capacity() * size_of::<Reply>()
    }

    /// The effects since the last call, in order.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// What happened since the last call.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// Asks the client to move to one of these transports, after `delay_ms` and a random part of `spread_ms`; a poll
    /// that is held is answered with it. Says whether there is a link that carries the question: an event stream by
    /// address has nobody at its end who could follow it.
    ///
    /// The client moves as it does by itself, by a probe, so nothing is lost if it cannot. Where its link breaks before
    /// the question has gone down it is not asked again.
    pub fn ask_to_migrate(&mut self, transports: Vec<TransportOffer>, delay_ms: u64, spread_ms: u64) -> bool {
        let active = |link: &&mut Link| link.standing == link::Standing::Active;
        let Some(link) = self.links.iter_mut().find(active).filter(|link| !link.spec.kind.is_plain()) else {
            return false;
        };
        link.outbox.migration = Some(Box::new(Migration { transports, delay_ms, spread_ms }));
        let wake = Effect::Wake(link.id);
        self.effects.push(wake);
        true
    }

    fn active_link(&self) -> Option<&Link> {
        self.links.iter().find(|link| link.standing == link::Standing::Active)
    }

    fn link_index(&self, id: LinkId) -> Option<usize> {
        self.links.iter().position(|link| link.id == id)
    }

    fn wake_active(&mut self) {
        if let Some(link) = self.active_link() {
            let wake = Effect::Wake(link.id);
            self.effects.push(wake);
        }
    }

    /// Numbers an item later, when a link can take it, and wakes the link.
    fn push_item(&mut self, item: Item) {
        if let Item::Reply(Reply { result: Err(error), .. }) = &item {
            self.effects.push(Effect::Refused(ErrorCode::parse(&error.code)));
        }
        self.pending.push_back(item);
        self.wake_active();
    }

    /// The client has shown that it knows the session.
    fn establish(&mut self, now: Now) {
        if self.is_provisional() {
            self.phase = Phase::Established { detached_ms: now.mono_ms };
            self.effects.push(Effect::Established);
            self.begin_life();
            self.appear();
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .field("phase", &self.phase)
            .field("incarnation", &self.incarnation)
            .field("attach", &self.attach)
            .field("links", &self.links)
            .field("subscriptions", &self.subscriptions)
            .field("journal", &self.journal)
            .field("pending", &self.pending)
            .field("commands", &self.commands)
            .field("presence", &self.presence)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use throughline_wire::{
        Codec, DecodeLimits, DownFrame, Epoch, Json, Payload, SubscribeFrom, UpFrame,
        frame::{Hello, Resume},
    };

    use super::{attach::Opening, *};
    use crate::channel::{Channel, NewEvent, Retention};

    struct Nobody;
    impl Listener for Nobody {
        fn ready(&self) {}
    }

    const NOW: Now = Now { mono_ms: 0, wall_ms: 0 };

    fn poll() -> LinkSpec {
        LinkSpec::new("polling", Codec::Json, LinkKind::Answer)
    }

    fn frames(session: &mut Session, link: LinkId) -> Vec<DownFrame> {
        let mut buffer = BytesMut::new();
        session.transmit(NOW, link, 1 << 16, &mut buffer);
        Codec::Json.down_frames(&buffer, DecodeLimits::default()).map(|frame| frame.unwrap()).collect()
    }

    #[test]
    fn one_event_goes_through_and_is_sent_again_until_it_is_acknowledged() {
        let config = Arc::new(SessionConfig::new(TokenKeys::from_random([1; 32])));
        let opening = Opening {
            id: SessionId::from_random([2; 16]),
            user: None,
            payer: None,
            config,
            info: None,
            credentials_end_at_ms: None,
            listener: Arc::new(Nobody),
            reason: None,
        };
        let hello = Hello { instance: "i".into(), attach: Some(1), ..Hello::default() };
        let (mut session, link) = Session::open(NOW, opening, &hello, poll()).unwrap();
        let channel = Arc::new(Channel::new(ChannelName::parse("news").unwrap(), Epoch::from_random(1)));
        let subscribe = throughline_wire::Command::Subscribe {
            channel: channel.name().clone(),
            from: SubscribeFrom::Now,
            token: None,
            presence: false,
        };
        let commands = throughline_wire::frame::Commands { first: 1, items: vec![subscribe], ack: None };
        session.handle_frame(NOW, Via::Link(link), UpFrame::Commands(commands), true).unwrap();
        for effect in session.take_effects() {
            if let Effect::Subscribe(request) = effect {
                session.subscribe(&request, &channel);
            }
        }
        let first = frames(&mut session, link);
        let [DownFrame::Welcome(welcome), DownFrame::Items(items)] = &first[..] else { panic!("{first:?}") };
        assert!(matches!(items.items[..], [Item::Subscribed(_)]));
        assert_eq!(items.ack, Some(1));

        let payload = Payload::Json(Json::parse(b"{\"a\":1}").unwrap());
        channel.append(NewEvent { payload, ..NewEvent::default() }, 5, &Retention::default());
        for attach in 2..4 {
            let resume = Resume {
                token: welcome.token.clone(),
                incarnation: welcome.incarnation,
                after: 1,
                low: 2,
                positions: None,
            };
            let hello = Hello { attach: Some(attach), resume: Some(resume.clone()), ..hello.clone() };
            let link = session.handle_hello(NOW, &hello, &resume, poll()).unwrap();
            let again = frames(&mut session, link);
            let [DownFrame::Items(items)] = &again[..] else { panic!("{again:?}") };
            assert_eq!(items.first, 2);
            assert!(matches!(&items.items[..], [Item::Event(event)] if event.offset.get() == 1));
        }
    }

    #[test]
    fn while_journals_are_crowded_commands_wait_until_replies_are_acknowledged() {
        let config = Arc::new(SessionConfig::new(TokenKeys::from_random([1; 32])));
        let opening = Opening {
            id: SessionId::from_random([2; 16]),
            user: None,
            payer: None,
            config: Arc::clone(&config),
            info: None,
            credentials_end_at_ms: None,
            listener: Arc::new(Nobody),
            reason: None,
        };
        let hello = Hello { instance: "i".into(), attach: Some(1), ..Hello::default() };
        let spec = LinkSpec { kind: LinkKind::Duplex, ..poll() };
        let (mut session, link) = Session::open(NOW, opening, &hello, spec).unwrap();
        config.crowded.set(true);
        let items = vec![throughline_wire::Command::Unknown; 100];
        let commands = throughline_wire::frame::Commands { first: 1, items, ack: None };
        session.handle_frame(NOW, Via::Link(link), UpFrame::Commands(commands), false).unwrap();
        assert_eq!(session.received(), config.limits.commands_ahead, "each has a reply that waits");
        while !frames(&mut session, link).is_empty() {}
        session.handle_frame(NOW, Via::Link(link), UpFrame::Ack { up_to: 64 }, false).unwrap();
        assert_eq!(session.received(), 100, "what ran ahead has its turn");
    }

    #[test]
    fn a_detached_session_is_small() {
        assert!(size_of::<Session>() <= 512, "{}", size_of::<Session>());
    }
}
