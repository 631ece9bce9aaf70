//! The load of the whole-process benches: many cheap clients in one thread, and the *ceiling*, a bare writer.
//!
//! `cargo xtask bench` starts the gateway on one core and this on another. Each command here plays one scene against
//! a server, reads what the server's process has used of CPU or memory from `/proc`, and prints one line of JSON.
//! Clients do what the protocol asks of them (acknowledge, answer pings, poll again) and parse no more than that needs;
//! they check that each event comes once and in order.
//!
//! Read on in [`ceiling`] for what the gateway is compared with, in [`client`] for what a client says, in [`fleet`] for
//! how many of them run ([`webtransport`] for QUIC), and in the scenes: [`fanout`], [`resume`], [`memory`], [`paced`] and
//! [`slow`].

mod ceiling;
mod client;
mod fanout;
mod fleet;
mod memory;
mod paced;
mod process;
mod publishers;
mod resume;
mod slow;
mod webtransport;
mod wire;

use std::net::SocketAddr;

use clap::{Args, Parser, Subcommand, ValueEnum};

fn main() -> anyhow::Result<()> {
    match Load::parse().scene {
        Scene::Ceiling { transport } => ceiling::run(transport),
        Scene::Fanout { server, transport, clients, events, warm_up, outstanding, silent } => {
            let plan =
                fanout::Plan { transport, clients, events, warm_up, outstanding, acknowledge: !silent };
            match transport {
                Transport::Webtransport => webtransport::fanout(&server, plan),
                _ => fanout::run(&server, plan),
            }
        }
        Scene::Resume { server, transport, clients, missed } => {
            resume::run(&server, transport, clients, missed)
        }
        Scene::Paced { server, clients, warm_up, events, rate } => {
            paced::run(&server, paced::Plan { clients, warm_up, events, rate })
        }
        Scene::Slow { server, clients } => slow::run(&server, clients),
        Scene::Memory { server, kind: memory::Kind::Webtransport, warm_up, sessions } => {
            webtransport::hold(&server, warm_up, sessions)
        }
        Scene::Memory { server, kind, warm_up, sessions } => memory::run(&server, kind, warm_up, sessions),
    }
}

/// Many cheap clients, and a bare writer.
#[derive(Parser)]
#[command(name = "throughline-load")]
struct Load {
    #[command(subcommand)]
    scene: Scene,
}

#[derive(Subcommand)]
enum Scene {
    /// Be the server, and only write bytes that are ready made.
    Ceiling {
        #[arg(long)]
        transport: Transport,
    },
    /// Publish to many clients; print the server's CPU.
    Fanout {
        #[command(flatten)]
        server: Server,
        #[arg(long)]
        transport: Transport,
        #[arg(long, default_value_t = 1_000)]
        clients: usize,
        #[arg(long, default_value_t = 300)]
        events: usize,
        /// Events that are not measured, before those that are.
        #[arg(long, default_value_t = 50)]
        warm_up: usize,
        /// Events published that not all clients have yet.
        #[arg(long, default_value_t = 1)]
        outstanding: usize,
        /// Acknowledge nothing: the ceiling would not know what to do with it.
        #[arg(long)]
        silent: bool,
    },
    /// Cut all clients, publish, let them come back; print how long until all have everything.
    Resume {
        #[command(flatten)]
        server: Server,
        #[arg(long)]
        transport: Transport,
        #[arg(long, default_value_t = 1_000)]
        clients: usize,
        /// Events that each client misses.
        #[arg(long, default_value_t = 100)]
        missed: usize,
    },
    /// Publish at a steady rate to many WebSockets; print how long deliveries take, and the memory meanwhile.
    Paced {
        #[command(flatten)]
        server: Server,
        #[arg(long, default_value_t = 1_000)]
        clients: usize,
        /// Events that are not measured, before those that are.
        #[arg(long, default_value_t = 1_500)]
        warm_up: usize,
        #[arg(long, default_value_t = 400)]
        events: usize,
        /// Events published each second.
        #[arg(long, default_value_t = 20.0)]
        rate: f64,
    },
    /// Read one byte a second of each of many WebSockets until the standard input ends; print a line once all are subscribed.
    Slow {
        #[command(flatten)]
        server: Server,
        #[arg(long, default_value_t = 1_000)]
        clients: usize,
    },
    /// Hold many sessions; print what each costs the server's memory.
    Memory {
        #[command(flatten)]
        server: Server,
        #[arg(long)]
        kind: memory::Kind,
        /// Sessions that are there before the first look, so that what is made once does not count.
        #[arg(long, default_value_t = 500)]
        warm_up: usize,
        #[arg(long, default_value_t = 10_000)]
        sessions: usize,
    },
}

/// The server that is measured.
#[derive(Args)]
struct Server {
    /// Where its clients connect.
    #[arg(long)]
    address: SocketAddr,
    /// Where events are published.
    #[arg(long)]
    admin: SocketAddr,
    /// Its process.
    #[arg(long)]
    pid: u32,
}

/// How clients connect.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Transport {
    Websocket,
    Sse,
    Polling,
    /// Fan-out and memory alone; there is no ceiling of it.
    Webtransport,
}
