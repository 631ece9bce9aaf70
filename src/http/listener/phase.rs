//! Where a connection of HTTP/1.1 is, from one request to the next.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

/// Where a connection is, with a count that rises with every change.
#[derive(Debug, Default)]
pub(super) struct Phase(AtomicU64);

/// Between requests.
pub(super) const IDLE: u64 = 0;
/// Within the head of a request.
pub(super) const HEAD: u64 = 1;
/// A request is being answered, and its body not read to the end.
pub(super) const BODY: u64 = 2;
/// A request is being answered; what that may take is the transport's to say.
pub(super) const BUSY: u64 = 3;
/// It speaks another protocol now.
pub(super) const GIVEN_AWAY: u64 = 4;

/// The bits of the phase; the others count.
const PHASE: u64 = 7;

/// The phase of a look.
pub(super) const fn phase_of(look: u64) -> u64 {
    look & PHASE
}

impl Phase {
    pub(super) fn enter(&self, phase: u64) {
        self.change(|now| (now != GIVEN_AWAY).then_some(phase));
    }

    /// The body of the request was read to its end; nothing where it was answered before.
    fn body_ended(&self) {
        self.change(|now| (now == BODY).then_some(BUSY));
    }

    pub(super) fn look(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    fn change(&self, next: impl Fn(u64) -> Option<u64>) {
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |look| {
            next(phase_of(look)).map(|next| ((look | PHASE) + 1) | next)
        });
    }
}

/// The body of a request, as it comes in.
#[derive(Debug)]
pub struct RequestBody {
    incoming: Incoming,
    /// Told when it was read to its end.
    phase: Option<Arc<Phase>>,
}

impl RequestBody {
    /// The body of a request that has its connection for itself until it is answered.
    pub(super) fn of(incoming: Incoming, phase: Arc<Phase>) -> Self {
        phase.enter(if incoming.is_end_stream() { BUSY } else { BODY });
        Self { incoming, phase: Some(phase) }
    }
}

#[cfg(feature = "tls")]
impl From<Incoming> for RequestBody {
    /// The body of a request among others.
    fn from(incoming: Incoming) -> Self {
        Self { incoming, phase: None }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let frame = ready!(Pin::new(&mut this.incoming).poll_frame(context));
        if let Some(phase) = this.phase.take_if(|_| frame.is_none() || this.incoming.is_end_stream()) {
            phase.body_ended();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
