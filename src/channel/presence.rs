//! Who takes part in a channel, and what changed lately.
//!
//! A [`Roster`] lists the sessions that asked to take part; they are the ones that are told. Each change has a number,
//! and a ring holds the newest, so that whoever was told up to a number pulls the net of what came after: who is new,
//! who is gone, and not who came and went meanwhile. Whoever has missed more than the ring is told everybody.
//!
//! What is told is encoded once per codec and shared by all who are told the same ([`Told`]). It lives for as long as
//! somebody has not acknowledged it, and what all of it costs is booked in one [`Ledger`].
//!
//! What is left out: for how long a session that lost its link is still here (`session`), and other nodes (`broker`).

use std::{
    collections::VecDeque,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use hashbrown::HashMap;
use throughline_wire::{ChannelName, Codec, Item, Member, Presence, PresenceKind, SessionId, bounds};

use super::Listener;
use crate::limits::Meter;

/// How many changes a ring holds at most: what a burst may bring between two pulls without everybody being told everybody.
const CHANGES: usize = 512;

/// How many it holds however few take part. Of more than twice the members no net is worth its room: all are told as soon.
const FEWEST_CHANGES: usize = 16;

/// The most that the members of a roster take as text, in bytes: half of what every client takes as one frame.
const ROSTER_BYTES: usize = 512 * 1024;

/// How many answers are remembered for whoever asks the same: sessions that keep up ask in step.
const ANSWERS: usize = 4;

/// The members of one channel.
#[derive(Default)]
pub(super) struct Roster {
    /// The number of the newest change.
    version: u64,
    seats: HashMap<SessionId, Seat>,
    /// The newest changes, oldest first; the last one has number `version`.
    changes: VecDeque<Change>,
    bytes: usize,
    answers: VecDeque<Answer>,
}

struct Seat {
    /// The number of the change by which it came.
    since: u64,
    member: Arc<Member>,
    listener: Arc<dyn Listener>,
    payer: Option<Arc<Meter>>,
    bytes: usize,
}

struct Change {
    is_join: bool,
    member: Arc<Member>,
}

/// What was told to somebody who had been told up to `from`.
struct Answer {
    from: Option<u64>,
    told: Vec<Weak<Told>>,
}

/// Members, each shared with whoever else names it.
type Members = Vec<Arc<Member>>;

/// How many may take part, and whom a newcomer counts for.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    /// So many in all.
    pub(crate) members: usize,
    /// Its user, or the address of whoever is nobody; `None` where that is not counted.
    pub(crate) payer: Option<Arc<Meter>>,
    /// So many who count for the same; 0 is no bound.
    pub(crate) of_payer: usize,
}

/// Why there is no room for one more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Crowded {
    /// As many take part as may, or as their names have room for.
    Channel,
    /// As many as may who count for the same.
    Payer,
}

/// One presence, ready to be sent: shared by the journals of all sessions that are told it.
#[derive(Debug)]
pub struct Told {
    channel: ChannelName,
    text: Bytes,
    binary: OnceLock<Bytes>,
    ledger: Arc<Ledger>,
}

/// What the presences cost that somebody has not acknowledged yet, in bytes: each once, however many wait for it.
#[derive(Debug, Default)]
pub struct Ledger(AtomicU64);

impl Ledger {
    /// The sum.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Roster {
    /// An empty roster whose changes go on counting after `version`.
    pub(super) fn after(version: u64) -> Self {
        Self { version, ..Self::default() }
    }

    pub(super) const fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn len(&self) -> usize {
        self.seats.len()
    }

    /// Whether there is room for one more.
    pub(super) fn admits(&self, room: &Room) -> Result<(), Crowded> {
        let most = room.members.min(bounds::PRESENCE_MEMBERS);
        if self.seats.len() >= most || self.bytes >= ROSTER_BYTES {
            return Err(Crowded::Channel);
        }
        let Some(payer) = room.payer.as_ref().filter(|_| room.of_payer > 0) else { return Ok(()) };
        // Counted when it is asked, which is less than it takes to tell a newcomer everybody.
        let payers = self.seats.values().filter_map(|seat| seat.payer.as_ref());
        let held = payers.filter(|of_seat| Arc::ptr_eq(of_seat, payer)).count();
        if held < room.of_payer { Ok(()) } else { Err(Crowded::Payer) }
    }

