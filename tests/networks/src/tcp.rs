//! A TCP proxy that is a network and its middleboxes: it takes its time, and meddles.
//!
//! A connection to a port of this machine stands at once. Here it costs a round trip as elsewhere, by a round trip's delay
//! of all that the client says first: for protocols in which the client speaks first, HTTP and TLS, all that
//! follows is when it would be. Everything is bounded: connections, and what each has under way.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::faults::{Passage, Strike, TcpFaults, Upgrades, Whom};
use crate::head::{Answers, LONGEST_HEAD, Opening, head_end, opening};
use crate::line::{Course, Line};

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpCounters {
    /// Connections taken.
    pub accepted: u64,
    /// Connections that stand.
    pub live: u64,
    /// Requests for a WebSocket that were seen.
    pub upgrades: u64,
    /// Those that passed, and were not silenced.
    pub upgraded: u64,
    /// Streams that were held back at least once.
    pub streams_held: u64,
    /// Connections cut because they were idle.
    pub idle_cuts: u64,
    /// Connections that a [`Strike`] fell on.
    pub struck: u64,
    /// Bytes that were given to the gateway.
    pub bytes_up: u64,
    /// Bytes that were given to clients.
    pub bytes_down: u64,
    /// When the last of them were.
    pub last_down: Option<Instant>,
}

/// The proxy. Dropping it ends every connection.
#[derive(Debug)]
pub struct TcpProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl TcpProxy {
    /// Listens on a free port of loopback and passes connections on to `target`.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(target: SocketAddr, line: Line, faults: TcpFaults) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            target,
            line,
            faults: watch::Sender::new(faults),
            live: Mutex::default(),
            counters: watch::Sender::default(),
            room: Arc::new(Semaphore::new(CONNECTIONS)),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, accepting })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has happened so far.
    pub fn counters(&self) -> TcpCounters {
        *self.shared.counters.borrow()
    }

    /// What happens, whenever something does.
    pub fn watch(&self) -> watch::Receiver<TcpCounters> {
        self.shared.counters.subscribe()
    }

    /// From now on does this to what begins.
    pub fn meddle(&self, faults: TcpFaults) {
        self.shared.faults.send_replace(faults);
    }

    /// From now on lets everything pass. What was struck stays so.
    pub fn heal(&self) {
        self.meddle(TcpFaults::default());
    }

    /// Strikes connections that stand; says how many.
    pub fn strike(&self, whom: Whom, strike: Strike) -> usize {
        let live = lock(&self.shared.live);
        let mut struck = 0;
        for connection in live.values() {
            if whom == Whom::Upgraded && !*lock(&connection.upgraded) {
                continue;
            }
            struck += usize::from(connection.struck.send_if_modified(|old| {
                let is_new = old.is_none();
                *old = old.or(Some(strike));
                is_new
            }));
        }
        self.shared.count(|counters| counters.struck += struck as u64);
        struck
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    line: Line,
    faults: watch::Sender<TcpFaults>,
    live: Mutex<BTreeMap<u64, Arc<Live>>>,
    counters: watch::Sender<TcpCounters>,
    room: Arc<Semaphore>,
}

/// A connection that stands.
#[derive(Debug)]
struct Live {
    struck: watch::Sender<Option<Strike>>,
    /// Whether its request for a WebSocket has passed.
    upgraded: Mutex<bool>,
    /// What follows an answer to an upgrade that is silenced.
    silenced: watch::Sender<bool>,
    moved: watch::Sender<Instant>,
}

impl Shared {
    fn count(&self, what: impl FnOnce(&mut TcpCounters)) {
        self.counters.send_modify(what);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    let mut number = 0;
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((client, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await; // out of descriptors: let some come free
            continue;
        };
        let Ok(permit) = Arc::clone(&shared.room).try_acquire_owned() else {
            let _ = client.set_zero_linger();
            continue;
        };
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            carry(&shared, client, number).await;
            drop(permit);
        });
        number += 1;
    }
}

