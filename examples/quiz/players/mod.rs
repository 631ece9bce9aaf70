//! A rehearsal: simulated players in processes of their own, on every transport, whose links are cut all the time, and a
//! host who watches. Says how long it takes from a player's `send` until the host has the leaderboard's delta, and whether
//! every score is what the server's log says.
//!
//! `performer.rs` is one player, `troop.rs` a process of them, `watcher.rs` the host. All run on one machine, so one clock
//! tells when an answer was sent and when it was seen.

pub(crate) mod performer;
pub(crate) mod troop;
pub(crate) mod watcher;

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use tokio::task::spawn_blocking;

use self::{
    performer::Tally,
    watcher::{Watched, Watcher},
};
use crate::record::recount;

/// What a rehearsal is of.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many play.
    #[arg(long, default_value_t = 200)]
    players: usize,
    /// In how many processes.
    #[arg(long, default_value_t = 8)]
    processes: usize,
    /// How many questions are asked.
    #[arg(long, default_value_t = 6)]
    questions: usize,
    /// How long each link lives, in milliseconds.
    #[arg(long, default_value_t = 1_000)]
    cut_ms: u64,
    /// How long a player thinks at most, in milliseconds.
    #[arg(long, default_value_t = 4_000)]
    think_ms: u64,
    /// The 99th percentile that is still good enough, in milliseconds.
    #[arg(long, default_value_t = 200.0)]
    at_most_ms: f64,
}

/// Plays a game, and says how it went.
///
/// # Errors
/// Where answers were too slow, an answer was not seen, or scores differ.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { players, processes, questions, cut_ms, think_ms, at_most_ms } = arguments;
    let log = std::env::temp_dir().join(format!("quiz-{}.log", std::process::id()));
    let mut server = Process::start(&["--listen", "127.0.0.1:0", "--log", &log.to_string_lossy()])?;
    let url = server.line().await?.split_whitespace().last().context("no address")?.replace("/host", "");

    let watcher = Watcher::open(&url, questions, Duration::from_millis(cut_ms)).await?;
    let code = watcher.code.clone();
    println!(
        "{players} players in {processes} processes play {questions} questions, every link cut each {cut_ms} ms"
    );
    let mut troops = Vec::new();
    for process in 0..processes {
        let (first, end) = (players * process / processes, players * (process + 1) / processes);
        let numbers = [first, end - first].map(|number| number.to_string());
        let [cut, think] = [cut_ms, think_ms].map(|ms| ms.to_string());
        let told = ["troop", &url, &code, &numbers[0], &numbers[1], &cut, &think];
        troops.push(Process::start(&told)?);
    }
    let watched = watcher.watch(players).await?;
    let mut tallies: Vec<Tally> = Vec::new();
    for mut troop in troops {
        while let Some(line) = troop.next_line().await? {
            tallies.push(serde_json::from_str(&line)?);
        }
        ensure!(troop.child.wait()?.success(), "a process of players failed");
    }
    drop(server);
    let recounted = recount(&std::fs::read_to_string(&log)?).map_err(anyhow::Error::msg)?;
    std::fs::remove_file(&log)?;

    ensure!(tallies.len() == players, "{} of {players} players came to the end", tallies.len());
    agree(&watched, &tallies, &recounted[&code]).map_err(anyhow::Error::msg)?;
    let points: u64 = recounted[&code].values().sum();
    println!("all {players} scores are those of the server's log: {points} points");
    let p99 = report(&watched, &tallies)?;
    if p99 > at_most_ms {
        bail!("the 99th percentile is {p99:.1} ms, above {at_most_ms:.1} ms");
    }
    Ok(())
}

