//! Short words for tests of the core.

use throughline_wire::{ChannelName, Epoch, Event, Item, Meta, Offset, Payload, Position, Subscribed};

pub(crate) fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap()
}

pub(crate) fn position(epoch: &str, offset: u64) -> Position {
    Position { epoch: Epoch::parse(epoch).unwrap(), offset: Offset::new(offset).unwrap() }
}

pub(crate) fn subscribed(name: &str, command: Option<u64>, offset: u64) -> Item {
    Item::Subscribed(Subscribed {
        channel: channel(name),
        command,
        position: position("e", offset),
        recovered: true,
    })
}

pub(crate) fn event(name: &str, offset: u64) -> Item {
    Item::Event(Event {
        channel: channel(name),
        offset: Offset::new(offset).unwrap(),
        time: 0,
        name: None,
        key: None,
        sender: None,
        meta: Meta::default(),
        payload: Payload::Empty,
    })
}
