//! What tells the series of one metric apart.

/// Names, each with a word of a table: none that a client chooses.
pub(crate) type Labels<const N: usize> = [(&'static str, &'static str); N];
