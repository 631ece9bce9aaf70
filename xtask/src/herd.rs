//! Herds: has a crash under many clients played on a virtual clock, and `docs/herd.md` written.

use anyhow::Result;

use crate::cargo::{Workspace, cargo};
use crate::steps::Steps;

/// Plays everything.
pub(crate) fn herd(steps: &mut Steps) -> Result<()> {
    Workspace::enter()?;
    steps.run("herds", cargo().args(["run", "--release", "--package", "throughline-herd", "--", "docs"]))
}
