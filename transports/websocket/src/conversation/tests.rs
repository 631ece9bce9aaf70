use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
    task::Wake,
};

use bytes::BytesMut;

use super::*;

/// A socket that is always ready, and a client that says one frame for ever.
struct Endless {
    frame: &'static [u8],
    at: usize,
    moves: Arc<AtomicUsize>,
}

impl Endless {
    /// What no turn may come near.
    const TOO_MANY: usize = 100_000;

    fn count(&self) {
        let moves = self.moves.fetch_add(1, Ordering::Relaxed);
        assert!(moves < Self::TOO_MANY, "a turn without an end");
    }
}

impl AsyncRead for Endless {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.count();
        if self.frame.is_empty() {
            return Poll::Pending;
        }
        while buffer.remaining() > 0 {
            buffer.put_slice(&[self.frame[self.at]]);
            self.at = (self.at + 1) % self.frame.len();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Endless {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.count();
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A peer that has something to say for ever, or nothing.
struct Talker {
    talks: bool,
}

impl Peer for Talker {
    fn receive(&mut self, _message: &[u8]) {}

    fn refuse(&mut self, _fault: Fault) {}

    fn poll_transmit(&mut self, _: &mut Context<'_>, _: usize, buffer: &mut BytesMut) -> Poll<Transmit> {
        if !self.talks {
            return Poll::Pending;
        }
        buffer.extend_from_slice(b"and");
        Poll::Ready(Transmit::Message)
    }

    fn end(self, _reason: LinkEnd) {}
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Takes two turns; each has to end by itself, and to ask for the next.
fn yields(frame: &'static [u8], talks: bool) {
    let moves = Arc::new(AtomicUsize::new(0));
    let io = Endless { frame, at: 0, moves: Arc::clone(&moves) };
    let mut conversation = Conversation::begin(io, Talker { talks }, Codec::Json, Arc::default()).unwrap();
    let wakes = Arc::new(Wakes::default());
    let waker = Arc::clone(&wakes).into();
    for turn in 1..=2 {
        assert!(conversation.poll(&mut Context::from_waker(&waker)).is_pending());
        assert!(wakes.0.load(Ordering::Relaxed) >= turn, "nobody wakes the link that gave way");
        moves.store(0, Ordering::Relaxed);
    }
}

// Masked with zeros.
const PING: &[u8] = &[0x89, 0x80, 0, 0, 0, 0];
const TEXT: &[u8] = &[0x81, 0x82, 0, 0, 0, 0, b'h', b'i'];

#[test]
fn pings_without_end_do_not_starve_others() {
    yields(PING, false);
}

#[test]
fn messages_without_end_do_not_starve_others() {
    yields(TEXT, false);
}

#[test]
fn a_peer_that_talks_without_end_does_not_starve_others() {
    yields(b"", true);
}

#[test]
fn both_sides_without_end_do_not_starve_others() {
    yields(TEXT, true);
    yields(PING, true);
}
