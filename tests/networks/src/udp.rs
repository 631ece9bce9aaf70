//! A UDP proxy that is a network: it takes its time, loses, lets overtake, and falls silent.
//!
//! A *flow* is a client's address; each has a socket of its own towards the gateway. Blocked, datagrams vanish; refused, the
//! port is closed, and the system answers with ICMP what comes to it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

use crate::faults::Passage;
use crate::line::{Course, Line};

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpCounters {
    /// Addresses that sent something.
    pub flows: u64,
    /// Datagrams given to the gateway.
    pub up: u64,
    /// Datagrams given to clients.
    pub down: u64,
    /// Datagrams that the line lost.
    pub lost: u64,
    /// Datagrams that were blocked.
    pub blocked: u64,
    /// When the last was given to a client.
    pub last_down: Option<Instant>,
}

/// The proxy. Dropping it closes its port.
#[derive(Debug)]
pub struct UdpProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    carrying: JoinHandle<()>,
}

impl UdpProxy {
    /// Takes datagrams at a free port of loopback and passes them on to `target`.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(target: SocketAddr, line: Line) -> io::Result<Self> {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), target, line).await
    }

    /// As [`start`](Self::start), at this address: the one of a TCP proxy, for instance.
    ///
    /// # Errors
    /// When it is not free.
    pub async fn start_at(at: SocketAddr, target: SocketAddr, line: Line) -> io::Result<Self> {
        let socket = UdpSocket::bind(at).await?;
        let address = socket.local_addr()?;
        let shared = Arc::new(Shared {
            address,
            target,
            line,
            passage: watch::Sender::default(),
            silenced: watch::Sender::default(),
            counters: watch::Sender::default(),
        });
        let carrying = tokio::spawn(carry(Arc::clone(&shared), socket));
        Ok(Self { address, shared, carrying })
    }

    /// Where clients send to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has happened so far.
    pub fn counters(&self) -> UdpCounters {
        *self.shared.counters.borrow()
    }

    /// What happens, whenever something does.
    pub fn watch(&self) -> watch::Receiver<UdpCounters> {
        self.shared.counters.subscribe()
    }

    /// From now on every datagram vanishes, either way, those under way too.
    pub fn block(&self) {
        self.pass(Passage::Dropped);
    }

    /// From now on the port is closed: senders are told by ICMP.
    pub fn refuse(&self) {
        self.pass(Passage::Refused);
    }

    /// Silences the flows that there are, for good; others pass. A path that is gone, while there is another.
    pub fn silence(&self) {
        let flows = self.counters().flows;
        self.shared.silenced.send_replace(flows);
    }

    /// From now on datagrams pass again. Flows go on that were blocked; those that were refused begin anew.
    pub fn heal(&self) {
        self.pass(Passage::Open);
    }

    /// Does this from now on.
    pub fn pass(&self, passage: Passage) {
        self.shared.passage.send_replace(passage);
    }
}

impl Drop for UdpProxy {
    fn drop(&mut self) {
        self.carrying.abort();
    }
}

#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    target: SocketAddr,
    line: Line,
    passage: watch::Sender<Passage>,
    /// Flows below this number are silenced.
    silenced: watch::Sender<u64>,
    counters: watch::Sender<UdpCounters>,
}

impl Shared {
    fn count(&self, what: impl FnOnce(&mut UdpCounters)) {
        self.counters.send_modify(what);
    }

    /// Whether a datagram of this flow passes just now.
    fn lets_pass(&self, flow: u64) -> bool {
        let passes = *self.passage.borrow() == Passage::Open && flow >= *self.silenced.borrow();
        if !passes {
            self.count(|counters| counters.blocked += 1);
        }
        passes
    }
}

