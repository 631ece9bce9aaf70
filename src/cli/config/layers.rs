//! Gathers settings from a file, the environment and the flags; what comes later is stronger.

use std::{ffi::OsString, fs, path::Path};

use toml::{Table, Value};

use super::{
    Problems,
    check::check,
    settings::{KEYS, Key, SECTIONS, Settings, TokenKey, Values},
};
use crate::hint::nearest;

/// Settings in the making, and what is wrong with them so far.
#[derive(Debug, Default)]
pub struct Layers {
    values: Values,
    token_keys: Vec<TokenKey>,
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
                Value::Array(keys) if name == TOKEN_KEYS => self.add_token_keys(&keys, place),
                Value::Table(section) if is_section(&name) => {
                    for (key, value) in section {
                        self.add(&format!("{name}.{key}"), place, |_| Some(value));
                    }
                }
                value => self.add(&name, place, |_| Some(value)),
            }
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
        let settings = Settings::of(&self.values, self.token_keys);
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

    fn add_token_keys(&mut self, keys: &[Value], place: &str) {
        for (at, value) in keys.iter().enumerate() {
            match token_key(value) {
                Ok(key) => self.token_keys.push(key),
                Err(problem) => self.problems.add(format!("{place}: token_keys[{at}]: {problem}")),
            }
        }
    }
}

fn token_key(value: &Value) -> Result<TokenKey, String> {
    let table = value.as_table().ok_or("has to be a table, [[token_keys]]")?;
    let text = |name: &str| match table.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("`{name}` has to be a string")),
    };
    if let Some(unknown) = table.keys().find(|name| !TOKEN_KEY_MEMBERS.contains(&&***name)) {
        return Err(format!("there is no key `{unknown}`{}", hint(nearest(unknown, TOKEN_KEY_MEMBERS))));
    }
    let id = text("id")?.ok_or("`id` is missing")?;
    let secret = match (text("secret")?, text("secret_file")?) {
        (Some(secret), None) => secret,
        (None, Some(file)) => read_secret(&file)?,
        _ => return Err("either `secret` or `secret_file`".into()),
    };
    Ok(TokenKey { id, secret })
}

/// What a file holds, without the space around it.
pub(super) fn read_secret(file: &str) -> Result<String, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    Ok(text.trim().into())
}

/// The variable that sets a key.
pub(super) fn variable(path: &str) -> String {
    format!("{PREFIX}{}", path.replace('.', "_").to_ascii_uppercase())
}

/// The key that an unknown one is most likely a slip of: by its whole path, else by its last part.
fn meant(path: &str) -> Option<&'static str> {
    let all: Vec<&'static str> = KEYS.iter().map(|key| key.path).chain([TOKEN_KEYS]).collect();
    let last = |path: &'static str| path.rsplit('.').next().unwrap_or(path);
    let name = path.rsplit('.').next().unwrap_or(path);
    let lasts: Vec<&'static str> = all.iter().map(|path| last(path)).collect();
    nearest(path, &all).or_else(|| {
        let near = nearest(name, &lasts)?;
        all.iter().copied().find(|path| last(path) == near)
    })
}

fn hint(meant: Option<&str>) -> String {
    meant.map_or_else(
        || "; `throughline config` prints all keys".into(),
        |meant| format!("; did you mean `{meant}`?"),
    )
}

fn is_section(name: &str) -> bool {
    SECTIONS.iter().any(|(prefix, _)| prefix.strip_suffix('.') == Some(name))
}

const PREFIX: &str = "THROUGHLINE_";
const TOKEN_KEYS: &str = "token_keys";
const TOKEN_KEY_MEMBERS: &[&str] = &["id", "secret", "secret_file"];
/// Variables that other commands and other parts read.
const OTHER_VARIABLES: &[&str] = &["CONFIG", "URL", "ADMIN_URL"];
/// What Kubernetes puts into the environment of every container beside a service named `throughline`.
const ORCHESTRATORS: &[&str] = &["SERVICE_", "PORT"];
