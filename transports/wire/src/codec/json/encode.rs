//! Writing frames, items and commands. Members come in the order of the protocol's tables; what is absent is left out.

use super::write::Encoder;
use crate::{
    Command, DownFrame, Event, Gap, Item, Member, Meta, Payload, Position, Presence, Reply, Send, Sender,
    SubscribeFrom, Subscribed, Unsubscribed, UpFrame, bounds,
    frame::{Commands, ErrorFrame, Hello, Resume, Retry, TransportOffer, Welcome},
};

impl Encoder<'_> {
    pub(super) fn up(&mut self, frame: &UpFrame) {
        match frame {
            UpFrame::Hello(hello) => self.typed("hello", |w| w.hello(hello)),
            UpFrame::Attach { number, after } => self.typed("attach", |w| {
                w.key("number").integer(*number);
                w.key("after").integer(*after);
            }),
            UpFrame::Session(session) => self.typed("session", |w| {
                w.key("token").string(session.token.reveal());
                w.key("incarnation").integer(session.incarnation);
                w.key("link").integer(session.link);
            }),
            UpFrame::Commands(commands) => self.typed("commands", |w| w.commands(commands)),
            UpFrame::Ack { up_to } => self.typed("ack", |w| w.key("upTo").integer(*up_to)),
            UpFrame::Auth { token } => self.typed("auth", |w| w.key("token").string(token.reveal())),
            UpFrame::Volatile(volatile) => self.typed("volatile", |w| {
                w.key("channel").string(volatile.channel.as_str());
                w.optional_string("name", volatile.name.as_deref());
                w.key("seq").integer(volatile.seq);
                w.payload(&volatile.payload);
            }),
            UpFrame::Tried(tried) => self.typed("tried", |w| {
                w.key("transport").string(&tried.transport);
                w.key("outcome").string(tried.outcome.as_str());
                w.key("tookMs").integer(tried.took_ms);
                w.key("agoMs").integer(tried.ago_ms);
            }),
            UpFrame::Ping { nonce } => self.typed("ping", |w| w.optional_integer("nonce", *nonce)),
            UpFrame::Pong { nonce } => self.typed("pong", |w| w.optional_integer("nonce", *nonce)),
            UpFrame::Bye => self.typed("bye", |_| {}),
            UpFrame::Extension => self.typed("x-unknown", |_| {}),
        }
        self.raw(b"\n");
    }

    pub(super) fn down(&mut self, frame: &DownFrame) {
        match frame {
            DownFrame::Welcome(welcome) => self.typed("welcome", |w| w.welcome(welcome)),
            DownFrame::Items(items) => {
                self.begin_items(items.first);
                for (index, item) in items.items.iter().enumerate() {
                    if index > 0 {
                        self.raw(b",");
                    }
                    self.item(item);
                }
                return self.finish_items(items.ack);
            }
            DownFrame::Ack { up_to } => self.typed("ack", |w| w.key("upTo").integer(*up_to)),
            DownFrame::Retry(retry) => self.typed("retry", |w| w.retry(retry)),
            DownFrame::Migrate { transports, delay_ms, spread_ms } => self.typed("migrate", |w| {
                w.key("transports").list(transports, Encoder::transport);
                w.key("delayMs").integer(*delay_ms);
                w.key("spreadMs").integer(*spread_ms);
            }),
            DownFrame::Volatile(volatile) => self.typed("volatile", |w| {
                w.key("channel").string(volatile.channel.as_str());
                w.optional_string("name", volatile.name.as_deref());
                w.key("time").integer(volatile.time);
                w.key("seq").integer(volatile.seq);
                w.sender(volatile.sender.as_ref());
                w.payload(&volatile.payload);
            }),
            DownFrame::Error(error) => self.typed("error", |w| w.error(error)),
            DownFrame::Ping { nonce, window_ms } => self.typed("ping", |w| w.heartbeat(*nonce, *window_ms)),
            DownFrame::Pong { nonce, window_ms } => self.typed("pong", |w| w.heartbeat(*nonce, *window_ms)),
            DownFrame::Extension => self.typed("x-unknown", |_| {}),
        }
        self.raw(b"\n");
    }

    /// What comes before the items of an `items` frame.
    pub(super) fn begin_items(&mut self, first: u64) {
        self.raw(b"{\"type\":\"items\",\"first\":");
        self.integer(first);
        self.raw(b",\"items\":[");
    }

    /// What comes after them.
    pub(super) fn finish_items(&mut self, ack: Option<u64>) {
        self.raw(b"]");
        self.optional_integer("ack", ack);
        self.raw(b"}\n");
    }

    pub(super) fn item(&mut self, item: &Item) {
        match item {
            Item::Event(event) => self.typed("event", |w| w.event(event)),
            Item::Reply(reply) => self.typed("reply", |w| w.reply(reply)),
            Item::Subscribed(subscribed) => self.typed("subscribed", |w| w.subscribed(subscribed)),
            Item::Unsubscribed(unsubscribed) => self.typed("unsubscribed", |w| w.unsubscribed(unsubscribed)),
            Item::Gap(gap) => self.typed("gap", |w| w.gap(gap)),
            Item::Presence(presence) => self.typed("presence", |w| w.presence(presence)),
            Item::Unknown => self.typed("unknown", |_| {}),
        }
    }

    fn hello(&mut self, hello: &Hello) {
        self.key("version").integer(hello.version.into());
        self.key("instance").string(&hello.instance);
        self.optional_integer("attach", hello.attach);
        self.optional_string("auth", hello.auth.as_ref().map(|token| token.reveal()));
        if let Some(resume) = &hello.resume {
            self.key("resume").object(|w| w.resume(resume));
        }
        if let Some(client) = &hello.client {
            self.key("client").object(|w| {
                w.key("name").string(&client.name);
                w.key("version").string(&client.version);
            });
        }
        if !hello.features.is_empty() {
            self.key("features").list(&hello.features, |w, feature| w.string(feature));
        }
        self.optional_string("slot", hello.slot.as_deref());
    }

    fn resume(&mut self, resume: &Resume) {
        self.key("token").string(resume.token.reveal());
        self.key("incarnation").integer(resume.incarnation);
        self.key("after").integer(resume.after);
        self.key("low").integer(resume.low);
        if let Some(positions) = &resume.positions {
            self.key("positions").object(|w| {
                for (channel, position) in positions {
                    w.position(channel.as_str(), position);
                }
            });
        }
    }

    fn commands(&mut self, commands: &Commands) {
        self.key("first").integer(commands.first);
        self.key("items").list(&commands.items, Encoder::command);
        self.optional_integer("ack", commands.ack);
    }

    fn command(&mut self, command: &Command) {
        match command {
            Command::Subscribe { channel, from, token, presence } => self.typed("subscribe", |w| {
                w.key("channel").string(channel.as_str());
                match from {
                    SubscribeFrom::Now => {}
                    SubscribeFrom::Last(count) => {
                        w.key("from").object(|w| w.key("last").integer((*count).into()));
                    }
                    SubscribeFrom::Position(position) => {
                        w.key("from").object(|w| w.position("position", position))
                    }
                }
                w.optional_string("token", token.as_ref().map(|token| token.reveal()));
                if *presence {
                    w.key("presence").flag(true);
                }
            }),
            Command::Unsubscribe { channel } => {
                self.typed("unsubscribe", |w| w.key("channel").string(channel.as_str()));
            }
            Command::Send(send) => self.typed("send", |w| w.send(send)),
            Command::Noop => self.typed("noop", |_| {}),
            Command::Unknown => self.typed("unknown", |_| {}),
        }
    }

    fn send(&mut self, send: &Send) {
        self.key("channel").string(send.channel.as_str());
        self.optional_string("name", send.name.as_deref());
        self.optional_string("id", send.id.as_deref());
        self.meta(&send.meta);
        self.payload(&send.payload);
    }

    fn welcome(&mut self, welcome: &Welcome) {
        self.key("session").session(&welcome.session);
        self.key("token").string(welcome.token.reveal());
        self.key("incarnation").integer(welcome.incarnation);
        self.key("link").integer(welcome.link);
        self.key("resumed").flag(welcome.resumed);
        self.optional_string("reason", welcome.reason.map(|code| code.as_str()));
        self.key("next").integer(welcome.next);
        self.key("received").integer(welcome.received);
        self.optional_string("user", welcome.user.as_deref());
        self.key("time").integer(welcome.time);
        self.key("heartbeatMs").integer(welcome.heartbeat_ms);
        self.key("resumeWindowMs").integer(welcome.resume_window_ms);
        self.key("windowMs").integer(welcome.window_ms);
        self.key("backoff").object(|w| {
            w.key("baseMs").integer(welcome.backoff.base_ms);
            w.key("capMs").integer(welcome.backoff.cap_ms);
        });
        self.optional_integer("authExpiresInMs", welcome.auth_expires_in_ms);
        if let Some(limits) = &welcome.limits {
            self.key("limits").object(|w| {
                w.key("messageBytes").integer(limits.message_bytes);
                w.key("commandsAhead").integer(limits.commands_ahead);
                w.key("unacknowledgedItems").integer(limits.unacknowledged_items);
                w.key("unacknowledgedBytes").integer(limits.unacknowledged_bytes);
                w.key("subscriptions").integer(limits.subscriptions);
                w.key("commandsPerSecond").integer(limits.commands_per_second);
            });
        }
        if let Some(transports) = &welcome.transports {
            self.key("transports").list(transports, Encoder::transport);
        }
        if let Some(features) = &welcome.features {
            self.key("features").list(features, |w, feature| w.string(feature));
        }
    }

    fn transport(&mut self, offer: &TransportOffer) {
        self.object(|w| {
            w.key("name").string(&offer.name);
            w.optional_string("url", offer.url.as_deref());
            if !offer.certificate_hashes.is_empty() {
                w.key("certificateHashes").list(&offer.certificate_hashes, |w, hash| w.string(hash));
            }
        });
    }

    fn retry(&mut self, retry: &Retry) {
        self.key("delayMs").integer(retry.delay_ms);
        self.key("spreadMs").integer(retry.spread_ms);
        self.key("reason").string(retry.reason.as_str());
        self.optional_string("slot", retry.slot.as_deref());
        if let Some(transports) = &retry.transports {
            self.key("transports").list(transports, Encoder::transport);
        }
        if retry.is_final {
            self.key("final").flag(true);
        }
    }

    fn error(&mut self, error: &ErrorFrame) {
        self.key("code").string(error.code.as_str());
        self.key("message").string(bounds::message(&error.message));
        self.optional_integer("command", error.command);
        self.key("fatal").flag(error.fatal);
    }

    fn heartbeat(&mut self, nonce: Option<u64>, window_ms: Option<u64>) {
        self.optional_integer("nonce", nonce);
        self.optional_integer("windowMs", window_ms);
    }

    fn event(&mut self, event: &Event) {
        self.key("channel").string(event.channel.as_str());
        self.key("offset").integer(event.offset.get());
        self.key("time").integer(event.time);
        self.optional_string("name", event.name.as_deref());
        self.optional_string("key", event.key.as_deref());
        self.sender(event.sender.as_ref());
        self.meta(&event.meta);
        self.payload(&event.payload);
    }

    fn reply(&mut self, reply: &Reply) {
        self.key("command").integer(reply.command);
        self.key("ok").flag(reply.result.is_ok());
        match &reply.result {
            Ok(accepted) => {
                if let Some(position) = &accepted.position {
                    self.position("position", position);
                }
                self.payload(&accepted.payload);
            }
            Err(error) => self.key("error").object(|w| {
                w.key("code").string(&error.code);
                w.key("message").string(bounds::message(&error.message));
                w.key("retryable").flag(error.retryable);
            }),
        }
    }

    fn subscribed(&mut self, subscribed: &Subscribed) {
        self.key("channel").string(subscribed.channel.as_str());
        self.optional_integer("command", subscribed.command);
        self.position("position", &subscribed.position);
        self.key("recovered").flag(subscribed.recovered);
    }

    fn unsubscribed(&mut self, unsubscribed: &Unsubscribed) {
        self.key("channel").string(unsubscribed.channel.as_str());
        self.optional_integer("command", unsubscribed.command);
        self.key("reason").string(unsubscribed.reason.as_str());
    }

    fn gap(&mut self, gap: &Gap) {
        self.optional_string("channel", gap.channel.as_ref().map(|channel| channel.as_str()));
        if let Some(from) = &gap.from {
            self.position("from", from);
        }
        self.position("to", &gap.to);
        self.key("exact").flag(gap.exact);
        self.key("reason").string(gap.reason.as_str());
    }

    fn presence(&mut self, presence: &Presence) {
        self.key("channel").string(presence.channel.as_str());
        self.key("kind").string(presence.kind.as_str());
        self.key("members").list(&presence.members, Encoder::member);
        self.key("count").integer(presence.count);
    }

    fn member(&mut self, member: &Member) {
        self.object(|w| {
            w.key("session").session(&member.session);
            w.optional_string("user", member.user.as_deref());
            if let Some(info) = &member.info {
                w.key("info").raw(info.as_bytes());
            }
        });
    }

    fn position(&mut self, name: &str, position: &Position) {
        self.key(name).object(|w| {
            w.key("epoch").string(position.epoch.as_str());
            w.key("offset").integer(position.offset.get());
        });
    }

    fn sender(&mut self, sender: Option<&Sender>) {
        let Some(sender) = sender else { return };
        self.key("sender").object(|w| {
            w.optional_string("user", sender.user.as_deref());
            w.key("session").session(&sender.session);
        });
    }

    fn meta(&mut self, meta: &Meta) {
        if meta.is_empty() {
            return;
        }
        self.key("meta").object(|w| {
            for (name, value) in meta.iter() {
                w.key(name).string(value);
            }
        });
    }

    fn payload(&mut self, payload: &Payload) {
        match payload {
            Payload::Empty => {}
            Payload::Json(json) => self.key("data").raw(json.as_bytes()),
            Payload::Bytes(bytes) => self.key("bytes").base64(bytes),
        }
    }

    fn optional_integer(&mut self, name: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.key(name).integer(value);
        }
    }

    fn optional_string(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.key(name).string(value);
        }
    }
}
