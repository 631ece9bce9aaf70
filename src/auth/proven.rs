//! Signatures that were proven already.
//!
//! A client that polls shows the same token every few seconds, and a signature by RSA or on a curve costs more to prove than
//! all the rest of a poll. What is remembered is that a token's bytes were signed by a key that counts, and nothing else:
//! its times and its audience are looked at each time, and with other keys everything is forgotten.

use hashbrown::HashSet;
use sha2::{Digest as _, Sha256};

/// The keys that something was proven by: those that were configured and those that are published, each by a number that
/// changes with them.
pub(super) type Generation = (u64, Option<u64>);

/// The tokens that were proven last, by their hashes.
#[derive(Debug, Default)]
pub(super) struct Proven {
    by: Generation,
    young: HashSet<Hash>,
    /// Those that are forgotten once the young ones are as many as may be.
    old: HashSet<Hash>,
}

/// SHA-256 of a whole token.
pub(super) type Hash = [u8; 32];

/// The hash of a token.
pub(super) fn hash(token: &str) -> Hash {
    Sha256::digest(token).into()
}

impl Proven {
    /// How many of each age are remembered: at some 50 bytes, 3 MiB in all.
    const MOST: usize = 32_768;

    /// Whether a token was proven by the keys that count now.
    pub(super) fn knows(&mut self, token: &Hash, by: Generation) -> bool {
        if self.by != by {
            *self = Self { by, ..Self::default() };
        }
        if self.young.contains(token) {
            return true;
        }
        let is_old = self.old.contains(token);
        if is_old {
            self.add(*token, by); // who comes back stays
        }
        is_old
    }

    /// A token was proven by these keys.
    pub(super) fn add(&mut self, token: Hash, by: Generation) {
        if self.by != by {
            return; // the keys have changed meanwhile
        }
        if self.young.len() >= Self::MOST {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_proven_is_known_until_the_keys_change() {
        let (mut proven, token) = (Proven::default(), hash("a token"));
        assert!(!proven.knows(&token, (1, None)));
        proven.add(token, (1, None));
        assert!(proven.knows(&token, (1, None)));
        assert!(!proven.knows(&hash("a tokem"), (1, None)));
        assert!(!proven.knows(&token, (1, Some(1))));
        proven.add(token, (1, None));
        assert!(!proven.knows(&token, (1, Some(1))), "it was proven by keys that count no more");
    }

    #[test]
    fn the_most_are_remembered_and_those_longest_who_come_back() {
        let (mut proven, by) = (Proven::default(), (1, None));
        let token = |n: usize| hash(&n.to_string());
        assert!(!proven.knows(&token(0), by));
        for n in 0..5 * Proven::MOST {
            proven.add(token(n), by);
            if n % 1_000 == 0 {
                assert!(proven.knows(&token(0), by), "{n}");
            }
            assert!(proven.young.len() + proven.old.len() <= 2 * Proven::MOST);
        }
        assert!(!proven.knows(&token(1), by));
        assert!(proven.knows(&token(4 * Proven::MOST + 1), by));
    }
}
