//! Presence: what a client makes of it, and who may be listed when.
//!
//! Two halves of one promise. On the gateway's side a roster changes only for a reason: a session comes to it when it
//! takes part and its client is known and there, and goes when it no longer takes part, is over, or was without a link
//! for longer than the grace. On the client's side what is told folds to a roster, without a difference to nothing.

use std::collections::BTreeSet;

use throughline_wire::{Presence, PresenceKind, SessionId, frame::Hello};

use super::{
    client::Client,
    coverage::{Coverage, Met},
    schedule::{World, say},
    truth::Truth,
};

/// Where a session takes part, as the model has it.
#[derive(Default)]
pub(super) struct Part {
    /// The channels in whose presence it takes part.
    pub(super) wishes: BTreeSet<usize>,
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
        hosted.part.wishes.retain(|channel| stated.contains(channel));
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
        let lists = |channel: &usize| {
            self.truth.channels[*channel].channel.members().iter().any(|member| member.session == id)
        };
        let listed: BTreeSet<usize> = (0..self.truth.channels.len()).filter(lists).collect();
        for channel in part.listed.difference(&listed) {
            let is_away = !is_active && !is_patient;
            let may_go = hosted.ending.is_some() || !part.wishes.contains(channel) || is_away;
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
            assert_eq!(listed, part.wishes, "s{index} is listed where it takes part");
            if !part.was_active && !listed.is_empty() && listed == part.listed {
                self.coverage.met(Met::PresenceKept);
            }
        }
        (part.was_active, part.listed) = (is_active, listed);
        say!(self, "    s{index} takes part in {:?}", self.gateway.sessions[index].part.listed);
    }

    /// Nobody is listed any more who was away for longer than the grace, or is over.
    pub(super) fn check_away(&mut self, index: usize) {
        let hosted = &mut self.gateway.sessions[index];
        let part = &mut hosted.part;
        let is_patient = self.time < part.detached + self.gateway.config.presence_grace_ms;
        part.is_away = hosted.ending.is_some() || !(part.was_active || is_patient);
        assert!(!part.is_away || part.listed.is_empty(), "s{index} is listed, and away");
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
