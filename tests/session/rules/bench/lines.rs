//! What a link says, as lines that a person would write down.

use throughline::session::Life;
use throughline_wire::{
    ChannelName, DownFrame, Epoch, Event, Gap, Item, Offset, Payload, Position, Presence, Reply,
};

/// A position as text, `e1:3`.
pub(super) fn position(text: &str) -> Position {
    let (name, offset) = text.split_once(':').expect("epoch:offset");
    Position { epoch: epoch(name), offset: Offset::new(offset.parse().expect("a number")).expect("in range") }
}

pub(super) fn describe(frame: DownFrame) -> Vec<String> {
    match frame {
        DownFrame::Welcome(welcome) => {
            let which = if welcome.resumed { "back" } else { "new" };
            let (number, next, received) = (welcome.incarnation, welcome.next, welcome.received);
            let reason = welcome.reason.map_or(String::new(), |reason| format!(" {reason}"));
            let end = welcome.auth_expires_in_ms.map_or(String::new(), |ms| format!(" ends in {ms}"));
            vec![format!("welcome {which} {number} next {next} received {received}{reason}{end}")]
        }
        DownFrame::Items(items) => {
            let mut lines: Vec<String> = (items.first..)
                .zip(&items.items)
                .map(|(number, item)| format!("{number} {}", said(item)))
                .collect();
            lines.extend(items.ack.map(|up_to| format!("ack {up_to}")));
            lines
        }
        DownFrame::Ack { up_to } => vec![format!("ack {up_to}")],
        DownFrame::Retry(retry) => vec![format!("retry {}", retry.reason.as_str())],
        DownFrame::Error(error) => vec![format!("error {}", error.code)],
        DownFrame::Ping { nonce, .. } => {
            vec![nonce.map_or_else(|| "ping".into(), |nonce| format!("ping {nonce}"))]
        }
        DownFrame::Pong { nonce, .. } => {
            vec![nonce.map_or_else(|| "pong".into(), |nonce| format!("pong {nonce}"))]
        }
        DownFrame::Volatile(said) => vec![format!("volatile {} {}", said.channel, said.seq)],
        DownFrame::Migrate { transports, delay_ms, spread_ms } => {
            let names: Vec<_> = transports.iter().map(|offer| &*offer.name).collect();
            vec![format!("migrate {} after {delay_ms}+{spread_ms}", names.join(" "))]
        }
        other => vec![format!("{other:?}")],
    }
}

fn said(item: &Item) -> String {
    match item {
        Item::Event(Event { channel, offset, .. }) => format!("event {channel} {offset}"),
        Item::Reply(Reply { command, result: Ok(accepted) }) => match &accepted.payload {
            Payload::Json(json) => format!("reply {command} {}", json.as_str()),
            _ => format!("reply {command} ok"),
        },
        Item::Reply(Reply { command, result: Err(error) }) => format!("reply {command} {}", error.code),
        Item::Subscribed(subscribed) => {
            let behind = if subscribed.recovered { "" } else { " behind a gap" };
            format!("subscribed {} {}{behind}", subscribed.channel, place(subscribed.position))
        }
        Item::Unsubscribed(unsubscribed) => {
            format!("unsubscribed {} {}", unsubscribed.channel, unsubscribed.reason.as_str())
        }
        Item::Gap(Gap { channel, from, to, exact, reason }) => {
            let channel = channel.as_ref().map_or("", |channel| channel.as_str());
            let from = from.map_or("?".into(), place);
            let bound = if *exact { "" } else { " at most" };
            format!("gap {channel} {from}-{} {}{bound}", place(*to), reason.as_str())
        }
        Item::Presence(Presence { channel, kind, members, count }) => {
            let names = members.iter().map(|member| format!(" {}", member.session.as_bytes()[0]));
            format!("presence {channel} {}{} of {count}", kind.as_str(), names.collect::<String>())
        }
        other => format!("{other:?}"),
    }
}

pub(super) fn place(at: Position) -> String {
    format!("{}:{}", at.epoch, at.offset)
}

pub(super) fn name(channel: &str) -> ChannelName {
    ChannelName::parse(channel).expect("a channel's name")
}

pub(super) fn epoch(name: &str) -> Epoch {
    Epoch::parse(name).expect("an epoch's name")
}

/// What is told of a session's life, in words.
pub(super) fn describe_life(number: u32, life: Life) -> String {
    let word = life.as_str();
    let more = match life {
        Life::Opened { transport, replaces } => {
            let replaces = replaces.map(|before| format!(" for {before}")).unwrap_or_default();
            format!(" {}{replaces}", transport.unwrap_or("nowhere"))
        }
        Life::Resumed { transport } => format!(" {}", transport.unwrap_or("nowhere")),
        Life::Ended(ending) => format!(" {}", ending.as_str()),
        _ => String::new(),
    };
    format!("{number} {word}{more}")
}
