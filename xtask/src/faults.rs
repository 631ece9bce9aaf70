//! Faults planted into the session core, each of which the random schedules have to find.
//!
//! A check that cannot fail proves nothing. So a copy of the workspace, `target/faults`, gets one wrong line at a time,
//! in the source itself, and is tortured; the run passes only if every fault breaks a promise within the schedules that
//! the test command plays. The core itself carries no switch for this. A fault whose line has changed meanwhile is an
//! error, so the list stays true.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};

use crate::cargo::{Workspace, cargo};
use crate::steps::Steps;

/// How many schedules a fault may survive: as many as the test command plays.
const SCHEDULES: u64 = 20_000;

/// One wrong line.
struct Fault {
    /// What goes wrong, and the rule that says so.
    what: &'static str,
    file: &'static str,
    /// The right text, which is there once.
    right: &'static str,
    wrong: &'static str,
}

/// The faults, by the rule that each breaks.
const FAULTS: &[Fault] = &[
    Fault {
        what: "L1: a poll that comes late is taken for the newest attach",
        file: "src/session/attach.rs",
        right: "if number <= self.attach && !repeated {",
        wrong: "if number < self.attach && number > self.attach && !repeated {",
    },
    Fault {
        what: "L3: the re-send of a new link begins one item late",
        file: "src/session/attach.rs",
        right: "next: self.journal.floor() + 1, // L3",
        wrong: "next: (self.journal.floor() + 2).min(self.journal.next()),",
    },
    Fault {
        what: "L4: another client object goes on under the same numbers",
        file: "src/session/rebuild.rs",
        right: "|| hello.instance != self.instance // L4",
        wrong: "",
    },
    Fault {
        what: "L7: an attach leaves the older links as they are",
        file: "src/session/attach.rs",
        right: "link.standing = Standing::Fenced;",
        wrong: "",
    },
    Fault {
        what: "L14: what is acknowledged within a run renumbers the rest",
        file: "src/session/journal.rs",
        right: "self.offset = self.offset_of(self.first + count);",
        wrong: "",
    },
    Fault {
        what: "C1: a command that ran ahead is taken, and the one before it with it",
        file: "src/session/commands.rs",
        right: "if number == self.commands.received + 1 && self.may_take() {",
        wrong: "if number > self.commands.received && self.may_take() {",
    },
    Fault {
        what: "C2: a rebuilt session waits for one command too high",
        file: "src/session/rebuild.rs",
        right: "self.commands.restart(resume.low.saturating_sub(1),",
        wrong: "self.commands.restart(resume.low,",
    },
    Fault {
        what: "C3: a send is applied again after a rebuild",
        file: "src/session/commands.rs",
        right: "let again = number <= self.commands.highest;",
        wrong: "let again = number > MAX_INTEGER;",
    },
    Fault {
        what: "C4: one command more is acknowledged than was taken",
        file: "src/session/transmit.rs",
        right: "let up_to = self.commands.received;",
        wrong: "let up_to = self.commands.received + 1;",
    },
    Fault {
        what: "N1: a rebuilt session keeps its incarnation",
        file: "src/session/rebuild.rs",
        right: "self.incarnation += 1;",
        wrong: "",
    },
    Fault {
        what: "G3: the gap of a trimmed log is not told",
        file: "src/session/subscription.rs",
        right: "if self.cursor.offset < log.base() {",
        wrong: "if self.cursor.offset < log.base() && log.is_exhausted() {",
    },
    Fault {
        what: "G3: a log that began anew goes unnoticed",
        file: "src/session/subscription.rs",
        right: "if self.cursor.epoch != head.epoch {",
        wrong: "if self.cursor.epoch != head.epoch && log.is_exhausted() {",
    },
    Fault {
        what: "L15: the window that opened wakes nobody",
        file: "src/session/attach.rs",
        right: "self.wake_active(); // the window may have opened",
        wrong: "",
    },
    Fault {
        what: "an event that is gone is skipped when its run is sent again",
        file: "src/session/transmit.rs",
        right: "let sent = out.push(&out.codec.encode_item(&Item::Gap(lost(run, offset, reason))));",
        wrong: "let _ = lost(run, offset, reason); let sent = true;",
    },
    Fault {
        what: "what is left out for a session that is behind is not told",
        file: "src/session/pull.rs",
        right: "self.tell(gap, encoded);",
        wrong: "drop((gap, encoded));",
    },
    Fault {
        what: "the newest event of a key is left out",
        file: "src/channel/latest.rs",
        right: "seen.insert(entry.key())",
        wrong: "seen.insert(entry.key().map(|_| \"\"))",
    },
    Fault {
        what: "a session that is not behind is told a gap",
        file: "src/session/slow.rs",
        right: "unsent > self.events",
        wrong: "unsent > 0",
    },
    Fault {
        what: "P1: whoever asks again to take part is not told everybody again",
        file: "src/session/presence.rs",
        right: "(place.told, place.hold) = (None, Hold::Held);",
        wrong: "place.hold = Hold::Held;",
    },
    Fault {
        what: "P2: whoever comes is told differences alone",
        file: "src/session/presence.rs",
        right: "told: None, last, hold: Hold::Held });",
        wrong: "told: Some(channel.turnover()), last, hold: Hold::Held });",
    },
    Fault {
        what: "P3: whoever went and came back is told as new",
        file: "src/channel/presence.rs",
        right: "Some(true) if change.is_join =>",
        wrong: "Some(_) if change.is_join =>",
    },
    Fault {
        what: "P4: a presence is left out when it is to be sent again",
        file: "src/session/transmit.rs",
        right: "Numbered::Presence { told, .. } => out.push(told.encoded(out.codec)),",
        wrong: "Numbered::Presence { .. } => true,",
    },
    Fault {
        what: "P5: a session without a link is gone at once",
        file: "src/session/life.rs",
        right: "detached_ms + self.config.presence_grace_ms",
        wrong: "detached_ms",
    },
    Fault {
        what: "a session that was lost and came back is not told to be found",
        file: "src/session/life.rs",
        right: "if std::mem::take(&mut self.is_lost) {",
        wrong: "if std::mem::take(&mut self.is_lost) && false {",
    },
    Fault {
        what: "P6: nobody is woken for a session that is over",
        file: "src/session/ending.rs",
        right: "self.disappear();",
        wrong: "",
    },
    Fault {
        what: "P7: a session takes part before its client is known",
        file: "src/session/presence.rs",
        right: "matches!(self.phase, Phase::Established { .. })",
        wrong: "true",
    },
    Fault {
        what: "P8: a page that is loaded again is gone at once",
        file: "src/session/presence.rs",
        right: "until_ms: now_ms + self.config.presence_grace_ms",
        wrong: "until_ms: now_ms",
    },
    Fault {
        what: "P8: presence is told before the channel is granted again",
        file: "src/session/presence.rs",
        right: "if place.hold != Hold::Held",
        wrong: "if false",
    },
];

