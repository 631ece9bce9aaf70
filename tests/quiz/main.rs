//! The quiz of `examples/quiz`: its rules without a network, its lanes and its log, and whole games on a real gateway.
//!
//! The example is a program, so its modules are taken in by their paths. `quiz.test.mjs` beside this plays a game in a
//! browser.

#![allow(missing_docs)] // private modules of a program

#[path = "../../examples/quiz/door.rs"]
mod door;
#[path = "../../examples/quiz/game.rs"]
mod game;
#[path = "../../examples/quiz/lanes.rs"]
mod lanes;
#[path = "../../examples/quiz/players/mod.rs"]
#[allow(dead_code, reason = "its command line is the program's")]
mod players;
#[path = "../../examples/quiz/questions.rs"]
mod questions;
#[path = "../../examples/quiz/quiz.rs"]
mod quiz;
#[path = "../../examples/quiz/record.rs"]
#[allow(dead_code, reason = "the log's file is the program's")]
mod record;
#[path = "../../examples/quiz/refusal.rs"]
mod refusal;
#[path = "../../examples/quiz/server.rs"]
#[allow(dead_code, reason = "a test stops its server by dropping it")]
mod server;
#[path = "../../examples/quiz/site.rs"]
mod site;
#[path = "../../examples/quiz/view.rs"]
mod view;

mod counting;
mod doors;
mod queues;
mod rehearsal;
mod rules;
mod slow_games;
