//! Deadlines as data: what a session waits for, and what happens then. Only the driver sleeps.

use super::{
    Effect, Ending, Goodbye, Now, Phase, Session,
    link::{LinkKind, Standing},
};

impl Session {
    /// When [`handle_timeout`](Self::handle_timeout) is to be called, on the clock of [`Now::mono_ms`]. `None` once
    /// the session is over. May move with every call.
    pub fn deadline(&self) -> Option<u64> {
        let links =
            self.links.iter().filter(|link| link.standing != Standing::Fenced).map(|link| link.due_ms);
        let life = match self.phase {
            Phase::Provisional { until_ms } => Some(until_ms),
            Phase::Established { detached_ms } if self.active_link().is_none() => {
                let expires_at = detached_ms + self.config.resume_window_ms;
                Some(self.away_at(detached_ms).map_or(expires_at, |away_at| away_at.min(expires_at)))
            }
            Phase::Established { .. } => None,
            Phase::Ended => return None,
        };
        links.chain(life).chain(self.presence_due()).chain(self.credentials_due()).min()
    }

    /// Does what is due. Early calls do nothing.
    pub fn handle_timeout(&mut self, now: Now) {
        match self.phase {
            Phase::Provisional { until_ms } if until_ms <= now.mono_ms => {
                return self.end(Ending::Provisional);
            }
            Phase::Established { detached_ms }
                if self.active_link().is_none()
                    && detached_ms + self.config.resume_window_ms <= now.mono_ms =>
            {
                return self.end(Ending::Expired);
            }
            Phase::Established { detached_ms }
                if self.active_link().is_none()
                    && self.away_at(detached_ms).is_some_and(|away_at| away_at <= now.mono_ms) =>
            {
                self.go_away();
            }
            Phase::Ended => return,
            _ => {}
        }
        self.handle_credentials_due(now);
        self.handle_presence_due(now.mono_ms);
        for index in 0..self.links.len() {
            if self.links[index].due_ms <= now.mono_ms {
                self.handle_link_due(now, index);
            }
        }
    }

    fn handle_link_due(&mut self, now: Now, index: usize) {
        let heartbeat_ms = self.config.heartbeat_ms;
        let link = &mut self.links[index];
        match (link.standing, link.spec.kind) {
            (Standing::Fenced, _) => link.due_ms = u64::MAX,
            (_, LinkKind::Answer) => {
                link.outbox.answer = true; // the hold is over
                link.due_ms = u64::MAX;
                let wake = Effect::Wake(link.id);
                self.effects.push(wake);
            }
            (Standing::Probe, _) => {
                link.due_ms = u64::MAX;
                self.say_goodbye(index, Goodbye::Silence);
            }
            (Standing::Active, LinkKind::Duplex) if link.is_quiet => {
                link.due_ms = u64::MAX;
                self.say_goodbye(index, Goodbye::Silence);
            }
            (Standing::Active, kind) => {
                link.due_ms = now.mono_ms + heartbeat_ms;
                // Only a duplex link can answer at no cost; a stream that broke is found by writing to it.
                // What was asked and not answered is asked again: an answer that was slow still proves the link.
                let awaited = link.outbox.awaited_nonce.unwrap_or(now.mono_ms);
                let nonce = (kind == LinkKind::Duplex).then_some(awaited);
                link.outbox.ping = Some(nonce);
                link.is_quiet = true;
                let wake = Effect::Wake(link.id);
                self.effects.push(wake);
            }
        }
    }
}
