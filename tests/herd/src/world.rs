//! One gateway, many clients, and time between them.
//!
//! The gateway here binds links to sessions as `src/gateway/peer/bind.rs` does, without sockets, lanes and timers: no run
//! is long enough for a session to expire, and its heartbeats are further apart than a run is long.

mod drain;

use std::{
    cmp::{Ordering, Reverse},
    collections::{BTreeMap, BinaryHeap, HashMap},
    sync::Arc,
    time::Duration,
};

use bytes::BytesMut;
pub use drain::{play_drain, section};
use throughline::{
    admission::{Admission, Class, Holder, Verdict},
    channel::Listener,
    session::{
        Effect, Goodbye, LinkId, LinkKind, LinkSpec, Now, Opening, Output, Parting, Session, SessionConfig,
        TokenKeys, Via as Way, encode_goodbye,
    },
};
use throughline_client::{
    Config, Transport, Via,
    simulation::{Client, Step},
};
use throughline_wire::{
    Codec, DecodeLimits, DownFrame, ErrorCode, SessionId, UpFrame,
    frame::{Hello, TransportOffer},
};

use crate::{figures::Run, random::Random};

/// What is played.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many clients there are.
    pub clients: usize,
    /// How long nobody is there, in milliseconds.
    pub down_ms: u64,
    /// How many sessions a second are let in.
    pub rate: u64,
    /// The reconnect window that clients were told before the crash, in milliseconds; `None` is as the gateway sizes it.
    pub window_ms: Option<u64>,
    /// The same seed plays the same run.
    pub seed: u64,
}

/// When the gateway crashes: all clients are up by then, on the best transport there is.
const CRASH_MS: u64 = 60_000;
/// Over how long they begin.
const BEGIN_MS: u64 = 20_000;
/// How long it is watched after the recovery.
const WATCH_MS: u64 = 110_000;
/// How long a trip takes one way, in milliseconds: at least, and below.
const TRIP_MS: (u64, u64) = (5, 75);
/// How many trips a connection by TLS takes until what is said on it arrives.
const TRIPS_TO_CONNECT: u64 = 5;

/// Plays a crash.
pub fn play(plan: Plan) -> Run {
    run(World::new(plan))
}

fn run(mut world: World) -> Run {
    while let Some(Reverse(next)) = world.queue.pop() {
        if next.at_ms > CRASH_MS + world.plan.down_ms + WATCH_MS {
            break;
        }
        world.now_ms = next.at_ms;
        world.happens(next.event);
    }
    world.run
}

#[derive(Debug)]
enum Event {
    Settle(usize),
    Up { client: usize, link: u32, word: Word },
    Down { client: usize, link: u32, news: News },
    Crash,
    Restart,
    Leave(SessionId),
}

/// What reaches the gateway on a link.
#[derive(Debug)]
enum Word {
    Connect(Transport),
    Say { poll: Option<u64>, message: Vec<UpFrame> },
    Post { post: u64, message: Vec<UpFrame> },
    Leave,
}

/// What reaches a client on a link.
#[derive(Debug)]
enum News {
    Opened,
    Refused,
    Lost,
    Frames(Vec<DownFrame>),
    Answer { attach: u64, frames: Vec<DownFrame> },
    Posted { post: u64, frames: Vec<DownFrame> },
    Closed(u16),
}

struct Entry {
    at_ms: u64,
    order: u64,
    event: Event,
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at_ms, self.order).cmp(&(other.at_ms, other.order))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

/// A client, with what lies between it and the gateway.
struct Member {
    client: Client,
    due_ms: u64,
    trip_ms: u64,
    /// By link: when it can be spoken on, and whether its next poll is an attempt of its own.
    ways: BTreeMap<u32, (u64, bool)>,
    /// The gateway's side of its connections.
    connections: BTreeMap<u32, Connection>,
    is_back: bool,
}

struct Connection {
    transport: Transport,
    bound: Option<(SessionId, LinkId)>,
    poll: Option<u64>,
}

/// Why a link is refused, and the slot to come back on.
type Refusal = (Goodbye, Option<Box<str>>);

struct Nobody;

impl Listener for Nobody {
    fn ready(&self) {}
}

