//! A live quiz: a host's page for the wall, a player's page for each phone, and the game between them.
//!
//! ```text
//! cargo run --release --example quiz
//! cargo run --release --example quiz -- --listen 0.0.0.0:7090 --log quiz.log   # for phones on the same network
//! cargo run --release --example quiz -- players                                # 200 simulated players, and how fast
//! ```
//!
//! From inside: `game.rs` has the rules and knows neither network nor clock, `lanes.rs` gives each game a queue of its own,
//! `quiz.rs` makes both a `tower::Service` of intents, `door.rs` says who may hear and say what, `record.rs` is the log and
//! who counts it anew, `site.rs` and `pages/` are what browsers get, `server.rs` puts it together, `players/` tries it out.

mod door;
mod game;
mod lanes;
mod players;
mod questions;
mod quiz;
mod record;
mod refusal;
mod server;
mod site;
mod view;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use self::{quiz::QuizConfig, record::Record, server::Server};

/// A live quiz on a gateway of its own.
#[derive(Parser)]
struct Arguments {
    /// Where to listen, by TCP and by UDP.
    #[arg(long, default_value = "127.0.0.1:7090")]
    listen: String,
    /// A file for the log of answers and scores; one that is there is overwritten.
    #[arg(long)]
    log: Option<PathBuf>,
    #[command(subcommand)]
    rehearsal: Option<Rehearsal>,
}

#[derive(Subcommand)]
enum Rehearsal {
    /// Lets simulated players in processes of their own play a game, and says how fast their answers are counted.
    Players(players::Arguments),
    /// Some of these players, in one process.
    #[command(hide = true)]
    Troop(players::troop::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_writer(std::io::stderr).init();
    let Arguments { listen, log, rehearsal } = Arguments::parse();
    let done = match rehearsal {
        Some(Rehearsal::Players(arguments)) => players::run(arguments).await,
        Some(Rehearsal::Troop(arguments)) => players::troop::run(arguments).await,
        None => serve(&listen, log.as_deref()).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Serves the quiz until Ctrl-C.
async fn serve(listen: &str, log: Option<&Path>) -> anyhow::Result<()> {
    let record = log.map_or_else(|| Ok(Record::default()), Record::to_file)?;
    let server = Server::start(listen, QuizConfig::default(), record).await?;
    println!("host     http://{}/host", server.address);
    println!("players  http://{}/", server.address);
    tokio::signal::ctrl_c().await?;
    server.stop().await;
    Ok(())
}
