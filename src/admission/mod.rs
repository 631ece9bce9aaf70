//! How many sessions may be opened and taken up again each second, and when whoever is too many may come.
//!
//! Virtual scheduling (GCRA): a queue is one number, the time of its next free place. Whoever finds it no further ahead
//! than the burst is let in; whoever does not gets the next place as an appointment, a [`Slot`], which says so itself:
//! nothing is kept of it here. Past the [horizon](HORIZON_MS) nobody gets an appointment, but a window to come back in.
//!
//! Resumes go before newcomers, in two numbers. The queue of resumes counts resumes alone, so no resume ever waits for a
//! newcomer. The queue of everybody counts both, and newcomers are placed at its end: behind every resume that was
//! there before them. What newcomers can take from the machine is what was promised to them before a herd came: at
//! worst the rate once more, for the length of the horizon, and given back afterwards, as they are placed behind all
//! that was let in.
//!
//! Left out on purpose: who the caller is. The gateway has checked the token or the credentials, and says what it found.
//! See docs/decisions/0028-admission.md.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod returns;
mod slot;
#[cfg(test)]
mod tests;

pub use slot::{Holder, Slot, SlotFault};

use self::returns::Returns;
use crate::session::{Now, TokenKeys};

/// How far ahead a place is given, in milliseconds.
///
/// A client that is sent away longer may have changed its network, its tab or its mind by then, and what it was
/// promised would be left empty.
pub const HORIZON_MS: u64 = 60_000;

/// How long before its time a slot is good, in milliseconds: for clocks that run at different speed.
pub const EARLY_MS: u64 = 1_000;

/// How long after its time a slot is good, in milliseconds: a browser lets the timers of a hidden tab run once a minute.
pub const LATE_MS: u64 = 60_000;

/// How many milliseconds of places may come back at once on their slots, for whoever comes late together.
const RETURNS_MS: u64 = 1_000;

/// The furthest that anybody is sent away without a place, in milliseconds.
const LONGEST_MS: u64 = 300_000;

/// The shortest window, in milliseconds.
const SHORTEST_MS: u64 = 1_000;

const NS: u64 = 1_000_000;

/// Over how long this many sessions are to come back, where one is let in every `every_ns`, in milliseconds.
///
/// That is a twentieth longer than the rate needs: at exactly the rate the crowds that chance brings would add up to a
/// queue, in which everybody is sent away once.
const fn evenly_ms(sessions: u64, every_ns: u64) -> u64 {
    (sessions.saturating_mul(every_ns) / NS).saturating_mul(21) / 20
}

/// Before whom a caller goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Class {
    /// Shows a genuine token of ours, be its session held or gone: after a crash these are the herd.
    Resume,
    /// Shows none.
    Newcomer,
}

impl Class {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Resume, Self::Newcomer];

    /// The word for metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resume => "resume",
            Self::Newcomer => "newcomer",
        }
    }
}

/// What becomes of a caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is let in, and has taken a place.
    Admitted,
    /// It is let in on the place that it was given before.
    Kept,
    /// It has a place, `delay_ms` from now.
    Appointed {
        /// When to come back.
        delay_ms: u64,
        /// What to show then.
        slot: Slot,
    },
    /// It has none: it may come back and see, at a random time.
    Windowed {
        /// When to come back at the earliest.
        delay_ms: u64,
        /// How much later at the latest.
        spread_ms: u64,
    },
}

impl Verdict {
    /// Every word of [`as_str`](Self::as_str).
    pub const WORDS: [&'static str; 4] = ["admitted", "kept", "appointed", "windowed"];

    /// How long its caller has to wait; `None` for whoever may come in. A plain client knows no spread and can show no
    /// slot: it is sent to the middle of its window.
    pub const fn wait(&self, plain: bool) -> Option<Wait> {
        let (delay_ms, spread_ms, slot) = match *self {
            Self::Admitted | Self::Kept => return None,
            Self::Appointed { delay_ms, .. } if plain => (delay_ms, 0, None),
            Self::Appointed { delay_ms, slot } => (delay_ms, 0, Some(slot)),
            Self::Windowed { delay_ms, spread_ms } if plain => (delay_ms + spread_ms / 2, 0, None),
            Self::Windowed { delay_ms, spread_ms } => (delay_ms, spread_ms, None),
        };
        Some(Wait { delay_ms, spread_ms, slot })
    }

    /// The word for metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Kept => "kept",
            Self::Appointed { .. } => "appointed",
            Self::Windowed { .. } => "windowed",
        }
    }
}

