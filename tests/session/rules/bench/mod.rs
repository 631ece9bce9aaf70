//! The bench that schedules run on: one gateway's sessions and channels, a clock that moves when told, and links
//! that carry bytes.
//!
//! A [`World`] drives [`Session`] as a gateway would: it encodes what a client says, decodes what is transmitted,
//! carries out effects and holds what the application is asked for. What a link says is read as lines, so that a
//! schedule compares with what a person would write down: `2 event a 1`, `3 gap a e1:1-e1:4 trimmed`, `ack 2`,
//! `close superseded`. WebSockets use the binary codec and everything else the text codec, so that sessions change
//! codecs as they change links.
//!
//! A link that has something to say without having been woken fails the test, whichever it is.

mod arrival;
mod lines;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

pub(crate) use arrival::*;
use bytes::BytesMut;
use lines::{describe, describe_life, epoch, name, place};
use throughline::{
    channel::{Channel, NewEvent, NewVolatile, Retention},
    limits::{Limit, Table},
    session::{
        Dropped, Effect, Ending, Goodbye, LinkId, LinkKind, LinkSpec, Now, Opening, Output, Parting, Session,
        SessionConfig, SubscribeRequest, Tally, TokenKeys, UnsubscribeRequest, Via,
    },
};
use throughline_wire::{
    AttemptOutcome, Codec, DecodeLimits, ErrorCode, Payload, SessionId, SubscribeFrom, UpFrame,
    frame::{Hello, Resume, TransportOffer},
    item::Accepted,
};

use crate::bell::Bell;

/// Where everything happens.
pub(crate) struct World {
    now: Now,
    config: Arc<SessionConfig>,
    channels: BTreeMap<String, Arc<Channel>>,
    /// What users have, for whom sessions count.
    users: Table<&'static str>,
    bell: Arc<Bell>,
    session: Session,
    opened: u8,
    /// Sessions that wait for their [turn](World::turn).
    aside: Vec<Aside>,
    woken: BTreeSet<LinkId>,
    specs: BTreeMap<LinkId, LinkSpec>,
    /// How many bytes of items a message may have.
    pub(crate) budget_bytes: usize,
    /// Whether subscriptions wait for [`World::grant`].
    pub(crate) hold: bool,
    held: Vec<Asked>,
    /// Every `send` that was handed to the application, by command.
    pub(crate) sent: Vec<u64>,
    /// Every channel that was to be authorised, in order.
    pub(crate) authorised: Vec<String>,
    /// How often a session was said to be established.
    pub(crate) established: usize,
    /// What was told of the session's life, as `1 opened`.
    pub(crate) lived: Vec<String>,
    /// Whether the user may send anywhere; `None` leaves the question open.
    pub(crate) may_send: Option<bool>,
    /// The channels that this question was asked about and left open.
    pub(crate) asked: Vec<String>,
    /// The `seq` of every volatile of the session that was passed on.
    pub(crate) spoken: Vec<u64>,
    /// What the client told of its transports.
    pub(crate) told: Vec<(&'static str, AttemptOutcome)>,
    /// What was dropped without an answer.
    pub(crate) dropped: Vec<Dropped>,
    /// The limits that it met.
    pub(crate) limited: Vec<Limit>,
    /// How the session ended.
    pub(crate) ended: Option<Ending>,
}

/// A session that is not the schedule's present one, with its links.
struct Aside {
    session: Session,
    woken: BTreeSet<LinkId>,
    specs: BTreeMap<LinkId, LinkSpec>,
    ended: Option<Ending>,
    bell: Arc<Bell>,
}

enum Asked {
    Subscribe(SubscribeRequest),
    Unsubscribe(UnsubscribeRequest),
}

impl World {
    /// A world with the gateway's defaults, in which this client has opened a session.
    pub(crate) fn open(arrival: Arrival) -> (Self, LinkId) {
        Self::open_with(|_| {}, arrival)
    }

