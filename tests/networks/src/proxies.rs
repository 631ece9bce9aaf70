//! Real proxies, each a process of its own with a configuration made for it.
//!
//! What they log is read back: a row about a proxy counts only if the proxy says that the traffic went through it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// The programs, where they are on this machine.
#[derive(Clone, Debug, Default)]
pub struct Programs {
    /// squid 5.
    pub squid: Option<PathBuf>,
    /// tinyproxy.
    pub tinyproxy: Option<PathBuf>,
    /// HAProxy.
    pub haproxy: Option<PathBuf>,
    /// nginx.
    pub nginx: Option<PathBuf>,
    /// mitmdump, of mitmproxy.
    pub mitmdump: Option<PathBuf>,
}

/// A kind of proxy, set up in one way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// squid, as installed but for its port: a forward proxy.
    Squid,
    /// tinyproxy, as installed but for its port: a forward proxy.
    Tinyproxy,
    /// HAProxy in front of the gateway, mode http.
    Haproxy,
    /// nginx in front of the gateway with nothing but `proxy_pass`.
    NginxPlain,
    /// nginx in front of the gateway, under `/realtime/`, with upgrades passed and buffering as it is by default.
    NginxUpgrade,
    /// mitmdump: a forward proxy that opens TLS, signs anew, and holds every body until it is whole.
    Mitmdump,
}

/// A proxy that runs. Dropping it ends its process.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it says it is.
    pub version: String,
    kind: Kind,
    folder: PathBuf,
    log: PathBuf,
    process: Child,
}

impl Kind {
    /// Its program, if it is on this machine.
    pub fn program(self, programs: &Programs) -> Option<&Path> {
        let program = match self {
            Self::Squid => &programs.squid,
            Self::Tinyproxy => &programs.tinyproxy,
            Self::Haproxy => &programs.haproxy,
            Self::NginxPlain | Self::NginxUpgrade => &programs.nginx,
            Self::Mitmdump => &programs.mitmdump,
        };
        program.as_deref()
    }

    /// What the path begins with behind it.
    pub fn base(self) -> &'static str {
        if self == Self::NginxUpgrade { "/realtime" } else { "" }
    }

    /// Its configuration.
    fn configuration(self, port: u16, gateway: SocketAddr, folder: &Path) -> String {
        let folder = folder.display();
        match self {
            Self::Squid => format!(
                "http_port 127.0.0.1:{port}\nhttp_access allow all\ncache deny all\npinger_enable off\n\
                 access_log stdio:{folder}/access.log\ncache_log {folder}/cache.log\npid_filename {folder}/squid.pid\n\
                 coredump_dir {folder}\nshutdown_lifetime 0 seconds\nvisible_hostname proxy.test\n"
            ),
            Self::Tinyproxy => format!(
                "Port {port}\nListen 127.0.0.1\nTimeout 600\nLogFile \"{folder}/access.log\"\nLogLevel Info\n\
                 MaxClients 100\nAllow 127.0.0.1\n"
            ),
            Self::Haproxy => format!(
                "global\n  log stdout format raw local0\ndefaults\n  mode http\n  log global\n  option httplog\n  \
                 option logasap\n  timeout connect 5s\n  timeout client 50s\n  timeout server 50s\n\
                 frontend clients\n  bind 127.0.0.1:{port}\n  default_backend gateway\n\
                 backend gateway\n  server gateway {gateway}\n"
            ),
            Self::NginxPlain | Self::NginxUpgrade => {
                let location = if self == Self::NginxPlain {
                    format!("location / {{ proxy_pass http://{gateway}; }}")
                } else {
                    format!(
                        "location /realtime/ {{\n      proxy_pass http://{gateway}/;\n      proxy_http_version 1.1;\n      \
                         proxy_set_header Upgrade $http_upgrade;\n      proxy_set_header Connection $connection_upgrade;\n    }}"
                    )
                };
                format!(
                    "daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log;\n\
                     events {{ worker_connections 256; }}\nhttp {{\n  access_log {folder}/access.log;\n  \
                     client_body_temp_path {folder}/body;\n  proxy_temp_path {folder}/proxy;\n  \
                     fastcgi_temp_path {folder}/fastcgi;\n  uwsgi_temp_path {folder}/uwsgi;\n  scgi_temp_path {folder}/scgi;\n  \
                     map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}\n  \
                     server {{\n    listen 127.0.0.1:{port};\n    {location}\n  }}\n}}\n"
                )
            }
            Self::Mitmdump => String::new(), // it takes flags
        }
    }

    fn command(self, program: &Path, port: u16, folder: &Path) -> Command {
        let configuration = folder.join("configuration");
        let mut command = Command::new(program);
        match self {
            Self::Squid => command.args(["-N", "-f"]).arg(&configuration),
            Self::Tinyproxy => command.args(["-d", "-c"]).arg(&configuration),
            Self::Haproxy => command.args(["-db", "-f"]).arg(&configuration),
            Self::NginxPlain | Self::NginxUpgrade => {
                command.arg("-c").arg(&configuration).arg("-p").arg(folder)
            }
            Self::Mitmdump => command
                .args(["--listen-host", "127.0.0.1", "--listen-port", &port.to_string(), "--ssl-insecure"])
                .args(["--set", "flow_detail=1", "--set"])
                .arg(format!("confdir={}", folder.display())),
        };
        command
    }

    async fn version(self, program: &Path) -> Result<String> {
        let flag = match self {
            Self::Mitmdump => "--version",
            _ => "-v",
        };
        let output = Command::new(program).arg(flag).output().await?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let first = said.lines().next().unwrap_or_default();
        let version =
            first.split(['(', ' ', '/', ':']).find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
        Ok(format!("{} {}", self.name(), version.unwrap_or("of an unknown version")))
    }

    /// What its program is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Squid => "squid",
            Self::Tinyproxy => "tinyproxy",
            Self::Haproxy => "HAProxy",
            Self::NginxPlain | Self::NginxUpgrade => "nginx",
            Self::Mitmdump => "mitmdump",
        }
    }
}

