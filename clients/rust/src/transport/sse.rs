//! To come.
use super::{Network, Report, Reporter, Say};
use crate::core::session::End;
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::mpsc;
pub(super) async fn run(
    _network: Arc<Network>,
    _hello: Bytes,
    _sayings: mpsc::Receiver<Say>,
    reporter: Reporter,
) {
    reporter.report(Report::Ended(End::Lost("to come".into()))).await;
}
