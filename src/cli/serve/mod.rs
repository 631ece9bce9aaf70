//! `throughline serve`: a gateway with its listeners, until a signal or a successor.
//!
//! `gateway` makes one of the settings, `sockets` binds what it listens on and says where that is. Sockets may be there
//! before it, `inherited` from a supervisor or from the process before, which hands them over by `handover`.

mod gateway;
#[cfg(unix)]
mod handover;
mod inherited;
mod secrets;
mod sockets;
#[cfg(unix)]
mod succession;
#[cfg(not(unix))]
#[path = "no_succession.rs"]
mod succession;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use self::{inherited::Inherited, secrets::Secrets, sockets::Sockets, succession::Succession};
use super::{config::Settings, logs};
use crate::{
    Gateway, Handle,
    certificates::Certificates,
    gateway::Door,
    http::{
        admin::Admin,
        listener::{self, ListenerConfig, Stop, Tls, TlsConfig},
    },
};

/// Runs until a signal, then says goodbye.
pub(super) fn run(settings: &Settings) -> anyhow::Result<()> {
    let log = &settings.log;
    let warnings = logs::init(&log.format, &log.filter, log.warnings_per_minute)?;
    raise_open_files(settings);
    // While this is the only thread: it takes its sockets out of the environment.
    let inherited = Inherited::from_supervisor()?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().thread_name("throughline");
    if let threads @ 1.. = settings.runtime.worker_threads as usize {
        runtime.worker_threads(threads);
    }
    let runtime = runtime.build().context("the runtime does not start")?;
    runtime.spawn(warnings.clone().count_minutes());
    let served = runtime.block_on(serve(settings, inherited));
    warnings.next_minute();
    // What is still running has had its time.
    runtime.shutdown_background();
    served
}

async fn serve(settings: &Settings, inherited: Inherited) -> anyhow::Result<()> {
    let mut signals = signals()?;
    // Heard before anybody is told that there is somebody to signal.
    let nudges = reload_signal(settings)?;
    let is_supervised = inherited.clients.is_some();
    let (mut predecessor, inherited) = succession::before(settings, inherited).await?;
    let mut sockets = Sockets::bind(settings, inherited, predecessor.is_some()).await?;
    let certificates = gateway::certificates(settings, &sockets)?;
    let mut secrets = Secrets::new(settings);
    let is_loopback = sockets.clients_address.ip().is_loopback();
    let (gateway, key_set) = gateway::gateway(settings, &mut secrets, is_loopback)?;
    let handle = gateway.handle();
    let admin_config = gateway::admin_config(settings, &mut secrets, sockets.admin_address)?;
    let admin = Admin::new(handle.clone(), admin_config);
    let tls = certificates.as_ref().filter(|_| !settings.tls.certificate_file.is_empty());
    let tls = tls.map(|certificates| Tls::new(certificates, tls_limits(settings))).transpose()?;

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
    let stops = Stops::new(&handle);
    let mut listeners = Vec::new();
    let url = sockets.webtransport_url(settings);
    if let (Some(address), Some(certificates)) = (sockets.webtransport_address, &certificates) {
        let url = url.as_ref().and_then(|url| url.to_tell());
        let stop = stops.webtransport.clone();
        listeners.push(match sockets.webtransport.take() {
            Some(socket) => {
                let serving = gateway.serve_webtransport(socket, certificates, url, stop);
                tokio::spawn(serving.context("WebTransport cannot be served")?)
            }
            None => {
                gateway.promise_webtransport(certificates, url);
                let (gateway, certificates) = (gateway.clone(), certificates.clone());
                tokio::spawn(serve_udp_later(gateway, certificates, address, url.map(Into::into), stop))
            }
        });
    }
    // Once it has taken over nobody else serves: nothing that it can do without ends it.
    let is_successor = predecessor.is_some();
    succession::take_over(predecessor.as_mut(), &handle).await?;
    let mut succession = match succession::wait_for_successor(settings, &sockets, &handle, &stops) {
        Err(error) if is_successor => {
            tracing::error!(%error, "no successor can take over from this process");
            Succession::default()
        }
        waiting => waiting?,
    };
    if is_supervised {
        // Whoever connects while this process drains waits for the next one, in the queue that the supervisor keeps; in a
        // hand-over once the listeners may change hands.
        let (handle, accept) = (handle.clone(), stops.clients.accept.clone());
        tokio::spawn(async move {
            handle.retiring().cancelled().await;
            handle.may_change_hands().await;
            accept.cancel();
        });
    }
    match sockets.announce(settings) {
        Err(error) if is_successor => tracing::warn!(%error, "nobody can be told where this listens"),
        said => said?,
    }
    succession::tell_supervisor(Progress::Ready);
    let clients = sockets.clients;
    listeners.push(match tls {
        Some(tls) => {
            tokio::spawn(listener::serve_tls(clients, tls, gateway, connections, stops.clients.clone()))
        }
        None => tokio::spawn(listener::serve(clients, gateway, connections, stops.clients.clone())),
    });
    listeners.push(tokio::spawn(listener::serve(sockets.admin, admin, operators, stops.admin.clone())));
    succession::serving(predecessor).await;
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
    let is_followed = tokio::select! {
        signal = signals.recv() => {
            tracing::info!(signal, "stopping");
            handle.drain(None);
            succession::tell_supervisor(Progress::Stopping);
            true // by nobody, or by whom its supervisor starts
        }
        // The supervisor's service goes on, by another process.
        () = succession.begun() => {
            tracing::info!("stopping: a successor takes over");
            tokio::select! {
                _ = handle.drained() => succession.is_made().await,
                signal = signals.recv() => {
                    tracing::info!(signal, "stopping already: another signal ends it at once");
                    true
                }
            }
        }
    };
    tokio::select! {
        () = stop_politely(&handle, &stops, listeners) => tracing::info!("stopped"),
        _ = signals.recv() => tracing::warn!("stopped at once: a second signal came"),
    }
    anyhow::ensure!(is_followed, "no successor took over: nobody serves the listeners");
    Ok(())
}

