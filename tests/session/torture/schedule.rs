//! One schedule: a world that follows from a seed, some hundred hostile steps, then a calm in which all that is owed
//! has to arrive.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use throughline::session::{Ending, Goodbye, SessionConfig, SlowPolicy, SlowRule, SlowRules, TokenKeys};
use throughline_wire::{ChannelName, Codec, DecodeLimits, DownFrame, Item, SessionId, frame::Limits};

use super::{
    client::{Client, Verdict},
    coverage::{Coverage, Met},
    gateway::Gateway,
    network::{Kind, Network},
    plain::Plain,
    random::Random,
    truth::Truth,
};

/// Tells what happens, where a single schedule is played.
macro_rules! say {
    ($world:expr, $($what:tt)*) => {
        if $world.is_told {
            println!($($what)*);
        }
    };
}
pub(super) use say;

/// Everything there is.
pub(super) struct World {
    pub(super) random: Random,
    /// The virtual clock, in milliseconds.
    pub(super) time: u64,
    pub(super) truth: Truth,
    pub(super) gateway: Gateway,
    pub(super) network: Network,
    pub(super) clients: Vec<Client>,
    pub(super) plain: Vec<Plain>,
    pub(super) coverage: Coverage,
    /// How many intents were made.
    pub(super) sends: u64,
    /// How often a channel was taken away from a session.
    pub(super) revoked: u64,
    /// Channels that some session was refused, or lost.
    pub(super) taken_away: BTreeSet<usize>,
    /// Whether all that was asked for was held when it was granted: by session, incarnation, command and channel.
    pub(super) granted: BTreeMap<(SessionId, u64, Option<u64>, ChannelName), bool>,
    /// Whether items slid out that nobody has.
    pub(super) has_slid: bool,
    pub(super) is_told: bool,
    pub(super) kinds: Vec<Kind>,
    weights: Vec<(Step, u64)>,
}

/// What may happen next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    DeliverUp,
    DeliverDown,
    Transmit,
    Want,
    Flush,
    Connect,
    Publish,
    Whisper,
    Trim,
    BeginEpoch,
    Cut,
    ClientNotices,
    GatewayNotices,
    GiveUp,
    CarryOut,
    Apply,
    Wait,
    Expire,
    Reload,
    Copy,
    Bye,
    Dismiss,
    Revoke,
    ConnectPlain,
}

/// How often each step is drawn in a common schedule. The seed switches some off, and some up.
const WEIGHTS: &[(Step, u64)] = &[
    (Step::DeliverUp, 24),
    (Step::DeliverDown, 24),
    (Step::Transmit, 24),
    (Step::Want, 12),
    (Step::Flush, 18),
    (Step::Connect, 12),
    (Step::Publish, 16),
    (Step::Whisper, 6),
    (Step::Trim, 3),
    (Step::BeginEpoch, 3),
    (Step::Cut, 5),
    (Step::ClientNotices, 8),
    (Step::GatewayNotices, 4),
    (Step::GiveUp, 3),
    (Step::CarryOut, 10),
    (Step::Apply, 10),
    (Step::Wait, 3),
    (Step::Expire, 1),
    (Step::Reload, 2),
    (Step::Copy, 1),
    (Step::Bye, 1),
    (Step::Dismiss, 1),
    (Step::Revoke, 1),
    (Step::ConnectPlain, 5),
];

/// Without these there is no conversation.
const ESSENTIAL: &[Step] = &[Step::DeliverUp, Step::DeliverDown, Step::Transmit, Step::Connect];

/// Plays the schedule of a seed; what it met is the result. Panics when a promise is broken.
pub(super) fn play(seed: u64, is_told: bool) -> Coverage {
    let mut world = World::new(seed, is_told);
    let steps = world.random.within(50..=500);
    for step in 0..steps {
        let drawn = world.draw();
        say!(world, "{step} at {}: {drawn:?}", world.time);
        world.step(drawn);
        world.answer_bells();
    }
    say!(world, "the network is well from now on");
    world.calm();
    world.end();
    world.coverage
}

