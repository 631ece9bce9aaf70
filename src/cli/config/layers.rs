//! Gathers settings from a file, the environment and the flags; what comes later is stronger.

use std::{ffi::OsString, fs, path::Path};

use toml::{Table, Value};

use super::{
    Problems,
    check::check,
    hint, lists,
    settings::{KEYS, Key, Lists, SECTIONS, Settings, Values},
};
use crate::hint::nearest;

/// Settings in the making, and what is wrong with them so far.
#[derive(Debug, Default)]
pub struct Layers {
    values: Values,
    lists: Lists,
    problems: Problems,
}

impl Layers {
    /// Adds what a file says.
    pub fn add_file(&mut self, path: &Path) {
        let place = path.display().to_string();
        match fs::read_to_string(path) {
            Ok(text) => self.add_toml(&text, &place),
            Err(error) => self.problems.add(format!("{place}: {error}")),
        }
    }

    /// Adds what a file's text says; `place` names it in errors.
    pub fn add_toml(&mut self, text: &str, place: &str) {
        let table: Table = match text.parse() {
            Ok(table) => table,
            Err(error) => return self.problems.add(format!("{place}: {}", error.to_string().trim_end())),
        };
        for (name, value) in table {
            match value {
                Value::Table(section) if is_section(&name) => {
                    for (key, value) in section {
                        self.add_value(&format!("{name}.{key}"), value, place);
                    }
                }
                value => self.add_value(&name, value, place),
            }
        }
    }

    fn add_value(&mut self, path: &str, value: Value, place: &str) {
        match value {
            Value::Array(tables) if lists::PATHS.contains(&path) => self.add_tables(path, &tables, place),
            value => self.add(path, place, |_| Some(value)),
        }
    }

    /// Adds what variables named `THROUGHLINE_…` say.
    pub fn add_environment(&mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) {
        for (name, value) in variables {
            let Some(name) = name.to_str() else { continue };
            let Some(rest) = name.strip_prefix(PREFIX) else { continue };
            if OTHER_VARIABLES.contains(&rest) || ORCHESTRATORS.iter().any(|theirs| rest.starts_with(theirs))
            {
                continue;
            }
            let Some(key) = KEYS.iter().find(|key| variable(key.path) == name) else {
                let known: Vec<String> = KEYS.iter().map(|key| variable(key.path)).collect();
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                self.problems
                    .add(format!("the variable {name} is no setting{}", hint(nearest(name, &known))));
                continue;
            };
            match value.to_str() {
                Some(text) => self.add(key.path, &format!("the variable {name}"), |key| key.kind.parse(text)),
                None => self.problems.add(format!("the variable {name} is not UTF-8")),
            }
        }
    }

    /// Adds what a flag says.
    pub fn add_flag(&mut self, flag: &str, key: &str, text: &str) {
        self.add(key, flag, |key| key.kind.parse(text));
    }

    /// All layers together.
    ///
    /// # Errors
    /// All that is wrong with them, also between keys.
    pub fn finish(mut self) -> Result<Settings, Problems> {
        let settings = Settings::of(&self.values, self.lists);
        check(&settings, &mut self.problems);
        if self.problems.is_empty() { Ok(settings) } else { Err(self.problems) }
    }

    fn add(&mut self, path: &str, place: &str, value: impl FnOnce(&Key) -> Option<Value>) {
        let Some(key) = KEYS.iter().find(|key| key.path == path) else {
            return self.problems.add(format!("{place}: there is no key `{path}`{}", hint(meant(path))));
        };
        match value(key).filter(|value| key.kind.holds(value)) {
            Some(value) => {
                self.values.insert(key.path, value);
            }
            None => self.problems.add(format!("{place}: `{path}` has to be {}", key.kind.expected())),
        }
    }

    /// Adds one table of several of a kind.
    fn add_tables(&mut self, path: &str, tables: &[Value], place: &str) {
        for (at, value) in tables.iter().enumerate() {
            if let Err(problem) = lists::add(&mut self.lists, path, value) {
                self.problems.add(format!("{place}: {path}[{at}]: {problem}"));
            }
        }
    }
}

/// The variable that sets a key.
pub(super) fn variable(path: &str) -> String {
    format!("{PREFIX}{}", path.replace('.', "_").to_ascii_uppercase())
}

/// The key that an unknown one is most likely a slip of: by its whole path, else by its last part.
fn meant(path: &str) -> Option<&'static str> {
    let all: Vec<&'static str> =
        KEYS.iter().map(|key| key.path).chain(lists::PATHS.iter().copied()).collect();
    let last = |path: &'static str| path.rsplit('.').next().unwrap_or(path);
    let name = path.rsplit('.').next().unwrap_or(path);
    let lasts: Vec<&'static str> = all.iter().map(|path| last(path)).collect();
    nearest(path, &all).or_else(|| {
        let near = nearest(name, &lasts)?;
        all.iter().copied().find(|path| last(path) == near)
    })
}

fn is_section(name: &str) -> bool {
    SECTIONS.iter().any(|(prefix, _)| prefix.strip_suffix('.') == Some(name))
}

const PREFIX: &str = "THROUGHLINE_";
/// Variables that other commands and other parts read.
const OTHER_VARIABLES: &[&str] = &["CONFIG", "URL", "ADMIN_URL"];
/// What Kubernetes puts into the environment of every container beside a service named `throughline`.
const ORCHESTRATORS: &[&str] = &["SERVICE_", "PORT"];
