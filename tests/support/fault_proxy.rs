//! A proxy on loopback that stands in front of a gateway and does to connections what bad networks do.
//!
//! Each connection gets its [`Fate`] from the [`Plan`]. A cut falls at the exact byte, and only when a further one is
//! there to be withheld: always while something is being said.
//!
//! A byte is forwarded as soon as it is there; only what is meant to wait waits. Everything is bounded: connections,
//! half-open ones, buffers. Left out: loss and reordering of packets, which TCP would hide; UDP has a
//! [proxy of its own](super::udp_proxy).

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::fault_plan::{Direction, Fate, Fault, Plan};
use super::upgrades::{Upgrades, asks_for_websocket, end_of_head, refuse};

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Connections accepted, those turned away not counted.
    pub(crate) accepted: u64,
    /// Connections reset at the door: too many at once, or no gateway behind it.
    pub(crate) turned_away: u64,
    /// Cuts fallen, the half-open ones included.
    pub(crate) cuts: u64,
    /// Cuts that left an end in the belief that the connection stands.
    pub(crate) half_open: u64,
    /// Requests for a WebSocket refused.
    pub(crate) refused: u64,
    /// WebSockets of which something was swallowed that came down.
    pub(crate) swallows: u64,
    /// Bytes that were.
    pub(crate) swallowed: u64,
    /// Pauses made.
    pub(crate) stalls: u64,
    /// Bytes passed from clients to the gateway.
    pub(crate) bytes_up: u64,
    /// Bytes passed from the gateway to clients.
    pub(crate) bytes_down: u64,
    /// Connections that stand now, the half-open ones not counted.
    pub(crate) live: u64,
}

/// The proxy. Dropping it ends every connection, without a reset; see [`FaultProxy::stop`].
pub(crate) struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl FaultProxy {
    /// Listens on a free port of loopback and passes connections on to `gateway`.
    ///
    /// # Errors
    /// When no port can be had.
    pub(crate) async fn start(gateway: SocketAddr, plan: Plan) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            gateway,
            connections: Arc::new(Semaphore::new(plan.connections)),
            half_open: Arc::new(Semaphore::new(plan.half_open)),
            plan: Mutex::new(plan),
            live: Mutex::default(),
            counters: watch::Sender::default(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, accepting })
    }

    /// Where clients connect to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn counters(&self) -> Counters {
        *self.shared.counters.borrow()
    }

    /// Waits until what has happened is enough.
    ///
    /// # Panics
    /// When it is not in half a minute: a test that waits in vain says what it saw.
    pub(crate) async fn until(&self, enough: impl FnMut(&Counters) -> bool) -> Counters {
        let mut counters = self.shared.counters.subscribe();
        match tokio::time::timeout(PATIENCE, counters.wait_for(enough)).await {
            Ok(counters) => *counters.expect("the sender lives as long as self"),
            Err(_) => panic!("waited in vain; so far there were {:?}", self.counters()),
        }
    }

    /// Cuts the newest connection that stands; says whether there was one.
    pub(crate) fn cut_now(&self, fault: Fault) -> bool {
        while let Some((_, cut)) = lock(&self.shared.live).pop_last() {
            if cut.send(fault).is_ok() {
                return true;
            }
        }
        false
    }

    /// Cuts every connection that stands; says how many there were.
    pub(crate) fn cut_all(&self, fault: Fault) -> usize {
        let live = std::mem::take(&mut *lock(&self.shared.live));
        live.into_values().filter_map(|cut| cut.send(fault).ok()).count()
    }

    /// Connections made from now on get their fates from another plan; its bounds on numbers are not taken over.
    pub(crate) fn follow(&self, plan: Plan) {
        *lock(&self.shared.plan) = plan;
    }

    /// Resets what stands and stops listening.
    pub(crate) async fn stop(mut self) {
        self.shared.connections.close(); // from here on the door turns everybody away
        self.cut_all(Fault::Reset);
        self.until(|counters| counters.live == 0).await;
        self.accepting.abort();
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

struct Shared {
    gateway: SocketAddr,
    plan: Mutex<Plan>,
    connections: Arc<Semaphore>,
    half_open: Arc<Semaphore>,
    live: Mutex<BTreeMap<u64, oneshot::Sender<Fault>>>,
    counters: watch::Sender<Counters>,
}

impl Shared {
    /// Lists a connection among those that can be cut, and says when that is asked for.
    fn admit(&self, number: u64) -> oneshot::Receiver<Fault> {
        let (cut, cut_asked) = oneshot::channel();
        lock(&self.live).insert(number, cut);
        self.count(|counters| {
            counters.accepted += 1;
            counters.live += 1;
        });
        cut_asked
    }

    fn turn_away(&self, client: TcpStream) {
        reset(client);
        self.count(|counters| counters.turned_away += 1);
    }

    fn count(&self, what: impl FnOnce(&mut Counters)) {
        self.counters.send_modify(what);
    }
}

/// Takes connections until it is aborted, which drops them all.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    let mut number = 0;
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((client, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await; // out of descriptors: let some come free
            continue;
        };
        let Ok(permit) = Arc::clone(&shared.connections).try_acquire_owned() else {
            shared.turn_away(client);
            continue;
        };
        connections.spawn(carry(Arc::clone(&shared), client, number, permit));
        number += 1;
    }
}

