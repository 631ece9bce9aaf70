//! The rules of one game, as a state machine: what somebody wants and the time go in, what is to be said and noted down
//! comes out.
//!
//! It knows neither gateway nor clock, so a whole game is tested in microseconds. Who may say what is decided here too:
//! only the host moves the game on, and only players answer. What the players are not to know yet (the right answer, and
//! with it every score of the question that is open) goes to the [host](Audience::Host) alone until the question closes.
//!
//! What it leaves out on purpose: who is there. Somebody in a tunnel is still a player; pages grey them by presence.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    questions::Question,
    record::Entry,
    refusal::Refusal,
    view::{PlayerView, QuestionView, View, You},
};

/// The points for a right answer in the first instant.
pub(crate) const MOST_POINTS: u64 = 1_000;
/// The points that speed decides about: a right answer at the last instant has the rest.
pub(crate) const SPEED_POINTS: u64 = 500;
/// The longest name, in characters.
const NAME_CHARS: usize = 20;

/// What bounds a game.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// How many may play. Default: 250.
    pub players: usize,
    /// How long a game is kept in which nothing happens, in milliseconds. Default: 30 minutes.
    pub idle_ms: u64,
    /// How long a game is kept that its host does not hear, in milliseconds, from when that is noticed: after as long
    /// again at the latest. Default: 2 minutes.
    pub absent_ms: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { players: 250, idle_ms: 30 * 60 * 1_000, absent_ms: 2 * 60 * 1_000 }
    }
}

/// Who wants something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Who<'a> {
    /// The one who made the game.
    Host,
    /// Anybody else, by the name that the gateway knows them by.
    User(&'a str),
}

/// What somebody wants of a game.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Wish {
    /// To play, under a name.
    Join(String),
    /// To begin.
    Start,
    /// To answer the question of this index by one of its choices.
    Answer { question: usize, choice: usize },
    /// To move on from this step. A step that is over already is refused, so a click that came twice skips nothing.
    Next { step: u64 },
    /// To be rid of a player.
    Kick(u32),
}

/// What follows from something that happened, in order.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Effect {
    /// Tell them.
    Say(Audience, News),
    /// Note it down.
    Note(Entry),
}

/// Who hears a piece of news.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Audience {
    /// Everybody, on the game's channel; and the host on the host's.
    All,
    /// The players, where the host is told more.
    Players,
    /// The host alone.
    Host,
}

/// What happened, as the pages hear it: an event's name, and its data.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "name", content = "data", rename_all = "camelCase")]
pub(crate) enum News {
    /// Somebody plays.
    Joined { player: u32, name: String, user: String },
    /// Somebody does not play any more.
    Kicked { player: u32, step: u64 },
    /// A question is open.
    Asked { step: u64, question: QuestionView },
    /// Somebody has answered; nobody is told how.
    Answered { player: u32, answers: usize },
    /// The same for the host: the leaderboard's delta, which would tell the players what is right.
    Scored { player: u32, answers: usize, choice: usize, points: u64, score: u64 },
    /// The question is over: what was right, how many chose what, and the leaderboard's deltas as `(player, points,
    /// score)` of all who gained something.
    Closed { step: u64, right: usize, bars: Vec<usize>, scores: Vec<(u32, u64, u64)> },
    /// Where everybody stands.
    Standings { step: u64 },
    /// The last standings: the podium.
    Over { step: u64 },
    /// Nothing more will come.
    Ended { step: u64, reason: String },
}

/// A game under way.
#[derive(Debug)]
pub(crate) struct Game {
    code: String,
    bounds: Bounds,
    deck: Vec<Question>,
    limit_ms: u64,
    phase: Phase,
    /// Counts the changes of phase.
    step: u64,
    /// By seat, from 1 on; a seat is given once.
    players: BTreeMap<u32, Player>,
    seats: u32,
    /// Who was asked to leave, and may not come back.
    banned: Vec<String>,
    /// When something last happened.
    touched: u64,
    host: Host,
}

