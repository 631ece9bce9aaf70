//! The tables and the plot of docs/herd.md.

use std::fmt::Write as _;

use crate::{figures::Run, formulas, world::Plan};

/// What was played under one plan: each way to come back by its name, ours first.
#[derive(Debug)]
pub struct Scene {
    /// What was played.
    pub plan: Plan,
    /// What came of it.
    pub runs: Vec<(&'static str, Run)>,
}

/// The document.
pub fn document(scenes: &[Scene]) -> String {
    let mut text = String::from(HEAD);
    for formula in formulas::ALL {
        let _ = writeln!(text, "- **{}**: {}", formula.name, formula.source);
    }
    for Scene { plan, runs } in scenes {
        let _ = write!(
            text,
            "\n## {} clients, nobody there for {} s\n\n\
             | | attempts in 100 ms, at most | attempts of a client, on average | 99 of 100 back after | all back after |\n\
             | --- | --- | --- | --- | --- |\n",
            plan.clients,
            plan.down_ms as f64 / 1_000.0
        );
        for (name, run) in runs {
            let back = |percent| match run.back_ms(percent) {
                Some(ms) => format!("{:.1} s", ms as f64 / 1_000.0),
                None => "never".to_owned(),
            };
            let _ = writeln!(
                text,
                "| {name} | {} | {:.2} | {} | {} |",
                run.peak(),
                run.mean(),
                back(99),
                back(100)
            );
        }
    }
    text
}

/// The attempts in each second of one scene, as SVG: a line for each way to come back, on a scale of powers of ten.
pub fn plot(Scene { plan, runs }: &Scene) -> String {
    let (width, height, left, top) = (900.0, 360.0, 60.0, 20.0);
    let seconds = (plan.down_ms / 1_000 + 60) as usize;
    let highest = 7.0; // ten millions
    let x = |second: f64| left + second / seconds as f64 * width;
    let y = |count: f64| top + height * (1.0 - count.max(1.0).log10() / highest);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
        left + width + 20.0,
        top + height + 60.0
    );
    for power in 0..=highest as i32 {
        let at = y(10_f64.powi(power));
        let _ = writeln!(
            svg,
            "<path d=\"M{left} {at:.1}h{width}\" stroke=\"#ddd\"/><text x=\"4\" y=\"{:.1}\">1e{power}</text>",
            at + 4.0
        );
    }
    for second in (0..=seconds).step_by(10) {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\">{second} s</text>",
            x(second as f64) - 8.0,
            top + height + 18.0
        );
    }
    let back = x(plan.down_ms as f64 / 1_000.0);
    let _ = writeln!(svg, "<path d=\"M{back:.1} {top}v{height}\" stroke=\"#888\" stroke-dasharray=\"4\"/>");
    for (index, ((name, run), colour)) in runs.iter().zip(COLOURS).enumerate() {
        let bins = run.bins();
        let mut line = String::new();
        for second in 0..seconds {
            let count: u32 = bins.iter().skip(second * 10).take(10).sum();
            let _ = write!(
                line,
                "{}{:.1} {:.1}",
                if second == 0 { 'M' } else { 'L' },
                x(second as f64),
                y(count.into())
            );
        }
        let _ = writeln!(
            svg,
            "<path d=\"{line}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{name}</text>",
            left + 170.0 * index as f64,
            top + height + 44.0
        );
    }
    svg.push_str("</svg>\n");
    svg
}

const COLOURS: [&str; 5] = ["#0a0", "#06c", "#c60", "#909", "#c00"];

const HEAD: &str = "# Herds

Written by `cargo xtask herd`: every figure here is of one run of that command, which the same seed repeats. A gateway
crashes under its clients, and another takes its place after a while: it has the same keys and knows no session. The
clients are the Rust client's core, admission and sessions are the gateway's own, on one virtual clock; a trip takes 5 to
75 ms, and a connection five of them. What is played is in [`tests/herd`](../tests/herd/src/lib.rs). 2,500 sessions a second
are let in, 250 in 100 ms, and the reconnect window is sized by that: 42 s for 100,000 clients, 0.42 s for 1,000. Each
client knows it before the crash: heartbeats, which tell it, are not played, nor are clients that stay on polls. For those
see [Crashes](crash.md).

A client comes back at a random place in that window, and from then on knocks once a window, until it is on the transport it
was on before ([decision 0032](decisions/0032-coming-back.md)). So however long nobody is there, clients knock about as fast
as they are let in, and hardly anybody is sent away.

Counted is every attempt to connect after the recovery, by whatever transport: also a poll that is sent again after it was
refused, and the move up from a poll. An attempt counts when its client makes it. *Back* is who has its welcome.

At the end is a gateway that [drains](operations.md#drain-and-upgrades) instead: it gives every client a place at its successor's door.

![Attempts in each second, 100,000 clients, nobody there for 30 s](herd.svg)

The others are formulas alone, against a gateway that refuses nobody and takes a crowd in no time, so each of their clients
is back with its first attempt after the recovery:

";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scene_has_its_table_and_every_run_its_line() {
        let plan = Plan { clients: 10, down_ms: 2_000, rate: 100, window_ms: None, seed: 1 };
        let run = Run { clients: 10, down_ms: 2_000, attempts: vec![2_500; 30], back: vec![2_600; 10] };
        let scenes = [Scene { plan, runs: vec![("Throughline", run.clone()), ("another", run)] }];
        let text = document(&scenes);
        assert!(text.contains("\n| another | 30 | 3.00 | 0.6 s | 0.6 s |\n"), "{text}");
        assert_eq!(plot(&scenes[0]).matches("stroke-width").count(), 2);
    }
}
