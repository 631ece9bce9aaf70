//! Channels that the server gave a session: by the application's word, or since they are its user's own.
//!
//! The client did not ask for them and need not be allowed to: a rebuild takes them up again without asking, where the
//! client states a position from there, and else from now on. That lasts until either side ends the subscription.

use std::sync::Arc;

use throughline_wire::{ChannelName, ErrorCode, Positions, SubscribeFrom};

use super::Session;
use crate::channel::Channel;

/// A user's own channel, `$user:` and the user.
///
/// # Errors
/// [`ErrorCode::InvalidChannel`] where a user has none, whose name has what no channel's may.
pub fn user_channel(user: &str) -> Result<ChannelName, ErrorCode> {
    ChannelName::parse(&format!("$user:{user}"))
}

impl Session {
    /// Gives the session a channel; says whether it did not hold it. The client is told by `subscribed`, without a command.
    ///
    /// # Errors
    /// [`ErrorCode::TooManySubscriptions`]; [`ErrorCode::Overloaded`] while its client leaves too much unacknowledged;
    /// [`ErrorCode::SessionEnded`]. Nothing has changed then.
    pub fn assign(&mut self, channel: &Arc<Channel>, from: SubscribeFrom) -> Result<bool, ErrorCode> {
        if self.is_ended() {
            return Err(ErrorCode::SessionEnded);
        }
        let name = channel.name();
        let is_new = self.held(name).is_none();
        if is_new {
            if !self.has_room_for(name) {
                return Err(ErrorCode::TooManySubscriptions);
            }
            if self.pending.len() + self.journal.controls() as usize >= self.config.reserve_items {
                return Err(ErrorCode::Overloaded);
            }
            self.hold(channel, from, None, false);
        }
        self.note_assigned(name);
        Ok(is_new)
    }

    /// Whether the server gave it this channel, so that it is held whatever its user may.
    pub fn is_assigned(&self, channel: &ChannelName) -> bool {
        self.aside.as_ref().is_some_and(|aside| aside.assigned.contains(channel))
    }

    /// Asks for its user's own channel, where users have theirs.
    pub(super) fn ask_for_user_channel(&mut self, stated: Option<&Positions>) {
        let Some(user) = self.user.as_deref().filter(|_| self.config.user_channel) else { return };
        let Ok(channel) = user_channel(user) else { return };
        self.note_assigned(&channel);
        if stated.is_none_or(|stated| !stated.contains_key(&channel)) {
            self.ask(channel, SubscribeFrom::Now);
        }
    }

    /// Asks again for what the client stated no position in.
    pub(super) fn take_up_assigned(&mut self, stated: &Positions) {
        let assigned = self.aside.as_ref().map_or(&[][..], |aside| &aside.assigned);
        let unstated = assigned.iter().filter(|channel| !stated.contains_key(*channel));
        for channel in unstated.cloned().collect::<Vec<_>>() {
            self.ask(channel, SubscribeFrom::Now);
        }
    }

    pub(super) fn unassign(&mut self, channel: &ChannelName) {
        if let Some(aside) = &mut self.aside {
            aside.assigned.retain(|assigned| assigned != channel);
        }
    }

    fn note_assigned(&mut self, channel: &ChannelName) {
        if !self.is_assigned(channel) {
            self.aside().assigned.push(channel.clone());
        }
    }
}
