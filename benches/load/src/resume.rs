//! Resume: all clients lose their links, miss events, and come back at once. How long until all have everything?

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use crate::{Server, Transport, client::Client, fanout::publish, fleet::Fleet, process::cpu_seconds};

/// How long the server has to notice that its clients are gone.
const NOTICE: Duration = Duration::from_millis(500);

/// Plays it, and prints the seconds.
pub(crate) fn run(server: &Server, transport: Transport, clients: usize, missed: usize) -> Result<()> {
    let mut fleet = Fleet::new(server.address, server.admin, 1)?;
    fleet.open((0..clients).map(|name| Client::new(transport, name, true)))?;
    publish(&mut fleet, 10, 1)?;
    fleet.run_for(NOTICE)?; // acknowledged
    fleet.cut();
    fleet.run_for(NOTICE)?;
    let mut published = 0;
    fleet.run_until(|fleet| {
        while published < missed && fleet.publish()? {
            published += 1;
        }
        Ok(published == missed && fleet.publishers.are_idle())
    })?;
    let (cpu, began) = (cpu_seconds(server.pid)?, Instant::now());
    for at in 0..clients {
        fleet.connect(at)?;
    }
    fleet.run_until(|fleet| Ok(fleet.complete == 10 + missed))?;
    let seconds = began.elapsed().as_secs_f64();
    println!("{}", json!({ "seconds": seconds, "cpuSeconds": cpu_seconds(server.pid)? - cpu }));
    Ok(())
}
