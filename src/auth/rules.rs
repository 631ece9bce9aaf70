//! What users may do, by the namespace of a channel: what precedes its first `:`.
//!
//! A rule says who may, for each [`Action`]; a credential's [`Grants`] and a subscription's own token add to it. Asked
//! again whenever a session is rebuilt, so what was taken away ends there.

use std::{fmt, str::FromStr};

use throughline_wire::{ChannelName, ErrorCode, ReplyError, Token};

use super::jwt::Jwt;
use crate::{
    broker::Pending,
    gateway::{Action, Authorize, Grants, SendQuery, SubscribeQuery},
};

/// Lets users do what the rule of a channel's namespace says.
///
/// The gateway's own channels have no rules: `$user:ID` is heard by that user alone, the others by nobody.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    namespaces: Vec<(Box<str>, Namespace)>,
    others: Namespace,
    tokens: Option<Jwt>,
}

/// Who may do what in the channels of one namespace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Namespace {
    /// Who hears what is published. Default: users.
    pub subscribe: Who,
    /// Who may send. Default: whoever is granted it, since whatever is sent reaches everybody who listens.
    pub publish: Who,
    /// Who takes part in presence, and so sees the names of those who do. Default: whoever is granted it.
    pub presence: Who,
    /// Who may begin before now, with the last events or after a position. Default: users. Where one who hears a channel
    /// may not, a session that has to be rebuilt loses the channel, since it cannot go on without a gap.
    pub history: Who,
}

impl Default for Namespace {
    fn default() -> Self {
        Self { subscribe: Who::Users, publish: Who::Granted, presence: Who::Granted, history: Who::Users }
    }
}

/// Who may. Each but the first and the last includes whoever is granted it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Who {
    /// Nobody, whatever is granted.
    Nobody,
    /// Whoever is granted it, by their credential or by a subscription's token.
    Granted,
    /// The user whose id is what follows the namespace: `inbox:ann` is ann's.
    Owner,
    /// Every user: whoever is not anonymous.
    Users,
    /// Anyone, the anonymous included.
    Anyone,
}

impl Rules {
    /// One rule for each of these namespaces, and the [default](Namespace::default) for all others. `*` is the rule of
    /// all others, channels without a namespace included. Of two of one name the first counts.
    pub fn new<N: Into<Box<str>>>(namespaces: impl IntoIterator<Item = (N, Namespace)>) -> Self {
        let mut namespaces: Vec<(Box<str>, Namespace)> =
            namespaces.into_iter().map(|(name, rule)| (name.into(), rule)).collect();
        let others = namespaces.iter().position(|(name, _)| &**name == "*");
        let others = others.map_or_else(Namespace::default, |at| namespaces.remove(at).1);
        Self { namespaces, others, tokens: None }
    }

    /// Lets a subscription show a token of its own, signed by one of this one's keys.
    #[must_use]
    pub fn with_tokens(mut self, tokens: Jwt) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// Whether a subscription's token is one for it.
    async fn opens(&self, token: &Token, request: &SubscribeQuery<'_>) -> bool {
        match &self.tokens {
            Some(tokens) => tokens.opens(token.reveal(), request.channel, request.user).await,
            None => false,
        }
    }

    /// What the rules say. A token that is shown has been found to be one for it.
    fn allow_subscription(&self, request: &SubscribeQuery<'_>) -> Result<(), ReplyError> {
        let SubscribeQuery { user, channel, token, presence, history, grants } = *request;
        if channel.is_reserved() {
            let is_own = user.is_some() && channel.as_str().strip_prefix("$user:") == user;
            return if is_own { Ok(()) } else { Err(ErrorCode::Forbidden.into()) };
        }
        let shown = token.is_some();
        let wanted = [(Action::Subscribe, true), (Action::Presence, presence), (Action::History, history)];
        let refused = wanted
            .into_iter()
            .find(|&(action, is_wanted)| is_wanted && !self.allow(action, channel, user, grants, shown));
        refused.map_or(Ok(()), |(action, _)| Err(forbidden(action)))
    }

