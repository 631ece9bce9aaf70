//! Reading the gateway's frames, without items: those are in [`decode_item`](super::decode_item).

use super::{
    decode_item,
    members::{Object, PayloadMembers, peek_type, skip_object},
};
use crate::{
    DecodeLimits, DownFrame, ErrorCode, RetryReason, bounds,
    frame::{Backoff, ErrorFrame, Items, Limits, Retry, VolatileDown, Welcome},
    scan::{Read, Reader},
};

pub(super) fn frame(r: &mut Reader<'_>, limits: DecodeLimits) -> Read<DownFrame> {
    match &*peek_type(r)? {
        "welcome" => welcome(r).map(|welcome| DownFrame::Welcome(Box::new(welcome))),
        "items" => items(r, limits).map(DownFrame::Items),
        "ack" => super::up_to(r).map(|up_to| DownFrame::Ack { up_to }),
        "retry" => retry(r).map(DownFrame::Retry),
        "migrate" => migrate(r),
        "volatile" => volatile(r).map(DownFrame::Volatile),
        "error" => error(r).map(DownFrame::Error),
        "ping" => super::heartbeat(r).map(|(nonce, window_ms)| DownFrame::Ping { nonce, window_ms }),
        "pong" => super::heartbeat(r).map(|(nonce, window_ms)| DownFrame::Pong { nonce, window_ms }),
        kind if kind.starts_with("x-") => skip_object(r).map(|()| DownFrame::Extension),
        _ => Err(r.fault(ErrorCode::UnknownFrame, ErrorCode::UnknownFrame.message())),
    }
}

fn welcome(r: &mut Reader<'_>) -> Read<Welcome> {
    let (mut session, mut token, mut incarnation, mut link) = (None, None, None, None);
    let (mut resumed, mut reason, mut next, mut received) = (None, None, None, None);
    let (mut user, mut time, mut heartbeat_ms, mut resume_window_ms) = (None, None, None, None);
    let (mut window_ms, mut backoff, mut auth_expires_in_ms) = (None, None, None);
    let (mut limits, mut transports, mut features) = (None, None, None);
    let mut object = Object::enter(r)?;
    while let Some(name) = object.next(r)? {
        match &*name {
            "session" => session = Some(r.session()?),
            "token" => token = Some(r.token()?),
            "incarnation" => incarnation = Some(r.integer()?),
            "link" => link = Some(r.integer()?),
            "resumed" => resumed = Some(r.flag()?),
            "reason" => reason = Some(ErrorCode::parse(&r.text(bounds::CODE_BYTES)?)),
            "next" => next = Some(r.integer()?),
            "received" => received = Some(r.integer()?),
            "user" => user = Some(r.text(bounds::USER_BYTES)?),
            "time" => time = Some(r.integer()?),
            "heartbeatMs" => heartbeat_ms = Some(r.integer()?),
            "resumeWindowMs" => resume_window_ms = Some(r.integer()?),
            "windowMs" => window_ms = Some(r.integer()?),
            "backoff" => backoff = Some(self::backoff(r)?),
            "authExpiresInMs" => auth_expires_in_ms = Some(r.integer()?),
            "limits" => limits = Some(self::limits(r)?),
            "transports" => transports = Some(r.transports()?),
            "features" => features = Some(r.features()?),
            _ => r.skip()?,
        }
    }
    Ok(Welcome {
        session: r.required(session, "welcome.session is missing")?,
        token: r.required(token, "welcome.token is missing")?,
        incarnation: r.required(incarnation, "welcome.incarnation is missing")?,
        link: r.required(link, "welcome.link is missing")?,
        resumed: r.required(resumed, "welcome.resumed is missing")?,
        reason,
        next: r.required(next, "welcome.next is missing")?,
        received: r.required(received, "welcome.received is missing")?,
        user,
        time: r.required(time, "welcome.time is missing")?,
        heartbeat_ms: r.required(heartbeat_ms, "welcome.heartbeatMs is missing")?,
        resume_window_ms: r.required(resume_window_ms, "welcome.resumeWindowMs is missing")?,
        window_ms: r.required(window_ms, "welcome.windowMs is missing")?,
        backoff: r.required(backoff, "welcome.backoff is missing")?,
        auth_expires_in_ms,
        limits,
        transports,
        features,
    })
}

fn backoff(r: &mut Reader<'_>) -> Read<Backoff> {
    let (mut base_ms, mut cap_ms) = (None, None);
    let mut object = Object::enter(r)?;
    while let Some(name) = object.next(r)? {
        match &*name {
            "baseMs" => base_ms = Some(r.integer()?),
            "capMs" => cap_ms = Some(r.integer()?),
            _ => r.skip()?,
        }
    }
    Ok(Backoff {
        base_ms: r.required(base_ms, "backoff.baseMs is missing")?,
        cap_ms: r.required(cap_ms, "backoff.capMs is missing")?,
    })
}

