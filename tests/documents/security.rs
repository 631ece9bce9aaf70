//! docs/security.md: what it says refuses an attack does, by name, and is tested.

use std::collections::BTreeSet;

use throughline_wire::{CloseCode, ErrorCode, RetryReason};

use crate::{read, root, table};

/// The headings of its tables.
const TABLES: [&str; 4] = ["Credentials", "Other pages", "Too much", "What must not be seen"];

/// The rows of all of them: the attack, what refuses it, the metric, the tests.
fn rows() -> Vec<Vec<String>> {
    let document = read("docs/security.md");
    let rows: Vec<_> = TABLES.iter().flat_map(|heading| table(&document, heading)).collect();
    assert!(rows.iter().all(|row| row.len() == 4 && row.iter().all(|cell| !cell.is_empty())), "{rows:#?}");
    rows
}

/// Every word of a cell that looks like one of these.
fn words(cell: &str, is_one: impl Fn(&str) -> bool) -> Vec<String> {
    let words = cell.split(|c: char| !c.is_ascii_alphanumeric() && !"_:".contains(c));
    words.filter(|word| is_one(word)).map(ToOwned::to_owned).collect()
}

#[test]
fn every_code_in_it_exists() {
    let codes = ErrorCode::ALL.iter().map(|code| code.as_str());
    let codes: BTreeSet<&str> = codes.chain(RetryReason::ALL.iter().map(|reason| reason.as_str())).collect();
    let closes: BTreeSet<String> = CloseCode::ALL.iter().map(|(code, _)| code.0.to_string()).collect();
    for row in rows() {
        let first = row[1].split(|c: char| !c.is_ascii_lowercase() && c != '_').next().expect("a word");
        assert!(codes.contains(first) || ["nothing", "cut"].contains(&first), "{first} is no code: {row:?}");
        let names_a_setting = |word: &str| word.ends_with("_ms");
        for code in words(&row[1], |word| word.contains('_') && !names_a_setting(word)) {
            assert!(codes.contains(&*code), "{code} is no error code: {row:?}");
        }
        for code in words(&row[1], |word| word.len() == 4 && word.starts_with('4')) {
            assert!(closes.contains(&code), "{code} is no close code: {row:?}");
        }
    }
}

#[test]
fn every_metric_in_it_exists() {
    let operations = read("docs/operations.md");
    for row in rows() {
        let metrics = words(&row[2], |word| word.starts_with("throughline_"));
        assert!(!metrics.is_empty() || row[2] == "none", "{row:?}");
        for metric in metrics {
            assert!(
                operations.contains(&format!("| `{metric}` |")),
                "{metric} is documented nowhere: {row:?}"
            );
        }
    }
}

#[test]
fn every_test_in_it_exists() {
    let mut sources = String::new();
    collect(&root().join("tests"), &mut sources);
    collect(&root().join("src"), &mut sources);
    collect(&root().join("transports"), &mut sources);
    for row in rows() {
        let tests = words(&row[3], |word| word.matches('_').count() >= 3);
        assert!(!tests.is_empty(), "no test: {row:?}");
        for test in tests {
            let name = test.rsplit("::").next().expect("at least one part");
            assert!(sources.contains(&format!("fn {name}()")), "there is no test {name}: {row:?}");
        }
    }
}

/// All Rust below a folder.
fn collect(folder: &std::path::Path, into: &mut String) {
    for entry in folder.read_dir().expect("a folder of the project") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&std::fs::read_to_string(&path).expect("UTF-8"));
        }
    }
}