    /// The same with other settings.
    pub(crate) fn open_with(adjust: impl FnOnce(&mut SessionConfig), arrival: Arrival) -> (Self, LinkId) {
        let mut config = SessionConfig::new(TokenKeys::from_random([7; 32]));
        adjust(&mut config);
        let (config, bell) = (Arc::new(config), Arc::new(Bell::default()));
        let now = Now { mono_ms: 1_000, wall_ms: 1_700_000_000_000 };
        let users = Table::default();
        let (session, link) = open_session(now, 1, &config, &users, &bell, &arrival);
        let mut world = Self {
            now,
            config,
            channels: BTreeMap::new(),
            users,
            bell,
            session,
            opened: 1,
            aside: Vec::new(),
            woken: BTreeSet::new(),
            specs: BTreeMap::from([(link, arrival.spec)]),
            budget_bytes: 1 << 20,
            hold: false,
            held: Vec::new(),
            sent: Vec::new(),
            authorised: Vec::new(),
            established: 0,
            lived: Vec::new(),
            may_send: Some(true),
            asked: Vec::new(),
            spoken: Vec::new(),
            told: Vec::new(),
            dropped: Vec::new(),
            limited: Vec::new(),
            ended: None,
        };
        world.settle();
        world.hear_opening(link, arrival.frames);
        (world, link)
    }

    /// Another session opens; the schedule goes on with it, and the one before comes back as it was.
    pub(crate) fn open_another(&mut self, arrival: Arrival) -> (Session, LinkId) {
        self.opened += 1;
        let (session, link) =
            open_session(self.now, self.opened, &self.config, &self.users, &self.bell, &arrival);
        let before = std::mem::replace(&mut self.session, session);
        self.specs.clear();
        self.woken.clear();
        self.ended = None;
        self.specs.insert(link, arrival.spec);
        self.settle();
        self.hear_opening(link, arrival.frames);
        (before, link)
    }

    /// Another session opens; the schedule goes on with it, and the one before waits aside, as the last of them.
    pub(crate) fn open_beside(&mut self, arrival: Arrival) -> LinkId {
        let (woken, specs) = (std::mem::take(&mut self.woken), std::mem::take(&mut self.specs));
        let (ended, bell) = (self.ended.take(), std::mem::take(&mut self.bell));
        let (session, link) = self.open_another(arrival);
        self.aside.push(Aside { session, woken, specs, ended, bell });
        link
    }

    /// The schedule goes on with a session that waited aside, and the present one takes its place there.
    pub(crate) fn turn(&mut self, index: usize) {
        let aside = &mut self.aside[index];
        std::mem::swap(&mut self.session, &mut aside.session);
        std::mem::swap(&mut self.woken, &mut aside.woken);
        std::mem::swap(&mut self.specs, &mut aside.specs);
        std::mem::swap(&mut self.ended, &mut aside.ended);
        std::mem::swap(&mut self.bell, &mut aside.bell);
    }

    /// Does something as a session that waits aside.
    pub(crate) fn as_session<R>(&mut self, index: usize, what: impl FnOnce(&mut Self) -> R) -> R {
        self.turn(index);
        let result = what(self);
        self.turn(index);
        result
    }

    /// The application ends the session.
    pub(crate) fn disconnect(&mut self) {
        self.session.end(Ending::Disconnected);
        self.settle();
    }

    /// The client comes back, and is taken.
    pub(crate) fn come(&mut self, arrival: Arrival) -> LinkId {
        self.try_come(arrival).expect("an arrival that is taken")
    }

