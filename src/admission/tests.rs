use throughline_wire::SessionId;

use super::*;

const RESUME: Class = Class::Resume;
const NEWCOMER: Class = Class::Newcomer;

fn keys() -> TokenKeys {
    TokenKeys::from_random([3; 32])
}

fn at(ms: u64) -> Now {
    Now { mono_ms: ms, wall_ms: 1_000_000_000 + ms }
}

fn session(n: u64) -> Holder<'static> {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    Holder::Session(SessionId::from_random(bytes))
}

fn user(name: &str) -> Holder<'_> {
    Holder::User { user: name, instance: "i" }
}

/// A door of 1 a second and no burst.
fn narrow() -> Admission {
    Admission::new(1, 1)
}

#[track_caller]
fn appointed(verdict: (Verdict, Option<SlotFault>)) -> (u64, String) {
    match verdict {
        (Verdict::Appointed { delay_ms, slot }, None) => (delay_ms, slot.to_string()),
        other => panic!("no appointment: {other:?}"),
    }
}

#[track_caller]
fn windowed(verdict: Verdict) -> (u64, u64) {
    match verdict {
        Verdict::Windowed { delay_ms, spread_ms } => (delay_ms, spread_ms),
        other => panic!("no window: {other:?}"),
    }
}

#[test]
fn whoever_comes_within_the_rate_is_let_in_however_long() {
    let (mut door, keys) = (Admission::new(100, 1), keys());
    for n in 0..10_000 {
        assert_eq!(door.ask(at(n * 10), &keys, RESUME, Some(session(n)), None), (Verdict::Admitted, None));
    }
}

