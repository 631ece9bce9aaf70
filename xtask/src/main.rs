//! The repository's own commands, `cargo xtask COMMAND`.
//!
//! `test` is the one front door: whatever the project claims of itself is checked there, and continuous integration
//! calls nothing else. `check` is its quick part, for between two edits. `torture` plays the session core's hostile
//! schedules for as long as one likes, `faults` sees them find what is planted. `client` bundles the TypeScript client for the
//! page at `/`. `bench` measures whole processes, `slow` what slow clients do to fast ones, `networks` what a client makes of hostile networks, `herd`
//! what a gateway meets when all its clients come back, `crash` the same with real processes, `drain` what becomes of clients when one process
//! follows another.
//!
//! Read on in [`gate`] for the list of checks, in [`needs`] for what they need beyond Rust and how it is found or
//! installed, and in [`steps`] for how a check runs and is timed.

mod bench;
mod cargo;
mod client;
mod failures;
mod faults;
mod gate;
mod herd;
mod needs;
mod networks;
mod restart;
mod slow;
mod steps;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use steps::Steps;

fn main() -> ExitCode {
    let (mut steps, outcome) = match Xtask::parse().command {
        Task::Test { install } => {
            let mut steps = Steps::begin();
            let outcome = gate::test(&mut steps, install);
            (steps, outcome)
        }
        Task::Check => {
            let mut steps = Steps::begin();
            let outcome = gate::check(&mut steps);
            (steps, outcome)
        }
        Task::Torture { schedules, seed } => {
            let mut steps = Steps::begin();
            let outcome = gate::torture(&mut steps, schedules, seed);
            (steps, outcome)
        }
        Task::Faults => {
            let mut steps = Steps::begin();
            let outcome =
                cargo::Workspace::enter().and_then(|workspace| faults::faults(&mut steps, &workspace));
            (steps, outcome)
        }
        Task::Client { install } => {
            let mut steps = Steps::begin();
            let outcome = client::embed(&mut steps, install);
            (steps, outcome)
        }
        Task::Bench { quick } => {
            let mut steps = Steps::begin();
            let outcome = cargo::Workspace::enter()
                .and_then(|workspace| steps.check("whole processes", || bench::bench(&workspace, quick)));
            (steps, outcome)
        }
        Task::Slow { quick } => {
            let mut steps = Steps::begin();
            let outcome = cargo::Workspace::enter()
                .and_then(|workspace| steps.check("slow consumers", || slow::slow(&workspace, quick)));
            (steps, outcome)
        }
        Task::Herd => {
            let mut steps = Steps::begin();
            let outcome = herd::herd(&mut steps);
            (steps, outcome)
        }
        Task::Drain(play) => {
            let mut steps = Steps::begin();
            let outcome = restart::drain(&mut steps, &play);
            (steps, outcome)
        }
        Task::Crash(play) => {
            let mut steps = Steps::begin();
            let outcome = restart::crash(&mut steps, &play);
            (steps, outcome)
        }
        Task::Networks(play) => {
            let mut steps = Steps::begin();
            let outcome = networks::networks(&mut steps, &play);
            (steps, outcome)
        }
    };
    match steps.finish(outcome) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The repository's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Xtask {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Everything: format, clippy, dependencies, all tests, features, documentation, the page.
    Test {
        /// Install what is missing by package name: Debian packages (by sudo unless root), the rest below target/tools.
        ///
        /// Root needs no such word. Without it, what is missing is named and its checks are skipped, never under CI.
        #[arg(long)]
        install: bool,
    },
    /// The quick part: format, clippy, unit tests.
    Check,
    /// The session core under random hostile schedules; a failure prints the seed that repeats it.
    Torture {
        /// How many schedules to play.
        #[arg(long, default_value_t = 1_000_000)]
        schedules: u64,
        /// The seed of the first schedule; the same seed plays the same schedules.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Faults planted into a copy of the session core, each of which the schedules have to find.
    Faults,
    /// Bundles the TypeScript client for the page at `/`: writes src/page/client.js.
    Client {
        /// Install the client's tools where they are missing, as root does without being asked.
        #[arg(long)]
        install: bool,
    },
    /// What a delivery, a resume and a session at rest cost the gateway, beside a bare writer. Wants two idle cores.
    Bench {
        /// Once, and less of everything: shows that it runs, not what it costs.
        #[arg(long)]
        quick: bool,
    },
    /// What 1,000 clients that read one byte a second do to 1,000 fast ones: fails past 1.2 x. Wants two idle cores.
    Slow {
        /// Once, and less of everything: shows that it runs, not what it costs.
        #[arg(long)]
        quick: bool,
    },
    /// Sessions over all transports under load, drained to a successor that takes the listening sockets over: no connection
    /// refused or reset, everybody told when to return, every gap told, no intent applied twice.
    Drain(restart::Drain),
    /// Hostile networks and real proxies, and what a client makes of them: writes docs/networks.md. Wants two idle cores.
    Networks(networks::Play),
    /// A crash under 100,000 clients on a virtual clock, beside the formulas of others: writes docs/herd.md and its plot.
    Herd,
    /// A gateway killed with -9 under 15,000 real sessions, and another in its place. Wants two idle cores and 20,000
    /// descriptors.
    Crash(restart::Crash),
}
