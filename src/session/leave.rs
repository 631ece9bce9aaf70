//! How a session leaves a gateway that stops: politely, once nothing of what its client said is under way.
//!
//! From the word on no command is taken: whoever takes over would not know that it was, and would take it again. What
//! was taken before gets its reply, what waits for the client goes down, and the goodbye comes last, behind all of it.
//! Who leaves when, and what it is told, is the gateway's to say.

use bytes::BytesMut;
use throughline_wire::{Codec, DownFrame, frame::TransportOffer};

use super::{Goodbye, Now, Output, Phase, Session, link::Standing};

/// What a client is told when it leaves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leave {
    /// Why, and when to come back.
    pub goodbye: Goodbye,
    /// When that is, by the clock that never goes back: [again](Self::again) it is told what is left until then.
    pub back_at_ms: u64,
    /// What it shows then.
    pub slot: Option<Box<str>>,
    /// By what it is to come back, in order of preference; `None` for what it had.
    pub transports: Option<Vec<TransportOffer>>,
}

impl Session {
    /// Takes no more commands, and ends the link that items flow on once those that were taken have their replies and
    /// what is ready has gone down. Its probes are told the same, but for the slot. The newest word counts.
    pub fn leave(&mut self, leave: Leave) {
        self.aside().leave = Some(leave);
        self.wake_active();
    }

    /// Ends the link of a session that [leaves](Self::leave), whatever is under way.
    pub fn leave_now(&mut self) {
        let Some(index) = self.active_link().and_then(|link| self.link_index(link.id)) else { return };
        if let Some(goodbye) = self.leaving().map(|leave| leave.goodbye) {
            self.say_goodbye(index, goodbye);
        }
    }

    /// Whether items flow on a link, and nobody has asked for its end yet.
    pub fn is_attended(&self) -> bool {
        let stays = |link: &super::Link| link.outbox.goodbye.is_none();
        self.active_link().is_some_and(stays) && self.leaving().is_none()
    }

    /// Since when it has no link because its last poll was answered, and not with a goodbye: its client is most likely on
    /// its way to the next.
    pub fn between_polls_since(&self) -> Option<u64> {
        if !self.is_between_polls || self.active_link().is_some() {
            return None;
        }
        match self.phase {
            Phase::Provisional { until_ms } => Some(until_ms.saturating_sub(self.config.provisional_ms)),
            Phase::Established { detached_ms } => Some(detached_ms),
            Phase::Ended => None,
        }
    }

    /// What it was told to [leave](Self::leave) with, also once it has left.
    pub fn leaving(&self) -> Option<&Leave> {
        self.aside.as_ref()?.leave.as_ref()
    }

    /// Whether nothing is under way that its client waits for.
    pub(super) fn may_leave(&self) -> bool {
        self.leaving().is_some() && self.commands.sending.is_empty() && self.commands.subscribing == 0
    }

    /// What the client of a link is told beside the goodbye, if it is told to leave.
    pub(super) fn leave_of(&self, index: usize) -> Option<&Leave> {
        let link = &self.links[index];
        let is_told = |leave: &&Leave| link.outbox.goodbye == Some(leave.goodbye);
        self.leaving().filter(is_told).filter(|_| link.standing == Standing::Active)
    }

    /// The last words on the link that items flow on, behind what is in `buffer`.
    pub(super) fn transmit_leave(&mut self, now: Now, index: usize, buffer: &mut BytesMut) -> Output {
        let Some(goodbye) = self.leaving().map(|leave| leave.goodbye) else { return Output::Idle };
        for other in 0..self.links.len() {
            if self.links[other].standing == Standing::Probe {
                self.say_goodbye(other, goodbye);
            }
        }
        self.links[index].outbox.goodbye = Some(goodbye);
        self.transmit_goodbye(now, index, buffer)
    }
}

impl Leave {
    /// What whoever comes back before its time is told: the same, and what is left of the time. `None` once it has come.
    pub fn again(&self, now: Now) -> Option<Self> {
        let left_ms = self.back_at_ms.checked_sub(now.mono_ms).filter(|left_ms| *left_ms > 0)?;
        let Goodbye::Drain { spread_ms, .. } = self.goodbye else { return None };
        Some(Self { goodbye: Goodbye::Drain { delay_ms: left_ms, spread_ms }, ..self.clone() })
    }

    pub(super) fn encode(&self, codec: Codec, buffer: &mut BytesMut) {
        let Some(mut retry) = self.goodbye.retry() else { return };
        retry.slot.clone_from(&self.slot);
        retry.transports.clone_from(&self.transports);
        codec.encode_down(&DownFrame::Retry(retry), buffer);
    }
}