    fn allow_send(&self, request: &SendQuery<'_>) -> Result<(), ReplyError> {
        let SendQuery { user, channel, grants } = *request;
        if channel.is_reserved() {
            return Err(ErrorCode::ReservedChannel.into());
        }
        let is_allowed = self.allow(Action::Publish, channel, user, grants, false);
        if is_allowed { Ok(()) } else { Err(forbidden(Action::Publish)) }
    }

    fn allow(
        &self,
        action: Action,
        channel: &ChannelName,
        user: Option<&str>,
        grants: &Grants,
        shown: bool,
    ) -> bool {
        let (name, rest) = channel.as_str().split_once(':').unwrap_or(("", channel.as_str()));
        let rule = self.namespaces.iter().find(|(namespace, _)| **namespace == *name);
        let who = rule.map_or(self.others, |(_, rule)| *rule).who(action);
        let by_rule = match who {
            Who::Nobody => return false,
            Who::Granted => false,
            Who::Owner => !name.is_empty() && user == Some(rest),
            Who::Users => user.is_some(),
            Who::Anyone => true,
        };
        by_rule || shown || grants.allow(action, channel)
    }
}

impl Authorize for Rules {
    fn subscribe<'a>(&'a self, request: &'a SubscribeQuery<'a>) -> Pending<'a, Result<(), ReplyError>> {
        Box::pin(async move {
            if let Some(token) = request.token
                && !request.channel.is_reserved()
                && !self.opens(token, request).await
            {
                return Err(ErrorCode::Unauthorized.into()); // whoever shows a wrong one means to be let in by it
            }
            self.allow_subscription(request)
        })
    }

    fn send<'a>(&'a self, request: &'a SendQuery<'a>) -> Pending<'a, Result<(), ReplyError>> {
        Box::pin(std::future::ready(self.allow_send(request)))
    }
}

impl Namespace {
    const fn who(self, action: Action) -> Who {
        match action {
            Action::Subscribe => self.subscribe,
            Action::Publish => self.publish,
            Action::Presence => self.presence,
            Action::History => self.history,
        }
    }
}

impl Who {
    /// Everybody that a rule can name.
    pub const ALL: &[Self] = &[Self::Nobody, Self::Granted, Self::Owner, Self::Users, Self::Anyone];

    /// The word of a configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Granted => "granted",
            Self::Owner => "owner",
            Self::Users => "users",
            Self::Anyone => "anyone",
        }
    }
}

impl FromStr for Who {
    type Err = UnknownWho;

    fn from_str(word: &str) -> Result<Self, UnknownWho> {
        Self::ALL.iter().copied().find(|who| who.as_str() == word).ok_or(UnknownWho)
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is nobody a rule can name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("it is one of nobody, granted, owner, users, anyone")]
pub struct UnknownWho;

fn forbidden(action: Action) -> ReplyError {
    let message = format!("the user may not do this: {}", action.as_str());
    ReplyError { message: message.into(), ..ErrorCode::Forbidden.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(name: &str) -> ChannelName {
        ChannelName::parse(name).unwrap()
    }

    fn rules() -> Rules {
        let all = |who| Namespace { subscribe: who, publish: who, presence: who, history: who };
        let words = Who::ALL.iter().map(|who| (who.as_str(), all(*who)));
        Rules::new(words)
    }

    fn query<'a>(user: Option<&'a str>, channel: &'a ChannelName, grants: &'a Grants) -> SubscribeQuery<'a> {
        SubscribeQuery { user, channel, token: None, presence: false, history: false, grants }
    }

