//! A network in memory: sockets that hand each other packets, at once or not at all.

use std::{
    collections::{HashMap, VecDeque},
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use wtransport::quinn::{
    AsyncUdpSocket, UdpPoller,
    udp::{RecvMeta, Transmit},
};

/// All sockets, by address.
#[derive(Clone, Default, Debug)]
pub(crate) struct Network(Arc<Mutex<HashMap<SocketAddr, Arc<Queue>>>>);

impl Network {
    /// A new socket.
    pub(crate) fn socket(&self) -> Arc<Socket> {
        let mut sockets = lock(&self.0);
        let port = 4_000 + u16::try_from(sockets.len()).unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let queue = Arc::new(Queue::default());
        sockets.insert(address, Arc::clone(&queue));
        Arc::new(Socket { network: self.clone(), address, queue })
    }
}

/// What has arrived at a socket.
#[derive(Default, Debug)]
pub(crate) struct Queue {
    arrived: Mutex<VecDeque<(SocketAddr, Vec<u8>)>>,
    waker: Mutex<Option<Waker>>,
    is_deaf: AtomicBool,
    has_failed: AtomicBool,
}

impl Queue {
    fn wake(&self) {
        if let Some(waker) = lock(&self.waker).take() {
            waker.wake();
        }
    }
}

/// A socket.
pub(crate) struct Socket {
    network: Network,
    pub(crate) address: SocketAddr,
    queue: Arc<Queue>,
}

impl Socket {
    /// From now on nothing goes in.
    pub(crate) fn deafen(&self) {
        self.queue.is_deaf.store(true, Ordering::Relaxed);
    }

    /// From now on the system gives nothing but errors.
    pub(crate) fn fail(&self) {
        self.queue.has_failed.store(true, Ordering::Relaxed);
        self.queue.wake();
    }

    /// From now on nothing goes in or out.
    pub(crate) fn cut(&self) {
        lock(&self.network.0).remove(&self.address);
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(formatter)
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Always)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let sockets = lock(&self.network.0);
        if !sockets.contains_key(&self.address) {
            return Ok(());
        }
        let Some(to) = sockets.get(&transmit.destination) else { return Ok(()) };
        if !to.is_deaf.load(Ordering::Relaxed) {
            lock(&to.arrived).push_back((self.address, transmit.contents.to_vec()));
            to.wake();
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [io::IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        if self.queue.has_failed.load(Ordering::Relaxed) {
            return Poll::Ready(Err(io::ErrorKind::NetworkDown.into()));
        }
        let Some((from, packet)) = lock(&self.queue.arrived).pop_front() else {
            *lock(&self.queue.waker) = Some(context.waker().clone());
            return Poll::Pending;
        };
        buffers[0][..packet.len()].copy_from_slice(&packet);
        meta[0] = RecvMeta { addr: from, len: packet.len(), stride: packet.len(), ecn: None, dst_ip: None };
        Poll::Ready(Ok(1))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

/// There is always room.
#[derive(Debug)]
struct Always;

impl UdpPoller for Always {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
