//! Reading a client's frames and commands.

use super::members::{Object, PayloadMembers, peek_type, skip_object};
use crate::{
    AttemptOutcome, Command, DecodeLimits, ErrorCode, Meta, Send, SubscribeFrom, UpFrame, bounds,
    frame::{ClientInfo, Commands, Hello, Resume, SessionName, Tried, VolatileUp},
    scan::{Read, Reader},
};

pub(super) fn frame(r: &mut Reader<'_>, limits: DecodeLimits) -> Read<UpFrame> {
    match &*peek_type(r)? {
        "hello" => hello(r, limits).map(|hello| UpFrame::Hello(Box::new(hello))),
        "attach" => attach(r),
        "session" => session(r).map(UpFrame::Session),
        "commands" => commands(r, limits).map(UpFrame::Commands),
        "ack" => super::up_to(r).map(|up_to| UpFrame::Ack { up_to }),
        "auth" => auth(r),
        "volatile" => volatile(r).map(UpFrame::Volatile),
        "tried" => tried(r).map(UpFrame::Tried),
        "ping" => super::heartbeat(r).map(|(nonce, _)| UpFrame::Ping { nonce }),
        "pong" => super::heartbeat(r).map(|(nonce, _)| UpFrame::Pong { nonce }),
        "bye" => skip_object(r).map(|()| UpFrame::Bye),
        kind if kind.starts_with("x-") => skip_object(r).map(|()| UpFrame::Extension),
        _ => Err(r.fault(ErrorCode::UnknownFrame, ErrorCode::UnknownFrame.message())),
    }
}

fn hello(r: &mut Reader<'_>, limits: DecodeLimits) -> Read<Hello> {
    let (mut version, mut instance) = (None, None);
    let mut hello = Hello::default();
    let mut object = Object::enter(r)?;
    while let Some(name) = object.next(r)? {
        match &*name {
            "version" => version = Some(r.small_integer()?),
            "instance" => instance = Some(r.text(bounds::INSTANCE_BYTES)?),
            "attach" => hello.attach = Some(r.integer()?),
            "auth" => hello.auth = Some(r.token()?),
            "resume" => hello.resume = Some(resume(r, limits)?),
            "client" => hello.client = Some(client(r)?),
            "features" => hello.features = r.features()?,
            "slot" => hello.slot = Some(r.text(bounds::SLOT_BYTES)?),
            _ => r.skip()?,
        }
    }
    hello.version = r.required(version, "hello.version is missing")?;
    hello.instance = r.required(instance, "hello.instance is missing")?;
    Ok(hello)
}

fn resume(r: &mut Reader<'_>, limits: DecodeLimits) -> Read<Resume> {
    let (mut token, mut incarnation, mut after, mut low, mut positions) = (None, None, None, None, None);
    let mut object = Object::enter(r)?;
    while let Some(name) = object.next(r)? {
        match &*name {
            "token" => token = Some(r.token()?),
            "incarnation" => incarnation = Some(r.integer()?),
            "after" => after = Some(r.integer()?),
            "low" => low = Some(r.integer()?),
            "positions" => positions = Some(r.positions(limits.entries)?),
            _ => r.skip()?,
        }
    }
    Ok(Resume {
        token: r.required(token, "resume.token is missing")?,
        incarnation: r.required(incarnation, "resume.incarnation is missing")?,
        after: r.required(after, "resume.after is missing")?,
        low: r.required(low, "resume.low is missing")?,
        positions,
    })
}

fn client(r: &mut Reader<'_>) -> Read<ClientInfo> {
    let (mut name, mut version) = (None, None);
    let mut object = Object::enter(r)?;
    while let Some(member) = object.next(r)? {
        match &*member {
            "name" => name = Some(r.text(bounds::CLIENT_BYTES)?),
            "version" => version = Some(r.text(bounds::CLIENT_BYTES)?),
            _ => r.skip()?,
        }
    }
    Ok(ClientInfo {
        name: r.required(name, "client.name is missing")?,
        version: r.required(version, "client.version is missing")?,
    })
}

fn attach(r: &mut Reader<'_>) -> Read<UpFrame> {
    let (mut number, mut after) = (None, None);
    let mut object = Object::enter(r)?;
    while let Some(name) = object.next(r)? {
        match &*name {
            "number" => number = Some(r.integer()?),
            "after" => after = Some(r.integer()?),
            _ => r.skip()?,
        }
    }
    Ok(UpFrame::Attach {
        number: r.required(number, "attach.number is missing")?,
        after: r.required(after, "attach.after is missing")?,
    })
}

fn session(r: &mut Reader<'_>) -> Read<SessionName> {
    let (mut token, mut incarnation, mut link) = (None, None, None);
    let mut object = Object::enter(r)?;
    while let Some(name) = object.next(r)? {
        match &*name {
            "token" => token = Some(r.token()?),
            "incarnation" => incarnation = Some(r.integer()?),
            "link" => link = Some(r.integer()?),
            _ => r.skip()?,
        }
    }
    Ok(SessionName {
        token: r.required(token, "session.token is missing")?,
        incarnation: r.required(incarnation, "session.incarnation is missing")?,
        link: r.required(link, "session.link is missing")?,
    })
}

fn auth(r: &mut Reader<'_>) -> Read<UpFrame> {
    let mut token = None;
    let mut object = Object::enter(r)?;
    while let Some(name) = object.next(r)? {
        match &*name {
            "token" => token = Some(r.token()?),
            _ => r.skip()?,
        }
    }
    Ok(UpFrame::Auth { token: r.required(token, "auth.token is missing")? })
}

