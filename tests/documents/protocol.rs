//! `docs/protocol.md` against the code: codes, reasons and numbers, each table in both directions.

use throughline::session::{Goodbye, SessionConfig, TokenKeys};
use throughline_wire::{AttemptOutcome, CloseCode, ErrorCode, RetryReason, frame::Limits};

use crate::{read, table};

#[test]
fn every_error_code_is_in_the_table_and_says_whether_it_is_retryable() {
    let written: Vec<_> =
        protocol("Error codes").iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    let yes_or_no = |code: &ErrorCode| if code.is_retryable() { "yes" } else { "no" };
    let coded: Vec<_> =
        ErrorCode::ALL.iter().map(|code| (code.as_str().to_owned(), yes_or_no(code).to_owned())).collect();
    assert_eq!(written, coded);
}

#[test]
fn every_reason_to_retry_is_in_the_table() {
    assert_eq!(
        first_cells("Retry"),
        RetryReason::ALL.iter().map(|reason| reason.as_str()).collect::<Vec<_>>()
    );
}

#[test]
fn every_outcome_of_an_attempt_is_in_the_table() {
    assert_eq!(
        first_cells("Outcomes"),
        AttemptOutcome::ALL.iter().map(|outcome| outcome.as_str()).collect::<Vec<_>>()
    );
}

#[test]
fn every_close_code_is_in_the_table_with_its_name() {
    let document = read("docs/protocol.md");
    let (_, from_codes) = document.split_once("Close codes:").expect("the table of close codes");
    let written: Vec<_> = from_codes
        .lines()
        .filter_map(|line| line.strip_prefix("| 4"))
        .map(|line| {
            let mut cells = line.split(" | ");
            let code = format!("4{}", cells.next().unwrap_or_default());
            (code.parse::<u16>().expect("a code"), cells.next().unwrap_or_default().replace('`', ""))
        })
        .collect();
    let coded: Vec<_> = CloseCode::ALL.iter().map(|(code, name)| (code.0, (*name).to_owned())).collect();
    assert_eq!(written, coded);
}

#[test]
fn a_goodbye_means_the_same_by_its_frame_and_by_its_close_code() {
    let table: serde_json::Value = serde_json::from_str(&read("tests/vectors/codes.json")).expect("JSON");
    let vectors = table["vectors"].as_array().expect("a list");
    let then = |key: &str, value: serde_json::Value| {
        let vector = vectors.iter().find(|vector| vector[key] == value);
        vector.unwrap_or_else(|| panic!("{key} {value} in the table"))
    };
    let goodbyes = [
        Goodbye::Superseded,
        Goodbye::Positions,
        Goodbye::Silence,
        Goodbye::ProtocolError(ErrorCode::MalformedFrame),
        Goodbye::ProtocolError(ErrorCode::NotUtf8),
        Goodbye::ProtocolError(ErrorCode::UnsupportedCodec),
        Goodbye::Disconnected,
        Goodbye::Drain { delay_ms: 0, spread_ms: 1 },
        Goodbye::Overload { delay_ms: 1, spread_ms: 1, code: ErrorCode::Overloaded },
        Goodbye::Unauthorized,
        Goodbye::Forbidden(ErrorCode::Forbidden),
        Goodbye::Internal,
    ];
    for goodbye in goodbyes {
        let by_code = then("closeCode", goodbye.close_code().0.into());
        let retry = goodbye.retry().expect("advice");
        let by_frame = then("retryReason", retry.reason.as_str().into());
        assert_eq!(by_frame["final"], retry.is_final, "{goodbye:?}");
        assert_eq!(by_frame["then"], by_code["then"], "{goodbye:?}");
    }
}

#[test]
fn the_limits_are_those_of_the_code() {
    let limits = Limits::default();
    let coded = [
        ("messageBytes", limits.message_bytes),
        ("commandsAhead", limits.commands_ahead),
        ("unacknowledgedItems", limits.unacknowledged_items),
        ("unacknowledgedBytes", limits.unacknowledged_bytes),
        ("subscriptions", limits.subscriptions),
        ("commandsPerSecond", limits.commands_per_second),
    ];
    assert_eq!(numbers(&protocol("Limits")), named(&coded));
}

#[test]
fn the_settings_are_those_of_the_code() {
    let session = SessionConfig::new(TokenKeys::from_random([0; 32]));
    let coded = [
        ("resumeWindowMs", session.resume_window_ms),
        ("heartbeatMs", session.heartbeat_ms),
        ("provisional", session.provisional_ms),
        ("presenceGrace", session.presence_grace_ms),
        ("presenceMembers", session.presence_members as u64),
        ("presenceMembersOfUser", session.user_presence_members as u64),
        ("presenceMembersOfAddress", session.address_presence_members as u64),
        ("hold", session.poll_hold_ms),
        ("probe", session.probe_ms),
        ("links", session.links as u64),
        ("volatiles", session.volatiles_per_second.into()),
        ("volatileBytes", session.volatile_bytes as u64),
        ("reserve", session.reserve_items as u64),
    ];
    let written = numbers(&protocol("Settings"));
    for setting in named(&coded) {
        assert!(written.contains(&setting), "{setting:?} is not in {written:?}");
    }
}

fn protocol(heading: &str) -> Vec<Vec<String>> {
    table(&read("docs/protocol.md"), heading)
}

fn first_cells(heading: &str) -> Vec<String> {
    protocol(heading).into_iter().map(|row| row[0].clone()).collect()
}

/// Names with their numbers: `65,536` and `10,000 ms` are numbers.
fn numbers(rows: &[Vec<String>]) -> Vec<(String, u64)> {
    let number = |cell: &str| {
        let digits: String = cell.chars().filter(char::is_ascii_digit).collect();
        digits.parse().unwrap_or_else(|_| panic!("{cell:?} is no number"))
    };
    rows.iter().map(|row| (row[0].clone(), number(&row[1]))).collect()
}

fn named(numbers: &[(&str, u64)]) -> Vec<(String, u64)> {
    numbers.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect()
}
