//! Random schedules for the session core, against a model.
//!
//! A [schedule] follows from its seed: clients that open, resume, probe, migrate, reload and are copied; a [network] that
//! loses, delays, repeats and cuts; a [gateway] that does what a driver does; logs that are trimmed and begun anew; an
//! application that answers in any order. The [client] is written from the protocol and shares no code with
//! the core but the wire's codecs; the [truth] of what was published is kept apart, and a [view] says of every item
//! whether it may come now. After the hostile part the network is well, and all that is owed has to arrive.
//!
//! The first promise that is broken ends the run and prints the seed that repeats it. Played alone, that seed tells
//! its story. `THROUGHLINE_TORTURE_SCHEDULES` and `THROUGHLINE_TORTURE_SEED` say how many, from which seed on.
//!
//! Whether these schedules would find a fault is not believed but tried: `cargo xtask faults` plants one wrong line at
//! a time into a copy of the core's source. A wrong line is what a mistake looks like; a harness that only pretended
//! to be a faulty core would test its own pretence, and switches in the core would be read by all who read it.

mod calm;
mod client;
mod coverage;
mod effects;
mod gateway;
mod life;
mod network;
mod plain;
mod presence;
#[path = "../../support/random.rs"]
#[allow(dead_code, reason = "shared with other tests, which use other parts")]
mod random;
mod schedule;
mod speech;
mod truth;
mod view;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use coverage::Coverage;

/// How many schedules the test command plays, and how often each thing has to be met in them.
const SCHEDULES: u64 = 20_000;
const TIMES: u64 = 1_000;

#[test]
fn every_promise_holds_under_random_schedules() {
    let schedules = setting("THROUGHLINE_TORTURE_SCHEDULES", SCHEDULES);
    let seed = setting("THROUGHLINE_TORTURE_SEED", 1);
    let coverage = play_all(seed, schedules);
    println!("{schedules} schedules from seed {seed} met\n{coverage}");
    let rare = coverage.below(TIMES * schedules / SCHEDULES);
    assert!(schedules < SCHEDULES || rare.is_empty(), "too rare to mean anything: {rare:?}");
}

fn setting(name: &str, default: u64) -> u64 {
    let Ok(value) = std::env::var(name) else { return default };
    value.parse().unwrap_or_else(|_| panic!("{name} is not a number: {value}"))
}

/// Plays schedules on every core there is.
fn play_all(seed: u64, schedules: u64) -> Coverage {
    let next = AtomicU64::new(0);
    let has_failed = AtomicBool::new(false);
    let sum = Mutex::new(Coverage::new());
    let work = || {
        let mut met = Coverage::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= schedules || has_failed.load(Ordering::Relaxed) {
                break;
            }
            let seed = seed.wrapping_add(index);
            match catch_unwind(AssertUnwindSafe(|| schedule::play(seed, schedules == 1))) {
                Ok(coverage) => met.add(&coverage),
                Err(panic) => {
                    has_failed.store(true, Ordering::Relaxed);
                    let why = why(panic.as_ref());
                    eprintln!("seed {seed} broke a promise after {index} schedules: {why}\n{}", repeat(seed));
                }
            }
        }
        sum.lock().expect("nobody panics with it").add(&met);
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    assert!(!has_failed.load(Ordering::Relaxed), "a promise was broken; the seed is above");
    sum.into_inner().expect("nobody panics with it")
}

/// What the panic of a broken promise says.
fn why(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words")
}

fn repeat(seed: u64) -> String {
    format!(
        "alone it tells its story:\n  THROUGHLINE_TORTURE_SCHEDULES=1 THROUGHLINE_TORTURE_SEED={seed} cargo test -p throughline \
         --no-default-features --test session torture -- --nocapture"
    )
}
