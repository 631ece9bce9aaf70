//! Small herds: that they are played at all, that a run repeats itself, and that they keep below the bars of docs/herd.md.

use throughline_herd::{Plan, formulas, play, play_drain};

const PLAN: Plan = Plan { clients: 300, down_ms: 2_000, rate: 100, window_ms: None, seed: 1 };

#[test]
fn everybody_comes_back_after_a_crash_and_no_sooner_than_the_gateway() {
    let run = play(PLAN);
    assert_eq!(run.back.len(), PLAN.clients);
    assert!(run.back.iter().all(|at| *at >= PLAN.down_ms));
    assert!(run.mean() >= 1.0, "each knocks at least once: {}", run.mean());
}

/// A tenth of the clients of docs/herd.md at a tenth of the rate: so a tenth of its attempts in 100 ms, and its times.
fn tenth(down_ms: u64, seed: u64) -> Plan {
    Plan { clients: 10_000, down_ms, rate: 250, window_ms: None, seed }
}

#[test]
fn after_half_a_minute_a_great_herd_comes_back_within_its_window_and_knocks_no_faster_than_it_is_let_in() {
    for seed in 1..=3 {
        let run = play(tenth(30_000, seed));
        assert!(run.peak() < 50, "{seed}: {} in 100 ms", run.peak());
        assert!(run.mean() <= 2.0, "{seed}: {} of each", run.mean());
        assert!(run.back_ms(99).is_some_and(|ms| ms <= 50_000), "{seed}: {:?}", run.back_ms(99));
    }
}

#[test]
fn after_five_minutes_it_knocks_no_faster() {
    let run = play(tenth(300_000, 1));
    assert!(run.peak() < 50, "{} in 100 ms", run.peak());
    assert!(run.back_ms(99).is_some_and(|ms| ms <= 50_000), "{:?}", run.back_ms(99));
}

#[test]
fn a_thousand_clients_are_back_within_a_second_of_a_short_restart_and_within_the_cap_of_a_long_one() {
    for seed in 1..=5 {
        let plan = Plan { clients: 1_000, down_ms: 200, rate: 2_500, window_ms: None, seed };
        let run = play(plan);
        assert!(run.back_ms(100).is_some_and(|ms| ms <= 1_000), "{seed}: {:?}", run.back_ms(100));
        let run = play(Plan { down_ms: 30_000, ..plan });
        assert!(run.back_ms(99).is_some_and(|ms| ms <= 30_000), "{seed}: {:?}", run.back_ms(99));
    }
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
