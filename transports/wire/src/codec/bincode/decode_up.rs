//! Reading a client's frames and commands, member by member in the order of the layout.

use super::{
    layout::{command, frame, from},
    read::{Read, Reader, malformed},
};
use crate::{
    AttemptOutcome, Command, DecodeLimits, ErrorCode, Send, SubscribeFrom, UpFrame, bounds,
    frame::{ClientInfo, Commands, Hello, Resume, SessionName, Tried, VolatileUp},
};

pub(super) fn frame(r: &mut Reader<'_>, limits: DecodeLimits) -> Read<UpFrame> {
    Ok(match r.byte()? {
        frame::HELLO => UpFrame::Hello(Box::new(hello(r, limits)?)),
        frame::ATTACH => UpFrame::Attach { number: r.integer()?, after: r.integer()? },
        frame::SESSION => {
            UpFrame::Session(SessionName { token: r.token()?, incarnation: r.integer()?, link: r.integer()? })
        }
        frame::COMMANDS => UpFrame::Commands(Commands {
            first: r.integer()?,
            items: r.list(limits.entries, |r| command(&mut Reader::new(r.slice()?)))?,
            ack: r.option(Reader::integer)?,
        }),
        frame::ACK => UpFrame::Ack { up_to: r.integer()? },
        frame::AUTH => UpFrame::Auth { token: r.token()? },
        frame::VOLATILE => UpFrame::Volatile(VolatileUp {
            channel: r.channel()?,
            name: r.option(|r| r.text(bounds::NAME_BYTES))?,
            seq: r.integer()?,
            payload: r.payload()?,
        }),
        frame::TRIED => UpFrame::Tried(Tried {
            transport: r.text(bounds::TRANSPORT_NAME_BYTES)?,
            outcome: AttemptOutcome::parse(&r.text(bounds::CODE_BYTES)?),
            took_ms: r.integer()?,
            ago_ms: r.integer()?,
        }),
        frame::PING => UpFrame::Ping { nonce: r.option(Reader::integer)? },
        frame::PONG => UpFrame::Pong { nonce: r.option(Reader::integer)? },
        frame::BYE => UpFrame::Bye,
        frame::EXTENSION.. => UpFrame::Extension,
        _ => return Err(ErrorCode::UnknownFrame.into()),
    })
}

fn hello(r: &mut Reader<'_>, limits: DecodeLimits) -> Read<Hello> {
    Ok(Hello {
        version: r.small_integer()?,
        instance: r.text(bounds::INSTANCE_BYTES)?,
        attach: r.option(Reader::integer)?,
        auth: r.option(Reader::token)?,
        resume: r.option(|r| resume(r, limits))?,
        client: r.option(|r| {
            Ok(ClientInfo { name: r.text(bounds::CLIENT_BYTES)?, version: r.text(bounds::CLIENT_BYTES)? })
        })?,
        features: r.features()?,
        slot: r.option(|r| r.text(bounds::SLOT_BYTES))?,
    })
}

fn resume(r: &mut Reader<'_>, limits: DecodeLimits) -> Read<Resume> {
    Ok(Resume {
        token: r.token()?,
        incarnation: r.integer()?,
        after: r.integer()?,
        low: r.integer()?,
        positions: r.option(|r| r.positions(limits.entries))?,
    })
}

fn command(r: &mut Reader<'_>) -> Read<Command> {
    Ok(match r.byte()? {
        command::SUBSCRIBE => Command::Subscribe {
            channel: r.channel()?,
            from: subscribe_from(r)?,
            token: r.option(Reader::token)?,
            presence: r.flag()?,
        },
        command::UNSUBSCRIBE => Command::Unsubscribe { channel: r.channel()? },
        command::SEND => Command::Send(Send {
            channel: r.channel()?,
            name: r.option(|r| r.text(bounds::NAME_BYTES))?,
            id: r.option(|r| r.text(bounds::ID_BYTES))?,
            meta: r.meta()?,
            payload: r.payload()?,
        }),
        command::NOOP => Command::Noop,
        _ => Command::Unknown,
    })
}

fn subscribe_from(r: &mut Reader<'_>) -> Read<SubscribeFrom> {
    match r.byte()? {
        from::NOW => Ok(SubscribeFrom::Now),
        from::LAST => r.small_integer().map(SubscribeFrom::Last),
        from::POSITION => r.position().map(SubscribeFrom::Position),
        _ => Err(malformed("from is now, last or a position")),
    }
}
