//! Who was before this process, and who comes after it: the way of a hand-over, and what a supervisor is told of it.

use anyhow::Context as _;
use sd_notify::NotifyState;
use tokio::sync::watch;

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

/// From here on the process before accepts nobody any more, and this one has to serve.
pub(super) async fn take_over(
    predecessor: Option<&mut handover::Predecessor>,
    handle: &Handle,
) -> anyhow::Result<()> {
    let Some(predecessor) = predecessor else { return Ok(()) };
    anyhow::ensure!(handle.is_ready().await, "the gateway is not ready: the process before goes on");
    predecessor.take_over().await?;
    tracing::info!("took over from the process before");
    Ok(())
}

/// It does.
pub(super) async fn serving(predecessor: Option<handover::Predecessor>) {
    if let Some(predecessor) = predecessor {
        predecessor.serving().await;
    }
}

/// How far whoever takes over is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Nobody has been ready yet.
    Waiting,
    /// A successor is ready; whether it takes over is decided by the end of the drain.
    Ready,
    /// It died before it served.
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
    let listeners = [stops.clients.clone(), stops.admin.clone()];
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
                listeners.iter().for_each(|stop| stop.accept.cancel());
                // Each may be about to accept one more, who would be heard here.
                for stop in &listeners {
                    stop.closed.cancelled().await;
                }
                // Before it is told: what the admin API does from then on is done there.
                handle.give_listeners(true);
                if successor.go_ahead().await.is_ok() {
                    break;
                }
                handle.give_listeners(false);
            }
            steps.send_replace(Step::Gone);
            tracing::error!(
                "the successor is gone: this process drains on, and another may take over until it ends"
            );
        }
        handle.changed_hands();
        // Whoever has come here meanwhile is to ask the successor, which waits at the same path by now.
        drop(waiting);
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

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read as _};

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::UnixStream,
    };

    use super::*;
    use crate::Gateway;

    /// A gateway that waits for a successor, as a process does.
    struct Scene {
        settings: Settings,
        handle: Handle,
        stops: Stops,
        succession: Succession,
    }

    impl Scene {
        async fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("throughline-{name}-{}.sock", std::process::id()));
            let mut settings = Settings::default();
            settings.clients.listen = "127.0.0.1:0".into();
            settings.admin.listen = "127.0.0.1:0".into();
            settings.webtransport.enabled = false;
            settings.handover.socket = path.to_str().unwrap().into();
            let sockets = Sockets::bind(&settings, Inherited::default(), false).await.unwrap();
            let handle = Gateway::builder().build().handle();
            let stops = Stops::new(&handle);
            let succession = wait_for_successor(&settings, &sockets, &handle, &stops).unwrap();
            Self { settings, handle, stops, succession }
        }

        /// A successor that is ready.
        async fn successor(&self) -> UnixStream {
            let mut successor = UnixStream::connect(&self.settings.handover.socket).await.unwrap();
            hear(&mut successor, "throughline 2 clients admin\n").await;
            successor.write_all(b"ready\n").await.unwrap();
            successor
        }

        fn close_listeners(&self) {
            self.stops.clients.closed.cancel();
            self.stops.admin.closed.cancel();
        }
    }

    impl Drop for Scene {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.settings.handover.socket);
        }
    }

    async fn hear(successor: &mut UnixStream, word: &str) {
        let mut heard = vec![0; word.len()];
        successor.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, word.as_bytes());
    }

    #[tokio::test]
    async fn a_successor_is_told_once_both_listeners_have_let_go_of_their_sockets() {
        let scene = Scene::new("closing").await;
        let successor = scene.successor().await;
        scene.stops.clients.accept.cancelled().await;
        scene.stops.admin.accept.cancelled().await;
        // Of the system itself: the runtime may not have looked yet.
        let mut successor = successor.into_std().unwrap();
        assert_eq!(successor.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock, "nothing is said");
        scene.close_listeners();
        hear(&mut UnixStream::from_std(successor).unwrap(), "yours\n").await;
    }

    #[tokio::test]
    async fn a_successor_has_taken_over_once_it_serves_and_not_when_it_dies_of_the_word() {
        let mut scene = Scene::new("serving").await;
        scene.close_listeners();
        let mut successor = scene.successor().await;
        hear(&mut successor, "yours\n").await;
        assert!(scene.handle.is_followed(), "it may serve");
        drop(successor);
        assert!(!scene.succession.is_made().await);
        assert!(!scene.handle.is_followed());

        let mut successor = scene.successor().await;
        hear(&mut successor, "yours\n").await;
        successor.write_all(b"serving\n").await.unwrap();
        assert!(scene.succession.is_made().await);
        assert!(scene.handle.is_followed());
    }
}
