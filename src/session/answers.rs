//! What the driver answers, of what the session [asked](super::Effect) of it: subscriptions that are had or refused, and the
//! replies of the application. The journal and the window say when a client hears of it.

use std::sync::Arc;

use throughline_wire::{
    ChannelName, ErrorCode, Item, Offset, Position, Reply, ReplyError, SubscribeFrom, Subscribed,
    Unsubscribed,
    frame::ErrorFrame,
    item::{Accepted, UnsubscribeReason},
};

use super::{Session, SubscribeRequest, Subscription, UnsubscribeRequest};
use crate::channel::Channel;

impl Session {
    /// A subscription is authorised and its channel open: holds the channel from where it was asked for.
    pub fn subscribe(&mut self, request: &SubscribeRequest, channel: &Arc<Channel>) {
        if self.settle(request.incarnation) {
            self.hold_channel(request, channel);
            self.take_ahead();
        }
    }

    fn hold_channel(&mut self, request: &SubscribeRequest, channel: &Arc<Channel>) {
        let command = request.command;
        if let Some(held) = self.held(&request.channel) {
            // A channel that is held already: its present place; to rewind, unsubscribe first.
            if let Err(code) = self.change_presence(request, channel) {
                return self.refuse(request, code.into());
            }
            let position = self.subscriptions[held].cursor;
            let channel = request.channel.clone();
            self.push_item(Item::Subscribed(Subscribed { channel, command, position, recovered: true }));
            return;
        }
        if !self.has_room_for(&request.channel) {
            self.refuse(request, ErrorCode::TooManySubscriptions.into());
            return;
        }
        if let Err(code) = self.change_presence(request, channel) {
            return self.refuse(request, code.into());
        }
        // L13: stated before the last rebuild, by a client that has come further since and cannot say how far.
        let is_stale = command.is_none() && request.incarnation != self.incarnation;
        self.hold(channel, request.from, command, is_stale);
    }

    /// Holds a channel that it did not hold.
    pub(super) fn hold(
        &mut self,
        channel: &Arc<Channel>,
        from: SubscribeFrom,
        command: Option<u64>,
        is_stale: bool,
    ) {
        let mut held = Subscription::new(
            Arc::clone(channel),
            Arc::clone(&self.listener),
            self.config.slow.of(channel.name()),
        );
        let recovered = {
            let log = channel.log();
            held.cursor = match from {
                SubscribeFrom::Now => log.head(),
                SubscribeFrom::Last(count) => last(&log, count),
                SubscribeFrom::Position(_) if is_stale => log.head(),
                SubscribeFrom::Position(position) => position,
            };
            held.gap(&log).is_none() && !is_stale
        };
        let position = held.cursor;
        let name = channel.name().clone();
        if self.subscriptions.is_empty() {
            self.subscriptions.reserve_exact(1); // many sessions hold one channel
        }
        self.subscriptions.push(held);
        self.push_item(Item::Subscribed(Subscribed { channel: name.clone(), command, position, recovered }));
        if is_stale {
            self.tell_unknown(name, position);
        }
    }

    fn change_presence(
        &mut self,
        request: &SubscribeRequest,
        channel: &Arc<Channel>,
    ) -> Result<(), ErrorCode> {
        if request.presence {
            return self.join_presence(channel);
        }
        self.leave_presence(&request.channel);
        Ok(())
    }

    /// A subscription may not be had.
    fn refuse(&mut self, request: &SubscribeRequest, error: ReplyError) {
        if !self.still_means(request.incarnation) {
            return;
        }
        match request.command {
            Some(command) => self.push_item(Item::Reply(Reply { command, result: Err(error) })),
            None => {
                // Asked for more than once, it may be held by an earlier answer: the last one counts.
                if let Some(held) = self.held(&request.channel) {
                    self.drop_subscription(held);
                }
                self.leave_presence(&request.channel);
                self.unassign(&request.channel);
                self.push_item(taken_away(&request.channel));
                self.explain(&error);
            }
        }
    }

