//! What the core wants done.

use throughline_wire::{ReplyError, Subscribed, UpFrame, frame::TransportOffer, item::Accepted};

use super::{
    names::{LinkKey, Ticket},
    negotiation::verdict::Verdict,
};
use crate::{config::Via, error::MigrateError};

/// One thing to do.
#[derive(Debug)]
pub(crate) enum Output {
    /// Open a link; on an event stream, say this first. A duplex link is opened and waits for its first
    /// [`Transmit`](Self::Transmit), a polling link for its first [`Poll`](Self::Poll). `offer` is what the gateway last
    /// said of the transport.
    Open { link: LinkKey, via: Via, offer: Option<TransportOffer>, hello: Vec<UpFrame> },
    /// Poll; gives an earlier poll of this link up.
    Poll { link: LinkKey, attach: u64, message: Vec<UpFrame> },
    /// Post beside a polling or an SSE link; gives an earlier post of this link up.
    Post { link: LinkKey, post: u64, message: Vec<UpFrame> },
    /// Say this on a duplex link.
    Transmit { link: LinkKey, message: Vec<UpFrame> },
    /// Say this on a duplex link, as a datagram where it has them; drop it where the link has enough to write.
    Volatile { link: LinkKey, message: Vec<UpFrame> },
    /// End a link: at once, or in peace after what was said on it is written.
    Close { link: LinkKey, in_peace: bool },
    /// Remember what worked with this gateway, or forget it.
    Remember(Option<Verdict>),
    /// Tell who waits.
    Settle { ticket: Ticket, outcome: Outcome },
}

/// What came of something that an application waits for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    Subscribed(Subscribed),
    Unsubscribed,
    Accepted(Accepted),
    Rejected(ReplyError),
    /// C6: sent, and its session is lost.
    Unknown,
    /// The client is closed.
    Closed,
    Migrated(Result<(), MigrateError>),
}
