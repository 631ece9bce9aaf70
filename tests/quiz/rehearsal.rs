//! A rehearsal in small: twenty players on all transports, whose links are cut several times a second.

use std::time::Duration;

use crate::{
    players::{
        agree,
        performer::{self, Performer},
        watcher::Watcher,
    },
    quiz::QuizConfig,
    record::{Record, recount},
    server::Server,
};

const PLAYERS: usize = 20;
const QUESTIONS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scores_are_those_of_the_log_while_every_link_is_cut_again_and_again() {
    let server = Server::start("127.0.0.1:0", QuizConfig::default(), Record::default()).await.unwrap();
    let url = format!("http://{}", server.address);
    let cut = Duration::from_millis(400);
    let watcher = Watcher::open(&url, QUESTIONS, cut).await.unwrap();
    let code = watcher.code.clone();
    let players: Vec<_> = (0..PLAYERS)
        .map(|number| {
            let think = Duration::from_millis(1_500);
            let performer = Performer { number, url: url.clone(), code: code.clone(), cut, think };
            tokio::spawn(performer::play(performer))
        })
        .collect();
    let watched = watcher.watch(PLAYERS).await.unwrap();
    let mut tallies = Vec::new();
    for player in players {
        tallies.push(player.await.unwrap().unwrap());
    }
    let recounted = recount(&server.record.lines()).unwrap();
    agree(&watched, &tallies, &recounted[&code]).unwrap();
    let sent: usize = tallies.iter().map(|tally| tally.sent.len()).sum();
    assert_eq!(sent, PLAYERS * QUESTIONS, "everybody has answered everything");
    assert!(tallies.iter().all(|tally| tally.cuts > 0), "no player's links were spared");
    assert!(recounted[&code].values().any(|score| *score > 0), "somebody was right");
}
