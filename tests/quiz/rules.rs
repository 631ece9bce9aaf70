//! The rules, with the time handed in.

use crate::{
    game::{Audience, Bounds, Effect, Game, News, Who, Wish},
    questions,
    refusal::Refusal,
};

const LIMIT_MS: u64 = 10_000;
const START: u64 = 1_000_000;

/// A game of two questions (the right answers are 1 and 0) and these players, seated from 1 on, in its lobby.
fn lobby(players: &[&str]) -> Game {
    let mut game = Game::new("CODE", questions::deck(2), LIMIT_MS, Bounds::default(), START);
    for name in players {
        game.handle(START, Who::User(name), Wish::Join((*name).to_owned())).unwrap();
    }
    game
}

/// The same with its first question open since `START`.
fn started(players: &[&str]) -> Game {
    let mut game = lobby(players);
    game.handle(START, Who::Host, Wish::Start).unwrap();
    game
}

fn answer(
    game: &mut Game,
    at: u64,
    who: &str,
    question: usize,
    choice: usize,
) -> Result<Vec<Effect>, Refusal> {
    game.handle(START + at, Who::User(who), Wish::Answer { question, choice }).map(|(_, effects)| effects)
}

fn next(game: &mut Game, at: u64) -> Vec<Effect> {
    let step = game.view(START, Who::Host).step;
    game.handle(START + at, Who::Host, Wish::Next { step }).unwrap().1
}

fn score(game: &Game, who: Who<'_>, seat: u32) -> u64 {
    game.view(START, who).players.iter().find(|player| player.player == seat).unwrap().score
}

fn told(effects: &[Effect], audience: Audience) -> Vec<&News> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Say(to, news) if *to == audience => Some(news),
            _ => None,
        })
        .collect()
}

#[test]
fn a_right_answer_earns_a_thousand_points_at_once_and_half_of_them_at_the_end() {
    for (at, earned) in [(0, 1_000), (1, 999), (5_000, 750), (LIMIT_MS, 500)] {
        let mut game = started(&["ann", "bob"]);
        answer(&mut game, at, "ann", 0, 1).unwrap();
        assert_eq!(score(&game, Who::Host, 1), earned, "after {at} ms");
    }
}

#[test]
fn a_wrong_answer_earns_nothing() {
    let mut game = started(&["ann"]);
    answer(&mut game, 0, "ann", 0, 2).unwrap();
    assert_eq!(score(&game, Who::Host, 1), 0);
}

#[test]
fn an_answer_is_taken_in_the_last_millisecond_and_refused_in_the_next() {
    let mut game = started(&["ann", "bob"]);
    answer(&mut game, LIMIT_MS, "ann", 0, 1).unwrap();
    assert_eq!(answer(&mut game, LIMIT_MS + 1, "bob", 0, 1), Err(Refusal::TooLate));
    assert!(game.advance(START + LIMIT_MS).is_empty(), "it is open yet");
    let effects = game.advance(game.deadline().unwrap());
    assert!(matches!(told(&effects, Audience::All)[..], [News::Closed { right: 1, .. }]), "{effects:?}");
    assert_eq!(answer(&mut game, LIMIT_MS, "bob", 0, 1), Err(Refusal::TooLate), "closed is closed");
}

#[test]
fn the_first_answer_counts() {
    let mut game = started(&["ann", "bob"]);
    answer(&mut game, 100, "ann", 0, 0).unwrap();
    assert_eq!(answer(&mut game, 200, "ann", 0, 1), Err(Refusal::AlreadyAnswered));
    assert_eq!(score(&game, Who::Host, 1), 0);
}

#[test]
fn what_is_right_is_told_to_nobody_but_the_host_while_the_question_is_open() {
    let mut game = started(&["ann", "bob"]);
    let effects = answer(&mut game, 0, "ann", 0, 1).unwrap();
    assert_eq!(told(&effects, Audience::Players), [&News::Answered { player: 1, answers: 1 }]);
    assert!(told(&effects, Audience::All).is_empty());
    let seen = game.view(START, Who::User("ann"));
    assert_eq!((seen.right, seen.bars), (None, None));
    assert!(
        seen.players.iter().all(|player| player.score == 0 && player.gained == 0),
        "points tell what is right"
    );
    assert_eq!(seen.you.unwrap().choice, Some(1), "their own choice they know");
    assert_eq!(score(&game, Who::Host, 1), 1_000);
    assert_eq!(game.view(START, Who::Host).right, None, "the host's page is on the wall");
}

