//! What cargo knows of this workspace: its packages, their features, what a build of them pulls in.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::steps::output;

/// The cargo that started us.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The workspace as `cargo metadata` tells it.
pub(crate) struct Workspace {
    /// Where cargo builds.
    pub(crate) target: PathBuf,
    /// The members that have features.
    pub(crate) featured: Vec<Package>,
}

/// A member and the names of its features, `default` left out.
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) features: Vec<String>,
}

impl Workspace {
    /// Reads what cargo says and goes to where the repository begins, so that every check runs there.
    pub(crate) fn enter() -> Result<Self> {
        let metadata = output(cargo().args(["metadata", "--format-version", "1", "--no-deps"]))?;
        let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata prints JSON")?;
        let path = |key: &str| {
            metadata[key].as_str().map(PathBuf::from).with_context(|| format!("cargo metadata has {key}"))
        };
        let packages = metadata["packages"].as_array().context("cargo metadata has packages")?;
        let featured =
            packages.iter().filter_map(package).filter(|package| !package.features.is_empty()).collect();
        std::env::set_current_dir(path("workspace_root")?).context("the workspace is there")?;
        Ok(Self { target: path("target_directory")?, featured })
    }
}

fn package(package: &Value) -> Option<Package> {
    let features = package["features"].as_object()?;
    Some(Package {
        name: package["name"].as_str()?.to_owned(),
        features: features.keys().filter(|name| *name != "default").cloned().collect(),
    })
}

/// The names of all crates that a build of `package` with just these features links.
pub(crate) fn tree(package: &str, features: &str) -> Result<BTreeSet<String>> {
    let printed = output(cargo().args([
        "tree",
        "--package",
        package,
        "--no-default-features",
        "--features",
        features,
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]))?;
    Ok(printed.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}
