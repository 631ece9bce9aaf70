//! The end of a schedule: the network is well, and all that is owed has to arrive.
//!
//! No timer is needed for it, so no time passes: what would only come once a hold or a heartbeat is over counts as lost.

use throughline::session::Ending;

use super::{
    network::Kind,
    plain,
    schedule::{World, say},
};

impl World {
    /// Nothing is lost any more: whatever is owed arrives, and no timer is needed for it.
    pub(super) fn calm(&mut self) {
        let wall = self.now().wall_ms;
        for channel in 0..self.truth.channels.len() {
            self.truth.publish(channel, wall, &mut self.random);
        }
        self.come_to_rest();
        self.check_the_end();
        // Somebody goes for good, and those who stay hear of it.
        let lasting = self.clients.iter().find(|client| !client.is_retired && !client.is_copied);
        if let Some(held) = lasting.and_then(|client| client.session.as_ref()) {
            let index = self.gateway.by_id[&held.id];
            self.gateway.sessions[index].session.end(Ending::Disconnected);
            self.settle(index);
            self.come_to_rest();
            self.check_the_end();
        }
    }

    fn come_to_rest(&mut self) {
        for round in 0.. {
            assert!(round < 3_000, "it never comes to rest");
            let mut is_quiet = true;
            self.answer_bells();
            for index in 0..self.gateway.sessions.len() {
                while !self.gateway.sessions[index].requests.is_empty() {
                    is_quiet = false;
                    self.carry_out(index, false);
                }
            }
            while !self.gateway.intents.is_empty() {
                is_quiet = false;
                self.apply(false);
            }
            while let Some(&(session, leg)) = self.woken().first() {
                is_quiet = false;
                self.transmit(session, leg);
            }
            let names: Vec<usize> = self.network.conns.keys().copied().collect();
            for name in names {
                is_quiet &= !self.carry(name);
            }
            self.network.sweep();
            for index in 0..self.clients.len() {
                is_quiet &= !self.speak(index);
            }
            if self.plain.iter().any(|plain| plain.conn.is_none()) {
                is_quiet = false;
                self.connect_plain();
            }
            if is_quiet {
                break;
            }
        }
    }

    /// Every client vanishes without a word: every session ends in time, and every link before it.
    pub(super) fn end(&mut self) {
        say!(self, "everybody vanishes");
        for conn in self.network.conns.values_mut() {
            conn.is_cut = true;
            conn.is_open = false;
            conn.up.clear();
            conn.down.clear();
        }
        // A duplex link that fell silent is found by its heartbeat; of others the gateway learns by writing.
        let others = self.network.conns.iter().filter(|(_, conn)| conn.kind != Kind::Duplex);
        for name in others.map(|(name, _)| *name).collect::<Vec<_>>() {
            self.notice_lost(name);
        }
        let config = &self.gateway.config;
        let silent = self.time + config.probe_ms.max(2 * config.heartbeat_ms);
        let latest = silent + config.resume_window_ms;
        while let Some(due) = self.next_deadline() {
            assert!(due <= latest, "due at {due}, and everything was to be over at {latest}");
            self.time = due.max(self.time);
            self.run_timers();
            while let Some(&(session, leg)) = self.woken().first() {
                self.transmit(session, leg);
            }
            let holds = self.gateway.sessions.iter().any(|hosted| !hosted.legs.is_empty());
            assert!(!holds || self.time <= silent, "a link that is silent since {silent} is held");
        }
        for (index, hosted) in self.gateway.sessions.iter().enumerate() {
            assert!(hosted.ending.is_some(), "s{index} never ends");
            assert!(hosted.legs.is_empty(), "s{index} has {:?} for ever", hosted.legs);
        }
    }

