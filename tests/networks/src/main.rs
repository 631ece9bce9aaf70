//! Plays hostile networks and writes what came of it; `cargo xtask networks` builds what it needs and runs it.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use throughline_networks::{Browser, Options, Peers, Programs, Report, play};

/// What to play, and where things are.
#[derive(Parser)]
struct Arguments {
    /// The gateway's executable.
    #[arg(long, env = "THROUGHLINE")]
    gateway: PathBuf,
    /// Where the document is written; without it to the standard output.
    #[arg(long)]
    write: Option<PathBuf>,
    /// Fewer rounds and sessions: shows that it runs, not what it measures.
    #[arg(long)]
    quick: bool,
    /// Only what has this in its name: `cold`, `rust mid`, `proxy`, `chromium mid webtransport`, `squid`, `peers`.
    #[arg(long)]
    only: Option<String>,
    /// squid.
    #[arg(long)]
    squid: Option<PathBuf>,
    /// tinyproxy.
    #[arg(long)]
    tinyproxy: Option<PathBuf>,
    /// HAProxy.
    #[arg(long)]
    haproxy: Option<PathBuf>,
    /// nginx.
    #[arg(long)]
    nginx: Option<PathBuf>,
    /// mitmdump.
    #[arg(long)]
    mitmdump: Option<PathBuf>,
    /// Chromium.
    #[arg(long, env = "CHROMIUM")]
    chromium: Option<PathBuf>,
    /// The `node_modules` that holds playwright-core.
    #[arg(long, env = "PLAYWRIGHT")]
    playwright: Option<PathBuf>,
    /// The client in TypeScript, a script that defines `throughline`.
    #[arg(long, default_value = "src/page/client.js")]
    client: PathBuf,
    /// The folder that holds peer.mjs and what it imports.
    #[arg(long)]
    peers: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(exit) => exit,
        Err(error) => {
            eprintln!("networks: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<ExitCode> {
    let options = Options {
        gateway: arguments.gateway,
        programs: Programs {
            squid: arguments.squid,
            tinyproxy: arguments.tinyproxy,
            haproxy: arguments.haproxy,
            nginx: arguments.nginx,
            mitmdump: arguments.mitmdump,
        },
        browser: arguments.chromium.zip(arguments.playwright).map(|(chromium, playwright)| Browser {
            chromium,
            playwright,
            client: arguments.client,
        }),
        peers: arguments.peers.map(|folder| Peers { folder, rounds: if arguments.quick { 3 } else { 10 } }),
        rounds: if arguments.quick { 5 } else { 12 },
        sessions: if arguments.quick { 1 } else { 5 },
        only: arguments.only,
    };
    let plays = play(&options, &|what| eprintln!("{what}")).await?;
    let report = Report::of(&plays, &options);
    match arguments.write {
        Some(path) => std::fs::write(&path, &report.document).with_context(|| path.display().to_string())?,
        None => print!("{}", report.document),
    }
    println!("{} cells hold their bar, {} do not", report.passes, report.misses.len());
    for miss in &report.misses {
        println!("MISS {miss}");
    }
    // A bar that is missed is told; an item that is missed is a defect.
    Ok(if report.account.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
