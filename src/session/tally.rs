//! What a session counts for metrics, until its driver takes it.

use throughline_wire::GapReason;

/// What happened since it was last [taken](super::Session::take_tally), for metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Items put into messages, repetitions included.
    pub items_sent: u32,
    /// Items acknowledged.
    pub items_acknowledged: u32,
    /// Gaps told because a log no longer holds the events.
    pub gaps_trimmed: u32,
    /// Gaps told because a log began anew.
    pub gaps_epoch: u32,
    /// Gaps told in place of events that newer ones of their keys stand for.
    pub gaps_conflated: u32,
    /// Gaps told because the session fell too far behind.
    pub gaps_overflow: u32,
    /// Events left out of channels of which a session that fell behind gets the latest.
    pub left_out_latest: u32,
    /// Events left out of channels that tell a session that fell behind a gap.
    pub left_out_gap: u32,
    /// Volatiles put into messages or datagrams.
    pub volatiles_sent: u32,
    /// How often there was an event to send and the window of those that are not acknowledged was full.
    pub windows_full: u32,
}

impl Tally {
    /// Counts a gap.
    pub(super) const fn gap(&mut self, reason: GapReason) {
        let count = match reason {
            GapReason::Trimmed => &mut self.gaps_trimmed,
            GapReason::Conflated => &mut self.gaps_conflated,
            GapReason::Overflow => &mut self.gaps_overflow,
            _ => &mut self.gaps_epoch,
        };
        *count += 1;
    }

    /// Counts events that a session was not sent since it had fallen behind.
    pub(super) const fn left_out(&mut self, reason: GapReason, events: u64) {
        let count = match reason {
            GapReason::Conflated => &mut self.left_out_latest,
            _ => &mut self.left_out_gap,
        };
        let events = if events > u32::MAX as u64 { u32::MAX } else { events as u32 };
        *count = count.saturating_add(events);
    }
}
