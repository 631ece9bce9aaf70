//! The channels in whose presence this client takes part, as far as the gateway has agreed.
//!
//! Positions do not say it. So after every new incarnation of its session, and in every new session, the client asks
//! again (P8): what the gateway still knows is told once more, and what it has lost meanwhile is had again. Who takes
//! part is the application's to keep: a `state` replaces what it knew.

use std::collections::BTreeSet;

use throughline_wire::{ChannelName, Command, Position, Positions, SubscribeFrom};

/// The channels in whose presence this client takes part.
#[derive(Debug, Default)]
pub(crate) struct Presence(BTreeSet<ChannelName>);

impl Presence {
    /// A subscribe was carried out that wished so.
    pub(crate) fn agreed(&mut self, channel: &ChannelName, takes_part: bool) {
        if takes_part {
            self.0.insert(channel.clone());
        } else {
            self.0.remove(channel);
        }
    }

    /// It takes part in a channel no longer.
    pub(crate) fn forget(&mut self, channel: &ChannelName) {
        self.0.remove(channel);
    }

    /// The commands that ask again for each of these places, or only where it takes part.
    pub(crate) fn renewals(&self, positions: &Positions, everywhere: bool) -> Vec<Command> {
        let asked = positions.iter().filter(|(channel, _)| everywhere || self.0.contains(*channel));
        asked.map(|(channel, place)| self.renewal(channel, *place)).collect()
    }

    fn renewal(&self, channel: &ChannelName, place: Position) -> Command {
        Command::Subscribe {
            channel: channel.clone(),
            from: SubscribeFrom::Position(place),
            token: None,
            presence: self.0.contains(channel),
        }
    }
}