#[test]
fn a_question_closes_when_all_have_answered_and_says_who_gained_what() {
    let mut game = started(&["ann", "bob"]);
    answer(&mut game, 0, "ann", 0, 1).unwrap();
    let effects = answer(&mut game, 0, "bob", 0, 3).unwrap();
    let closed = News::Closed { step: 2, right: 1, bars: vec![0, 1, 0, 1], scores: vec![(1, 1_000, 1_000)] };
    assert_eq!(told(&effects, Audience::All), [&closed]);
    assert_eq!(score(&game, Who::User("bob"), 1), 1_000);
}

#[test]
fn a_whole_game_adds_up() {
    let mut game = started(&["ann", "bob"]);
    answer(&mut game, 2_000, "ann", 0, 1).unwrap();
    next(&mut game, 3_000);
    assert!(matches!(next(&mut game, 4_000)[..], [Effect::Say(_, News::Standings { .. })]));
    next(&mut game, 5_000);
    answer(&mut game, 6_000, "ann", 1, 0).unwrap();
    answer(&mut game, 5_000, "bob", 1, 0).unwrap();
    assert!(
        matches!(next(&mut game, 7_000)[..], [Effect::Say(_, News::Over { .. })]),
        "the last has no standings"
    );
    assert_eq!((score(&game, Who::Host, 1), score(&game, Who::Host, 2)), (900 + 950, 1_000));
    assert_eq!(answer(&mut game, 8_000, "ann", 1, 0), Err(Refusal::TooLate));
}

#[test]
fn a_click_that_comes_twice_skips_nothing() {
    let mut game = started(&["ann"]);
    game.handle(START, Who::Host, Wish::Next { step: 1 }).unwrap();
    assert_eq!(game.handle(START, Who::Host, Wish::Next { step: 1 }), Err(Refusal::NotNow));
    assert_eq!(game.view(START, Who::Host).phase, "result");
}

#[test]
fn players_do_not_move_the_game_and_the_host_does_not_play() {
    let mut game = lobby(&["ann"]);
    for wish in [Wish::Start, Wish::Next { step: 0 }, Wish::Kick(1)] {
        assert_eq!(game.handle(START, Who::User("ann"), wish), Err(Refusal::Forbidden));
    }
    for wish in [Wish::Join("host".to_owned()), Wish::Answer { question: 0, choice: 0 }] {
        assert_eq!(game.handle(START, Who::Host, wish), Err(Refusal::Forbidden));
    }
}

#[test]
fn a_game_without_players_does_not_start() {
    assert_eq!(lobby(&[]).handle(START, Who::Host, Wish::Start), Err(Refusal::NobodyPlays));
}

#[test]
fn names_are_short_visible_and_each_its_own() {
    let mut game = lobby(&["ann"]);
    let mut join = |user: &str, name: &str| game.handle(START, Who::User(user), Wish::Join(name.to_owned()));
    for name in ["", "   ", "a\nb", "a\u{202e}b", "\u{200b}", &"x".repeat(21)] {
        assert_eq!(join("bob", name), Err(Refusal::NameInvalid), "{name:?}");
    }
    for unseen in ["\u{3164}", "\u{2800}\u{2800}", "\u{180e}", "ann\u{34f}", "ann\u{e0061}", "\u{fe0f}"] {
        assert_eq!(join("bob", unseen), Err(Refusal::NameInvalid), "{unseen:?}");
    }
    assert_eq!(join("bob", &format!("z{}", "\u{336}".repeat(3))), Err(Refusal::NameInvalid));
    assert_eq!(join("bob", " ANN "), Err(Refusal::NameTaken));
    assert_eq!(join("bob", "ann\u{fe0f}"), Err(Refusal::NameTaken), "it looks the same");
    assert_eq!(join("eve", "e  ve").unwrap().0, Some(2));
    assert_eq!(join("eva", "e\u{a0}ve"), Err(Refusal::NameTaken), "so do spaces");
    assert_eq!(join("bob", &"ö".repeat(20)).unwrap().0, Some(3), "characters count, not bytes");
}

#[test]
fn whoever_joins_again_has_the_seat_that_they_had() {
    let mut game = started(&["ann", "bob"]);
    let (seat, effects) = game.handle(START, Who::User("ann"), Wish::Join("anna".to_owned())).unwrap();
    assert_eq!((seat, effects), (Some(1), vec![]));
}

