//! Reading the gateway's frames and items, member by member in the order of the layout.

use super::{
    layout::{frame, item, presence},
    read::{Read, Reader, malformed},
};
use crate::{
    DecodeError, DecodeLimits, DownFrame, ErrorCode, Event, Gap, GapReason, Item, Json, Member, Payload,
    Presence, PresenceKind, Reply, ReplyError, RetryReason, Subscribed, Unsubscribed, bounds,
    frame::{Backoff, ErrorFrame, Items, Limits, Retry, VolatileDown, Welcome},
    item::{Accepted, UnsubscribeReason},
};

pub(super) fn frame(r: &mut Reader<'_>, limits: DecodeLimits) -> Read<DownFrame> {
    Ok(match r.byte()? {
        frame::WELCOME => DownFrame::Welcome(Box::new(welcome(r)?)),
        frame::ITEMS => DownFrame::Items(Items {
            first: r.integer()?,
            items: r.list(limits.entries, |r| item(&mut Reader::new(r.slice()?)))?,
            ack: r.option(Reader::integer)?,
        }),
        frame::ACK => DownFrame::Ack { up_to: r.integer()? },
        frame::RETRY => DownFrame::Retry(Retry {
            delay_ms: r.integer()?,
            spread_ms: r.integer()?,
            reason: RetryReason::parse(&r.text(bounds::CODE_BYTES)?),
            slot: r.option(|r| r.text(bounds::SLOT_BYTES))?,
            transports: r.option(Reader::transports)?,
            is_final: r.flag()?,
        }),
        frame::MIGRATE => DownFrame::Migrate {
            transports: r.transports()?,
            delay_ms: r.integer()?,
            spread_ms: r.integer()?,
        },
        frame::VOLATILE => DownFrame::Volatile(VolatileDown {
            channel: r.channel()?,
            name: r.option(|r| r.text(bounds::NAME_BYTES))?,
            time: r.integer()?,
            seq: r.integer()?,
            sender: r.option(Reader::sender)?,
            payload: r.payload()?,
        }),
        frame::ERROR => DownFrame::Error(ErrorFrame {
            code: ErrorCode::parse(&r.text(bounds::CODE_BYTES)?),
            message: r.text(bounds::MESSAGE_BYTES)?,
            command: r.option(Reader::integer)?,
            fatal: r.flag()?,
        }),
        frame::PING => {
            DownFrame::Ping { nonce: r.option(Reader::integer)?, window_ms: r.option(Reader::integer)? }
        }
        frame::PONG => {
            DownFrame::Pong { nonce: r.option(Reader::integer)?, window_ms: r.option(Reader::integer)? }
        }
        frame::EXTENSION.. => DownFrame::Extension,
        _ => return Err(ErrorCode::UnknownFrame.into()),
    })
}

fn welcome(r: &mut Reader<'_>) -> Read<Welcome> {
    Ok(Welcome {
        session: r.session()?,
        token: r.token()?,
        incarnation: r.integer()?,
        link: r.integer()?,
        resumed: r.flag()?,
        reason: r.option(|r| Ok(ErrorCode::parse(&r.text(bounds::CODE_BYTES)?)))?,
        next: r.integer()?,
        received: r.integer()?,
        user: r.option(|r| r.text(bounds::USER_BYTES))?,
        time: r.integer()?,
        heartbeat_ms: r.integer()?,
        resume_window_ms: r.integer()?,
        window_ms: r.integer()?,
        backoff: Backoff { base_ms: r.integer()?, cap_ms: r.integer()? },
        auth_expires_in_ms: r.option(Reader::integer)?,
        limits: r.option(limits)?,
        transports: r.option(Reader::transports)?,
        features: r.option(Reader::features)?,
    })
}

fn limits(r: &mut Reader<'_>) -> Read<Limits> {
    Ok(Limits {
        message_bytes: r.integer()?,
        commands_ahead: r.integer()?,
        unacknowledged_items: r.integer()?,
        unacknowledged_bytes: r.integer()?,
        subscriptions: r.integer()?,
        commands_per_second: r.integer()?,
    })
}

fn item(r: &mut Reader<'_>) -> Read<Item> {
    Ok(match r.byte()? {
        item::EVENT => Item::Event(Event {
            channel: r.channel()?,
            offset: r.offset()?,
            time: r.integer()?,
            name: r.option(|r| r.text(bounds::NAME_BYTES))?,
            key: r.option(|r| r.text(bounds::KEY_BYTES))?,
            sender: r.option(Reader::sender)?,
            meta: r.meta()?,
            payload: r.payload()?,
        }),
        item::REPLY => Item::Reply(reply(r)?),
        item::SUBSCRIBED => Item::Subscribed(Subscribed {
            channel: r.channel()?,
            command: r.option(Reader::integer)?,
            position: r.position()?,
            recovered: r.flag()?,
        }),
        item::UNSUBSCRIBED => Item::Unsubscribed(Unsubscribed {
            channel: r.channel()?,
            command: r.option(Reader::integer)?,
            reason: UnsubscribeReason::parse(&r.text(bounds::CODE_BYTES)?),
        }),
        item::GAP => Item::Gap(Gap {
            channel: r.option(Reader::channel)?,
            from: r.option(Reader::position)?,
            to: r.position()?,
            exact: r.flag()?,
            reason: GapReason::parse(&r.text(bounds::CODE_BYTES)?),
        }),
        item::PRESENCE => presence(r)?.map_or(Item::Unknown, Item::Presence),
        _ => Item::Unknown,
    })
}

fn reply(r: &mut Reader<'_>) -> Read<Reply> {
    let (command, ok) = (r.integer()?, r.flag()?);
    let accepted = Accepted { position: r.option(Reader::position)?, payload: r.payload()? };
    let error = r.option(|r| {
        Ok(ReplyError {
            code: r.text(bounds::CODE_BYTES)?,
            message: r.text(bounds::MESSAGE_BYTES)?,
            retryable: r.flag()?,
        })
    })?;
    let result = match (ok, error) {
        (true, None) => Ok(accepted),
        (false, Some(error)) if accepted.position.is_none() && accepted.payload == Payload::Empty => {
            Err(error)
        }
        _ => {
            return Err(malformed(
                "a reply has error when ok is false, and position and payload when it is true",
            ));
        }
    };
    Ok(Reply { command, result })
}

/// `None` for a kind of a later version.
fn presence(r: &mut Reader<'_>) -> Read<Option<Presence>> {
    let channel = r.channel()?;
    let kind = match r.byte()? {
        presence::STATE => Some(PresenceKind::State),
        presence::JOIN => Some(PresenceKind::Join),
        presence::LEAVE => Some(PresenceKind::Leave),
        _ => None,
    };
    let (members, count) = (r.list(bounds::PRESENCE_MEMBERS, member)?, r.integer()?);
    Ok(kind.map(|kind| Presence { channel, kind, members, count }))
}

fn member(r: &mut Reader<'_>) -> Read<Member> {
    Ok(Member {
        session: r.session()?,
        user: r.option(|r| r.text(bounds::USER_BYTES))?,
        info: r.option(|r| {
            let text = r.slice()?;
            if text.len() > bounds::INFO_BYTES {
                return Err(DecodeError::new(ErrorCode::MessageTooLarge, "info is longer than it may be"));
            }
            Ok(Json::parse(text)?)
        })?,
    })
}
