//! What a page is shown: the whole of a game, as far as who asks may know it. Later events change it.

use serde::{Deserialize, Serialize};

/// A game as somebody may see it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct View {
    /// What players type to join.
    pub code: String,
    /// `lobby`, `question`, `result`, `standings`, `over` or `ended`.
    pub phase: String,
    /// Counts the changes of phase; `next` names the one to move on from.
    pub step: u64,
    /// The server's time, in milliseconds since the Unix epoch.
    pub now: u64,
    /// How many questions the game has.
    pub questions: usize,
    /// Who plays, in the order of their joining.
    pub players: Vec<PlayerView>,
    /// The question that was asked last; absent before the first and on the podium.
    pub question: Option<QuestionView>,
    /// The right choice, once the question is closed.
    pub right: Option<usize>,
    /// How many chose what, once it is closed.
    pub bars: Option<Vec<usize>>,
    /// Who asks, if they play.
    pub you: Option<You>,
}

/// A player.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlayerView {
    /// The seat, which names a player within the game.
    pub player: u32,
    pub name: String,
    /// The user that presence tells of.
    pub user: String,
    /// For players without what the open question has brought.
    pub score: u64,
    /// What the last question has brought.
    pub gained: u64,
    /// Whether they have answered it.
    pub answered: bool,
}

/// A question without its answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct QuestionView {
    /// From 0 on.
    pub index: usize,
    pub of: usize,
    pub text: String,
    pub choices: Vec<String>,
    /// When it was asked, by the server's clock.
    pub opened: u64,
    /// The last millisecond in which answers are taken.
    pub deadline: u64,
    /// How many have answered.
    pub answers: usize,
}

/// What a player is told of themselves alone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct You {
    pub player: u32,
    /// What they chose, where they have answered the last question.
    pub choice: Option<usize>,
}
