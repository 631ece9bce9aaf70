//! The processes of a bench: a server on one core, its load on another.

use std::io::{BufRead, BufReader, Lines};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::cargo::{Workspace, cargo};
use crate::steps::output;

/// The programs, as they are built for benches.
pub(crate) struct Programs {
    gateway: PathBuf,
    load: PathBuf,
}

/// The cores of the server and of its load.
const SERVER_CORE: &str = "0";
const LOAD_CORE: &str = "1";

impl Programs {
    /// Builds them.
    pub(crate) fn build(workspace: &Workspace) -> Result<Self> {
        let built = cargo()
            .args(["build", "--profile", "bench", "--bins"])
            .args(["--package", "throughline", "--package", "throughline-load"])
            .status()
            .context("cargo runs")?;
        if !built.success() {
            bail!("the programs are not built");
        }
        let folder = workspace.target.join("release"); // where cargo puts the profile `bench`
        Ok(Self { gateway: folder.join("throughline"), load: folder.join("throughline-load") })
    }
}

/// A server that runs. Dropping it ends it.
pub(crate) struct Running<'a> {
    programs: &'a Programs,
    process: Child,
    clients: String,
    admin: String,
    /// Kept open: a server that cannot say the rest of what it has to say ends.
    _said: Lines<BufReader<ChildStdout>>,
}

impl<'a> Running<'a> {
    /// Starts the gateway: one worker thread, everything else as it is by default.
    pub(crate) fn gateway(programs: &'a Programs) -> Result<Self> {
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
        let mut command = on_core(SERVER_CORE, &programs.gateway);
        command.args(arguments).args(["--set", "runtime.worker_threads=1"]);
        Self::start(programs, command)
    }

    /// Starts the bare writer.
    pub(crate) fn ceiling(programs: &'a Programs, transport: &str) -> Result<Self> {
        let mut command = on_core(SERVER_CORE, &programs.load);
        command.args(["ceiling", "--transport", transport]);
        Self::start(programs, command)
    }

    fn start(programs: &'a Programs, mut command: Command) -> Result<Self> {
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null()) // a line for each link that ends
            .spawn()
            .context("taskset (util-linux) starts the server on a core of its own")?;
        let mut said = BufReader::new(process.stdout.take().context("its output is piped")?).lines();
        let mut address = |name: &str| -> Result<String> {
            for line in said.by_ref() {
                let line = line?;
                let url = line.strip_prefix(name).and_then(|rest| rest.trim().strip_prefix("http://"));
                if let Some(url) = url {
                    return Ok(url.trim_end_matches('/').to_owned());
                }
            }
            bail!("the server ends before it says where {name} connect")
        };
        let addresses = address("clients").and_then(|clients| Ok((clients, address("admin")?)));
        let mut running =
            Self { programs, process, clients: String::new(), admin: String::new(), _said: said };
        (running.clients, running.admin) = addresses?;
        Ok(running)
    }

    /// Plays a scene against it; gives what the load prints.
    pub(crate) fn load(&self, scene: &str, arguments: &[&str]) -> Result<Value> {
        let mut command = on_core(LOAD_CORE, &self.programs.load);
        command.arg(scene).args(["--address", &self.clients, "--admin", &self.admin]);
        command.args(["--pid", &self.process.id().to_string()]).args(arguments);
        let printed = output(&mut command)?;
        serde_json::from_str(&printed).with_context(|| format!("the load prints JSON, not {printed}"))
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// taskset becomes the program that it starts, so the process is the program's.
fn on_core(core: &str, program: &PathBuf) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", core]).arg(program);
    command
}

/// How busy the machine is: figures are good when nothing else runs.
pub(crate) fn load_average() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned()
}
