//! Writing frames, items and commands, member by member in the order of the layout.

use super::{
    layout::{command, frame, from, item, payload, presence},
    write::Encoder,
};
use crate::{
    Command, DownFrame, Event, Gap, Item, Member, Meta, Payload, Position, Presence, PresenceKind, Reply,
    Send, Sender, SubscribeFrom, Token, UpFrame, bounds,
    frame::{Hello, Resume, Retry, TransportOffer, Welcome},
};

impl Encoder<'_> {
    pub(super) fn up(&mut self, frame: &UpFrame) {
        match frame {
            UpFrame::Hello(hello) => self.typed(frame::HELLO, |w| w.hello(hello)),
            UpFrame::Attach { number, after } => self.typed(frame::ATTACH, |w| {
                w.integer(*number);
                w.integer(*after);
            }),
            UpFrame::Session(session) => self.typed(frame::SESSION, |w| {
                w.string(session.token.reveal());
                w.integer(session.incarnation);
                w.integer(session.link);
            }),
            UpFrame::Commands(commands) => self.typed(frame::COMMANDS, |w| {
                w.integer(commands.first);
                w.list(&commands.items, Encoder::command);
                w.optional_integer(commands.ack);
            }),
            UpFrame::Ack { up_to } => self.typed(frame::ACK, |w| w.integer(*up_to)),
            UpFrame::Auth { token } => self.typed(frame::AUTH, |w| w.string(token.reveal())),
            UpFrame::Volatile(volatile) => self.typed(frame::VOLATILE, |w| {
                w.string(volatile.channel.as_str());
                w.optional_string(volatile.name.as_deref());
                w.integer(volatile.seq);
                w.payload(&volatile.payload);
            }),
            UpFrame::Tried(tried) => self.typed(frame::TRIED, |w| {
                w.string(&tried.transport);
                w.string(tried.outcome.as_str());
                w.integer(tried.took_ms);
                w.integer(tried.ago_ms);
            }),
            UpFrame::Ping { nonce } => self.typed(frame::PING, |w| w.optional_integer(*nonce)),
            UpFrame::Pong { nonce } => self.typed(frame::PONG, |w| w.optional_integer(*nonce)),
            UpFrame::Bye => self.typed(frame::BYE, |_| {}),
            UpFrame::Extension => self.typed(frame::EXTENSION, |_| {}),
        }
    }

    pub(super) fn down(&mut self, frame: &DownFrame) {
        match frame {
            DownFrame::Welcome(welcome) => self.typed(frame::WELCOME, |w| w.welcome(welcome)),
            DownFrame::Items(items) => self.typed(frame::ITEMS, |w| {
                w.integer(items.first);
                w.list(&items.items, Encoder::item);
                w.optional_integer(items.ack);
            }),
            DownFrame::Ack { up_to } => self.typed(frame::ACK, |w| w.integer(*up_to)),
            DownFrame::Retry(retry) => self.typed(frame::RETRY, |w| w.retry(retry)),
            DownFrame::Migrate { transports, delay_ms, spread_ms } => self.typed(frame::MIGRATE, |w| {
                w.transports(transports);
                w.integer(*delay_ms);
                w.integer(*spread_ms);
            }),
            DownFrame::Volatile(volatile) => self.typed(frame::VOLATILE, |w| {
                w.string(volatile.channel.as_str());
                w.optional_string(volatile.name.as_deref());
                w.integer(volatile.time);
                w.integer(volatile.seq);
                w.option(volatile.sender.as_ref(), Encoder::sender);
                w.payload(&volatile.payload);
            }),
            DownFrame::Error(error) => self.typed(frame::ERROR, |w| {
                w.string(error.code.as_str());
                w.string(bounds::message(&error.message));
                w.optional_integer(error.command);
                w.flag(error.fatal);
            }),
            DownFrame::Ping { nonce, window_ms } => self.typed(frame::PING, |w| {
                w.optional_integer(*nonce);
                w.optional_integer(*window_ms);
            }),
            DownFrame::Pong { nonce, window_ms } => self.typed(frame::PONG, |w| {
                w.optional_integer(*nonce);
                w.optional_integer(*window_ms);
            }),
            DownFrame::Extension => self.typed(frame::EXTENSION, |_| {}),
        }
    }

    pub(super) fn item(&mut self, item: &Item) {
        match item {
            Item::Event(event) => self.typed(item::EVENT, |w| w.event(event)),
            Item::Reply(reply) => self.typed(item::REPLY, |w| w.reply(reply)),
            Item::Subscribed(subscribed) => self.typed(item::SUBSCRIBED, |w| {
                w.string(subscribed.channel.as_str());
                w.optional_integer(subscribed.command);
                w.position(&subscribed.position);
                w.flag(subscribed.recovered);
            }),
            Item::Unsubscribed(unsubscribed) => self.typed(item::UNSUBSCRIBED, |w| {
                w.string(unsubscribed.channel.as_str());
                w.optional_integer(unsubscribed.command);
                w.string(unsubscribed.reason.as_str());
            }),
            Item::Gap(gap) => self.typed(item::GAP, |w| w.gap(gap)),
            Item::Presence(presence) => self.typed(item::PRESENCE, |w| w.presence(presence)),
            Item::Unknown => self.typed(item::UNKNOWN, |_| {}),
        }
    }

    /// What follows the items of a frame.
    pub(super) fn items_ack(&mut self, ack: Option<u64>) {
        self.optional_integer(ack);
    }

    fn hello(&mut self, hello: &Hello) {
        self.integer(hello.version.into());
        self.string(&hello.instance);
        self.optional_integer(hello.attach);
        self.optional_string(hello.auth.as_ref().map(Token::reveal));
        self.option(hello.resume.as_ref(), Encoder::resume);
        self.option(hello.client.as_ref(), |w, client| {
            w.string(&client.name);
            w.string(&client.version);
        });
        self.list(&hello.features, |w, feature| w.string(feature));
        self.optional_string(hello.slot.as_deref());
    }

    fn resume(&mut self, resume: &Resume) {
        self.string(resume.token.reveal());
        self.integer(resume.incarnation);
        self.integer(resume.after);
        self.integer(resume.low);
        self.option(resume.positions.as_ref(), |w, positions| {
            w.integer(positions.len() as u64);
            for (channel, position) in positions {
                w.string(channel.as_str());
                w.position(position);
            }
        });
    }

    fn command(&mut self, command: &Command) {
        match command {
            Command::Subscribe { channel, from, token, presence } => self.typed(command::SUBSCRIBE, |w| {
                w.string(channel.as_str());
                match from {
                    SubscribeFrom::Now => w.byte(from::NOW),
                    SubscribeFrom::Last(count) => {
                        w.byte(from::LAST);
                        w.integer((*count).into());
                    }
                    SubscribeFrom::Position(position) => {
                        w.byte(from::POSITION);
                        w.position(position);
                    }
                }
                w.optional_string(token.as_ref().map(Token::reveal));
                w.flag(*presence);
            }),
            Command::Unsubscribe { channel } => {
                self.typed(command::UNSUBSCRIBE, |w| w.string(channel.as_str()));
            }
            Command::Send(send) => self.typed(command::SEND, |w| w.send(send)),
            Command::Noop => self.typed(command::NOOP, |_| {}),
            Command::Unknown => self.typed(command::UNKNOWN, |_| {}),
        }
    }

    fn send(&mut self, send: &Send) {
        self.string(send.channel.as_str());
        self.optional_string(send.name.as_deref());
        self.optional_string(send.id.as_deref());
        self.meta(&send.meta);
        self.payload(&send.payload);
    }

    fn welcome(&mut self, welcome: &Welcome) {
        self.session(welcome.session.as_bytes());
        self.string(welcome.token.reveal());
        self.integer(welcome.incarnation);
        self.integer(welcome.link);
        self.flag(welcome.resumed);
        self.optional_string(welcome.reason.map(|code| code.as_str()));
        self.integer(welcome.next);
        self.integer(welcome.received);
        self.optional_string(welcome.user.as_deref());
        self.integer(welcome.time);
        self.integer(welcome.heartbeat_ms);
        self.integer(welcome.resume_window_ms);
        self.integer(welcome.window_ms);
        self.integer(welcome.backoff.base_ms);
        self.integer(welcome.backoff.cap_ms);
        self.optional_integer(welcome.auth_expires_in_ms);
        self.option(welcome.limits.as_ref(), |w, limits| {
            w.integer(limits.message_bytes);
            w.integer(limits.commands_ahead);
            w.integer(limits.unacknowledged_items);
            w.integer(limits.unacknowledged_bytes);
            w.integer(limits.subscriptions);
            w.integer(limits.commands_per_second);
        });
        self.option(welcome.transports.as_deref(), Encoder::transports);
        self.option(welcome.features.as_ref(), |w, features| {
            w.list(features, |w, feature| w.string(feature));
        });
    }

    fn transports(&mut self, offers: &[TransportOffer]) {
        self.list(offers, |w, offer| {
            w.string(&offer.name);
            w.optional_string(offer.url.as_deref());
            w.list(&offer.certificate_hashes, |w, hash| w.string(hash));
        });
    }

    fn retry(&mut self, retry: &Retry) {
        self.integer(retry.delay_ms);
        self.integer(retry.spread_ms);
        self.string(retry.reason.as_str());
        self.optional_string(retry.slot.as_deref());
        self.option(retry.transports.as_deref(), Encoder::transports);
        self.flag(retry.is_final);
    }

    fn event(&mut self, event: &Event) {
        self.string(event.channel.as_str());
        self.integer(event.offset.get());
        self.integer(event.time);
        self.optional_string(event.name.as_deref());
        self.optional_string(event.key.as_deref());
        self.option(event.sender.as_ref(), Encoder::sender);
        self.meta(&event.meta);
        self.payload(&event.payload);
    }

    fn reply(&mut self, reply: &Reply) {
        self.integer(reply.command);
        self.flag(reply.result.is_ok());
        let accepted = reply.result.as_ref().ok();
        self.option(accepted.and_then(|accepted| accepted.position.as_ref()), Encoder::position);
        self.payload(accepted.map_or(&Payload::Empty, |accepted| &accepted.payload));
        self.option(reply.result.as_ref().err(), |w, error| {
            w.string(&error.code);
            w.string(bounds::message(&error.message));
            w.flag(error.retryable);
        });
    }

    fn gap(&mut self, gap: &Gap) {
        self.optional_string(gap.channel.as_ref().map(|channel| channel.as_str()));
        self.option(gap.from.as_ref(), Encoder::position);
        self.position(&gap.to);
        self.flag(gap.exact);
        self.string(gap.reason.as_str());
    }

    fn presence(&mut self, presence: &Presence) {
        self.string(presence.channel.as_str());
        self.byte(match presence.kind {
            PresenceKind::State => presence::STATE,
            PresenceKind::Join => presence::JOIN,
            PresenceKind::Leave => presence::LEAVE,
        });
        self.list(&presence.members, Encoder::member);
        self.integer(presence.count);
    }

    fn member(&mut self, member: &Member) {
        self.session(member.session.as_bytes());
        self.optional_string(member.user.as_deref());
        self.option(member.info.as_ref(), |w, info| w.bytes(info.as_bytes()));
    }

    fn position(&mut self, position: &Position) {
        self.string(position.epoch.as_str());
        self.integer(position.offset.get());
    }

    fn sender(&mut self, sender: &Sender) {
        self.optional_string(sender.user.as_deref());
        self.session(sender.session.as_bytes());
    }

    fn meta(&mut self, meta: &Meta) {
        self.integer(meta.len() as u64);
        for (name, value) in meta.iter() {
            self.string(name);
            self.string(value);
        }
    }

    fn payload(&mut self, payload: &Payload) {
        match payload {
            Payload::Empty => self.byte(payload::EMPTY),
            Payload::Json(json) => {
                self.byte(payload::JSON);
                self.bytes(json.as_bytes());
            }
            Payload::Bytes(bytes) => {
                self.byte(payload::BYTES);
                self.bytes(bytes);
            }
        }
    }

    fn optional_integer(&mut self, value: Option<u64>) {
        self.option(value, Encoder::integer);
    }

    fn optional_string(&mut self, value: Option<&str>) {
        self.option(value, Encoder::string);
    }
}
