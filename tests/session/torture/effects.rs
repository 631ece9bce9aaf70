//! What sessions ask of their driver: wakes, subscriptions, intents and timers, carried out when the schedule says.

use throughline::session::{Effect, Ending, SubscribeRequest, UnsubscribeRequest};
use throughline_wire::{ChannelName, ErrorCode, Json, Payload, ReplyError, SubscribeFrom, item::Accepted};

use super::{
    coverage::Met,
    schedule::{World, say},
    truth::number_in,
};

/// An effect about a channel that is still to be carried out.
pub(super) enum Request {
    /// With the incarnation in which it was asked for.
    Subscribe(SubscribeRequest, u64),
    Unsubscribe(UnsubscribeRequest, u64),
}

/// A `send` on its way through the application.
pub(super) struct Intent {
    session: usize,
    command: u64,
    uid: u64,
    is_applied: bool,
}

impl Request {
    fn channel(&self) -> &ChannelName {
        match self {
            Self::Subscribe(request, _) => &request.channel,
            Self::Unsubscribe(request, _) => &request.channel,
        }
    }
}

impl World {
    /// Change it once, then drain the effects.
    pub(super) fn settle(&mut self, index: usize) {
        let hosted = &mut self.gateway.sessions[index];
        if hosted.session.active().is_some() && hosted.ending.is_none() {
            hosted.last_active = self.time;
        }
        for effect in hosted.session.take_effects() {
            match effect {
                Effect::Wake(link) => {
                    if let Some(leg) = hosted.legs.iter_mut().find(|leg| leg.link == link) {
                        leg.is_woken = true;
                    }
                }
                Effect::Subscribe(request) => {
                    let asked_in = hosted.session.incarnation();
                    hosted.requests.push_back(Request::Subscribe(request, asked_in));
                }
                Effect::Unsubscribe(request) => {
                    let asked_in = hosted.session.incarnation();
                    hosted.requests.push_back(Request::Unsubscribe(request, asked_in));
                }
                Effect::Announce(channel) => {
                    channel.mark_members();
                    channel.wake();
                }
                Effect::Established => hosted.part.is_established = true,
                Effect::Life { number, life } => {
                    let (idle, grace) =
                        (self.time - hosted.last_active, self.gateway.config.presence_grace_ms);
                    hosted.told.hear(number, life, &hosted.session, idle, grace);
                }
                Effect::Send { command, send } => {
                    let Payload::Json(json) = send.payload else { panic!("a send lost its payload") };
                    let uid = number_in(json.as_str(), "{\"c\":");
                    self.gateway.intents.push(Intent { session: index, command, uid, is_applied: false });
                }
                Effect::Ended(ending) => {
                    assert!(hosted.ending.is_none(), "a session ends once");
                    hosted.ending = Some(ending);
                    assert!(hosted.told.is_whole(hosted.part.is_established), "{ending:?} was not told");
                    self.gateway.by_id.remove(&hosted.session.id());
                    let id = hosted.session.id();
                    let (idle, config) = (self.time - hosted.last_active, &self.gateway.config);
                    let least = match ending {
                        Ending::Expired => config.resume_window_ms,
                        Ending::Provisional => config.provisional_ms.min(config.resume_window_ms),
                        _ => 0,
                    };
                    let since = if ending == Ending::Provisional { self.time - hosted.opened } else { idle };
                    assert!(since >= least, "{ending:?} after {since} ms, {least} were promised");
                    if ending == Ending::Expired && self.clients.iter().any(|c| c.has_unreplied(id)) {
                        self.coverage.met(Met::ExpiredUnreplied);
                    }
                    say!(self, "    s{index}: ended, {ending:?}");
                }
                Effect::Authenticate { .. } | Effect::Refused(_) | Effect::Dropped(_) => {}
                Effect::Tried { .. } => {}
                other => panic!("the model knows no {other:?}"),
            }
        }
        self.check_bounds(index);
        self.check_listed(index);
    }

    /// Whoever rang for a session wakes its active link.
    pub(super) fn answer_bells(&mut self) {
        for hosted in &mut self.gateway.sessions {
            if hosted.ending.is_none()
                && hosted.rang()
                && let Some((active, _)) = hosted.session.active()
                && let Some(leg) = hosted.legs.iter_mut().find(|leg| leg.link == active)
            {
                leg.is_woken = true;
            }
        }
    }

    fn check_bounds(&self, index: usize) {
        let hosted = &self.gateway.sessions[index];
        let session = &hosted.session;
        let limits = &self.gateway.config.limits;
        // Beside the window and the reserve: what a rebuild, the application or its members say of each channel.
        let bound = limits.unacknowledged_items.max(1)
            + self.gateway.config.reserve_items as u64
            + limits.commands_ahead
            + 4 * limits.subscriptions
            + self.revoked;
        let unacknowledged = session.unacknowledged();
        assert!(unacknowledged <= bound, "{unacknowledged} unacknowledged items, above {bound}");
        assert!(session.subscriptions().len() as u64 <= limits.subscriptions, "too many subscriptions");
        if let Some((active, _)) = session.active() {
            let known = hosted.legs.iter().any(|leg| leg.link == active);
            assert!(known, "the active link {active:?} is not open");
        }
    }

