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
//! Read next: `attach` for how links come and go, `commands` for what goes up, `transmit` and `pull` for what
//! goes down, `slow` for whoever falls behind, `volatile` for what is said and not kept, `presence` for who is here,
//! `life` for what the application is told. The rules cited as L1, C2, N3 … are those
//! of docs/protocol.md.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod assigned;
mod attach;
mod commands;
mod config;
mod credentials;
mod history;
mod journal;
mod leave;
mod life;
mod link;
mod presence;
mod pull;
mod slow;
mod subscription;
mod tag;
mod timers;
mod token;
mod transmit;
mod volatile;

use std::{collections::VecDeque, sync::Arc};

pub use assigned::user_channel;
pub use attach::Opening;
pub use config::{Crowded, Now, Offers, SessionConfig, Window};
use credentials::Credentials;
use hashbrown::HashSet;
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
use throughline_wire::{
    AttemptOutcome, ChannelName, ErrorCode, GapReason, Item, Position, Reply, SessionId, SubscribeFrom,
    Token, frame::TransportOffer, item::Accepted,
};
pub(crate) use token::MAC_BYTES;
pub use token::{KeyError, TokenKeys};
pub use transmit::{Output, encode_goodbye};

use crate::channel::{Channel, Listener, NewVolatile};

/// One client's conversation. See the [module](self) for how to drive it.
pub struct Session {
    id: SessionId,
    user: Option<Box<str>>,
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

/// What goes up.
#[derive(Debug, Default)]
struct Commands {
    /// The last command taken in this incarnation.
    received: u64,
    /// The last command ever taken: a `send` at or below it is not applied again (C3).
    highest: u64,
    /// What ran ahead of its turn, by number.
    ahead: Vec<(u64, throughline_wire::Command)>,
    ahead_bytes: usize,
    /// `send`s whose reply is not known yet.
    sending: HashSet<u64>,
    /// Replies that were owed when the session was rebuilt, until their command is taken again (C2).
    answered: Vec<Reply>,
    /// Subscribes and unsubscribes under way.
    subscribing: u64,
    /// The incarnation since which they count: those of before were asked for again.
    asked_since: u64,
}

/// What the driver has to do.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Effect {
    /// This link has something to transmit.
    Wake(LinkId),
    /// Authorise a subscription and open the channel; then [`Session::subscribe`] or [`Session::refuse`].
    ///
    /// Effects of one session about one channel are to be carried out in order.
    Subscribe(SubscribeRequest),
    /// Then [`Session::unsubscribe`].
    Unsubscribe(UnsubscribeRequest),
    /// Hand an intent to the application; then [`Session::reply`].
    Send {
        /// The command's number: with the session's id, the intent's stable key.
        command: u64,
        /// What the client said.
        send: throughline_wire::Send,
    },
    /// Pass something on that is not kept, to whoever holds the channel.
    Volatile {
        /// The channel.
        channel: ChannelName,
        /// What is said.
        volatile: NewVolatile,
    },
    /// Who takes part in this channel has changed: [mark](Channel::mark_members) it, and wake whoever takes part.
    Announce(Arc<Channel>),
    /// Find out whether the user may send to this channel; then [`Session::permit`].
    Permit(ChannelName),
    /// Check fresh credentials; then nothing, or [`Session::end`].
    Authenticate {
        /// The credential.
        token: Token,
    },
    /// The session's client has shown that it knows the session.
    Established,
    /// The application is to be told of the session's life, in the order of the numbers. Comes only where
    /// [somebody listens](SessionConfig::reports_life).
    Life {
        /// How many there were of this session, this one among them: with the session's id, its stable key.
        number: u32,
        /// What happened.
        life: Life,
    },
    /// A command was refused, for whoever counts: by its error, an application's own as [`ErrorCode::Other`].
    Refused(ErrorCode),
    /// The client told how its use of a transport went, for whoever counts.
    Tried {
        /// One of [`TRANSPORTS`], or [`OTHER`].
        transport: &'static str,
        /// How it ended.
        outcome: AttemptOutcome,
    },
    /// Something that is never answered was dropped, for whoever counts.
    Dropped(Dropped),
    /// The session is over: forget it.
    Ended(Ending),
}

