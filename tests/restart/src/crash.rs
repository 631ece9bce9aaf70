//! A crash: the gateway is killed as it stands, another takes its place after a pause, and everybody comes back.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use throughline_networks::Gateway;

use crate::{
    application::Application,
    figures::Figures,
    herd::{self, Mix, Order},
    judged::{Judged, counted},
    log::wall_ms,
    process::{Herds, Place, Programs},
    publisher::Publisher,
    system::{Listening, processor_ticks, resident_bytes},
};

/// What is played.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many sessions there are; half of them poll.
    pub sessions: u32,
    /// How long all sessions live, before the crash: what breaks too soon is blamed on its transport.
    pub lived: Duration,
    /// How long nobody is there.
    pub pause: Duration,
    /// How many sessions a second the gateway lets in.
    pub rate: u64,
    /// How many begin in a second, before the crash.
    pub pace: u32,
    /// How many things clients send in a second, all of them together.
    pub sends: u32,
    /// An event is published every so often.
    pub every: Duration,
    /// How long anything may take.
    pub patience: Duration,
}

impl Plan {
    fn herd(&self, gateway: &Gateway, rooms: u32, since_ms: u64) -> herd::Plan {
        herd::Plan {
            url: format!("http://{}", gateway.clients()),
            from: Ipv4Addr::LOCALHOST,
            first: 0,
            sessions: self.sessions,
            mix: Mix::Halves,
            rooms,
            pace: self.pace,
            sends: self.sends,
            since_ms,
            patience_ms: self.patience.as_millis() as u64,
        }
    }
}

/// What must not be passed; stated before it is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ceilings {
    /// What a session may add to the resident memory of the gateway, in bytes.
    pub resident_bytes: u64,
    /// How many connections may find the listener's queue full.
    pub overflows: u64,
}

/// 20 KB a session, and no overflow.
pub const CEILINGS: Ceilings = Ceilings { resident_bytes: 20_000, overflows: 0 };

/// What came of it.
#[derive(Clone, Debug)]
pub struct Crash {
    /// What was played.
    pub plan: Plan,
    /// How long it took until all sessions were open.
    pub opened: Duration,
    /// Resident bytes of the gateway: without a session, with all of them, and of its successor with all of them.
    pub resident: [u64; 3],
    /// Seconds of processor time that the successor took until all were back on what they want, and the herds since the
    /// crash.
    pub processor: [f64; 2],
    /// Resident bytes of a client, in its herd.
    pub client_bytes: u64,
    /// What the machine's listeners turned away.
    pub listening: Listening,
    /// When everybody came back.
    pub figures: Figures,
    /// What both scenes are judged by.
    pub judged: Judged,
}

impl Crash {
    /// What a session adds to the resident memory of the gateway before the crash, and of its successor.
    pub fn resident_each(&self) -> [u64; 2] {
        let [idle, before, after] = self.resident;
        [before, after].map(|bytes| bytes.saturating_sub(idle) / u64::from(self.plan.sessions))
    }

    /// What is not as it must be, for a person.
    pub fn misses(&self) -> Vec<String> {
        let (back, all) = (self.figures.back.len(), self.plan.sessions);
        let races = self.figures.races();
        let most = self.resident_each().into_iter().max().unwrap_or(0);
        let overflows = self.listening.overflows;
        self.judged.misses([
            (back == all as usize, format!("{back} of {all} came back")),
            (races == 0, format!("{races} clients raced to be back")),
            (most <= CEILINGS.resident_bytes, format!("{most} resident bytes a session")),
            (overflows == CEILINGS.overflows, format!("{overflows} connections found the queue full")),
        ])
    }
}

/// Plays a crash.
///
/// # Errors
/// When something does not come about in time. What comes about and is not as it must be is no error here.
pub async fn play(programs: &Programs, plan: Plan, say: &dyn Fn(&str)) -> Result<Crash> {
    let since_ms = wall_ms();
    let application = Application::start().await?;
    let mut place = Place::new(programs, plan.rate, application.url(), false)?;
    let gateway = place.start().await?;
    let idle = resident_bytes(pid(&gateway)?)?;
    let turned_away = Listening::now()?;
    let rooms = herd::rooms(plan.sessions);
    let publisher = Publisher::begin(gateway.admin(), rooms, plan.every);

    say(&format!("{} sessions come", plan.sessions));
    let begun = Instant::now();
    let mut herds = Herds::begin(&programs.herd, &plan.herd(&gateway, rooms, since_ms))?;
    herds.all(Order::Settle).await?;
    let opened = begun.elapsed();
    tokio::time::sleep(plan.lived).await;
    herds.all(Order::Settle).await?;
    // A poll costs its connection more from the second one on.
    for _ in 0..2 {
        herds.all(Order::Mark(publisher.mark().await?)).await?;
    }
    let before = resident_bytes(pid(&gateway)?)?;
    let clients = herds.pids()?;
    let clients_bytes: u64 = clients.iter().map(|pid| resident_bytes(*pid)).sum::<Result<_>>()?;
    let clients_ticks = ticks(&clients)?;

    say("the gateway is killed");
    publisher.may_fail().await;
    herds.all(Order::Unsettle).await?;
    let crash_ms = wall_ms() - since_ms;
    gateway.kill().await?;
    tokio::time::sleep(plan.pause).await;
    let gateway = place.start().await?;
    let recovered_ms = wall_ms() - since_ms;
    publisher.go_on(gateway.admin()).await;
    say("another is there");
    herds.all(Order::Settle).await?;
    let processor = [processor_ticks(pid(&gateway)?)?, ticks(&clients)? - clients_ticks];
    say("all are back");
    for _ in 0..2 {
        herds.all(Order::Mark(publisher.mark().await?)).await?;
    }
    let after = resident_bytes(pid(&gateway)?)?;
    let counted = counted(&gateway.admin().metrics().await?);
    let listening = Listening::now()?.since(turned_away);
    herds.all(Order::Hush).await?;
    publisher.stop().await?;

    let events = herds.tell().await?;
    Ok(Crash {
        plan,
        opened,
        resident: [idle, before, after],
        processor: processor.map(|ticks| ticks as f64 / TICKS),
        client_bytes: clients_bytes / u64::from(plan.sessions),
        listening,
        figures: Figures::of(&events, crash_ms, recovered_ms),
        judged: Judged {
            sessions: plan.sessions,
            account: events.account,
            sent: application.judge(events.sent),
            faults: events.faults,
            counted,
        },
    })
}

fn pid(gateway: &Gateway) -> Result<u32> {
    gateway.pid().context("the gateway runs")
}

fn ticks(pids: &[u32]) -> Result<u64> {
    pids.iter().map(|pid| processor_ticks(*pid)).sum()
}

/// Linux counts processor time in hundredths of a second.
const TICKS: f64 = 100.0;
