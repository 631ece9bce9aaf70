//! The driver: what a gateway does around sessions, without sockets, clocks and authorities.
//!
//! It finds a session by its token or opens one, hands frames in, carries effects out when the schedule says, and
//! transmits only to links that were woken: a wake that is missing shows as an item that never comes.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use throughline::{
    channel::VOLATILE_MS,
    session::{
        Ending, Goodbye, LinkId, Now, Opening, Output, Parting, ResumeTag, Session, SessionConfig, Via,
        encode_goodbye,
    },
};
use throughline_wire::{
    ChannelName, Codec, DecodeLimits, DownFrame, ErrorCode, SessionId, UpFrame,
    frame::{ErrorFrame, Hello, Resume, SessionName},
};

use super::{
    coverage::Met,
    effects::{Intent, Request},
    life::Told,
    network::Kind,
    presence::Part,
    schedule::{World, say},
};
use crate::bell::Bell;

/// The sessions of a gateway.
pub(super) struct Gateway {
    pub(super) config: Arc<SessionConfig>,
    pub(super) sessions: Vec<Hosted>,
    pub(super) by_id: BTreeMap<SessionId, usize>,
    /// Intents that the application has and has not answered.
    pub(super) intents: Vec<Intent>,
    /// How often each intent was applied.
    pub(super) applied: BTreeMap<u64, u32>,
}

/// A session and what the driver keeps beside it.
pub(super) struct Hosted {
    pub(super) session: Session,
    bell: Arc<Bell>,
    pub(super) legs: Vec<Leg>,
    pub(super) requests: VecDeque<Request>,
    /// Where it takes part.
    pub(super) part: Part,
    /// What was told of its life.
    pub(super) told: Told,
    /// The incarnation since which what was asked for counts.
    pub(super) asked_since: u64,
    /// The last volatile of each channel that was told.
    heard: BTreeMap<ChannelName, u64>,
    /// The client object that attached last.
    instance: Box<str>,
    /// When it last had an active link, and when it was opened.
    pub(super) last_active: u64,
    pub(super) opened: u64,
    pub(super) ending: Option<Ending>,
}

/// Where a link ends.
#[derive(Debug)]
pub(super) struct Leg {
    pub(super) link: LinkId,
    pub(super) conn: usize,
    pub(super) kind: Kind,
    pub(super) is_woken: bool,
    /// A probe that nothing has come back from.
    is_unconfirmed: bool,
    /// A poll that brought commands: it is answered at once (C9).
    has_commands: bool,
}

impl Hosted {
    /// Whether somebody rang since it was last asked.
    pub(super) fn rang(&self) -> bool {
        self.bell.take()
    }
}

impl Gateway {
    pub(super) fn new(config: SessionConfig) -> Self {
        Self {
            config: Arc::new(config),
            sessions: Vec::new(),
            by_id: BTreeMap::new(),
            intents: Vec::new(),
            applied: BTreeMap::new(),
        }
    }

    fn find(&self, token: &throughline_wire::Token) -> Option<usize> {
        let id = self.config.keys.verify(token, None)?;
        self.by_id.get(&id).copied()
    }
}

impl World {
    pub(super) const fn now(&self) -> Now {
        Now { mono_ms: self.time, wall_ms: self.time + 1_000_000 }
    }

    /// A message reaches the gateway.
    pub(super) fn receive(&mut self, conn: usize, message: &Bytes) {
        let Some(state) = self.network.conns.get_mut(&conn) else { return };
        let (kind, codec, is_first) = (state.kind, state.codec, !state.was_heard);
        state.was_heard = true;
        match kind {
            Kind::Plain => return self.receive_plain(conn, message),
            Kind::Post => {
                if !is_first {
                    self.coverage.met(Met::PostRepeated);
                }
                return self.receive_post(conn, codec, message);
            }
            Kind::Duplex | Kind::Down if !is_first => {}
            Kind::Poll | Kind::Duplex | Kind::Down => {
                return self.receive_hello(conn, (kind, codec), is_first, message);
            }
        }
        let Some(&(session, link)) = state.legs.first() else { return };
        for frame in codec.up_frames(message, DecodeLimits::default()) {
            self.hand_in(session, Via::Link(link), frame.expect("the model's frames are readable"), false);
        }
    }

