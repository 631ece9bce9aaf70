//! Fan-out: one channel, many subscribers, so many events under way. What does a delivery cost the server?

use std::time::Instant;

use anyhow::Result;
use serde_json::json;

use crate::{Server, Transport, client::Client, fleet::Fleet, process::cpu_seconds};

/// What is played.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) transport: Transport,
    pub(crate) clients: usize,
    pub(crate) events: usize,
    pub(crate) warm_up: usize,
    pub(crate) outstanding: usize,
    pub(crate) acknowledge: bool,
}

/// Plays it, and prints the CPU that the server used.
pub(crate) fn run(server: &Server, plan: Plan) -> Result<()> {
    let mut fleet = Fleet::new(server.address, server.admin, plan.outstanding)?;
    fleet.open((0..plan.clients).map(|name| Client::new(plan.transport, name, plan.acknowledge)))?;
    publish(&mut fleet, plan.warm_up, plan.outstanding)?;
    let (cpu, began) = (cpu_seconds(server.pid)?, Instant::now());
    let waits = publish(&mut fleet, plan.events, plan.outstanding)?;
    let (cpu, seconds) = (cpu_seconds(server.pid)? - cpu, began.elapsed().as_secs_f64());
    print(&plan, cpu, seconds, waits);
    Ok(())
}

/// Prints what it took.
pub(crate) fn print(plan: &Plan, cpu: f64, seconds: f64, mut waits: Vec<f64>) {
    waits.sort_unstable_by(f64::total_cmp);
    let result = json!({
        "deliveries": plan.events * plan.clients,
        "cpuSeconds": cpu,
        "seconds": seconds,
        "medianMs": waits[waits.len() / 2],
        "p99Ms": waits[waits.len() * 99 / 100],
    });
    println!("{result}");
}

/// Publishes events, never more than `outstanding` that some client does not have; gives the milliseconds that each
/// took to reach the last.
pub(crate) fn publish(fleet: &mut Fleet, events: usize, outstanding: usize) -> Result<Vec<f64>> {
    let first = fleet.complete;
    let (mut sent, mut waits) = (Vec::with_capacity(events), Vec::with_capacity(events));
    fleet.run_until(|fleet| {
        let complete = fleet.complete - first;
        waits.extend(
            sent[waits.len()..complete].iter().map(|sent: &Instant| sent.elapsed().as_secs_f64() * 1e3),
        );
        while sent.len() < events && sent.len() < complete + outstanding && fleet.publish()? {
            sent.push(Instant::now());
        }
        Ok(complete == events && fleet.publishers.are_idle())
    })?;
    Ok(waits)
}