    /// Tells a client that sent no command, and so gets no reply, why a channel that its address named is refused.
    fn explain(&mut self, error: &ReplyError) {
        if let Some(link) = self.active_link().filter(|link| link.spec.kind.is_plain()) {
            let (id, code) = (link.id, ErrorCode::parse(&error.code));
            self.report(id, ErrorFrame { code, message: error.message.clone(), command: None, fatal: false });
        }
    }

    /// A subscription is refused by whoever authorises, or its channel cannot be opened.
    pub fn refuse_subscription(&mut self, request: &SubscribeRequest, error: ReplyError) {
        if self.settle(request.incarnation) {
            self.refuse(request, error);
            self.take_ahead();
        }
    }

    /// A subscription is to end, after all that was asked for before it about its channel.
    pub fn unsubscribe(&mut self, request: &UnsubscribeRequest) {
        if self.settle(request.incarnation) {
            self.leave_channel(request);
            self.take_ahead();
        }
    }

    fn leave_channel(&mut self, request: &UnsubscribeRequest) {
        let command = request.command;
        let Some(held) = self.held(&request.channel) else {
            self.leave_presence(&request.channel); // P8: it may be listed still
            let result = Err(ErrorCode::NotSubscribed.into());
            self.push_item(Item::Reply(Reply { command, result }));
            return;
        };
        self.drop_subscription(held);
        let (channel, reason) = (request.channel.clone(), UnsubscribeReason::Requested);
        self.push_item(Item::Unsubscribed(Unsubscribed { channel, command: Some(command), reason }));
    }

    /// Takes a channel away; says whether it was held. Nothing happens where it is not.
    pub fn revoke(&mut self, channel: &ChannelName) -> bool {
        self.unassign(channel); // a rebuild that asks for it again may be under way
        let Some(held) = self.held(channel) else { return false };
        self.drop_subscription(held);
        self.push_item(taken_away(channel));
        true
    }

    /// The application has answered a `send`.
    pub fn reply(&mut self, command: u64, result: SendResult) {
        if !self.commands.sending.remove(&command) || self.is_ended() {
            return;
        }
        let reply = Reply { command, result };
        if command > self.commands.received {
            // C2: this incarnation has not taken the command yet
            self.commands.answered.push(reply);
            self.commands.bound_answered(self.config.reserve_items);
        } else {
            self.push_item(Item::Reply(reply));
        }
        self.take_ahead();
    }

    /// Whether a subscription that was asked for in `incarnation` is still wanted: a rebuild from stated positions asks
    /// again for all that is.
    fn still_means(&self, incarnation: u64) -> bool {
        incarnation >= self.commands.asked_since && !self.is_ended()
    }

    /// Books the end of an effect; says whether it still means anything.
    fn settle(&mut self, incarnation: u64) -> bool {
        if !self.still_means(incarnation) {
            return false;
        }
        self.commands.subscribing = self.commands.subscribing.saturating_sub(1);
        true
    }

    pub(super) fn has_room_for(&self, channel: &ChannelName) -> bool {
        (self.subscriptions.len() as u64) < self.config.limits.subscriptions || self.held(channel).is_some()
    }

    pub(super) fn held(&self, channel: &ChannelName) -> Option<usize> {
        self.subscriptions.iter().position(|held| held.channel.name() == channel)
    }

    fn drop_subscription(&mut self, index: usize) {
        let dropped = self.subscriptions.remove(index);
        self.leave_presence(dropped.channel.name());
        self.unassign(dropped.channel.name());
        self.subscriptions.shrink_to_fit();
        self.scan_from = 0;
    }
}

/// The result of a `send`, as the application gives it.
pub type SendResult = Result<Accepted, ReplyError>;

/// The item that says that the server took a channel away.
pub(super) fn taken_away(channel: &ChannelName) -> Item {
    let reason = UnsubscribeReason::Revoked;
    Item::Unsubscribed(Unsubscribed { channel: channel.clone(), command: None, reason })
}

/// The place before the last so many events that are held.
fn last(log: &crate::channel::Log, count: u32) -> Position {
    let head = log.head();
    let first = head.offset.get().saturating_sub(u64::from(count)).max(log.base().get());
    Position { epoch: head.epoch, offset: Offset::new(first).unwrap_or(head.offset) }
}
