//! Any frame, item and command that the types allow and a decoder accepts.

use proptest::{collection::vec, option::of, prelude::*};
use throughline_wire::{
    AttemptOutcome, ChannelName, Command, DownFrame, Epoch, ErrorCode, Event, Gap, GapReason, Item, Json,
    MAX_INTEGER, Member, Meta, Offset, Payload, Position, Presence, PresenceKind, Reply, ReplyError,
    RetryReason, Send, Sender, SessionId, SubscribeFrom, Subscribed, Token, Unsubscribed, UpFrame, bounds,
    frame::{
        Backoff, ClientInfo, Commands, ErrorFrame, Hello, Items, Limits, Resume, Retry, SessionName,
        TransportOffer, Tried, VolatileDown, VolatileUp, Welcome,
    },
    item::{Accepted, UnsubscribeReason},
};

pub(crate) fn up_frame() -> impl Strategy<Value = UpFrame> {
    prop_oneof![
        hello().prop_map(|hello| UpFrame::Hello(Box::new(hello))),
        (integer(), integer()).prop_map(|(number, after)| UpFrame::Attach { number, after }),
        (token(), integer(), integer()).prop_map(|(token, incarnation, link)| UpFrame::Session(
            SessionName { token, incarnation, link }
        )),
        (integer(), vec(command(), 0..6), of(integer()))
            .prop_map(|(first, items, ack)| UpFrame::Commands(Commands { first, items, ack })),
        integer().prop_map(|up_to| UpFrame::Ack { up_to }),
        token().prop_map(|token| UpFrame::Auth { token }),
        (channel(), of(text(bounds::NAME_BYTES)), integer(), payload()).prop_map(
            |(channel, name, seq, payload)| { UpFrame::Volatile(VolatileUp { channel, name, seq, payload }) }
        ),
        (text(bounds::TRANSPORT_NAME_BYTES), attempt_outcome(), integer(), integer()).prop_map(
            |(transport, outcome, took_ms, ago_ms)| {
                UpFrame::Tried(Tried { transport, outcome, took_ms, ago_ms })
            }
        ),
        of(integer()).prop_map(|nonce| UpFrame::Ping { nonce }),
        of(integer()).prop_map(|nonce| UpFrame::Pong { nonce }),
        Just(UpFrame::Bye),
        Just(UpFrame::Extension),
    ]
}

pub(crate) fn down_frame() -> impl Strategy<Value = DownFrame> {
    prop_oneof![
        welcome().prop_map(|welcome| DownFrame::Welcome(Box::new(welcome))),
        (integer(), vec(item(), 0..6), of(integer()))
            .prop_map(|(first, items, ack)| DownFrame::Items(Items { first, items, ack })),
        integer().prop_map(|up_to| DownFrame::Ack { up_to }),
        retry().prop_map(DownFrame::Retry),
        (transports(), integer(), integer()).prop_map(|(transports, delay_ms, spread_ms)| {
            DownFrame::Migrate { transports, delay_ms, spread_ms }
        }),
        (channel(), of(text(bounds::NAME_BYTES)), integer(), integer(), of(sender()), payload()).prop_map(
            |(channel, name, time, seq, sender, payload)| {
                DownFrame::Volatile(VolatileDown { channel, name, time, seq, sender, payload })
            }
        ),
        (error_code(), text(bounds::MESSAGE_BYTES), of(integer()), any::<bool>()).prop_map(
            |(code, message, command, fatal)| DownFrame::Error(ErrorFrame { code, message, command, fatal })
        ),
        (of(integer()), of(integer())).prop_map(|(nonce, window_ms)| DownFrame::Ping { nonce, window_ms }),
        (of(integer()), of(integer())).prop_map(|(nonce, window_ms)| DownFrame::Pong { nonce, window_ms }),
        Just(DownFrame::Extension),
    ]
}

pub(crate) fn item() -> impl Strategy<Value = Item> {
    prop_oneof![
        4 => event().prop_map(Item::Event),
        2 => (integer(), result()).prop_map(|(command, result)| Item::Reply(Reply { command, result })),
        1 => (channel(), of(integer()), position(), any::<bool>()).prop_map(
            |(channel, command, position, recovered)| {
                Item::Subscribed(Subscribed { channel, command, position, recovered })
            }
        ),
        1 => (channel(), of(integer()), unsubscribe_reason()).prop_map(|(channel, command, reason)| {
            Item::Unsubscribed(Unsubscribed { channel, command, reason })
        }),
        1 => (of(channel()), of(position()), position(), any::<bool>(), gap_reason()).prop_map(
            |(channel, from, to, exact, reason)| Item::Gap(Gap { channel, from, to, exact, reason })
        ),
        1 => (channel(), presence_kind(), vec(member(), 0..6), integer()).prop_map(
            |(channel, kind, members, count)| {
                Item::Presence(Presence { channel, kind, members, count })
            }
        ),
        1 => Just(Item::Unknown),
    ]
}

