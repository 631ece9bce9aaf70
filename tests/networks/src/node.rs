//! A program of Node that tells what it does by lines of JSON.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// Dropping it ends the process.
pub(crate) struct Node {
    process: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Node {
    /// Starts a script, with these variables beside those that there are.
    pub(crate) fn start<A: AsRef<OsStr>>(
        script: &Path,
        arguments: &[A],
        variables: &[(&str, &Path)],
    ) -> Result<Self> {
        let mut command = Command::new("node");
        command.arg(script).args(arguments).envs(variables.iter().copied()).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().context("node starts")?;
        let said = BufReader::new(process.stdout.take().context("its output is piped")?).lines();
        Ok(Self { process, said })
    }

    /// Where it is told what to do; once that is dropped, it is told that there is no more.
    pub(crate) fn told(&mut self) -> Result<ChildStdin> {
        self.process.stdin.take().context("its input is piped, and taken once")
    }

    /// The next that it says; none once it has ended.
    pub(crate) async fn says(&mut self) -> Result<Option<Value>> {
        let Some(line) = self.said.next_line().await? else { return Ok(None) };
        serde_json::from_str(&line).map(Some).context("it speaks JSON")
    }

    /// The next that it says, in this time.
    pub(crate) async fn next(&mut self, patience: Duration) -> Result<Value> {
        match tokio::time::timeout(patience, self.says()).await {
            Ok(said) => said?.context("it ended"),
            Err(_) => bail!("it says nothing"),
        }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.process.try_wait().is_ok_and(|status| status.is_none())
    }
}
