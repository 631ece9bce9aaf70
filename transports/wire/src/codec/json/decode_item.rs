//! Reading items.

use bytes::Bytes;

use super::members::{Object, PayloadMembers, peek_type, skip_object};
use crate::{
    ErrorCode, Event, Gap, GapReason, Item, Json, Member, Meta, Offset, Presence, PresenceKind, Reply,
    ReplyError, Subscribed, Unsubscribed, bounds,
    item::{Accepted, UnsubscribeReason},
    scan::{Read, Reader},
};

pub(super) fn item(r: &mut Reader<'_>) -> Read<Item> {
    match &*peek_type(r)? {
        "event" => event(r).map(Item::Event),
        "reply" => reply(r).map(Item::Reply),
        "subscribed" => subscribed(r).map(Item::Subscribed),
        "unsubscribed" => unsubscribed(r).map(Item::Unsubscribed),
        "gap" => gap(r).map(Item::Gap),
        "presence" => presence(r).map(|presence| presence.map_or(Item::Unknown, Item::Presence)),
        _ => skip_object(r).map(|()| Item::Unknown),
    }
}

fn event(r: &mut Reader<'_>) -> Read<Event> {
    let (mut channel, mut offset, mut time) = (None, None, None);
    let (mut name, mut key, mut sender, mut meta) = (None, None, None, Meta::default());
    let mut payload = PayloadMembers::default();
    let mut object = Object::enter(r)?;
    while let Some(member) = object.next(r)? {
        match &*member {
            "channel" => channel = Some(r.channel()?),
            "offset" => offset = Offset::new(r.integer()?),
            "time" => time = Some(r.integer()?),
            "name" => name = Some(r.text(bounds::NAME_BYTES)?),
            "key" => key = Some(r.text(bounds::KEY_BYTES)?),
            "sender" => sender = Some(r.sender()?),
            "meta" => meta = r.meta()?,
            "data" => payload.data(r)?,
            "bytes" => payload.bytes(r)?,
            _ => r.skip()?,
        }
    }
    Ok(Event {
        channel: r.required(channel, "event.channel is missing")?,
        offset: r.required(offset, "event.offset is missing")?,
        time: r.required(time, "event.time is missing")?,
        name,
        key,
        sender,
        meta,
        payload: payload.finish(),
    })
}

fn reply(r: &mut Reader<'_>) -> Read<Reply> {
    let (mut command, mut ok, mut position, mut error) = (None, None, None, None);
    let mut payload = PayloadMembers::default();
    let mut object = Object::enter(r)?;
    while let Some(name) = object.next(r)? {
        match &*name {
            "command" => command = Some(r.integer()?),
            "ok" => ok = Some(r.flag()?),
            "position" => position = Some(r.position()?),
            "data" => payload.data(r)?,
            "bytes" => payload.bytes(r)?,
            "error" => error = Some(reply_error(r)?),
            _ => r.skip()?,
        }
    }
    let command = r.required(command, "reply.command is missing")?;
    let result = match (r.required(ok, "reply.ok is missing")?, error) {
        (true, None) => Ok(Accepted { position, payload: payload.finish() }),
        (false, Some(error)) if position.is_none() && !payload.is_some() => Err(error),
        _ => {
            return Err(
                r.malformed("a reply has error when ok is false, and position and payload when it is true")
            );
        }
    };
    Ok(Reply { command, result })
}

fn reply_error(r: &mut Reader<'_>) -> Read<ReplyError> {
    let (mut code, mut message, mut retryable) = (None, None, None);
    let mut object = Object::enter(r)?;
    while let Some(name) = object.next(r)? {
        match &*name {
            "code" => code = Some(r.text(bounds::CODE_BYTES)?),
            "message" => message = Some(r.text(bounds::MESSAGE_BYTES)?),
            "retryable" => retryable = Some(r.flag()?),
            _ => r.skip()?,
        }
    }
    Ok(ReplyError {
        code: r.required(code, "reply.error.code is missing")?,
        message: r.required(message, "reply.error.message is missing")?,
        retryable: r.required(retryable, "reply.error.retryable is missing")?,
    })
}

