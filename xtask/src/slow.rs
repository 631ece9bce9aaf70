//! Slow consumers: what 1,000 clients that read one byte a second do to 1,000 that read at once, on one busy channel.
//!
//! The gateway runs on one core, both kinds of clients in processes of their own on another (`benches/load`). Rounds without
//! and with the slow ones take turns, each against a gateway of its own, and the slow ones are there first, so that they are
//! woken first. What is compared is the 99th percentile of all deliveries to the fast ones, its median over the rounds, as a
//! ratio: within one round it is what the two slowest events took, and one hiccup of the machine makes it another. Memory is
//! looked at four times a second, resident and the kernel's for TCP: flat is where it does not rise while events go on.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::bench::server::{Programs, Running, load_average};
use crate::cargo::Workspace;

/// How much is played.
struct Size {
    rounds: usize,
    clients: u64,
    events: u64,
}

const FULL: Size = Size { rounds: 7, clients: 1_000, events: 200 };
const QUICK: Size = Size { rounds: 1, clients: 1_000, events: 100 };

/// Events published each second.
const RATE: u64 = 20;
/// The most that the 99th percentile may be of what it is without slow clients.
const AIM: f64 = 1.2;
/// The most that memory may be at the end of what it was at the beginning.
const FLAT: f64 = 1.05;

const POLICIES: [&str; 3] = ["replay", "latest", "gap"];

/// What one round saw.
struct Round {
    p99_ms: f64,
    /// Mega bytes in the first and in the last quarter of the time.
    resident: [f64; 2],
    kernel: [f64; 2],
}

/// Plays everything, and prints it as a table.
pub(crate) fn slow(workspace: &Workspace, quick: bool) -> Result<()> {
    let size = if quick { QUICK } else { FULL };
    let programs = Programs::build(workspace)?;
    println!("\nload average before: {}", load_average());
    println!(
        "\n| {} clients that read 1 B/s beside {} fast ones | 99th percentile of the fast ones, ms: alone | beside them | ratio | aim | \
         resident, MB: first, last | kernel, MB: first, last | kernel, without them |",
        size.clients, size.clients
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let mut missed = Vec::new();
    for policy in POLICIES {
        let config = configured(workspace, policy)?;
        let (mut alone, mut beside) = (Vec::new(), Vec::new());
        for _ in 0..size.rounds {
            alone.push(play(&programs, &config, &size, false)?);
            beside.push(play(&programs, &config, &size, true)?);
        }
        let of = |rounds: &[Round], what: fn(&Round) -> f64| {
            median(&mut rounds.iter().map(what).collect::<Vec<_>>())
        };
        let [of_alone, of_beside] = [&alone, &beside].map(|rounds| of(rounds, |round| round.p99_ms));
        let ratio = of_beside / of_alone;
        let mut ratios: Vec<f64> = alone.iter().zip(&beside).map(|(a, b)| b.p99_ms / a.p99_ms).collect();
        ratios.sort_unstable_by(f64::total_cmp);
        let resident = [of(&beside, |round| round.resident[0]), of(&beside, |round| round.resident[1])];
        let kernel = [of(&beside, |round| round.kernel[0]), of(&beside, |round| round.kernel[1])];
        println!(
            "| `{policy}` | {:.1} | {:.1} | **{ratio:.2}** ({:.2}-{:.2}) | {AIM} | {:.1}, {:.1} | {:.1}, {:.1} | {:.1} |",
            of_alone,
            of_beside,
            ratios[0],
            ratios[ratios.len() - 1],
            resident[0],
            resident[1],
            kernel[0],
            kernel[1],
            of(&alone, |round| round.kernel[1]),
        );
        if ratio > AIM {
            missed.push(format!("{policy}: the 99th percentile is {ratio:.2} x"));
        }
        let both = [resident[0] + kernel[0], resident[1] + kernel[1]];
        if both[1] > both[0] * FLAT {
            missed.push(format!("{policy}: memory rises from {:.1} to {:.1} MB", both[0], both[1]));
        }
    }
    println!("\nload average after: {}", load_average());
    if !quick && !missed.is_empty() {
        bail!("missed: {}", missed.join("; "));
    }
    println!(
        "{}",
        if missed.is_empty() { "passed".into() } else { format!("missed: {}", missed.join("; ")) }
    );
    Ok(())
}

/// A configuration with this policy for every channel, and no wait for the door.
fn configured(workspace: &Workspace, policy: &str) -> Result<PathBuf> {
    let path = workspace.target.join(format!("slow-{policy}.toml"));
    let text =
        format!("[session]\nadmission_rate = 100_000\n\n[[namespaces]]\nname = \"*\"\nslow = \"{policy}\"\n");
    fs::write(&path, text).with_context(|| path.display().to_string())?;
    Ok(path)
}

fn play(programs: &Programs, config: &Path, size: &Size, beside_slow: bool) -> Result<Round> {
    let gateway = Running::gateway_with(programs, config)?;
    let (clients, events, rate) = (size.clients.to_string(), size.events.to_string(), RATE.to_string());
    let slow = beside_slow.then(|| gateway.begin("slow", &["--clients", &clients])).transpose()?;
    let told = gateway.load("paced", &["--clients", &clients, "--events", &events, "--rate", &rate])?;
    if let Some(slow) = slow {
        slow.end()?; // it fails where the gateway closed one of them
    }
    let p99_ms = told["p99Ms"].as_f64().context("a 99th percentile")?;
    Ok(Round { p99_ms, resident: quarters(&told["residentBytes"]), kernel: quarters(&told["kernelBytes"]) })
}

/// The means of the first and of the last quarter, in mega bytes.
fn quarters(looks: &Value) -> [f64; 2] {
    let looks: Vec<f64> = looks.as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
    let quarter = (looks.len() / 4).max(1);
    let mean = |looks: &[f64]| looks.iter().sum::<f64>() / looks.len().max(1) as f64 / 1e6;
    [mean(&looks[..quarter.min(looks.len())]), mean(&looks[looks.len().saturating_sub(quarter)..])]
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
