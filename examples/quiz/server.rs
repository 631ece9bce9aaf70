//! The quiz put together: a broker, the games, and the gateway before them, on a port for TCP and the same for UDP.

// The time of day and randomness enter here, once.
#![allow(clippy::disallowed_methods)]

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, LazyLock},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use throughline::{
    Gateway, Handle,
    broker::{Broker, Memory, MemoryConfig},
    certificates::Certificates,
    gateway::{GatewayConfig, bind_udp},
    http::{OriginPolicy, listener},
    session::{Now, SessionConfig, TokenKeys},
    wire::frame::Backoff,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    door::{Doors, Secrets},
    quiz::{Quiz, QuizConfig},
    record::Record,
    site::Site,
};

/// A quiz that is served until it is stopped or dropped.
pub(crate) struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// The log.
    #[allow(dead_code, reason = "for tests/quiz, which count it anew")]
    pub record: Record,
    handle: Handle,
    stop: CancellationToken,
    _running: DropGuard,
}

impl Server {
    /// Starts one, with a broker in memory.
    ///
    /// # Errors
    /// Where the address cannot be listened on.
    pub(crate) async fn start(listen: &str, config: QuizConfig, record: Record) -> io::Result<Self> {
        let broker = Arc::new(Memory::new(MemoryConfig::default(), now, random));
        Self::start_on(listen, config, record, broker).await
    }

    /// Starts one on this broker.
    ///
    /// # Errors
    /// Where the address cannot be listened on.
    pub(crate) async fn start_on(
        listen: &str,
        config: QuizConfig,
        record: Record,
        broker: Arc<dyn Broker>,
    ) -> io::Result<Self> {
        let (clients, socket) = loop {
            let clients = listener::bind(listen).await?;
            match bind_udp(clients.local_addr()?) {
                Ok(socket) => break (clients, socket),
                // The system chose a port for TCP that is taken for UDP: it chooses another.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && listen.ends_with(":0") => {}
                Err(error) => return Err(error),
            }
        };
        let address = clients.local_addr()?;
        let quiz = Quiz::new(config, Arc::clone(&broker), record.clone(), now, random);
        let gateway = Gateway::builder()
            .config(GatewayConfig {
                origins: OriginPolicy { is_loopback: address.ip().is_loopback(), ..OriginPolicy::default() },
                // A hall full of players that are thrown out at once is back within a tenth of a second.
                admission_rate: 10_000,
                ..GatewayConfig::default()
            })
            .session(SessionConfig {
                // The wall should not show for long who has gone without a word; a page is loaded again in less.
                heartbeat_ms: 5_000,
                presence_grace_ms: 5_000,
                // A hall is few enough to come back at once; who has to try again does not miss half a question.
                backoff: Backoff { base_ms: 50, cap_ms: 5_000 },
                // No page says or hears any; and who hears a game could say them to all who are in it.
                volatiles_per_second: 0,
                ..SessionConfig::new(TokenKeys::from_random(drawn()))
            })
            .broker(broker)
            .authenticate(Secrets(quiz.clone()))
            .authorize(Doors(quiz.clone()))
            .handler(quiz)
            .build();
        let (handle, stop) = (gateway.handle(), CancellationToken::new());
        let names = ["localhost".to_owned(), address.ip().to_string()];
        let certificates = Certificates::development(names, SystemTime::now()).map_err(io::Error::other)?;
        tokio::spawn(gateway.serve_webtransport(socket, &certificates, None, stop.clone())?);
        let (site, settings) = (Site(gateway), listener::ListenerConfig::default());
        tokio::spawn(listener::serve(clients, site, settings, stop.clone()));
        let keeper = handle.clone();
        let keeping =
            async move { keeper.keep_certificates(certificates, SystemTime::now, Arc::default()).await };
        tokio::spawn(stop.clone().run_until_cancelled_owned(keeping));
        Ok(Self { address, record, handle, _running: stop.clone().drop_guard(), stop })
    }

    /// Says goodbye to everybody, and stops.
    pub(crate) async fn stop(self) {
        self.handle.shutdown(Duration::from_secs(5)).await;
        self.stop.cancel();
    }
}

/// The time.
pub(crate) fn now() -> Now {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let mono_ms = START.elapsed().as_millis() as u64;
    let wall_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    Now { mono_ms, wall_ms }
}

/// 64 random bits.
pub(crate) fn random() -> u64 {
    u64::from_ne_bytes(drawn())
}

/// Random bytes.
///
/// # Panics
/// When the system has none: no code, no token and no epoch could be trusted then.
fn drawn<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system gives randomness");
    bytes
}
