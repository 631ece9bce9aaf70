//! A UDP proxy on loopback that stands in front of a gateway and does to flows what bad networks do.
//!
//! A *flow* is what one address of a client and the gateway say to one another. It gets its [`Fate`] from the [`Plan`], as
//! a connection does from the [TCP proxy](super::fault_proxy); a datagram passes whole or not at all. Nobody can reset a
//! flow, so a [`Fault`] is something else here:
//!
//! | fault | what passes yet | who learns of it |
//! | --- | --- | --- |
//! | `Reset`, `Close` | what goes up | the client, and by its last words the gateway |
//! | `ClientGone` | nothing | the client |
//! | `GatewayGone` | what comes down | nobody |
//! | `Forgotten` | nothing | nobody |
//!
//! It is for the test to tell the client: to drop its link whenever [`UdpCounters::told`] rises. Between cuts [`Noise`] loses,
//! doubles and delays datagrams, which is QUIC's to mend.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::fault_plan::{Direction, Fate, Fault, Plan};
use super::random::Random;

/// What happens to single datagrams, of a thousand.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Noise {
    /// How many are lost.
    pub(crate) lost: u64,
    /// How many arrive twice.
    pub(crate) doubled: u64,
    /// How many are held up until others have overtaken them.
    pub(crate) late: u64,
}

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct UdpCounters {
    /// Flows begun.
    pub(crate) flows: u64,
    /// Cuts fallen, the half-open ones included.
    pub(crate) cuts: u64,
    /// Cuts that left an end in the belief that the flow stands.
    pub(crate) half_open: u64,
    /// Cuts that the client is to be told of.
    pub(crate) told: u64,
    /// Datagrams passed from clients to the gateway.
    pub(crate) up: u64,
    /// Datagrams passed from the gateway to clients.
    pub(crate) down: u64,
    /// Datagrams to the gateway that were withheld by a cut or a block.
    pub(crate) withheld_up: u64,
    /// Datagrams to clients that were withheld, by [`UdpFaultProxy::swallow`] too.
    pub(crate) withheld_down: u64,
    /// Datagrams that were lost, doubled, or late.
    pub(crate) noise: u64,
}

/// The proxy. Dropping it closes its port.
pub(crate) struct UdpFaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    carrying: JoinHandle<()>,
}

impl UdpFaultProxy {
    /// Takes datagrams at an address, and passes them on to `gateway`.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub(crate) async fn start_at(
        at: SocketAddr,
        gateway: SocketAddr,
        plan: Plan,
        noise: Noise,
    ) -> io::Result<Self> {
        let socket = Arc::new(UdpSocket::bind(at).await?);
        let address = socket.local_addr()?;
        let shared = Arc::new(Shared {
            gateway,
            socket,
            plan: Mutex::new(plan),
            noise,
            is_blocked: AtomicBool::new(false),
            flows: Mutex::default(),
            counters: watch::Sender::default(),
        });
        let carrying = tokio::spawn(carry(Arc::clone(&shared)));
        Ok(Self { address, shared, carrying })
    }

    /// Where clients send to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn counters(&self) -> UdpCounters {
        *self.shared.counters.borrow()
    }

    /// Waits until what has happened is enough.
    ///
    /// # Panics
    /// When it is not in half a minute: a test that waits in vain says what it saw.
    pub(crate) async fn until(&self, enough: impl FnMut(&UdpCounters) -> bool) -> UdpCounters {
        let mut counters = self.watch();
        match tokio::time::timeout(PATIENCE, counters.wait_for(enough)).await {
            Ok(counters) => *counters.expect("the sender lives as long as self"),
            Err(_) => panic!("waited in vain; so far there were {:?}", self.counters()),
        }
    }

    /// What happens, whenever something does.
    pub(crate) fn watch(&self) -> watch::Receiver<UdpCounters> {
        self.shared.counters.subscribe()
    }

    /// Cuts every flow that stands; says how many there were.
    pub(crate) fn cut_all(&self, fault: Fault) -> usize {
        let flows: Vec<_> = lock(&self.shared.flows).values().filter_map(Weak::upgrade).collect();
        flows.iter().filter(|flow| flow.cut(&mut lock(&flow.course), fault)).count()
    }

    /// From now on nothing comes down the flow that the gateway knows by this address, while all passes up, and nobody
    /// is told; says whether there is one.
    pub(crate) fn swallow(&self, client: SocketAddr) -> bool {
        let flows: Vec<_> = lock(&self.shared.flows).values().filter_map(Weak::upgrade).collect();
        let flow = flows.iter().find(|flow| flow.gateway.local_addr().is_ok_and(|at| at == client));
        flow.is_some_and(|flow| {
            lock(&flow.course).swallows = true;
            true
        })
    }

    /// From now on every datagram vanishes, either way.
    pub(crate) fn block(&self) {
        self.shared.is_blocked.store(true, Ordering::Relaxed);
    }

    /// From now on datagrams pass again, those of flows that were blocked too.
    pub(crate) fn heal(&self) {
        self.shared.is_blocked.store(false, Ordering::Relaxed);
    }

    /// Flows that begin from now on get their fates from another plan.
    pub(crate) fn follow(&self, plan: Plan) {
        *lock(&self.shared.plan) = plan;
    }
}