    /// Takes a member in; says whether it was not there.
    pub(super) fn join(
        &mut self,
        member: &Arc<Member>,
        listener: Arc<dyn Listener>,
        room: &Room,
    ) -> Result<bool, Crowded> {
        if self.seats.contains_key(&member.session) {
            return Ok(false);
        }
        self.admits(room)?;
        let bytes = text_bytes(member);
        if self.bytes + bytes > ROSTER_BYTES {
            return Err(Crowded::Channel);
        }
        let (since, payer) = (self.version + 1, room.payer.clone());
        let seat = Seat { since, member: Arc::clone(member), listener, payer, bytes };
        self.seats.insert(member.session, seat);
        self.bytes += bytes;
        self.note(true, Arc::clone(member));
        Ok(true)
    }

    /// Lets a member go; says whether it was there.
    pub(super) fn leave(&mut self, session: SessionId) -> bool {
        let Some(seat) = self.seats.remove(&session) else { return false };
        self.bytes -= seat.bytes;
        self.note(false, seat.member);
        true
    }

    /// Everybody, in the order in which they came.
    pub(super) fn members(&self) -> Members {
        let mut seats: Vec<&Seat> = self.seats.values().collect();
        seats.sort_unstable_by_key(|seat| seat.since);
        seats.into_iter().map(|seat| Arc::clone(&seat.member)).collect()
    }

    /// Those who are to be woken.
    pub(super) fn listeners(&self) -> impl Iterator<Item = &Arc<dyn Listener>> {
        self.seats.values().map(|seat| &seat.listener)
    }

    /// What to tell somebody who was told up to `from`, or nothing yet: at most a leave and a join, or everybody.
    pub(super) fn news(
        &mut self,
        channel: &ChannelName,
        from: Option<u64>,
        ledger: &Arc<Ledger>,
    ) -> Vec<Arc<Told>> {
        let answer = self.answers.iter().find(|answer| answer.from == from);
        if let Some(told) = answer.and_then(|answer| answer.told.iter().map(Weak::upgrade).collect()) {
            return told;
        }
        let presence = |kind, members: Members, count: usize| {
            let members = members.iter().map(|member| Member::clone(member)).collect();
            Told::new(Presence { channel: channel.clone(), kind, members, count: count as u64 }, ledger)
        };
        let count = self.seats.len();
        let mut told = Vec::new();
        match from.and_then(|from| self.net(from)) {
            None => told.push(presence(PresenceKind::State, self.members(), count)),
            Some((gone, new)) => {
                let between = count - new.len();
                if !gone.is_empty() {
                    told.push(presence(PresenceKind::Leave, gone, between));
                }
                if !new.is_empty() {
                    told.push(presence(PresenceKind::Join, new, count));
                }
            }
        }
        self.answers.retain(|answer| answer.from != from);
        self.answers.truncate(ANSWERS - 1);
        self.answers.push_front(Answer { from, told: told.iter().map(Arc::downgrade).collect() });
        told
    }

    /// Who is gone and who is new since change `from`, in the order in which they went and came; `None` where the ring
    /// does not reach so far back.
    fn net(&self, from: u64) -> Option<(Members, Members)> {
        let missed = usize::try_from(self.version.checked_sub(from)?).ok()?;
        let changes = self.changes.range(self.changes.len().checked_sub(missed)?..);
        let mut first = HashMap::new();
        for change in changes.clone() {
            first.entry(change.member.session).or_insert(change.is_join);
        }
        // Whoever came back, or went again, is where it was: the last change undoes the first one.
        let (mut gone, mut new) = (Vec::new(), Vec::new());
        for change in changes.rev() {
            match first.remove(&change.member.session) {
                Some(true) if change.is_join => new.push(Arc::clone(&change.member)),
                Some(false) if !change.is_join => gone.push(Arc::clone(&change.member)),
                _ => {}
            }
        }
        gone.reverse();
        new.reverse();
        Some((gone, new))
    }

    fn note(&mut self, is_join: bool, member: Arc<Member>) {
        self.version += 1;
        self.answers.clear(); // they end at the change before
        self.changes.push_back(Change { is_join, member });
        let most = (2 * self.seats.len()).clamp(FEWEST_CHANGES, CHANGES);
        let surplus = self.changes.len().saturating_sub(most);
        self.changes.drain(..surplus);
    }
}

