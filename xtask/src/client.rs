//! The TypeScript client: its own checks, and the bundle of it that the page at `/` embeds.
//!
//! The bundle `src/page/client.js` is built and committed, so that a plain `cargo build` needs no Node
//! (docs/decisions/0023-the-embedded-client.md). What keeps it true stands here: it is built again, and compared.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::cargo::Workspace;
use crate::needs::{self, Needs, Node};
use crate::steps::{Steps, succeed};

/// Builds the bundle into its place.
pub(crate) fn embed(steps: &mut Steps, install: bool) -> Result<()> {
    let workspace = Workspace::enter()?;
    let tools = workspace.target.join("tools");
    let node = steps.check("the client's tools", || Needs::of_client(&tools, needs::may_install(install)))?;
    steps.check(EMBEDDED, || bundle(&node, Path::new(EMBEDDED)))
}

/// The bundle is what the client's sources give.
pub(crate) fn bundle_is_fresh(steps: &mut Steps, workspace: &Workspace, needs: &Needs) -> Result<()> {
    let name = "the page's client is what its sources give";
    let node = match needs.client() {
        Ok(node) => node,
        Err(missing) => {
            steps.skip(name, missing);
            return Ok(());
        }
    };
    steps.check(name, || {
        let built = workspace.target.join("client.js");
        bundle(&node, &built)?;
        let read = |path: &Path| std::fs::read(path).with_context(|| path.display().to_string());
        if read(&built)? != read(Path::new(EMBEDDED))? {
            bail!("{EMBEDDED} is another than clients/js/src gives: `cargo xtask client` writes it anew");
        }
        Ok(())
    })
}

/// `npm test`: types, lints, unit tests, vectors, end to end against the executable, sizes, what is published.
pub(crate) fn test(steps: &mut Steps, workspace: &Workspace, needs: &Needs) -> Result<()> {
    let name = "the TypeScript client";
    match needs.client() {
        Ok(node) => {
            let mut test = node.script("test");
            test.env("THROUGHLINE", workspace.target.join("debug/throughline"));
            steps.tests(name, &mut test)
        }
        Err(missing) => {
            steps.skip(name, missing);
            Ok(())
        }
    }
}

fn bundle(node: &Node, path: &Path) -> Result<()> {
    succeed(node.script("embed").arg("--").arg(std::path::absolute(path)?))
}

const EMBEDDED: &str = "src/page/client.js";