    /// Carries what is on its way; says whether there was something.
    fn carry(&mut self, name: usize) -> bool {
        let mut has_moved = false;
        while self.network.conns.get(&name).is_some_and(|conn| !conn.up.is_empty()) {
            self.deliver_up(name, false);
            has_moved = true;
        }
        while self.network.conns.get(&name).is_some_and(|conn| !conn.down.is_empty()) {
            self.deliver_down(name);
            has_moved = true;
        }
        let Some(conn) = self.network.conns.get(&name) else { return has_moved };
        let (is_cut, is_open, has_legs) = (conn.is_cut, conn.is_open, !conn.legs.is_empty());
        let is_unanswered = conn.kind == Kind::Post || (conn.kind == Kind::Poll && !has_legs);
        if is_open && (is_cut || is_unanswered) {
            self.give_up(name);
            has_moved = true;
        }
        if is_cut && has_legs {
            self.notice_lost(name);
            has_moved = true;
        }
        has_moved
    }

    /// A client does what it has to; says whether there was something.
    fn speak(&mut self, index: usize) -> bool {
        if self.clients[index].is_retired {
            return false;
        }
        let client = &self.clients[index];
        let links: Vec<usize> =
            (0..client.ends.len()).filter(|end| client.ends[*end].kind != Kind::Post).collect();
        if client.ends.iter().any(|end| end.kind == Kind::Post) {
            return true; // what is on its way will be answered
        }
        let before = self.network.conns.values().map(|conn| conn.up.len()).sum::<usize>();
        let is_ready = client.has_attached() || client.ends.iter().any(|end| end.is_proven);
        if !is_ready && (client.session.is_some() || links.is_empty()) {
            let kind = *self.random.pick(&self.kinds);
            self.connect(index, kind, false);
            return true;
        }
        for end in links {
            let owes_commands = self.clients[index].taken + 1 < self.clients[index].next_command;
            if self.clients[index].ends[end].kind != Kind::Poll || owes_commands {
                self.flush(index, end, true);
            }
        }
        before != self.network.conns.values().map(|conn| conn.up.len()).sum::<usize>()
    }

    fn check_the_end(&self) {
        for (index, client) in self.clients.iter().enumerate() {
            if client.is_retired {
                continue;
            }
            let held = client.session.as_ref().unwrap_or_else(|| panic!("k{index} has no session"));
            for (channel, view) in &client.views {
                let head = self.truth.channels[*channel].head();
                assert!(view.is_confirmed, "k{index} states channel {channel} and hears nothing of it");
                assert_eq!(view.place, head, "k{index} is behind in channel {channel}");
            }
            assert!(
                client.commands.is_empty() || client.is_copied,
                "k{index} waits for {:?}",
                client.commands
            );
            let hosted = self.gateway.sessions.iter().find(|hosted| hosted.session.id() == held.id);
            let session = &hosted.expect("its session is there").session;
            let channels = session.subscriptions().map(|(name, _)| self.truth.index(name));
            let mut channels: Vec<usize> = channels.collect();
            channels.sort_unstable();
            assert_eq!(
                channels,
                client.views.keys().copied().collect::<Vec<_>>(),
                "k{index}'s channels, as its session has them"
            );
            assert_eq!(session.unacknowledged(), 0, "k{index} has acknowledged everything");
            self.check_folds(index);
        }
        for (index, plain) in self.plain.iter().enumerate() {
            let subscriptions = self.gateway.config.limits.subscriptions as usize;
            let wanted = plain::CHANNELS.min(self.truth.channels.len());
            for channel in 0..wanted {
                // A word that slid out is not said again: such a client may miss that a channel was taken away.
                let may_miss = self.taken_away.contains(&channel) && self.has_slid;
                let may_lack = self.taken_away.contains(&channel) || wanted > subscriptions;
                let place = plain.views.get(&channel).map(|view| view.place);
                let is_even = place == Some(self.truth.channels[channel].head());
                let is_right = is_even || may_miss || (place.is_none() && may_lack);
                assert!(is_right, "p{index} has channel {channel} up to {place:?}");
            }
        }
    }
}
