//! What is said of several things of one kind: `[[token_keys]]`, `[[auth.keys]]` and `[[namespaces]]`. In files alone, and
//! each with members of its own.

use toml::{Table, Value};

use super::{
    hint,
    settings::{AuthKey, Lists, Source, TokenKey},
};
use crate::{
    auth::{Algorithm, Namespace, Who},
    hint::nearest,
    session::{SlowPolicy, SlowRule},
};

/// Where each is.
pub(super) const PATHS: &[&str] = &["token_keys", "auth.keys", "namespaces"];

/// Adds one to the list at one of [`PATHS`].
pub(super) fn add(lists: &mut Lists, path: &str, value: &Value) -> Result<(), String> {
    let table = value.as_table().ok_or_else(|| format!("has to be a table, [[{path}]]"))?;
    match path {
        "token_keys" => lists.token_keys.push(token_key(&Members::of(table, TOKEN_KEY)?)?),
        "auth.keys" => lists.auth_keys.push(auth_key(&Members::of(table, AUTH_KEY)?)?),
        _ => {
            let members = Members::of(table, NAMESPACE)?;
            let name = namespace(&members)?;
            let slow = slow(&members)?;
            let are_there = |named: &[&str]| named.iter().any(|member| table.contains_key(*member));
            let taken = lists.namespaces.iter().map(|(other, _)| other);
            if taken.chain(lists.slow.iter().map(|(other, _)| other)).any(|other| *other == name) {
                return Err(format!("there are two rules for {name:?}"));
            }
            // One that says no more than what slow sessions get leaves open who may do what.
            if slow.is_none() || are_there(WHO_MAY) {
                lists.namespaces.push((name.clone(), who_may(&members)?));
            }
            lists.slow.extend(slow.map(|rule| (name, rule)));
        }
    }
    Ok(())
}

fn token_key(members: &Members<'_>) -> Result<TokenKey, String> {
    let id = members.text("id")?.ok_or("`id` is missing")?.to_owned();
    let secret = match (members.text("secret")?, members.text("secret_file")?) {
        (Some(secret), None) => Source::Stated(secret.into()),
        (None, Some(file)) => Source::File(file.into()),
        _ => return Err("either `secret` or `secret_file`".into()),
    };
    secret.read(&secret.contents())?;
    Ok(TokenKey { id, secret })
}

fn auth_key(members: &Members<'_>) -> Result<AuthKey, String> {
    let id = members.text("id")?.map(ToOwned::to_owned);
    let algorithm = members.text("algorithm")?.ok_or("`algorithm` is missing")?;
    let algorithm = algorithm.parse::<Algorithm>().map_err(|error| format!("{algorithm:?}: {error}"))?;
    let secret = (members.text("secret")?, members.text("secret_file")?);
    let material = match (secret, members.text("public_key_file")?) {
        ((Some(secret), None), None) => Source::Stated(secret.into()),
        ((None, Some(file)), None) => Source::File(file.into()),
        ((None, None), Some(file)) if algorithm.is_symmetric() => {
            return Err(format!("{algorithm} has no public keys: `secret` or `secret_file`, not {file}"));
        }
        ((None, None), Some(file)) => Source::File(file.into()),
        _ => return Err("one of `secret`, `secret_file` and `public_key_file`".into()),
    };
    let key = AuthKey { id, algorithm, material };
    key.read(&key.material.contents())?;
    Ok(key)
}

fn namespace(members: &Members<'_>) -> Result<String, String> {
    let name = members.text("name")?.ok_or("`name` is missing")?;
    let is_name = throughline_wire::ChannelName::parse(name).is_ok() && !name.contains(':');
    if name != "*" && (!is_name || name.starts_with('$')) {
        return Err(format!(
            "`name`: {name:?} is neither what precedes the `:` of a channel, nor \"*\" for all others"
        ));
    }
    Ok(name.to_owned())
}

fn who_may(members: &Members<'_>) -> Result<Namespace, String> {
    let who = |action: &str, default: Who| match members.text(action)? {
        Some(word) => word.parse::<Who>().map_err(|error| format!("`{action}`: {word:?}: {error}")),
        None => Ok(default),
    };
    let default = Namespace::default();
    Ok(Namespace {
        subscribe: who("subscribe", default.subscribe)?,
        publish: who("publish", default.publish)?,
        presence: who("presence", default.presence)?,
        history: who("history", default.history)?,
    })
}

fn slow(members: &Members<'_>) -> Result<Option<SlowRule>, String> {
    let (events, bytes) = (members.number("slow_events")?, members.number("slow_bytes")?);
    let Some(word) = members.text("slow")? else {
        return match events.or(bytes) {
            Some(_) => Err("`slow_events` and `slow_bytes` say when `slow` counts, and it is missing".into()),
            None => Ok(None),
        };
    };
    let policy = word.parse::<SlowPolicy>().map_err(|error| format!("`slow`: {word:?}: {error}"))?;
    let default = SlowRule::new(policy);
    let [events, bytes] = [events.unwrap_or(default.events), bytes.unwrap_or(default.bytes)];
    Ok(Some(SlowRule { policy, events, bytes }))
}

/// A table whose members are all known.
struct Members<'a>(&'a Table);

impl<'a> Members<'a> {
    fn of(table: &'a Table, known: &[&str]) -> Result<Self, String> {
        match table.keys().find(|name| !known.contains(&&***name)) {
            Some(unknown) => Err(format!("there is no key `{unknown}`{}", hint(nearest(unknown, known)))),
            None => Ok(Self(table)),
        }
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>, String> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("`{name}` has to be a string")),
        }
    }

    /// A number of at least one.
    fn number(&self, name: &str) -> Result<Option<u64>, String> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let number =
            value.as_integer().and_then(|number| u64::try_from(number).ok()).filter(|number| *number > 0);
        number.map(Some).ok_or_else(|| format!("`{name}` has to be a whole number from 1"))
    }
}

const TOKEN_KEY: &[&str] = &["id", "secret", "secret_file"];
const AUTH_KEY: &[&str] = &["id", "algorithm", "secret", "secret_file", "public_key_file"];
const NAMESPACE: &[&str] =
    &["name", "subscribe", "publish", "presence", "history", "slow", "slow_events", "slow_bytes"];
const WHO_MAY: &[&str] = &["subscribe", "publish", "presence", "history"];
