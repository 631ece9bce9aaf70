//! The gateway, as a process of its own, and what an application says to it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::http;

/// `throughline serve` on free ports of loopback. Dropping it ends the process.
#[derive(Debug)]
pub struct Gateway {
    process: Child,
    /// Kept open: a process that cannot say the rest of what it has to say ends.
    _said: Lines<BufReader<ChildStdout>>,
    clients: SocketAddr,
    admin: SocketAddr,
}

impl Gateway {
    /// Starts the program with these settings, `key=value`, and waits until it listens.
    ///
    /// # Errors
    /// When it does not start, or does not say where it listens.
    pub async fn start(program: &Path, settings: &[&str]) -> Result<Self> {
        let arguments: Vec<_> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
        Self::start_with(program, &arguments).await
    }

    /// Starts the program with these arguments of `serve`, a `--listen` or a `--config` among them perhaps, and waits
    /// until it listens.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_with(program: &Path, arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        command.args(arguments);
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("THROUGHLINE_"))
        {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut process = command.spawn().with_context(|| format!("{} starts", program.display()))?;
        let mut said = BufReader::new(process.stdout.take().context("its output is piped")?).lines();
        let listening =
            async { Ok((address(&mut said, "clients").await?, address(&mut said, "admin").await?)) };
        let (clients, admin) = tokio::time::timeout(PATIENCE, listening)
            .await
            .unwrap_or_else(|_| bail!("the gateway does not say where it listens"))?;
        Ok(Self { process, _said: said, clients, admin })
    }

    /// Its process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Kills it as it stands (SIGKILL), and waits until it is gone.
    ///
    /// # Errors
    /// Those of the system.
    pub async fn kill(mut self) -> Result<()> {
        self.process.kill().await.context("the gateway is killed")
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// When it has not in time, or with anything but success.
    pub async fn ended(mut self, patience: Duration) -> Result<()> {
        let ended = tokio::time::timeout(patience, self.process.wait());
        let status = ended.await.context("the gateway does not end")??;
        ensure!(status.success(), "the gateway ended with {status}");
        Ok(())
    }

    /// Where clients connect to.
    pub fn clients(&self) -> SocketAddr {
        self.clients
    }

    /// What an application has to do with it.
    pub fn admin(&self) -> Admin {
        Admin { address: self.admin }
    }
}

/// The application's side of a gateway.
#[derive(Clone, Copy, Debug)]
pub struct Admin {
    address: SocketAddr,
}

impl Admin {
    /// Where it is.
    pub fn address(self) -> SocketAddr {
        self.address
    }

    /// Publishes an event.
    ///
    /// # Errors
    /// When the gateway does not take it.
    pub async fn publish(self, channel: &str, data: &Value) -> Result<()> {
        self.publish_at(channel, data).await.map(drop)
    }

    /// Publishes an event; gives the epoch and the offset where it landed.
    ///
    /// # Errors
    /// When the gateway does not take it.
    pub async fn publish_at(self, channel: &str, data: &Value) -> Result<(String, u64)> {
        let body = json!({ "channel": channel, "data": data }).to_string();
        let answer = http::post(self.address, "/api/v1/publish", "application/json", body).await?;
        ensure!(answer.status == 200, "a publish is answered with {}", answer.status);
        let answer: Value = serde_json::from_slice(&answer.body).context("an answer is JSON")?;
        let position = &answer["results"][0][0]["position"];
        position["epoch"].as_str().map(Into::into).zip(position["offset"].as_u64()).context("a position")
    }

    /// Its metrics, in OpenMetrics.
    ///
    /// # Errors
    /// When the gateway does not tell.
    pub async fn metrics(self) -> Result<String> {
        let answer = http::get(self.address, "/metrics").await?;
        ensure!(answer.status == 200, "metrics are answered with {}", answer.status);
        String::from_utf8(answer.body.into()).context("metrics are text")
    }

    /// The payloads of all events that a channel holds, in order.
    ///
    /// # Errors
    /// When the gateway does not tell, or the channel has lost its first.
    pub async fn history(self, channel: &str) -> Result<Vec<Value>> {
        let (mut all, mut after) = (Vec::new(), 0);
        loop {
            let path = format!("/api/v1/channels/{channel}/history?after={after}&limit=1000");
            let answer = http::get(self.address, &path).await?;
            if answer.status == 404 {
                return Ok(all); // nobody has said a thing there
            }
            let mut answer: Value = serde_json::from_slice(&answer.body).context("history is JSON")?;
            ensure!(answer["base"] == 0, "the channel has dropped its first events: {}", answer["base"]);
            let events = answer["events"].as_array_mut().context("history has events")?;
            all.extend(events.iter_mut().map(|event| event["data"].take()));
            match answer["next"].as_u64() {
                Some(next) => after = next,
                None => return Ok(all),
            }
        }
    }
}

/// Reads on to the line that says where these connect.
async fn address(said: &mut Lines<BufReader<ChildStdout>>, name: &str) -> Result<SocketAddr> {
    while let Some(line) = said.next_line().await? {
        let Some(url) = line.strip_prefix(name) else { continue };
        let address = url.trim().rsplit_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or(rest));
        return address.context("it is a URL")?.parse().with_context(|| format!("{line}: an address"));
    }
    bail!("the gateway ends before it says where {name} connect")
}

const PATIENCE: Duration = Duration::from_secs(30);