fn subscribed(r: &mut Reader<'_>) -> Read<Subscribed> {
    let (mut channel, mut command, mut position, mut recovered) = (None, None, None, None);
    let mut object = Object::enter(r)?;
    while let Some(name) = object.next(r)? {
        match &*name {
            "channel" => channel = Some(r.channel()?),
            "command" => command = Some(r.integer()?),
            "position" => position = Some(r.position()?),
            "recovered" => recovered = Some(r.flag()?),
            _ => r.skip()?,
        }
    }
    Ok(Subscribed {
        channel: r.required(channel, "subscribed.channel is missing")?,
        command,
        position: r.required(position, "subscribed.position is missing")?,
        recovered: r.required(recovered, "subscribed.recovered is missing")?,
    })
}

fn unsubscribed(r: &mut Reader<'_>) -> Read<Unsubscribed> {
    let (mut channel, mut command, mut reason) = (None, None, None);
    let mut object = Object::enter(r)?;
    while let Some(name) = object.next(r)? {
        match &*name {
            "channel" => channel = Some(r.channel()?),
            "command" => command = Some(r.integer()?),
            "reason" => reason = Some(UnsubscribeReason::parse(&r.text(bounds::CODE_BYTES)?)),
            _ => r.skip()?,
        }
    }
    Ok(Unsubscribed {
        channel: r.required(channel, "unsubscribed.channel is missing")?,
        command,
        reason: r.required(reason, "unsubscribed.reason is missing")?,
    })
}

fn gap(r: &mut Reader<'_>) -> Read<Gap> {
    let (mut channel, mut from, mut to, mut exact, mut reason) = (None, None, None, None, None);
    let mut object = Object::enter(r)?;
    while let Some(name) = object.next(r)? {
        match &*name {
            "channel" => channel = Some(r.channel()?),
            "from" => from = Some(r.position()?),
            "to" => to = Some(r.position()?),
            "exact" => exact = Some(r.flag()?),
            "reason" => reason = Some(GapReason::parse(&r.text(bounds::CODE_BYTES)?)),
            _ => r.skip()?,
        }
    }
    Ok(Gap {
        channel,
        from,
        to: r.required(to, "gap.to is missing")?,
        exact: r.required(exact, "gap.exact is missing")?,
        reason: r.required(reason, "gap.reason is missing")?,
    })
}

/// `None` for a kind of a later version.
fn presence(r: &mut Reader<'_>) -> Read<Option<Presence>> {
    let (mut channel, mut kind, mut members, mut count) = (None, None, None, None);
    let mut object = Object::enter(r)?;
    while let Some(name) = object.next(r)? {
        match &*name {
            "channel" => channel = Some(r.channel()?),
            "kind" => kind = Some(PresenceKind::parse(&r.text(bounds::CODE_BYTES)?)),
            "members" => members = Some(r.list(bounds::PRESENCE_MEMBERS, member)?),
            "count" => count = Some(r.integer()?),
            _ => r.skip()?,
        }
    }
    let kind = r.required(kind, "presence.kind is missing")?;
    let channel = r.required(channel, "presence.channel is missing")?;
    let members = r.required(members, "presence.members is missing")?;
    let count = r.required(count, "presence.count is missing")?;
    Ok(kind.map(|kind| Presence { channel, kind, members, count }))
}

fn member(r: &mut Reader<'_>) -> Read<Member> {
    let (mut session, mut user, mut info) = (None, None, None);
    let mut object = Object::enter(r)?;
    while let Some(name) = object.next(r)? {
        match &*name {
            "session" => session = Some(r.session()?),
            "user" => user = Some(r.text(bounds::USER_BYTES)?),
            "info" => {
                let text = r.payload()?;
                if text.len() > bounds::INFO_BYTES {
                    return Err(r.fault(ErrorCode::MessageTooLarge, "info is longer than it may be"));
                }
                info = Some(Json::of_checked(Bytes::copy_from_slice(text.as_bytes())));
            }
            _ => r.skip()?,
        }
    }
    Ok(Member { session: r.required(session, "presence.members.session is missing")?, user, info })
}
