//! The gateway as a process, and where two of them meet.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, ensure};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use crate::{
    PATIENCE,
    application::{Application, get},
};

/// A folder with the configuration of both.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new(application: &Application, rate: u64) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("throughline-drain-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let socket = folder.join("handover.sock");
        let config = format!(
            "[[token_keys]]\nid = \"a\"\nsecret = \"of this run alone, and of no use elsewhere\"\n\
             [handover]\nsocket = {socket:?}\n[session]\nadmission_rate = {rate}\n[drain]\ndeadline_ms = 120000\n\
             [webhook]\nurl = \"http://{}/\"\nsecrets = [\"of this run alone\"]\nevents = [\"intent\"]\n",
            application.address
        );
        std::fs::write(folder.join("throughline.toml"), config)?;
        Ok(Self(folder))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// `throughline serve`. Dropping it ends the process.
pub(crate) struct Gateway {
    process: Child,
    _said: BufReader<ChildStdout>,
    pub(crate) clients: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Gateway {
    pub(crate) async fn start(program: &Path, place: &Place) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log", "warn"]);
        command.arg("--config").arg(place.0.join("throughline.toml"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().with_context(|| format!("{} starts", program.display()))?;
        let mut said = BufReader::new(process.stdout.take().context("it is piped")?);
        let (mut clients, mut admin) = (None, None);
        while clients.is_none() || admin.is_none() {
            let mut line = String::new();
            ensure!(timeout(PATIENCE, said.read_line(&mut line)).await?? > 0, "the gateway does not start");
            let address = || line.split("://").nth(1).and_then(|rest| rest.split('/').next()?.parse().ok());
            if line.starts_with("clients") {
                clients = address();
            } else if line.starts_with("admin") {
                admin = address();
            }
        }
        let (clients, admin) = clients.zip(admin).context("it says where it listens")?;
        Ok(Self { process, _said: said, clients, admin })
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn end(&mut self) -> Result<()> {
        let status = timeout(PATIENCE, self.process.wait()).await.context("it drains in time")??;
        ensure!(status.success(), "it ended with {status}");
        Ok(())
    }

    /// What became of those who knocked.
    pub(crate) async fn admissions(&self) -> Result<Vec<(String, u64)>> {
        let metrics = get(self.admin, "/metrics").await?;
        let series = metrics.lines().filter_map(|line| line.strip_prefix("throughline_admissions_total"));
        let counts = series.filter_map(|line| {
            let (labels, count) = line.rsplit_once(' ')?;
            Some((labels.to_owned(), count.parse().ok()?))
        });
        Ok(counts.filter(|(_, count)| *count > 0).collect())
    }
}