/// Why something that is never answered was dropped.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Dropped {
    /// A client told of more attempts than anybody makes.
    TriedTooOften,
    /// More volatiles than a session may say in a second.
    VolatileTooOften,
    /// A volatile larger than it may be.
    VolatileTooLarge,
    /// A volatile for a channel that the session does not hold.
    VolatileNotSubscribed,
    /// A volatile for a channel that the user may not send to, or nobody could say.
    VolatileForbidden,
    /// A volatile whose `seq` is not above the last: a datagram was overtaken or repeated.
    VolatileOld,
    /// A volatile on a link that items do not flow on.
    VolatileNotAttached,
    /// The broker has no room for a volatile, or does not carry them.
    VolatileOverloaded,
}

impl Dropped {
    /// Every reason.
    pub const ALL: &[Self] = &[
        Self::TriedTooOften,
        Self::VolatileTooOften,
        Self::VolatileTooLarge,
        Self::VolatileNotSubscribed,
        Self::VolatileForbidden,
        Self::VolatileOld,
        Self::VolatileNotAttached,
        Self::VolatileOverloaded,
    ];

    /// The frame that was dropped, and the reason in a word.
    pub const fn as_strs(self) -> (&'static str, &'static str) {
        match self {
            Self::TriedTooOften => ("tried", "rate"),
            Self::VolatileTooOften => ("volatile", "rate"),
            Self::VolatileTooLarge => ("volatile", "size"),
            Self::VolatileNotSubscribed => ("volatile", "not_subscribed"),
            Self::VolatileForbidden => ("volatile", "forbidden"),
            Self::VolatileOld => ("volatile", "old"),
            Self::VolatileNotAttached => ("volatile", "not_attached"),
            Self::VolatileOverloaded => ("volatile", "overloaded"),
        }
    }
}

/// A subscription that is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubscribeRequest {
    /// The command that asks; `None` where a rebuilt or new session takes up a stated position (N3).
    pub command: Option<u64>,
    /// The channel.
    pub channel: ChannelName,
    /// Where to begin.
    pub from: SubscribeFrom,
    /// A credential for this channel.
    pub token: Option<Token>,
    /// Whether the session is to take part in the channel's presence.
    pub presence: bool,
    incarnation: u64,
}

/// The end of a subscription that is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnsubscribeRequest {
    /// The command that asks.
    pub command: u64,
    /// The channel.
    pub channel: ChannelName,
    incarnation: u64,
}

/// Why a session is over.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Ending {
    /// Its client never showed that it knows it.
    Provisional,
    /// Nobody came back in time.
    Expired,
    /// Its client said `bye`.
    Bye,
    /// The application ended it.
    Disconnected,
    /// Its numbers are used up (G5).
    Exhausted,
    /// Its client acknowledged no presence for a minute, while all that are unacknowledged have little room left.
    Unacknowledged,
    /// The gateway stops, and nobody holds it after that.
    Stopped,
}

impl Ending {
    /// Every way to end.
    pub const ALL: &[Self] = &[
        Self::Provisional,
        Self::Expired,
        Self::Bye,
        Self::Disconnected,
        Self::Exhausted,
        Self::Unacknowledged,
        Self::Stopped,
    ];

    /// The word for logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provisional => "provisional",
            Self::Expired => "expired",
            Self::Bye => "bye",
            Self::Disconnected => "disconnected",
            Self::Exhausted => "exhausted",
            Self::Unacknowledged => "unacknowledged",
            Self::Stopped => "stopped",
        }
    }
}

