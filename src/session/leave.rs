//! How a session leaves a gateway that stops: politely, once nothing of what its client said is under way.
//!
//! From the word on no command is taken: whoever takes over would not know that it was, and would take it again. What
//! was taken before gets its reply, what waits for the client goes down, and the goodbye comes last, behind all of it.
//! Who leaves when, and what it is told, is the gateway's to say.

use bytes::BytesMut;

use super::{Goodbye, Now, Output, Session, link::Standing};

/// What a client is told when it leaves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Leave {
    goodbye: Goodbye,
    /// What it shows when it comes back.
    slot: Option<Box<str>>,
}

impl Session {
    /// Takes no more commands, and ends the link that items flow on once those that were taken have their replies and
    /// what is ready has gone down. Its probes are told the same, without the slot. The newest word counts.
    pub fn leave(&mut self, goodbye: Goodbye, slot: Option<Box<str>>) {
        self.aside().leave = Some(Leave { goodbye, slot });
        self.wake_active();
    }

    /// Ends the link of a session that [leaves](Self::leave), whatever is under way.
    pub fn leave_now(&mut self) {
        let Some(index) = self.active_link().and_then(|link| self.link_index(link.id)) else { return };
        if let Some(leave) = self.aside.as_ref().and_then(|aside| aside.leave.as_ref()) {
            let goodbye = leave.goodbye;
            self.say_goodbye(index, goodbye);
        }
    }

    /// Whether items flow on a link, and nobody has asked for its end yet.
    pub fn is_attended(&self) -> bool {
        let stays = |link: &super::Link| link.outbox.goodbye.is_none();
        self.active_link().is_some_and(stays) && !self.is_leaving()
    }

    /// Whether it was told to [leave](Self::leave), or has left.
    pub(super) fn is_leaving(&self) -> bool {
        self.aside.as_ref().is_some_and(|aside| aside.leave.is_some())
    }

    /// Whether nothing is under way that its client waits for.
    pub(super) fn may_leave(&self) -> bool {
        self.is_leaving() && self.commands.sending.is_empty() && self.commands.subscribing == 0
    }

    /// What the client of a link is to show when it comes back, if that is why it ends.
    pub(super) fn slot_of(&self, index: usize) -> Option<Box<str>> {
        let link = &self.links[index];
        let leave = self.aside.as_ref()?.leave.as_ref()?;
        let is_told = link.standing == Standing::Active && link.outbox.goodbye == Some(leave.goodbye);
        leave.slot.clone().filter(|_| is_told)
    }

    /// The last words on the link that items flow on, behind what is in `buffer`.
    pub(super) fn transmit_leave(&mut self, now: Now, index: usize, buffer: &mut BytesMut) -> Output {
        let Some(goodbye) = self.aside().leave.as_ref().map(|leave| leave.goodbye) else {
            return Output::Idle;
        };
        for other in 0..self.links.len() {
            if self.links[other].standing == Standing::Probe {
                self.say_goodbye(other, goodbye);
            }
        }
        self.links[index].outbox.goodbye = Some(goodbye);
        let slot = self.slot_of(index);
        self.transmit_goodbye(now, index, slot, buffer)
    }
}
