//! Counts panics that are not a test's own.

use std::{
    panic,
    sync::{
        Once,
        atomic::{AtomicUsize, Ordering},
    },
};

static PANICS: AtomicUsize = AtomicUsize::new(0);
static HOOK: Once = Once::new();

/// Begins to count.
pub(crate) fn watch() {
    HOOK.call_once(|| {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if info.location().is_none_or(|place| !place.file().starts_with("tests/")) {
                PANICS.fetch_add(1, Ordering::Relaxed);
            }
            hook(info);
        }));
    });
}

/// Fails if there was any.
#[track_caller]
pub(crate) fn assert_none() {
    assert_eq!(PANICS.load(Ordering::Relaxed), 0, "the gateway panicked");
}

#[test]
fn a_panic_outside_of_the_tests_is_counted() {
    // This one's place is a test, so it must not count, or the others would fail.
    watch();
    let _ = panic::catch_unwind(|| panic!("on purpose"));
    assert_none();
}