    /// The client comes back, or is refused with all that it says.
    pub(crate) fn try_come(&mut self, arrival: Arrival) -> Result<LinkId, Goodbye> {
        let mut hello = arrival.hello;
        let mut resume = arrival.resume.unwrap_or_else(|| self.resume());
        resume.token = self.config.keys.token(self.session.id(), self.session.user());
        hello.resume = Some(resume);
        let Some(UpFrame::Hello(hello)) = over_the_wire(arrival.spec.codec, UpFrame::Hello(Box::new(hello)))
        else {
            panic!("no hello")
        };
        let resume = hello.resume.clone().expect("set above");
        let link = self.session.handle_hello(self.now, &hello, &resume, arrival.spec)?;
        self.specs.insert(link, arrival.spec);
        self.settle();
        for frame in arrival.frames {
            let _ = self.say(link, frame);
        }
        Ok(link)
    }

    /// A frame arrives on a link. What is wrong with it is told on that link, and returned.
    pub(crate) fn say(&mut self, link: LinkId, frame: UpFrame) -> Result<(), ErrorCode> {
        self.deliver(Via::Link(link), frame, false)
    }

    /// A frame arrives in a post that names a link.
    pub(crate) fn post(&mut self, link: LinkId, frame: UpFrame) -> Result<(), ErrorCode> {
        self.deliver(Via::Post(link), frame, false)
    }

    /// An acknowledgement arrives on a link.
    pub(crate) fn ack(&mut self, link: LinkId, up_to: u64) {
        self.say(link, UpFrame::Ack { up_to }).expect("an acknowledgement of what was sent");
    }

    /// The client confirms the nonce that came down a link.
    pub(crate) fn prove(&mut self, link: LinkId) {
        self.say(link, UpFrame::Pong { nonce: Some(link.0) }).expect("a pong");
    }

    /// The client of a new stream reads what there is and confirms the nonce.
    pub(crate) fn prove_after_reading(&mut self, link: LinkId) {
        self.read(link);
        self.prove(link);
    }

    /// The link breaks.
    pub(crate) fn cut(&mut self, link: LinkId) {
        self.part(link, Parting::Lost);
    }

    /// The link ends without the gateway's word.
    pub(crate) fn part(&mut self, link: LinkId, parting: Parting) {
        self.session.handle_link_lost(self.now, link, parting);
        self.settle();
    }

    /// Reads all that a link has to say, as lines. Empty where it is parked.
    pub(crate) fn read(&mut self, link: LinkId) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(message) = self.read_message(link) {
            let last = message.last().is_some_and(|line| line.starts_with("close"));
            lines.extend(message);
            if last || self.specs[&link].kind == LinkKind::Answer {
                break;
            }
        }
        lines
    }

    /// Reads one message of a link.
    pub(crate) fn read_message(&mut self, link: LinkId) -> Option<Vec<String>> {
        let codec = self.specs[&link].codec;
        let mut buffer = BytesMut::new();
        let output = self.session.transmit(self.now, link, self.budget_bytes, &mut buffer);
        self.bell.note_room(&self.session);
        assert!(
            self.is_woken(link) || matches!(output, Output::Idle | Output::Close(_)),
            "nobody woke {link:?}: {buffer:?}"
        );
        if output == Output::Idle {
            self.woken.remove(&link);
            if self.session.active().is_none_or(|(active, _)| active == link) {
                self.bell.take();
            }
            assert!(buffer.is_empty(), "an idle link says nothing");
            return None;
        }
        self.settle();
        let mut lines = Vec::new();
        for frame in codec.down_frames(&buffer, DecodeLimits::default()) {
            lines.extend(describe(frame.expect("what a gateway says can be read")));
        }
        if let Output::Datagram { .. } = output {
            assert_eq!(lines.len(), 1, "a datagram is one frame");
            lines[0].insert_str(0, "datagram ");
        }
        if let Output::Close(goodbye) = output {
            lines.push(format!("close {}", goodbye.as_str()));
        }
        Some(lines)
    }

    /// Whether there may be something to read on the active link.
    pub(crate) fn is_woken(&self, link: LinkId) -> bool {
        self.woken.contains(&link) || self.bell.has_rung()
    }

