//! Presence: what a client makes of it, and who may be listed when.
//!
//! Two halves of one promise. On the gateway's side a roster changes only for a reason: a session comes to it when it
//! takes part and its client is known and there, and goes when it no longer takes part, is over, or was without a link
//! for longer than the grace. On the client's side what is told folds to a roster, without a difference to nothing.

use std::collections::{BTreeMap, BTreeSet};

use throughline_wire::{Presence, PresenceKind, SessionId, frame::Hello};

use super::{
    client::Client,
    coverage::{Coverage, Met},
    gateway::Hosted,
    schedule::{World, say},
    truth::Truth,
};

/// Where a session takes part, as the model has it.
#[derive(Default)]
pub(super) struct Part {
    /// The channels in whose presence it takes part.
    pub(super) wishes: BTreeSet<usize>,
    /// Those that a rebuild did not name, and until when it is still listed there.
    pub(super) forsaken: BTreeMap<usize, u64>,
    /// Whether these are more than it may hold: then some of them are let go before.
    is_crowded: bool,
    /// Whether its client is known.
    pub(super) is_established: bool,
    /// The channels in whose rosters it was when it was last looked at.
    listed: BTreeSet<usize>,
    /// Whether it had an active link then, and since when it has none.
    was_active: bool,
    detached: u64,
    /// Whether its timer was run after the grace.
    is_away: bool,
}

impl Client {
    /// Hears of who takes part.
    pub(super) fn hear_presence(&mut self, presence: &Presence, truth: &Truth, coverage: &mut Coverage) {
        let channel = truth.index(&presence.channel);
        let is_held = self.views.get(&channel).is_some_and(|view| view.is_confirmed);
        assert!(is_held, "{presence:?} before `subscribed`");
        assert!(self.is_copied || self.asked.contains(&channel), "{presence:?}: nobody asked");
        let own = self.session.as_ref().expect("items come in a session").id;
        let named: BTreeSet<SessionId> = presence.members.iter().map(|member| member.session).collect();
        assert_eq!(named.len(), presence.members.len(), "{presence:?}: named twice");
        let fold = self.folds.entry(channel).or_default();
        match (presence.kind, fold.as_mut()) {
            (PresenceKind::State, _) => {
                assert!(named.contains(&own), "{presence:?}: it takes part itself");
                coverage.met(Met::PresenceState);
                *fold = Some(named);
            }
            (_, None) => panic!("{presence:?}: a difference to nothing"),
            (PresenceKind::Join, Some(known)) => {
                assert!(named.is_disjoint(known), "{presence:?}: they are known");
                coverage.met(Met::PresenceJoin);
                known.extend(named);
            }
            (PresenceKind::Leave, Some(known)) => {
                assert!(named.is_subset(known) && !named.contains(&own), "{presence:?}: {known:?}");
                coverage.met(Met::PresenceLeave);
                known.retain(|member| !named.contains(member));
            }
        }
        let count = self.folds[&channel].as_ref().map_or(0, BTreeSet::len);
        assert_eq!(presence.count, count as u64, "{presence:?}: the count after it");
    }
}

impl World {
    /// A session was asked for its channels anew, in a new incarnation.
    pub(super) fn rebuilt(&mut self, index: usize, hello: &Hello) {
        let positions = hello.resume.as_ref().and_then(|resume| resume.positions.as_ref());
        let Some(positions) = positions else { return }; // one who cannot state them keeps its channels
        let hosted = &mut self.gateway.sessions[index];
        hosted.asked_since = hosted.session.incarnation();
        let stated: BTreeSet<usize> = positions.keys().map(|name| self.truth.index(name)).collect();
        let part = &mut hosted.part;
        let known: BTreeSet<usize> = part.wishes.iter().chain(part.forsaken.keys()).copied().collect();
        let leaves_at = self.time + self.gateway.config.presence_grace_ms;
        // Whoever is not seen there does not stay, and whoever stays already does so no longer.
        let stays = known.difference(&stated).filter(|channel| part.listed.contains(channel));
        part.forsaken =
            stays.map(|channel| (*channel, *part.forsaken.get(channel).unwrap_or(&leaves_at))).collect();
        part.wishes = known.intersection(&stated).copied().collect();
        part.is_crowded = known.len() as u64 > self.gateway.config.limits.subscriptions;
    }