/// Plants each fault, and sees the schedules find it.
pub(crate) fn faults(steps: &mut Steps, workspace: &Workspace) -> Result<()> {
    let copy = workspace.target.join("faults");
    // Not with the workspace itself: cargo would take what was built of one for what is to be built of the other.
    let build = &workspace.target.join("faults-build");
    steps.check("a copy of the workspace", || copy_folder(Path::new("."), &copy))?;
    steps.check("the copy keeps every promise", || {
        let output = torture(&copy, build)?;
        if !output.status.success() {
            bail!("it does not, before any fault is planted:\n{}", said(&output));
        }
        Ok(())
    })?;
    for fault in FAULTS {
        steps.check(fault.what, || plant(fault, &copy, build))?;
    }
    Ok(())
}

/// Plants one fault, and takes it back.
fn plant(fault: &Fault, copy: &Path, build: &Path) -> Result<()> {
    let path = copy.join(fault.file);
    let source = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    if source.matches(fault.right).count() != 1 {
        bail!("{} has the line of this fault not once: {}", fault.file, fault.right);
    }
    fs::write(&path, source.replacen(fault.right, fault.wrong, 1))?;
    let output = torture(copy, build);
    fs::write(&path, source)?;
    let output = output?;
    let said = said(&output);
    let Some(found) = said.lines().find(|line| line.contains("broke a promise after")) else {
        bail!("it is not found in {SCHEDULES} schedules:\n{said}");
    };
    println!("{found}");
    Ok(())
}

fn torture(copy: &Path, build: &Path) -> Result<Output> {
    let mut torture: Command = cargo();
    torture
        .args(["test", "--quiet", "--package", "throughline", "--no-default-features", "--test", "session"])
        .args(["torture", "--", "--nocapture"])
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", build)
        .env("RUST_BACKTRACE", "0")
        .env("THROUGHLINE_TORTURE_SCHEDULES", SCHEDULES.to_string())
        .env_remove("THROUGHLINE_TORTURE_SEED");
    torture.output().context("cargo runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Copies what cargo needs; a file that has not changed is left alone, so that a second run builds little.
fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        let (source, copy): (PathBuf, PathBuf) = (entry.path(), to.join(&name));
        if kind.is_dir() && !["target", ".git", "node_modules"].iter().any(|skipped| name == *skipped) {
            copy_folder(&source, &copy)?;
        } else if kind.is_file() {
            let bytes = fs::read(&source)?;
            if fs::read(&copy).ok().as_ref() != Some(&bytes) {
                fs::write(&copy, bytes)?;
            }
        }
    }
    Ok(())
}
