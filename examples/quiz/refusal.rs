//! Why the quiz does not do as it is asked. The names are part of what it says to pages, which have words for each.

use throughline::wire::ReplyError;

/// A refusal, by what is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the quiz does not know what that means")]
    Malformed,
    #[error("that is not yours to do")]
    Forbidden,
    #[error("there is no game of this code")]
    GameUnknown,
    #[error("the game has ended")]
    GameEnded,
    #[error("there are as many games as there may be, of all, of this host or of its address")]
    TooManyGames,
    #[error("the game has as many players as it may have")]
    GameFull,
    #[error("a name has 1 to 20 characters, all of them visible")]
    NameInvalid,
    #[error("somebody in this game has that name")]
    NameTaken,
    #[error("the host has asked this player to leave")]
    Kicked,
    #[error("there is no such player")]
    PlayerUnknown,
    #[error("nobody plays yet")]
    NobodyPlays,
    #[error("who answers has to join first")]
    NotJoined,
    #[error("the game is at another point")]
    NotNow,
    #[error("the question is closed")]
    TooLate,
    #[error("the question has no such choice")]
    ChoiceUnknown,
    #[error("the first answer counts")]
    AlreadyAnswered,
    #[error("the game has more to do than it can")]
    Busy,
}

impl Refusal {
    /// Its name in a reply.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Forbidden => "forbidden",
            Self::GameUnknown => "game_unknown",
            Self::GameEnded => "game_ended",
            Self::TooManyGames => "too_many_games",
            Self::GameFull => "game_full",
            Self::NameInvalid => "name_invalid",
            Self::NameTaken => "name_taken",
            Self::Kicked => "kicked",
            Self::PlayerUnknown => "player_unknown",
            Self::NobodyPlays => "nobody_plays",
            Self::NotJoined => "not_joined",
            Self::NotNow => "not_now",
            Self::TooLate => "too_late",
            Self::ChoiceUnknown => "choice_unknown",
            Self::AlreadyAnswered => "already_answered",
            Self::Busy => "busy",
        }
    }

    /// Whether the same may succeed later.
    const fn is_retryable(self) -> bool {
        matches!(self, Self::TooManyGames | Self::GameFull | Self::Busy)
    }
}

impl From<Refusal> for ReplyError {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string().into();
        Self { code: refusal.code().into(), message, retryable: refusal.is_retryable() }
    }
}
