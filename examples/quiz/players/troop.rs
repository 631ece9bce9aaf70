//! A process of simulated players. Prints what became of each, a line of JSON for each.

use std::time::Duration;

use super::performer::{self, Performer};

/// Who plays where.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    url: String,
    code: String,
    /// The number of the first of them.
    first: usize,
    count: usize,
    cut_ms: u64,
    think_ms: u64,
}

/// Plays to the end of the game.
///
/// # Errors
/// Where one of them could not.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { url, code, first, count, cut_ms, think_ms } = arguments;
    let playing: Vec<_> = (first..first + count)
        .map(|number| {
            let performer = Performer {
                number,
                url: url.clone(),
                code: code.clone(),
                cut: Duration::from_millis(cut_ms),
                think: Duration::from_millis(think_ms),
            };
            tokio::spawn(performer::play(performer))
        })
        .collect();
    for player in playing {
        println!("{}", serde_json::to_string(&player.await??)?);
    }
    Ok(())
}