/// How long a caller has to wait, as it is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wait {
    /// When to come back.
    pub delay_ms: u64,
    /// And a random part of this.
    pub spread_ms: u64,
    /// What to show then.
    pub slot: Option<Slot>,
}

/// A queue: when its next place is free, in nanoseconds of the clock that never goes back.
#[derive(Clone, Copy, Default, Debug)]
struct Queue {
    next_ns: u64,
}

impl Queue {
    /// How long its next place is away.
    const fn ahead_ns(self, now_ns: u64) -> u64 {
        self.next_ns.saturating_sub(now_ns)
    }

    /// Gives a place away.
    const fn take(&mut self, now_ns: u64, every_ns: u64) {
        let place = if self.next_ns > now_ns { self.next_ns } else { now_ns };
        self.next_ns = place.saturating_add(every_ns);
    }
}

/// The door: three numbers for each class, however many knock.
#[derive(Debug)]
pub struct Admission {
    /// From one place to the next.
    every_ns: u64,
    /// How far ahead of the clock a queue may be and still let in.
    burst_ns: u64,
    resumes: Queue,
    everybody: Queue,
    /// Those who were sent away without a place, by class: around when the next of them is sent.
    beyond: [Queue; 2],
    /// Those who came back on a slot, by class: no more of them count than places can have been given.
    redeemed: [Queue; 2],
    /// Those whose session was another gateway's.
    orphans: Returns,
}

impl Admission {
    /// A door that lets `rate` sessions in a second, `burst` of them at once. A burst of 0 is a tenth of the rate, and at
    /// least 32.
    pub fn new(rate: u64, burst: u64) -> Self {
        let every_ns = 1_000 * NS / rate.clamp(1, 1_000 * NS);
        let burst = if burst == 0 { (rate / 10).max(32) } else { burst };
        Self {
            every_ns,
            burst_ns: every_ns.saturating_mul(burst - 1),
            resumes: Queue::default(),
            everybody: Queue::default(),
            beyond: [Queue::default(); 2],
            redeemed: [Queue::default(); 2],
            orphans: Returns::default(),
        }
    }

    /// The reconnect window in milliseconds, for so many sessions: how long they take to be let in, all of them. While a
    /// herd comes back it is wider, for those who are still to come.
    pub fn window_ms(&mut self, now: Now, sessions: u64) -> u64 {
        self.orphans.window_ms(now.mono_ms, sessions, self.every_ns)
    }

    /// Decides on a caller. `holder` is whom a slot can be made out to; without one it gets no place, only a window.
    /// `shown` is what the caller shows as its slot; what was wrong with it is told beside the verdict, and it counts
    /// as if it had shown none.
    pub fn ask(
        &mut self,
        now: Now,
        keys: &TokenKeys,
        class: Class,
        holder: Option<Holder<'_>>,
        shown: Option<&str>,
    ) -> (Verdict, Option<SlotFault>) {
        let now_ns = now.mono_ms.saturating_mul(NS);
        let fault = match shown.map(|shown| self.redeem(now, keys, class, holder, shown)) {
            Some(Ok(())) => return (Verdict::Kept, None),
            Some(Err(fault)) => Some(fault),
            None => None,
        };
        let ahead_ns = self.queue(class).ahead_ns(now_ns);
        let wait_ms = ahead_ns.saturating_sub(self.burst_ns).div_ceil(NS);
        if wait_ms == 0 {
            self.take(class, now_ns);
            return (Verdict::Admitted, fault);
        }
        (self.place(now, keys, class, holder, now_ns, wait_ms), fault)
    }

    /// The [reconnect window](Self::window_ms) from then on, once it was [decided](Self::ask) on a caller for whom a session
    /// is opened beside the `sessions` that there are: whoever is let in by a genuine token is a session that is back.
    pub fn window_after(&mut self, now: Now, class: Class, verdict: &Verdict, sessions: u64) -> u64 {
        let is_in = matches!(verdict, Verdict::Admitted | Verdict::Kept);
        if is_in && class == Class::Resume {
            self.orphans.note(now.mono_ms);
        }
        self.window_ms(now, sessions + u64::from(is_in))
    }