/// Takes the `number`-th connection to its end.
async fn carry(shared: Arc<Shared>, client: TcpStream, number: u64, permit: OwnedSemaphorePermit) {
    let Ok(gateway) = TcpStream::connect(shared.gateway).await else {
        return shared.turn_away(client);
    };
    let _ = (client.set_nodelay(true), gateway.set_nodelay(true));
    let plan = lock(&shared.plan).clone();
    let cut_asked = shared.admit(number);
    let hinders = plan.upgrades != Upgrades::Pass && asks_for_websocket(&client).await.unwrap_or(false);
    if hinders && plan.upgrades == Upgrades::Refuse {
        lock(&shared.live).remove(&number);
        shared.count(|counters| {
            counters.live -= 1;
            counters.refused += 1;
        });
        return refuse(client).await;
    }
    let fate = plan.fate(number);
    let mut connection = Connection { client, gateway, fate, swallows: hinders, plan, shared };
    let stop = connection.forward(cut_asked).await;
    lock(&connection.shared.live).remove(&number);
    connection.shared.count(|counters| counters.live -= 1);
    drop(permit);
    connection.end(stop).await;
}

/// One connection on the way to its fate.
struct Connection {
    client: TcpStream,
    gateway: TcpStream,
    fate: Fate,
    /// Whether nothing comes down after the first head.
    swallows: bool,
    plan: Plan,
    shared: Arc<Shared>,
}

/// Why bytes stopped flowing.
enum Stop {
    /// Both ends said that they were done.
    Done,
    /// An end broke off by itself.
    Broken,
    /// The fate struck, or the test did.
    Cut(Fault),
}

impl Connection {
    /// Passes bytes both ways until something stops them.
    async fn forward(&mut self, cut_asked: oneshot::Receiver<Fault>) -> Stop {
        let (client_reads, client_writes) = self.client.split();
        let (gateway_reads, gateway_writes) = self.gateway.split();
        let (plan, shared) = (&self.plan, &*self.shared);
        let fate = |direction| self.fate.of(direction);
        let up = Pump { direction: Direction::Up, fate: fate(Direction::Up), swallows: false, plan, shared };
        let swallows = self.swallows;
        let down = Pump { direction: Direction::Down, fate: fate(Direction::Down), swallows, plan, shared };
        let both = async {
            let (up, down) = (up.run(client_reads, gateway_writes), down.run(gateway_reads, client_writes));
            tokio::pin!(up, down);
            tokio::select! {
                stop = &mut up => match stop { Stop::Done => down.await, stop => stop },
                stop = &mut down => match stop { Stop::Done => up.await, stop => stop },
            }
        };
        tokio::select! {
            stop = both => stop,
            Ok(fault) = cut_asked => Stop::Cut(fault),
        }
    }

