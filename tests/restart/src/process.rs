//! The processes of a run: the gateway, with keys that outlive it, and herds. Each ends with what holds it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum as _;
use throughline_networks::Gateway;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::TcpSocket,
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::{
    herd::{Order, Plan, Told},
    log::Events,
};

/// The programs that are run.
#[derive(Clone, Debug)]
pub struct Programs {
    /// `throughline`.
    pub gateway: PathBuf,
    /// `throughline-restart`: a herd is a process of it.
    pub herd: PathBuf,
}

/// A place for gateways, one after the other: on the same ports, with the same keys.
#[derive(Debug)]
pub(crate) struct Place {
    program: PathBuf,
    folder: PathBuf,
    rate: u64,
    /// Where the application takes what clients send.
    application: String,
    /// Whether one hands over to the next.
    hands_over: bool,
    /// The clients' and the application's port: those that are kept, or once one has listened.
    listens: Option<(SocketAddr, SocketAddr)>,
    /// Keeps both from everybody else while no gateway has them: bound, and never listening.
    _kept: Vec<TcpSocket>,
}

impl Place {
    pub(crate) fn new(programs: &Programs, rate: u64, application: &str, hands_over: bool) -> Result<Self> {
        static PLACES: AtomicU32 = AtomicU32::new(0); // several scenes may be played in one process
        let number = PLACES.fetch_add(1, Ordering::Relaxed);
        let name = format!("throughline-restart-{}-{}-{number}", std::process::id(), crate::log::wall_ms());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).with_context(|| folder.display().to_string())?;
        // One that hands over leaves no moment without.
        let kept: Vec<_> = (0..if hands_over { 0 } else { 2 }).map(|_| keep_port()).collect::<Result<_>>()?;
        let listens = match &kept[..] {
            [clients, admin] => Some((clients.local_addr()?, admin.local_addr()?)),
            _ => None,
        };
        let place = Self {
            program: programs.gateway.clone(),
            folder,
            rate,
            application: application.into(),
            hands_over,
            listens,
            _kept: kept,
        };
        // Of a run, on loopback, and gone with it.
        let secret = format!("of a run that began at {}", crate::log::wall_ms());
        let keys = format!(
            "[[token_keys]]
id = \"k\"
secret = \"{secret}\"
[webhook]
secrets = [\"{secret}\"]
"
        );
        std::fs::write(place.config(), keys).context("its configuration is written")?;
        Ok(place)
    }

    fn config(&self) -> PathBuf {
        self.folder.join("throughline.toml")
    }

    /// Starts one where the last one was, or is yet and hands over.
    pub(crate) async fn start(&mut self) -> Result<Gateway> {
        let (clients, admin) = self.listens.unzip();
        let config = self.config();
        let port = |address: Option<SocketAddr>| {
            address.map_or_else(|| "127.0.0.1:0".into(), |address| address.to_string())
        };
        let (clients, admin) = (port(clients), port(admin));
        let rate = format!("session.admission_rate={}", self.rate);
        let application = format!("webhook.url={}", self.application);
        let config = config.to_str().context("a path in UTF-8")?;
        let arguments = ["--config", config, "--listen", &clients, "--admin-listen", &admin];
        let settings =
            ["--set", &rate, "--set", &application, "--set", "webhook.events=intent", "--log", "error"];
        let socket = format!("handover.socket={}", self.folder.join("handover.sock").display());
        let scene: &[&str] = if self.hands_over {
            &["--set", &socket, "--set", "drain.deadline_ms=120000"]
        } else {
            // QUIC has no listener's queue, and a herd of its own.
            &["--set", "webtransport.enabled=false"]
        };
        let gateway =
            Gateway::start_with(&self.program, &[&arguments[..], &settings, scene].concat()).await?;
        self.listens = Some((gateway.clients(), gateway.admin().address()));
        Ok(gateway)
    }
}

/// Takes a free port, which only somebody who asks for it by number, and allows others on it, gets too.
fn keep_port() -> Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    Ok(socket)
}