fn volatile(r: &mut Reader<'_>) -> Read<VolatileUp> {
    let (mut channel, mut name, mut seq) = (None, None, None);
    let mut payload = PayloadMembers::default();
    let mut object = Object::enter(r)?;
    while let Some(member) = object.next(r)? {
        match &*member {
            "channel" => channel = Some(r.channel()?),
            "name" => name = Some(r.text(bounds::NAME_BYTES)?),
            "seq" => seq = Some(r.integer()?),
            "data" => payload.data(r)?,
            "bytes" => payload.bytes(r)?,
            _ => r.skip()?,
        }
    }
    Ok(VolatileUp {
        channel: r.required(channel, "volatile.channel is missing")?,
        name,
        seq: r.required(seq, "volatile.seq is missing")?,
        payload: payload.finish(),
    })
}

fn tried(r: &mut Reader<'_>) -> Read<Tried> {
    let (mut transport, mut outcome, mut took_ms, mut ago_ms) = (None, None, None, None);
    let mut object = Object::enter(r)?;
    while let Some(name) = object.next(r)? {
        match &*name {
            "transport" => transport = Some(r.text(bounds::TRANSPORT_NAME_BYTES)?),
            "outcome" => outcome = Some(AttemptOutcome::parse(&r.text(bounds::CODE_BYTES)?)),
            "tookMs" => took_ms = Some(r.integer()?),
            "agoMs" => ago_ms = Some(r.integer()?),
            _ => r.skip()?,
        }
    }
    Ok(Tried {
        transport: r.required(transport, "tried.transport is missing")?,
        outcome: r.required(outcome, "tried.outcome is missing")?,
        took_ms: r.required(took_ms, "tried.tookMs is missing")?,
        ago_ms: r.required(ago_ms, "tried.agoMs is missing")?,
    })
}

fn commands(r: &mut Reader<'_>, limits: DecodeLimits) -> Read<Commands> {
    let (mut first, mut items, mut ack) = (None, None, None);
    let mut object = Object::enter(r)?;
    while let Some(name) = object.next(r)? {
        match &*name {
            "first" => first = Some(r.integer()?),
            "items" => items = Some(r.list(limits.entries, command)?),
            "ack" => ack = Some(r.integer()?),
            _ => r.skip()?,
        }
    }
    Ok(Commands {
        first: r.required(first, "commands.first is missing")?,
        items: r.required(items, "commands.items is missing")?,
        ack,
    })
}

fn command(r: &mut Reader<'_>) -> Read<Command> {
    match &*peek_type(r)? {
        "subscribe" => subscribe(r),
        "unsubscribe" => unsubscribe(r),
        "send" => send(r).map(Command::Send),
        "noop" => skip_object(r).map(|()| Command::Noop),
        _ => skip_object(r).map(|()| Command::Unknown),
    }
}

fn subscribe(r: &mut Reader<'_>) -> Read<Command> {
    let (mut channel, mut from, mut token, mut presence) = (None, SubscribeFrom::Now, None, false);
    let mut object = Object::enter(r)?;
    while let Some(name) = object.next(r)? {
        match &*name {
            "channel" => channel = Some(r.channel()?),
            "from" => from = subscribe_from(r)?,
            "token" => token = Some(r.token()?),
            "presence" => presence = r.flag()?,
            _ => r.skip()?,
        }
    }
    Ok(Command::Subscribe {
        channel: r.required(channel, "subscribe.channel is missing")?,
        from,
        token,
        presence,
    })
}

fn subscribe_from(r: &mut Reader<'_>) -> Read<SubscribeFrom> {
    const SHAPE: &str = "from is \"now\", {\"last\": n} or {\"position\": {…}}";
    if r.peek() == Some(b'"') {
        return if r.string()? == "now" { Ok(SubscribeFrom::Now) } else { Err(r.malformed(SHAPE)) };
    }
    let (mut last, mut position) = (None, None);
    let mut object = Object::enter(r)?;
    while let Some(name) = object.next(r)? {
        match &*name {
            "last" => last = Some(r.small_integer()?),
            "position" => position = Some(r.position()?),
            _ => r.skip()?,
        }
    }
    match (last, position) {
        (Some(count), None) => Ok(SubscribeFrom::Last(count)),
        (None, Some(position)) => Ok(SubscribeFrom::Position(position)),
        _ => Err(r.malformed(SHAPE)),
    }
}

fn unsubscribe(r: &mut Reader<'_>) -> Read<Command> {
    let mut channel = None;
    let mut object = Object::enter(r)?;
    while let Some(name) = object.next(r)? {
        match &*name {
            "channel" => channel = Some(r.channel()?),
            _ => r.skip()?,
        }
    }
    Ok(Command::Unsubscribe { channel: r.required(channel, "unsubscribe.channel is missing")? })
}

fn send(r: &mut Reader<'_>) -> Read<Send> {
    let (mut channel, mut name, mut id, mut meta) = (None, None, None, Meta::default());
    let mut payload = PayloadMembers::default();
    let mut object = Object::enter(r)?;
    while let Some(member) = object.next(r)? {
        match &*member {
            "channel" => channel = Some(r.channel()?),
            "name" => name = Some(r.text(bounds::NAME_BYTES)?),
            "id" => id = Some(r.text(bounds::ID_BYTES)?),
            "meta" => meta = r.meta()?,
            "data" => payload.data(r)?,
            "bytes" => payload.bytes(r)?,
            _ => r.skip()?,
        }
    }
    Ok(Send {
        channel: r.required(channel, "send.channel is missing")?,
        name,
        id,
        meta,
        payload: payload.finish(),
    })
}
