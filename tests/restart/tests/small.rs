//! A small herd: that each scene is played to its end, and that everything is as it must be but for what only a large one
//! shows.

use std::{path::PathBuf, time::Duration};

use throughline_restart::{
    crash::{self, Plan},
    drain,
    judged::Judged,
    process::Programs,
};

/// This crate's own program, and the gateway's beside it, which `cargo test --workspace` builds too.
fn programs() -> Programs {
    let herd = PathBuf::from(env!("CARGO_BIN_EXE_throughline-restart"));
    let gateway = herd.with_file_name("throughline");
    assert!(gateway.is_file(), "`cargo build` has to build the gateway first");
    Programs { gateway, herd }
}

#[tokio::test]
async fn all_come_back_from_a_crash_to_what_they_want_and_every_gap_is_told() {
    let plan = Plan {
        sessions: 200,
        lived: Duration::ZERO,
        pause: Duration::from_millis(300),
        rate: 2_500,
        pace: 1_000,
        sends: 100,
        every: Duration::from_millis(20),
        patience: Duration::from_secs(120),
    };
    let crash = crash::play(&programs(), plan, &|_| ()).await.unwrap();
    assert_eq!(crash.judged.misses([]), Vec::<String>::new());
    let sent = crash.judged.sent;
    assert!(sent.outcomes[0] > 0, "something was sent: {sent:?}");
    let figures = &crash.figures;
    assert_eq!((figures.back.len(), figures.wanted.len()), (200, 200));
    assert!(figures.after() >= 200, "each has knocked: {figures:?}");
}

#[tokio::test]
async fn a_successor_takes_over_and_everybody_comes_back_to_what_they_want() {
    let plan = drain::Plan {
        sessions: 200,
        lived: Duration::ZERO,
        rate: 1_000,
        pace: 200,
        sends: 200,
        every: Duration::from_millis(20),
        patience: Duration::from_secs(120),
    };
    let drain = drain::play(&programs(), plan, &|_| ()).await.unwrap();
    // Who was told once, and kept its place, depends on how much else this machine does: `cargo xtask drain` judges that.
    assert_eq!(drain.breaks, 0, "{:?}", drain.broken);
    let Judged { account, sent, faults, .. } = drain.judged;
    assert!(faults.is_empty(), "{faults:?}");
    assert!(account.is_clean(), "{account:?}");
    assert!(sent.is_clean(), "{sent:?}");
    assert!(sent.outcomes[0] > 0, "something was sent: {sent:?}");
}
