//! "Did you mean …": the nearest of the names that there are.

/// The known name that `name` is most likely a slip of, if any is near enough.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name = name.to_ascii_lowercase();
    if name.len() > LONGEST {
        return None;
    }
    let slips = |known: &&str| distance(name.as_bytes(), known.to_ascii_lowercase().as_bytes());
    let near = |known: &&&str| slips(known) <= known.len().div_ceil(3).min(4);
    known.iter().filter(near).min_by_key(|known| slips(known)).copied()
}

/// How many insertions, deletions, changes and swaps of neighbours lie between two names.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let change = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = change.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

/// Names longer than this are nobody's slip.
const LONGEST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_what_was_meant() {
        let known = ["channel", "channels", "name", "key", "meta", "data", "bytes"];
        for (slip, meant) in
            [("chanel", "channel"), ("Channels", "channels"), ("dta", "data"), ("naem", "name")]
        {
            assert_eq!(nearest(slip, &known), Some(meant), "{slip}");
        }
        assert_eq!(nearest("payload", &known), None);
        assert_eq!(nearest(&"x".repeat(10_000), &known), None);
    }
}
