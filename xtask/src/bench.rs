//! Whole-process figures: what a delivery, a resume and a session at rest cost the gateway.
//!
//! The gateway runs on one core, as `throughline serve` with one worker thread and a door that lets everybody in at once; its
//! clients (`benches/load`) run on another. What a delivery costs is told as a multiple of what it costs a bare writer
//! that only writes ready-made bytes to the same kind of sockets, since machines differ and one machine's speed moves
//! from minute to minute: the two take turns, and the figure is the median of the turns' ratios.
//!
//! [`server`] starts and ends processes; what is printed here is what docs/benchmarks.md shows.

pub(crate) mod server;

use anyhow::Result;
use serde_json::Value;

use crate::cargo::Workspace;
use server::{Programs, Running};

/// How much is played.
struct Size {
    rounds: usize,
    clients: u64,
    /// Events one at a time, and with [`OUTSTANDING`].
    events: u64,
    more_events: u64,
    /// Sessions at rest.
    sessions: u64,
}

const FULL: Size = Size { rounds: 3, clients: 1_000, events: 300, more_events: 2_000, sessions: 10_000 };
const QUICK: Size = Size { rounds: 1, clients: 1_000, events: 50, more_events: 400, sessions: 2_000 };

/// Events under way where writes can coalesce.
const OUTSTANDING: u64 = 16;
/// Events that a session misses before it resumes.
const MISSED: u64 = 100;

/// Measures everything, and prints it as tables.
pub(crate) fn bench(workspace: &Workspace, quick: bool) -> Result<()> {
    let size = if quick { QUICK } else { FULL };
    let programs = Programs::build(workspace)?;
    println!("\nload average before: {}", server::load_average());
    fan_out(&programs, &size)?;
    resume(&programs, &size)?;
    at_rest(&programs, &size)?;
    println!("\nload average after: {}", server::load_average());
    Ok(())
}

fn fan_out(programs: &Programs, size: &Size) -> Result<()> {
    println!(
        "\n| fan-out to {} sessions, 128 B | gateway, x ceiling | aim | with {OUTSTANDING} outstanding, x ceiling | aim | \
         ceiling with {OUTSTANDING} | ceiling, CPU-s per million | median until the last has it, ms |",
        size.clients
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for (transport, ceiling_of, aim, coalesced_aim) in [
        ("websocket", "websocket", "1.2", "0.16"),
        ("sse", "sse", "1.25", ""),
        ("polling", "polling", "1.5", ""),
        // A bare writer of QUIC would not be bare: its costs are told by the ceiling of what it stands in for.
        ("webtransport", "websocket", "", ""),
    ] {
        let (mut one, mut many, mut ceiling_many) = (Vec::new(), Vec::new(), Vec::new());
        let (mut per_million, mut waits) = (Vec::new(), Vec::new());
        for _ in 0..size.rounds {
            let ceiling = Running::ceiling(programs, ceiling_of)?;
            let base = cost(&deliver(&ceiling, ceiling_of, size.clients, size.events, 1, true)?);
            ceiling_many.push(
                cost(&deliver(&ceiling, ceiling_of, size.clients, size.more_events, OUTSTANDING, true)?)
                    / base,
            );
            drop(ceiling);
            // Each has a gateway of its own: no session of before waits there for its client.
            let told = {
                let gateway = Running::gateway(programs)?;
                deliver(&gateway, transport, size.clients, size.events, 1, false)?
            };
            let gateway = Running::gateway(programs)?;
            let coalesced = deliver(&gateway, transport, size.clients, size.more_events, OUTSTANDING, false)?;
            one.push(cost(&told) / base);
            many.push(cost(&coalesced) / base);
            per_million.push(base * 1e6);
            waits.push(told["medianMs"].as_f64().unwrap_or(f64::NAN));
        }
        println!(
            "| {transport} | {} | {aim} | {} | {coalesced_aim} | {:.2} | {:.2} | {:.1} |",
            range(&mut one),
            range(&mut many),
            median(&mut ceiling_many),
            median(&mut per_million),
            median(&mut waits)
        );
    }
    Ok(())
}

fn resume(programs: &Programs, size: &Size) -> Result<()> {
    println!(
        "\n| {} sessions resume, {MISSED} missed events each | seconds until all have all | aim | CPU-s of the gateway |",
        size.clients
    );
    println!("| --- | --- | --- | --- |");
    for (transport, aim) in [("websocket", "0.15"), ("sse", ""), ("polling", "")] {
        let (mut seconds, mut cpu) = (Vec::new(), Vec::new());
        for _ in 0..size.rounds {
            let gateway = Running::gateway(programs)?;
            let (clients, missed) = (size.clients.to_string(), MISSED.to_string());
            let result = gateway
                .load("resume", &["--transport", transport, "--clients", &clients, "--missed", &missed])?;
            seconds.push(number(&result, "seconds"));
            cpu.push(number(&result, "cpuSeconds"));
        }
        println!("| {transport} | {} | {aim} | {:.3} |", range(&mut seconds), median(&mut cpu));
    }
    Ok(())
}

fn at_rest(programs: &Programs, size: &Size) -> Result<()> {
    println!("\n| at rest, {} of them | resident bytes each (PSS) | aim |", size.sessions);
    println!("| --- | --- | --- |");
    for (kind, name, aim, most) in [
        ("detached", "detached session", "1,024", u64::MAX),
        ("websocket", "idle WebSocket session", "4,096", u64::MAX),
        // A client has a second connection, for what it posts.
        ("sse", "idle event stream and its session (8,000 of them)", "", 8_000),
        ("poll", "parked poll and its session, from the second poll on", "12,288", u64::MAX),
        // Its clients have as much memory for each as the gateway, and more.
        ("webtransport", "idle WebTransport session (4,000 of them)", "", 4_000),
    ] {
        let mut bytes = Vec::new();
        for _ in 0..size.rounds.min(3) {
            let gateway = Running::gateway(programs)?;
            let sessions = size.sessions.min(most).to_string();
            let result = gateway.load("memory", &["--kind", kind, "--sessions", &sessions])?;
            bytes.push(number(&result, "bytesEach"));
        }
        println!("| {name} | {:.0} | {aim} |", median(&mut bytes));
    }
    Ok(())
}

/// One fan-out. The ceiling's clients are silent: it would not know what to do with an acknowledgement.
fn deliver(
    server: &Running<'_>,
    transport: &str,
    clients: u64,
    events: u64,
    outstanding: u64,
    silent: bool,
) -> Result<Value> {
    let (clients, events, outstanding) = (clients.to_string(), events.to_string(), outstanding.to_string());
    let mut arguments = vec!["--transport", transport, "--clients", &clients];
    arguments.extend(["--events", &events, "--outstanding", &outstanding]);
    if silent {
        arguments.push("--silent");
    }
    server.load("fanout", &arguments)
}

/// Seconds of CPU for one delivery.
fn cost(result: &Value) -> f64 {
    number(result, "cpuSeconds") / number(result, "deliveries")
}

fn number(result: &Value, name: &str) -> f64 {
    result[name].as_f64().unwrap_or(f64::NAN)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The median, with the least and the most.
fn range(values: &mut [f64]) -> String {
    let middle = median(values);
    match (values.first(), values.last()) {
        (Some(least), Some(most)) if values.len() > 1 => {
            format!("**{middle:.2}** ({least:.2}-{most:.2})")
        }
        _ => format!("**{middle:.2}**"),
    }
}
