//! The log: counted anew it gives the scores of the game, and a game that was wrong is found out.

use std::collections::BTreeMap;

use crate::{
    game::{Bounds, Effect, Game, Who, Wish},
    questions,
    record::{Entry, Record, recount},
};

/// Plays a game of `players` who answer at various times, and its log.
fn played(players: u32) -> (Game, String) {
    let record = Record::default();
    let mut game = Game::new("CODE", questions::deck(5), 10_000, Bounds::default(), 0);
    let note = |effects: Vec<Effect>| {
        for effect in effects {
            if let Effect::Note(entry) = effect {
                record.append(&entry);
            }
        }
    };
    let user = |player: u32| format!("user {player}");
    for player in 0..players {
        note(game.handle(0, Who::User(&user(player)), Wish::Join(user(player))).unwrap().1);
    }
    note(game.handle(0, Who::Host, Wish::Start).unwrap().1);
    for question in 0..5 {
        let opened = game.view(0, Who::Host).question.unwrap().opened;
        for player in 0..players {
            let at = opened + u64::from(player) * 977 % 10_001;
            let choice = (player as usize + question) % 4;
            let answer = Wish::Answer { question, choice };
            note(game.handle(at, Who::User(&user(player)), answer).unwrap().1);
        }
        for _ in 0..2 {
            let step = game.view(0, Who::Host).step;
            if game.view(0, Who::Host).phase != "over" {
                note(game.handle(opened + 20_000, Who::Host, Wish::Next { step }).unwrap().1);
            }
        }
    }
    (game, record.lines())
}

#[test]
fn a_log_counted_anew_gives_the_scores_of_the_game() {
    let (game, log) = played(50);
    let counted = &recount(&log).unwrap()["CODE"];
    let view = game.view(0, Who::Host);
    assert_eq!((view.phase.as_str(), view.players.len()), ("over", 50));
    assert_eq!(
        view.players.iter().map(|player| (player.player, player.score)).collect::<BTreeMap<_, _>>(),
        *counted
    );
    assert!(counted.values().filter(|score| **score > 0).count() > 10, "many were right once: {counted:?}");
}

/// The log of a game, with its answers changed.
fn forged(change: impl Fn(&mut Entry)) -> String {
    let (_, log) = played(4);
    let lines = log.lines().map(|line| {
        let mut entry = serde_json::from_str(line).unwrap();
        change(&mut entry);
        serde_json::to_string(&entry).unwrap()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn points_that_the_facts_do_not_give_are_found_out() {
    let log = forged(|entry| {
        if let Entry::Answered { points, score, .. } = entry {
            (*points, *score) = (*points + 1, *score + 1);
        }
    });
    assert!(recount(&log).unwrap_err().contains("worth"));
}

#[test]
fn sums_that_do_not_add_up_are_found_out() {
    let log = forged(|entry| {
        if let Entry::Answered { score, .. } = entry {
            *score += 1;
        }
    });
    assert!(recount(&log).unwrap_err().contains("in all"));
}

#[test]
fn answers_out_of_time_are_found_out() {
    let log = forged(|entry| {
        if let Entry::Answered { time, .. } = entry {
            *time += 10_001;
        }
    });
    assert!(recount(&log).unwrap_err().contains("out of time"));
}

#[test]
fn second_answers_are_found_out() {
    let log = forged(|entry| {
        if let Entry::Answered { player, .. } = entry {
            *player = 1;
        }
    });
    let found = recount(&log).unwrap_err();
    assert!(found.contains("answered twice") || found.contains("in all"), "{found}");
}