    /// A message that begins with `hello`.
    fn receive_hello(&mut self, conn: usize, spoken: (Kind, Codec), is_first: bool, message: &Bytes) {
        let (kind, codec) = spoken;
        let mut frames = codec
            .up_frames(message, DecodeLimits::default())
            .map(|frame| frame.expect("the model's frames are readable"));
        let Some(UpFrame::Hello(hello)) = frames.next() else { panic!("the model says hello first") };
        let spec = kind.spec(codec);
        let found = hello.resume.as_ref().and_then(|resume| self.gateway.find(&resume.token));
        let (session, link, is_opening) = match (found, &hello.resume) {
            (Some(session), Some(resume)) => match self.resume(session, &hello, resume, spec) {
                Ok(link) => {
                    if !is_first {
                        self.coverage.met(Met::PollRepeated);
                    }
                    (session, link, false)
                }
                Err(goodbye) => {
                    if goodbye == Goodbye::Superseded && kind == Kind::Poll {
                        self.coverage.met(Met::PollSuperseded);
                    }
                    return self.refuse(conn, codec, goodbye);
                }
            },
            (None, Some(resume)) if resume.positions.is_none() => {
                return self.refuse(conn, codec, Goodbye::Positions);
            }
            _ => match self.open(&hello, spec) {
                Ok((session, link)) => (session, link, true),
                Err(goodbye) => return self.refuse(conn, codec, goodbye),
            },
        };
        self.join(session, link, conn, kind, hello.attach.is_none());
        self.settle(session);
        if is_opening && hello.resume.is_some() {
            self.coverage.met(Met::SessionLost);
            return; // C7: what lies behind a resume that failed was meant for another session
        }
        let rest: Vec<UpFrame> = frames.collect();
        let has_commands = rest.iter().any(|frame| matches!(frame, UpFrame::Commands(_)));
        for frame in rest {
            self.hand_in(session, Via::Link(link), frame, is_opening);
        }
        if let Some(leg) = self.gateway.sessions[session].legs.iter_mut().find(|leg| leg.link == link)
            && kind == Kind::Poll
            && has_commands
        {
            assert!(leg.is_woken, "C9: nobody woke the poll that brought commands");
            leg.has_commands = true;
        }
    }

    fn resume(
        &mut self,
        session: usize,
        hello: &Hello,
        resume: &Resume,
        spec: throughline::session::LinkSpec,
    ) -> Result<LinkId, Goodbye> {
        let now = self.now();
        let hosted = &mut self.gateway.sessions[session].session;
        let was_busy = hosted.active().is_some() && hosted.unacknowledged() > 0;
        let (was_in, floor) = (hosted.incarnation(), hosted.acknowledged());
        let link = hosted.handle_hello(now, hello, resume, spec)?;
        if hosted.incarnation() != was_in {
            self.rebuilt(session, hello);
        }
        say!(
            self,
            "    s{session}: hello accepted as {link:?}, attach {:?}, after {}",
            hello.attach,
            resume.after
        );
        if hello.attach.is_some() && was_busy {
            self.coverage.met(Met::FencedUnacknowledged);
        }
        let hosted = &mut self.gateway.sessions[session];
        if hello.attach.is_some() && hosted.instance != hello.instance {
            self.coverage.met(Met::TokenShared);
            hosted.instance = hello.instance.clone();
        }
        let hosted = &hosted.session;
        if spec.kind == throughline::session::LinkKind::PlainStream {
            self.coverage.met(Met::ResumedByTag);
            if hosted.incarnation() != was_in && resume.incarnation == was_in && resume.after < floor {
                self.has_slid = true;
                self.coverage.met(Met::JournalSlid);
            }
        }
        Ok(link)
    }