impl World {
    fn new(seed: u64, is_told: bool) -> Self {
        let mut random = Random::of(seed, 0);
        let mut secret = [0; 32];
        secret[..8].copy_from_slice(&random.number().to_be_bytes());
        let mut config = SessionConfig::new(TokenKeys::from_random(secret));
        config.limits = Limits {
            unacknowledged_items: random.within(1..=16),
            unacknowledged_bytes: *random.pick(&[1, 200, 2_000, 1 << 18]),
            commands_ahead: random.within(1..=16),
            subscriptions: random.within(1..=5),
            ..Limits::default()
        };
        config.reserve_items = random.within(1..=20) as usize;
        let plain: Vec<Plain> = (0..random.within(0..=1)).map(|_| Plain::default()).collect();
        if !plain.is_empty() {
            // It cannot ask again: what its address names has to find room at once.
            config.reserve_items = config.reserve_items.max(super::plain::CHANNELS);
        }
        config.links = random.within(2..=4) as usize;
        config.reports_life = true;
        config.presence_grace_ms = *random.pick(&[0, 500, 5_000, 30_000]);
        let truth = Truth::new(random.within(1..=4) as usize, &mut random);
        let slow = SlowPolicy::ALL
            .iter()
            .map(|policy| (policy.as_str(), SlowRule { policy: *policy, ..truth.behind }));
        config.slow = SlowRules::new(slow);
        let kinds = [Kind::Poll, Kind::Duplex, Kind::Down];
        let mut kinds: Vec<Kind> = kinds.into_iter().filter(|_| random.chance(2, 3)).collect();
        if kinds.is_empty() {
            kinds.push(Kind::Poll);
        }
        let weight = |&(step, weight): &(Step, u64)| {
            let factor = if ESSENTIAL.contains(&step) { 2 } else { *random.pick(&[0, 1, 2, 2, 2, 3, 6]) };
            (step, weight * factor)
        };
        let weights = WEIGHTS.iter().map(weight).collect();
        let clients = (0..random.within(1..=3)).map(|index| Client::new(format!("i{index}"))).collect();
        Self {
            truth,
            random,
            time: 1_000_000,
            gateway: Gateway::new(config),
            network: Network::default(),
            clients,
            plain,
            coverage: Coverage::new(),
            sends: 0,
            revoked: 0,
            taken_away: BTreeSet::new(),
            granted: BTreeMap::new(),
            has_slid: false,
            is_told,
            kinds,
            weights,
        }
    }

    fn draw(&mut self) -> Step {
        let sum = self.weights.iter().map(|(_, weight)| weight).sum::<u64>();
        let mut left = self.random.within(0..=sum - 1);
        for (step, weight) in &self.weights {
            match left.checked_sub(*weight) {
                Some(rest) => left = rest,
                None => return *step,
            }
        }
        unreachable!("the weights sum up")
    }