    /// Does to both ends what stopped them.
    async fn end(self, stop: Stop) {
        let fault = match stop {
            Stop::Done => return,
            Stop::Broken => return self.reset(),
            Stop::Cut(fault) => fault,
        };
        let held =
            if fault.is_half_open() { self.shared.half_open.clone().try_acquire_owned().ok() } else { None };
        self.shared.count(|counters| {
            counters.cuts += 1;
            counters.half_open += u64::from(held.is_some());
        });
        match fault {
            Fault::Close => self.close().await,
            Fault::ClientGone if held.is_some() => {
                reset(self.client);
                hold([self.gateway], self.plan.half_open_for).await;
            }
            Fault::GatewayGone if held.is_some() => {
                reset(self.gateway);
                hold([self.client], self.plan.half_open_for).await;
            }
            Fault::Forgotten if held.is_some() => {
                hold([self.client, self.gateway], self.plan.half_open_for).await;
            }
            _ => self.reset(),
        }
    }

    fn reset(self) {
        reset(self.client);
        reset(self.gateway);
    }

    async fn close(mut self) {
        let _ = (self.client.shutdown().await, self.gateway.shutdown().await);
    }
}

/// One direction of a connection.
struct Pump<'a> {
    direction: Direction,
    /// What happens, if it is the bytes of this direction that are counted.
    fate: Option<Fate>,
    /// Whether nothing passes after the first head.
    swallows: bool,
    plan: &'a Plan,
    shared: &'a Shared,
}

impl Pump<'_> {
    /// Passes bytes on until their end, or until the fate's byte: what comes after it is withheld.
    async fn run(self, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> Stop {
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut passed = 0;
        let mut swallowed = 0;
        loop {
            let Ok(read) = from.read(&mut buffer).await else { return Stop::Broken };
            if read == 0 {
                return if to.shutdown().await.is_ok() { Stop::Done } else { Stop::Broken };
            }
            let read =
                if self.swallows { self.swallow(passed, &mut swallowed, &buffer[..read]) } else { read };
            let (passing, cut) = self.cut(passed, read);
            self.wait(passed, passing).await;
            if to.write_all(&buffer[..passing]).await.is_err() {
                return Stop::Broken;
            }
            passed += passing as u64;
            self.shared.count(|counters| match self.direction {
                Direction::Up => counters.bytes_up += passing as u64,
                Direction::Down => counters.bytes_down += passing as u64,
            });
            if let Some(fault) = cut {
                return Stop::Cut(fault);
            }
        }
    }

    /// How many of the bytes that were read may pass, and what happens if that is not all of them.
    fn cut(&self, passed: u64, read: usize) -> (usize, Option<Fault>) {
        let Some(Fate { after_bytes, cut: Some(fault), .. }) = self.fate else { return (read, None) };
        match usize::try_from(after_bytes - passed) {
            Ok(left) if left < read => (left, Some(fault)),
            _ => (read, None),
        }
    }

    /// How many of the bytes that were read may pass, where only the first head may.
    fn swallow(&self, passed: u64, swallowed: &mut u64, read: &[u8]) -> usize {
        // A gateway sends the head that upgrades in one piece.
        let passing = if passed == 0 { end_of_head(read).unwrap_or(read.len()) } else { 0 };
        let bytes = (read.len() - passing) as u64;
        self.shared.count(|counters| {
            counters.swallows += u64::from(*swallowed == 0 && bytes > 0);
            counters.swallowed += bytes;
        });
        *swallowed += bytes;
        passing
    }

    /// Waits where the plan says so.
    async fn wait(&self, passed: u64, passing: usize) {
        if !self.plan.delay.is_zero() {
            tokio::time::sleep(self.plan.delay).await;
        }
        let stall_at = self.fate.and_then(|fate| fate.stall_at);
        if stall_at.is_some_and(|at| (passed..passed + passing as u64).contains(&at)) {
            self.shared.count(|counters| counters.stalls += 1);
            tokio::time::sleep(self.plan.stall_for).await;
        }
    }
}

/// Leaves ends standing, deaf and dumb, then resets them.
async fn hold<const N: usize>(ends: [TcpStream; N], time: Duration) {
    for end in &ends {
        let _ = end.set_zero_linger(); // also if the proxy stops meanwhile
    }
    tokio::time::sleep(time).await;
}

/// Ends a connection with a reset: what is not yet sent is thrown away.
fn reset(end: TcpStream) {
    let _ = end.set_zero_linger();
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What one direction of a connection holds at most.
const BUFFER_BYTES: usize = 16 * 1024;

/// How long a test waits for something that happens at once.
const PATIENCE: Duration = Duration::from_secs(30);