fn limits(r: &mut Reader<'_>) -> Read<Limits> {
    let (mut message_bytes, mut commands_ahead, mut unacknowledged_items) = (None, None, None);
    let (mut unacknowledged_bytes, mut subscriptions, mut commands_per_second) = (None, None, None);
    let mut object = Object::enter(r)?;
    while let Some(name) = object.next(r)? {
        match &*name {
            "messageBytes" => message_bytes = Some(r.integer()?),
            "commandsAhead" => commands_ahead = Some(r.integer()?),
            "unacknowledgedItems" => unacknowledged_items = Some(r.integer()?),
            "unacknowledgedBytes" => unacknowledged_bytes = Some(r.integer()?),
            "subscriptions" => subscriptions = Some(r.integer()?),
            "commandsPerSecond" => commands_per_second = Some(r.integer()?),
            _ => r.skip()?,
        }
    }
    Ok(Limits {
        message_bytes: r.required(message_bytes, "limits.messageBytes is missing")?,
        commands_ahead: r.required(commands_ahead, "limits.commandsAhead is missing")?,
        unacknowledged_items: r.required(unacknowledged_items, "limits.unacknowledgedItems is missing")?,
        unacknowledged_bytes: r.required(unacknowledged_bytes, "limits.unacknowledgedBytes is missing")?,
        subscriptions: r.required(subscriptions, "limits.subscriptions is missing")?,
        commands_per_second: r.required(commands_per_second, "limits.commandsPerSecond is missing")?,
    })
}

fn items(r: &mut Reader<'_>, limits: DecodeLimits) -> Read<Items> {
    let (mut first, mut items, mut ack) = (None, None, None);
    let mut object = Object::enter(r)?;
    while let Some(name) = object.next(r)? {
        match &*name {
            "first" => first = Some(r.integer()?),
            "items" => items = Some(r.list(limits.entries, decode_item::item)?),
            "ack" => ack = Some(r.integer()?),
            _ => r.skip()?,
        }
    }
    Ok(Items {
        first: r.required(first, "items.first is missing")?,
        items: r.required(items, "items.items is missing")?,
        ack,
    })
}

fn retry(r: &mut Reader<'_>) -> Read<Retry> {
    let (mut delay_ms, mut spread_ms, mut reason) = (None, None, None);
    let (mut slot, mut transports, mut is_final) = (None, None, false);
    let mut object = Object::enter(r)?;
    while let Some(name) = object.next(r)? {
        match &*name {
            "delayMs" => delay_ms = Some(r.integer()?),
            "spreadMs" => spread_ms = Some(r.integer()?),
            "reason" => reason = Some(RetryReason::parse(&r.text(bounds::CODE_BYTES)?)),
            "slot" => slot = Some(r.text(bounds::SLOT_BYTES)?),
            "transports" => transports = Some(r.transports()?),
            "final" => is_final = r.flag()?,
            _ => r.skip()?,
        }
    }
    Ok(Retry {
        delay_ms: r.required(delay_ms, "retry.delayMs is missing")?,
        spread_ms: r.required(spread_ms, "retry.spreadMs is missing")?,
        reason: r.required(reason, "retry.reason is missing")?,
        slot,
        transports,
        is_final,
    })
}

fn migrate(r: &mut Reader<'_>) -> Read<DownFrame> {
    let (mut transports, mut delay_ms, mut spread_ms) = (None, None, None);
    let mut object = Object::enter(r)?;
    while let Some(name) = object.next(r)? {
        match &*name {
            "transports" => transports = Some(r.transports()?),
            "delayMs" => delay_ms = Some(r.integer()?),
            "spreadMs" => spread_ms = Some(r.integer()?),
            _ => r.skip()?,
        }
    }
    Ok(DownFrame::Migrate {
        transports: r.required(transports, "migrate.transports is missing")?,
        delay_ms: r.required(delay_ms, "migrate.delayMs is missing")?,
        spread_ms: r.required(spread_ms, "migrate.spreadMs is missing")?,
    })
}

fn volatile(r: &mut Reader<'_>) -> Read<VolatileDown> {
    let (mut channel, mut name, mut time, mut seq, mut sender) = (None, None, None, None, None);
    let mut payload = PayloadMembers::default();
    let mut object = Object::enter(r)?;
    while let Some(member) = object.next(r)? {
        match &*member {
            "channel" => channel = Some(r.channel()?),
            "name" => name = Some(r.text(bounds::NAME_BYTES)?),
            "time" => time = Some(r.integer()?),
            "seq" => seq = Some(r.integer()?),
            "sender" => sender = Some(r.sender()?),
            "data" => payload.data(r)?,
            "bytes" => payload.bytes(r)?,
            _ => r.skip()?,
        }
    }
    Ok(VolatileDown {
        channel: r.required(channel, "volatile.channel is missing")?,
        name,
        time: r.required(time, "volatile.time is missing")?,
        seq: r.required(seq, "volatile.seq is missing")?,
        sender,
        payload: payload.finish(),
    })
}

fn error(r: &mut Reader<'_>) -> Read<ErrorFrame> {
    let (mut code, mut message, mut command, mut fatal) = (None, None, None, None);
    let mut object = Object::enter(r)?;
    while let Some(name) = object.next(r)? {
        match &*name {
            "code" => code = Some(ErrorCode::parse(&r.text(bounds::CODE_BYTES)?)),
            "message" => message = Some(r.text(bounds::MESSAGE_BYTES)?),
            "command" => command = Some(r.integer()?),
            "fatal" => fatal = Some(r.flag()?),
            _ => r.skip()?,
        }
    }
    Ok(ErrorFrame {
        code: r.required(code, "error.code is missing")?,
        message: r.required(message, "error.message is missing")?,
        command,
        fatal: r.required(fatal, "error.fatal is missing")?,
    })
}
