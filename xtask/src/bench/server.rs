//! The processes of a bench: a server on one core, its load on another.

use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
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
const SPAWN: &str = "taskset (util-linux) starts a program on a core of its own";

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
    /// Starts the gateway with what a bench has of its own, and everything else as it is by default.
    pub(crate) fn gateway(programs: &'a Programs) -> Result<Self> {
        Self::start(programs, serve(programs))
    }

    /// The same with a configuration of its own.
    pub(crate) fn gateway_with(programs: &'a Programs, config: &Path) -> Result<Self> {
        let mut command = serve(programs);
        command.arg("--config").arg(config);
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
            .context(SPAWN)?;
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
        let printed = output(&mut self.scene(scene, arguments))?;
        serde_json::from_str(&printed).with_context(|| format!("the load prints JSON, not {printed}"))
    }

    /// Begins a scene that goes on until it is [ended](Scene::end); waits until it says that it has begun.
    pub(crate) fn begin(&self, scene: &str, arguments: &[&str]) -> Result<Scene> {
        let mut command = self.scene(scene, arguments);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context(SPAWN)?;
        let mut said = BufReader::new(process.stdout.take().context("its output is piped")?).lines();
        let begun = said.next().transpose()?;
        let scene = Scene { process, _said: said };
        begun.map(|_| scene).context("the scene ends before it has begun")
    }

    fn scene(&self, scene: &str, arguments: &[&str]) -> Command {
        let mut command = on_core(LOAD_CORE, &self.programs.load);
        command.arg(scene).args(["--address", &self.clients, "--admin", &self.admin]);
        command.args(["--pid", &self.process.id().to_string()]).args(arguments);
        command
    }
}

/// A scene that goes on. Dropping it ends it.
pub(crate) struct Scene {
    process: Child,
    _said: Lines<BufReader<ChildStdout>>,
}

impl Scene {
    /// Ends it, and says whether it went as it should.
    pub(crate) fn end(mut self) -> Result<()> {
        drop(self.process.stdin.take());
        let status = self.process.wait()?;
        if !status.success() {
            bail!("a scene beside this one failed: {status}");
        }
        Ok(())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The gateway, with one worker thread on its core, and a door that lets everybody in at once: how fast it lets a herd in is
/// not what is measured.
fn serve(programs: &Programs) -> Command {
    let mut command = on_core(SERVER_CORE, &programs.gateway);
    command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    command.args(["--set", "runtime.worker_threads=1"]);
    command.args(["--set", "session.admission_rate=1000000", "--set", "session.admission_burst=1000000"]);
    command
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
