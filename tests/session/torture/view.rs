//! What one client sees of one channel, and whether that may be.
//!
//! Each event after the place of the subscription comes once, in order, or lies in one gap that was told. There is no
//! third way: a view knows at every moment what must come next.

use throughline::session::{SlowPolicy, SlowRule};
use throughline_wire::{Event, Gap, GapReason, Subscribed};

use super::truth::{History, Place, event_id};

/// A channel that a client holds.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// Everything up to here came, or was told to be missing.
    pub(super) place: Place,
    /// Whether the session has said so under its present numbers.
    pub(super) is_confirmed: bool,
    /// Whether a gap was announced: it is the channel's next item.
    is_gap_due: bool,
}

impl View {
    /// A channel that has just been granted.
    pub(super) fn granted(history: &History, subscribed: &Subscribed) -> Self {
        let place = history.place(subscribed.position);
        Self { place, is_confirmed: true, is_gap_due: !subscribed.recovered }
    }

    /// A channel that is known from a gap alone: everything before it is unknown.
    pub(super) fn told(history: &History, gap: &Gap) -> Self {
        Self { place: history.place(gap.to), is_confirmed: true, is_gap_due: false }
    }

    /// Said again, by a session that was rebuilt: where the client stated to be.
    pub(super) fn confirm(&mut self, history: &History, subscribed: &Subscribed) {
        assert!(!self.is_confirmed, "{subscribed:?}: nobody asked");
        assert_eq!(history.place(subscribed.position), self.place, "taken up where the client stated to be");
        self.is_confirmed = true;
        self.is_gap_due = !subscribed.recovered;
    }

    /// Said again to a client that stated less than it has since: a gap from nowhere says how far.
    pub(super) fn await_gap(&mut self) {
        assert!(!self.is_confirmed, "nobody asked");
        self.is_confirmed = true;
        self.is_gap_due = true;
    }

    /// Said again, since the client asked for what it has.
    pub(super) fn is_at(&self, history: &History, subscribed: &Subscribed) {
        assert_eq!(
            history.place(subscribed.position),
            self.place,
            "a channel that is held: its present place"
        );
    }

    pub(super) fn event(&mut self, history: &History, event: &Event) {
        assert!(self.is_confirmed, "{}: an event before `subscribed`", event.channel);
        assert!(!self.is_gap_due, "{}: `recovered: false`, then an event instead of the gap", event.channel);
        let next = Place { offset: self.place.offset + 1, ..self.place };
        assert_eq!(event.offset.get(), next.offset, "{}: the event after {:?}", event.channel, self.place);
        assert_eq!(Some(event_id(&event.payload)), history.id(next), "{}: what {next:?} says", event.channel);
        self.place = next;
    }

    /// A gap, told by a session that is behind in a channel past these bounds.
    pub(super) fn gap(&mut self, history: &History, gap: &Gap, behind: &SlowRule) {
        assert!(self.is_confirmed, "a gap before `subscribed`: {gap:?}");
        match gap.from {
            Some(from) => assert_eq!(history.place(from), self.place, "a gap begins where the client is"),
            None => assert!(!gap.exact, "what begins nowhere cannot be exact: {gap:?}"),
        }
        let to = history.place(gap.to);
        assert!(to > self.place || gap.from.is_none() && to == self.place, "{gap:?} at {:?}", self.place);
        if gap.reason == GapReason::Overflow && !gap.exact {
            // L13: an upper bound, whatever is held.
        } else if let GapReason::Conflated | GapReason::Overflow = gap.reason {
            assert_eq!(to.era, self.place.era, "what is left out is of one epoch: {gap:?}");
            assert!(gap.exact, "what is left out is told exactly: {gap:?}");
            assert!(!self.is_gap_due, "what is not held is told before what is left out: {gap:?}");
            self.left_out(history, gap, to, behind);
        } else {
            // What is still held is replayed: such a gap names only what is gone.
            assert!(to.offset == 0 || history.is_gone(to), "a gap over what is held: {gap:?}");
            let is_within = to.era == self.place.era;
            assert_eq!(gap.exact, is_within, "exact within an epoch, unknown over a change of it: {gap:?}");
        }
        self.place = to;
        self.is_gap_due = false;
    }

    /// What a session that fell behind was not sent, by the policy of the channel.
    fn left_out(&self, history: &History, gap: &Gap, to: Place, behind: &SlowRule) {
        if gap.reason == GapReason::Conflated {
            assert_eq!(history.policy, SlowPolicy::Latest, "{gap:?}");
            assert!(history.are_outdated(self.place, to), "the newest of a key is left out: {gap:?}");
        } else {
            assert_eq!(history.policy, SlowPolicy::Gap, "{gap:?}");
            assert!(history.may_be_behind(self.place, behind), "{gap:?}, although it is not behind");
            let next = Place { offset: to.offset + 1, ..to };
            assert!(history.id(next).is_some(), "the newest is left out: {gap:?}");
        }
    }
}
