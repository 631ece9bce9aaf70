//! What is known of one link.

use throughline_wire::{Positions, Token};

use super::{Time, names::Ticket};
use crate::config::{Transport, Via};

/// How far a link has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// `hello` is said or about to be; nothing has come down.
    Opening,
    /// L10: a probe, welcomed, that waits for its nonce.
    Probing,
    /// Attached: it carries items, commands and acknowledgements.
    Attached,
}

/// What a `hello` said of the session (N4 asks whether it moved since).
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Stated {
    /// Whether it named a session at all.
    pub(crate) resume: bool,
    pub(crate) incarnation: u64,
    pub(crate) after: u64,
    pub(crate) low: u64,
    pub(crate) positions: Option<Positions>,
    /// The last command that travelled behind it.
    pub(crate) commands: u64,
    /// The credentials that it showed.
    pub(crate) auth: Option<Token>,
}

/// A poll that has no answer yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Poll {
    pub(crate) attach: u64,
    pub(crate) since: Time,
    /// When it is given up.
    pub(crate) until: Time,
}

/// A post that has no answer yet, and what it said: all of it is said again until an answer confirms it (L6).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Post {
    pub(crate) id: u64,
    pub(crate) since: Time,
    pub(crate) until: Time,
    pub(crate) ack: Option<(u64, u64)>,
    pub(crate) commands: bool,
    pub(crate) pong: Option<Option<u64>>,
    pub(crate) attach: bool,
    pub(crate) bye: bool,
}

/// The posts beside a link that carries nothing up itself.
#[derive(Debug, Default)]
pub(crate) struct Posts {
    pub(crate) in_flight: Option<Post>,
    /// Posts in a row that failed or achieved nothing.
    pub(crate) failures: u32,
    pub(crate) not_before: Time,
    pub(crate) next: u64,
}

/// One link.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) via: Via,
    pub(crate) stage: Stage,
    /// Whether its hello attaches: it is wanted as the link of the session, not beside it.
    pub(crate) carries: bool,
    /// Whether its hello is said; until then a duplex link only has its handshake.
    pub(crate) greeted: bool,
    /// L1: the number of its latest attach; none yet on a probe.
    pub(crate) attach: Option<u64>,
    pub(crate) stated: Stated,
    /// Its name within the session (`welcome.link`).
    pub(crate) name: u64,
    /// L5: the last item acknowledged on this link, and the bytes taken by then.
    pub(crate) acked: u64,
    pub(crate) acked_bytes: u64,
    /// The last command said on this link, where it is duplex.
    pub(crate) said: u64,
    /// When it was begun.
    pub(crate) since: Time,
    pub(crate) heard: Time,
    /// When it is given up unless something is heard.
    pub(crate) until: Time,
    /// Whether something came down since its attach.
    pub(crate) confirmed: bool,
    /// A fatal error that the gateway reported; its advice, and the end, follow.
    pub(crate) fault: Option<&'static str>,
    /// Whether that was the reply of a command: it is not said again, so what follows is no refusal of this client.
    pub(crate) is_answered: bool,
    /// Whether it moved the session: an item or an acknowledgement that was news.
    pub(crate) useful: bool,
    /// When it was asked for a sign of life, unless one came since.
    pub(crate) pinged: Option<Time>,
    /// When the first of the pings was said that have no answer: that measures the round trip. `Some(None)` where the
    /// network is another one since.
    pub(crate) asked: Option<Option<Time>>,
    /// Whether it has to show that it lives on another network than before.
    pub(crate) moved: bool,
    /// How often in a row it was asked while the same command had no reply.
    pub(crate) doubts: u32,
    pub(crate) poll: Option<Poll>,
    /// The appointment that its polls state until one is answered.
    pub(crate) slot: Option<Box<str>>,
    pub(crate) poll_not_before: Time,
    /// The last answer asked for another poll, so it proves nothing.
    pub(crate) retrying: bool,
    /// Polls in a row that were given up.
    pub(crate) late_polls: u32,
    /// Polls in a row that were hedged by another: each waits twice as long as the one before.
    pub(crate) hedged_polls: u32,
    /// Answers in a row that brought nothing though they came at once.
    pub(crate) idle_answers: u32,
    pub(crate) posts: Posts,
    /// A sign of life to ask for by a post.
    pub(crate) ping_by_post: bool,
    /// A nonce to answer by a post.
    pub(crate) pong: Option<Option<u64>>,
    /// L10: its `attach` still has to be confirmed by a post.
    pub(crate) attach_by_post: bool,
    /// Who waits for it to take over.
    pub(crate) migration: Option<Ticket>,
}

impl Link {
    pub(crate) fn new(via: Via, now: Time, until: Time) -> Self {
        Self {
            via,
            stage: Stage::Opening,
            carries: false,
            greeted: false,
            attach: None,
            stated: Stated::default(),
            name: 0,
            acked: 0,
            acked_bytes: 0,
            said: 0,
            since: now,
            heard: now,
            until,
            confirmed: false,
            fault: None,
            is_answered: false,
            useful: false,
            pinged: None,
            asked: None,
            moved: false,
            doubts: 0,
            poll: None,
            slot: None,
            poll_not_before: Time::ZERO,
            retrying: false,
            late_polls: 0,
            hedged_polls: 0,
            idle_answers: 0,
            posts: Posts::default(),
            ping_by_post: false,
            pong: None,
            attach_by_post: false,
            migration: None,
        }
    }

    pub(crate) fn is_attached(&self) -> bool {
        self.stage == Stage::Attached
    }

    pub(crate) fn is_duplex(&self) -> bool {
        self.via.is_duplex()
    }

    pub(crate) fn is_polling(&self) -> bool {
        self.via.transport == Transport::Polling
    }
}
