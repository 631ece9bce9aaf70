//! The table of docs/drain.md.

use std::fmt::Write as _;

use super::Drain;
use crate::judged::shares;

/// The document.
pub fn document(run: &Drain, machine: &str) -> String {
    let mut text = HEAD.replace("MACHINE", machine);
    text.push_str("| | |\n| --- | --- |\n");
    for (name, cell) in ROWS {
        let _ = writeln!(text, "| {name} | {} |", cell(run));
    }
    let _ = write!(text, "\nWhat the successor counted:\n\n{}", run.judged.listing());
    text
}

type Cell = fn(&Drain) -> String;

const ROWS: &[(&str, Cell)] = &[
    ("sessions; let in by either gateway", |run| {
        format!("{}; {} a second", run.plan.sessions, run.plan.rate)
    }),
    ("the successor has the listening sockets, its predecessor has ended after", |run| {
        run.took.map(|took| seconds(took.as_millis() as u64)).join(", ")
    }),
    ("**connections refused or reset, links lost without a word**", |run| format!("**{}**", run.breaks)),
    ("**told when to come back, once**; told again", |run| {
        format!("**{}** of {}; {}", run.returns.told_once, run.plan.sessions, run.returns.told_again)
    }),
    ("**let in at their time, on their slot**", |run| format!("**{}** of {}", run.kept, run.plan.sessions)),
    ("connections begun since, of each client on average", |run| {
        let attempts = run.returns.attempts;
        format!("{attempts}, {:.2}", attempts as f64 / f64::from(run.plan.sessions))
    }),
    ("away: half, 99 of 100, all at most", |run| shares(&run.returns.away, run.plan.sessions, seconds)),
    ("back after their time: half, 99 of 100, all at most", |run| {
        shares(&run.returns.late, run.plan.sessions, seconds)
    }),
    ("on WebTransport again in the end", |run| run.returns.by_webtransport.to_string()),
    ("**gaps told, of each channel of each session**", |run| run.judged.gaps()),
    ("**events lost in silence, doubled, reordered, wrong**", |run| run.judged.losses()),
    ("sent to the application: accepted, refused, of unknown outcome", |run| run.judged.outcomes()),
    ("**applied twice, accepted and not applied**; delivered again", |run| run.judged.applied()),
];

fn seconds(ms: u64) -> String {
    format!("{:.2} s", ms as f64 / 1_000.0)
}

const HEAD: &str = "# A drain to a successor

Written by `cargo xtask drain --write`: every figure here is of one run of that command. `throughline serve` has its sessions, and
a second one is started that takes its listening sockets over (`handover.socket`), as it is described in
[operations](operations.md#drain-and-upgrades). Both have the same keys; the second knows no session, and its channels begin anew. 45 of 100 clients
are on a WebSocket, 30 poll, 20 have an event stream and 5 are on WebTransport; they run in two processes and connect from
127.0.0.1 and 127.0.0.2. Each holds two channels, to which events are published throughout, and sends to an application
behind the webhook. What is played is in [`tests/restart`](../tests/restart/src/lib.rs).

Gateways, clients and application shared one machine: MACHINE.

What is in bold was stated before it was measured: that no connection is refused or reset, that each client is told when to come back, and
is let in then, that each is told a gap in each of its channels, that no event is lost in silence, doubled or reordered,
and that nothing that a client sent is applied twice. A client counts as away from when it is told until a link carries
its session.

";