    /// Reads a link and keeps what it says of presence, without the numbers.
    pub(crate) fn presences(&mut self, link: LinkId) -> Vec<String> {
        let mut lines = self.items(link);
        lines.retain(|line| line.contains(" presence "));
        lines.iter().map(|line| line.split_once(" presence ").expect("retained").1.to_owned()).collect()
    }

    /// Reads a link and keeps the items.
    pub(crate) fn items(&mut self, link: LinkId) -> Vec<String> {
        let mut lines = self.read(link);
        lines.retain(|line| line.starts_with(|first: char| first.is_ascii_digit()));
        lines
    }

    /// Events are published, one after the other.
    pub(crate) fn publish(&mut self, channel: &str, count: usize) {
        self.publish_bytes(channel, count, 4);
    }

    /// Events with payloads of this size are published.
    pub(crate) fn publish_bytes(&mut self, channel: &str, count: usize, size: usize) {
        let channel = self.channel(channel);
        for _ in 0..count {
            let event = NewEvent { payload: Payload::Bytes(vec![0; size].into()), ..NewEvent::default() };
            channel.append(event, self.now.wall_ms, &Retention::default());
            channel.wake();
        }
    }

    /// One event after the other is published, each the latest of its key; `-` is none.
    pub(crate) fn publish_keys(&mut self, channel: &str, keys: &str) {
        let channel = self.channel(channel);
        for key in keys.split(' ') {
            let key = (key != "-").then(|| key.into());
            channel.append(NewEvent { key, ..NewEvent::default() }, self.now.wall_ms, &Retention::default());
            channel.wake();
        }
    }

    /// Somebody else says things in a channel that are not kept.
    pub(crate) fn whisper(&mut self, channel: &str, count: usize) {
        let channel = self.channel(channel);
        for _ in 0..count {
            channel.say(NewVolatile::default(), self.now.mono_ms, self.now.wall_ms);
            channel.wake();
        }
    }

    /// The question whether the user may send to a channel is answered.
    pub(crate) fn permit(&mut self, channel: &str, is_allowed: Option<bool>) {
        self.session.permit(self.now, &name(channel), is_allowed);
        self.settle();
    }

    /// A datagram arrives on a link.
    pub(crate) fn fling(&mut self, link: LinkId, frame: UpFrame) {
        let UpFrame::Volatile(said) = frame else { panic!("a datagram holds a volatile") };
        self.session.handle_volatile(self.now, Via::Link(link), said);
        self.settle();
    }

    /// The oldest events of a channel are dropped.
    pub(crate) fn trim(&mut self, channel: &str, count: usize) {
        let channel = self.channel(channel);
        for _ in 0..count {
            channel.change(|log| log.trim_bytes(1)); // which wakes nobody
        }
    }

    /// A channel's log begins anew.
    pub(crate) fn begin_epoch(&mut self, channel: &str, name: &str) {
        let channel = self.channel(channel);
        channel.change(|log| log.begin_epoch(epoch(name))); // which wakes nobody
    }

    /// The subscriptions that were held back are carried out.
    pub(crate) fn grant(&mut self) {
        self.hold = false;
        for asked in std::mem::take(&mut self.held) {
            self.carry_out(asked);
        }
        self.settle();
    }

    /// The subscriptions that were held back are refused.
    pub(crate) fn refuse(&mut self, code: ErrorCode) {
        self.hold = false;
        for asked in std::mem::take(&mut self.held) {
            match asked {
                Asked::Subscribe(request) => self.session.refuse_subscription(&request, code.into()),
                Asked::Unsubscribe(_) => self.carry_out(asked),
            }
        }
        self.settle();
    }

    /// The application answers a `send`.
    pub(crate) fn reply(&mut self, command: u64) {
        self.session.reply(command, Ok(Accepted::default()));
        self.settle();
    }

    /// The gateway asks the client to move; says whether it could be asked.
    pub(crate) fn migrate(&mut self, to: Vec<TransportOffer>, delay_ms: u64, spread_ms: u64) -> bool {
        let is_asked = self.session.ask_to_migrate(to, delay_ms, spread_ms);
        self.settle();
        is_asked
    }

