//! `throughline serve`: a gateway with two listeners, until a signal.

use std::{io::Write as _, net::SocketAddr, time::Duration};

use anyhow::Context as _;
use throughline_wire::frame::{Backoff, Limits};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{config::Settings, logs};
use crate::{
    Gateway, Handle,
    broker::MemoryConfig,
    channel::Retention,
    gateway::GatewayConfig,
    http::{
        OriginPolicy,
        admin::{Admin, AdminConfig},
        listener::{self, ListenerConfig},
    },
    session::{SessionConfig, TokenKeys},
};

/// Runs until a signal, then says goodbye.
pub(super) fn run(settings: &Settings) -> anyhow::Result<()> {
    logs::init(&settings.log.format, &settings.log.filter)?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().thread_name("throughline");
    if let threads @ 1.. = settings.runtime.worker_threads as usize {
        runtime.worker_threads(threads);
    }
    let runtime = runtime.build().context("the runtime does not start")?;
    let served = runtime.block_on(serve(settings));
    // What is still running has had its time.
    runtime.shutdown_background();
    served
}

async fn serve(settings: &Settings) -> anyhow::Result<()> {
    let mut signals = signals()?;
    let clients = bind(&settings.clients.listen).await?;
    let admin = bind(&settings.admin.listen).await?;
    let is_loopback = clients.local_addr()?.ip().is_loopback();
    let gateway = gateway(settings, is_loopback)?;
    let handle = gateway.handle();
    let admin_config = admin_config(settings, admin.local_addr()?)?;
    announce(settings, clients.local_addr()?, admin.local_addr()?)?;

    let connections = ListenerConfig {
        header_timeout: ms(settings.http.header_timeout_ms),
        keep_alive: ms(settings.http.keep_alive_ms),
        connections: settings.http.connections as usize,
        ..ListenerConfig::default()
    };
    let stop = CancellationToken::new();
    let admin_service = Admin::new(handle.clone(), admin_config);
    let listeners = [
        tokio::spawn(listener::serve(clients, gateway, connections, stop.clone())),
        tokio::spawn(listener::serve(admin, admin_service, connections, stop.clone())),
    ];
    let signal = signals.recv().await;
    tracing::info!(signal, "stopping");
    tokio::select! {
        () = stop_politely(&handle, ms(settings.clients.shutdown_ms), &stop, listeners) => tracing::info!("stopped"),
        _ = signals.recv() => tracing::warn!("stopped at once: a second signal came"),
    }
    Ok(())
}

/// Says goodbye on every link, then ends the connections. Until then whoever connects is told to come back later.
async fn stop_politely(
    handle: &Handle,
    deadline: Duration,
    stop: &CancellationToken,
    listeners: [JoinHandle<()>; 2],
) {
    if !handle.shutdown(deadline).await {
        tracing::warn!(deadline_ms = deadline.as_millis() as u64, "some clients did not take their goodbye");
    }
    stop.cancel();
    for listener in listeners {
        let _ = tokio::time::timeout(LINGER, listener).await;
    }
}

fn gateway(settings: &Settings, is_loopback: bool) -> anyhow::Result<Gateway> {
    let Settings { clients, http, session, limits, retention, .. } = settings;
    let keys = match settings.signing_keys().map_err(anyhow::Error::msg)? {
        Some(keys) => keys,
        None => {
            tracing::warn!("no `token_keys` are configured: no session outlives this process");
            let mut secret = [0; 32];
            getrandom::fill(&mut secret).context("the system gives no randomness")?;
            TokenKeys::from_random(secret)
        }
    };
    let config = GatewayConfig {
        base_path: clients.base_path.clone(),
        message_bytes: limits.message_bytes as usize,
        body_timeout: ms(http.body_timeout_ms),
        handler_timeout: ms(session.handler_timeout_ms),
        sessions: limits.sessions as usize,
        admission_rate: session.admission_rate,
        origins: OriginPolicy { allowed: clients.origins.clone(), is_loopback },
    };
    let sessions = SessionConfig {
        resume_window_ms: session.resume_window_ms,
        provisional_ms: session.provisional_ms,
        heartbeat_ms: session.heartbeat_ms,
        poll_hold_ms: session.poll_hold_ms,
        probe_ms: session.probe_ms,
        backoff: Backoff { base_ms: session.backoff_base_ms, cap_ms: session.backoff_cap_ms },
        limits: Limits {
            commands_ahead: limits.commands_ahead,
            unacknowledged_items: limits.unacknowledged_items,
            unacknowledged_bytes: limits.unacknowledged_bytes,
            subscriptions: limits.subscriptions,
            ..Limits::default()
        },
        links: limits.links as usize,
        ..SessionConfig::new(keys)
    };
    let memory = MemoryConfig {
        retention: Retention {
            events: retention.events as usize,
            bytes: retention.bytes as usize,
            age_ms: retention.age_ms,
        },
        budget_bytes: retention.budget_bytes,
        channels: limits.channels as usize,
    };
    Ok(Gateway::builder().config(config).session(sessions).memory(memory).build())
}

fn admin_config(settings: &Settings, address: SocketAddr) -> anyhow::Result<AdminConfig> {
    Ok(AdminConfig {
        key: settings.admin_key().map_err(anyhow::Error::msg)?,
        is_loopback: address.ip().is_loopback(),
        hosts: settings.admin.hosts.clone(),
        body_bytes: settings.admin.body_bytes as usize,
        event_bytes: settings.admin.event_bytes as usize,
        body_timeout: ms(settings.http.body_timeout_ms),
    })
}

async fn bind(address: &str) -> anyhow::Result<TcpListener> {
    listener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

/// Says where it listens, and what to try.
fn announce(settings: &Settings, clients: SocketAddr, admin: SocketAddr) -> anyhow::Result<()> {
    let base = &settings.clients.base_path;
    let url = if clients.port() == 7080 && base.is_empty() {
        String::new()
    } else {
        format!(" --url http://{clients}{base}")
    };
    let admin_url = if admin.port() == 7081 { String::new() } else { format!(" --admin http://{admin}") };
    let mut out = std::io::stdout().lock();
    writeln!(out, "throughline {}", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "clients  http://{clients}{base}/")?;
    writeln!(out, "admin    http://{admin}/")?;
    writeln!(out, "try      throughline listen news{url}")?;
    writeln!(out, "         throughline publish news '{{\"hello\":\"world\"}}'{admin_url}")?;
    out.flush()?;
    Ok(())
}

/// The signals that end the process, by name, as they come.
fn signals() -> anyhow::Result<mpsc::Receiver<&'static str>> {
    let (to, signals) = mpsc::channel(2);
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        for (kind, name) in [(SignalKind::terminate(), "SIGTERM"), (SignalKind::interrupt(), "SIGINT")] {
            let mut signal = signal(kind).context("signals cannot be heard")?;
            let to = to.clone();
            tokio::spawn(
                async move { while signal.recv().await.is_some() && to.send(name).await.is_ok() {} },
            );
        }
    }
    #[cfg(not(unix))]
    tokio::spawn(
        async move { while tokio::signal::ctrl_c().await.is_ok() && to.send("Ctrl-C").await.is_ok() {} },
    );
    Ok(signals)
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// How long connections may take to end once everything is said.
const LINGER: Duration = Duration::from_secs(1);
