//! The scenes over WebTransport: the same clients, as tasks of one tokio thread, since QUIC is not epoll's to read.
//!
//! All connections share one UDP socket. Any certificate will do: what is measured is not whom it is from.

use std::{cell::RefCell, net::SocketAddr, rc::Rc, sync::Arc, time::Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustls::{
    DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    runtime,
    sync::Notify,
    task::{JoinSet, LocalSet},
    time::{sleep, sleep_until, timeout},
};
use wtransport::{ClientConfig, Endpoint, endpoint::endpoint_side};

use crate::{
    Server, Transport,
    client::{Client, Said},
    fanout::{self, Plan},
    fleet::{ACK_DELAY, PATIENCE},
    memory::{self, REST},
    process::{cpu_seconds, pss_bytes},
    publishers::request,
    wire::http_lengths,
};

/// Plays a fan-out.
pub(crate) fn fanout(server: &Server, plan: Plan) -> Result<()> {
    on_one_thread(async {
        let fleet = Fleet::new(server, plan.acknowledge)?;
        fleet.open(plan.clients).await?;
        fleet.publish(plan.warm_up, plan.outstanding).await?;
        let (cpu, began) = (cpu_seconds(server.pid)?, Instant::now());
        let waits = fleet.publish(plan.events, plan.outstanding).await?;
        let (cpu, seconds) = (cpu_seconds(server.pid)? - cpu, began.elapsed().as_secs_f64());
        fanout::print(&plan, cpu, seconds, waits);
        Ok(())
    })
}

/// Holds sessions, and prints what each costs.
pub(crate) fn hold(server: &Server, warm_up: usize, sessions: usize) -> Result<()> {
    on_one_thread(async {
        let fleet = Fleet::new(server, true)?;
        let look = async |count| {
            fleet.open(count).await?;
            sleep(REST).await;
            pss_bytes(server.pid)
        };
        let (before, after) = (look(warm_up).await?, look(sessions).await?);
        memory::print(before, after, sessions);
        Ok(())
    })
}

/// Everything here shares its state without a lock.
fn on_one_thread(scene: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, scene)
}

/// The clients, each a task.
struct Fleet {
    endpoint: Endpoint<endpoint_side::Client>,
    server: SocketAddr,
    admin: SocketAddr,
    acknowledges: bool,
    board: Rc<RefCell<Board>>,
    /// Something on the board has changed.
    moved: Rc<Notify>,
}

/// Who has what.
#[derive(Default)]
struct Board {
    clients: usize,
    subscribed: usize,
    /// How many clients have how many events: `reached[n]` have event n+1.
    reached: Vec<usize>,
    /// Events that all clients have.
    complete: usize,
    /// Why a client's link ended: none should.
    failed: Option<anyhow::Error>,
}

impl Fleet {
    fn new(server: &Server, acknowledges: bool) -> Result<Self> {
        let config = ClientConfig::builder()
            .with_bind_address("127.0.0.1:0".parse()?)
            .with_custom_tls(trusting())
            .max_idle_timeout(None)?
            .build();
        Ok(Self {
            endpoint: Endpoint::client(config)?,
            server: server.address,
            admin: server.admin,
            acknowledges,
            board: Rc::default(),
            moved: Rc::default(),
        })
    }

    /// Adds clients and waits until all are subscribed.
    async fn open(&self, count: usize) -> Result<()> {
        let first = self.board.borrow().clients;
        self.board.borrow_mut().clients = first + count;
        for name in first..first + count {
            let connection =
                self.endpoint.connect(format!("https://{}/v1/webtransport", self.server)).await?;
            let client = Client::new(Transport::Webtransport, name, self.acknowledges);
            let (board, moved) = (Rc::clone(&self.board), Rc::clone(&self.moved));
            tokio::task::spawn_local(async move {
                let ended = live(connection, client, &board, &moved).await;
                board.borrow_mut().failed = ended.err();
                moved.notify_one();
            });
        }
        self.until(|board| board.subscribed == first + count).await
    }