/// Whether a game's host is there, as far as anybody has looked.
#[derive(Clone, Copy, Debug)]
enum Host {
    /// It was when somebody looked last, then.
    There(u64),
    /// It has not been since then, or earlier.
    Away(u64),
}

#[derive(Debug)]
struct Player {
    user: String,
    name: String,
    /// Without what the open question has brought.
    score: u64,
}

/// Where a game is.
#[derive(Debug)]
enum Phase {
    Lobby,
    Question(Round),
    Result(Round),
    Standings(Round),
    Over,
    Ended,
}

/// A question that was asked.
#[derive(Debug)]
struct Round {
    index: usize,
    opened: u64,
    deadline: u64,
    /// By seat.
    answers: BTreeMap<u32, Answer>,
}

#[derive(Clone, Copy, Debug)]
struct Answer {
    choice: usize,
    points: u64,
}

impl Game {
    /// A game in its lobby. `deck` has at least one question; each is open for `limit_ms`.
    pub(crate) fn new(code: &str, deck: Vec<Question>, limit_ms: u64, bounds: Bounds, now: u64) -> Self {
        Self {
            code: code.to_owned(),
            bounds,
            deck,
            limit_ms,
            phase: Phase::Lobby,
            step: 0,
            players: BTreeMap::new(),
            seats: 0,
            banned: Vec::new(),
            touched: now,
            host: Host::Away(now),
        }
    }

    /// Does what somebody wants, as of `now`, the time at which the gateway took it. The seat is that of the player whom
    /// it is about, where there is one.
    ///
    /// # Errors
    /// A [`Refusal`]; nothing has changed then.
    pub(crate) fn handle(
        &mut self,
        now: u64,
        who: Who<'_>,
        wish: Wish,
    ) -> Result<(Option<u32>, Vec<Effect>), Refusal> {
        if matches!(self.phase, Phase::Ended) {
            return Err(Refusal::GameEnded);
        }
        let done = match (wish, who) {
            (Wish::Join(name), Who::User(user)) => self.join(user, &name),
            (Wish::Answer { question, choice }, Who::User(user)) => self.answer(now, user, question, choice),
            (Wish::Start, Who::Host) => self.start(now).map(|effects| (None, effects)),
            (Wish::Next { step }, Who::Host) => self.next(now, step).map(|effects| (None, effects)),
            (Wish::Kick(seat), Who::Host) => self.kick(seat).map(|effects| (Some(seat), effects)),
            _ => Err(Refusal::Forbidden),
        }?;
        self.touched = now;
        Ok(done)
    }

    /// When [`advance`](Self::advance) has something to do; `None` once the game has ended.
    pub(crate) fn deadline(&self) -> Option<u64> {
        let over = self.idle_at().min(self.looks_at());
        match &self.phase {
            Phase::Ended => None,
            // Answers that were taken in the last millisecond count.
            Phase::Question(round) => Some((round.deadline + 1).min(over)),
            _ => Some(over),
        }
    }

    /// Somebody has looked whether its host is there. The first look that misses it counts, and not the last that met it,
    /// since hardly anybody looks while nothing happens.
    pub(crate) fn attend(&mut self, now: u64, is_there: bool) {
        self.host = match self.host {
            _ if is_there => Host::There(now),
            Host::There(_) => Host::Away(now),
            Host::Away(since) => Host::Away(since),
        };
    }

    const fn idle_at(&self) -> u64 {
        self.touched + self.bounds.idle_ms
    }

    /// When somebody has to look for its host again.
    const fn looks_at(&self) -> u64 {
        let (Host::There(at) | Host::Away(at)) = self.host;
        at + self.bounds.absent_ms
    }

    const fn is_abandoned(&self, now: u64) -> bool {
        matches!(self.host, Host::Away(_)) && now >= self.looks_at()
    }