struct World {
    plan: Plan,
    now_ms: u64,
    order: u64,
    random: Random,
    queue: BinaryHeap<Reverse<Entry>>,
    members: Vec<Member>,
    is_up: bool,
    admission: Admission,
    config: Arc<SessionConfig>,
    sessions: HashMap<SessionId, (Session, usize)>,
    run: Run,
    /// There if it drains, and does not crash: the places at the successor's door.
    places: Option<Admission>,
}

impl World {
    fn new(plan: Plan) -> Self {
        let mut random = Random::from_seed(plan.seed);
        let mut config = SessionConfig::new(TokenKeys::from_random([1; 32]));
        config.heartbeat_ms = 60_000;
        let offer = |name: &str| TransportOffer {
            name: name.into(),
            url: Some(name.into()),
            certificate_hashes: Vec::new(),
        };
        config.transports.set(["websocket", "sse", "polling"].map(offer).into());
        let begin = Now { mono_ms: 0, wall_ms: wall(0) };
        let window_ms = Admission::new(plan.rate, 0).window_ms(begin, plan.clients as u64);
        config.window.set_ms(plan.window_ms.unwrap_or(window_ms));
        let mut settings = Config::new("http://gateway");
        settings.transports =
            [Transport::WebSocket, Transport::Sse, Transport::Polling].map(Via::json).to_vec();
        let members = (0..plan.clients).map(|_| Member {
            client: Client::new(settings.clone(), random.next(), Duration::from_millis(wall(0))),
            due_ms: u64::MAX,
            trip_ms: random.between(TRIP_MS.0, TRIP_MS.1),
            ways: BTreeMap::new(),
            connections: BTreeMap::new(),
            is_back: false,
        });
        let members = members.collect();
        let mut world = Self {
            plan,
            now_ms: 0,
            order: 0,
            random,
            queue: BinaryHeap::new(),
            members,
            is_up: true,
            admission: Admission::new(10_000_000, 0),
            config: Arc::new(config),
            sessions: HashMap::new(),
            run: Run { clients: plan.clients, down_ms: plan.down_ms, ..Run::default() },
            places: None,
        };
        for client in 0..plan.clients {
            let at_ms = world.random.between(0, BEGIN_MS);
            world.members[client].due_ms = at_ms;
            world.push(at_ms, Event::Settle(client));
        }
        world.push(CRASH_MS, Event::Crash);
        world.push(CRASH_MS + plan.down_ms, Event::Restart);
        world
    }

    fn push(&mut self, at_ms: u64, event: Event) {
        self.order += 1;
        self.queue.push(Reverse(Entry { at_ms, order: self.order, event }));
    }