    /// Waits until the board says so.
    async fn until(&self, mut is_done: impl FnMut(&Board) -> bool) -> Result<()> {
        loop {
            {
                let board = &mut *self.board.borrow_mut();
                if let Some(failed) = board.failed.take() {
                    return Err(failed);
                }
                if is_done(board) {
                    return Ok(());
                }
            }
            timeout(PATIENCE, self.moved.notified())
                .await
                .context("given up: not all clients have everything")?;
        }
    }

    /// As [`fanout::publish`].
    async fn publish(&self, events: usize, outstanding: usize) -> Result<Vec<f64>> {
        let first = self.board.borrow().complete;
        let (mut sent, mut waits) = (Vec::<Instant>::with_capacity(events), Vec::with_capacity(events));
        let mut idle: Vec<Option<TcpStream>> = (0..outstanding).map(|_| None).collect();
        let mut under_way = JoinSet::new();
        loop {
            let complete = self.board.borrow().complete - first;
            waits.extend(sent[waits.len()..complete].iter().map(|sent| sent.elapsed().as_secs_f64() * 1e3));
            if complete == events && under_way.is_empty() {
                return Ok(waits);
            }
            while sent.len() < events && sent.len() < complete + outstanding {
                let Some(mut publisher) = idle.pop() else { break };
                let admin = self.admin;
                sent.push(Instant::now());
                under_way.spawn_local(async move {
                    publish(&mut publisher, admin).await?;
                    Ok::<_, anyhow::Error>(publisher)
                });
            }
            tokio::select! {
                Some(published) = under_way.join_next() => idle.push(published??),
                moved = self.until(|board| board.complete - first > complete) => moved?,
            }
        }
    }
}

/// One client, from its hello on.
async fn live(
    connection: wtransport::Connection,
    mut client: Client,
    board: &RefCell<Board>,
    moved: &Notify,
) -> Result<()> {
    let (mut up, mut down) = connection.open_bi().await?.await?;
    up.write_all(&client.greet()).await?;
    let (mut held, mut due) = (Vec::new(), None);
    loop {
        let mut said = Said::default();
        let (before, was_subscribed) = (client.events, client.is_subscribed);
        tokio::select! {
            piece = down.quic_stream_mut().read_chunk(64 * 1_024, true) => {
                let Some(piece) = piece? else { bail!("the server ended a client's stream") };
                if held.is_empty() {
                    let used = client.take(&piece.bytes, &mut said)?;
                    held.extend_from_slice(&piece.bytes[used..]);
                } else {
                    held.extend_from_slice(&piece.bytes);
                    let used = client.take(&held, &mut said)?;
                    held.drain(..used);
                }
            }
            () = async { sleep_until(due.unwrap_or_else(tokio::time::Instant::now)).await }, if due.is_some() => {
                client.acknowledge(&mut said);
            }
        }
        due = client.unacknowledged_since.map(|since| (since + ACK_DELAY).into());
        if !said.link.is_empty() {
            up.write_all(&said.link).await?;
        }
        let board = &mut *board.borrow_mut();
        board.subscribed += usize::from(client.is_subscribed && !was_subscribed);
        let events = before as usize..client.events as usize;
        if board.reached.len() < events.end {
            board.reached.resize(events.end, 0);
        }
        for count in &mut board.reached[events] {
            *count += 1;
        }
        while board.reached.get(board.complete) == Some(&board.clients) {
            board.complete += 1;
        }
        moved.notify_one();
    }
}

/// Publishes an event on a connection, made when it is first needed, and waits for the answer.
async fn publish(publisher: &mut Option<TcpStream>, admin: SocketAddr) -> Result<()> {
    let stream = match publisher {
        Some(stream) => stream,
        none => none.insert(TcpStream::connect(admin).await?),
    };
    stream.write_all(&request()).await?;
    let mut answer = Vec::new();
    loop {
        ensure!(stream.read_buf(&mut answer).await? > 0, "the admin API closed a connection");
        if http_lengths(&answer).is_some_and(|(head, body)| answer.len() >= head + body) {
            break;
        }
    }
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "not published: {}", String::from_utf8_lossy(&answer));
    Ok(())
}

/// TLS that asks nobody for proof.
fn trusting() -> rustls::ClientConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    tls
}

/// Takes every certificate.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
