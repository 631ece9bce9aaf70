//! The body of an open stream.

use std::{
    convert::Infallible,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame};
use throughline_link::{Advice, LinkEnd, Peer, Transmit, buffer::with_buffer};

use crate::{Form, block::Block};

/// The stream of events of one link: pulls from the peer when the connection can take more, and never fails.
/// Dropping it loses the peer.
#[derive(Debug)]
pub struct Events<P> {
    peer: Option<P>,
    form: Form,
    budget_bytes: usize,
    /// Whether no block was written yet.
    is_new: bool,
    /// What was pulled before the connection asked, for the head's sake.
    first: Bytes,
    /// Set once the peer has said its last.
    advice: Option<Advice>,
}

impl<P: Peer> Events<P> {
    pub(crate) const fn new(peer: P, form: Form, budget_bytes: usize) -> Self {
        Self { peer: Some(peer), form, budget_bytes, is_new: true, first: Bytes::new(), advice: None }
    }

    /// No event, and no peer.
    pub(crate) const fn none() -> Self {
        Self {
            peer: None,
            form: Form::Message,
            budget_bytes: 0,
            is_new: false,
            first: Bytes::new(),
            advice: None,
        }
    }

    /// Pulls the first message ahead of time.
    pub(crate) fn poll_first(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.first = ready!(self.poll_blocks(context));
        Poll::Ready(())
    }

    /// How the peer wants the stream to end, once it does.
    pub(crate) const fn advice(&self) -> Option<&Advice> {
        self.advice.as_ref()
    }

    /// Ends it without another event.
    pub(crate) fn end(&mut self) {
        self.first = Bytes::new();
        if let Some(peer) = self.peer.take() {
            peer.end(LinkEnd::Closed);
        }
    }

    /// The next message as blocks; nothing, where the last message is empty.
    fn poll_blocks(&mut self, context: &mut Context<'_>) -> Poll<Bytes> {
        let Some(peer) = &mut self.peer else { return Poll::Ready(Bytes::new()) };
        let has_tags = self.form == Form::Address;
        with_buffer(|buffer| {
            // The first block has an id and no data: a client that is cut before the first event comes back with it.
            if has_tags && self.is_new {
                let block = Block::begin(buffer);
                block.tag(buffer, peer);
                block.end(buffer);
                self.is_new = buffer.is_empty();
            }
            let block = Block::begin(buffer);
            block.data(buffer);
            let Poll::Ready(transmit) = peer.poll_transmit(context, self.budget_bytes, buffer) else {
                block.abandon(buffer);
                return if buffer.is_empty() { Poll::Pending } else { Poll::Ready(buffer.split().freeze()) };
            };
            self.is_new = false;
            block.cut(buffer);
            if has_tags {
                block.tag(buffer, peer);
            }
            if let Transmit::Close(advice) = transmit {
                block.retry(buffer, advice.retry_after_ms);
                self.advice = Some(advice);
            }
            block.end(buffer);
            Poll::Ready(buffer.split().freeze())
        })
    }
}

impl<P: Peer> Body for Events<P> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        loop {
            if !self.first.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(mem::take(&mut self.first)))));
            }
            if self.advice.is_some() {
                self.end();
            }
            if self.peer.is_none() {
                return Poll::Ready(None);
            }
            self.first = ready!(self.poll_blocks(context));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.peer.is_none() && self.first.is_empty()
    }
}