    /// Gives a caller a place `after_ms` from now or later, though there may be one now: for whoever is to come back to
    /// the gateway that takes over from this one. Nobody is let in by it.
    pub fn appoint(
        &mut self,
        now: Now,
        keys: &TokenKeys,
        class: Class,
        holder: Option<Holder<'_>>,
        after_ms: u64,
    ) -> Verdict {
        let there_ns = now.mono_ms.saturating_add(after_ms).saturating_mul(NS);
        let wait_ms = after_ms + self.queue(class).ahead_ns(there_ns).div_ceil(NS);
        self.place(now, keys, class, holder, there_ns, wait_ms)
    }

    /// The next place of a queue, `wait_ms` from now, counted from `from_ns` on; a window where it cannot be had.
    fn place(
        &mut self,
        now: Now,
        keys: &TokenKeys,
        class: Class,
        holder: Option<Holder<'_>>,
        from_ns: u64,
        wait_ms: u64,
    ) -> Verdict {
        match holder {
            Some(holder) if wait_ms <= HORIZON_MS => {
                self.take(class, from_ns);
                let slot = Slot::sign(keys, class, holder, now.wall_ms + wait_ms);
                Verdict::Appointed { delay_ms: wait_ms, slot }
            }
            _ => self.send_away(class, now.mono_ms.saturating_mul(NS), wait_ms),
        }
    }

    /// How far away the next place of a class is, in milliseconds.
    pub fn ahead_ms(&self, now: Now, class: Class) -> u64 {
        self.queue(class).ahead_ns(now.mono_ms.saturating_mul(NS)) / NS
    }

    /// The window for a newcomer whom nothing but its credentials could tell from others, where no credentials can get
    /// it a place any more: so that none need be checked.
    pub fn refuse_unseen(&mut self, now: Now) -> Option<Verdict> {
        let now_ns = now.mono_ms.saturating_mul(NS);
        let ahead_ns = self.everybody.ahead_ns(now_ns).saturating_sub(self.burst_ns);
        let wait_ms = ahead_ns.div_ceil(NS);
        (wait_ms > HORIZON_MS).then(|| self.send_away(Class::Newcomer, now_ns, wait_ms))
    }

    const fn queue(&self, class: Class) -> Queue {
        match class {
            Class::Resume => self.resumes,
            Class::Newcomer => self.everybody,
        }
    }

    const fn take(&mut self, class: Class, now_ns: u64) {
        self.everybody.take(now_ns, self.every_ns);
        if matches!(class, Class::Resume) {
            self.resumes.take(now_ns, self.every_ns);
        }
    }

    /// Each is sent one place further than the one before, so that together they come at the rate; but to a random
    /// time around it, as nothing holds them to it.
    fn send_away(&mut self, class: Class, now_ns: u64, wait_ms: u64) -> Verdict {
        let beyond = &mut self.beyond[class as usize];
        beyond.next_ns = beyond.next_ns.max(now_ns.saturating_add(wait_ms.saturating_mul(NS)));
        if beyond.ahead_ns(now_ns) < LONGEST_MS * NS {
            beyond.take(now_ns, self.every_ns);
        }
        let middle_ms = beyond.ahead_ns(now_ns).div_ceil(NS).max(SHORTEST_MS);
        Verdict::Windowed { delay_ms: middle_ms / 2, spread_ms: middle_ms }
    }

    fn redeem(
        &mut self,
        now: Now,
        keys: &TokenKeys,
        class: Class,
        holder: Option<Holder<'_>>,
        shown: &str,
    ) -> Result<(), SlotFault> {
        let at_ms = Slot::verify(keys, class, holder, shown)?;
        if now.wall_ms + EARLY_MS < at_ms {
            return Err(SlotFault::Early);
        }
        if now.wall_ms > at_ms + LATE_MS {
            return Err(SlotFault::Late);
        }
        let now_ns = now.mono_ms.saturating_mul(NS);
        let redeemed = &mut self.redeemed[class as usize];
        if redeemed.ahead_ns(now_ns) > self.burst_ns.max(RETURNS_MS * NS) {
            return Err(SlotFault::Crowded);
        }
        redeemed.take(now_ns, self.every_ns);
        Ok(())
    }
}
