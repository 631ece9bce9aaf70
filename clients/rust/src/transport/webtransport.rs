//! WebTransport links.

use super::{Report, Reporter};
use crate::core::session::End;

/// Runs the link to its end, and reports how it ended.
pub(super) async fn run(reporter: Reporter) {
    reporter.report(Report::Ended(End::Lost("not there yet".into()))).await;
}
