//! Who was before this process, and who comes after it: the way of a hand-over, and what a supervisor is told of it.

use anyhow::Context as _;
use sd_notify::NotifyState;
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

/// Waits beside all else for a process that takes over. What is given back is cancelled once one has begun to.
pub(super) fn wait_for_successor(
    settings: &Settings,
    sockets: &Sockets,
    handle: &Handle,
    stops: &Stops,
) -> anyhow::Result<CancellationToken> {
    let is_succeeded = CancellationToken::new();
    let path = &settings.handover.socket;
    if path.is_empty() {
        return Ok(is_succeeded);
    }
    let waiting = handover::Handover::bind(path.as_ref(), &sockets.clients, &sockets.admin)
        .with_context(|| format!("cannot wait for a successor at {path}"))?;
    let (handle, begun) = (handle.clone(), is_succeeded.clone());
    let accepting = [stops.clients.accept.clone(), stops.admin.accept.clone()];
    let webtransport = stops.webtransport.clone();
    tokio::spawn(async move {
        loop {
            let mut successor = waiting.successor().await;
            handle.hand_over();
            begun.cancel();
            let may_accept = tokio::select! {
                () = handle.may_change_hands() => true,
                () = successor.gone() => false,
            };
            if may_accept {
                accepting.iter().for_each(CancellationToken::cancel);
            }
            if may_accept && successor.go_ahead().await.is_ok() {
                break;
            }
            tracing::error!(
                "the successor is gone: this process drains on, and another may take over until it ends"
            );
        }
        handle.changed_hands();
        // Its UDP port is the last that the successor waits for.
        handle.vacated("webtransport").await;
        webtransport.cancel();
    });
    Ok(is_succeeded)
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