    /// Does what the time brings: a question closes, a game ends that is idle or has lost its host.
    pub(crate) fn advance(&mut self, now: u64) -> Vec<Effect> {
        match &self.phase {
            Phase::Question(round) if now > round.deadline => {
                self.touched = now;
                self.close()
            }
            Phase::Ended => Vec::new(),
            _ if now >= self.idle_at() => self.end("idle"),
            _ if self.is_abandoned(now) => self.end("abandoned"),
            _ => Vec::new(),
        }
    }

    /// All that somebody may know at the moment.
    pub(crate) fn view(&self, now: u64, who: Who<'_>) -> View {
        let round = self.round();
        let is_open = matches!(self.phase, Phase::Question(_));
        let answer = |seat: u32| round.and_then(|round| round.answers.get(&seat));
        let knows = !is_open || who == Who::Host;
        let player = |(&seat, player): (&u32, &Player)| {
            let gained = answer(seat).filter(|_| knows).map_or(0, |answer| answer.points);
            PlayerView {
                player: seat,
                name: player.name.clone(),
                user: player.user.clone(),
                // Once the question is closed the score has it.
                score: player.score + if is_open { gained } else { 0 },
                gained,
                answered: answer(seat).is_some(),
            }
        };
        let you = match who {
            Who::Host => None,
            Who::User(user) => self
                .seat_of(user)
                .map(|seat| You { player: seat, choice: answer(seat).map(|answer| answer.choice) }),
        };
        View {
            code: self.code.clone(),
            phase: self.phase.name().to_owned(),
            step: self.step,
            now,
            questions: self.deck.len(),
            players: self.players.iter().map(player).collect(),
            question: round.map(|round| self.question(round)),
            right: round.filter(|_| !is_open).map(|round| self.deck[round.index].right),
            bars: round.filter(|_| !is_open).map(|round| bars(round, &self.deck[round.index])),
            you,
        }
    }

    fn join(&mut self, user: &str, name: &str) -> Result<(Option<u32>, Vec<Effect>), Refusal> {
        // Whoever asks again, since a page was loaded anew, has the seat already.
        if let Some(seat) = self.seat_of(user) {
            return Ok((Some(seat), Vec::new()));
        }
        if self.banned.iter().any(|banned| banned == user) {
            return Err(Refusal::Kicked);
        }
        if matches!(self.phase, Phase::Over) {
            return Err(Refusal::GameEnded);
        }
        let name = legal_name(name).ok_or(Refusal::NameInvalid)?;
        if self.players.values().any(|player| folded(&player.name) == folded(&name)) {
            return Err(Refusal::NameTaken);
        }
        if self.players.len() >= self.bounds.players {
            return Err(Refusal::GameFull);
        }
        self.seats += 1;
        let seat = self.seats;
        let news = News::Joined { player: seat, name: name.clone(), user: user.to_owned() };
        let note = Entry::Joined { game: self.code.clone(), player: seat, name: name.clone() };
        self.players.insert(seat, Player { user: user.to_owned(), name, score: 0 });
        Ok((Some(seat), vec![Effect::Note(note), Effect::Say(Audience::All, news)]))
    }

    fn kick(&mut self, seat: u32) -> Result<Vec<Effect>, Refusal> {
        let player = self.players.remove(&seat).ok_or(Refusal::PlayerUnknown)?;
        self.banned.push(player.user);
        if let Phase::Question(round) | Phase::Result(round) | Phase::Standings(round) = &mut self.phase {
            round.answers.remove(&seat);
        }
        let note = Entry::Kicked { game: self.code.clone(), player: seat };
        let news = News::Kicked { player: seat, step: self.step };
        let mut effects = vec![Effect::Note(note), Effect::Say(Audience::All, news)];
        effects.extend(self.close_if_all_have_answered());
        Ok(effects)
    }

