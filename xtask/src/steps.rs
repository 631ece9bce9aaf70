//! One check after another: each is announced, timed and, when it is a test run, counted.
//!
//! The first step that fails ends the run. Counts come from the lines that the test runners print themselves, so that the
//! closing line never claims a test that did not run.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::failures::Failures;

/// The steps of one run so far.
pub(crate) struct Steps {
    begun: Instant,
    done: Vec<Step>,
    tests: Counts,
    failures: Failures,
}

struct Step {
    name: String,
    took: Duration,
    outcome: Outcome,
}

enum Outcome {
    Passed,
    Failed,
    Skipped(String),
}

impl Steps {
    pub(crate) fn begin() -> Self {
        Self { begun: now(), done: Vec::new(), tests: Counts::default(), failures: Failures::default() }
    }

    /// Runs a check that is written in Rust.
    pub(crate) fn check<T>(&mut self, name: &str, check: impl FnOnce() -> Result<T>) -> Result<T> {
        announce(name);
        let begun = now();
        let result = check();
        self.record(name, begun, result.is_ok());
        result.with_context(|| name.to_owned())
    }

    /// Runs a program that must exit with zero.
    pub(crate) fn run(&mut self, name: &str, command: &mut Command) -> Result<()> {
        self.check(name, || succeed(command))
    }

    /// Runs a program that closes with a test runner's counts; exiting with zero and counting nothing is a failure.
    pub(crate) fn tests(&mut self, name: &str, command: &mut Command) -> Result<()> {
        let (mut counts, mut failures) = (Counts::default(), Failures::default());
        let result = self.check(name, || {
            let exited_well;
            (exited_well, counts) = count(command, &mut failures, &mut std::io::stdout().lock())?;
            counts.verdict(exited_well).with_context(|| shown(command))
        });
        self.tests.add(counts);
        self.failures.add(failures);
        result
    }

    /// Leaves a check out and says why.
    pub(crate) fn skip(&mut self, name: &str, why: String) {
        self.done.push(Step { name: name.to_owned(), took: Duration::ZERO, outcome: Outcome::Skipped(why) });
    }

    /// Prints what failed tests said, what ran, how long it took and how it went, and hands the outcome back.
    pub(crate) fn finish(&mut self, outcome: Result<()>) -> Result<()> {
        self.failures.print();
        println!();
        for step in &self.done {
            let took = format!("{:7.1} s", step.took.as_secs_f64());
            match &step.outcome {
                Outcome::Passed => println!("{took}  {}", step.name),
                Outcome::Failed => println!("{took}  {}: FAILED", step.name),
                Outcome::Skipped(why) => println!("  skipped  {}: {why}", step.name),
            }
        }
        println!("{:7.1} s  in all", self.begun.elapsed().as_secs_f64());
        if self.tests.any() {
            println!(
                "\n{} passed, {} failed, {} skipped",
                self.tests.passed, self.tests.failed, self.tests.skipped
            );
        }
        outcome
    }

    fn record(&mut self, name: &str, begun: Instant, passed: bool) {
        let outcome = if passed { Outcome::Passed } else { Outcome::Failed };
        self.done.push(Step { name: name.to_owned(), took: begun.elapsed(), outcome });
    }
}

/// Runs a program to its end; any exit but zero is an error that shows the command to repeat.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| shown(command))?;
    if !status.success() {
        bail!("{status}: {}", shown(command));
    }
    Ok(())
}

