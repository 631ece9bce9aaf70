//! The table of docs/crash.md.

use std::fmt::Write as _;

use crate::{
    crash::{CEILINGS, Crash},
    dial::By,
    judged::shares,
};

/// The document.
pub fn document(runs: &[Crash], machine: &str) -> String {
    let mut text = HEAD.replace("MACHINE", machine);
    let _ = writeln!(text, "| |{}", runs.iter().map(|run| format!(" {} |", title(run))).collect::<String>());
    let _ = writeln!(text, "| --- |{}", " --- |".repeat(runs.len()));
    for (name, cell) in ROWS {
        let _ = writeln!(
            text,
            "| {name} |{}",
            runs.iter().map(|run| format!(" {} |", cell(run))).collect::<String>()
        );
    }
    for run in runs {
        let (title, counted) = (title(run), run.judged.listing());
        let _ = write!(text, "\n## {title}\n\nWhat the second gateway counted:\n\n{counted}");
    }
    text
}

type Cell = fn(&Crash) -> String;

const ROWS: &[(&str, Cell)] = &[
    ("sessions: WebSocket and polling", |run| {
        format!("{} and {}", run.plan.sessions.div_ceil(2), run.plan.sessions / 2)
    }),
    ("all open after", |run| seconds(run.opened.as_millis() as u64)),
    ("**resident bytes a session, before**", |run| {
        format!("**{}** of {}", run.resident_each()[0], CEILINGS.resident_bytes)
    }),
    ("**resident bytes a session, afterwards**", |run| {
        format!("**{}** of {}", run.resident_each()[1], CEILINGS.resident_bytes)
    }),
    ("**connections that found the listener's queue full**, dropped", |run| {
        format!("**{}**, {}", run.listening.overflows, run.listening.drops)
    }),
    ("connections begun while nobody was there", |run| run.figures.while_down.to_string()),
    ("connections begun afterwards, of each client on average", |run| {
        format!("{}, {:.2}", run.figures.after(), run.figures.after() as f64 / f64::from(run.plan.sessions))
    }),
    ("of them by WebSocket, event stream, polling, posts, refused", |run| {
        let by = [By::WebSocket, By::Sse, By::Polling, By::Post, By::Refused];
        by.map(|by| run.figures.attempts.get(&by).copied().unwrap_or(0).to_string()).join(", ")
    }),
    ("begun in 100 ms, at most", |run| {
        let (count, at_ms) = run.figures.peak();
        format!("{count}, at {}", seconds(at_ms))
    }),
    ("**raced by several transports to be back**; polled beside one that was silent", |run| {
        let polls = run.figures.beside.get(&By::Polling).unwrap_or(&0);
        format!("**{}**; {polls}", run.figures.races())
    }),
    ("back: half, 99 of 100, all", |run| shares(&run.figures.back, run.plan.sessions, seconds)),
    ("on the transport that it wants: half, 99 of 100, all", |run| {
        shares(&run.figures.wanted, run.plan.sessions, seconds)
    }),
    ("back on it at once, or moved up later", |run| {
        format!("{}, {}", run.figures.straight, run.figures.upgrades.iter().sum::<u32>())
    }),
    ("moved up in a second, at most", |run| run.figures.upgrades.iter().max().unwrap_or(&0).to_string()),
    ("**gaps told, of each channel of each session**", |run| run.judged.gaps()),
    ("**events lost in silence, doubled, reordered, wrong**", |run| run.judged.losses()),
    ("sent to the application: accepted, refused, of unknown outcome", |run| run.judged.outcomes()),
    ("**applied twice, accepted and not applied**; delivered again", |run| run.judged.applied()),
    ("processor seconds until all were back: gateway, clients", |run| {
        format!("{:.1}, {:.1}", run.processor[0], run.processor[1])
    }),
    ("resident bytes of a client, in its own process", |run| run.client_bytes.to_string()),
];

fn title(run: &Crash) -> String {
    format!("nobody there for {} s", run.plan.pause.as_secs_f64())
}

fn seconds(ms: u64) -> String {
    format!("{:.1} s", ms as f64 / 1_000.0)
}

const HEAD: &str = "# Crashes

Written by `cargo xtask crash`: every figure here is of one run of that command. `throughline serve` is killed with -9 under its
sessions, and another is started on the same port after a while: it has the same keys, knows no session, and its channels begin
anew. The clients are the Rust client as it is by default, half of them told to poll and nothing else; they run in two
processes and connect from 127.0.0.1 and 127.0.0.2. Each holds two channels, to which events are published throughout. What
is played is in [`tests/restart`](../tests/restart/src/lib.rs).

Gateway, clients and application shared one machine: MACHINE.

What is in bold was stated before it was measured: how much memory a session may take, that no connection finds the listener's
queue full, that each client comes back by one transport, that each is told a gap in each of its channels, and that no
event is lost in silence, doubled or reordered, and that nothing that a client sent is applied twice. Times count from when the second gateway is there.

";
