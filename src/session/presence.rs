//! Taking part in the presence of channels: being listed, and being told who else is.
//!
//! A session wishes for it with `subscribe {presence}`, channel by channel, and is listed once its client is known and
//! has a link. It stays listed while a link is missing, as between two polls, over a reload or a migration, until the
//! grace is over: then it is away, and comes back with its next attach. The wish lasts as long as the channel is held, and
//! after a rebuild that does not name the channel for as long as the grace: a page that was loaded again asks anew.
//!
//! What is told is pulled, like events: for each channel there is the number of the last change that was told, and the
//! roster makes the net of what came after ([`Channel::news`]). The next is told once the last is acknowledged, so a
//! burst of changes costs a session one item or two for each acknowledgement, and its journal holds no more. What is not
//! acknowledged costs room that all sessions share: where there is little left, whoever holds some for long is ended, and
//! a user, or an address, whose sessions hold much of it is told no more.
//!
//! A session that takes part nowhere has none of this but a pointer.

use std::sync::Arc;

use throughline_wire::{Batch, ChannelName, Codec, ErrorCode, Json, Member, Positions, SessionId};

use super::{
    Effect, Ending, Journal, Phase, Session,
    transmit::{Flow, is_full},
};
use crate::{
    channel::{Channel, Crowded, Room},
    limits::Limit,
};

/// When it looks again for room to tell: whoever acknowledges makes room for all, and wakes nobody.
const LOOK_AGAIN_MS: u64 = 1_000;

/// How long a session holds what it was told and does not acknowledge, where there is little room left: longer than any
/// client is between two polls.
const HOLD_MS: u64 = 60_000;

/// Where a session takes part. There once it does somewhere, or could tell more of itself than its name.
#[derive(Debug)]
pub(super) struct Presence {
    /// How it is listed.
    member: Arc<Member>,
    /// Whether it is, in each of its places.
    is_here: bool,
    places: Vec<Place>,
    /// When it looks again whether there is room to tell it more.
    looks_at: Option<u64>,
    /// The number of the last item that told of presence.
    last: u64,
    /// One such item, and until when it has to be acknowledged if there is little room.
    awaited: Option<(u64, u64)>,
}

/// A channel in which it takes part.
#[derive(Debug)]
struct Place {
    channel: Arc<Channel>,
    /// The change up to which it was told; `None`: it is to be told everybody.
    told: Option<u64>,
    /// The number of the last item that told of it.
    last: u64,
    hold: Hold,
}

/// Whether the channel of a place is held: nothing is told before `subscribed`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Hold {
    /// It is.
    Held,
    /// A rebuilt session asks for it again.
    Asked,
    /// The rebuild did not name it. Its client may ask for it until then (P8).
    Forsaken { until_ms: u64 },
}

impl Presence {
    pub(super) fn new(session: SessionId, user: Option<Box<str>>, info: Option<Json>, is_here: bool) -> Self {
        let member = Arc::new(Member { session, user, info });
        Self { member, is_here, places: Vec::new(), looks_at: None, last: 0, awaited: None }
    }

    /// Whether it was told something that is not acknowledged.
    const fn is_unacknowledged(&self, journal: &Journal) -> bool {
        self.last > journal.floor()
    }
}

impl Place {
    const fn forsaken_until(&self) -> Option<u64> {
        match self.hold {
            Hold::Forsaken { until_ms } => Some(until_ms),
            Hold::Held | Hold::Asked => None,
        }
    }
}

/// Where nobody is left to tell, the others learn of it with the next change.
impl Drop for Presence {
    fn drop(&mut self) {
        for place in &self.places {
            place.channel.leave(self.member.session);
        }
    }
}

impl Session {
    /// The channels in whose presence it takes part, listed there or away.
    pub fn takes_part_in(&self) -> impl Iterator<Item = &ChannelName> {
        let places = self.presence.iter().flat_map(|presence| &presence.places);
        places.map(|place| place.channel.name())
    }

    pub(super) fn takes_part(&self, channel: &ChannelName) -> bool {
        self.takes_part_in().any(|name| name == channel)
    }

