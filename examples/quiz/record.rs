//! The log: every answer that counted and what it brought, in order, as lines of JSON; and a count of it by somebody who
//! does not trust the game.
//!
//! [`recount`] has nothing of `game.rs`: it takes the scores from the facts of the log alone (what was right, when a
//! question was opened, when an answer was taken, and what it was), by the rule as a player would read it, and compares what
//! the game has noted on the way. The log never decides anything.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Write as _},
    path::Path,
    sync::Arc,
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// One line. Times are the server's, in milliseconds since the Unix epoch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum Entry {
    Joined { game: String, player: u32, name: String },
    Kicked { game: String, player: u32 },
    Asked { game: String, question: usize, right: usize, opened: u64, limit_ms: u64 },
    Answered { game: String, question: usize, player: u32, choice: usize, time: u64, points: u64, score: u64 },
}

/// Where entries go: memory, and a file too if one is named. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    written: Arc<Mutex<Written>>,
}

#[derive(Debug, Default)]
struct Written {
    lines: String,
    file: Option<File>,
}

impl Record {
    /// A log that goes to a new file as well.
    ///
    /// # Errors
    /// Those of the file.
    pub(crate) fn to_file(path: &Path) -> io::Result<Self> {
        let written = Written { lines: String::new(), file: Some(File::create(path)?) };
        Ok(Self { written: Arc::new(Mutex::new(written)) })
    }

    /// Appends an entry. A file that cannot be written to any more is given up, with a warning: the game goes on.
    pub(crate) fn append(&self, entry: &Entry) {
        let mut line = serde_json::to_string(entry).expect("numbers and text");
        line.push('\n');
        let mut written = self.written.lock();
        if let Some(Err(error)) = written.file.as_mut().map(|file| file.write_all(line.as_bytes())) {
            eprintln!("the log's file is given up: {error}");
            written.file = None;
        }
        written.lines.push_str(&line);
        // A quiz that runs for weeks keeps the end.
        if written.lines.len() > MEMORY_BYTES {
            let half = written.lines.len() / 2;
            let cut = written.lines[half..].find('\n').map_or(0, |newline| half + newline + 1);
            written.lines.drain(..cut);
        }
    }

    /// All that memory holds of it.
    #[allow(dead_code, reason = "for tests/quiz, which count it anew")]
    pub(crate) fn lines(&self) -> String {
        self.written.lock().lines.clone()
    }
}

/// The final scores by game and player.
pub(crate) type Scores = BTreeMap<String, BTreeMap<u32, u64>>;

/// Counts the scores of a log anew.
///
/// # Errors
/// The first line that is not a fact, or that the game got wrong, for a person.
pub(crate) fn recount(log: &str) -> Result<Scores, String> {
    let mut scores = Scores::new();
    let mut asked = BTreeMap::new();
    let mut answered = BTreeSet::new();
    for (number, line) in log.lines().enumerate() {
        let wrong = |what: &str| format!("line {}: {what}: {line}", number + 1);
        match serde_json::from_str(line).map_err(|error| wrong(&error.to_string()))? {
            Entry::Joined { game, player, .. } => _ = scores.entry(game).or_default().insert(player, 0),
            Entry::Kicked { game, player } => _ = scores.entry(game).or_default().remove(&player),
            Entry::Asked { game, question, right, opened, limit_ms } => {
                if asked.insert((game, question), (right, opened, limit_ms)).is_some() {
                    return Err(wrong("asked twice"));
                }
            }
            Entry::Answered { game, question, player, choice, time, points, score } => {
                let Some(&(right, opened, limit_ms)) = asked.get(&(game.clone(), question)) else {
                    return Err(wrong("never asked"));
                };
                if !(opened..=opened + limit_ms).contains(&time) {
                    return Err(wrong("out of time"));
                }
                if !answered.insert((game.clone(), question, player)) {
                    return Err(wrong("answered twice"));
                }
                // 1,000 points for the first instant, 500 for the last, rounded down.
                let earned =
                    if choice == right { (1_000 * limit_ms - 500 * (time - opened)) / limit_ms } else { 0 };
                if earned != points {
                    return Err(wrong(&format!("worth {earned} points")));
                }
                let Some(sum) = scores.get_mut(&game).and_then(|game| game.get_mut(&player)) else {
                    return Err(wrong("nobody's answer"));
                };
                *sum += earned;
                if *sum != score {
                    return Err(wrong(&format!("{sum} points in all")));
                }
            }
        }
    }
    Ok(scores)
}

const MEMORY_BYTES: usize = 4 << 20;
