//! Slow consumers: WebSockets of which one byte is read each second, through the smallest window there is.
//!
//! They open a session, subscribe and acknowledge that at full speed. From then on they read no more than that, and say a
//! ping now and then, since whoever is silent in both directions is not slow but gone.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use socket2::{Domain, Socket, Type};

use crate::{
    Server, Transport,
    client::{Client, Said, frame},
};

/// A second in so many parts, each with its share of the clients: no burst of reads.
const PARTS: usize = 100;
/// How often each says something: more often than a gateway takes a silent link for lost, also while others open.
const PING: Duration = Duration::from_secs(5);
/// How long an opening may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// One that is open.
struct Link {
    stream: TcpStream,
    pinged: Instant,
}

impl Link {
    /// Says a ping, if it is time.
    fn keep(&mut self) -> Result<()> {
        if self.pinged.elapsed() >= PING {
            self.pinged = Instant::now();
            let mut ping = Vec::new();
            frame(br#"{"type":"ping"}"#, &mut ping);
            self.stream.write_all(&ping).context("the server closed the link of a slow client")?;
        }
        Ok(())
    }
}

/// Opens them, says so, and reads slowly until the standard input ends.
pub(crate) fn run(server: &Server, clients: usize) -> Result<()> {
    let mut links: Vec<Link> = Vec::new();
    for name in 0..clients {
        links.push(Link { stream: open(server.address, name)?, pinged: Instant::now() });
        links.iter_mut().try_for_each(Link::keep)?;
    }
    println!("{}", json!({ "open": links.len() }));
    let (open, ended) = channel::<()>();
    thread::spawn(move || {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        drop(open);
    });
    let (began, mut turn, mut read) = (Instant::now(), 0_usize, 0_u64);
    loop {
        turn += 1;
        let due = began + Duration::from_secs(1) / PARTS as u32 * turn as u32;
        match ended.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Err(RecvTimeoutError::Timeout) => {}
            _ => break,
        }
        for (at, link) in links.iter_mut().enumerate().skip(turn % PARTS).step_by(PARTS) {
            match link.stream.read(&mut [0]) {
                Ok(length) => {
                    ensure!(length > 0, "the server closed the link of slow client {at}");
                    read += 1;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).with_context(|| format!("the link of slow client {at}")),
            }
            link.keep()?;
        }
    }
    println!("{}", json!({ "bytesRead": read }));
    Ok(())
}

fn open(address: SocketAddr, name: usize) -> Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_recv_buffer_size(1)?; // the kernel makes it the least it can
    socket.connect(&address.into())?;
    let mut link = TcpStream::from(socket);
    link.set_nodelay(true)?;
    link.set_read_timeout(Some(PATIENCE))?;
    let mut client = Client::new(Transport::Websocket, name, true);
    link.write_all(&client.greet())?;
    let (mut held, mut piece) = (Vec::new(), [0; 2_048]);
    while !client.is_subscribed {
        let length = link.read(&mut piece)?;
        ensure!(length > 0, "the server closed the link of a client that opens");
        held.extend_from_slice(&piece[..length]);
        let mut said = Said::default();
        let used = client.take(&held, &mut said)?;
        held.drain(..used);
        link.write_all(&said.link)?;
    }
    let mut said = Said::default();
    client.acknowledge(&mut said);
    link.write_all(&said.link)?;
    link.set_nonblocking(true)?;
    Ok(link)
}