    fn step(&mut self, step: Step) {
        self.time += self.random.within(0..=20);
        let wall = self.now().wall_ms;
        let client = self.random.within(0..=self.clients.len() as u64 - 1) as usize;
        let channel = self.random.within(0..=self.truth.channels.len() as u64 - 1) as usize;
        match step {
            Step::DeliverUp => {
                let repeat = self.random.chance(1, 8);
                self.each_of(1, |conn| !conn.up.is_empty(), |world, conn| world.deliver_up(conn, repeat));
            }
            Step::DeliverDown => self.each_of(1, |conn| !conn.down.is_empty(), Self::deliver_down),
            Step::Transmit => {
                let woken = self.woken();
                if !woken.is_empty() {
                    let (session, leg) = *self.random.pick(&woken);
                    self.transmit(session, leg);
                }
            }
            Step::Want if !self.clients[client].is_retired => self.want(client),
            Step::Flush => {
                let ends = &self.clients[client].ends;
                if let Some(last) = ends.len().checked_sub(1) {
                    let end = self.random.within(0..=last as u64) as usize;
                    if self.clients[client].ends[end].kind != Kind::Post {
                        self.flush(client, end, false);
                    }
                }
            }
            Step::Connect => self.maybe_connect(client),
            Step::Publish => {
                for _ in 0..self.random.within(1..=4) {
                    self.truth.publish(channel, wall, &mut self.random);
                }
            }
            Step::Whisper => self.truth.whisper(channel, self.now()),
            Step::Trim => self.trim(channel),
            Step::BeginEpoch => self.begin_epoch(channel),
            Step::Cut => self.each_of(1, |conn| !conn.is_cut, Self::cut),
            Step::ClientNotices => {
                self.each_of(1, |conn| conn.is_cut && conn.is_open && conn.down.is_empty(), Self::give_up);
            }
            Step::GatewayNotices => {
                self.each_of(1, |conn| conn.is_cut && conn.up.is_empty(), Self::notice_lost);
            }
            Step::GiveUp => self.each_of(1, |conn| conn.is_open, Self::give_up),
            Step::CarryOut => {
                for index in 0..self.gateway.sessions.len() {
                    if self.random.chance(1, 2) {
                        self.carry_out(index, true);
                    }
                }
            }
            Step::Apply => self.apply(true),
            Step::Wait => {
                let most = *self.random.pick(&[500, 5_000, 30_000]);
                let due = self.next_deadline().unwrap_or(self.time);
                self.wait(most.min(due.saturating_sub(self.time)));
            }
            Step::Expire => self.wait(self.gateway.config.resume_window_ms),
            Step::Reload => self.reload(client),
            Step::Copy => self.copy(client),
            Step::Bye if self.random.chance(1, 4) => self.say_bye(client),
            Step::Dismiss => self.dismiss(),
            Step::Revoke => self.revoke(channel),
            Step::ConnectPlain => self.connect_plain(),
            Step::Want | Step::Bye => {}
        }
        self.network.sweep();
    }

    /// Does something to so many connections of a kind, drawn anew each time.
    fn each_of(
        &mut self,
        times: usize,
        which: impl Fn(&super::network::Conn) -> bool,
        mut what: impl FnMut(&mut Self, usize),
    ) {
        for _ in 0..times {
            let conns = self.network.conns.iter().filter(|(_, conn)| which(conn));
            let names: Vec<usize> = conns.map(|(name, _)| *name).collect();
            if names.is_empty() {
                return;
            }
            let name = *self.random.pick(&names);
            what(self, name);
        }
    }

    pub(super) fn woken(&self) -> Vec<(usize, usize)> {
        let mut woken = Vec::new();
        for (session, hosted) in self.gateway.sessions.iter().enumerate() {
            let legs = hosted.legs.iter().enumerate().filter(|(_, leg)| leg.is_woken);
            woken.extend(legs.map(|(leg, _)| (session, leg)));
        }
        woken
    }

    fn maybe_connect(&mut self, index: usize) {
        let kind = *self.random.pick(&self.kinds);
        let client = &self.clients[index];
        let links = client.ends.iter().filter(|end| end.kind != Kind::Post).count();
        if client.is_retired || links >= 4 || (client.session.is_none() && links > 0) {
            return;
        }
        let (has_attached, is_new) = (client.has_attached(), client.session.is_none());
        let is_probe = match kind {
            Kind::Poll => false,
            _ if is_new => false,
            _ if has_attached => self.random.chance(9, 10),
            _ => self.random.chance(1, 5),
        };
        if kind == Kind::Poll && client.has_poll() && !self.random.chance(1, 4) {
            return;
        }
        self.connect(index, kind, is_probe);
    }

    pub(super) fn deliver_up(&mut self, name: usize, repeat: bool) {
        if let Some(message) = self.network.take_up(name, repeat) {
            say!(self, "    c{name} up");
            self.receive(name, &message);
        }
    }

