//! Memory: many sessions of one kind, at rest. How many resident bytes has each?
//!
//! Counted between a first few and the rest, so that what the server makes once, or keeps for reuse, is not booked on
//! them. What the kernel holds for a socket is not in it.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::ValueEnum;
use serde_json::json;

use crate::{Server, Transport, client::Client, fleet::Fleet, process::pss_bytes};

/// How long the server has to come to rest.
pub(crate) const REST: Duration = Duration::from_secs(3);
/// Connections over which sessions are opened that then have none.
const DOORS: usize = 64;

/// What a session is at rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Kind {
    /// No link; one subscription, an empty journal.
    Detached,
    /// An open WebSocket on which nothing is said.
    Websocket,
    /// An open event stream on which nothing is said.
    Sse,
    /// A poll that waits, not the first of its connection.
    Poll,
    /// An open WebTransport session on which nothing is said.
    Webtransport,
}

/// Opens them, and prints what each costs.
pub(crate) fn run(server: &Server, kind: Kind, warm_up: usize, sessions: usize) -> Result<()> {
    let mut fleet = Fleet::new(server.address, server.admin, 1)?;
    let mut opened = 0;
    let mut look = |fleet: &mut Fleet, count: usize| -> Result<u64> {
        match kind {
            Kind::Detached => leave_behind(fleet, opened, count)?,
            Kind::Websocket => open(fleet, Transport::Websocket, opened, count)?,
            Kind::Sse => open(fleet, Transport::Sse, opened, count)?,
            Kind::Poll => open(fleet, Transport::Polling, opened, count)?,
            Kind::Webtransport => bail!("QUIC is not for this fleet"),
        }
        opened += count;
        fleet.run_for(REST)?;
        pss_bytes(server.pid)
    };
    let before = look(&mut fleet, warm_up)?;
    let after = look(&mut fleet, sessions)?;
    print(before, after, sessions);
    Ok(())
}

/// Prints what each of so many costs.
pub(crate) fn print(before: u64, after: u64, sessions: usize) {
    let each = after.saturating_sub(before) as f64 / sessions as f64;
    println!("{}", json!({ "bytesEach": each, "sessions": sessions }));
}

/// Clients that stay; a poll that is answered is followed by one that waits.
fn open(fleet: &mut Fleet, transport: Transport, first: usize, count: usize) -> Result<()> {
    fleet.open((first..first + count).map(|name| Client::new(transport, name, true)))
}

/// Sessions whose clients have left, opened over a few connections.
fn leave_behind(fleet: &mut Fleet, first: usize, count: usize) -> Result<()> {
    let mut next = first;
    let end = first + count;
    if fleet.clients.is_empty() {
        fleet.open((0..DOORS).map(Client::leaving))?;
        next += DOORS;
    } else {
        next = begin(fleet, 0..DOORS, next, end)?;
    }
    fleet.run_until(|fleet| {
        next = begin(fleet, 0..DOORS, next, end)?;
        Ok(next == end && fleet.clients.iter().all(|client| client.has_left))
    })
}

/// Starts another client at each door that is free.
fn begin(fleet: &mut Fleet, doors: std::ops::Range<usize>, mut next: usize, end: usize) -> Result<usize> {
    for at in doors {
        if next < end && fleet.clients[at].has_left {
            fleet.replace(at, Client::leaving(next))?;
            next += 1;
        }
    }
    Ok(next)
}
