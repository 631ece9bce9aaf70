//! Small herds: that they are played at all, and that a run repeats itself.

use throughline_herd::{Plan, formulas, play, play_drain};

const PLAN: Plan = Plan { clients: 300, down_ms: 2_000, rate: 100, window_ms: None, seed: 1 };

#[test]
fn everybody_comes_back_after_a_crash_and_no_sooner_than_the_gateway() {
    let run = play(PLAN);
    assert_eq!(run.back.len(), PLAN.clients);
    assert!(run.back.iter().all(|at| *at >= PLAN.down_ms));
    assert!(run.mean() >= 1.0, "each knocks at least once: {}", run.mean());
}

#[test]
fn no_more_are_let_in_than_the_rate_allows() {
    // Nobody was told of a window: they come as they like.
    let run = play(Plan { clients: 1_000, window_ms: Some(0), ..PLAN });
    assert_eq!(run.back.len(), 1_000);
    for from in (0..30_000).step_by(100) {
        let in_a_second = run.back.iter().filter(|at| (from..from + 1_000).contains(*at)).count();
        // A second of places, the burst, and what trips of other lengths bring together.
        assert!(in_a_second <= 100 + 32 + 50, "{in_a_second} from {from} ms on");
    }
}

#[test]
fn the_same_seed_plays_the_same_run() {
    let (one, two) = (play(PLAN), play(PLAN));
    assert_eq!((one.attempts, one.back), (two.attempts, two.back));
    assert_ne!(play(Plan { seed: 2, ..PLAN }).attempts, play(PLAN).attempts);
}

#[test]
fn the_others_come_back_too_unless_they_give_up() {
    for formula in formulas::ALL {
        assert_eq!(formula.play(PLAN).back.len(), PLAN.clients, "{}", formula.name);
    }
    let long = Plan { down_ms: 300_000, ..PLAN };
    let back = formulas::ALL.map(|formula| (formula.name, formula.play(long).back.len()));
    assert_eq!(back.map(|(_, count)| count), [300, 300, 0, 300], "{back:?}");
}

#[test]
fn in_an_announced_drain_each_client_knocks_once_and_is_let_in() {
    for clients in [300, 1_000] {
        let run = play_drain(Plan { clients, ..PLAN });
        assert_eq!((run.attempts.len(), run.back.len()), (clients, clients));
        let longest = clients as u64 * 1_000 / PLAN.rate + 1_000;
        assert!(
            run.back.iter().all(|at| *at < longest),
            "no later than its place: {:?}",
            run.back.iter().max()
        );
    }
}
