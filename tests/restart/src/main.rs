//! Plays restarts under a real herd; `cargo xtask crash` and `cargo xtask drain` build what it needs and run it.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use throughline_restart::{crash, drain, herd, machine, process::Programs, report};
use tokio::signal::unix::{SignalKind, signal};

/// Restarts under a real herd.
#[derive(Parser)]
#[command(name = "throughline-restart")]
struct Arguments {
    #[command(subcommand)]
    scene: Scene,
}

#[derive(Subcommand)]
enum Scene {
    /// Kill the gateway, and start another in its place.
    Crash(Crash),
    /// Have another gateway take its sockets over, and drain it.
    Drain(Drain),
    /// Be a herd of clients: the others begin such processes.
    Herd(herd::Plan),
}

#[derive(clap::Args)]
struct Crash {
    /// The gateway's executable.
    #[arg(long, env = "THROUGHLINE")]
    gateway: PathBuf,
    /// How many sessions there are; half of them poll.
    #[arg(long, default_value_t = 15_000)]
    sessions: u32,
    /// How many seconds nobody is there; one run for each.
    #[arg(long = "pause", default_values_t = [2, 30])]
    pauses: Vec<u64>,
    /// How many sessions a second the gateway lets in.
    #[arg(long, default_value_t = 2_500)]
    rate: u64,
    /// Where the document is written; without it to the standard output.
    #[arg(long)]
    write: Option<PathBuf>,
}

#[derive(clap::Args)]
struct Drain {
    /// The gateway's executable.
    #[arg(long, env = "THROUGHLINE")]
    gateway: PathBuf,
    /// How many sessions there are, over all transports.
    #[arg(long, default_value_t = 5_000)]
    sessions: u32,
    /// How many sessions a second either gateway lets in.
    #[arg(long, default_value_t = 2_500)]
    rate: u64,
    /// Where the document is written; without it to the standard output.
    #[arg(long)]
    write: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let outcome = match Arguments::parse().scene {
        Scene::Herd(plan) => herd::run(&plan).await.map(|()| true),
        // Whatever ends this process ends those that it has begun.
        Scene::Crash(arguments) => tokio::select! {
            outcome = play(&arguments) => outcome,
            outcome = interrupted() => outcome,
        },
        Scene::Drain(arguments) => tokio::select! {
            outcome = play_drain(&arguments) => outcome,
            outcome = interrupted() => outcome,
        },
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("restart: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Plays all crashes; says whether everything was as it must be.
async fn play(arguments: &Crash) -> Result<bool> {
    let programs = programs(&arguments.gateway)?;
    let machine = machine();
    println!(
        "ceilings: {} resident bytes a session, {} overflows of a listener's queue",
        crash::CEILINGS.resident_bytes,
        crash::CEILINGS.overflows
    );
    let mut runs = Vec::new();
    for pause in &arguments.pauses {
        let plan = crash::Plan {
            sessions: arguments.sessions,
            lived: LIVED,
            pause: Duration::from_secs(*pause),
            rate: arguments.rate,
            pace: PACE,
            sends: SENDS,
            every: EVERY,
            patience: PATIENCE,
        };
        runs.push(crash::play(&programs, plan, &|what| eprintln!("{what}")).await?);
    }
    write(arguments.write.as_deref(), &report::document(&runs, &machine))?;
    Ok(judge(runs.iter().flat_map(crash::Crash::misses)))
}

/// Plays a drain; says whether everything was as it must be.
async fn play_drain(arguments: &Drain) -> Result<bool> {
    let machine = machine();
    let plan = drain::Plan {
        sessions: arguments.sessions,
        lived: UNDER_LOAD,
        rate: arguments.rate,
        // Nobody is turned away who is new.
        pace: (arguments.rate * 4 / 5).max(1) as u32,
        sends: SENDS_IN_DRAIN,
        every: EVERY,
        patience: PATIENCE,
    };
    let run = drain::play(&programs(&arguments.gateway)?, plan, &|what| eprintln!("{what}")).await?;
    write(arguments.write.as_deref(), &drain::document::document(&run, &machine))?;
    Ok(judge(run.misses()))
}

fn programs(gateway: &Path) -> Result<Programs> {
    let herd = std::env::current_exe().context("this program knows where it is")?;
    Ok(Programs { gateway: gateway.to_owned(), herd })
}

/// Writes a document, or prints it.
fn write(path: Option<&Path>, document: &str) -> Result<()> {
    match path {
        Some(path) => std::fs::write(path, document).with_context(|| path.display().to_string()),
        None => {
            print!("{document}");
            Ok(())
        }
    }
}

/// Tells what was not as it must be; says whether everything was.
fn judge(misses: impl IntoIterator<Item = String>) -> bool {
    let misses: Vec<_> = misses.into_iter().collect();
    misses.iter().for_each(|miss| println!("MISS {miss}"));
    misses.is_empty()
}

async fn interrupted() -> Result<bool> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    anyhow::bail!("interrupted")
}

/// How many sessions begin in a second.
const PACE: u32 = 1_000;
/// How long all sessions live: longer than a client watches what it has moved to.
const LIVED: Duration = Duration::from_secs(32);
/// How many things clients send in a second.
const SENDS: u32 = 20;
/// How many in a drain, in which many are to have something under way.
const SENDS_IN_DRAIN: u32 = 500;
/// How long there is load before a drain, and after it.
const UNDER_LOAD: Duration = Duration::from_secs(5);
/// How often an event is published.
const EVERY: Duration = Duration::from_millis(100);
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(180);
