//! What a session gets of a channel in which it fell behind, by the namespace of the channel.
//!
//! A session is behind where more waits for it in a channel than one message carries. That is looked at when its link
//! pulls, before anything gets a number (L14): what is numbered stays, and what waits costs nothing, so there is no queue
//! to cut. Whatever is left out is told by a gap, exactly.

use std::{fmt, str::FromStr, sync::Arc};

use throughline_wire::{ChannelName, GapReason, Offset};

use crate::channel::Log;

/// What becomes of the events that a session is behind by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum SlowPolicy {
    /// It gets them all, for as long as the log holds them.
    #[default]
    Replay,
    /// It gets the newest of each key, and a gap in place of those before. Events without a key are of one key: that of
    /// the channel.
    Latest,
    /// It gets the newest, behind a gap.
    Gap,
}

/// A policy, and when it counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlowRule {
    /// What a session that is behind gets.
    pub policy: SlowPolicy,
    /// How many unsent events of a channel a session may have before it is behind. Fewer is fresher; a burst of more
    /// is cut short for everybody, however fast. Default: 256, the most that one message carries.
    pub events: u64,
    /// How many bytes of payload they may have, unless there is one alone. Default: 64 KiB, what one message carries.
    pub bytes: u64,
}

impl SlowRule {
    /// A policy at the default bounds.
    pub const fn new(policy: SlowPolicy) -> Self {
        Self { policy, events: 256, bytes: 64 * 1_024 }
    }

    /// Whether whoever has everything up to `cursor`, which the log still holds, is behind.
    fn is_behind(&self, log: &Log, cursor: Offset) -> bool {
        let unsent = log.head().offset.events_since(cursor);
        unsent > self.events
            || unsent > 1 && self.bytes < log.after(cursor).map(|(_, entry)| entry.payload_bytes()).sum()
    }
}

/// A rule for each namespace, what precedes the first `:` of a channel. Default: everything is replayed.
///
/// The gateway's own channels, which begin with `$`, are always replayed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SlowRules {
    namespaces: Vec<(Box<str>, Option<Arc<SlowRule>>)>,
    others: Option<Arc<SlowRule>>,
}

impl SlowRules {
    /// One rule for each of these namespaces; `*` is all others, channels without a namespace included. Of two of one name
    /// the first counts.
    pub fn new<N: Into<Box<str>>>(rules: impl IntoIterator<Item = (N, SlowRule)>) -> Self {
        let shared = |rule: SlowRule| (rule.policy != SlowPolicy::Replay).then(|| Arc::new(rule));
        let mut namespaces: Vec<(Box<str>, _)> =
            rules.into_iter().map(|(name, rule)| (name.into(), shared(rule))).collect();
        let others = namespaces.iter().position(|(name, _)| &**name == "*");
        let others = others.and_then(|at| namespaces.remove(at).1);
        Self { namespaces, others }
    }

    /// The rule of a channel; none where everything is replayed.
    pub(super) fn of(&self, channel: &ChannelName) -> Option<Arc<SlowRule>> {
        if channel.is_reserved() {
            return None;
        }
        let named = self.namespaces.iter().find(|(namespace, _)| **namespace == *channel.namespace());
        named.map_or(&self.others, |(_, rule)| rule).clone()
    }
}

/// What a session that fell behind still gets.
#[derive(Debug)]
pub(super) struct Kept {
    /// The places of these events, rising.
    pub(super) offsets: Vec<Offset>,
    /// Why the others are left out.
    pub(super) reason: GapReason,
}

impl Kept {
    /// What is kept by `rule` of what a log holds after a cursor. Who `is_conflating` began to leave out earlier events, and
    /// goes on with it until it has caught up.
    pub(super) fn by(rule: &SlowRule, log: &Log, cursor: Offset, is_conflating: bool) -> Option<Self> {
        if !is_conflating && !rule.is_behind(log, cursor) {
            return None;
        }
        match rule.policy {
            SlowPolicy::Replay => None,
            SlowPolicy::Latest => {
                Some(Self { offsets: log.latest_after(cursor), reason: GapReason::Conflated })
            }
            SlowPolicy::Gap => Some(Self { offsets: vec![log.head().offset], reason: GapReason::Overflow }),
        }
    }
}

impl SlowPolicy {
    /// Every policy.
    pub const ALL: &[Self] = &[Self::Replay, Self::Latest, Self::Gap];

    /// The word of a configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Latest => "latest",
            Self::Gap => "gap",
        }
    }
}

impl fmt::Display for SlowPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SlowPolicy {
    type Err = UnknownPolicy;

    fn from_str(word: &str) -> Result<Self, UnknownPolicy> {
        Self::ALL.iter().copied().find(|policy| policy.as_str() == word).ok_or(UnknownPolicy)
    }
}

/// A word that is no policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("it is one of replay, latest, gap")]
pub struct UnknownPolicy;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_has_its_rule_and_the_gateways_own_channels_have_none() {
        let of = |rules: &SlowRules, channel: &str| {
            rules.of(&ChannelName::parse(channel).unwrap()).map_or(SlowPolicy::Replay, |rule| rule.policy)
        };
        let [replay, latest, gap] =
            [SlowPolicy::Replay, SlowPolicy::Latest, SlowPolicy::Gap].map(SlowRule::new);
        let rules = SlowRules::new([("price", latest), ("log", replay), ("*", gap)]);
        for (channel, policy) in [
            ("price:eur", SlowPolicy::Latest),
            ("price", SlowPolicy::Gap), // it has no namespace
            ("log:a", SlowPolicy::Replay),
            ("prices:eur", SlowPolicy::Gap),
            ("$user:ann", SlowPolicy::Replay),
        ] {
            assert_eq!(of(&rules, channel), policy, "{channel}");
        }
        assert_eq!(of(&SlowRules::default(), "price:eur"), SlowPolicy::Replay);
    }

    #[test]
    fn a_policy_is_read_as_it_is_written() {
        for policy in SlowPolicy::ALL {
            assert_eq!(policy.to_string().parse(), Ok(*policy));
        }
        assert_eq!("newest".parse::<SlowPolicy>(), Err(UnknownPolicy));
    }
}