/// Takes the `number`-th connection to its end.
async fn carry(shared: &Arc<Shared>, client: TcpStream, number: u64) {
    let begun = Instant::now();
    let passage = shared.faults.borrow().connections;
    match passage {
        Passage::Open => {}
        Passage::Refused => {
            tokio::time::sleep(shared.line.round_trip()).await;
            let _ = client.set_zero_linger();
            return;
        }
        Passage::Dropped => return drop(hear(client).await),
    }
    let Ok(gateway) = TcpStream::connect(shared.target).await else {
        let _ = client.set_zero_linger();
        return;
    };
    let _ = (client.set_nodelay(true), gateway.set_nodelay(true));
    let live = Arc::new(Live {
        struck: watch::Sender::new(None),
        upgraded: Mutex::new(false),
        silenced: watch::Sender::new(false),
        moved: watch::Sender::new(begun),
    });
    lock(&shared.live).insert(number, Arc::clone(&live));
    shared.count(|counters| {
        counters.accepted += 1;
        counters.live += 1;
    });
    let connection = Connection {
        shared: Arc::clone(shared),
        live,
        stands: begun + shared.line.handshake(number),
        number,
    };
    connection.run(client, gateway).await;
    lock(&shared.live).remove(&number);
    shared.count(|counters| counters.live -= 1);
}

struct Connection {
    shared: Arc<Shared>,
    live: Arc<Live>,
    /// When the handshake is over at the client's end.
    stands: Instant,
    number: u64,
}

/// Something on its way.
enum Piece {
    Bytes(Bytes),
    End,
    Reset,
}

type Sending = mpsc::Sender<(Instant, Piece)>;

/// The connection is over at once, at both ends.
struct Broken;

impl Connection {
    async fn run(self, mut client: TcpStream, mut gateway: TcpStream) {
        let ended = {
            let (client_reads, client_writes) = client.split();
            let (gateway_reads, gateway_writes) = gateway.split();
            let (up_to, up) = mpsc::channel(UNDER_WAY);
            let (down_to, down) = mpsc::channel(UNDER_WAY);
            let both = async {
                tokio::try_join!(
                    self.read_up(client_reads, up_to, down_to.clone()),
                    self.write(up, gateway_writes, true),
                    self.read_down(gateway_reads, down_to),
                    self.write(down, client_writes, false),
                )
            };
            let mut struck = self.live.struck.subscribe();
            tokio::select! {
                ended = both => ended.map(drop),
                _ = struck.wait_for(|strike| *strike == Some(Strike::Reset)) => Err(Broken),
                () = self.idle() => {
                    self.shared.count(|counters| counters.idle_cuts += 1);
                    Err(Broken)
                }
            }
        };
        if ended.is_err() {
            let _ = (client.set_zero_linger(), gateway.set_zero_linger());
        }
    }

    /// Reads what the client says, and decides what becomes of it.
    async fn read_up(&self, mut client: ReadHalf<'_>, up: Sending, down: Sending) -> Result<(), Broken> {
        let mut course = self.shared.line.course(self.number, true);
        // What came before it was known what it is.
        let mut first = Some(Vec::new());
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let read = client.read(&mut buffer).await;
            let Ok(read @ 1..) = read else {
                let at = self.arrival(&mut course, 0);
                let rest = first.take().unwrap_or_default();
                let _ = up.send((at, Piece::Bytes(rest.into()))).await;
                let _ = up.send((at, if read.is_ok() { Piece::End } else { Piece::Reset })).await;
                return Ok(());
            };
            let mut bytes = buffer[..read].to_vec();
            if let Some(mut seen) = first.take() {
                seen.append(&mut bytes);
                match opening(&seen) {
                    Opening::Unfinished => {
                        first = Some(seen);
                        continue;
                    }
                    // The first of what is said in the tunnel is looked at again.
                    Opening::Connect(_) => first = Some(Vec::new()),
                    Opening::Upgrade(_) => match self.judge_upgrade() {
                        Upgrades::Open => *lock(&self.live.upgraded) = true,
                        Upgrades::Silenced => drop(self.live.silenced.send_replace(true)),
                        Upgrades::Unanswered => return hear(client).await,
                        Upgrades::Refused(status) => {
                            let at = self.arrival(&mut course, seen.len()) + self.shared.line.delay;
                            let answer = format!(
                                "HTTP/1.1 {status} Refused\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                            );
                            let _ = down.send((at, Piece::Bytes(answer.into()))).await;
                            let _ = down.send((at, Piece::End)).await;
                            return hear(client).await;
                        }
                    },
                    Opening::Other => {}
                }
                bytes = seen;
            } else if *self.live.silenced.borrow() {
                continue;
            }
            let at = self.arrival(&mut course, bytes.len());
            if up.send((at, Piece::Bytes(bytes.into()))).await.is_err() {
                return Ok(());
            }
        }
    }