    /// Every change of a roster has its reason; and whoever is to be listed is.
    pub(super) fn check_listed(&mut self, index: usize) {
        let grace = self.gateway.config.presence_grace_ms;
        let hosted = &mut self.gateway.sessions[index];
        let (session, part) = (&hosted.session, &mut hosted.part);
        let id = session.id();
        let is_active = session.active().is_some() && hosted.ending.is_none();
        if part.was_active && !is_active {
            part.detached = self.time;
        }
        part.is_away &= !is_active;
        let is_patient = self.time < part.detached + grace;
        let places: BTreeSet<usize> = session.takes_part_in().map(|name| self.truth.index(name)).collect();
        let may_forget = hosted.ending.is_some() || part.is_crowded;
        let waits =
            |(channel, leaves_at): (&usize, &u64)| places.contains(channel) || self.time >= *leaves_at;
        assert!(may_forget || part.forsaken.iter().all(waits), "s{index} does not wait for its client");
        part.forsaken.retain(|channel, _| places.contains(channel));
        let lists = |channel: &usize| {
            self.truth.channels[*channel].channel.members().iter().any(|member| member.session == id)
        };
        let listed: BTreeSet<usize> = (0..self.truth.channels.len()).filter(lists).collect();
        for channel in part.listed.difference(&listed) {
            let is_away = !is_active && !is_patient;
            let is_wanted = part.wishes.contains(channel) || part.forsaken.contains_key(channel);
            let may_go = hosted.ending.is_some() || !is_wanted || is_away;
            assert!(may_go, "s{index} is gone from channel {channel} without a reason");
            if hosted.ending.is_none() && is_away {
                self.coverage.met(Met::PresenceAway);
            }
        }
        for channel in listed.difference(&part.listed) {
            let may_come = part.is_established && (is_active || !part.is_away);
            assert!(may_come && part.wishes.contains(channel), "s{index} came to channel {channel}");
        }
        if is_active && part.is_established {
            let is_wanted = |channel: &&usize| !part.forsaken.contains_key(*channel);
            let wanted: BTreeSet<usize> = listed.iter().filter(is_wanted).copied().collect();
            assert_eq!(wanted, part.wishes, "s{index} is listed where it takes part");
            if part.forsaken.keys().any(|channel| listed.contains(channel)) {
                self.coverage.met(Met::PresenceForsaken);
            }
            if !part.was_active && !listed.is_empty() && listed == part.listed {
                self.coverage.met(Met::PresenceKept);
            }
        }
        (part.was_active, part.listed) = (is_active, listed);
        let Hosted { session, part, .. } = &self.gateway.sessions[index];
        let own: Vec<_> = session.takes_part_in().collect();
        say!(self, "    s{index} takes part in {own:?}, {:?}, wants {:?}", part.listed, part.wishes);
    }

    /// Nobody is listed any more who was away for longer than the grace, or is over.
    pub(super) fn check_away(&mut self, index: usize) {
        let hosted = &mut self.gateway.sessions[index];
        let part = &mut hosted.part;
        let is_patient = self.time < part.detached + self.gateway.config.presence_grace_ms;
        part.is_away = hosted.ending.is_some() || !(part.was_active || is_patient);
        assert!(!part.is_away || part.listed.is_empty(), "s{index} is listed, and away");
        let is_over = part.forsaken.values().any(|leaves_at| self.time >= *leaves_at);
        assert!(!is_over, "s{index} waits for its client for ever");
    }

    /// At rest every client knows exactly who takes part.
    pub(super) fn check_folds(&self, index: usize) {
        let client = &self.clients[index];
        let held = client.session.as_ref().expect("it has a session");
        let hosted = self.gateway.sessions.iter().find(|hosted| hosted.session.id() == held.id);
        let hosted = hosted.expect("its session is there");
        let known: BTreeSet<usize> = client.folds.keys().copied().collect();
        assert!(client.is_copied || known == hosted.part.wishes, "k{index} hears of {known:?}");
        for channel in &hosted.part.wishes {
            let members = self.truth.channels[*channel].channel.members();
            let members: BTreeSet<SessionId> = members.iter().map(|member| member.session).collect();
            let fold = client.folds.get(channel).and_then(Option::as_ref);
            assert_eq!(fold, Some(&members), "k{index}: who takes part in channel {channel}");
        }
    }
}
