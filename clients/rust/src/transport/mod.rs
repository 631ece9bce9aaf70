//! Transports: each moves messages between the driver and the gateway, and knows nothing of sessions.
//!
//! A link is one task ([`open`]). The driver tells it what to say ([`Say`]); it reports what came ([`Report`]). Dropping
//! a [`LinkTask`] cuts the link hard: its connections are gone without a goodbye.

pub(crate) mod dial;
mod event_stream;
mod http;
mod negotiate;
mod polling;
pub(crate) mod proxy;
mod sse;
#[cfg(test)]
mod testing;
pub(crate) mod tls;
mod websocket;
mod webtransport;

use std::{io, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use throughline_wire::{AttemptOutcome, Codec, DecodeLimits, DownFrame, UpFrame, frame::TransportOffer};
use tokio::{sync::mpsc, task::AbortHandle};

use crate::{
    address::{Address, Target},
    config::{Transport, Via},
    core::{names::LinkKey, session::End},
};
use dial::{Connection, Dial, Dialing};
use tls::Trust;

/// What all links of a client share.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) address: Address,
    pub(crate) dial: Arc<dyn Dial>,
    pub(crate) trust: Trust,
    pub(crate) connect: Duration,
    pub(crate) limits: DecodeLimits,
}

impl Network {
    /// Where a transport is.
    fn target(&self, transport: Transport, offer: Option<&TransportOffer>) -> Result<Target, End> {
        self.address.resolve(transport, offer).map_err(|error| failed(AttemptOutcome::Refused, error))
    }

    /// A new connection, over TLS where the target wants it, or how the attempt ended, within the time that one may
    /// take.
    async fn connect(&self, target: &Target) -> Result<Box<dyn Connection>, End> {
        self.connect_by(target, self.dial.dial(&target.host, target.port)).await
    }

    async fn connect_by(&self, target: &Target, dialing: Dialing<'_>) -> Result<Box<dyn Connection>, End> {
        let mut stands = false;
        let connecting = async {
            let connection = dialing.await?;
            stands = true;
            if target.secure { self.trust.secure(&target.host, connection).await } else { Ok(connection) }
        };
        match tokio::time::timeout(self.connect, connecting).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(not_connected(target, &error)),
            Err(_) if stands => {
                Err(failed(AttemptOutcome::Hung, format!("{target} did not answer the TLS handshake")))
            }
            Err(_) => Err(failed(AttemptOutcome::Blocked, format!("{target} did not answer"))),
        }
    }
}

/// How an attempt ended that came no further.
fn failed(outcome: AttemptOutcome, reason: impl std::fmt::Display) -> End {
    End::Failed { outcome, reason: reason.to_string().into() }
}

/// How an attempt ended whose connection does not stand.
fn not_connected(target: &Target, error: &io::Error) -> End {
    use io::ErrorKind as Kind;
    let outcome = match error.kind() {
        // A no is an answer: nobody listens, a proxy will not, a certificate is not trusted.
        Kind::ConnectionRefused | Kind::ConnectionReset | Kind::PermissionDenied | Kind::InvalidData => {
            AttemptOutcome::Refused
        }
        Kind::Unsupported => AttemptOutcome::Unsupported,
        Kind::UnexpectedEof | Kind::BrokenPipe | Kind::ConnectionAborted => AttemptOutcome::Lost,
        _ => AttemptOutcome::Blocked,
    };
    failed(outcome, format!("{target}: {error}"))
}

/// What a link is told to say.
#[derive(Debug)]
pub(crate) enum Say {
    /// On a duplex link.
    Message(Bytes),
    /// One frame that may be lost, on a duplex link: as a datagram where it fits into one, else as a message.
    #[cfg_attr(not(test), allow(dead_code, reason = "the core has nothing to say yet that may be lost"))]
    Datagram(Bytes),
    /// Polls, in place of the poll before.
    Poll { attach: u64, message: Bytes },
    /// Posts, in place of the post before.
    Post { post: u64, message: Bytes },
    /// Ends in peace after what was said.
    Goodbye,
}

