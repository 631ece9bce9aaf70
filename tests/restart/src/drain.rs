//! A drain: a successor takes the listening sockets over under load, and everybody comes back to it when it was told to.

use std::{
    collections::HashMap,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

pub mod document;

use crate::{
    application::Application,
    dial::By,
    herd::{self, Mix, Order},
    judged::{Judged, counted},
    log::{Events, Farewell, wall_ms},
    process::{Herds, Place, Programs},
    publisher::Publisher,
};

/// What is played.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many sessions there are, over all transports.
    pub sessions: u32,
    /// How long they live before the drain, and after all are back.
    pub lived: Duration,
    /// How many sessions a second either gateway lets in.
    pub rate: u64,
    /// How many begin in a second, before the drain.
    pub pace: u32,
    /// How many things clients send in a second, all of them together.
    pub sends: u32,
    /// An event is published every so often.
    pub every: Duration,
    /// How long anything may take.
    pub patience: Duration,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Drain {
    /// What was played.
    pub plan: Plan,
    /// From the successor's start until it had the listening sockets, and until its predecessor had ended.
    pub took: [Duration; 2],
    /// Who came back when.
    pub returns: Returns,
    /// Connections that were refused or reset, and links that were lost without a word.
    pub breaks: u64,
    /// Some of them.
    pub broken: Vec<String>,
    /// How many the successor let in on their slots, at their time.
    pub kept: u64,
    /// What both scenes are judged by.
    pub judged: Judged,
}

/// Who was told when to come back, and did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Returns {
    /// How many were told once.
    pub told_once: u32,
    /// How many more times somebody was told.
    pub told_again: u32,
    /// How long each was away, in milliseconds, in order.
    pub away: Vec<u64>,
    /// How long after its time each was back, in milliseconds, in order.
    pub late: Vec<u64>,
    /// How many were on WebTransport again in the end.
    pub by_webtransport: usize,
    /// Connections that were begun since, of all clients.
    pub attempts: usize,
}

impl Returns {
    /// Of what happened since the drain began.
    fn of(events: &Events, drain_ms: u64) -> Self {
        let mut returns = Self::default();
        let mut told: HashMap<u32, (Farewell, u32)> = HashMap::new();
        for farewell in events.told.iter().filter(|farewell| farewell.at_ms >= drain_ms) {
            told.entry(farewell.client).or_insert((*farewell, 0)).1 += 1;
        }
        let mut back = HashMap::new();
        let mut on = HashMap::new();
        for up in events.ups.iter().filter(|up| up.at_ms >= drain_ms) {
            on.insert(up.client, up.by);
            if told.get(&up.client).is_some_and(|(farewell, _)| up.at_ms >= farewell.at_ms) {
                back.entry(up.client).or_insert(up.at_ms);
            }
        }
        for (client, at_ms) in back {
            let farewell = told[&client].0;
            returns.away.push(at_ms - farewell.at_ms);
            returns.late.push(at_ms.saturating_sub(farewell.due_ms));
        }
        for (_, count) in told.values() {
            returns.told_once += u32::from(*count == 1);
            returns.told_again += count - 1;
        }
        returns.by_webtransport = on.values().filter(|by| **by == By::WebTransport).count();
        returns.attempts = events.attempts.iter().filter(|attempt| attempt.begun_ms >= drain_ms).count();
        returns.away.sort_unstable();
        returns.late.sort_unstable();
        returns
    }
}

impl Drain {
    /// What is not as it must be, for a person.
    pub fn misses(&self) -> Vec<String> {
        let all = self.plan.sessions;
        let Returns { told_once, told_again, late, .. } = &self.returns;
        self.judged.misses([
            (self.breaks == 0, format!("{} connections or links broke: {:?}", self.breaks, self.broken)),
            (
                *told_once == all && *told_again == 0,
                format!("{told_once} told once, {told_again} times again"),
            ),
            (late.len() == all as usize, format!("{} of {all} came back", late.len())),
            (self.kept == u64::from(all), format!("{} let in on their slots", self.kept)),
        ])
    }
}

