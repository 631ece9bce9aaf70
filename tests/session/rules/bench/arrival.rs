//! What clients say when they come, and the frames and commands that follow.

use throughline_wire::{
    Codec, Command, ErrorCode, Json, Payload, Positions, SubscribeFrom, Token, UpFrame,
    frame::{self, ClientInfo, Hello, Resume, VolatileUp},
    payload::Meta,
};

use super::{
    LinkKind, LinkSpec,
    lines::{name, position},
};

/// A client that comes: on what, with which hello, and what else its message says.
pub(crate) struct Arrival {
    pub(super) spec: LinkSpec,
    pub(super) hello: Hello,
    pub(super) resume: Option<Resume>,
    pub(super) frames: Vec<UpFrame>,
    pub(super) reason: Option<ErrorCode>,
    pub(super) info: Option<Json>,
    pub(super) user: Option<&'static str>,
}

/// A poll with this attach number.
pub(crate) fn poll(attach: u64) -> Arrival {
    Arrival::on("polling", Codec::Json, LinkKind::Answer, Some(attach))
}

/// A WebSocket that attaches with its hello.
pub(crate) fn websocket(attach: u64) -> Arrival {
    Arrival::on("websocket", Codec::Bincode, LinkKind::Duplex, Some(attach))
}

/// A WebTransport session that attaches with its hello; it carries datagrams.
pub(crate) fn webtransport(attach: u64) -> Arrival {
    Arrival::on("webtransport", Codec::Bincode, LinkKind::Duplex, Some(attach)).with_datagrams()
}

/// A stream of server-sent events that attaches with its hello.
pub(crate) fn sse(attach: u64) -> Arrival {
    Arrival::on("sse", Codec::Json, LinkKind::DownStream, Some(attach))
}

/// A WebSocket that proves itself first.
pub(crate) fn probe() -> Arrival {
    Arrival::on("websocket", Codec::Bincode, LinkKind::Duplex, None)
}

/// A WebTransport session that proves itself first.
pub(crate) fn webtransport_probe() -> Arrival {
    Arrival::on("webtransport", Codec::Bincode, LinkKind::Duplex, None).with_datagrams()
}

/// A stream of server-sent events that proves itself first.
pub(crate) fn sse_probe() -> Arrival {
    Arrival::on("sse", Codec::Json, LinkKind::DownStream, None)
}

/// A native `EventSource`: it acknowledges nothing.
pub(crate) fn event_source() -> Arrival {
    Arrival::on("sse", Codec::Json, LinkKind::PlainStream, None)
}

impl Arrival {
    fn on(transport: &'static str, codec: Codec, kind: LinkKind, attach: Option<u64>) -> Self {
        let hello = Hello { instance: "page".into(), attach, ..Hello::default() };
        let spec = LinkSpec::new(transport, codec, kind);
        Self { spec, hello, resume: None, frames: Vec::new(), reason: None, info: None, user: None }
    }

    const fn with_datagrams(mut self) -> Self {
        self.spec.datagrams = true;
        self
    }

    /// The last item that it has. It counts in incarnation 1 unless it says otherwise.
    pub(crate) fn after(mut self, after: u64) -> Self {
        self.stated().after = after;
        self
    }

    /// The incarnation that it counts in.
    pub(crate) fn incarnation(mut self, incarnation: u64) -> Self {
        self.stated().incarnation = incarnation;
        self
    }

    /// The lowest command that it has no reply to; 1 unless said.
    pub(crate) fn low(mut self, low: u64) -> Self {
        self.stated().low = low;
        self
    }

    /// Where it is in each channel: `("a", "e1:3")`.
    pub(crate) fn at<const N: usize>(mut self, places: [(&str, &str); N]) -> Self {
        let places = places.iter().map(|(channel, at)| (name(channel), position(at)));
        self.stated().positions = Some(Positions::from_iter(places));
        self
    }

    /// Another client object, as in a duplicated tab.
    pub(crate) fn of(mut self, instance: &str) -> Self {
        self.hello.instance = instance.into();
        self
    }

    /// It asks for a welcome.
    pub(crate) fn asking(mut self) -> Self {
        self.hello.client = Some(ClientInfo { name: "test".into(), version: "1".into() });
        self
    }

    /// The application says something of its user.
    pub(crate) fn known(mut self) -> Self {
        self.info = Json::parse(br#"{"name":"Ada"}"#).ok();
        self
    }

    /// It is this user's.
    pub(crate) const fn by(mut self, user: &'static str) -> Self {
        self.user = Some(user);
        self
    }

    /// It opens a session since the one that it wanted is not had.
    pub(crate) fn instead(mut self, reason: ErrorCode) -> Self {
        self.stated();
        self.reason = Some(reason);
        self
    }

    /// What its message says after the hello.
    pub(crate) fn saying(mut self, frame: UpFrame) -> Self {
        self.frames.push(frame);
        self
    }

    fn stated(&mut self) -> &mut Resume {
        let token = Token::new("old");
        self.resume.get_or_insert(Resume { token, incarnation: 1, after: 0, low: 1, positions: None })
    }
}

/// Commands, numbered from `first`.
pub(crate) fn commands<const N: usize>(first: u64, items: [Command; N]) -> UpFrame {
    UpFrame::Commands(frame::Commands { first, items: items.into(), ack: None })
}

/// A subscription from now on.
pub(crate) fn subscribe(channel: &str) -> Command {
    subscribe_from(channel, SubscribeFrom::Now)
}

/// A subscription that takes part in the channel's presence.
pub(crate) fn take_part(channel: &str) -> Command {
    let (channel, from) = (name(channel), SubscribeFrom::Now);
    Command::Subscribe { channel, from, token: None, presence: true }
}

/// A subscription from a place.
pub(crate) fn subscribe_at(channel: &str, at: &str) -> Command {
    subscribe_from(channel, SubscribeFrom::Position(position(at)))
}

/// A subscription from wherever.
pub(crate) fn subscribe_from(channel: &str, from: SubscribeFrom) -> Command {
    Command::Subscribe { channel: name(channel), from, token: None, presence: false }
}

/// The end of a subscription.
pub(crate) fn unsubscribe(channel: &str) -> Command {
    Command::Unsubscribe { channel: name(channel) }
}

/// Something that is not kept.
pub(crate) fn volatile(channel: &str, seq: u64) -> UpFrame {
    UpFrame::Volatile(VolatileUp { channel: name(channel), name: None, seq, payload: Payload::Empty })
}

/// Something for the application.
pub(crate) fn send() -> Command {
    let (name, id, meta, payload) = (None, None, Meta::default(), Payload::Empty);
    Command::Send(throughline_wire::Send { channel: super::lines::name("intents"), name, id, meta, payload })
}

/// A number whose reply is known.
pub(crate) const fn noop() -> Command {
    Command::Noop
}

/// An attach frame.
pub(crate) const fn attach(number: u64, after: u64) -> UpFrame {
    UpFrame::Attach { number, after }
}