    pub(super) fn deliver_down(&mut self, name: usize) {
        let Some(conn) = self.network.conns.get_mut(&name) else { return };
        let Some(down) = conn.down.pop_front() else { return };
        let (kind, codec, client) = (conn.kind, conn.codec, conn.client);
        let is_over = conn.kind.is_request() || (conn.is_over && conn.down.is_empty());
        conn.is_resuming = false;
        if kind == Kind::Plain {
            return self.deliver_plain(client, name, &down, is_over);
        }
        let Some(end) = self.clients[client].ends.iter().position(|end| end.conn == name) else { return };
        for frame in codec.down_frames(&down.bytes, DecodeLimits::default()) {
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => {
                    assert!(!down.is_whole, "an unreadable message: {error}");
                    break;
                }
            };
            say!(self, "    k{client} c{name}: {frame:?}");
            self.check_recovered(client, &frame);
            let speaker = &mut self.clients[client];
            match speaker.hear(end, frame, &self.truth, &mut self.coverage) {
                Verdict::Open => {}
                Verdict::Close => return self.give_up(name),
                Verdict::CloseAll => return self.close_ends(client, None),
                Verdict::CloseOthers => {
                    self.close_ends(client, Some(name));
                    return self.deliver_rest(client, name, codec, &down.bytes, is_over);
                }
            }
        }
        self.delivered(client, name, down.is_whole, is_over);
    }

    /// The frames behind a welcome that made the client close its other ends.
    fn deliver_rest(&mut self, client: usize, name: usize, codec: Codec, bytes: &Bytes, is_over: bool) {
        let mut is_whole = true;
        for frame in codec.down_frames(bytes, DecodeLimits::default()).skip(1) {
            let Ok(frame) = frame else {
                is_whole = false;
                break;
            };
            say!(self, "    k{client} c{name}: {frame:?}");
            self.check_recovered(client, &frame);
            let verdict = self.clients[client].hear(0, frame, &self.truth, &mut self.coverage);
            assert_eq!(verdict, Verdict::Open, "behind a welcome");
        }
        self.delivered(client, name, is_whole, is_over);
    }

    /// `recovered` says whether the log held all that was asked for, at the moment when it was granted.
    fn check_recovered(&self, client: usize, frame: &DownFrame) {
        let client = &self.clients[client];
        let (DownFrame::Items(items), Some(held)) = (frame, &client.session) else { return };
        for (number, item) in (items.first..).zip(&items.items) {
            let Item::Subscribed(subscribed) = item else { continue };
            let key = (held.id, held.incarnation, subscribed.command, subscribed.channel.clone());
            if number > client.after && !client.is_copied {
                assert_eq!(Some(&subscribed.recovered), self.granted.get(&key), "{subscribed:?}");
            }
        }
    }

    fn delivered(&mut self, client: usize, name: usize, is_whole: bool, is_over: bool) {
        let ends = &self.clients[client].ends;
        let Some(end) = ends.iter().find(|end| end.conn == name).cloned() else { return };
        if end.kind == Kind::Post && is_whole {
            self.confirm(client, &end);
        }
        if is_over || end.kind.is_request() {
            self.give_up(name);
        }
    }

    fn deliver_plain(&mut self, index: usize, name: usize, down: &super::network::Down, is_over: bool) {
        if self.plain[index].conn != Some(name) {
            return;
        }
        if down.is_whole {
            for frame in Codec::Json.down_frames(&down.bytes, DecodeLimits::default()) {
                let frame: DownFrame = frame.expect("a readable message");
                say!(self, "    p{index} c{name}: {frame:?}");
                let may_miss = self.has_slid && !self.taken_away.is_empty();
                self.plain[index].hear(frame, &self.truth, may_miss, &mut self.coverage);
            }
            if down.tag.is_some() {
                self.plain[index].tag.clone_from(&down.tag);
            }
        }
        if is_over || !down.is_whole {
            self.give_up(name);
        }
    }

    /// A client wants no more of a connection.
    pub(super) fn give_up(&mut self, name: usize) {
        let Some(conn) = self.network.conns.get(&name) else { return };
        say!(self, "    c{name} is closed by its client");
        if conn.kind == Kind::Plain {
            let plain = &mut self.plain[conn.client];
            plain.conn = plain.conn.filter(|held| *held != name);
        } else {
            self.clients[conn.client].ends.retain(|end| end.conn != name);
        }
        self.network.close(name);
    }

    /// A client closes its ends, all but one.
    pub(super) fn close_ends(&mut self, index: usize, but: Option<usize>) {
        for end in &self.clients[index].ends {
            if Some(end.conn) != but {
                self.network.close(end.conn);
            }
        }
        self.clients[index].ends.retain(|end| Some(end.conn) == but);
    }

    fn cut(&mut self, name: usize) {
        say!(self, "    c{name} is cut");
        self.network.cut(name, &mut self.random, &mut self.coverage);
        if self.random.chance(1, 3) {
            self.coverage.met(Met::LinkHalfOpen); // neither end knows yet
        } else if self.network.conns.get(&name).is_some_and(|conn| conn.down.is_empty()) {
            self.give_up(name);
        }
    }

    fn wait(&mut self, ms: u64) {
        self.time += ms;
        let wall = self.now().wall_ms;
        for channel in 0..self.truth.channels.len() {
            self.truth.age(channel, wall);
        }
        self.run_timers();
    }

    fn trim(&mut self, channel: usize) {
        let most = self.truth.channels[channel].held();
        let count = self.random.within(0..=most as u64) as usize;
        if count > 0 && self.is_held_detached(channel) {
            self.coverage.met(Met::TrimmedDetached);
        }
        say!(self, "    {count} of channel {channel}");
        self.truth.channels[channel].trim(count);
    }

    fn begin_epoch(&mut self, channel: usize) {
        let resuming = |conn: &super::network::Conn| {
            conn.is_open
                && conn.is_resuming
                && conn.kind != Kind::Plain
                && self.clients[conn.client].views.contains_key(&channel)
        };
        if self.network.conns.values().any(resuming) {
            self.coverage.met(Met::EpochDuringResume);
        }
        say!(self, "    of channel {channel}");
        self.truth.channels[channel].begin_epoch(&mut self.random);
    }

    fn is_held_detached(&self, channel: usize) -> bool {
        let name = self.truth.channels[channel].channel.name();
        self.gateway.sessions.iter().any(|hosted| {
            hosted.ending.is_none()
                && hosted.session.active().is_none()
                && hosted.session.subscriptions().any(|(held, _)| held == name)
        })
    }

    fn dismiss(&mut self) {
        let Some(last) = self.gateway.sessions.len().checked_sub(1) else { return };
        let index = self.random.within(0..=last as u64) as usize;
        if self.random.chance(1, 8) {
            self.gateway.sessions[index].session.end(Ending::Disconnected);
        } else {
            self.gateway.sessions[index].session.dismiss(Goodbye::Drain { delay_ms: 0, spread_ms: 100 });
        }
        self.settle(index);
    }

    fn revoke(&mut self, channel: usize) {
        let Some(last) = self.gateway.sessions.len().checked_sub(1) else { return };
        let index = self.random.within(0..=last as u64) as usize;
        let name = self.truth.channels[channel].channel.name().clone();
        self.taken_away.insert(channel);
        self.revoked += 1;
        let hosted = &mut self.gateway.sessions[index];
        if hosted.session.subscriptions().any(|(held, _)| *held == name) {
            hosted.part.wishes.remove(&channel); // what is being asked for again is not held
        }
        hosted.session.revoke(&name);
        self.settle(index);
    }

    pub(super) fn connect_plain(&mut self) {
        for index in 0..self.plain.len() {
            if self.plain[index].conn.is_none() {
                let tag = self.plain[index].tag.clone().unwrap_or_default();
                say!(self, "    p{index} opens with {tag:?}");
                let conn = self.network.open(index, Kind::Plain, Codec::Json, tag.into());
                self.plain[index].conn = Some(conn);
            }
        }
    }
}