    /// The session's client had another one before, which is not held any more.
    pub(crate) fn replace(&mut self, before: SessionId) {
        self.session.replace(before);
    }

    /// The server gives a channel, from now on; says whether it was not held.
    pub(crate) fn assign(&mut self, channel: &str) -> Result<bool, ErrorCode> {
        let channel = self.channel(channel);
        let is_new = self.session.assign(&channel, SubscribeFrom::Now);
        self.settle();
        is_new
    }

    /// Whether the server gave it.
    pub(crate) fn is_assigned(&self, channel: &str) -> bool {
        self.session.is_assigned(&name(channel))
    }

    /// The server takes a channel away; says whether it was held.
    pub(crate) fn revoke(&mut self, channel: &str) -> bool {
        let was_held = self.session.revoke(&name(channel));
        self.settle();
        was_held
    }

    /// Time passes, and whatever falls due happens when it does.
    pub(crate) fn wait(&mut self, ms: u64) {
        let until = self.now.mono_ms + ms;
        while let Some(due) = self.next_due().filter(|due| *due <= until) {
            self.pass(due - self.now.mono_ms.min(due));
            self.look_at_the_time();
            assert_ne!(self.next_due(), Some(due), "a deadline that is handled moves");
        }
        self.pass(until - self.now.mono_ms);
        self.look_at_the_time(); // early calls do nothing
    }

    fn next_due(&self) -> Option<u64> {
        let aside = self.aside.iter().map(|aside| &aside.session);
        aside.chain([&self.session]).filter_map(Session::deadline).min()
    }

    fn look_at_the_time(&mut self) {
        let look = |world: &mut Self| {
            world.session.handle_timeout(world.now);
            world.settle();
        };
        look(self);
        for index in 0..self.aside.len() {
            self.as_session(index, look);
        }
    }

    /// How long until something is due.
    pub(crate) fn due_in(&self) -> Option<u64> {
        self.session.deadline().map(|due| due - self.now.mono_ms)
    }

    /// The client's newest credential was checked, and ends so much later.
    pub(crate) fn credentials_for(&mut self, ms: Option<u64>) {
        self.session.renew_credentials(self.now, ms.map(|ms| self.now.wall_ms + ms));
        self.settle();
    }

    /// Whether it counts.
    pub(crate) fn has_credentials(&self) -> bool {
        self.session.has_credentials(self.now)
    }

    /// The time.
    pub(crate) const fn now(&self) -> Now {
        self.now
    }

    /// The session, to be asked.
    pub(crate) const fn session(&self) -> &Session {
        &self.session
    }

    /// What the session has counted since it was last asked.
    pub(crate) fn tally(&mut self) -> Tally {
        self.session.take_tally()
    }

    /// The session's channels and places, as `a e1:3`.
    pub(crate) fn places(&self) -> Vec<String> {
        self.session.subscriptions().map(|(channel, at)| format!("{channel} {}", place(at))).collect()
    }

    /// The resume tag after what a link has carried.
    pub(crate) fn tag(&self, link: LinkId) -> String {
        let mut tag = String::new();
        self.session.write_resume_tag(link, &mut tag);
        tag
    }

    /// The keys that tokens and tags are made with.
    pub(crate) fn keys(&self) -> &TokenKeys {
        &self.config.keys
    }

    fn resume(&self) -> Resume {
        let token = self.config.keys.token(self.session.id(), self.session.user());
        Resume { token, incarnation: 1, after: 0, low: 1, positions: None }
    }

    fn hear_opening(&mut self, link: LinkId, frames: Vec<UpFrame>) {
        for frame in frames {
            let _ = self.deliver(Via::Link(link), frame, true);
        }
    }