#[test]
fn a_late_joiner_may_answer_the_question_that_is_open() {
    let mut game = started(&["ann"]);
    game.handle(START + 1_000, Who::User("late"), Wish::Join("late".to_owned())).unwrap();
    answer(&mut game, 5_000, "late", 0, 1).unwrap();
    assert_eq!(score(&game, Who::Host, 2), 750);
    assert_eq!(answer(&mut game, 5_000, "nobody", 0, 1), Err(Refusal::NotJoined));
}

#[test]
fn a_game_takes_as_many_players_as_it_may() {
    let bounds = Bounds { players: 1, ..Bounds::default() };
    let mut game = Game::new("CODE", questions::deck(1), LIMIT_MS, bounds, START);
    game.handle(START, Who::User("ann"), Wish::Join("ann".to_owned())).unwrap();
    let refused = game.handle(START, Who::User("bob"), Wish::Join("bob".to_owned()));
    assert_eq!(refused, Err(Refusal::GameFull));
}

#[test]
fn whoever_was_asked_to_leave_is_gone_with_their_answer_and_stays_away() {
    let mut game = started(&["ann", "bob"]);
    answer(&mut game, 0, "bob", 0, 1).unwrap();
    let (_, effects) = game.handle(START, Who::Host, Wish::Kick(2)).unwrap();
    assert_eq!(told(&effects, Audience::All), [&News::Kicked { player: 2, step: 1 }]);
    assert_eq!(game.view(START, Who::Host).question.unwrap().answers, 0);
    let back = game.handle(START, Who::User("bob"), Wish::Join("bob".to_owned()));
    assert_eq!(back, Err(Refusal::Kicked));
}

#[test]
fn a_question_closes_when_the_one_who_has_not_answered_is_asked_to_leave() {
    let mut game = started(&["ann", "bob"]);
    answer(&mut game, 0, "ann", 0, 1).unwrap();
    game.handle(START, Who::Host, Wish::Kick(2)).unwrap();
    assert_eq!(game.view(START, Who::Host).phase, "result");
}

#[test]
fn an_idle_game_ends_and_takes_nothing_more() {
    let mut game = lobby(&["ann"]);
    let idle = START + Bounds::default().idle_ms;
    game.attend(idle, true);
    assert!(game.advance(idle - 1).is_empty());
    let effects = game.advance(idle);
    assert!(matches!(told(&effects, Audience::All)[..], [News::Ended { .. }]), "{effects:?}");
    assert_eq!(game.deadline(), None);
    assert_eq!(game.handle(idle, Who::Host, Wish::Start), Err(Refusal::GameEnded));
}

/// Somebody looks for the host when the game has asked for it; why the game has ended, if it has.
fn look(game: &mut Game, is_there: bool) -> Option<String> {
    let now = game.deadline().unwrap();
    game.attend(now, is_there);
    let effects = game.advance(now);
    told(&effects, Audience::All).first().map(|news| match news {
        News::Ended { reason, .. } => reason.clone(),
        other => panic!("{other:?}"),
    })
}

#[test]
fn a_game_to_which_no_host_comes_ends_and_one_with_its_host_goes_on() {
    let mut game = lobby(&["ann"]);
    assert_eq!(game.deadline(), Some(START + Bounds::default().absent_ms));
    assert_eq!(look(&mut game, false).as_deref(), Some("abandoned"));
    let mut game = lobby(&["ann"]);
    for _ in 0..3 {
        assert_eq!(look(&mut game, true), None);
    }
}

#[test]
fn a_host_who_leaves_has_two_minutes_from_the_first_look_that_misses_it() {
    let mut game = lobby(&["ann"]);
    let absent = Bounds::default().absent_ms;
    assert_eq!(look(&mut game, true), None);
    assert_eq!(look(&mut game, false), None, "it may have left just now");
    let missed = START + 2 * absent;
    game.attend(missed + 1_000, false);
    assert_eq!(game.deadline(), Some(missed + absent), "a further look changes nothing");
    assert_eq!(look(&mut game, true), None, "it is back");
    assert_eq!((look(&mut game, false), look(&mut game, false).as_deref()), (None, Some("abandoned")));
}

#[test]
fn a_clock_that_is_set_back_costs_nobody_points() {
    let mut game = started(&["ann"]);
    game.handle(START - 500, Who::User("ann"), Wish::Answer { question: 0, choice: 1 }).unwrap();
    assert_eq!(score(&game, Who::Host, 1), 1_000);
}