impl Proxy {
    /// Starts one in a folder of its own below `folder`, and waits until it listens.
    ///
    /// # Errors
    /// When its program is not on this machine, or it does not listen.
    pub async fn start(kind: Kind, programs: &Programs, gateway: SocketAddr, folder: &Path) -> Result<Self> {
        let program = kind.program(programs).with_context(|| format!("{} is not installed", kind.name()))?;
        let folder = folder.join(format!("{kind:?}").to_lowercase());
        fs::create_dir_all(&folder)?;
        open_to_all(&folder)?;
        let log = folder.join("access.log");
        let port = free_port()?;
        fs::write(folder.join("configuration"), kind.configuration(port, gateway, &folder))?;
        let said = fs::File::create(if matches!(kind, Kind::Haproxy | Kind::Mitmdump) {
            log.clone()
        } else {
            folder.join("said")
        })?;
        let mut command = kind.command(program, port, &folder);
        command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said).kill_on_drop(true);
        let process = command.spawn().with_context(|| format!("{} starts", program.display()))?;
        let address = (Ipv4Addr::LOCALHOST, port).into();
        let mut proxy = Self { address, version: kind.version(program).await?, kind, folder, log, process };
        proxy.listens().await?;
        Ok(proxy)
    }

    async fn listens(&mut self) -> Result<()> {
        let deadline = std::time::Instant::now() + PATIENCE;
        while TcpStream::connect(self.address).await.is_err() {
            if let Some(status) = self.process.try_wait()? {
                let said =
                    fs::read_to_string(self.folder.join("said")).or_else(|_| fs::read_to_string(&self.log));
                bail!("{} ended with {status}: {}", self.kind.name(), said.unwrap_or_default());
            }
            ensure!(std::time::Instant::now() < deadline, "{} does not listen", self.kind.name());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// The certificate that it signs with, in PEM.
    ///
    /// # Errors
    /// When it has none.
    pub fn certificate(&self) -> Result<Vec<u8>> {
        fs::read(self.folder.join("mitmproxy-ca-cert.pem")).context("the proxy's own certificate")
    }

    /// The lines of its own log that are about the gateway.
    pub fn lines(&self) -> Vec<String> {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        log.lines()
            .filter(|line| line.contains("/v1/") || line.contains("CONNECT "))
            .map(str::to_owned)
            .collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The runtime reaps it; a process that nobody waits for is one that is gone.
        let _ = self.process.start_kill();
    }
}

/// Some proxies work as a user of their own, who has to write here.
fn open_to_all(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777))?;
    Ok(())
}

/// A port that nobody listens on just now.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// How long a proxy may take until it listens.
const PATIENCE: Duration = Duration::from_secs(30);
