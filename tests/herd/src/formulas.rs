//! How other clients come back: to a gateway that takes everybody, so each is back with its first attempt after the
//! recovery. Each formula is the shipped default of its client, in words of our own.

use crate::{figures::Run, random::Random, world::Plan};

/// A way to wait.
#[derive(Clone, Copy, Debug)]
pub struct Formula {
    /// What ships it.
    pub name: &'static str,
    /// Where it is found, and at which commit.
    pub source: &'static str,
    /// How long attempt `n` (from 1) waits for a random number from 0 to below 1; `None` where it gives up.
    wait_ms: fn(u32, f64) -> Option<u64>,
}

/// All of them.
pub const ALL: [Formula; 4] = [
    Formula {
        name: "full jitter, 1 s to 30 s",
        source: "the formula alone, without a window",
        wait_ms: full_jitter,
    },
    Formula {
        name: "Socket.IO",
        source: "socketio/socket.io `packages/socket.io-client/lib/contrib/backo2.ts` at 7f78747, with the defaults of \
                 `manager.ts` (1 s, 5 s, 0.5)",
        wait_ms: socket_io,
    },
    Formula {
        name: "SignalR",
        source: "dotnet/aspnetcore `src/SignalR/clients/ts/signalr/src/DefaultReconnectPolicy.ts` at 280f4a4 \
                 (`withAutomaticReconnect()`)",
        wait_ms: signalr,
    },
    Formula {
        name: "Phoenix",
        source: "phoenixframework/phoenix `assets/js/phoenix/socket.js` at 015d814 (`reconnectAfterMs`)",
        wait_ms: phoenix,
    },
];

impl Formula {
    /// Plays a crash.
    pub fn play(&self, plan: Plan) -> Run {
        let mut random = Random::from_seed(plan.seed);
        let mut run = Run { clients: plan.clients, down_ms: plan.down_ms, ..Run::default() };
        for _ in 0..plan.clients {
            let trip_ms = random.between(5, 75);
            let mut at_ms = trip_ms; // it hears of the crash
            for attempt in 1.. {
                let Some(wait_ms) = (self.wait_ms)(attempt, random.unit()) else { break };
                at_ms += wait_ms;
                run.attempts.push(at_ms);
                if at_ms >= plan.down_ms {
                    run.back.push(at_ms + 6 * trip_ms);
                    break;
                }
                at_ms += 2 * trip_ms;
            }
        }
        run
    }
}

fn full_jitter(attempt: u32, random: f64) -> Option<u64> {
    let bound = (1_000_u64 << (attempt - 1).min(20)).min(30_000);
    Some((random * bound as f64) as u64)
}

fn socket_io(attempt: u32, random: f64) -> Option<u64> {
    let ms = 1_000.0 * 2_f64.powi(attempt as i32 - 1);
    let deviation = (random * 0.5 * ms).floor();
    let ms = if ((random * 10.0) as u32).is_multiple_of(2) { ms - deviation } else { ms + deviation };
    Some(ms.min(5_000.0) as u64)
}

fn signalr(attempt: u32, _: f64) -> Option<u64> {
    [0, 2_000, 10_000, 30_000].get(attempt as usize - 1).copied()
}

fn phoenix(attempt: u32, _: f64) -> Option<u64> {
    let steps = [10, 50, 100, 150, 200, 250, 500, 1_000, 2_000];
    Some(steps.get(attempt as usize - 1).copied().unwrap_or(5_000))
}