/// Every connection by TCP is an open file: takes as many as the system lets this process have.
fn raise_open_files(settings: &Settings) {
    let most = match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(most) => most,
        Err(error) => return tracing::warn!(%error, "the limit of open files stays as it is"),
    };
    let connections = settings.http.connections;
    let shed_from = most / 100 * settings.limits.shed_at_percent;
    if shed_from < connections {
        tracing::warn!(
            most,
            shed_from,
            connections,
            "fewer files may be open than `http.connections` says: raise the hard limit (`ulimit -Hn`, LimitNOFILE)"
        );
    }
}

/// When each listener ends.
struct Stops {
    clients: Stop,
    admin: Stop,
    webtransport: CancellationToken,
}

impl Stops {
    fn new(handle: &Handle) -> Self {
        let clients = Stop { retire: handle.retiring(), ..Stop::default() };
        // The admin API is there while the gateway drains; a successor's is another.
        let accept = CancellationToken::new();
        let admin = Stop { retire: accept.clone(), accept, all: clients.all.clone(), ..Stop::default() };
        let webtransport = clients.all.child_token();
        Self { clients, admin, webtransport }
    }
}

/// Tells every session when to leave, waits until all have left or the deadline is over, then ends the connections. Until
/// then whoever connects is told to come back later.
async fn stop_politely(handle: &Handle, stops: &Stops, listeners: Vec<JoinHandle<()>>) {
    if !handle.drained().await {
        tracing::warn!("some clients did not take their goodbye");
    }
    stops.clients.all.cancel();
    let by = tokio::time::Instant::now() + LINGER;
    for listener in listeners {
        let _ = tokio::time::timeout_at(by, listener).await;
    }
}

fn tls_limits(settings: &Settings) -> TlsConfig {
    TlsConfig {
        handshake_timeout: ms(settings.tls.handshake_timeout_ms),
        handshakes: settings.tls.handshakes as usize,
    }
}

/// WebTransport, once the process before lets go of its port.
async fn serve_udp_later(
    gateway: Gateway,
    certificates: Certificates,
    address: SocketAddr,
    url: Option<String>,
    stop: CancellationToken,
) {
    let Some(socket) = stop.run_until_cancelled(Sockets::await_udp(address)).await else { return };
    let serving =
        socket.and_then(|socket| gateway.serve_webtransport(socket, &certificates, url.as_deref(), stop));
    match serving {
        Ok(serving) => serving.await,
        Err(error) => {
            tracing::error!(%error, "WebTransport cannot be served");
            gateway.withdraw_webtransport();
        }
    }
}

/// Where a process is in its life.
#[derive(Clone, Copy)]
enum Progress {
    Ready,
    Stopping,
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
    if !settings.has_files() {
        return Ok(nudges);
    }
    #[cfg(unix)]
    {
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

/// How long connections may take to end, all of them, once everything is said.
const LINGER: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_promise_of_webtransport_that_cannot_be_kept_is_taken_back() {
        let gateway = Gateway::builder().build();
        let offers = || {
            let offers = gateway.handle().shared.session.transports.now();
            offers.iter().map(|offer| offer.name.to_string()).collect::<Vec<_>>()
        };
        let before = offers();
        let certificates = Certificates::development(["localhost"], SystemTime::now()).unwrap();
        gateway.promise_webtransport(&certificates, None);
        assert_eq!(offers().len(), before.len() + 1);
        // It is nobody's: of a network for documents.
        let address = "192.0.2.1:7080".parse().unwrap();
        let stop = CancellationToken::new();
        serve_udp_later(gateway.clone(), certificates, address, None, stop).await;
        assert_eq!(offers(), before);
    }
}