/// What a link has seen.
#[derive(Debug)]
pub(crate) enum Report {
    /// A stream stands: its handshake is done, and what it is told to say goes out.
    Opened,
    /// Frames came down a stream.
    Frames(Vec<DownFrame>),
    /// A stream showed that it lives.
    SignOfLife,
    /// A poll is answered.
    Answer { attach: u64, frames: Vec<DownFrame> },
    /// A post is answered, or failed.
    Post { post: u64, answer: Result<Vec<DownFrame>, Box<str>> },
    /// It is over. Nothing follows.
    Ended(End),
}

/// Where a link reports to.
#[derive(Clone, Debug)]
pub(crate) struct Reporter {
    link: LinkKey,
    reports: mpsc::Sender<(LinkKey, Report)>,
}

impl Reporter {
    /// Waits while the driver has enough to do, so that a connection is read no faster than it is handled.
    async fn report(&self, report: Report) {
        // A driver that is gone has dropped this task.
        let _ = self.reports.send((self.link, report)).await;
    }
}

/// A link that runs. Dropping it cuts the link.
#[derive(Debug)]
pub(crate) struct LinkTask {
    pub(crate) via: Via,
    say: mpsc::Sender<Say>,
    task: AbortHandle,
}

/// How many things a link may have to say before it counts as stuck.
const SAY_QUEUE: usize = 1_024;

/// How much may wait to be said before what may be lost is dropped.
const WHISPERS: usize = 16;

impl LinkTask {
    /// Says something. Returns whether the link can take it. One that has ended takes it for nothing: why it ended, and
    /// what the gateway said last, is on the way.
    pub(crate) fn say(&self, say: Say) -> bool {
        !matches!(self.say.try_send(say), Err(mpsc::error::TrySendError::Full(_)))
    }

    /// Says something that may be lost: it is, where the link has enough to say.
    pub(crate) fn whisper(&self, say: Say) {
        if self.say.max_capacity() - self.say.capacity() < WHISPERS {
            let _ = self.say.try_send(say);
        }
    }
}

impl Drop for LinkTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Opens a link; `hello` is what a stream says first, and may be empty on one that is duplex. `offer` is what the
/// gateway last said of the transport: where it is, and which certificates to accept.
pub(crate) fn open(
    network: &Arc<Network>,
    reports: &mpsc::Sender<(LinkKey, Report)>,
    link: LinkKey,
    via: Via,
    offer: Option<TransportOffer>,
    hello: Bytes,
) -> LinkTask {
    let (say, sayings) = mpsc::channel(SAY_QUEUE);
    let reporter = Reporter { link, reports: reports.clone() };
    let network = Arc::clone(network);
    let codec = via.codec;
    let task = match via.transport {
        Transport::WebSocket => tokio::spawn(websocket::run(network, codec, offer, hello, sayings, reporter)),
        Transport::Polling => tokio::spawn(polling::run(network, codec, offer, sayings, reporter)),
        Transport::Sse => tokio::spawn(sse::run(network, offer, hello, sayings, reporter)),
        Transport::WebTransport => {
            tokio::spawn(webtransport::run(network, codec, offer, hello, sayings, reporter))
        }
    };
    LinkTask { via, say, task: task.abort_handle() }
}

/// A message of these frames.
pub(crate) fn encode(codec: Codec, frames: &[UpFrame]) -> Bytes {
    let mut buffer = BytesMut::new();
    for frame in frames {
        codec.encode_up(frame, &mut buffer);
    }
    buffer.freeze()
}

/// The frames of a message, and what is wrong with the first that cannot be read.
fn decode(codec: Codec, message: &[u8], limits: DecodeLimits) -> (Vec<DownFrame>, Option<Box<str>>) {
    let mut frames = Vec::new();
    for frame in codec.down_frames(message, limits) {
        match frame {
            Ok(frame) => frames.push(frame),
            Err(error) => return (frames, Some(error.to_string().into())),
        }
    }
    (frames, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_link_that_has_ended_is_not_stuck_and_one_that_takes_nothing_is() {
        let (say, sayings) = mpsc::channel(1);
        let via = Via::json(Transport::WebSocket);
        let link = LinkTask { via, say, task: tokio::spawn(async {}).abort_handle() };
        assert!(link.say(Say::Goodbye) && !link.say(Say::Goodbye));
        drop(sayings);
        assert!(link.say(Say::Goodbye), "its end is on the way");
    }
}