    /// Authorises and opens the oldest request of some channel, or refuses it.
    pub(super) fn carry_out(&mut self, index: usize, may_refuse: bool) {
        let hosted = &mut self.gateway.sessions[index];
        if hosted.requests.is_empty() {
            return;
        }
        let drawn = self.random.within(0..=hosted.requests.len() as u64 - 1) as usize;
        let channel = hosted.requests[drawn].channel().clone();
        let oldest = hosted.requests.iter().position(|request| *request.channel() == channel);
        let Some(request) = oldest.and_then(|oldest| hosted.requests.remove(oldest)) else { return };
        let channel = &self.truth.channels[self.truth.index(&channel)].channel;
        match request {
            Request::Subscribe(request, asked_in) if may_refuse && self.random.chance(1, 25) => {
                self.taken_away.insert(self.truth.index(&request.channel));
                say!(self, "    s{index}: refuses {request:?}");
                if request.command.is_none() && asked_in >= hosted.asked_since {
                    hosted.part.wishes.remove(&self.truth.index(&request.channel));
                }
                hosted.session.refuse_subscription(&request, ErrorCode::Forbidden.into());
            }
            Request::Subscribe(request, asked_in) => {
                let session = &hosted.session;
                let history = &self.truth.channels[self.truth.index(&request.channel)];
                let is_held = session.subscriptions().any(|(name, _)| *name == request.channel);
                let is_whole = match request.from {
                    SubscribeFrom::Position(position) if !is_held => history.has_all_after(position),
                    _ => true,
                };
                let key = (session.id(), session.incarnation(), request.command, request.channel.clone());
                self.granted.insert(key, is_whole);
                say!(self, "    s{index}: grants {request:?}");
                hosted.session.subscribe(&request, channel);
                let is_held = hosted.session.subscriptions().any(|(name, _)| *name == request.channel);
                if asked_in >= hosted.asked_since && (!is_held || request.command.is_some()) {
                    let channel = self.truth.index(&request.channel);
                    hosted.part.wishes.remove(&channel);
                    if is_held {
                        hosted.part.forsaken.remove(&channel);
                    }
                    if request.presence && is_held {
                        hosted.part.wishes.insert(channel);
                    }
                }
            }
            Request::Unsubscribe(request, asked_in) => {
                say!(self, "    s{index}: ends {request:?}");
                if asked_in >= hosted.asked_since {
                    let channel = self.truth.index(&request.channel);
                    hosted.part.wishes.remove(&channel);
                    hosted.part.forsaken.remove(&channel);
                }
                hosted.session.unsubscribe(&request);
            }
        }
        self.settle(index);
    }

    /// The application takes an intent, or answers one, in any order.
    pub(super) fn apply(&mut self, may_linger: bool) {
        if self.gateway.intents.is_empty() {
            return;
        }
        let drawn = self.random.within(0..=self.gateway.intents.len() as u64 - 1) as usize;
        let intent = &mut self.gateway.intents[drawn];
        if !intent.is_applied {
            intent.is_applied = true;
            let times = self.gateway.applied.entry(intent.uid).or_default();
            *times += 1;
            assert_eq!(*times, 1, "command {} was applied twice", intent.uid);
            if may_linger && self.random.chance(1, 2) {
                return;
            }
        }
        let Intent { session, command, uid, .. } = self.gateway.intents.swap_remove(drawn);
        say!(self, "    s{session}: the application answers command {command} (intent {uid})");
        let result = if self.random.chance(1, 6) {
            Err(ReplyError { code: format!("c{uid}").into(), message: "".into(), retryable: false })
        } else {
            let payload = Json::parse(format!("{{\"c\":{uid}}}").as_bytes());
            let payload = Payload::Json(payload.expect("a JSON text"));
            Ok(Accepted { position: None, payload })
        };
        self.gateway.sessions[session].session.reply(command, result);
        self.settle(session);
    }

    /// Does what is due.
    pub(super) fn run_timers(&mut self) {
        let now = self.now();
        for index in 0..self.gateway.sessions.len() {
            let session = &mut self.gateway.sessions[index].session;
            if session.deadline().is_none_or(|due| due > now.mono_ms) {
                continue;
            }
            session.handle_timeout(now);
            let next = session.deadline();
            assert!(
                next.is_none_or(|due| due > now.mono_ms),
                "due again at {next:?}, now is {}",
                now.mono_ms
            );
            self.settle(index);
        }
        (0..self.gateway.sessions.len()).for_each(|index| self.check_away(index));
    }

    /// When the next session has something due.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        let due = self.gateway.sessions.iter().filter_map(|hosted| hosted.session.deadline());
        due.filter(|due| *due < u64::MAX / 2).min()
    }
}
