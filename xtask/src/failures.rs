//! What failed tests say, repeated at the end of a run: of a log that is cut short, the end is what is left.

/// How many lines of each are repeated; what went before its backtrace, mostly.
const LINES: usize = 20;

/// The words of failed tests so far.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Failures {
    lines: Vec<String>,
    /// How many lines more of the one that speaks.
    more: usize,
}

impl Failures {
    /// Looks at one printed line: Rust's `---- name stdout ----` and what follows, node's `not ok 3 - name` with its details, or
    /// what it closes with where it prints for people.
    pub(crate) fn read(&mut self, line: &str) {
        let bare = line.trim();
        let begins = (line.starts_with("---- ") && line.ends_with(" stdout ----"))
            || bare.starts_with("not ok ")
            || bare == "✖ failing tests:";
        let ends = matches!(bare, "failures:" | "stack backtrace:" | "...");
        if begins {
            self.more = LINES;
        } else if ends {
            self.more = 0;
        }
        if self.more > 0 {
            self.more -= 1;
            self.lines.push(line.to_owned());
        }
    }

    /// Prints them, if there are any.
    pub(crate) fn print(&self) {
        if !self.lines.is_empty() {
            println!("\nwhat failed:\n{}", self.lines.join("\n"));
        }
    }

    /// Adds those of another run.
    pub(crate) fn add(&mut self, others: Self) {
        self.lines.extend(others.lines);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(printed: &str) -> Vec<String> {
        let mut failures = Failures::default();
        printed.lines().for_each(|line| failures.read(line));
        failures.lines
    }

    #[test]
    fn the_words_of_a_failed_test_are_kept_without_what_surrounds_them() {
        let rust = "test a ... FAILED\ntest b ... ok\n\nfailures:\n\n---- a stdout ----\nthread 'a' panicked at a.rs:1:1:\n\
                    left is 1\nstack backtrace:\n   0: somewhere\n\nfailures:\n    a\n\ntest result: FAILED. 1 passed; 1 failed";
        assert_eq!(kept(rust), ["---- a stdout ----", "thread 'a' panicked at a.rs:1:1:", "left is 1"]);
        let node = "ok 1 - a\n# Subtest: b\nnot ok 2 - b\n  ---\n  error: 'no'\n  ...\nok 3 - c\n";
        assert_eq!(kept(node), ["not ok 2 - b", "  ---", "  error: 'no'"]);
    }

    #[test]
    fn a_run_without_a_failure_and_a_long_one_are_no_flood() {
        assert!(kept("test a ... ok\ntest result: ok. 1 passed; 0 failed").is_empty());
        let long = format!("---- a stdout ----\n{}", "again\n".repeat(1_000));
        assert_eq!(kept(&long).len(), LINES);
    }
}
