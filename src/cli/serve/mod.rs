//! `throughline serve`: a gateway with its listeners, until a signal.
//!
//! `gateway` makes one of the settings, `sockets` binds what it listens on and says where that is.

mod gateway;
mod secrets;
mod sockets;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use self::{secrets::Secrets, sockets::Sockets};
use super::{config::Settings, logs};
use crate::{
    Handle,
    gateway::Door,
    http::{
        admin::Admin,
        listener::{self, ListenerConfig, Tls, TlsConfig},
    },
};

/// Runs until a signal, then says goodbye.
pub(super) fn run(settings: &Settings) -> anyhow::Result<()> {
    logs::init(&settings.log.format, &settings.log.filter)?;
    raise_open_files();
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
    // Heard before anybody is told that there is somebody to signal.
    let nudges = reload_signal(settings)?;
    let mut sockets = Sockets::bind(settings).await?;
    let certificates = gateway::certificates(settings, &sockets)?;
    let mut secrets = Secrets::new(settings);
    let is_loopback = sockets.clients_address.ip().is_loopback();
    let (gateway, key_set) = gateway::gateway(settings, &mut secrets, is_loopback)?;
    let handle = gateway.handle();
    let admin_config = gateway::admin_config(settings, &mut secrets, sockets.admin_address)?;

    let connections = ListenerConfig {
        header_timeout: ms(settings.http.header_timeout_ms),
        keep_alive: ms(settings.http.keep_alive_ms),
        connections: settings.http.connections as usize,
        unsent_bytes: u32::try_from(settings.http.unsent_bytes).unwrap_or(u32::MAX),
        door: handle.door(),
        ..ListenerConfig::default()
    };
    // Operators are counted nowhere: they have to get in when nobody else does.
    let operators = ListenerConfig { door: Door::default(), ..connections.clone() };
    let stop = CancellationToken::new();
    let mut listeners = Vec::new();
    let url = sockets.webtransport_url(settings);
    if let (Some(socket), Some(certificates)) = (sockets.webtransport.take(), &certificates) {
        let url = url.as_ref().and_then(|url| url.to_tell());
        let serving = gateway.serve_webtransport(socket, certificates, url, stop.clone());
        listeners.push(tokio::spawn(serving.context("WebTransport cannot be served")?));
    }
    sockets.announce(settings)?;
    let admin = Admin::new(handle.clone(), admin_config);
    let clients = sockets.clients;
    listeners.push(match certificates.as_ref().filter(|_| !settings.tls.certificate_file.is_empty()) {
        Some(certificates) => {
            let limits = TlsConfig {
                handshake_timeout: ms(settings.tls.handshake_timeout_ms),
                handshakes: settings.tls.handshakes as usize,
            };
            let tls = Tls::new(certificates, limits)?;
            tokio::spawn(listener::serve_tls(clients, tls, gateway, connections, stop.clone()))
        }
        None => tokio::spawn(listener::serve(clients, gateway, connections, stop.clone())),
    });
    listeners.push(tokio::spawn(listener::serve(sockets.admin, admin, operators, stop.clone())));
    let Nudges { certificates: of_certificates, secrets: of_secrets } = nudges;
    if let Some(certificates) = certificates {
        let handle = handle.clone();
        tokio::spawn(async move {
            handle.keep_certificates(certificates, SystemTime::now, of_certificates).await;
        });
    }
    let secrets = secrets.into_files();
    if !secrets.is_empty() {
        let handle = handle.clone();
        tokio::spawn(async move { handle.keep_secrets(secrets, of_secrets).await });
    }
    if let Some(key_set) = key_set {
        let handle = handle.clone();
        tokio::spawn(async move { handle.keep_key_set(key_set).await });
    }
    let signal = signals.recv().await;
    tracing::info!(signal, "stopping");
    tokio::select! {
        () = stop_politely(&handle, ms(settings.clients.shutdown_ms), &stop, listeners) => tracing::info!("stopped"),
        _ = signals.recv() => tracing::warn!("stopped at once: a second signal came"),
    }
    Ok(())
}

/// Every connection by TCP is an open file: takes as many as the system lets this process have.
fn raise_open_files() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(most) => tracing::debug!(most, "open files"),
        Err(error) => tracing::warn!(%error, "the limit of open files stays as it is"),
    }
}

/// Says goodbye on every link, then ends the connections. Until then whoever connects is told to come back later.
async fn stop_politely(
    handle: &Handle,
    deadline: Duration,
    stop: &CancellationToken,
    listeners: Vec<JoinHandle<()>>,
) {
    if !handle.shutdown(deadline).await {
        tracing::warn!(deadline_ms = deadline.as_millis() as u64, "some clients did not take their goodbye");
    }
    stop.cancel();
    for listener in listeners {
        let _ = tokio::time::timeout(LINGER, listener).await;
    }
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

/// Notified by SIGHUP: look at the files now.
#[derive(Default)]
struct Nudges {
    certificates: Arc<Notify>,
    secrets: Arc<Notify>,
}

/// Without any files SIGHUP ends the process, as when its terminal is closed.
fn reload_signal(settings: &Settings) -> anyhow::Result<Nudges> {
    let nudges = Nudges::default();
    #[cfg(unix)]
    if settings.has_files() {
        use tokio::signal::unix::{SignalKind, signal};
        let mut hangups = signal(SignalKind::hangup()).context("signals cannot be heard")?;
        let nudged = [Arc::clone(&nudges.certificates), Arc::clone(&nudges.secrets)];
        tokio::spawn(async move {
            while hangups.recv().await.is_some() {
                nudged.iter().for_each(|nudge| nudge.notify_one());
            }
        });
    }
    Ok(nudges)
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// How long connections may take to end once everything is said.
const LINGER: Duration = Duration::from_secs(1);