#[test]
fn a_burst_is_let_in_at_once_and_those_behind_it_one_place_after_the_other() {
    let (mut door, keys) = (Admission::new(100, 5), keys());
    let verdicts: Vec<_> = (0..8).map(|n| door.ask(at(0), &keys, RESUME, Some(session(n)), None).0).collect();
    assert_eq!(verdicts[..5], [Verdict::Admitted; 5]);
    let delays: Vec<_> = verdicts[5..]
        .iter()
        .map(|verdict| match verdict {
            Verdict::Appointed { delay_ms, .. } => *delay_ms,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(delays, [10, 20, 30]);
}

#[test]
fn without_a_burst_of_its_own_a_door_takes_a_tenth_of_its_rate_and_at_least_32() {
    let keys = keys();
    for (rate, burst) in [(1, 32), (2_500, 250)] {
        let mut door = Admission::new(rate, 0);
        let let_in = (0..1_000)
            .take_while(|n| door.ask(at(0), &keys, RESUME, Some(session(*n)), None).0 == Verdict::Admitted)
            .count();
        assert_eq!(let_in, burst);
    }
}

#[test]
fn whoever_comes_back_on_its_slot_is_let_in_and_not_charged_again() {
    let (mut door, keys) = (narrow(), keys());
    assert_eq!(door.ask(at(0), &keys, RESUME, Some(session(0)), None).0, Verdict::Admitted);
    let (first, slot) = appointed(door.ask(at(0), &keys, RESUME, Some(session(1)), None));
    let (second, _) = appointed(door.ask(at(0), &keys, RESUME, Some(session(2)), None));
    assert_eq!((first, second), (1_000, 2_000));
    let back = door.ask(at(first), &keys, RESUME, Some(session(1)), Some(&slot));
    assert_eq!(back, (Verdict::Kept, None));
    let (third, _) = appointed(door.ask(at(first), &keys, RESUME, Some(session(3)), None));
    assert_eq!(first + third, 3_000, "the next place is where it was");
}

#[test]
fn a_slot_is_good_from_a_little_before_until_a_minute_after_its_time() {
    let keys = keys();
    for (ms, expected) in [
        (8_999, Some(SlotFault::Early)),
        (9_000, None),
        (10_000, None),
        (70_000, None),
        (70_001, Some(SlotFault::Late)),
    ] {
        let mut door = narrow();
        let slot = Slot::sign(&keys, RESUME, session(1), at(10_000).wall_ms).to_string();
        let (verdict, fault) = door.ask(at(ms), &keys, RESUME, Some(session(1)), Some(&slot));
        assert_eq!(fault, expected, "at {ms}");
        assert_eq!(verdict == Verdict::Kept, expected.is_none(), "at {ms}");
    }
}

#[test]
fn a_slot_of_another_counts_as_none() {
    let keys = keys();
    let mine = Slot::sign(&keys, NEWCOMER, user("ann"), at(0).wall_ms).to_string();
    let others = [
        Holder::User { user: "ann", instance: "j" },
        user("bob"),
        Holder::User { user: "an", instance: "ni" },
        session(1),
    ];
    let ask = |class, holder, shown: &str| narrow().ask(at(0), &keys, class, holder, Some(shown));
    assert_eq!(ask(NEWCOMER, Some(user("ann")), &mine), (Verdict::Kept, None));
    for holder in others.map(Some).into_iter().chain([None]) {
        assert_eq!(ask(NEWCOMER, holder, &mine), (Verdict::Admitted, Some(SlotFault::Forged)), "{holder:?}");
    }
    assert_eq!(ask(RESUME, Some(user("ann")), &mine).1, Some(SlotFault::Forged));
}

#[test]
fn a_slot_that_was_changed_anywhere_is_a_forgery_and_so_is_one_of_another_key() {
    let keys = keys();
    let slot = Slot::sign(&keys, RESUME, session(1), at(0).wall_ms).to_string();
    let fault = |shown: &str, keys| narrow().ask(at(0), keys, RESUME, Some(session(1)), Some(shown)).1;
    assert_eq!(fault(&slot, &keys), None);
    for i in 0..slot.len() - 1 {
        let mut forged = slot.clone().into_bytes();
        forged[i] = if forged[i] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(forged).unwrap();
        assert_eq!(fault(&forged, &keys), Some(SlotFault::Forged), "{forged} at {i}");
    }
    for forged in ["", "x", &slot[1..], &format!("{slot}A"), &"A".repeat(1_024)] {
        assert_eq!(fault(forged, &keys), Some(SlotFault::Forged), "{forged}");
    }
    assert_eq!(fault(&slot, &TokenKeys::from_random([4; 32])), Some(SlotFault::Forged));
}

#[test]
fn beyond_the_horizon_nobody_gets_a_place() {
    let (mut door, keys) = (narrow(), keys());
    door.ask(at(0), &keys, RESUME, Some(session(0)), None);
    for n in 1..=60 {
        assert_eq!(appointed(door.ask(at(0), &keys, RESUME, Some(session(n)), None)).0, n * 1_000);
    }
    let windows: Vec<_> =
        (61..70).map(|n| windowed(door.ask(at(0), &keys, RESUME, Some(session(n)), None).0)).collect();
    assert!(
        windows.iter().all(|(delay_ms, spread_ms)| delay_ms + spread_ms / 2 >= HORIZON_MS),
        "{windows:?}"
    );
    assert!(windows.is_sorted_by(|a, b| a.0 < b.0), "each is sent further than the one before: {windows:?}");
    for n in 70..10_000 {
        let (delay_ms, spread_ms) = windowed(door.ask(at(0), &keys, RESUME, Some(session(n)), None).0);
        assert!(delay_ms + spread_ms <= LONGEST_MS * 3 / 2 + 2_000, "and nobody for ever");
    }
    assert_eq!(appointed(door.ask(at(30_000), &keys, RESUME, Some(session(99)), None)).0, 31_000);
}

#[test]
fn a_stranger_gets_a_window_and_takes_no_place() {
    let (mut door, keys) = (narrow(), keys());
    assert_eq!(door.ask(at(0), &keys, NEWCOMER, None, None).0, Verdict::Admitted);
    for _ in 0..1_000 {
        windowed(door.ask(at(0), &keys, NEWCOMER, None, None).0);
    }
    assert_eq!(appointed(door.ask(at(0), &keys, NEWCOMER, Some(user("ann")), None)).0, 1_000);
}

#[test]
fn those_without_a_place_come_back_at_about_the_rate() {
    let (mut door, keys) = (Admission::new(100, 1), keys());
    // How many are expected in each second, if each comes at a random time of its window.
    let mut expected = vec![0.0; 200];
    door.ask(at(0), &keys, NEWCOMER, None, None);
    for _ in 0..5_000 {
        let (delay_ms, spread_ms) = windowed(door.ask(at(0), &keys, NEWCOMER, None, None).0);
        for (second, expected) in expected.iter_mut().enumerate() {
            let (from, to) = (second as u64 * 1_000, second as u64 * 1_000 + 1_000);
            let overlap = to.min(delay_ms + spread_ms).saturating_sub(from.max(delay_ms));
            *expected += overlap as f64 / spread_ms as f64;
        }
    }
    let peak = expected.iter().skip(2).copied().fold(0.0, f64::max);
    assert!((90.0..=125.0).contains(&peak), "{peak} a second");
}

/// The waits of 1,000 resumes that come in one second, the first of them after `newcomers` have knocked; in between
/// more of them knock.
fn waits(newcomers: usize, strangers: bool) -> Vec<u64> {
    let (mut door, keys) = (Admission::new(100, 10), keys());
    let names: Vec<_> = (0..newcomers).map(|n| n.to_string()).collect();
    let mut knocking = names.iter();
    let mut knock = |door: &mut Admission, ms, count| {
        for name in knocking.by_ref().take(count) {
            door.ask(at(ms), &keys, NEWCOMER, (!strangers).then(|| user(name)), Some("forged"));
        }
    };
    knock(&mut door, 0, newcomers / 2);
    let mut waits = Vec::new();
    for n in 0..1_000 {
        knock(&mut door, n, newcomers / 2_000);
        waits.push(match door.ask(at(n), &keys, RESUME, Some(session(n)), None).0 {
            Verdict::Admitted => 0,
            Verdict::Appointed { delay_ms, .. } => delay_ms,
            other => panic!("{other:?}"),
        });
    }
    waits
}

#[test]
fn beside_100_000_newcomers_no_resume_waits_longer_than_without_them() {
    let alone = waits(0, false);
    assert_eq!(alone.iter().max(), Some(&8_901), "1,000 in the first second, 100 a second, 10 at once");
    assert_eq!(waits(100_000, false), alone);
    assert_eq!(waits(100_000, true), alone);
}

#[test]
fn newcomers_are_placed_behind_the_resumes_that_were_there_before_them() {
    let (mut door, keys) = (Admission::new(100, 1), keys());
    for n in 0..=1_000 {
        door.ask(at(0), &keys, RESUME, Some(session(n)), None);
    }
    assert_eq!(appointed(door.ask(at(0), &keys, NEWCOMER, Some(user("ann")), None)).0, 10_010);
    assert_eq!(appointed(door.ask(at(0), &keys, RESUME, Some(session(2_000)), None)).0, 10_010);
    assert_eq!(appointed(door.ask(at(0), &keys, NEWCOMER, Some(user("bob")), None)).0, 10_030);
}

#[test]
fn what_newcomers_were_promised_before_a_herd_they_give_back_behind_it() {
    let (mut door, keys) = (Admission::new(100, 1), keys());
    for n in 0..2_000 {
        door.ask(at(0), &keys, NEWCOMER, Some(user(&n.to_string())), None);
    }
    for n in 0..2_000 {
        door.ask(at(0), &keys, RESUME, Some(session(n)), None);
    }
    // 20 s of each: 20 s at twice the rate, and then nobody is placed until 40 s are over.
    assert_eq!(appointed(door.ask(at(0), &keys, NEWCOMER, Some(user("late")), None)).0, 40_000);
}

#[test]
fn a_slot_that_is_shown_again_and_again_gains_no_more_than_the_rate_once_more() {
    let (mut door, keys) = (Admission::new(100, 10), keys());
    for n in 0..500 {
        door.ask(at(0), &keys, RESUME, Some(session(n)), None);
    }
    let slot = Slot::sign(&keys, RESUME, session(1), at(0).wall_ms).to_string();
    let mut kept = 0;
    for ms in 0..4_000 {
        for _ in 0..5 {
            let (verdict, _) = door.ask(at(ms), &keys, RESUME, Some(session(1)), Some(&slot));
            kept += u64::from(verdict == Verdict::Kept);
        }
    }
    assert!((490..=510).contains(&kept), "4 s of the rate and one beforehand, not {kept} of 20,000");
    // Those of the other class are not theirs to take.
    let newcomer = Slot::sign(&keys, NEWCOMER, user("ann"), at(4_000).wall_ms).to_string();
    let back = door.ask(at(4_000), &keys, NEWCOMER, Some(user("ann")), Some(&newcomer));
    assert_eq!(back, (Verdict::Kept, None));
}

#[test]
fn where_every_place_is_given_away_newcomers_are_refused_unseen() {
    let (mut door, keys) = (narrow(), keys());
    assert_eq!(door.refuse_unseen(at(0)), None);
    for n in 0..61 {
        assert_eq!(door.refuse_unseen(at(0)), None);
        door.ask(at(0), &keys, RESUME, Some(session(n)), None);
    }
    windowed(door.refuse_unseen(at(0)).unwrap());
    assert_eq!(door.refuse_unseen(at(1_000)), None);
}

#[test]
fn whoever_is_appointed_to_a_successor_is_let_in_there_at_the_rate_and_no_sooner() {
    let (mut places, keys) = (Admission::new(100, 1), keys());
    let mut successor = Admission::new(100, 1);
    for n in 0..200 {
        let verdict = places.appoint(at(5), &keys, RESUME, Some(session(n)), 1_000);
        let (delay_ms, slot) = appointed((verdict, None));
        assert_eq!(delay_ms, 1_000 + n * 10, "one place after the other, from the time on when it is there");
        let come = at(5 + delay_ms);
        assert_eq!(
            successor.ask(come, &keys, RESUME, Some(session(n)), Some(&slot)),
            (Verdict::Kept, None),
            "a slot of one gateway is good at another"
        );
    }
}

#[test]
fn an_appointment_beyond_the_horizon_is_a_window_and_strangers_have_nothing_else() {
    let (mut places, keys) = (Admission::new(1, 1), keys());
    for n in 0..=HORIZON_MS / 1_000 {
        appointed((places.appoint(at(0), &keys, RESUME, Some(session(n)), 0), None));
    }
    let (delay_ms, spread_ms) = windowed(places.appoint(at(0), &keys, RESUME, Some(session(99)), 0));
    assert!(delay_ms + spread_ms > HORIZON_MS, "{delay_ms} {spread_ms}");
    let (_, spread_ms) = windowed(Admission::new(1, 1).appoint(at(0), &keys, NEWCOMER, None, 0));
    assert!(spread_ms > 0);
}

#[test]
fn the_window_counts_whoever_is_let_in_and_one_that_is_back_for_more() {
    let (mut door, keys) = (Admission::new(1, 1), keys());
    let mut window_ms = |at_ms, class, sessions| {
        let (verdict, _) = door.ask(at(at_ms), &keys, class, None, None);
        (verdict, door.window_after(at(at_ms), class, &verdict, sessions))
    };
    assert_eq!(window_ms(0, NEWCOMER, 99), (Verdict::Admitted, 105_000));
    let (verdict, with_nobody_new) = window_ms(0, NEWCOMER, 3);
    assert!(matches!(verdict, Verdict::Windowed { .. }), "{verdict:?}");
    assert_eq!(with_nobody_new, 3_150);
    assert_eq!(window_ms(60_000, RESUME, 3), (Verdict::Admitted, 8_400), "a herd may come behind it");
}
