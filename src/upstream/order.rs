//! In which order intents are handled, by the namespace of their channel.

use std::str::FromStr;

use throughline_wire::ChannelName;

/// What waits for what.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Order {
    /// What one session says about one channel comes one at a time.
    #[default]
    Session,
    /// What all sessions say about one channel comes one at a time. Kept by a
    /// [webhook](crate::upstream::webhook); for any other handler it is [`Session`](Self::Session).
    Channel,
    /// Nothing waits.
    None,
}

/// An order for each namespace, what precedes the first `:` of a channel. Default: by session.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Orders {
    namespaces: Vec<(Box<str>, Order)>,
    others: Order,
}

/// A rule that is none.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{0:?} is no rule like \"game=channel\": a namespace, or * for all others, and one of session, channel, none"
)]
pub struct OrderError(String);

impl Orders {
    /// Reads rules: `game=channel`, `*=none`. Of two about one namespace the first counts.
    ///
    /// # Errors
    /// The first that is none.
    pub fn parse<'a>(rules: impl IntoIterator<Item = &'a str>) -> Result<Self, OrderError> {
        let mut orders = Self::default();
        for rule in rules {
            let parts =
                rule.split_once('=').map(|(namespace, order)| (namespace.trim(), order.trim().parse()));
            match parts {
                Some(("*", Ok(order))) => orders.others = order,
                Some((namespace, Ok(order))) if !namespace.is_empty() && !namespace.contains(':') => {
                    orders.namespaces.push((namespace.into(), order));
                }
                _ => return Err(OrderError(rule.into())),
            }
        }
        Ok(orders)
    }

    /// The order of what is said about a channel.
    pub fn of(&self, channel: &ChannelName) -> Order {
        let named = self.namespaces.iter().find(|(namespace, _)| **namespace == *channel.namespace());
        named.map_or(self.others, |(_, order)| *order)
    }
}

impl FromStr for Order {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "session" => Ok(Self::Session),
            "channel" => Ok(Self::Channel),
            "none" => Ok(Self::None),
            _ => Err(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_has_its_order_and_all_others_theirs() {
        let of = |orders: &Orders, channel: &str| orders.of(&ChannelName::parse(channel).unwrap());
        let orders = Orders::parse(["game=channel", "*=none", "chat = session"]).unwrap();
        for (channel, order) in [
            ("game:1", Order::Channel),
            ("chat:a:b", Order::Session),
            ("games:1", Order::None),
            ("game", Order::None),
        ] {
            assert_eq!(of(&orders, channel), order, "{channel}");
        }
        assert_eq!(of(&Orders::default(), "game:1"), Order::Session);
        for rule in ["game", "game=", "=channel", "game:1=channel", "game=channels"] {
            assert_eq!(Orders::parse([rule]), Err(OrderError(rule.into())));
        }
    }
}
