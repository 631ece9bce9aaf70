//! A drain to a successor under load: thousands of sessions over all transports, and what each of them made of it.
//!
//! Two processes of the gateway, one after the other, with one set of listening sockets; clients of the Rust client's kind
//! in this process ([`client`]), over connections that count what goes wrong with them ([`network`]); and the application
//! behind them, which publishes without an end and counts what it is sent ([`application`]). Nobody is asked to be quick:
//! what is checked is that nothing is refused, lost in silence, or done twice.

mod application;
mod client;
mod gateway;
mod network;

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};
use clap::Parser;
use tokio::time::sleep;

use crate::{
    application::Application,
    client::{Client, Kind},
    gateway::{Gateway, Place},
    network::Counting,
};

/// A drain to a successor under load.
#[derive(Parser)]
#[command(name = "throughline-drain")]
struct Scene {
    /// The program: `throughline`.
    #[arg(long)]
    gateway: PathBuf,
    /// How many sessions: 45 of 100 by WebSocket, 30 by polling, 20 by event streams, 5 by WebTransport.
    #[arg(long, default_value_t = 5_000)]
    sessions: usize,
    /// How many of them are let in each second.
    #[arg(long, default_value_t = 500)]
    rate: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let scene = Scene::parse();
    let application = Application::start().await?;
    let place = Place::new(&application, scene.rate)?;
    let mut first = Gateway::start(&scene.gateway, &place).await?;
    application.publish_to(first.admin);
    let network = Arc::new(Counting::default());
    let mut clients = Vec::with_capacity(scene.sessions);
    for n in 0..scene.sessions {
        clients.push(Client::start(n, Kind::of(n), first.clients, &network));
        if n % 10 == 9 {
            sleep(Duration::from_secs(10) / scene.rate as u32 * 5 / 4).await;
        }
    }
    until("all are up", || clients.iter().all(Client::is_settled)).await?;
    println!("{} sessions are up", clients.len());
    sleep(LOAD).await;

    let failures = network.failures();
    ensure!(failures.is_empty(), "before anything happened: {failures:?}");
    clients.iter().for_each(Client::begin);
    let began = Instant::now();
    let second = Gateway::start(&scene.gateway, &place).await?;
    first.end().await?;
    let took = began.elapsed();
    // Whoever is not back by then has something to tell.
    let returned = until("all are back", || clients.iter().all(Client::is_back)).await;
    let back = clients.iter().filter(|client| client.is_back()).count();
    sleep(LOAD).await;
    application.stop();
    let admissions = second.admissions().await?; // before they say goodbye, some on a link of its own
    let ends: Vec<_> = clients.into_iter().map(Client::end).collect();
    let mut ledgers = Vec::with_capacity(ends.len());
    for end in ends {
        ledgers.push(end.await?);
    }

    let mut problems = network.failures();
    let mut late: Vec<Duration> = ledgers.iter().filter_map(|ledger| ledger.late).collect();
    late.sort_unstable();
    let told = ledgers.iter().filter(|ledger| ledger.told == 1).count();
    let gaps = ledgers.iter().filter(|ledger| ledger.gaps > 0).count();
    let silent: usize = ledgers.iter().map(|ledger| ledger.silent).sum();
    let unknown: usize = ledgers.iter().map(|ledger| ledger.unknown).sum();
    let refused = ledgers.iter().flat_map(|ledger| &ledger.refused);
    problems.extend(ledgers.iter().flat_map(|ledger| ledger.lost.iter().cloned()));
    let accepted: Vec<_> = ledgers.iter().flat_map(|ledger| ledger.accepted.iter().cloned()).collect();
    let intents = application.intents(&accepted);
    let knocks: u64 = admissions.iter().map(|(_, count)| count).sum();
    println!("the hand-over took {:.1} s, the drain among it", took.as_secs_f64());
    println!("sessions back: {back} of {}", ledgers.len());
    println!("connections made: {}", network.made.load(Ordering::Relaxed));
    println!("connections refused or reset, links lost without a word: {}", problems.len());
    println!("sessions told when to return, once: {told} of {}", ledgers.len());
    println!(
        "knocks at the successor: {:.3} of a session ({admissions:?})",
        knocks as f64 / ledgers.len() as f64
    );
    let at =
        |percent: usize| late.get((late.len() * percent / 100).min(late.len().saturating_sub(1))).copied();
    println!(
        "back after their time by: {:?} (half), {:?} (99 of 100), {:?} (the last)",
        at(50),
        at(99),
        late.last()
    );
    println!("sessions that were told a gap: {gaps}; events missed in silence: {silent}");
    println!(
        "intents: {} applied, {} twice, {} accepted and never seen; {unknown} with an outcome that is told as unknown",
        intents.applied, intents.twice, intents.unseen
    );
    let refused: Vec<_> = refused.take(5).collect();
    println!("sends refused, some: {refused:?}");
    for problem in problems.iter().take(10) {
        println!("  {problem}");
    }
    returned?;
    ensure!(problems.is_empty(), "{} connections or links went wrong", problems.len());
    ensure!(told == ledgers.len(), "not everybody was told, or some more than once");
    ensure!(silent == 0, "{silent} events were missed in silence");
    ensure!(intents.twice == 0 && intents.unseen == 0, "intents were applied twice, or never");
    Ok(())
}

async fn until(what: &str, is_so: impl Fn() -> bool) -> Result<()> {
    let began = Instant::now();
    while !is_so() {
        if began.elapsed() > PATIENCE {
            bail!("given up after {PATIENCE:?}: not so that {what}");
        }
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// How long there is load before and after.
const LOAD: Duration = Duration::from_secs(5);
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(90);
