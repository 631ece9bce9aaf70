//! The checks, in the order in which they fail soonest.
//!
//! A claim that the project makes of itself and that a machine can check belongs in `test`. What a check proves is said
//! where it stands.

use std::process::Command;

use anyhow::{Result, bail};

use crate::cargo::{self, Workspace, cargo};
use crate::client;
use crate::faults;
use crate::needs::{self, Needs};
use crate::steps::Steps;

/// Everything; under 45 minutes on two cores from nothing.
pub(crate) fn test(steps: &mut Steps, install: bool) -> Result<()> {
    let workspace = Workspace::enter()?;
    let needs = steps.check("what the tests need beyond Rust", || gather(&workspace, install))?;

    format(steps)?;
    client::bundle_is_fresh(steps, &workspace, &needs)?;
    dependencies(steps, &needs)?;
    boundaries(steps)?;
    clippy(steps)?;
    features(steps, &workspace)?;

    let mut all = cargo();
    needs.tell(all.args(["test", "--workspace", "--all-targets", "--no-fail-fast"]));
    steps.tests("all tests, benches as tests, examples built", &mut all)?;
    steps.tests(
        "examples in the documentation",
        cargo().args(["test", "--workspace", "--doc", "--no-fail-fast"]),
    )?;
    core(steps)?;
    steps.run("the executables", cargo().args(["build", "--bin", "throughline", "--example", "quiz"]))?;
    client::test(steps, &workspace, &needs)?;
    page(steps, &workspace, &needs)?;
    faults::faults(steps, &workspace)?;
    documentation(steps)
}

/// What is quick enough for between two edits.
pub(crate) fn check(steps: &mut Steps) -> Result<()> {
    format(steps)?;
    clippy(steps)?;
    steps.tests("unit tests", cargo().args(["test", "--workspace", "--lib", "--bins"]))
}

/// The session core under random schedules, optimised but with its debug assertions.
pub(crate) fn torture(steps: &mut Steps, schedules: u64, seed: u64) -> Result<()> {
    let mut torture = cargo();
    torture
        .args(["test", "--profile", "bench", "--config", "profile.bench.debug-assertions=true"])
        .args(["--package", "throughline", "--test", "session", "torture", "--", "--nocapture"])
        .env("THROUGHLINE_TORTURE_SCHEDULES", schedules.to_string())
        .env("THROUGHLINE_TORTURE_SEED", seed.to_string());
    steps.tests(&format!("{schedules} schedules from seed {seed}"), &mut torture)
}

/// Finds or installs what the tests need; under CI anything missing is a failure.
fn gather(workspace: &Workspace, install: bool) -> Result<Needs> {
    let needs = Needs::gather(&workspace.target.join("tools"), needs::may_install(install))?;
    let missing = needs.missing();
    if missing.is_empty() {
        return Ok(needs);
    }
    let list = missing.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n");
    if needs::under_ci() {
        bail!("missing, and under CI nothing is skipped:\n{list}");
    }
    println!("missing, so their checks are skipped (`cargo xtask test --install` gets them):\n{list}");
    Ok(needs)
}

fn format(steps: &mut Steps) -> Result<()> {
    steps.run("format", cargo().args(["fmt", "--all", "--check"]))
}

fn clippy(steps: &mut Steps) -> Result<()> {
    steps.run("clippy", cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

/// Licences, banned and doubled crates, and that all come from the one registry.
fn dependencies(steps: &mut Steps, needs: &Needs) -> Result<()> {
    let name = "bans, licences and sources of dependencies";
    match &needs.cargo_deny {
        Ok(deny) => steps.run(name, Command::new(deny).args(["check", "bans", "licenses", "sources"])),
        Err(missing) => {
            steps.skip(name, missing.clone());
            Ok(())
        }
    }
}

/// The core pulls in nothing that does I/O, and an application that embeds the gateway gets no command line.
fn boundaries(steps: &mut Steps) -> Result<()> {
    steps.check("what the core and the embedded gateway pull in", || {
        for (features, kept_out) in [("", KEPT_OUT_OF_THE_CORE), ("gateway", KEPT_OUT_OF_AN_EMBEDDING)] {
            let tree = cargo::tree("throughline", features)?;
            let found = kept_out.iter().filter(|name| tree.contains(**name)).copied().collect::<Vec<_>>();
            if !found.is_empty() {
                bail!("throughline with features [{features}] pulls in {}", found.join(", "));
            }
        }
        Ok(())
    })
}

/// Features add and never alter: each builds alone without a warning, and so does none.
fn features(steps: &mut Steps, workspace: &Workspace) -> Result<()> {
    for package in &workspace.featured {
        for feature in std::iter::once("").chain(package.features.iter().map(String::as_str)) {
            let shown = if feature.is_empty() { "no feature" } else { feature };
            let mut clippy = cargo();
            clippy.args([
                "clippy",
                "--package",
                &package.name,
                "--no-default-features",
                "--features",
                feature,
            ]);
            steps.run(
                &format!("{} with {shown} alone", package.name),
                clippy.args(["--", "-D", "warnings"]),
            )?;
        }
    }
    Ok(())
}

/// The pure core's tests without the gateway around it.
fn core(steps: &mut Steps) -> Result<()> {
    steps.tests(
        "the core without the gateway",
        cargo().args(["test", "--package", "throughline", "--no-default-features", "--lib"]),
    )
}

/// The page of `throughline serve`, the client in it, and the quiz, used by people in a real browser.
fn page(steps: &mut Steps, workspace: &Workspace, needs: &Needs) -> Result<()> {
    let name = "the page, the client and the quiz in a browser";
    let (node, chromium) = (needs.client(), needs.chromium.as_ref());
    let (Ok(node), Ok(_)) = (&node, chromium) else {
        let missing = node.err().or_else(|| chromium.err().cloned());
        steps.skip(name, missing.unwrap_or_default());
        return Ok(());
    };
    let mut drive = node.node();
    drive.args(["--test", "--test-reporter=tap"]).args(BROWSER_TESTS);
    drive.env("THROUGHLINE", workspace.target.join("debug/throughline"));
    drive.env("QUIZ", workspace.target.join("debug/examples/quiz"));
    needs.tell(&mut drive);
    steps.tests(name, &mut drive)
}

fn documentation(steps: &mut Steps) -> Result<()> {
    steps.run(
        "documentation",
        cargo().args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"),
    )
}

/// Each runs in a process of its own, with a gateway and a browser of its own.
const BROWSER_TESTS: [&str; 7] = [
    "tests/page/page.test.mjs",
    "tests/page/client.test.mjs",
    "tests/page/life.test.mjs",
    "tests/page/network.test.mjs",
    "tests/page/strangers.test.mjs",
    "tests/quiz/pages.test.mjs",
    "tests/quiz/quiz.test.mjs",
];

/// Anything here in the core would mean that it can wait, listen or speak.
const KEPT_OUT_OF_THE_CORE: &[&str] = &[
    "tokio",
    "hyper",
    "http",
    "tower",
    "clap",
    "tracing-subscriber",
    "tokio-tungstenite",
    "throughline-link",
];

/// An application brings its own of these.
const KEPT_OUT_OF_AN_EMBEDDING: &[&str] = &[
    "clap",
    "toml",
    "tracing-subscriber",
    "tikv-jemallocator",
    "rustls",
    "anyhow",
    "axum",
    "throughline-client",
];
