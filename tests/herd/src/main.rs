//! Plays the herds of docs/herd.md: `throughline-herd [FOLDER]` prints the document, or writes it and its plot there.

use std::path::Path;

use throughline_herd::{
    Plan, formulas, play, play_drain,
    report::{Scene, document, plot},
    section,
};

fn main() -> anyhow::Result<()> {
    let scenes =
        [(1_000, 200), (1_000, 30_000), (100_000, 30_000), (100_000, 300_000)].map(|(clients, down_ms)| {
            let plan = Plan { clients, down_ms, rate: 2_500, window_ms: None, seed: 1 };
            let others = formulas::ALL.iter().map(|formula| (formula.name, formula.play(plan)));
            Scene { plan, runs: std::iter::once(("Throughline", play(plan))).chain(others).collect() }
        });
    let drains = [1_000, 100_000].map(|clients| play_drain(Plan { clients, ..scenes[0].plan }));
    let text = document(&scenes) + &section(&drains);
    match std::env::args().nth(1) {
        Some(folder) => {
            std::fs::write(Path::new(&folder).join("herd.md"), text)?;
            std::fs::write(Path::new(&folder).join("herd.svg"), plot(&scenes[2]))?;
        }
        None => print!("{text}"),
    }
    Ok(())
}