    #[test]
    fn each_rule_lets_in_whom_it_names_and_nobody_else() {
        let granted = Grants::new([("*", Action::ALL.to_vec())]).unwrap();
        let nothing = Grants::default();
        // The namespace; whether nobody, ann (whose the channel is), bob, and an anonymous one with grants may.
        let table = [
            ("nobody", [false, false, false, false]),
            ("granted", [false, false, false, true]),
            ("owner", [false, true, false, true]),
            ("users", [false, true, true, true]),
            ("anyone", [true, true, true, true]),
        ];
        for (namespace, expected) in table {
            let name = channel(&format!("{namespace}:ann"));
            let cases =
                [(None, &nothing), (Some("ann"), &nothing), (Some("bob"), &nothing), (None, &granted)];
            for ((user, grants), expected) in cases.into_iter().zip(expected) {
                let query = query(user, &name, grants);
                let heard = rules().allow_subscription(&query);
                assert_eq!(heard.is_ok(), expected, "subscribe, {namespace}, {user:?}");
                let everything = SubscribeQuery { presence: true, history: true, ..query };
                assert_eq!(
                    rules().allow_subscription(&everything).is_ok(),
                    expected,
                    "{namespace}, {user:?}"
                );
                let sent = rules().allow_send(&SendQuery { user, channel: &name, grants });
                assert_eq!(sent.is_ok(), expected, "send, {namespace}, {user:?}");
                if let Err(error) = heard {
                    assert_eq!((&*error.code, error.retryable), ("forbidden", false));
                }
            }
        }
    }

    #[test]
    fn each_action_has_its_own_rule() {
        let all = Namespace {
            subscribe: Who::Anyone,
            publish: Who::Anyone,
            presence: Who::Anyone,
            history: Who::Anyone,
        };
        let cases = [
            Namespace { subscribe: Who::Nobody, ..all },
            Namespace { publish: Who::Nobody, ..all },
            Namespace { presence: Who::Nobody, ..all },
            Namespace { history: Who::Nobody, ..all },
        ];
        let (name, grants) = (channel("news"), Grants::default());
        let expected = [
            [false, true, false, false], // nobody subscribes: neither with presence nor with history
            [true, false, true, true],
            [true, true, false, true],
            [true, true, true, false],
        ];
        for (rule, expected) in cases.into_iter().zip(expected) {
            let rules = Rules::new([("*", rule)]);
            let query = query(None, &name, &grants);
            let allowed = [
                rules.allow_subscription(&query).is_ok(),
                rules.allow_send(&SendQuery { user: None, channel: &name, grants: &grants }).is_ok(),
                rules.allow_subscription(&SubscribeQuery { presence: true, ..query.clone() }).is_ok(),
                rules.allow_subscription(&SubscribeQuery { history: true, ..query.clone() }).is_ok(),
            ];
            assert_eq!(allowed, expected, "{rule:?}");
        }
    }

    #[test]
    fn the_gateways_own_channels_are_heard_by_their_users_alone() {
        let granted = Grants::new([("*", Action::ALL.to_vec())]).unwrap();
        let all = Namespace { subscribe: Who::Anyone, publish: Who::Anyone, ..Namespace::default() };
        let rules = Rules::new([("*", all), ("$user", all)]);
        for (user, name, expected) in [
            (Some("ann"), "$user:ann", true),
            (Some("bob"), "$user:ann", false),
            (None, "$user:ann", false),
            (None, "$user:", false),
            (Some("ann"), "$health", false),
        ] {
            let name = channel(name);
            let heard = rules.allow_subscription(&query(user, &name, &granted));
            assert_eq!(heard.is_ok(), expected, "{name} {user:?}");
            assert!(rules.allow_send(&SendQuery { user, channel: &name, grants: &granted }).is_err());
        }
    }

    #[test]
    fn a_channel_without_a_namespace_belongs_to_the_others() {
        let rules = Rules::new([("news", Namespace { subscribe: Who::Nobody, ..Namespace::default() })]);
        let grants = Grants::default();
        assert!(rules.allow_subscription(&query(Some("ann"), &channel("news"), &grants)).is_ok());
        assert!(rules.allow_subscription(&query(Some("ann"), &channel("news:1"), &grants)).is_err());
    }
}
