//! What a credential lets its owner do beyond what everybody may: channels, and what may be done in each.

use std::sync::Arc;

use throughline_wire::ChannelName;

/// Something that can be done with a channel, and that not everybody may.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Action {
    /// Hear what is published from now on.
    Subscribe,
    /// Send to it.
    Publish,
    /// Take part in its presence, and so see who else does.
    Presence,
    /// Read what was published before: the last events, or those after a position.
    History,
}

impl Action {
    /// Every action.
    pub const ALL: &[Self] = &[Self::Subscribe, Self::Publish, Self::Presence, Self::History];

    /// The action that is called so: `subscribe`, `publish`, `presence` or `history`.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|action| action.as_str() == word)
    }

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
            Self::Presence => "presence",
            Self::History => "history",
        }
    }
}

/// What one credential grants: at most 64 patterns of channels, each with its actions. Cloning shares them.
///
/// A pattern is the name of a channel, `room:7`; or all of a namespace, `room:*`; or `*`, every channel but those that
/// are the gateway's own.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Grants(Arc<[Grant]>);

#[derive(Clone, PartialEq, Eq, Debug)]
struct Grant {
    pattern: Box<str>,
    actions: Box<[Action]>,
}

impl Grants {
    /// The most patterns of one credential.
    pub const MAX: usize = 64;

    /// Grants these actions on the channels of these patterns.
    ///
    /// # Errors
    /// What is wrong with them, in words that repeat nothing of them.
    pub fn new<P, A>(grants: impl IntoIterator<Item = (P, A)>) -> Result<Self, &'static str>
    where
        P: Into<Box<str>>,
        A: IntoIterator<Item = Action>,
    {
        let mut held = Vec::new();
        for (pattern, actions) in grants {
            let pattern = pattern.into();
            let name = pattern.strip_suffix(":*").unwrap_or(&pattern);
            if &*pattern != "*" && ChannelName::parse(name).is_err() {
                return Err("a grant's pattern is neither a channel's name, nor `namespace:*`, nor `*`");
            }
            if held.len() == Self::MAX {
                return Err("it grants more than 64 patterns");
            }
            held.push(Grant { pattern, actions: actions.into_iter().collect() });
        }
        Ok(Self(held.into()))
    }

    /// The patterns, and what is granted by each.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &[Action])> {
        self.0.iter().map(|grant| (&*grant.pattern, &*grant.actions))
    }

    /// Whether an action on a channel is among them.
    pub fn allow(&self, action: Action, channel: &ChannelName) -> bool {
        self.0.iter().any(|grant| grant.actions.contains(&action) && matches(&grant.pattern, channel))
    }
}

fn matches(pattern: &str, channel: &ChannelName) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => channel.as_str().starts_with(start) && !channel.is_reserved(),
        None => channel.as_str() == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(name: &str) -> ChannelName {
        ChannelName::parse(name).unwrap()
    }

    #[test]
    fn a_pattern_means_a_channel_a_namespace_or_all() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            ("room:7", &["room:7"], &["room:70", "room", "room:7:x"]),
            ("room:*", &["room:7", "room:7:x"], &["room", "rooms:7"]),
            ("room:7:*", &["room:7:x"], &["room:7", "room:8:x"]),
            ("*", &["room:7", "news"], &["$user:ann"]),
        ];
        for (pattern, meant, others) in cases {
            let grants = Grants::new([(*pattern, [Action::Publish])]).unwrap();
            for name in *meant {
                assert!(grants.allow(Action::Publish, &channel(name)), "{pattern} means {name}");
                assert!(
                    !grants.allow(Action::Subscribe, &channel(name)),
                    "{pattern}: nothing else is granted"
                );
            }
            for name in *others {
                assert!(!grants.allow(Action::Publish, &channel(name)), "{pattern} does not mean {name}");
            }
        }
        assert!(!Grants::default().allow(Action::Publish, &channel("news")));
    }

    #[test]
    fn what_is_no_pattern_and_one_too_many_are_refused() {
        for pattern in ["", "room*", "room:**", "*:7", "a b", "*:*"] {
            assert!(Grants::new([(pattern, [Action::Publish])]).is_err(), "{pattern}");
        }
        let many = |count: usize| Grants::new((0..count).map(|n| (format!("room:{n}"), [Action::Publish])));
        assert!(many(64).is_ok());
        assert!(many(65).is_err());
    }
}
