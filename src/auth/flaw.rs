//! What can be wrong with a token.

/// What is wrong with a token, for the log: a client hears `unauthorized`. None of it repeats the token.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Flaw {
    #[error("there is no token")]
    Missing,
    #[error("it is longer than 8,192 bytes")]
    TooLong,
    #[error("it is not a JSON web token")]
    NotAToken,
    #[error("its header has `crit`, and nothing of that kind is understood")]
    Critical,
    #[error("no key has the id that it names")]
    UnknownKey,
    #[error("no key has the id that it names, and none is published under it")]
    Unpublished,
    #[error("the keys that it could be of are published elsewhere, and cannot be had")]
    NoKeys,
    #[error("its algorithm is not that of a key that it may be of")]
    OtherAlgorithm,
    #[error("its signature is not that of a key that it may be of")]
    Forged,
    #[error("a time in it is not a number of seconds")]
    Time,
    #[error("it has expired")]
    Expired,
    #[error("it does not say when it expires")]
    NeverExpires,
    #[error("it does not count yet")]
    NotYet,
    #[error("its audience is not this gateway")]
    Audience,
    #[error("its issuer is another")]
    Issuer,
    #[error("its user is missing, or not a text of 1 to 256 bytes")]
    User,
    #[error("what it tells of its user cannot be told")]
    Info,
    #[error("its claim `channels` is not a map of patterns to lists of actions")]
    Grants,
    #[error("{0}")]
    GrantOf(&'static str),
    #[error("it is for a channel, and says nobody's name")]
    ForAChannel,
    #[error("it is not for this channel")]
    OtherChannel,
    #[error("it is for another user")]
    OtherUser,
}