    fn deliver(&mut self, via: Via, frame: UpFrame, opening: bool) -> Result<(), ErrorCode> {
        let codec = self.specs.get(&via.link()).map_or(Codec::Json, |spec| spec.codec);
        let frame = over_the_wire(codec, frame).expect("one frame");
        let result = self.session.handle_frame(self.now, via, frame, opening).map_err(|error| {
            let code = error.code;
            if let Via::Link(link) = via {
                self.session.report(link, error);
            }
            code
        });
        self.settle();
        result
    }

    fn settle(&mut self) {
        loop {
            let effects = self.session.take_effects();
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                match effect {
                    Effect::Wake(link) => {
                        self.woken.insert(link);
                    }
                    Effect::Subscribe(request) => {
                        self.authorised.push(request.channel.to_string());
                        self.ask(Asked::Subscribe(request));
                    }
                    Effect::Unsubscribe(request) => self.ask(Asked::Unsubscribe(request)),
                    Effect::Send { command, .. } => self.sent.push(command),
                    Effect::Announce(channel) => {
                        channel.mark_members();
                        channel.wake();
                    }
                    Effect::Permit(channel) => match self.may_send {
                        Some(is_allowed) => self.session.permit(self.now, &channel, Some(is_allowed)),
                        None => self.asked.push(channel.to_string()),
                    },
                    Effect::Volatile { channel, volatile } => {
                        let channel = self.channel(channel.as_str());
                        self.spoken.extend(volatile.seq);
                        channel.say(volatile, self.now.mono_ms, self.now.wall_ms);
                        channel.wake();
                    }
                    Effect::Tried { transport, outcome } => self.told.push((transport, outcome)),
                    Effect::Dropped(dropped) => self.dropped.push(dropped),
                    Effect::Limited(limit) => self.limited.push(limit),
                    Effect::Established => self.established += 1,
                    Effect::Life { number, life } => self.lived.push(describe_life(number, life)),
                    Effect::Ended(ending) => {
                        assert_eq!(self.ended.replace(ending), None, "a session ends once");
                    }
                    _ => {}
                }
            }
        }
    }

    fn ask(&mut self, asked: Asked) {
        if self.hold { self.held.push(asked) } else { self.carry_out(asked) }
    }

    fn carry_out(&mut self, asked: Asked) {
        match asked {
            Asked::Subscribe(request) => {
                let channel = self.channel(request.channel.as_str());
                self.session.subscribe(&request, &channel);
            }
            Asked::Unsubscribe(request) => self.session.unsubscribe(&request),
        }
    }

    fn channel(&mut self, channel: &str) -> Arc<Channel> {
        let make = || Arc::new(Channel::new(name(channel), epoch("e1")));
        Arc::clone(self.channels.entry(channel.into()).or_insert_with(make))
    }

    fn pass(&mut self, ms: u64) {
        self.now.mono_ms += ms;
        self.now.wall_ms += ms;
    }
}

fn open_session(
    now: Now,
    number: u8,
    config: &Arc<SessionConfig>,
    users: &Table<&'static str>,
    bell: &Arc<Bell>,
    arrival: &Arrival,
) -> (Session, LinkId) {
    let opening = Opening {
        id: SessionId::from_random([number; 16]),
        user: arrival.user.map(Into::into),
        payer: arrival.user.map(|user| users.meter(now.mono_ms, user)),
        info: arrival.info.clone(),
        credentials_end_at_ms: None,
        config: Arc::clone(config),
        listener: Arc::clone(bell) as _,
        reason: arrival.reason,
    };
    let hello = Hello { resume: arrival.resume.clone(), ..arrival.hello.clone() };
    Session::open(now, opening, &hello, arrival.spec).expect("a hello that opens")
}

fn over_the_wire(codec: Codec, frame: UpFrame) -> Option<UpFrame> {
    let mut bytes = BytesMut::new();
    codec.encode_up(&frame, &mut bytes);
    codec.up_frames(&bytes, DecodeLimits::default()).next().map(|frame| frame.expect("a legal frame"))
}
