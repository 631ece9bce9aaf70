//! Many clients in one thread, and when each event has reached them all.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};
use mio::{Events, Poll, Token};

use crate::{
    client::{Client, Said},
    publishers::Publishers,
    wire::Wire,
};

/// How long a client may leave an item unacknowledged.
pub(crate) const ACK_DELAY: Duration = Duration::from_millis(200);
/// How many clients are let in at once, so that none waits in the listener's queue.
const WAVE: usize = 64;
/// How long it sleeps at most while nothing happens.
const NAP: Duration = Duration::from_millis(20);
/// How long anything may take before the scene is given up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Clients, their connections, and those who publish to them.
pub(crate) struct Fleet {
    poll: Poll,
    readiness: Events,
    scratch: Vec<u8>,
    address: SocketAddr,
    pub(crate) clients: Vec<Client>,
    links: Vec<Option<Wire>>,
    /// Connections for what is posted beside an event stream.
    posts: Vec<Option<Wire>>,
    pub(crate) publishers: Publishers,
    /// Clients by when their acknowledgement is due.
    due: VecDeque<(Instant, usize)>,
    /// How many clients have how many events: `reached[n]` have event n+1.
    reached: Vec<usize>,
    /// Events that all clients have.
    pub(crate) complete: usize,
    /// What each delivery took, from when it is [asked for](Fleet::time_deliveries).
    deliveries: Option<Deliveries>,
    /// How long it sleeps at most while nothing happens.
    nap: Duration,
}

/// When events were published, and how long each took to each client.
struct Deliveries {
    /// How many events there were before.
    before: usize,
    published: Vec<Instant>,
    waits_ms: Vec<f64>,
}

impl Fleet {
    /// A fleet without a client.
    pub(crate) fn new(address: SocketAddr, admin: SocketAddr, publishers: usize) -> Result<Self> {
        let poll = Poll::new()?;
        let publishers = Publishers::new(admin, publishers);
        Ok(Self {
            poll,
            readiness: Events::with_capacity(1_024),
            scratch: vec![0; 64 * 1_024],
            address,
            clients: Vec::new(),
            links: Vec::new(),
            posts: Vec::new(),
            publishers,
            due: VecDeque::new(),
            reached: Vec::new(),
            complete: 0,
            deliveries: None,
            nap: NAP,
        })
    }

    /// Adds clients and waits until all are subscribed.
    pub(crate) fn open(&mut self, clients: impl IntoIterator<Item = Client>) -> Result<()> {
        let began = self.clients.len();
        self.clients.extend(clients);
        let end = self.clients.len();
        self.links.resize_with(end, || None);
        self.posts.resize_with(end, || None);
        let (mut next, mut waiting) = (began, began);
        self.run_until(|fleet| {
            while waiting < next && fleet.clients[waiting].is_subscribed {
                waiting += 1;
            }
            while next < end && next < waiting + WAVE {
                fleet.connect(next)?;
                next += 1;
            }
            Ok(waiting == end)
        })
    }

    /// Cuts all clients' connections.
    pub(crate) fn cut(&mut self) {
        self.links.iter_mut().for_each(|link| *link = None);
        self.posts.iter_mut().for_each(|post| *post = None);
        self.due.clear();
    }

    /// Connects a client, which says its hello.
    pub(crate) fn connect(&mut self, at: usize) -> Result<()> {
        let mut wire = Wire::connect(self.address, self.poll.registry(), Token(2 * at))?;
        wire.send(&self.clients[at].greet())?;
        self.links[at] = Some(wire);
        Ok(())
    }

    /// Starts another client on the connection of one that has left.
    pub(crate) fn replace(&mut self, at: usize, client: Client) -> Result<()> {
        self.clients[at] = client;
        let greeting = self.clients[at].greet();
        if let Some(link) = &mut self.links[at] {
            link.send(&greeting)?;
        }
        Ok(())
    }

    /// Lets things happen until `is_done`.
    pub(crate) fn run_until(&mut self, mut is_done: impl FnMut(&mut Self) -> Result<bool>) -> Result<()> {
        let began = Instant::now();
        while !is_done(self)? {
            self.turn()?;
            if began.elapsed() > PATIENCE {
                bail!("given up: {} events have reached all clients, {:?}", self.complete, self.slowest());
            }
        }
        Ok(())
    }

    /// Lets things happen for so long.
    pub(crate) fn run_for(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        self.run_until(|_| Ok(Instant::now() >= end))
    }