    fn start(&mut self, now: u64) -> Result<Vec<Effect>, Refusal> {
        match self.phase {
            Phase::Lobby if self.players.is_empty() => Err(Refusal::NobodyPlays),
            Phase::Lobby => Ok(self.ask(now, 0)),
            _ => Err(Refusal::NotNow),
        }
    }

    fn next(&mut self, now: u64, step: u64) -> Result<Vec<Effect>, Refusal> {
        if step != self.step {
            return Err(Refusal::NotNow);
        }
        match std::mem::replace(&mut self.phase, Phase::Lobby) {
            phase @ (Phase::Lobby | Phase::Over | Phase::Ended) => {
                self.phase = phase;
                Err(Refusal::NotNow)
            }
            Phase::Question(round) => {
                self.phase = Phase::Question(round);
                Ok(self.close())
            }
            Phase::Result(round) if round.index + 1 == self.deck.len() => {
                self.step += 1;
                self.phase = Phase::Over;
                Ok(vec![Effect::Say(Audience::All, News::Over { step: self.step })])
            }
            Phase::Result(round) => {
                self.step += 1;
                self.phase = Phase::Standings(round);
                Ok(vec![Effect::Say(Audience::All, News::Standings { step: self.step })])
            }
            Phase::Standings(round) => Ok(self.ask(now, round.index + 1)),
        }
    }

    fn ask(&mut self, now: u64, index: usize) -> Vec<Effect> {
        self.step += 1;
        let round = Round { index, opened: now, deadline: now + self.limit_ms, answers: BTreeMap::new() };
        let note = Entry::Asked {
            game: self.code.clone(),
            question: index,
            right: self.deck[index].right,
            opened: now,
            limit_ms: self.limit_ms,
        };
        let news = News::Asked { step: self.step, question: self.question(&round) };
        self.phase = Phase::Question(round);
        vec![Effect::Note(note), Effect::Say(Audience::All, news)]
    }

    fn answer(
        &mut self,
        now: u64,
        user: &str,
        question: usize,
        choice: usize,
    ) -> Result<(Option<u32>, Vec<Effect>), Refusal> {
        let seat = self.seat_of(user).ok_or(Refusal::NotJoined)?;
        let round = match &mut self.phase {
            Phase::Question(round) if round.index == question => round,
            Phase::Question(round) | Phase::Result(round) | Phase::Standings(round)
                if question <= round.index =>
            {
                return Err(Refusal::TooLate);
            }
            Phase::Over => return Err(Refusal::TooLate),
            _ => return Err(Refusal::NotNow),
        };
        if now > round.deadline {
            return Err(Refusal::TooLate);
        }
        let asked = &self.deck[question];
        if choice >= asked.choices.len() {
            return Err(Refusal::ChoiceUnknown);
        }
        if round.answers.contains_key(&seat) {
            return Err(Refusal::AlreadyAnswered);
        }
        // The wall's clock may be set back while a question is open.
        let elapsed = now.saturating_sub(round.opened);
        let points = if choice == asked.right { points(elapsed, self.limit_ms) } else { 0 };
        round.answers.insert(seat, Answer { choice, points });
        let (answers, score) = (round.answers.len(), self.players[&seat].score + points);
        let note = Entry::Answered {
            game: self.code.clone(),
            question,
            player: seat,
            choice,
            time: round.opened + elapsed,
            points,
            score,
        };
        let mut effects = vec![
            Effect::Note(note),
            Effect::Say(Audience::Players, News::Answered { player: seat, answers }),
            Effect::Say(Audience::Host, News::Scored { player: seat, answers, choice, points, score }),
        ];
        effects.extend(self.close_if_all_have_answered());
        Ok((Some(seat), effects))
    }

    fn close_if_all_have_answered(&mut self) -> Vec<Effect> {
        match &self.phase {
            Phase::Question(round)
                if !self.players.is_empty() && round.answers.len() == self.players.len() =>
            {
                self.close()
            }
            _ => Vec::new(),
        }
    }