impl Drop for Place {
    fn drop(&mut self) {
        // What is left in the system's folder for such things does no harm.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// All clients of a run: half of them come from one address, half from another, as one has not enough ports for thousands
/// that come and go.
#[derive(Debug)]
pub(crate) struct Herds(Vec<Herd>);

impl Herds {
    /// Begins herds that are this one together.
    pub(crate) fn begin(program: &Path, whole: &Plan) -> Result<Self> {
        let herds = ADDRESSES.len() as u32;
        let shares =
            (0..herds).map(|herd| (whole.sessions * herd / herds, whole.sessions * (herd + 1) / herds));
        let begin = |(from, (first, end)): (&Ipv4Addr, (u32, u32))| {
            let (pace, sends) = (whole.pace.div_ceil(herds), whole.sends.div_ceil(herds));
            let plan = Plan { from: *from, first, sessions: end - first, pace, sends, ..whole.clone() };
            Herd::start(program, &plan)
        };
        ADDRESSES.iter().zip(shares).map(begin).collect::<Result<_>>().map(Self)
    }

    /// Has an order carried out; what one has come to lasts until the others have.
    pub(crate) async fn all(&mut self, order: Order) -> Result<()> {
        for herd in &mut self.0 {
            herd.order(order).await?;
        }
        Ok(())
    }

    /// What happened so far.
    pub(crate) async fn tell(&mut self) -> Result<Events> {
        let mut events = Events::default();
        for herd in &mut self.0 {
            events.add(herd.tell().await?);
        }
        Ok(events)
    }

    /// Their processes.
    pub(crate) fn pids(&self) -> Result<Vec<u32>> {
        self.0.iter().map(|herd| herd.process.id().context("the herd runs")).collect()
    }
}

/// A herd that runs. Dropping it ends it.
#[derive(Debug)]
struct Herd {
    process: Child,
    orders: ChildStdin,
    told: Lines<BufReader<ChildStdout>>,
    patience: Duration,
}

impl Herd {
    fn start(program: &Path, plan: &Plan) -> Result<Self> {
        let mut command = Command::new(program);
        command.arg("herd").arg("--url").arg(&plan.url).arg("--from").arg(plan.from.to_string());
        for (name, value) in [
            ("--first", u64::from(plan.first)),
            ("--sessions", plan.sessions.into()),
            ("--rooms", plan.rooms.into()),
            ("--pace", plan.pace.into()),
            ("--sends", plan.sends.into()),
            ("--since-ms", plan.since_ms),
            ("--patience-ms", plan.patience_ms),
        ] {
            command.arg(name).arg(value.to_string());
        }
        let mix = plan.mix.to_possible_value().context("it has a name")?;
        command.arg("--mix").arg(mix.get_name());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().with_context(|| format!("{} starts", program.display()))?;
        let orders = process.stdin.take().context("its input is piped")?;
        let told = BufReader::new(process.stdout.take().context("its output is piped")?).lines();
        // It has its own, and has to open its sessions first, which takes as long as a busy machine makes it.
        let patience = 4 * Duration::from_millis(plan.patience_ms);
        Ok(Self { process, orders, told, patience })
    }

    /// Has an order carried out.
    async fn order(&mut self, order: Order) -> Result<()> {
        match self.ask(order).await? {
            Told::Done => Ok(()),
            Told::Missing(who) => bail!("{order:?} is not so in time: {}", who.join("\n")),
            Told::Events(_) => bail!("a herd tells what it was not asked"),
        }
    }

    async fn tell(&mut self) -> Result<Events> {
        match self.ask(Order::Tell).await? {
            Told::Events(events) => Ok(*events),
            other => bail!("a herd does not tell what happened: {other:?}"),
        }
    }

    async fn ask(&mut self, order: Order) -> Result<Told> {
        let mut line = serde_json::to_vec(&order)?;
        line.push(b'\n');
        self.orders.write_all(&line).await.context("the herd takes orders")?;
        let told = tokio::time::timeout(self.patience, self.told.next_line()).await;
        let told = told.context("the herd does not answer")??.context("the herd has ended")?;
        serde_json::from_str(&told).context("what a herd tells")
    }
}

/// Where clients connect from.
const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 0, 1), Ipv4Addr::new(127, 0, 0, 2)];
