//! What is said and not kept, both ways: volatiles.
//!
//! Up, a volatile is taken from the link that items flow on, or a post, for a channel that the session holds and its
//! user may send to. The answer to that is remembered with the subscription for half a minute, since a volatile may come
//! many times a second and rights may be taken away. Nothing is answered: what may not be said is dropped and counted.
//!
//! Down, the session has a number for each channel, that of the last volatile that it passed on or passed over. A link
//! that has caught up with its items pulls what is newer and still news. A poll that comes back within a second
//! therefore misses nothing, and one that comes later is told nothing old.

use bytes::BytesMut;
use throughline_wire::{ChannelName, Sender, frame::VolatileUp};

use super::{Dropped, Effect, Now, Session, Via, link::Standing, transmit::Flow};
use crate::channel::NewVolatile;

/// What a session may say in one channel, and has said. There once it says something.
#[derive(Debug, Default)]
pub(super) struct Speech {
    grant: Grant,
    /// The highest `seq`: datagrams overtake one another.
    seq: Option<u64>,
}

/// Whether the user may send to the channel.
#[derive(Debug)]
enum Grant {
    /// It is being asked; the newest volatile waits for the answer.
    Asked(Box<NewVolatile>),
    /// It was answered, which counts until then.
    Answered { is_allowed: bool, until_ms: u64 },
}

impl Default for Grant {
    fn default() -> Self {
        Self::Answered { is_allowed: false, until_ms: 0 } // long ago
    }
}

/// How long an answer counts: for so long somebody who may not send any more can still be heard.
const ANSWER_MS: u64 = 30_000;

/// How long it counts that nobody could say: whoever could not is not asked at once again.
const SILENCE_MS: u64 = 1_000;

impl Session {
    /// Takes a volatile, from a message, a post or a datagram. Never answered.
    pub fn handle_volatile(&mut self, now: Now, via: Via, said: VolatileUp) {
        if let Err(dropped) = self.take_volatile(now, via, said) {
            self.effects.push(Effect::Dropped(dropped));
        }
    }

    /// Whether the user may send to a channel, as [`Effect::Permit`] asked; `None` if that could not be found out.
    pub fn permit(&mut self, now: Now, channel: &ChannelName, is_allowed: Option<bool>) {
        let Some(held) = self.held(channel) else { return };
        let Some(speech) = &mut self.subscriptions[held].speech else { return };
        if !matches!(speech.grant, Grant::Asked(_)) {
            return;
        }
        let counts_ms = if is_allowed.is_some() { ANSWER_MS } else { SILENCE_MS };
        let is_allowed = is_allowed == Some(true);
        let answered = Grant::Answered { is_allowed, until_ms: now.mono_ms + counts_ms };
        let Grant::Asked(waiting) = std::mem::replace(&mut speech.grant, answered) else { return };
        self.effects.push(if is_allowed {
            Effect::Volatile { channel: channel.clone(), volatile: *waiting }
        } else {
            Effect::Dropped(Dropped::VolatileForbidden)
        });
    }

    fn take_volatile(&mut self, now: Now, via: Via, said: VolatileUp) -> Result<(), Dropped> {
        if let Via::Link(id) = via {
            let link = self.active_link().filter(|link| link.id == id && (link.proven || !link.needs_proof));
            link.ok_or(Dropped::VolatileNotAttached)?; // C7, L10
        }
        let (most, bytes) = (self.config.volatiles_per_second, self.config.volatile_bytes);
        if !self.aside().volatiles.take(now.mono_ms, 1_000, most) {
            return Err(Dropped::VolatileTooOften);
        }
        if said.payload.len() > bytes {
            return Err(Dropped::VolatileTooLarge);
        }
        let held = self.held(&said.channel).ok_or(Dropped::VolatileNotSubscribed)?;
        let speech = self.subscriptions[held].speech.get_or_insert_default();
        if speech.seq.is_some_and(|last| said.seq <= last) {
            return Err(Dropped::VolatileOld);
        }
        speech.seq = Some(said.seq);
        let VolatileUp { channel, name, seq, payload } = said;
        let sender = Sender { user: self.user.clone(), session: self.id };
        let volatile = NewVolatile { name, seq: Some(seq), sender: Some(sender), payload };
        match &mut speech.grant {
            Grant::Asked(waiting) => **waiting = volatile,
            Grant::Answered { is_allowed, until_ms } if now.mono_ms < *until_ms => {
                if !*is_allowed {
                    return Err(Dropped::VolatileForbidden);
                }
                self.effects.push(Effect::Volatile { channel, volatile });
            }
            grant => {
                *grant = Grant::Asked(Box::new(volatile));
                self.effects.push(Effect::Permit(channel));
            }
        }
        Ok(())
    }

    /// Whether there may be volatiles for the active link.
    pub(super) fn has_volatiles(&self) -> bool {
        self.subscriptions.iter().any(|held| held.heard != held.channel.said())
    }

    /// Appends volatiles for the active link, below a budget unless one is larger: one alone where links carry
    /// datagrams. Says whether there are more.
    pub(super) fn transmit_volatiles(
        &mut self,
        now: Now,
        index: usize,
        budget_bytes: usize,
        buffer: &mut BytesMut,
    ) -> Flow {
        let link = &self.links[index];
        let (codec, is_alone) = (link.spec.codec, link.spec.datagrams);
        if link.standing != Standing::Active {
            return Flow::Done;
        }
        let start = buffer.len();
        for held in &mut self.subscriptions {
            let said = held.channel.said();
            if held.heard == said {
                continue;
            }
            let (ring, heard) = (held.channel.volatiles(), held.heard);
            for (number, volatile) in ring.iter().flat_map(|ring| ring.after(heard)) {
                if !volatile.is_stale(now.mono_ms) && volatile.sender() != Some(self.id) {
                    let encoded = volatile.encoded(codec);
                    let written = buffer.len() - start;
                    if written > 0 && (is_alone || written + encoded.len() > budget_bytes) {
                        return Flow::More;
                    }
                    buffer.extend_from_slice(encoded);
                    self.tally.volatiles_sent += 1;
                }
                held.heard = number;
            }
            held.heard = held.heard.max(said); // and what the ring has lost
        }
        Flow::Done
    }
}
