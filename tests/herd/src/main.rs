//! Plays the herds of docs/herd.md: `throughline-herd [FOLDER]` prints the document, or writes it and its plot there.

use std::path::Path;

use throughline_herd::{
    Plan, formulas, play,
    report::{Scene, document, plot},
};

fn main() -> anyhow::Result<()> {
    let crashes = [(1_000, 200), (1_000, 30_000), (100_000, 30_000), (100_000, 300_000)];
    let crashes = crashes.map(|(clients, down_ms)| {
        let plan = Plan { clients, down_ms, announced: false, rate: 2_500, window_ms: None, seed: 1 };
        let others = formulas::ALL.iter().map(|formula| (formula.name, formula.play(plan)));
        Scene { plan, runs: std::iter::once(("Throughline", play(plan))).chain(others).collect() }
    });
    let drain = Plan { down_ms: 0, announced: true, ..crashes[3].plan };
    let drain = Scene { plan: drain, runs: vec![("Throughline", play(drain))] };
    let plot = plot(&crashes[2]);
    let text = document(crashes.iter().chain([&drain]));
    match std::env::args().nth(1) {
        Some(folder) => {
            std::fs::write(Path::new(&folder).join("herd.md"), text)?;
            std::fs::write(Path::new(&folder).join("herd.svg"), plot)?;
        }
        None => print!("{text}"),
    }
    Ok(())
}