    /// Takes part in the presence of a channel from now on, and is told everybody; also if it did already.
    ///
    /// # Errors
    /// As many take part as may. Nothing has changed then.
    pub(super) fn join_presence(&mut self, channel: &Arc<Channel>) -> Result<(), ErrorCode> {
        let (is_here, room) = (self.may_appear(), self.room_for_presence());
        let new = || Box::new(Presence::new(self.id, self.user.clone(), None, is_here));
        let presence = self.presence.get_or_insert_with(new);
        if presence.places.is_empty() {
            presence.is_here = is_here; // without a place it was neither
        }
        if let Some(place) = presence.places.iter_mut().find(|place| place.channel == *channel) {
            (place.told, place.hold) = (None, Hold::Held);
            return Ok(());
        }
        let joined = if presence.is_here {
            channel.join(&presence.member, Arc::clone(&self.listener), &room).map(drop)
        } else {
            channel.admits(&room)
        };
        if let Err(crowded) = joined {
            self.note_crowded(crowded);
            self.forget_presence_of_none();
            return Err(ErrorCode::TooManyMembers);
        }
        if presence.is_here {
            self.effects.push(Effect::Announce(Arc::clone(channel)));
        }
        let last = self.journal.last_presence_of(channel.name()); // P4 counts what it was told before it left
        presence.places.push(Place { channel: Arc::clone(channel), told: None, last, hold: Hold::Held });
        Ok(())
    }

    /// Takes part in the presence of a channel no longer.
    pub(super) fn leave_presence(&mut self, channel: &ChannelName) {
        let Some(presence) = &mut self.presence else { return };
        let Some(at) = presence.places.iter().position(|place| place.channel.name() == channel) else {
            return;
        };
        let place = presence.places.swap_remove(at);
        if place.channel.leave(self.id) {
            self.effects.push(Effect::Announce(place.channel));
        }
        self.forget_presence_of_none();
    }

    fn room_for_presence(&self) -> Room {
        let config = &self.config;
        let of_payer = match self.user {
            Some(_) => config.user_presence_members,
            None => config.address_presence_members,
        };
        Room { members: config.presence_members, payer: self.payer.clone(), of_payer }
    }

    fn note_crowded(&mut self, crowded: Crowded) {
        let limit = match (crowded, &self.user) {
            (Crowded::Channel, _) => Limit::PresenceMembers,
            (Crowded::Payer, Some(_)) => Limit::UserPresenceMembers,
            (Crowded::Payer, None) => Limit::AddressPresenceMembers,
        };
        self.effects.push(Effect::Limited(limit));
    }

    /// Whether its client is known, and has a link that could say what it has been told.
    fn may_appear(&self) -> bool {
        matches!(self.phase, Phase::Established { .. })
            && self.active_link().is_some_and(|link| !link.spec.kind.is_plain())
    }

    /// Is listed, now that its client is known and has a link; where there is no room left the channel is taken away.
    pub(super) fn appear(&mut self) {
        if !self.may_appear() {
            return;
        }
        let room = self.room_for_presence();
        let Some(presence) = self.presence.as_mut().filter(|presence| !presence.is_here) else { return };
        presence.is_here = true;
        let mut refused = Vec::new();
        for place in &presence.places {
            match place.channel.join(&presence.member, Arc::clone(&self.listener), &room) {
                Ok(_) => self.effects.push(Effect::Announce(Arc::clone(&place.channel))),
                Err(crowded) => refused.push((place.channel.name().clone(), crowded)),
            }
        }
        for (channel, crowded) in refused {
            self.note_crowded(crowded);
            self.leave_presence(&channel);
            self.revoke(&channel);
        }
        self.wake_active();
    }

    /// Is listed no longer: it was without a link for longer than the grace, or is over.
    pub(super) fn disappear(&mut self) {
        let Some(presence) = &mut self.presence else { return };
        presence.is_here = false;
        for place in &presence.places {
            if place.channel.leave(self.id) {
                self.effects.push(Effect::Announce(Arc::clone(&place.channel)));
            }
        }
    }

    /// Whether it is listed somewhere.
    pub(super) fn is_listed(&self) -> bool {
        self.presence.as_ref().is_some_and(|presence| presence.is_here && !presence.places.is_empty())
    }