fn presence_kind() -> impl Strategy<Value = PresenceKind> {
    prop_oneof![Just(PresenceKind::State), Just(PresenceKind::Join), Just(PresenceKind::Leave)]
}

fn member() -> impl Strategy<Value = Member> {
    let info = json().prop_filter("at most 1 KiB", |text| text.len() <= bounds::INFO_BYTES);
    let info = info.prop_map(|text| Json::parse(text.as_bytes()).expect("a JSON value"));
    (sender(), of(info)).prop_map(|(Sender { user, session }, info)| Member { session, user, info })
}

/// JSON as nobody would print it: any depth up to the bound, spaces between tokens, escapes that need not be.
pub(crate) fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|flag| flag.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,3})?",
        json_string(),
    ];
    leaf.prop_recursive(5, 32, 4, |inner| {
        let members = vec((json_string(), inner.clone()), 0..4);
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|values| format!("[{}]", values.join(" ,\t"))),
            members.prop_map(|members| {
                let members: Vec<_> =
                    members.iter().map(|(name, value)| format!("{name} : {value}")).collect();
                format!("{{ {} }}", members.join(","))
            }),
            (inner, 1..110_usize).prop_map(|(value, depth)| format!(
                "{}{value}{}",
                "[".repeat(depth),
                "]".repeat(depth)
            )),
        ]
    })
    .prop_filter("at most 128 levels", |text| Json::parse(text.as_bytes()).is_ok())
}

fn json_string() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[^\"\\\\\u{0}-\u{1f}]{0,12}",
        1 => "\\\\[\"\\\\/bfnrt]",
        1 => any::<char>().prop_map(|char| {
            char.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04X}")).collect::<String>()
        }),
    ];
    vec(piece, 0..4).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn hello() -> impl Strategy<Value = Hello> {
    let client = (text(bounds::CLIENT_BYTES), text(bounds::CLIENT_BYTES))
        .prop_map(|(name, version)| ClientInfo { name, version });
    (
        any::<u32>(),
        text(bounds::INSTANCE_BYTES),
        of(integer()),
        of(token()),
        of(resume()),
        of(client),
        features(),
        of(text(bounds::SLOT_BYTES)),
    )
        .prop_map(|(version, instance, attach, auth, resume, client, features, slot)| Hello {
            version,
            instance,
            attach,
            auth,
            resume,
            client,
            features,
            slot,
        })
}

fn resume() -> impl Strategy<Value = Resume> {
    let positions = vec((channel(), position()), 0..5).prop_map(|entries| entries.into_iter().collect());
    (token(), integer(), integer(), integer(), of(positions)).prop_map(
        |(token, incarnation, after, low, positions)| Resume { token, incarnation, after, low, positions },
    )
}

fn command() -> impl Strategy<Value = Command> {
    let from = prop_oneof![
        Just(SubscribeFrom::Now),
        any::<u32>().prop_map(SubscribeFrom::Last),
        position().prop_map(SubscribeFrom::Position),
    ];
    let send = (channel(), of(text(bounds::NAME_BYTES)), of(text(bounds::ID_BYTES)), meta(), payload())
        .prop_map(|(channel, name, id, meta, payload)| Send { channel, name, id, meta, payload });
    prop_oneof![
        2 => (channel(), from, of(token()), any::<bool>()).prop_map(|(channel, from, token, presence)| {
            Command::Subscribe { channel, from, token, presence }
        }),
        1 => channel().prop_map(|channel| Command::Unsubscribe { channel }),
        4 => send.prop_map(Command::Send),
        1 => Just(Command::Noop),
        1 => Just(Command::Unknown),
    ]
}

fn welcome() -> impl Strategy<Value = Welcome> {
    let backoff = (integer(), integer()).prop_map(|(base_ms, cap_ms)| Backoff { base_ms, cap_ms });
    let limits = [(); 6].map(|()| integer()).prop_map(
        |[
            message_bytes,
            commands_ahead,
            unacknowledged_items,
            unacknowledged_bytes,
            subscriptions,
            commands_per_second,
        ]| Limits {
            message_bytes,
            commands_ahead,
            unacknowledged_items,
            unacknowledged_bytes,
            subscriptions,
            commands_per_second,
        },
    );
    (
        (session(), token(), any::<bool>(), of(error_code()), of(text(bounds::USER_BYTES))),
        [(); 8].map(|()| integer()),
        (backoff, of(integer()), of(limits), of(transports()), of(features())),
    )
        .prop_map(|((session, token, resumed, reason, user), numbers, rest)| {
            let [incarnation, link, next, received, time, heartbeat_ms, resume_window_ms, window_ms] =
                numbers;
            let (backoff, auth_expires_in_ms, limits, transports, features) = rest;
            Welcome {
                session,
                token,
                incarnation,
                link,
                resumed,
                reason,
                next,
                received,
                user,
                time,
                heartbeat_ms,
                resume_window_ms,
                window_ms,
                backoff,
                auth_expires_in_ms,
                limits,
                transports,
                features,
            }
        })
}