impl Told {
    fn new(presence: Presence, ledger: &Arc<Ledger>) -> Arc<Self> {
        let channel = presence.channel.clone();
        let text = Codec::Json.encode_item(&Item::Presence(presence));
        let told = Self { channel, text, binary: OnceLock::new(), ledger: Arc::clone(ledger) };
        ledger.0.fetch_add(told.cost(), Ordering::Relaxed);
        Arc::new(told)
    }

    /// The channel that it is about.
    pub const fn channel(&self) -> &ChannelName {
        &self.channel
    }

    /// The presence as an item, ready for a batch of this codec.
    pub fn encoded(&self, codec: Codec) -> &Bytes {
        match codec {
            Codec::Json => &self.text,
            Codec::Bincode => self.binary.get_or_init(|| codec.encode_item(&self.item())),
        }
    }

    fn item(&self) -> Item {
        match Codec::Json.decode_item(&self.text) {
            Ok(item) => item,
            Err(error) => unreachable!("what was encoded can be read: {error}"),
        }
    }

    /// What it is booked at: its text twice, since the binary form is of the same order.
    pub(crate) fn cost(&self) -> u64 {
        (size_of::<Self>() + 2 * self.text.len()) as u64
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.ledger.0.fetch_sub(self.cost(), Ordering::Relaxed);
    }
}

/// What a member takes in a presence, as text.
fn text_bytes(member: &Member) -> usize {
    let channel = ChannelName::parse("a").expect("a channel's name");
    let presence =
        |members| Presence { channel: channel.clone(), kind: PresenceKind::State, members, count: 0 };
    let encoded = |members| Codec::Json.encode_item(&Item::Presence(presence(members))).len();
    encoded(vec![member.clone()]) - encoded(Vec::new()) + 1
}

#[cfg(test)]
mod tests {
    use throughline_wire::Json;

    use super::*;

    struct Nobody;
    impl Listener for Nobody {
        fn ready(&self) {}
    }

    struct Gathering {
        roster: Roster,
        ledger: Arc<Ledger>,
    }

    impl Gathering {
        fn new() -> Self {
            Self { roster: Roster::default(), ledger: Arc::default() }
        }

        fn join(&mut self, number: u16) {
            self.roster.join(&member(number), Arc::new(Nobody), &room_for(5_000)).expect("there is room");
        }

        fn leave(&mut self, number: u16) {
            assert!(self.roster.leave(member(number).session));
        }

        fn news(&mut self, from: Option<u64>) -> Vec<Arc<Told>> {
            self.roster.news(&ChannelName::parse("room").unwrap(), from, &self.ledger)
        }

        /// What is told, as `join 3 4 of 2`.
        fn lines(&mut self, from: u64) -> Vec<String> {
            self.news(Some(from)).iter().map(|told| line(told)).collect()
        }
    }

    fn room_for(members: usize) -> Room {
        Room { members, payer: None, of_payer: 0 }
    }

    fn line(told: &Told) -> String {
        let Item::Presence(presence) = told.item() else { panic!("{told:?}") };
        let number = |member: &Member| {
            let bytes = member.session.as_bytes();
            format!(" {}", u16::from_be_bytes([bytes[0], bytes[1]]))
        };
        let names: String = presence.members.iter().map(number).collect();
        format!("{}{names} of {}", presence.kind.as_str(), presence.count)
    }

    fn member(number: u16) -> Arc<Member> {
        let mut id = [0; 16];
        id[..2].copy_from_slice(&number.to_be_bytes());
        Arc::new(Member { session: SessionId::from_random(id), user: None, info: None })
    }

    #[test]
    fn changes_between_two_pulls_are_told_as_their_net() {
        let mut room = Gathering::new();
        (1..=3).for_each(|number| room.join(number)); // up to 3
        room.join(4); // and goes again
        room.leave(2);
        room.leave(4);
        room.leave(1); // and comes back
        room.join(5);
        room.join(1);
        assert_eq!(room.lines(3), ["leave 2 of 2", "join 5 of 3"]);
        assert_eq!(room.lines(8), ["join 1 of 3"]);
        assert_eq!(room.lines(9), [""; 0]);
        let state = room.news(None);
        assert_eq!(line(&state[0]), "state 3 5 1 of 3", "in the order in which they came");
    }

    #[test]
    fn whoever_missed_more_than_the_ring_holds_is_told_everybody() {
        let mut room = Gathering::new();
        (0..=CHANGES as u16).for_each(|number| room.join(number));
        assert!(room.lines(1)[0].starts_with("join 1 2 3"));
        assert!(room.lines(0)[0].starts_with("state 0 1 2"));
    }