    /// Closes the open question, and books what it brought.
    fn close(&mut self) -> Vec<Effect> {
        let Phase::Question(round) = std::mem::replace(&mut self.phase, Phase::Lobby) else {
            unreachable!("only an open question is closed")
        };
        self.step += 1;
        let mut scores = Vec::new();
        for (seat, answer) in round.answers.iter().filter(|(_, answer)| answer.points > 0) {
            let player = self.players.get_mut(seat).expect("answers of those who left were taken away");
            player.score += answer.points;
            scores.push((*seat, answer.points, player.score));
        }
        let asked = &self.deck[round.index];
        let bars = bars(&round, asked);
        let news = News::Closed { step: self.step, right: asked.right, bars, scores };
        self.phase = Phase::Result(round);
        vec![Effect::Say(Audience::All, news)]
    }

    fn end(&mut self, reason: &str) -> Vec<Effect> {
        self.step += 1;
        self.phase = Phase::Ended;
        vec![Effect::Say(Audience::All, News::Ended { step: self.step, reason: reason.to_owned() })]
    }

    fn seat_of(&self, user: &str) -> Option<u32> {
        self.players.iter().find(|(_, player)| player.user == user).map(|(seat, _)| *seat)
    }

    const fn round(&self) -> Option<&Round> {
        match &self.phase {
            Phase::Question(round) | Phase::Result(round) | Phase::Standings(round) => Some(round),
            _ => None,
        }
    }

    fn question(&self, round: &Round) -> QuestionView {
        let asked = &self.deck[round.index];
        QuestionView {
            index: round.index,
            of: self.deck.len(),
            text: asked.text.clone(),
            choices: asked.choices.clone(),
            opened: round.opened,
            deadline: round.deadline,
            answers: round.answers.len(),
        }
    }
}

impl Phase {
    const fn name(&self) -> &'static str {
        match self {
            Self::Lobby => "lobby",
            Self::Question(_) => "question",
            Self::Result(_) => "result",
            Self::Standings(_) => "standings",
            Self::Over => "over",
            Self::Ended => "ended",
        }
    }
}

/// What a right answer is worth after `elapsed` of `limit` milliseconds: all of it at once, half at the end, and in
/// between by the line, rounded down.
fn points(elapsed: u64, limit: u64) -> u64 {
    MOST_POINTS - (SPEED_POINTS * elapsed).div_ceil(limit)
}

/// How many chose what.
fn bars(round: &Round, asked: &Question) -> Vec<usize> {
    let mut bars = vec![0; asked.choices.len()];
    for answer in round.answers.values() {
        bars[answer.choice] += 1;
    }
    bars
}

/// A name without what surrounds it, if it is one that a list of names can show: of 1 to 20 characters, none of which
/// moves, hides or turns others around. Spaces are all alike, so that no two names look the same by them.
fn legal_name(name: &str) -> Option<String> {
    let name = name.trim();
    let is_legal = (1..=NAME_CHARS).contains(&name.chars().count()) && !name.chars().any(is_odd);
    // What lies over the letter before it makes a letter of another language, and heaps of it cover other names.
    let is_heaped = name.chars().collect::<Vec<_>>().windows(3).any(|three| three.iter().all(lies_over));
    (is_legal && !is_heaped && !name.starts_with(|c| lies_over(&c)))
        .then(|| name.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// A name as it is compared with others: without case, and without what only chooses how an emoji is drawn.
fn folded(name: &str) -> String {
    name.to_lowercase().replace('\u{fe0f}', "")
}

/// Characters that control, that turn the direction of writing, or that are there and are not seen.
fn is_odd(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0e}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Marks that are drawn over or around the character before them.
const fn lies_over(c: &char) -> bool {
    matches!(*c, '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}'
        | '\u{fe0f}' | '\u{fe20}'..='\u{fe2f}')
}
