//! Talks to itself over links that break: sends to a channel it listens to, while its connections are cut after a
//! random number of bytes, or go silent without a word. Then counts: nothing lost, nothing twice, nothing out of order.
//!
//! ```text
//! cargo run -p throughline-client --example shake -- http://127.0.0.1:8080 websocket bincode 1000 60000 move
//! ```
//!
//! The transport may be `any`; the last two are the mean number of bytes before a connection breaks, doubled (0: none
//! breaks), and whether to move from one transport to another all the time. The gateway has to publish what is sent, as `throughline serve` does by default.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use throughline_client::{
    Codec, Config, Connection, Dial, Dialing, Incoming, Session, SubscribeFrom, TcpDial, Transport, Via,
    wire::{ChannelName, Json, Meta, Payload, Send},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = |default: &str| arguments.next().unwrap_or_else(|| default.to_owned());
    let (url, transport, codec) = (next("http://127.0.0.1:8080"), next("websocket"), next("json"));
    let count: u64 = next("1000").parse().expect("a count");
    let bytes: u64 = next("20000").parse().expect("a number of bytes");
    let moves = next("stay") == "move";
    let codec = if codec == "bincode" { Codec::Bincode } else { Codec::Json };
    let shaky = Arc::new(Shaky { bytes, cuts: Arc::default(), state: AtomicU64::new(1) });
    let mut config = Config::new(url);
    // Otherwise whatever works: by polling first, then the best that can be proven.
    if let Some(transport) = Transport::parse(&transport) {
        config = config.only(Via { transport, codec });
    }
    config.dial = Arc::clone(&shaky) as Arc<dyn Dial>;

    config.timing.doubt = Duration::from_millis(100);
    config.timing.pong = Duration::from_millis(100);
    config.timing.post = Duration::from_millis(300);
    config.timing.welcome = Duration::from_millis(1_000);

    let (session, mut events) = Session::connect(config).expect("a usable configuration");
    let room = ChannelName::parse("shake").expect("a legal name");
    session.subscribe(room.clone(), SubscribeFrom::Now).await.expect("a subscription");
    let token = session.state().borrow().token.clone();

    let (talker, channel) = (session.clone(), room.clone());
    let talking = tokio::spawn(async move {
        let mut sendings = Vec::new();
        for n in 0..count {
            let payload = Payload::Json(Json::parse(n.to_string().as_bytes()).expect("a number"));
            let (name, id, meta) = (None, None, Meta::default());
            sendings
                .push(talker.begin_send(Send { channel: channel.clone(), name, id, meta, payload }).await);
            if n % 10 == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        for sending in sendings {
            sending.outcome().await.expect("accepted");
        }
    });
    let mover = session.clone();
    let moving = tokio::spawn(async move {
        let vias = [
            Via::json(Transport::WebSocket),
            Via::json(Transport::Polling),
            Via::json(Transport::Sse),
            Via::bincode(Transport::Polling),
            Via::bincode(Transport::WebSocket),
        ];
        let mut moved = 0;
        for via in vias.into_iter().cycle().take(if moves { usize::MAX } else { 0 }) {
            tokio::time::sleep(Duration::from_millis(50)).await;
            match mover.migrate(via).await {
                Ok(()) => moved += 1,
                Err(error) => println!("stays where it is, not {via}: {error}"),
            }
            if moved % 10 == 0 {
                println!("{moved} moves");
            }
        }
    });

    let began = std::time::Instant::now();
    let (mut expected, mut last, mut links) = (0, 0, 0);
    while expected < count {
        match events.next().await.expect("the session lives") {
            Incoming::Event { number, event, .. } => {
                assert!(number > last, "item {number} after {last}");
                last = number;
                let Payload::Json(json) = &event.payload else { panic!("a number") };
                assert_eq!(json.as_str(), expected.to_string(), "lost, twice or out of order");
                expected += 1;
            }
            Incoming::Link(change) => {
                links += 1;
                println!("{:.1} s, {expected} heard: {change:?}", began.elapsed().as_secs_f32());
            }
            Incoming::Subscribed { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    talking.await.expect("all was accepted");
    moving.abort();
    assert_eq!(session.state().borrow().token, token, "the same session throughout");
    let cuts = shaky.cuts.load(Ordering::Relaxed);
    println!("{count} sent and heard; {cuts} connections broke, {links} changes of links");
    session.close().await;
}

/// Makes connections that break.
struct Shaky {
    bytes: u64,
    cuts: Arc<AtomicU64>,
    state: AtomicU64,
}

impl Dial for Shaky {
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> Dialing<'a> {
        Box::pin(async move {
            let connection = TcpDial.dial(host, port).await?;
            let seed = self.state.fetch_add(1, Ordering::Relaxed);
            let mixed =
                seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            if self.bytes == 0 {
                return Ok(connection);
            }
            let left = 1 + (mixed >> 16) % self.bytes;
            let cuts = Arc::clone(&self.cuts);
            Ok(Box::new(Breaking { connection, left, cuts, silently: mixed.is_multiple_of(3) })
                as Box<dyn Connection>)
        })
    }
}

/// A connection that breaks after so many bytes in either direction.
struct Breaking {
    connection: Box<dyn Connection>,
    left: u64,
    cuts: Arc<AtomicU64>,
    silently: bool,
}

impl Breaking {
    fn spend(&mut self, bytes: usize) {
        self.left -= bytes as u64;
        if bytes > 0 && self.left == 0 {
            self.cuts.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn broken<T>(&self) -> Poll<io::Result<T>> {
        if self.silently { Poll::Pending } else { Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())) }
    }
}

impl AsyncRead for Breaking {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return self.broken();
        }
        let most = buffer.remaining().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let mut part = vec![0; most];
        let mut part = ReadBuf::new(&mut part);
        ready!(Pin::new(&mut self.connection).poll_read(cx, &mut part))?;
        buffer.put_slice(part.filled());
        self.spend(part.filled().len());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Breaking {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.left == 0 {
            return if self.silently { Poll::Ready(Ok(bytes.len())) } else { self.broken() };
        }
        let most = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let written = ready!(Pin::new(&mut self.connection).poll_write(cx, &bytes[..most]))?;
        self.spend(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(cx)
    }
}
