//! Hostile networks: builds the gateway and what plays them, and has `docs/networks.md` written.

use std::process::Command;

use anyhow::Result;

use crate::cargo::{Workspace, cargo};
use crate::needs::{self, Proxies};
use crate::steps::Steps;

/// How it is played.
#[derive(clap::Args)]
pub(crate) struct Play {
    /// Fewer rounds and sessions, and nothing is written: shows that it runs, not what it measures.
    #[arg(long)]
    quick: bool,
    /// Only what has this in its name (`cold`, `rust mid`, `chromium mid webtransport`, `squid`, `peers`); nothing is written.
    #[arg(long)]
    only: Option<String>,
    /// Install what is missing of proxies and browser: Debian packages (by sudo unless root), mitmproxy below target/tools.
    #[arg(long)]
    install: bool,
}

/// Plays everything.
pub(crate) fn networks(steps: &mut Steps, play: &Play) -> Result<()> {
    let workspace = Workspace::enter()?;
    let may_install = needs::may_install(play.install);
    let proxies = steps.check("the proxies and the browser", || {
        Proxies::gather(&workspace.target.join("tools"), may_install)
    })?;
    for missing in proxies.missing() {
        println!("missing, so its rows are not played: {missing}");
    }
    let packages = ["--package", "throughline", "--package", "throughline-networks"];
    steps.run("the programs", cargo().args(["build", "--bins"]).args(packages))?;
    let built = workspace.target.join("debug");
    let mut command = Command::new(built.join("throughline-networks"));
    command.arg("--gateway").arg(built.join("throughline"));
    proxies.tell(&mut command);
    if play.quick {
        command.arg("--quick");
    }
    match &play.only {
        Some(only) => command.arg("--only").arg(only),
        None if play.quick => &mut command,
        None => command.args(["--write", "docs/networks.md"]),
    };
    steps.run("hostile networks", &mut command)
}
