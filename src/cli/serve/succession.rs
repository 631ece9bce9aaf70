//! Who was before this process, and who comes after it: the way of a hand-over, and what a supervisor is told of it.

use anyhow::Context as _;
use sd_notify::NotifyState;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Progress, Stops, handover, inherited::Inherited, sockets::Sockets};
use crate::{Handle, cli::config::Settings};

/// The process before this one, if there is one that hands over, and the sockets that are there already.
pub(super) async fn before(
    settings: &Settings,
    inherited: Inherited,
) -> anyhow::Result<(Option<handover::Predecessor>, Inherited)> {
    let path = &settings.handover.socket;
    if path.is_empty() || !inherited.is_empty() {
        return Ok((None, inherited)); // a supervisor's sockets are there whoever was before
    }
    Ok(match handover::ask(path.as_ref()).await? {
        Some((predecessor, inherited)) => (Some(predecessor), inherited),
        None => (None, inherited),
    })
}

/// From here on this process serves, and the one before accepts nobody any more.
pub(super) async fn take_over(
    predecessor: Option<handover::Predecessor>,
    handle: &Handle,
) -> anyhow::Result<()> {
    let Some(predecessor) = predecessor else { return Ok(()) };
    anyhow::ensure!(handle.is_ready().await, "the gateway is not ready: the process before goes on");
    predecessor.take_over().await?;
    tracing::info!("took over from the process before");
    Ok(())
}

/// How far whoever takes over is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Nobody has been ready yet.
    Waiting,
    /// A successor is ready; whether it takes over is decided by the end of the drain.
    Ready,
    /// It died before the listeners changed hands.
    Gone,
    /// It serves.
    Made,
}

/// What comes of a successor.
pub(super) struct Succession(watch::Receiver<Step>);

impl Default for Succession {
    /// Nobody comes.
    fn default() -> Self {
        Self(watch::channel(Step::Waiting).1)
    }
}

impl Succession {
    /// Waits until a successor is ready.
    pub(super) async fn begun(&mut self) {
        if self.0.wait_for(|step| *step != Step::Waiting).await.is_err() {
            std::future::pending().await
        }
    }

    /// Once the drain has ended: whether a successor has taken over.
    pub(super) async fn is_made(&mut self) -> bool {
        self.0.wait_for(|step| *step != Step::Ready).await.is_ok_and(|step| *step == Step::Made)
    }
}

/// Waits beside all else for a process that takes over.
pub(super) fn wait_for_successor(
    settings: &Settings,
    sockets: &Sockets,
    handle: &Handle,
    stops: &Stops,
) -> anyhow::Result<Succession> {
    let path = &settings.handover.socket;
    if path.is_empty() {
        return Ok(Succession::default());
    }
    let waiting = handover::Handover::bind(path.as_ref(), &sockets.clients, &sockets.admin)
        .with_context(|| format!("cannot wait for a successor at {path}"))?;
    let (handle, (steps, succession)) = (handle.clone(), watch::channel(Step::Waiting));
    let accepting = [stops.clients.accept.clone(), stops.admin.accept.clone()];
    let webtransport = stops.webtransport.clone();
    tokio::spawn(async move {
        loop {
            let mut successor = waiting.successor().await;
            handle.hand_over();
            steps.send_replace(Step::Ready);
            // One that is gone is not told, as nobody could accept then: what is accepted no more stays so.
            let may_accept = tokio::select! {
                biased;
                () = successor.gone() => false,
                () = handle.may_change_hands() => true,
            };
            if may_accept {
                // The loops are not waited for: what they take until they notice is answered here, as by any gateway
                // that drains, with what its session is owed or with when to come to the successor. Nothing is lost.
                accepting.iter().for_each(CancellationToken::cancel);
            }
            if may_accept && successor.go_ahead().await.is_ok() {
                break;
            }
            steps.send_replace(Step::Gone);
            tracing::error!(
                "the successor is gone: this process drains on, and another may take over until it ends"
            );
        }
        handle.changed_hands();
        steps.send_replace(Step::Made);
        // Its UDP port is the last that the successor waits for.
        handle.vacated("webtransport").await;
        webtransport.cancel();
    });
    Ok(Succession(succession))
}

/// Tells a supervisor that asked to be told (sd_notify(3)). One that follows another says whose process counts now.
pub(super) fn tell_supervisor(progress: Progress) {
    let told = match progress {
        Progress::Ready => sd_notify::notify(&[NotifyState::Ready, NotifyState::MainPid(std::process::id())]),
        Progress::Stopping => sd_notify::notify(&[NotifyState::Stopping]),
    };
    if let Err(error) = told {
        tracing::warn!(%error, "the supervisor could not be told");
    }
}