/// What a program prints; any exit but zero is an error that shows what it complained of.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| shown(command))?;
    if !output.status.success() {
        bail!(
            "{}: {}\n{}",
            output.status,
            shown(command),
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    String::from_utf8(output.stdout).with_context(|| shown(command))
}

/// How many tests a runner says it ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Counts {
    fn any(self) -> bool {
        self != Self::default()
    }

    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// Whether a run that exited so and counted this much passed.
    fn verdict(self, exited_well: bool) -> Result<()> {
        if self.failed > 0 {
            bail!("{} failed", self.failed);
        }
        if !exited_well {
            bail!("it did not end well");
        }
        if self.passed == 0 {
            bail!("no test ran");
        }
        Ok(())
    }

    /// Adds what one printed line says: cargo's `test result: ok. 3 passed; 0 failed; 1 ignored; …`, node's `# pass 3`,
    /// or `ℹ pass 3` where it prints for people.
    fn read(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            let (_, numbers) = result.split_once(". ").unwrap_or_default();
            for part in numbers.split("; ") {
                self.tally(part.split_once(' ').map(|(number, what)| (what, number)));
            }
        } else if let Some(tally) = line.strip_prefix("# ").or_else(|| line.strip_prefix("ℹ ")) {
            self.tally(tally.split_once(' '));
        }
    }

    fn tally(&mut self, tally: Option<(&str, &str)>) {
        let Some((what, number)) = tally else { return };
        let Ok(number) = number.parse::<u64>() else { return };
        match what {
            "passed" | "pass" => self.passed += number,
            "failed" | "fail" | "cancelled" => self.failed += number,
            "ignored" | "skipped" | "todo" => self.skipped += number,
            _ => {}
        }
    }
}

/// Runs a program, passes on what it prints, and reads the counts and what failed from it.
fn count(command: &mut Command, failures: &mut Failures, out: &mut impl Write) -> Result<(bool, Counts)> {
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| shown(command))?;
    let printed = child.stdout.take().context("the program's output is piped")?;
    let mut counts = Counts::default();
    for line in BufReader::new(printed).split(b'\n') {
        let line = line?;
        out.write_all(&line)?;
        out.write_all(b"\n")?;
        let line = String::from_utf8_lossy(&line);
        counts.read(&line);
        failures.read(&line);
    }
    Ok((child.wait()?.success(), counts))
}

fn announce(name: &str) {
    println!("\n==> {name}");
}

/// The command as one would type it.
fn shown(command: &Command) -> String {
    let variables = command.get_envs().filter_map(|(name, value)| {
        Some(format!("{}={:?}", name.to_string_lossy(), value?.to_string_lossy()))
    });
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    variables.chain(words.map(|word| word.to_string_lossy().into_owned())).collect::<Vec<_>>().join(" ")
}

#[expect(clippy::disallowed_methods, reason = "a step is timed by the clock on the wall")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_lines_of_both_runners_are_counted() {
        let mut counts = Counts::default();
        counts.read(
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.02s",
        );
        counts.read("test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out");
        counts.read("# pass 4");
        counts.read("# fail 2");
        counts.read("# cancelled 1");
        counts.read("ℹ pass 5");
        counts.read("ℹ todo 1");
        assert_eq!(counts, Counts { passed: 23, failed: 4, skipped: 2 });
    }

    #[test]
    fn a_line_that_only_looks_like_a_count_counts_nothing() {
        let mut counts = Counts::default();
        for line in ["test result", "# passing through 4", "passed 4", "# pass four", "test result: 4 passed"]
        {
            counts.read(line);
        }
        assert!(!counts.any());
    }

    #[test]
    fn a_run_passes_only_if_a_test_ran_and_none_failed() {
        for (script, passes) in [
            ("echo 'test result: ok. 1 passed; 0 failed; 0 ignored'", true),
            ("echo 'test result: ok. 0 passed; 0 failed; 2 ignored'", false),
            ("echo 'test result: FAILED. 1 passed; 1 failed; 0 ignored'", false),
            ("echo 'test result: ok. 1 passed; 0 failed; 0 ignored'; exit 101", false),
            ("true", false),
        ] {
            let mut echoed = Vec::new();
            let mut command = Command::new("sh");
            let (exited_well, counts) =
                count(command.args(["-c", script]), &mut Failures::default(), &mut echoed).expect("sh runs");
            assert_eq!(counts.verdict(exited_well).is_ok(), passes, "{script}");
            assert_eq!(echoed.is_empty(), script == "true", "what it prints is passed on");
        }
    }
}