    fn open(
        &mut self,
        hello: &Hello,
        spec: throughline::session::LinkSpec,
    ) -> Result<(usize, LinkId), Goodbye> {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.random.number().to_be_bytes());
        id[8..].copy_from_slice(&self.random.number().to_be_bytes());
        let id = SessionId::from_random(id);
        let bell = Arc::new(Bell::default());
        let opening = Opening {
            id,
            user: None,
            payer: None,
            info: None,
            credentials_end_at_ms: None,
            config: Arc::clone(&self.gateway.config),
            listener: bell.clone(),
            reason: hello.resume.as_ref().map(|_| ErrorCode::SessionUnknown),
        };
        let (session, link) = Session::open(self.now(), opening, hello, spec)?;
        let index = self.gateway.sessions.len();
        say!(self, "    s{index}: opened as {link:?}");
        self.gateway.by_id.insert(id, index);
        let (legs, requests) = (Vec::new(), VecDeque::new());
        let instance = hello.instance.clone();
        let (ending, last_active, opened) = (None, self.time, self.time);
        let (heard, part, asked_since) = (BTreeMap::new(), Part::default(), 0);
        let hosted = Hosted {
            session,
            bell,
            legs,
            requests,
            part,
            told: Told::default(),
            asked_since,
            heard,
            instance,
            last_active,
            opened,
            ending,
        };
        self.gateway.sessions.push(hosted);
        Ok((index, link))
    }

    fn join(&mut self, session: usize, link: LinkId, conn: usize, kind: Kind, is_probe: bool) {
        if let Some(state) = self.network.conns.get_mut(&conn) {
            state.legs.push((session, link));
        }
        let is_unconfirmed = is_probe && kind != Kind::Plain;
        let leg = Leg { link, conn, kind, is_woken: false, is_unconfirmed, has_commands: false };
        self.gateway.sessions[session].legs.push(leg);
    }

    fn refuse(&mut self, conn: usize, codec: Codec, goodbye: Goodbye) {
        say!(self, "    refused: {goodbye:?}");
        let mut message = BytesMut::new();
        encode_goodbye(codec, goodbye, None, &mut message);
        self.network.write_down(conn, message.freeze(), None);
        self.end_conn(conn);
    }

    /// The gateway has said its last on a connection, unless another copy of the request is still held.
    fn end_conn(&mut self, conn: usize) {
        if let Some(state) = self.network.conns.get_mut(&conn) {
            state.is_over = true;
        }
    }

    /// A client that can only repeat a string: `GET /v1/events`.
    fn receive_plain(&mut self, conn: usize, message: &Bytes) {
        let text = std::str::from_utf8(message).expect("the model's tags are text");
        let keys = &self.gateway.config.keys;
        let tag = (!text.is_empty()).then(|| ResumeTag::verify(keys, text).expect("a genuine tag"));
        let held = tag.as_ref().and_then(|tag| self.gateway.by_id.get(&tag.session).copied());
        let resume = tag.map(|tag| Resume {
            token: keys.token(tag.session, None),
            incarnation: tag.incarnation,
            after: tag.after,
            low: held.map_or(1, |held| self.gateway.sessions[held].session.received() + 1),
            positions: tag.positions,
        });
        let hello = Hello { resume, ..Hello::default() };
        let spec = Kind::Plain.spec(Codec::Json);
        let (session, link) = match (held, &hello.resume) {
            (Some(session), Some(resume)) => {
                let link = self.resume(session, &hello, resume, spec).expect("a tag resumes what it names");
                (session, link)
            }
            _ => self.open(&hello, spec).expect("a plain client opens a session"),
        };
        self.join(session, link, conn, Kind::Plain, false);
        self.settle(session);
        // Its address names channels, each time.
        let named = self.truth.channels.iter().take(super::plain::CHANNELS);
        let named: Vec<_> = named.map(|history| history.channel.name().clone()).collect();
        self.gateway.sessions[session].session.ask_for(named);
        self.settle(session);
    }

    /// `POST /v1/send`.
    fn receive_post(&mut self, conn: usize, codec: Codec, message: &Bytes) {
        let mut frames = codec
            .up_frames(message, DecodeLimits::default())
            .map(|frame| frame.expect("the model's frames are readable"));
        let Some(UpFrame::Session(SessionName { token, incarnation, link })) = frames.next() else {
            panic!("the model names the session first")
        };
        let mut answer = BytesMut::new();
        let refuse = |code: ErrorCode, answer: &mut BytesMut| {
            let message = code.message().into();
            codec.encode_down(
                &DownFrame::Error(ErrorFrame { code, message, command: None, fatal: true }),
                answer,
            );
        };
        let given_up = self.network.conns.get(&conn).is_some_and(|conn| !conn.is_open);
        let found = self.gateway.find(&token);
        let link = LinkId(link);
        match found {
            None => refuse(ErrorCode::SessionEnded, &mut answer),
            Some(session) if self.gateway.sessions[session].session.incarnation() != incarnation => {
                self.coverage.met(Met::PostLate);
                refuse(ErrorCode::IncarnationMismatch, &mut answer); // C8
            }
            Some(session) => {
                let hosted = &self.gateway.sessions[session];
                if given_up || hosted.session.active().is_none_or(|(active, _)| active != link) {
                    self.coverage.met(Met::PostLate);
                }
                let frames: Vec<UpFrame> = frames.collect();
                for frame in frames {
                    if let Err(error) = self.pass(session, Via::Post(link), frame, false) {
                        codec.encode_down(&DownFrame::Error(error), &mut answer);
                    }
                }
                let up_to = self.gateway.sessions[session].session.received();
                codec.encode_down(&DownFrame::Ack { up_to }, &mut answer);
            }
        }
        self.network.write_down(conn, answer.freeze(), None);
        self.end_conn(conn);
    }

    fn hand_in(&mut self, session: usize, via: Via, frame: UpFrame, is_opening: bool) {
        if let Err(error) = self.pass(session, via, frame, is_opening) {
            self.gateway.sessions[session].session.report(via.link(), error);
            self.settle(session);
        }
    }

    fn pass(&mut self, session: usize, via: Via, frame: UpFrame, is_opening: bool) -> Result<(), ErrorFrame> {
        say!(self, "    s{session} {via:?}: {frame:?}");
        let now = self.now();
        let hosted = &mut self.gateway.sessions[session];
        if let Some(leg) = hosted.legs.iter_mut().find(|leg| leg.link == via.link())
            && matches!(frame, UpFrame::Pong { nonce: Some(_) })
        {
            leg.is_unconfirmed = false;
        }
        let migrates = matches!(frame, UpFrame::Attach { .. });
        let before = (hosted.session.active(), hosted.session.received());
        let count = match &frame {
            UpFrame::Commands(commands) => commands.first + commands.items.len() as u64 - 1,
            _ => 0,
        };
        let result = hosted.session.handle_frame(now, via, frame, is_opening);
        if migrates && hosted.session.active() != before.0 {
            self.coverage.met(Met::Migrated);
        }
        if result.is_ok() && count > hosted.session.received() && count > before.1 {
            self.coverage.met(Met::CommandsHeld);
        }
        if let Err(error) = &result {
            say!(self, "    s{session}: {error:?}");
        }
        self.settle(session);
        result
    }

    /// A link's socket can take a message.
    pub(super) fn transmit(&mut self, index: usize, leg: usize) {
        let now = self.now();
        let budget = *self.random.pick(&[1, 60, 400, 4_000, 65_536]);
        let hosted = &mut self.gateway.sessions[index];
        let Leg { link, conn, kind, is_unconfirmed, has_commands, .. } = hosted.legs[leg];
        let mut buffer = BytesMut::new();
        let output = hosted.session.transmit(now, link, budget, &mut buffer);
        hosted.bell.note_room(&hosted.session);
        say!(self, "    s{index} {link:?} on c{conn}: {output:?}, {} bytes", buffer.len());
        if hosted.session.active().is_none_or(|(active, _)| active != link) && kind != Kind::Poll {
            // L7, L10: items are for the newest link alone.
            let codec = self.network.conns.get(&conn).map_or(Codec::Json, |conn| conn.codec);
            let mut frames = codec.down_frames(&buffer, DecodeLimits::default());
            let speaks =
                frames.any(|frame| matches!(frame, Ok(DownFrame::Items(_) | DownFrame::Volatile(_))));
            assert!(!speaks, "items on {link:?}, which is not the active link");
        }
        self.check_volatiles(index, conn, &buffer);
        let hosted = &mut self.gateway.sessions[index];
        let tag = (kind == Kind::Plain).then(|| {
            let mut tag = String::new();
            hosted.session.write_resume_tag(link, &mut tag);
            tag
        });
        match output {
            Output::Idle => {
                assert!(buffer.is_empty(), "idle, with something to say");
                assert!(!has_commands, "C9: a poll that brought commands parks");
                hosted.legs[leg].is_woken = false;
            }
            Output::Datagram { .. } => panic!("no link of the model carries datagrams"),
            Output::Message { more } => {
                assert!(!buffer.is_empty(), "a message of nothing");
                hosted.legs[leg].is_woken = more;
                let behind = hosted.session.subscriptions().any(|(name, position)| {
                    let history = &self.truth.channels[self.truth.index(name)];
                    history.place(position) < history.head()
                });
                if !more && behind && kind != Kind::Poll {
                    self.coverage.met(Met::WindowFull);
                }
                self.network.write_down(conn, buffer.freeze(), tag.filter(|tag| !tag.is_empty()));
                if kind == Kind::Poll {
                    self.drop_leg(index, leg);
                    self.end_conn(conn);
                }
            }
            Output::Close(goodbye) => {
                if goodbye == Goodbye::Silence && is_unconfirmed {
                    self.coverage.met(Met::ProbeUnconfirmed);
                }
                self.network.write_down(conn, buffer.freeze(), None);
                self.drop_leg(index, leg);
                self.end_conn(conn);
            }
        }
        self.settle(index);
    }

    /// What is not kept is told while it is news, of channels that are held, once and in order over all links.
    fn check_volatiles(&mut self, index: usize, conn: usize, message: &[u8]) {
        let Some(codec) = self.network.conns.get(&conn).map(|conn| conn.codec) else { return };
        let now = self.now();
        let hosted = &mut self.gateway.sessions[index];
        for frame in codec.down_frames(message, DecodeLimits::default()) {
            let Ok(DownFrame::Volatile(said)) = frame else { continue };
            assert!(now.wall_ms - said.time < VOLATILE_MS, "{said:?} is no news");
            let is_held = hosted.session.subscriptions().any(|(name, _)| *name == said.channel);
            assert!(is_held, "{said:?} of a channel that is not held");
            let last = hosted.heard.insert(said.channel.clone(), said.seq);
            assert!(last.is_none_or(|last| last < said.seq), "{said:?} after {last:?}");
            self.coverage.met(Met::VolatileTold);
            if last.is_some_and(|last| last + 1 < said.seq) {
                self.coverage.met(Met::VolatileMissed);
            }
        }
    }

    fn drop_leg(&mut self, index: usize, leg: usize) {
        let leg = self.gateway.sessions[index].legs.swap_remove(leg);
        if let Some(conn) = self.network.conns.get_mut(&leg.conn) {
            conn.legs.retain(|held| *held != (index, leg.link));
        }
    }

    /// The gateway learns that a connection is gone.
    pub(super) fn notice_lost(&mut self, conn: usize) {
        let now = self.now();
        let Some(state) = self.network.conns.get(&conn) else { return };
        for (index, link) in state.legs.clone() {
            let hosted = &mut self.gateway.sessions[index];
            let Some(leg) = hosted.legs.iter().position(|leg| leg.link == link) else { continue };
            if hosted.legs[leg].is_unconfirmed {
                self.coverage.met(Met::ProbeUnconfirmed);
            }
            hosted.session.handle_link_lost(now, link, Parting::Lost);
            say!(self, "    s{index}: {link:?} lost");
            self.drop_leg(index, leg);
            self.settle(index);
        }
    }
}