    /// Under new numbers everybody is told again. It keeps its places meanwhile, so that nobody sees it go and come: those
    /// that `kept` does not name for the grace, in which a page that was loaded again asks for them. Where it was not
    /// seen there is nothing to keep, and a page that is loaded ever again is not seen for longer.
    pub(super) fn keep_presence(&mut self, now_ms: u64, kept: Option<&Positions>) {
        let most = self.config.limits.subscriptions as usize;
        let Some(presence) = &mut self.presence else { return };
        presence.last = 0;
        // Whoever is rebuilt again and again keeps no more than it may hold.
        let surplus = presence.places.len().saturating_sub(most);
        let mut left = Vec::new();
        for place in &mut presence.places {
            (place.told, place.last) = (None, 0);
            let Some(kept) = kept else { continue };
            let is_forsaken = matches!(place.hold, Hold::Forsaken { .. });
            if kept.contains_key(place.channel.name()) {
                place.hold = Hold::Asked;
            } else if !presence.is_here || (is_forsaken && left.len() < surplus) {
                left.push(place.channel.name().clone());
            } else if !is_forsaken {
                place.hold = Hold::Forsaken { until_ms: now_ms + self.config.presence_grace_ms };
            }
        }
        for name in left {
            self.leave_presence(&name);
        }
    }

    /// When it leaves a place that was not asked for again, looks again for room, or has held some for long.
    pub(super) fn presence_due(&self) -> Option<u64> {
        let presence = self.presence.as_ref()?;
        let held = presence
            .awaited
            .filter(|_| presence.is_unacknowledged(&self.journal))
            .map(|(_, until_ms)| until_ms);
        presence.places.iter().filter_map(Place::forsaken_until).chain(presence.looks_at).chain(held).min()
    }

    /// Does what is due of that.
    pub(super) fn handle_presence_due(&mut self, now_ms: u64) {
        let Some(presence) = &mut self.presence else { return };
        let is_due = |at: u64| at <= now_ms;
        let looks = presence.looks_at.take_if(|at| is_due(*at)).is_some();
        let forsaken = presence.places.iter().filter(|place| place.forsaken_until().is_some_and(is_due));
        let left: Vec<ChannelName> = forsaken.map(|place| place.channel.name().clone()).collect();
        if let Some((item, until_ms)) = presence.awaited.filter(|_| presence.is_unacknowledged(&self.journal))
            && is_due(until_ms)
        {
            if self.config.is_presence_scarce() && item > self.journal.floor() {
                return self.end(Ending::Unacknowledged);
            }
            presence.awaited = self.journal.first_presence().map(|item| (item, now_ms + HOLD_MS));
        }
        for name in left {
            self.leave_presence(&name);
        }
        if looks {
            self.wake_active();
        }
    }

    /// Tells what changed in the presence of its channels, as far as there is room.
    pub(super) fn tell_presence(
        &mut self,
        now_ms: u64,
        codec: Codec,
        batch: &mut Batch<'_>,
        budget_bytes: usize,
    ) -> Flow {
        let Some(presence) = self.presence.as_mut().filter(|presence| presence.is_here) else {
            return Flow::Done;
        };
        let reserve = self.config.reserve_items.max(1) as u64;
        for place in &mut presence.places {
            let turnover = place.channel.turnover();
            let is_unacknowledged = place.last > self.journal.floor();
            if place.hold != Hold::Held || place.told == Some(turnover) || is_unacknowledged {
                continue; // an acknowledgement wakes the link
            }
            if self.journal.controls() >= reserve {
                return Flow::Done; // likewise
            }
            if !self.config.may_tell_presence(self.payer.as_deref()) {
                presence.looks_at.get_or_insert(now_ms + LOOK_AGAIN_MS);
                return Flow::Done;
            }
            let (up_to, news) = place.channel.news(place.told, &self.config.presence_unacknowledged);
            if news.first().is_some_and(|told| is_full(batch, told.encoded(codec).len(), budget_bytes)) {
                return Flow::More;
            }
            place.told = Some(up_to);
            // What belongs together is numbered together; what finds no room in this message goes with the next.
            let mut is_cut = false;
            for told in news {
                if self.journal.is_exhausted() {
                    return Flow::More;
                }
                place.last = self.journal.next();
                if presence.last <= self.journal.floor() {
                    presence.awaited = Some((place.last, now_ms + HOLD_MS));
                }
                presence.last = place.last;
                let told = self.journal.number_presence(told, self.payer.as_ref()).encoded(codec);
                is_cut |= is_full(batch, told.len(), budget_bytes);
                if !is_cut {
                    batch.push(told);
                }
            }
            if is_cut {
                return Flow::More;
            }
        }
        Flow::Done
    }

    /// Gives back what a session costs that takes part nowhere.
    fn forget_presence_of_none(&mut self) {
        let is_idle = |presence: &Presence| {
            presence.places.is_empty()
                && presence.member.info.is_none()
                && !presence.is_unacknowledged(&self.journal)
        };
        if self.presence.as_deref().is_some_and(is_idle) {
            self.presence = None;
        }
    }
}