    #[test]
    fn a_ring_is_no_longer_than_its_members_are_worth() {
        let mut room = Gathering::new();
        room.join(0);
        for number in 1..=300 {
            room.join(number);
            room.leave(number);
        }
        assert_eq!(room.roster.changes.len(), FEWEST_CHANGES, "whoever comes and goes leaves no more behind");
        assert_eq!(room.lines(601 - FEWEST_CHANGES as u64), [""; 0]);
        assert_eq!(room.lines(600 - FEWEST_CHANGES as u64), ["state 0 of 1"]);
        (301..=400).for_each(|number| room.join(number));
        assert!(room.roster.changes.len() > 100, "a room that fills remembers who came");
        (302..=400).for_each(|number| room.leave(number));
        assert_eq!(room.roster.changes.len(), FEWEST_CHANGES);
    }

    #[test]
    fn what_many_are_told_is_made_once_and_booked_until_the_last_has_it() {
        let mut room = Gathering::new();
        room.join(1);
        let (first, second) = (room.news(Some(0)), room.news(Some(0)));
        assert!(Arc::ptr_eq(&first[0], &second[0]));
        let booked = room.ledger.bytes();
        assert!(booked > 0);
        drop(first);
        assert_eq!(room.ledger.bytes(), booked);
        drop(second);
        assert_eq!(room.ledger.bytes(), 0, "the roster keeps none of it");
        room.join(2);
        assert_eq!(room.lines(0), ["join 1 2 of 2"], "an answer counts up to the next change");
    }

    #[test]
    fn a_roster_is_bounded_by_count_and_by_bytes() {
        let mut roster = Roster::default();
        let mut join = |member: &Arc<Member>, most| roster.join(member, Arc::new(Nobody), &room_for(most));
        assert_eq!([join(&member(1), 2), join(&member(2), 2)], [Ok(true), Ok(true)]);
        assert_eq!(join(&member(2), 2), Ok(false), "it is there");
        assert_eq!(join(&member(3), 2), Err(Crowded::Channel));
        let info = Json::parse(format!("\"{}\"", "x".repeat(1_000)).as_bytes()).unwrap();
        let large = |number| Arc::new(Member { info: Some(info.clone()), ..Member::clone(&member(number)) });
        let taken = (3..5_000).take_while(|number| join(&large(*number), 5_000).is_ok()).count();
        let state = roster.news(&ChannelName::parse("room").unwrap(), None, &Arc::default());
        let bytes = state[0].encoded(Codec::Json).len();
        assert!(
            (ROSTER_BYTES - 2_000..ROSTER_BYTES + 300).contains(&bytes),
            "{taken} of them are {bytes} bytes"
        );
    }

    #[test]
    fn who_counts_for_the_same_has_so_many_seats_and_the_others_theirs() {
        let mut roster = Roster::default();
        let (ada, bob) = (Arc::<Meter>::default(), Arc::<Meter>::default());
        let mut join = |number, payer: Option<&Arc<Meter>>, of_payer| {
            let room = Room { members: 10, payer: payer.cloned(), of_payer };
            roster.join(&member(number), Arc::new(Nobody), &room)
        };
        assert_eq!([join(1, Some(&ada), 2), join(2, Some(&ada), 2)], [Ok(true), Ok(true)]);
        assert_eq!(join(3, Some(&ada), 2), Err(Crowded::Payer));
        assert_eq!(join(2, Some(&ada), 2), Ok(false), "it is there");
        assert_eq!([join(4, Some(&bob), 2), join(5, None, 2), join(6, None, 2)], [Ok(true); 3]);
        assert_eq!(join(7, Some(&ada), 0), Ok(true), "0 is no bound");
        assert!(roster.leave(member(1).session) && roster.leave(member(2).session));
        let room = Room { members: 10, payer: Some(Arc::clone(&ada)), of_payer: 2 };
        assert_eq!(
            roster.join(&member(8), Arc::new(Nobody), &room),
            Ok(true),
            "a seat that was left is free"
        );
    }

    #[test]
    fn both_forms_say_the_same() {
        let mut room = Gathering::new();
        room.join(1);
        let state = room.news(None);
        let binary = Codec::Bincode.decode_item(state[0].encoded(Codec::Bincode)).unwrap();
        assert_eq!(binary, state[0].item());
    }
}