impl Drop for UdpFaultProxy {
    fn drop(&mut self) {
        self.carrying.abort();
    }
}

struct Shared {
    gateway: SocketAddr,
    /// Where clients send to.
    socket: Arc<UdpSocket>,
    plan: Mutex<Plan>,
    noise: Noise,
    is_blocked: AtomicBool,
    /// By the client's address. One whose flow is over stays: nothing passes for it any more.
    flows: Mutex<HashMap<SocketAddr, Weak<Flow>>>,
    counters: watch::Sender<UdpCounters>,
}

impl Shared {
    fn count(&self, what: impl FnOnce(&mut UdpCounters)) {
        self.counters.send_modify(what);
    }

    /// The flow of a client, begun if it has none; nothing if it is over.
    async fn flow(self: &Arc<Self>, client: SocketAddr, flows: &mut JoinSet<()>) -> Option<Arc<Flow>> {
        if let Some(flow) = lock(&self.flows).get(&client) {
            return flow.upgrade();
        }
        let gateway = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.ok()?;
        gateway.connect(self.gateway).await.ok()?;
        let mut number = 0;
        self.count(|counters| {
            number = counters.flows;
            counters.flows += 1;
        });
        let plan = lock(&self.plan).clone();
        let flow = Arc::new(Flow {
            shared: Arc::clone(self),
            client,
            gateway,
            fate: plan.fate(number),
            over_after: plan.half_open_for,
            course: Mutex::new(Course {
                passed_up: 0,
                passed_down: 0,
                cut: None,
                swallows: false,
                random: Random::of(plan.seed ^ NOISE, number),
            }),
            is_cut: Notify::new(),
        });
        lock(&self.flows).insert(client, Arc::downgrade(&flow));
        flows.spawn(Arc::clone(&flow).carry_down());
        Some(flow)
    }
}

/// Carries what goes up until it is aborted, which ends all flows.
async fn carry(shared: Arc<Shared>) {
    let mut flows = JoinSet::new();
    let mut late = JoinSet::new();
    let mut buffer = vec![0; LARGEST_DATAGRAM];
    loop {
        while flows.try_join_next().is_some() {}
        let Ok((size, client)) = shared.socket.recv_from(&mut buffer).await else { continue };
        if let Some(flow) = shared.flow(client, &mut flows).await {
            flow.carry(Direction::Up, &buffer[..size], &mut late).await;
        }
    }
}

/// What one client and the gateway say to one another, on the way to its fate.
struct Flow {
    shared: Arc<Shared>,
    client: SocketAddr,
    gateway: UdpSocket,
    fate: Fate,
    over_after: Duration,
    course: Mutex<Course>,
    is_cut: Notify,
}

/// How far it has come.
struct Course {
    passed_up: u64,
    passed_down: u64,
    cut: Option<Fault>,
    swallows: bool,
    random: Random,
}

/// What becomes of a datagram.
enum Passing {
    Not,
    Once,
    Twice,
    Late,
}