/// Plays a drain.
///
/// # Errors
/// When something does not come about in time. What comes about and is not as it must be is no error here.
pub async fn play(programs: &Programs, plan: Plan, say: &dyn Fn(&str)) -> Result<Drain> {
    let since_ms = wall_ms();
    let application = Application::start().await?;
    let mut place = Place::new(programs, plan.rate, application.url(), true)?;
    let first = place.start().await?;
    let rooms = herd::rooms(plan.sessions);
    let publisher = Publisher::begin(first.admin(), rooms, plan.every);

    say(&format!("{} sessions come", plan.sessions));
    let whole = herd::Plan {
        url: format!("http://{}", first.clients()),
        from: Ipv4Addr::LOCALHOST,
        first: 0,
        sessions: plan.sessions,
        mix: Mix::All,
        rooms,
        pace: plan.pace,
        sends: plan.sends,
        since_ms,
        patience_ms: plan.patience.as_millis() as u64,
    };
    let mut herds = Herds::begin(&programs.herd, &whole)?;
    herds.all(Order::Settle).await?;
    tokio::time::sleep(plan.lived).await;
    herds.all(Order::Mark(publisher.mark().await?)).await?;
    let before = herds.tell().await?;
    ensure!(before.breaks == 0, "before anything happens: {:?}", before.broken);

    say("a successor comes");
    herds.all(Order::Unsettle).await?;
    let (drain_ms, began) = (wall_ms() - since_ms, Instant::now());
    let second = place.start().await?;
    let has_sockets = began.elapsed();
    first.ended(plan.patience).await?;
    let took = [has_sockets, began.elapsed()];
    say("the first has ended");
    herds.all(Order::Settle).await?;
    tokio::time::sleep(plan.lived).await;
    herds.all(Order::Mark(publisher.mark().await?)).await?;
    say("all are back");
    let counted = counted(&second.admin().metrics().await?);
    herds.all(Order::Hush).await?;
    publisher.stop().await?;

    let events = herds.tell().await?;
    let kept = counted.iter().find_map(|line| line.strip_prefix(KEPT)).map_or(Ok(0), str::parse)?;
    Ok(Drain {
        plan,
        took,
        returns: Returns::of(&events, drain_ms),
        breaks: events.breaks,
        broken: events.broken,
        kept,
        judged: Judged {
            sessions: plan.sessions,
            account: events.account,
            sent: application.judge(events.sent),
            faults: events.faults,
            counted,
        },
    })
}

const KEPT: &str = "admissions_total{class=\"resume\",verdict=\"kept\"} ";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dial::Attempt, log::Up};

    #[test]
    fn a_client_is_back_with_its_first_link_after_it_was_told_and_late_by_its_time() {
        let up = |client, at_ms, by| Up { client, at_ms, by, is_wanted: true };
        let farewell = |client, at_ms, due_ms| Farewell { client, at_ms, due_ms };
        let attempt = |begun_ms| Attempt { client: 1, begun_ms, ended_ms: None, by: By::Polling };
        let events = Events {
            attempts: vec![attempt(90), attempt(2_000)],
            ups: vec![
                up(1, 50, By::WebTransport),
                up(1, 2_050, By::Polling),
                up(1, 4_000, By::WebTransport),
                up(2, 3_100, By::Polling),
            ],
            told: vec![farewell(1, 110, 2_000), farewell(2, 120, 3_000), farewell(2, 3_010, 3_090)],
            ..Events::default()
        };
        let returns = Returns::of(&events, 100);
        assert_eq!((returns.told_once, returns.told_again), (1, 1));
        assert_eq!((returns.away, returns.late), (vec![1_940, 2_980], vec![50, 100]));
        assert_eq!((returns.by_webtransport, returns.attempts), (1, 1));
    }
}