fn attempt_outcome() -> impl Strategy<Value = AttemptOutcome> {
    let mut outcomes = AttemptOutcome::ALL.to_vec();
    outcomes.push(AttemptOutcome::Other);
    proptest::sample::select(outcomes)
}

fn retry() -> impl Strategy<Value = Retry> {
    let mut reasons = RetryReason::ALL.to_vec();
    reasons.push(RetryReason::Other);
    let reason = proptest::sample::select(reasons);
    (integer(), integer(), reason, of(text(bounds::SLOT_BYTES)), of(transports()), any::<bool>()).prop_map(
        |(delay_ms, spread_ms, reason, slot, transports, is_final)| Retry {
            delay_ms,
            spread_ms,
            reason,
            slot,
            transports,
            is_final,
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    (
        channel(),
        offset(),
        integer(),
        of(text(bounds::NAME_BYTES)),
        of(text(bounds::KEY_BYTES)),
        of(sender()),
        meta(),
        payload(),
    )
        .prop_map(|(channel, offset, time, name, key, sender, meta, payload)| Event {
            channel,
            offset,
            time,
            name,
            key,
            sender,
            meta,
            payload,
        })
}

fn result() -> impl Strategy<Value = Result<Accepted, ReplyError>> {
    let accepted =
        (of(position()), payload()).prop_map(|(position, payload)| Ok(Accepted { position, payload }));
    let refused = (text(bounds::CODE_BYTES), text(bounds::MESSAGE_BYTES), any::<bool>())
        .prop_map(|(code, message, retryable)| Err(ReplyError { code, message, retryable }));
    prop_oneof![accepted, refused]
}

fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        Just(Payload::Empty),
        json().prop_map(|text| Payload::Json(Json::parse(text.as_bytes()).expect("JSON"))),
        vec(any::<u8>(), 0..300).prop_map(|bytes| Payload::Bytes(bytes.into())),
    ]
}

fn meta() -> impl Strategy<Value = Meta> {
    proptest::collection::btree_map("[a-z0-9-]{1,32}", ".{0,5}", 0..=16)
        .prop_map(|map| Meta::new(map).unwrap_or_default())
}

fn transports() -> impl Strategy<Value = Vec<TransportOffer>> {
    let offer = (text(bounds::TRANSPORT_NAME_BYTES), of(text(bounds::URL_BYTES)), vec("[0-9a-f]{64}", 0..3))
        .prop_map(|(name, url, hashes)| TransportOffer {
            name,
            url,
            certificate_hashes: hashes.into_iter().map(Into::into).collect(),
        });
    vec(offer, 0..4)
}

fn features() -> impl Strategy<Value = Vec<Box<str>>> {
    vec(text(bounds::FEATURE_BYTES), 0..4)
}

fn sender() -> impl Strategy<Value = Sender> {
    (of(text(bounds::USER_BYTES)), session()).prop_map(|(user, session)| Sender { user, session })
}

fn session() -> impl Strategy<Value = SessionId> {
    any::<[u8; 16]>().prop_map(SessionId::from_random)
}

fn token() -> impl Strategy<Value = Token> {
    text(300).prop_map(Token::new)
}

fn channel() -> impl Strategy<Value = ChannelName> {
    prop_oneof!["[A-Za-z0-9._~:@$=-]{1,12}", "[a-z]{200}"]
        .prop_map(|name| ChannelName::parse(&name).expect("legal"))
}

fn position() -> impl Strategy<Value = Position> {
    ("[!-~]{1,32}", offset())
        .prop_map(|(epoch, offset)| Position { epoch: Epoch::parse(&epoch).expect("graphic"), offset })
}

fn offset() -> impl Strategy<Value = Offset> {
    integer().prop_map(|value| Offset::new(value).expect("within the bound"))
}

/// Integers around every change of their size in either codec.
fn integer() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..300_u64,
        65_530..65_540_u64,
        4_294_967_290..4_294_967_300_u64,
        0..=MAX_INTEGER,
        Just(MAX_INTEGER)
    ]
}

/// Text of any characters, cut to fit.
fn text(max_bytes: usize) -> impl Strategy<Value = Box<str>> {
    prop_oneof!["[a-z0-9-]{0,20}", "\\PC{0,20}", any::<String>(), "[\u{0}-\u{7f}é€😀]{0,400}"]
        .prop_map(move |text: String| text[..text.floor_char_boundary(max_bytes)].into())
}

fn error_code() -> impl Strategy<Value = ErrorCode> {
    let mut codes = ErrorCode::ALL.to_vec();
    codes.push(ErrorCode::Other);
    proptest::sample::select(codes)
}

fn unsubscribe_reason() -> impl Strategy<Value = UnsubscribeReason> {
    proptest::sample::select(vec![
        UnsubscribeReason::Requested,
        UnsubscribeReason::Revoked,
        UnsubscribeReason::Other,
    ])
}

fn gap_reason() -> impl Strategy<Value = GapReason> {
    proptest::sample::select(vec![
        GapReason::Trimmed,
        GapReason::Epoch,
        GapReason::Conflated,
        GapReason::Overflow,
        GapReason::Other,
    ])
}
