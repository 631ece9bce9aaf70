//! Restarts under a real herd: builds the gateway and what plays them, and has them played.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::cargo::{Workspace, cargo};
use crate::steps::Steps;

/// How a crash is played.
#[derive(clap::Args)]
pub(crate) struct Crash {
    /// How many sessions there are.
    #[arg(long, default_value_t = 15_000)]
    sessions: u32,
    /// How many seconds nobody is there; may be given again, for a run each. By default 2, and 30.
    #[arg(long = "pause", value_name = "SECONDS", default_values_t = [2, 30])]
    pauses: Vec<u64>,
    /// Write the document, docs/crash.md; without, it is printed.
    #[arg(long)]
    write: bool,
}

/// How a drain is played.
#[derive(clap::Args)]
pub(crate) struct Drain {
    /// How many sessions there are.
    #[arg(long, default_value_t = 5_000)]
    sessions: u32,
    /// Write the document, docs/drain.md; without, it is printed.
    #[arg(long)]
    write: bool,
}

/// Plays a drain to a successor.
pub(crate) fn drain(steps: &mut Steps, drain: &Drain) -> Result<()> {
    let folder = programs(steps)?;
    let mut command = Command::new(folder.join("throughline-restart"));
    command.arg("drain").arg("--gateway").arg(folder.join("throughline"));
    command.arg("--sessions").arg(drain.sessions.to_string());
    if drain.write {
        command.args(["--write", "docs/drain.md"]);
    }
    steps.run("a drain under load", &mut command)
}

/// Plays crashes.
pub(crate) fn crash(steps: &mut Steps, crash: &Crash) -> Result<()> {
    let folder = programs(steps)?;
    let mut command = Command::new(folder.join("throughline-restart"));
    command.arg("crash").arg("--gateway").arg(folder.join("throughline"));
    command.arg("--sessions").arg(crash.sessions.to_string());
    for pause in &crash.pauses {
        command.arg("--pause").arg(pause.to_string());
    }
    if crash.write {
        command.args(["--write", "docs/crash.md"]);
    }
    steps.run("crashes", &mut command)
}

/// Builds the programs as they are built for benches; gives where they are.
fn programs(steps: &mut Steps) -> Result<PathBuf> {
    let workspace = Workspace::enter()?;
    let packages = ["--package", "throughline", "--package", "throughline-restart"];
    steps.run("the programs", cargo().args(["build", "--profile", "bench", "--bins"]).args(packages))?;
    Ok(workspace.target.join("release")) // where cargo puts the profile `bench`
}