/// Whether the players, the host and the log have come to the same scores.
///
/// # Errors
/// The first difference, for a person.
pub(crate) fn agree(
    watched: &Watched,
    tallies: &[Tally],
    recounted: &BTreeMap<u32, u64>,
) -> Result<(), String> {
    let shown: BTreeMap<u32, u64> =
        watched.last.players.iter().map(|player| (player.player, player.score)).collect();
    let played: BTreeMap<u32, u64> = tallies.iter().map(|tally| (tally.player, tally.score)).collect();
    if shown != *recounted {
        return Err(format!("the game says {shown:?}, its log {recounted:?}"));
    }
    if played != *recounted {
        return Err(format!("the players have {played:?}, the log {recounted:?}"));
    }
    if watched.scores != *recounted {
        return Err(format!("the host has {:?} by its deltas, the log {recounted:?}", watched.scores));
    }
    for tally in tallies {
        for sent in &tally.sent {
            if !watched.seen.contains_key(&(sent.question, tally.player)) {
                return Err(format!(
                    "the answer of player {} to {} was never seen",
                    tally.player, sent.question
                ));
            }
        }
    }
    Ok(())
}

/// Prints how long answers took, by transport and in all; returns the 99th percentile in milliseconds.
fn report(watched: &Watched, tallies: &[Tally]) -> anyhow::Result<f64> {
    let mut took: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for tally in tallies {
        for sent in &tally.sent {
            let seen = watched.seen[&(sent.question, tally.player)];
            let since = |us: u64| us.saturating_sub(sent.at_us) as f64 / 1_000.0;
            let both = (since(seen.published_ms * 1_000), since(seen.at_us));
            took.entry(&tally.transport).or_default().push(both);
            took.entry("all").or_default().push(both);
        }
    }
    let cuts: u64 = tallies.iter().map(|tally| tally.cuts).sum();
    ensure!(cuts > 0 && watched.cuts > 0, "no link was cut");
    println!("{cuts} links of players were cut, {} of the host's\n", watched.cuts);
    println!("from `send` until        counted         on the host's leaderboard");
    println!("{:<14}{:>9}{:>10}{:>13}{:>10}{:>10}", "", "answers", "99th", "median", "99th", "slowest");
    let mut p99 = f64::NAN;
    for (transport, took) in took.into_iter().rev() {
        let (counted, seen): (Vec<f64>, Vec<f64>) = took.into_iter().unzip();
        let (counted, seen) = (Sorted::of(counted), Sorted::of(seen));
        println!(
            "{transport:<14}{:>9}{:>7.1} ms{:>10.1} ms{:>7.1} ms{:>7.1} ms",
            seen.0.len(),
            counted.rank(0.99),
            seen.rank(0.5),
            seen.rank(0.99),
            seen.rank(1.0),
        );
        if transport == "all" {
            p99 = seen.rank(0.99);
        }
    }
    ensure!(!p99.is_nan(), "no answer was sent");
    Ok(p99)
}

/// Measurements, the least first; at least one.
struct Sorted(Vec<f64>);

impl Sorted {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// The least that so large a share of them is not above.
    fn rank(&self, share: f64) -> f64 {
        let rank = (self.0.len() as f64 * share).ceil() as usize;
        self.0[rank.clamp(1, self.0.len()) - 1]
    }
}

/// This program once more, as a process of its own, until it is dropped.
struct Process {
    child: Child,
    lines: Option<BufReader<std::process::ChildStdout>>,
}

impl Process {
    fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut child =
            Command::new(std::env::current_exe()?).args(arguments).stdout(Stdio::piped()).spawn()?;
        let lines = child.stdout.take().map(BufReader::new);
        Ok(Self { child, lines })
    }

    /// The next line that it prints.
    async fn next_line(&mut self) -> anyhow::Result<Option<String>> {
        let mut lines = self.lines.take().context("read by somebody else")?;
        let read = move || {
            let mut line = String::new();
            lines.read_line(&mut line).map(|bytes| (bytes, line, lines))
        };
        let (bytes, line, lines) = spawn_blocking(read).await??;
        self.lines = Some(lines);
        Ok((bytes > 0).then_some(line))
    }

    async fn line(&mut self) -> anyhow::Result<String> {
        self.next_line().await?.context("a process has ended before its time")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
