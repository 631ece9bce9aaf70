//! What does an event cost: to append it to its channel's log, and to pull it from there into one session's message? And
//! what does a session cost that fell behind?
//!
//! A pull is the whole of what the session core does for a delivery: cursor, number, journal, and the copy into the
//! buffer; one event at a time and sixteen together. Acknowledgements, each for 40 deliveries, are in it. Who fell behind by
//! all that the channel holds is sent everything, or the newest of each of a hundred keys, or the newest.

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use throughline::{
    channel::{Channel, Listener, NewEvent, Retention},
    session::{
        Effect, LinkKind, LinkSpec, Now, Opening, Output, Session, SessionConfig, SlowPolicy, SlowRule,
        SlowRules, TokenKeys, Via,
    },
};
use throughline_wire::{
    ChannelName, Codec, Command, Epoch, Json, Payload, SessionId, SubscribeFrom, UpFrame,
    frame::{Commands, Hello},
};

const NOW: Now = Now { mono_ms: 0, wall_ms: 1_764_000_000_000 };

struct Nobody;

impl Listener for Nobody {
    fn ready(&self) {}
}

fn channel() -> Arc<Channel> {
    Arc::new(Channel::new(ChannelName::parse("bench").expect("a legal name"), Epoch::from_random(1)))
}

fn event() -> NewEvent {
    let payload = format!("\"{}\"", "x".repeat(126));
    NewEvent { payload: Payload::Json(Json::parse(payload.as_bytes()).expect("JSON")), ..NewEvent::default() }
}

/// A session on a WebSocket that holds the channel.
fn session(channel: &Arc<Channel>, slow: SlowPolicy) -> (Session, throughline::session::LinkId) {
    let config = SessionConfig {
        slow: SlowRules::new([("*", SlowRule::new(slow))]),
        ..SessionConfig::new(TokenKeys::from_random([1; 32]))
    };
    let opening = Opening {
        id: SessionId::from_random([2; 16]),
        user: None,
        payer: None,
        info: None,
        credentials_end_at_ms: None,
        config: Arc::new(config),
        listener: Arc::new(Nobody),
        reason: None,
    };
    let spec = LinkSpec::new("websocket", Codec::Json, LinkKind::Duplex);
    let hello = Hello { instance: "i".into(), attach: Some(1), ..Hello::default() };
    let (mut session, link) = Session::open(NOW, opening, &hello, spec).expect("a legal hello");
    let subscribe = Command::Subscribe {
        channel: channel.name().clone(),
        from: SubscribeFrom::Now,
        token: None,
        presence: false,
    };
    let commands = Commands { first: 1, items: vec![subscribe], ack: None };
    session.handle_frame(NOW, Via::Link(link), UpFrame::Commands(commands), true).expect("a legal command");
    for effect in session.take_effects() {
        if let Effect::Subscribe(request) = effect {
            session.subscribe(&request, channel);
        }
    }
    session.transmit(NOW, link, 64 * 1024, &mut BytesMut::new());
    (session, link)
}

fn append(criterion: &mut Criterion) {
    let (channel, event, retention) = (channel(), event(), Retention::default());
    let mut group = criterion.benchmark_group("log");
    group.throughput(Throughput::Elements(1));
    group.bench_function("append an event, the log full", |bencher| {
        bencher.iter(|| channel.append(black_box(event.clone()), NOW.wall_ms, &retention));
    });
    group.finish();
}

fn pull(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("session");
    for together in [1, 16] {
        let (channel, event, retention) = (channel(), event(), Retention::default());
        let (mut session, link) = session(&channel, SlowPolicy::Replay);
        let mut buffer = BytesMut::with_capacity(64 * 1024);
        let mut sent = 1; // `subscribed`
        group.throughput(Throughput::Elements(together));
        group.bench_function(format!("append and pull {together}"), |bencher| {
            bencher.iter(|| {
                for _ in 0..together {
                    channel.append(event.clone(), NOW.wall_ms, &retention);
                }
                buffer.clear();
                black_box(session.transmit(NOW, link, 64 * 1024, &mut buffer));
                sent += together;
                if sent % 40 < together {
                    let ack = UpFrame::Ack { up_to: sent };
                    session.handle_frame(NOW, Via::Link(link), ack, false).expect("what was sent");
                }
                session.take_effects().len()
            });
        });
    }
    group.finish();
}

fn catch_up(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("behind by 1000 of 100 keys");
    for policy in SlowPolicy::ALL {
        let (channel, retention) = (channel(), Retention::default());
        let (mut session, link) = session(&channel, *policy);
        let mut buffer = BytesMut::with_capacity(1 << 20);
        group.bench_function(policy.as_str(), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut took = Duration::ZERO;
                for _ in 0..rounds {
                    for number in 0..1_000 {
                        let key = Some(format!("k{}", number % 100).into());
                        channel.append(NewEvent { key, ..event() }, NOW.wall_ms, &retention);
                    }
                    let began = Instant::now();
                    loop {
                        buffer.clear();
                        let output = session.transmit(NOW, link, 64 * 1024, &mut buffer);
                        if output == Output::Idle {
                            break;
                        }
                    }
                    took += began.elapsed();
                    let up_to = session.acknowledged() + session.unacknowledged();
                    let ack = UpFrame::Ack { up_to };
                    session.handle_frame(NOW, Via::Link(link), ack, false).expect("what was sent");
                    session.take_effects();
                }
                took
            });
        });
    }
    group.finish();
}

criterion_group!(benches, append, pull, catch_up);
criterion_main!(benches);
