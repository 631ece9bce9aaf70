//! The buffer that messages are written into: one per thread, shared by all links that run on it.
//!
//! A link at rest owns no buffer. A message is written into the thread's, split off, and handed to the transport;
//! once that has let go of it, its space is used again without a new allocation. A link that holds on to a message
//! keeps the block that it lies in (64 KiB, more after a larger message).

use std::{
    cell::RefCell,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};

use crate::{Peer, Transmit};

thread_local! {
    static BUFFER: RefCell<BytesMut> = RefCell::new(BytesMut::with_capacity(BLOCK_BYTES));
}

/// As much as a usual budget.
const BLOCK_BYTES: usize = 64 * 1024;

/// Asks the peer for its next message, in the thread's buffer ([`Peer::poll_transmit`]).
pub fn poll_message<P: Peer>(
    peer: &mut P,
    context: &mut Context<'_>,
    budget_bytes: usize,
) -> Poll<(Transmit, Bytes)> {
    with_buffer(|buffer| {
        let transmit = peer.poll_transmit(context, budget_bytes, buffer);
        let message = buffer.split().freeze();
        transmit.map(|transmit| (transmit, message))
    })
}

/// Lends the thread's buffer, empty. What is left in it is cleared.
///
/// # Panics
/// When it is lent already: `write` must not come back here.
pub fn with_buffer<R>(write: impl FnOnce(&mut BytesMut) -> R) -> R {
    BUFFER.with_borrow_mut(|buffer| {
        buffer.clear();
        write(buffer)
    })
}