/// What happened since it was last [taken](Session::take_tally), for metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Items put into messages, repetitions included.
    pub items_sent: u32,
    /// Items acknowledged.
    pub items_acknowledged: u32,
    /// Gaps told because a log no longer holds the events.
    pub gaps_trimmed: u32,
    /// Gaps told because a log began anew.
    pub gaps_epoch: u32,
    /// Gaps told in place of events that newer ones of their keys stand for.
    pub gaps_conflated: u32,
    /// Gaps told because the session fell too far behind.
    pub gaps_overflow: u32,
    /// Events left out of channels of which a session that fell behind gets the latest.
    pub left_out_latest: u32,
    /// Events left out of channels that tell a session that fell behind a gap.
    pub left_out_gap: u32,
    /// Volatiles put into messages or datagrams.
    pub volatiles_sent: u32,
    /// How often there was an event to send and the window of those that are not acknowledged was full.
    pub windows_full: u32,
}

impl Tally {
    /// Counts a gap.
    const fn gap(&mut self, reason: GapReason) {
        let count = match reason {
            GapReason::Trimmed => &mut self.gaps_trimmed,
            GapReason::Conflated => &mut self.gaps_conflated,
            GapReason::Overflow => &mut self.gaps_overflow,
            _ => &mut self.gaps_epoch,
        };
        *count += 1;
    }

    /// Counts events that a session was not sent since it had fallen behind.
    const fn left_out(&mut self, reason: GapReason, events: u64) {
        let count = match reason {
            GapReason::Conflated => &mut self.left_out_latest,
            _ => &mut self.left_out_gap,
        };
        let events = if events > u32::MAX as u64 { u32::MAX } else { events as u32 };
        *count = count.saturating_add(events);
    }
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

    /// Ends the session now; each of its links is told why.
    pub fn end(&mut self, ending: Ending) {
        if self.is_ended() {
            return;
        }
        let goodbye = match ending {
            Ending::Bye => Goodbye::Ended,
            Ending::Disconnected => Goodbye::Disconnected,
            Ending::Provisional
            | Ending::Expired
            | Ending::Exhausted
            | Ending::Unacknowledged
            | Ending::Stopped => Goodbye::Gone,
        };
        self.dismiss(goodbye);
        self.phase = Phase::Ended;
        self.disappear();
        self.presence = None;
        self.subscriptions = Vec::new();
        self.pending = VecDeque::new();
        self.journal = Journal::after(self.journal.next() - 1);
        self.commands.ahead = Vec::new();
        self.commands.answered = Vec::new();
        self.end_life(ending);
        self.effects.push(Effect::Ended(ending));
    }

    /// Ends the session by the application's word. Its client is told to stay away, or, where it `may_return`, to open
    /// another session.
    pub fn disconnect(&mut self, may_return: bool) {
        if may_return {
            self.dismiss(Goodbye::Gone);
        }
        self.end(Ending::Disconnected);
    }

    /// Ends every link, and tells each why. The session lives on.
    pub fn dismiss(&mut self, goodbye: Goodbye) {
        for index in 0..self.links.len() {
            self.say_goodbye(index, goodbye);
        }
    }

    /// Ends one link, and tells it why. The session lives on.
    pub fn dismiss_link(&mut self, link: LinkId, goodbye: Goodbye) {
        if let Some(index) = self.link_index(link) {
            self.say_goodbye(index, goodbye);
        }
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

/// The result of a `send`, as the application gives it.
pub type SendResult = Result<Accepted, throughline_wire::ReplyError>;

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use throughline_wire::{
        Codec, DecodeLimits, DownFrame, Epoch, Json, Payload, UpFrame,
        frame::{Hello, Resume},
    };

    use super::{attach::Opening, *};
    use crate::channel::{NewEvent, Retention};

    struct Nobody;
    impl Listener for Nobody {
        fn ready(&self) {}
    }

    const NOW: Now = Now { mono_ms: 0, wall_ms: 0 };

    fn poll() -> LinkSpec {
        LinkSpec { transport: "polling", codec: Codec::Json, kind: LinkKind::Answer, datagrams: false }
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
        assert!(size_of::<Session>() <= 504, "{}", size_of::<Session>());
    }
}
