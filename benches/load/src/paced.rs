//! Paced fan-out: one channel, many WebSockets, so many events a second. How long do deliveries take, and what of the
//! server's memory, and of the kernel's for sockets, meanwhile?
//!
//! First more is published than the channel's log and a session's window hold, so that whoever does not read has come to
//! its end when the clock starts.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use crate::{
    Server, Transport,
    client::Client,
    fanout,
    fleet::Fleet,
    memory::REST,
    process::{resident_bytes, tcp_bytes},
};

/// Events under way while it is not measured.
const OUTSTANDING: usize = 16;
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// What is played.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) clients: usize,
    pub(crate) warm_up: usize,
    pub(crate) events: usize,
    pub(crate) rate: f64,
}

/// Plays it, and prints what it took.
pub(crate) fn run(server: &Server, plan: Plan) -> Result<()> {
    let mut fleet = Fleet::new(server.address, server.admin, OUTSTANDING)?;
    fleet.open((0..plan.clients).map(|name| Client::new(Transport::Websocket, name, true)))?;
    fanout::publish(&mut fleet, plan.warm_up, OUTSTANDING)?;
    fleet.run_for(REST)?;
    fleet.time_deliveries();
    let (began, already) = (Instant::now(), fleet.complete);
    let (mut published, mut looks) = (0, Vec::new());
    fleet.run_until(|fleet| {
        while published < plan.events
            && began.elapsed().as_secs_f64() * plan.rate >= published as f64
            && fleet.publish()?
        {
            published += 1;
        }
        if began.elapsed() >= LOOK * looks.len() as u32 {
            looks.push((resident_bytes(server.pid)?, tcp_bytes()?));
        }
        Ok(fleet.complete == already + plan.events && fleet.publishers.are_idle())
    })?;
    let mut waits = fleet.waits_ms();
    waits.sort_unstable_by(f64::total_cmp);
    let (resident, kernel): (Vec<u64>, Vec<u64>) = looks.into_iter().unzip();
    let result = json!({
        "deliveries": waits.len(),
        "medianMs": waits[waits.len() / 2],
        "p99Ms": waits[waits.len() * 99 / 100],
        "residentBytes": resident,
        "kernelBytes": kernel,
    });
    println!("{result}");
    Ok(())
}
