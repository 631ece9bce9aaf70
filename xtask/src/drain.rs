//! Drain: thousands of sessions under load go from one process to the next, and nothing may go wrong.

use anyhow::Result;

use crate::cargo::{Workspace, cargo};
use crate::steps::Steps;

/// Plays it with the program as it is built for tests: nothing here is measured.
pub(crate) fn drain(steps: &mut Steps, sessions: usize) -> Result<()> {
    let workspace = Workspace::enter()?;
    steps.run("the gateway", cargo().args(["build", "--package", "throughline"]))?;
    let program = workspace.target.join("debug/throughline");
    let sessions = sessions.to_string();
    let arguments = ["run", "--package", "throughline-drain", "--", "--sessions", &sessions, "--gateway"];
    steps.run("a drain under load", cargo().args(arguments).arg(program))
}
