//! Where sockets cannot be handed over: nobody was before this process, and nobody comes after it.

use std::convert::Infallible;

use super::{Progress, Stops, inherited::Inherited, sockets::Sockets};
use crate::{Handle, cli::config::Settings};

/// Nobody.
pub(super) async fn before(
    settings: &Settings,
    inherited: Inherited,
) -> anyhow::Result<(Option<Infallible>, Inherited)> {
    anyhow::ensure!(
        settings.handover.socket.is_empty(),
        "`handover.socket`: this system hands no sockets over"
    );
    Ok((None, inherited))
}

/// From nobody.
pub(super) async fn take_over(_: Option<&mut Infallible>, _: &Handle) -> anyhow::Result<()> {
    Ok(())
}

/// Nobody waits for it.
pub(super) async fn serving(_: Option<Infallible>) {}

/// Nobody comes.
#[derive(Default)]
pub(super) struct Succession;

impl Succession {
    /// Waits for ever.
    pub(super) async fn begun(&mut self) {
        std::future::pending().await
    }

    /// Nobody has.
    pub(super) async fn is_made(&mut self) -> bool {
        false
    }
}

/// For nobody.
pub(super) fn wait_for_successor(
    _: &Settings,
    _: &Sockets,
    _: &Handle,
    _: &Stops,
) -> anyhow::Result<Succession> {
    Ok(Succession)
}

/// Nothing.
pub(super) fn tell_supervisor(_: Progress) {}