    /// Publishes an event, if a publisher is idle.
    pub(crate) fn publish(&mut self) -> Result<bool> {
        let is_published = self.publishers.publish(self.poll.registry())?;
        if let Some(deliveries) = self.deliveries.as_mut().filter(|_| is_published) {
            deliveries.published.push(Instant::now());
        }
        Ok(is_published)
    }

    /// Times each delivery of what is published from now on; all clients have what was published before. It does not
    /// sleep meanwhile: to wake it costs the server, more where it keeps up and sleeps often than where it does not.
    pub(crate) fn time_deliveries(&mut self) {
        self.nap = Duration::ZERO;
        let before = self.complete;
        self.deliveries = Some(Deliveries { before, published: Vec::new(), waits_ms: Vec::new() });
    }

    /// The milliseconds that each delivery took.
    pub(crate) fn waits_ms(&mut self) -> Vec<f64> {
        self.deliveries.take().map_or_else(Vec::new, |deliveries| deliveries.waits_ms)
    }

    fn slowest(&self) -> Option<&Client> {
        self.clients.iter().min_by_key(|client| client.events)
    }

    /// Waits for the next thing to happen, if it may sleep, and lets it happen.
    fn turn(&mut self) -> Result<()> {
        let mut readiness = std::mem::replace(&mut self.readiness, Events::with_capacity(0));
        let polled = self.poll.poll(&mut readiness, Some(self.nap));
        if let Err(error) = polled
            && error.kind() != std::io::ErrorKind::Interrupted
        {
            return Err(error.into());
        }
        for event in &readiness {
            if !self.publishers.ready(event.token(), &mut self.scratch)? {
                let at = event.token().0 / 2;
                if event.token().0 % 2 == 0 { self.link_ready(at)? } else { self.post_ready(at)? }
            }
        }
        self.readiness = readiness;
        let now = Instant::now();
        while let Some((_, at)) = self.due.pop_front_if(|(time, _)| *time <= now) {
            let mut said = Said::default();
            self.clients[at].acknowledge(&mut said);
            self.send(at, &said)?;
        }
        Ok(())
    }

    fn link_ready(&mut self, at: usize) -> Result<()> {
        let (client, Some(link)) = (&mut self.clients[at], &mut self.links[at]) else { return Ok(()) };
        let mut said = Said::default();
        let (before, was_waiting) = (client.events, client.unacknowledged_since);
        link.flush()?;
        let open = link.read(&mut self.scratch, |bytes| client.take(bytes, &mut said))?;
        ensure!(open, "the server closed the link of a client");
        if was_waiting.is_none()
            && let Some(since) = client.unacknowledged_since
        {
            self.due.push_back((since + ACK_DELAY, at));
        }
        let events = before as usize..client.events as usize;
        if self.reached.len() < events.end {
            self.reached.resize(events.end, 0);
        }
        if let Some(deliveries) = &mut self.deliveries {
            let timed = events.clone().filter_map(|event| event.checked_sub(deliveries.before));
            let published = timed.filter_map(|event| deliveries.published.get(event));
            deliveries.waits_ms.extend(published.map(|at| at.elapsed().as_secs_f64() * 1e3));
        }
        for count in &mut self.reached[events] {
            *count += 1;
        }
        while self.reached.get(self.complete) == Some(&self.clients.len()) {
            self.complete += 1;
        }
        self.send(at, &said)
    }

    fn post_ready(&mut self, at: usize) -> Result<()> {
        let Some(post) = &mut self.posts[at] else { return Ok(()) };
        post.flush()?;
        let open = post.read(&mut self.scratch, |bytes| {
            ensure!(
                memchr::memmem::find(bytes, br#""error""#).is_none(),
                "a post is refused: {}",
                String::from_utf8_lossy(bytes)
            );
            Ok(bytes.len())
        })?;
        ensure!(open, "the server closed a connection for posts");
        Ok(())
    }

    fn send(&mut self, at: usize, said: &Said) -> Result<()> {
        if let (false, Some(link)) = (said.link.is_empty(), &mut self.links[at]) {
            link.send(&said.link)?;
        }
        if said.post.is_empty() {
            return Ok(());
        }
        if self.posts[at].is_none() {
            let wire = Wire::connect(self.address, self.poll.registry(), Token(2 * at + 1))?;
            self.posts[at] = Some(wire);
        }
        match &mut self.posts[at] {
            Some(post) => Ok(post.send(&said.post)?),
            None => Ok(()),
        }
    }
}
