//! An announced drain: everybody is told when to leave, and the successor is there already.

use throughline::{
    admission::{Admission, Class, Holder},
    session::{Goodbye, Leave},
};
use throughline_wire::SessionId;

use super::{CRASH_MS, Event, Plan, World, run};
use crate::figures::Run;

/// Plays a drain in place of a crash: nobody is away for `down_ms`, which counts for nothing here.
pub fn play_drain(plan: Plan) -> Run {
    let mut world = World::new(Plan { down_ms: 0, ..plan });
    world.places = Some(Admission::new(plan.rate, 1));
    run(world)
}

impl World {
    /// Each session leaves when its place at the successor's door comes, as `src/gateway/drain.rs` has it.
    pub(super) fn drain(&mut self) {
        let mut sessions: Vec<SessionId> = self.sessions.keys().copied().collect();
        sessions.sort_unstable();
        for (at, id) in sessions.into_iter().enumerate() {
            self.push(CRASH_MS + at as u64 * 1_000 / self.plan.rate, Event::Leave(id));
        }
    }

    /// It gets its slot and its goodbye, and is nobody's from then on: the successor does not hold it.
    pub(super) fn leave(&mut self, id: SessionId) {
        let now = self.now();
        let Some(places) = &mut self.places else { return };
        let holder = Some(Holder::Session(id));
        let verdict = places.appoint(now, &self.config.keys, Class::Resume, holder, 0);
        if let (Some(wait), Some((session, _))) = (verdict.wait(false), self.sessions.get_mut(&id)) {
            let goodbye = Goodbye::Drain { delay_ms: wait.delay_ms, spread_ms: wait.spread_ms };
            let slot = wait.slot.map(|slot| slot.to_string().into());
            let back_at_ms = now.mono_ms + wait.delay_ms;
            session.leave(Leave { goodbye, back_at_ms, slot, transports: None });
        }
        self.pump(id);
        self.sessions.remove(&id);
    }
}

/// The part of docs/herd.md about it.
pub fn section(runs: &[Run]) -> String {
    let mut text = String::from(
        "\n## Announced drains\n\n\
         A gateway drains for a successor that is there already: each session is told its time, with a slot for it.\n\n\
         | clients | attempts in 100 ms, at most | attempts of a client, on average | the last is back after |\n\
         | --- | --- | --- | --- |\n",
    );
    for run in runs {
        let back =
            run.back_ms(100).map_or_else(|| "never".to_owned(), |ms| format!("{:.1} s", ms as f64 / 1_000.0));
        text += &format!("| {} | {} | {:.2} | {back} |\n", run.clients, run.peak(), run.mean());
    }
    text
}
