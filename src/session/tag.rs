//! The resume tag: all that a client has to repeat to go on, where it can repeat nothing but a string.
//!
//! `<incarnation>.<item>.<proof>`, then `/<channel>/<epoch>/<offset>` for each channel while they fit 1 KiB. It is
//! the `id:` of server-sent events and comes back as `Last-Event-ID`; the proof names the session and cannot be
//! guessed, so the tag is a credential.

use std::fmt::Write as _;

use throughline_wire::{ChannelName, Epoch, Offset, Position, Positions, SessionId};

use super::{Session, TokenKeys};

/// A tag that came back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResumeTag {
    /// The session that its proof names.
    pub session: SessionId,
    /// Whose numbers `after` counts.
    pub incarnation: u64,
    /// The last item that the client has.
    pub after: u64,
    /// Where it was in each channel; absent where that did not fit.
    pub positions: Option<Positions>,
}

impl ResumeTag {
    /// The longest tag, in bytes.
    pub const MAX_BYTES: usize = 1024;

    /// Reads a tag and checks its proof. `None` for whatever is no tag of these keys.
    pub fn verify(keys: &TokenKeys, tag: &str) -> Option<Self> {
        if tag.len() > Self::MAX_BYTES {
            return None;
        }
        let (head, places) = match tag.split_once('/') {
            Some((head, places)) => (head, Some(places)),
            None => (tag, None),
        };
        let mut parts = head.splitn(3, '.');
        let incarnation = integer(parts.next()?)?;
        let after = integer(parts.next()?)?;
        let session = keys.verify_tag(parts.next()?)?;
        let positions = match places {
            Some(places) => Some(read_positions(places)?),
            None => None,
        };
        Some(Self { session, incarnation, after, positions })
    }
}

impl Session {
    /// Writes the tag of what `link` has carried so far. Says nothing where the link is gone.
    pub fn write_resume_tag(&self, link: super::LinkId, tag: &mut String) {
        let Some(index) = self.link_index(link) else { return };
        let link = &self.links[index];
        let proof = self.config.keys.tag(self.id);
        let _ = write!(tag, "{}.{}.{proof}", self.incarnation, link.next - 1);
        if link.next != self.journal.next() || !self.pending.is_empty() || self.commands.subscribing > 0 {
            return; // the cursors are ahead of what this link has carried, or there will be more of them
        }
        let head = tag.len();
        for held in &self.subscriptions {
            let Position { epoch, offset } = held.cursor;
            let _ = write!(tag, "/{}/{epoch}/{offset}", held.channel.name());
            if tag.len() > ResumeTag::MAX_BYTES || epoch.as_str().contains('/') {
                return tag.truncate(head);
            }
        }
    }
}

fn integer(text: &str) -> Option<u64> {
    let canonical = !text.is_empty() && text.len() <= 16 && text.bytes().all(|b| b.is_ascii_digit());
    canonical.then(|| text.parse().ok()).flatten().filter(|n| *n <= throughline_wire::MAX_INTEGER)
}

fn read_positions(places: &str) -> Option<Positions> {
    let mut parts = places.split('/');
    let mut positions = Positions::new();
    while let Some(channel) = parts.next() {
        let channel = ChannelName::parse(channel).ok()?;
        let epoch = Epoch::parse(parts.next()?).ok()?;
        let offset = Offset::new(integer(parts.next()?)?)?;
        positions.insert(channel, Position { epoch, offset });
    }
    Some(positions)
}