/// Carries until it is aborted; where the port is closed, until it may be opened again.
async fn carry(shared: Arc<Shared>, socket: UdpSocket) {
    let mut socket = Some(socket);
    let mut passage = shared.passage.subscribe();
    loop {
        if let Some(socket) = socket.take() {
            let mut flows = Flows::new(&shared, Arc::new(socket));
            tokio::select! {
                () = flows.run() => {}
                _ = passage.wait_for(|passage| *passage == Passage::Refused) => {}
            }
        }
        // The flows are gone, and with them the last hold on the socket.
        if passage.wait_for(|passage| *passage != Passage::Refused).await.is_err() {
            return;
        }
        socket = UdpSocket::bind(shared.address).await.ok();
        if socket.is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The flows of a socket.
struct Flows<'a> {
    shared: &'a Arc<Shared>,
    socket: Arc<UdpSocket>,
    flows: BTreeMap<SocketAddr, (Sending, AbortHandle)>,
    tasks: JoinSet<()>,
}

type Sending = mpsc::Sender<Bytes>;

impl<'a> Flows<'a> {
    fn new(shared: &'a Arc<Shared>, socket: Arc<UdpSocket>) -> Self {
        Self { shared, socket, flows: BTreeMap::new(), tasks: JoinSet::new() }
    }

    async fn run(&mut self) {
        let mut buffer = vec![0; LARGEST_DATAGRAM];
        loop {
            while self.tasks.try_join_next().is_some() {}
            // An ICMP message about a client that is gone arrives as an error of the next call.
            let Ok((size, client)) = self.socket.recv_from(&mut buffer).await else { continue };
            if !self.shared.lets_pass(u64::MAX) {
                continue;
            }
            if self.flows.get(&client).is_none_or(|(to, _)| to.is_closed()) && !self.begin(client).await {
                continue;
            }
            if let Some((to, _)) = self.flows.get(&client) {
                // A queue that is full drops, as those of routers do.
                let _ = to.try_send(Bytes::copy_from_slice(&buffer[..size]));
            }
        }
    }

    /// Begins a flow; says whether it could.
    async fn begin(&mut self, client: SocketAddr) -> bool {
        if self.flows.len() >= FLOWS
            && let Some((_, (_, oldest))) = self.flows.pop_first()
        {
            oldest.abort();
        }
        let Ok(gateway) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await else { return false };
        if gateway.connect(self.shared.target).await.is_err() {
            return false;
        }
        let (to, datagrams) = mpsc::channel(UNDER_WAY);
        let flow = Flow {
            shared: Arc::clone(self.shared),
            client,
            socket: Arc::clone(&self.socket),
            gateway,
            number: self.shared.counters.borrow().flows,
        };
        self.shared.count(|counters| counters.flows += 1);
        let task = self.tasks.spawn(flow.run(datagrams));
        self.flows.insert(client, (to, task));
        true
    }
}

/// What one client and the gateway say to one another.
struct Flow {
    shared: Arc<Shared>,
    client: SocketAddr,
    socket: Arc<UdpSocket>,
    gateway: UdpSocket,
    number: u64,
}

impl Flow {
    async fn run(self, mut datagrams: mpsc::Receiver<Bytes>) {
        let mut up = Way::new(self.shared.line.course(self.number, true));
        let mut down = Way::new(self.shared.line.course(self.number, false));
        let mut buffer = vec![0; LARGEST_DATAGRAM];
        loop {
            tokio::select! {
                datagram = datagrams.recv() => match datagram {
                    Some(datagram) => up.send(&self.shared, datagram),
                    None => return,
                },
                received = self.gateway.recv(&mut buffer) => {
                    if let Ok(size) = received && self.shared.lets_pass(self.number) {
                        down.send(&self.shared, Bytes::copy_from_slice(&buffer[..size]));
                    }
                }
                datagram = up.arrival() => if self.shared.lets_pass(self.number) {
                    let _ = self.gateway.send(&datagram).await;
                    self.shared.count(|counters| counters.up += 1);
                },
                datagram = down.arrival() => if self.shared.lets_pass(self.number) {
                    let _ = self.socket.send_to(&datagram, self.client).await;
                    self.shared.count(|counters| {
                        counters.down += 1;
                        counters.last_down = Some(Instant::now());
                    });
                },
            }
        }
    }
}

/// One direction of a flow: what is under way, the first to arrive on top.
struct Way {
    course: Course,
    under_way: BinaryHeap<Reverse<(Instant, u64, Bytes)>>,
    sent: u64,
}

impl Way {
    fn new(course: Course) -> Self {
        Self { course, under_way: BinaryHeap::new(), sent: 0 }
    }

    fn send(&mut self, shared: &Shared, datagram: Bytes) {
        self.sent += 1;
        match self.course.datagram(Instant::now(), datagram.len()) {
            Some(at) if self.under_way.len() < UNDER_WAY => {
                self.under_way.push(Reverse((at, self.sent, datagram)));
            }
            _ => shared.count(|counters| counters.lost += 1),
        }
    }

    /// The next to arrive, when it does.
    ///
    /// # Cancel safety
    /// Nothing is lost when it is dropped.
    async fn arrival(&mut self) -> Bytes {
        match self.under_way.peek() {
            Some(Reverse((at, _, _))) => tokio::time::sleep_until((*at).into()).await,
            None => std::future::pending().await,
        }
        self.under_way.pop().map(|Reverse((_, _, datagram))| datagram).unwrap_or_default()
    }
}

/// How many flows there may be; one more ends another.
const FLOWS: usize = 256;
/// How many datagrams of one direction may be under way.
const UNDER_WAY: usize = 4_096;
/// More than a UDP datagram can have.
const LARGEST_DATAGRAM: usize = 65_536;
