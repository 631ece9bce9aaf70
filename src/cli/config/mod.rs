//! What `throughline serve` can be told, and by whom: a file, the environment, the flags.
//!
//! [`settings`] is the one list of keys; what reads them (`layers`), checks them (`check`) and prints them
//! ([`describe()`]) walks it. A key that is not on it is an error with a hint.

mod check;
mod describe;
mod layers;
mod lists;
mod secrets;
pub mod settings;
mod value;

use std::fmt;

pub use describe::describe;
pub use layers::Layers;
pub use settings::{AuthKey, Lists, Settings, Source, TokenKey};

/// What is wrong with a configuration: everything at once, so that it is mended at once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Problems(Vec<String>);

impl Problems {
    fn add(&mut self, problem: impl Into<String>) {
        self.0.push(problem.into());
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration is not usable:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for Problems {}

/// What is said behind a key that there is not.
fn hint(meant: Option<&str>) -> String {
    meant.map_or_else(
        || "; `throughline config` prints all keys".into(),
        |meant| format!("; did you mean `{meant}`?"),
    )
}