    fn now(&self) -> Now {
        Now { mono_ms: self.now_ms, wall_ms: wall(self.now_ms) }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Settle(client) => {
                if self.members[client].due_ms == self.now_ms {
                    self.settle(client);
                }
            }
            Event::Down { client, link, news } => self.hear(client, link, news),
            Event::Up { client, link, word } => self.receive(client, link, word),
            Event::Crash => {
                let up = self.members.iter().filter(|member| !member.connections.is_empty()).count();
                assert_eq!(up, self.plan.clients, "all are up when it crashes");
                if self.places.is_some() {
                    return self.drain();
                }
                self.is_up = false;
                self.sessions.clear();
                for client in 0..self.members.len() {
                    for link in std::mem::take(&mut self.members[client].connections).into_keys() {
                        self.tell(client, link, News::Lost);
                    }
                }
            }
            Event::Leave(id) => self.leave(id),
            Event::Restart => {
                self.is_up = true;
                self.admission = Admission::new(self.plan.rate, 0);
                self.size_window();
            }
        }
    }

    // The clients' side.

    fn hear(&mut self, client: usize, link: u32, news: News) {
        let now = Duration::from_millis(self.now_ms);
        let member = &mut self.members[client];
        let (News::Frames(frames) | News::Answer { frames, .. }) = &news else {
            match news {
                News::Opened => member.client.opened(now, link),
                News::Refused => member.client.refused(now, link),
                News::Lost => member.client.lost(now, link),
                News::Closed(code) => member.client.closed(now, link, code),
                News::Posted { post, frames } => member.client.posted(now, link, post, frames),
                News::Frames(_) | News::Answer { .. } => {}
            }
            return self.settle(client);
        };
        let is_back = frames.iter().any(|frame| matches!(frame, DownFrame::Welcome(_)));
        if frames.iter().any(|frame| matches!(frame, DownFrame::Retry(_)))
            && let Some(way) = member.ways.get_mut(&link)
        {
            way.1 = true;
        }
        if is_back && !member.is_back && self.now_ms > CRASH_MS {
            member.is_back = true;
            self.run.back.push(self.now_ms - CRASH_MS);
        }
        match news {
            News::Answer { attach, frames } => member.client.answer(now, link, attach, frames),
            News::Frames(frames) => member.client.frames(now, link, frames),
            _ => {}
        }
        self.settle(client);
    }

    fn settle(&mut self, client: usize) {
        let now = Duration::from_millis(self.now_ms);
        for step in self.members[client].client.settle(now) {
            self.step(client, step);
        }
        let deadline = self.members[client].client.deadline();
        let due_ms = deadline.map_or(u64::MAX, |at| at.as_nanos().div_ceil(1_000_000) as u64);
        let due_ms = due_ms.max(self.now_ms + 1);
        if due_ms != self.members[client].due_ms {
            self.members[client].due_ms = due_ms;
            if due_ms < u64::MAX {
                self.push(due_ms, Event::Settle(client));
            }
        }
    }

    fn step(&mut self, client: usize, step: Step) {
        let (now_ms, trip_ms) = (self.now_ms, self.members[client].trip_ms);
        match step {
            Step::Open { link, transport, hello } => {
                self.attempted();
                let ready_ms = now_ms + TRIPS_TO_CONNECT * trip_ms;
                self.members[client].ways.insert(link, (ready_ms, false));
                // A listener that is not there says so after one trip each way.
                let at_ms = if self.is_up { ready_ms } else { now_ms + trip_ms };
                self.push(at_ms, Event::Up { client, link, word: Word::Connect(transport) });
                if !hello.is_empty() {
                    self.say(client, link, Word::Say { poll: None, message: hello });
                }
            }
            Step::Poll { link, attach, message } => {
                if let Some(way) = self.members[client].ways.get_mut(&link)
                    && std::mem::take(&mut way.1)
                {
                    self.attempted();
                }
                self.say(client, link, Word::Say { poll: Some(attach), message });
            }
            Step::Post { link, post, message } => self.say(client, link, Word::Post { post, message }),
            Step::Transmit { link, message } => self.say(client, link, Word::Say { poll: None, message }),
            Step::Close { link } => {
                self.say(client, link, Word::Leave);
                self.members[client].ways.remove(&link);
            }
        }
    }

    fn say(&mut self, client: usize, link: u32, word: Word) {
        let member = &self.members[client];
        let ready_ms = member.ways.get(&link).map_or(0, |way| way.0);
        self.push(ready_ms.max(self.now_ms + member.trip_ms), Event::Up { client, link, word });
    }

    fn attempted(&mut self) {
        if let Some(at_ms) = self.now_ms.checked_sub(CRASH_MS) {
            self.run.attempts.push(at_ms);
        }
    }

    // The gateway's side.

    fn tell(&mut self, client: usize, link: u32, news: News) {
        let at_ms = self.now_ms + self.members[client].trip_ms;
        self.push(at_ms, Event::Down { client, link, news });
    }

    fn receive(&mut self, client: usize, link: u32, word: Word) {
        if !self.is_up {
            return match word {
                Word::Connect(_) => self.tell(client, link, News::Refused),
                Word::Leave => {}
                Word::Say { .. } | Word::Post { .. } => self.tell(client, link, News::Lost),
            };
        }
        match word {
            Word::Connect(transport) => {
                let connection = Connection { transport, bound: None, poll: None };
                self.members[client].connections.insert(link, connection);
                if transport == Transport::WebSocket {
                    self.tell(client, link, News::Opened);
                }
            }
            Word::Leave => {
                let left = self.members[client].connections.remove(&link);
                if let Some((id, bound)) = left.and_then(|connection| connection.bound) {
                    let now = self.now();
                    if let Some((session, _)) = self.sessions.get_mut(&id) {
                        session.handle_link_lost(now, bound, Parting::Lost);
                    }
                    self.pump(id);
                }
            }
            Word::Say { poll, message } => self.hear_message(client, link, poll, message),
            Word::Post { post, message } => self.hear_post(client, link, post, message),
        }
    }

    fn hear_message(&mut self, client: usize, link: u32, poll: Option<u64>, message: Vec<UpFrame>) {
        let Some(connection) = self.members[client].connections.get_mut(&link) else {
            return self.tell(client, link, News::Lost);
        };
        let mut frames = message.into_iter().peekable();
        if let Some(UpFrame::Hello(_)) = frames.peek()
            && let Some(UpFrame::Hello(hello)) = frames.next()
        {
            connection.poll = poll;
            let transport = connection.transport;
            match self.bind(client, &hello, transport) {
                Ok(bound) => {
                    if let Some(connection) = self.members[client].connections.get_mut(&link) {
                        connection.bound = Some(bound);
                    }
                }
                Err((goodbye, slot)) => return self.refuse(client, link, goodbye, slot),
            }
        }
        let bound = self.members[client].connections.get(&link).and_then(|connection| connection.bound);
        let Some((id, bound)) = bound else { return };
        let now = self.now();
        if let Some((session, _)) = self.sessions.get_mut(&id) {
            for frame in frames {
                if let Err(error) = session.handle_frame(now, Way::Link(bound), frame, false) {
                    session.report(bound, error);
                }
            }
        }
        self.pump(id);
    }

    fn hear_post(&mut self, client: usize, link: u32, post: u64, message: Vec<UpFrame>) {
        let now = self.now();
        let mut frames = message.into_iter();
        let Some(UpFrame::Session(name)) = frames.next() else { return };
        let id = self.config.keys.verify(&name.token, None);
        let Some((id, (session, _))) = id.and_then(|id| Some((id, self.sessions.get_mut(&id)?))) else {
            return self.tell(client, link, News::Lost);
        };
        for frame in frames {
            let _ = session.handle_frame(now, Way::Post(LinkId(name.link)), frame, false);
        }
        let up_to = session.received();
        self.tell(client, link, News::Posted { post, frames: vec![DownFrame::Ack { up_to }] });
        self.pump(id);
    }

    fn bind(
        &mut self,
        client: usize,
        hello: &Hello,
        transport: Transport,
    ) -> Result<(SessionId, LinkId), Refusal> {
        let now = self.now();
        let (transport, kind) = match transport {
            Transport::Polling => ("polling", LinkKind::Answer),
            Transport::Sse => ("sse", LinkKind::DownStream),
            _ => ("websocket", LinkKind::Duplex),
        };
        let spec = LinkSpec::new(transport, Codec::Json, kind);
        let mut resumed = None;
        if let Some(resume) = &hello.resume {
            resumed = self.config.keys.verify(&resume.token, None);
            if let Some((id, session)) = resumed.and_then(|id| Some((id, &self.sessions.get(&id)?.0))) {
                if session.takes_up(hello, resume, spec) {
                    self.admit(Some(id), hello, false)?;
                }
                let Some((session, _)) = self.sessions.get_mut(&id) else {
                    return Err((Goodbye::Gone, None));
                };
                let link = session.handle_hello(now, hello, resume, spec);
                return link.map(|link| (id, link)).map_err(|goodbye| (goodbye, None));
            }
            if resume.positions.is_none() {
                return Err((Goodbye::Positions, None));
            }
        }
        self.admit(resumed, hello, true)?;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.random.next().to_be_bytes());
        let id = SessionId::from_random(id);
        let reason = hello.resume.as_ref().map(|_| ErrorCode::SessionUnknown);
        let config = Arc::clone(&self.config);
        let opening = Opening {
            id,
            user: None,
            payer: None,
            info: None,
            credentials_end_at_ms: None,
            config,
            listener: Arc::new(Nobody),
            reason,
        };
        let (session, link) = Session::open(now, opening, hello, spec).map_err(|goodbye| (goodbye, None))?;
        self.sessions.insert(id, (session, client));
        Ok((id, link))
    }

    fn admit(&mut self, resumed: Option<SessionId>, hello: &Hello, is_new: bool) -> Result<(), Refusal> {
        let class = if resumed.is_some() { Class::Resume } else { Class::Newcomer };
        let (now, holder) = (self.now(), resumed.map(Holder::Session));
        let (keys, slot) = (&self.config.keys, hello.slot.as_deref());
        let (verdict, _) = self.admission.ask(now, keys, class, holder, slot);
        if is_new {
            let sessions = self.sessions.len() as u64;
            let window_ms = self.admission.window_after(now, class, &verdict, sessions);
            // What clients were told before the crash is the plan's.
            if now.mono_ms > CRASH_MS {
                self.config.window.set_ms(window_ms);
            }
        }
        let (delay_ms, spread_ms, slot) = match verdict {
            Verdict::Admitted | Verdict::Kept => return Ok(()),
            Verdict::Appointed { delay_ms, slot } => (delay_ms, 0, Some(slot.to_string().into())),
            Verdict::Windowed { delay_ms, spread_ms } => (delay_ms, spread_ms, None),
        };
        Err((Goodbye::Overload { delay_ms, spread_ms, code: ErrorCode::Overloaded }, slot))
    }

    fn size_window(&mut self) {
        let (now, sessions) = (self.now(), self.sessions.len() as u64);
        self.config.window.set_ms(self.admission.window_ms(now, sessions));
    }

    fn refuse(&mut self, client: usize, link: u32, goodbye: Goodbye, slot: Option<Box<str>>) {
        let mut message = BytesMut::new();
        encode_goodbye(Codec::Json, goodbye, slot, &mut message);
        self.end(client, link, goodbye, &message);
    }

    fn end(&mut self, client: usize, link: u32, goodbye: Goodbye, message: &[u8]) {
        let Some(connection) = self.members[client].connections.get(&link) else { return };
        let frames = decode(message);
        match (connection.poll, connection.transport) {
            (Some(attach), _) => return self.tell(client, link, News::Answer { attach, frames }),
            (None, Transport::Sse) => {
                self.tell(client, link, News::Frames(frames));
                self.tell(client, link, News::Lost);
            }
            (None, _) => {
                self.tell(client, link, News::Frames(frames));
                self.tell(client, link, News::Closed(goodbye.close_code().0));
            }
        }
        self.members[client].connections.remove(&link);
    }

    /// Passes on what a session has to say.
    fn pump(&mut self, id: SessionId) {
        let now = self.now();
        loop {
            let Some((session, client)) = self.sessions.get_mut(&id) else { return };
            let client = *client;
            let mut woken: Vec<_> = session
                .take_effects()
                .into_iter()
                .filter_map(|effect| match effect {
                    Effect::Wake(link) => Some(link),
                    _ => None,
                })
                .collect();
            woken.dedup();
            if woken.is_empty() {
                return;
            }
            for bound in woken {
                let connections = &self.members[client].connections;
                let found = connections.iter().find(|(_, connection)| connection.bound == Some((id, bound)));
                let Some(link) = found.map(|(link, _)| *link) else { continue };
                self.transmit(now, id, client, link, bound);
            }
        }
    }

    fn transmit(&mut self, now: Now, id: SessionId, client: usize, link: u32, bound: LinkId) {
        loop {
            let Some((session, _)) = self.sessions.get_mut(&id) else { return };
            let mut message = BytesMut::new();
            let output = session.transmit(now, bound, 1 << 16, &mut message);
            match output {
                Output::Idle | Output::Datagram { .. } => return,
                Output::Close(goodbye) => return self.end(client, link, goodbye, &message),
                Output::Message { more } => {
                    let frames = decode(&message);
                    let poll = self.members[client].connections.get(&link).and_then(|found| found.poll);
                    match poll {
                        Some(attach) => {
                            self.tell(client, link, News::Answer { attach, frames });
                            if let Some(found) = self.members[client].connections.get_mut(&link) {
                                (found.bound, found.poll) = (None, None);
                            }
                            return;
                        }
                        None => self.tell(client, link, News::Frames(frames)),
                    }
                    if !more {
                        return;
                    }
                }
            }
        }
    }
}

fn decode(message: &[u8]) -> Vec<DownFrame> {
    let frames = Codec::Json.down_frames(message, DecodeLimits::default());
    frames.collect::<Result<_, _>>().expect("the gateway's own frames")
}

const fn wall(ms: u64) -> u64 {
    1_700_000_000_000 + ms
}