    /// When what is read now arrives: not before the handshake is over.
    fn arrival(&self, course: &mut Course, bytes: usize) -> Instant {
        course.stream(Instant::now().max(self.stands), bytes)
    }

    fn judge_upgrade(&self) -> Upgrades {
        let upgrades = self.shared.faults.borrow().upgrades;
        self.shared.count(|counters| {
            counters.upgrades += 1;
            counters.upgraded += u64::from(upgrades == Upgrades::Open);
        });
        upgrades
    }

    async fn read_down(&self, mut gateway: ReadHalf<'_>, down: Sending) -> Result<(), Broken> {
        let mut course = self.shared.line.course(self.number, false);
        let mut answers = Answers::new();
        let mut silenced = Silenced::default();
        let mut counted = false;
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let read = gateway.read(&mut buffer).await;
            let Ok(read @ 1..) = read else {
                let rest = answers.end();
                let at = course.stream(Instant::now(), rest.len());
                let _ = down.send((at, Piece::Bytes(rest.into()))).await;
                let _ = down.send((at, if read.is_ok() { Piece::End } else { Piece::Reset })).await;
                return Ok(());
            };
            let bytes = if *self.live.silenced.borrow() {
                silenced.feed(&buffer[..read])
            } else {
                answers.feed(&buffer[..read], self.shared.faults.borrow().streams_held)
            };
            if answers.has_held && !std::mem::replace(&mut counted, true) {
                self.shared.count(|counters| counters.streams_held += 1);
            }
            let at = course.stream(Instant::now(), bytes.len());
            if down.send((at, Piece::Bytes(bytes.into()))).await.is_err() {
                return Ok(());
            }
        }
    }

    /// Hands over what has arrived.
    async fn write(
        &self,
        mut pieces: mpsc::Receiver<(Instant, Piece)>,
        mut to: WriteHalf<'_>,
        up: bool,
    ) -> Result<(), Broken> {
        while let Some((at, piece)) = pieces.recv().await {
            tokio::time::sleep_until(at.into()).await;
            if self.live.struck.borrow().is_some() {
                continue; // it was under way when the path was lost
            }
            match piece {
                Piece::Bytes(bytes) if bytes.is_empty() => {}
                Piece::Bytes(bytes) => {
                    to.write_all(&bytes).await.map_err(|_| Broken)?;
                    self.moved(bytes.len() as u64, up);
                }
                Piece::End => to.shutdown().await.map_err(|_| Broken)?,
                Piece::Reset => return Err(Broken),
            }
        }
        Ok(())
    }

    fn moved(&self, bytes: u64, up: bool) {
        let now = Instant::now();
        self.live.moved.send_replace(now);
        self.shared.count(|counters| {
            if up {
                counters.bytes_up += bytes;
            } else {
                counters.bytes_down += bytes;
                counters.last_down = Some(now);
            }
        });
    }

    /// Ends once the connection has been idle for too long.
    async fn idle(&self) {
        loop {
            let idle_cut = self.shared.faults.borrow().idle_cut;
            let Some(idle_cut) = idle_cut else {
                let mut faults = self.shared.faults.subscribe();
                if faults.wait_for(|faults| faults.idle_cut.is_some()).await.is_err() {
                    return std::future::pending().await;
                }
                continue;
            };
            let until = *self.live.moved.borrow() + idle_cut;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until.into()).await;
        }
    }
}

/// What passes of a WebSocket that is silenced: the answer to the upgrade.
#[derive(Default)]
struct Silenced {
    head: Vec<u8>,
    is_over: bool,
}

impl Silenced {
    fn feed(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.is_over {
            return Vec::new();
        }
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        let end = head_end(&self.head);
        self.is_over = end.is_some() || self.head.len() > LONGEST_HEAD;
        self.head[before..end.unwrap_or(self.head.len())].to_vec()
    }
}

/// Hears a client to its end, and lets nobody know.
async fn hear(mut client: impl AsyncRead + Unpin) -> Result<(), Broken> {
    let mut buffer = vec![0; BUFFER_BYTES];
    while client.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    Err(Broken)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many connections may stand at once; one more is reset.
const CONNECTIONS: usize = 1_024;
/// How many pieces one direction may have under way; past it nothing more is read.
const UNDER_WAY: usize = 256;
/// What is read at once.
const BUFFER_BYTES: usize = 16 * 1024;