impl Flow {
    /// Carries what comes down, until some time after the cut: then the flow is over.
    async fn carry_down(self: Arc<Self>) {
        let mut late = JoinSet::new();
        let mut buffer = vec![0; LARGEST_DATAGRAM];
        let carrying = async {
            loop {
                // An ICMP message of a gateway that is gone arrives as an error.
                if let Ok(size) = self.gateway.recv(&mut buffer).await {
                    self.carry(Direction::Down, &buffer[..size], &mut late).await;
                }
            }
        };
        let over = async {
            self.is_cut.notified().await;
            tokio::time::sleep(self.over_after).await;
        };
        tokio::select! {
            () = carrying => {}
            () = over => {}
        }
    }

    async fn carry(self: &Arc<Self>, direction: Direction, datagram: &[u8], late: &mut JoinSet<()>) {
        match self.judge(direction, datagram.len() as u64) {
            Passing::Not => {}
            Passing::Once => self.pass(direction, datagram).await,
            Passing::Twice => {
                self.pass(direction, datagram).await;
                self.pass(direction, datagram).await;
            }
            Passing::Late => {
                while late.try_join_next().is_some() {}
                let (flow, datagram) = (Arc::clone(self), datagram.to_vec());
                late.spawn(async move {
                    tokio::time::sleep(LATE).await;
                    flow.pass(direction, &datagram).await;
                });
            }
        }
    }

    fn judge(&self, direction: Direction, bytes: u64) -> Passing {
        let mut course = lock(&self.course);
        let passed = match direction {
            Direction::Up => course.passed_up,
            Direction::Down => course.passed_down,
        };
        if let Some(Fate { after_bytes, cut: Some(fault), .. }) = self.fate.of(direction)
            && passed + bytes > after_bytes
        {
            self.cut(&mut course, fault);
        }
        if self.shared.is_blocked.load(Ordering::Relaxed) || !course.lets_pass(direction) {
            self.shared.count(|counters| match direction {
                Direction::Up => counters.withheld_up += 1,
                Direction::Down => counters.withheld_down += 1,
            });
            return Passing::Not;
        }
        match direction {
            Direction::Up => course.passed_up += bytes,
            Direction::Down => course.passed_down += bytes,
        }
        let Noise { lost, doubled, late } = self.shared.noise;
        let drawn = course.random.within(1..=1_000);
        let passing = match drawn {
            _ if drawn <= lost => Passing::Not,
            _ if drawn <= lost + doubled => Passing::Twice,
            _ if drawn <= lost + doubled + late => Passing::Late,
            _ => return Passing::Once,
        };
        self.shared.count(|counters| counters.noise += 1);
        passing
    }

    /// Cuts the flow, unless it is; says whether it did.
    fn cut(&self, course: &mut Course, fault: Fault) -> bool {
        if course.cut.is_some() {
            return false;
        }
        course.cut = Some(fault);
        self.is_cut.notify_one();
        let is_told = matches!(fault, Fault::Reset | Fault::Close | Fault::ClientGone);
        self.shared.count(|counters| {
            counters.cuts += 1;
            counters.half_open += u64::from(fault.is_half_open());
            counters.told += u64::from(is_told);
        });
        true
    }

    async fn pass(&self, direction: Direction, datagram: &[u8]) {
        // What cannot be sent is lost, as datagrams are.
        let _ = match direction {
            Direction::Up => self.gateway.send(datagram).await,
            Direction::Down => self.shared.socket.send_to(datagram, self.client).await,
        };
        self.shared.count(|counters| match direction {
            Direction::Up => counters.up += 1,
            Direction::Down => counters.down += 1,
        });
    }
}

impl Course {
    fn lets_pass(&self, direction: Direction) -> bool {
        match (self.cut, direction) {
            (None, Direction::Up) => true,
            (None, Direction::Down) => !self.swallows,
            (Some(Fault::Reset | Fault::Close), Direction::Up) => true,
            (Some(Fault::GatewayGone), Direction::Down) => !self.swallows,
            (Some(_), _) => false,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a late datagram is held up: longer than others take on loopback.
const LATE: Duration = Duration::from_millis(3);
/// More than a UDP datagram can have.
const LARGEST_DATAGRAM: usize = 65_536;
/// How long a test waits for something that happens at once.
const PATIENCE: Duration = Duration::from_secs(30);
/// Sets the chances of noise apart from those of fates.
const NOISE: u64 = 0x006e_6f69_7365;
