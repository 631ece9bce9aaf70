//! `throughline token`: a token for a user, signed as an application's backend would.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use serde_json::{Map, Value, json};

use super::{config::Layers, wall_ms};
use crate::gateway::{Action, Grants, SecretName};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The configuration file with the keys.
    #[arg(long, value_name = "FILE", env = "THROUGHLINE_CONFIG")]
    config: PathBuf,
    /// Whom the token is for.
    #[arg(long, value_name = "ID")]
    user: String,
    /// How long it counts: 90s, 15m, 1h, 7d.
    #[arg(long, value_name = "TIME", default_value = "1h")]
    expires: String,
    /// What it grants, such as 'room:*=subscribe,publish'; may be given again.
    #[arg(long = "channel", value_name = "PATTERN=ACTIONS")]
    channels: Vec<String>,
    /// Whom it is for; without it the first audience of the configuration.
    #[arg(long, value_name = "NAME")]
    audience: Option<String>,
}

/// Prints the token, and nothing else.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut layers = Layers::default();
    layers.add_file(&arguments.config);
    let settings = layers.finish()?;
    let files = settings.contents(SecretName::AuthKeys);
    let tokens = settings.tokens(&files, None, wall_ms).map_err(anyhow::Error::msg)?;
    let tokens =
        tokens.with_context(|| format!("{}: there are no `[[auth.keys]]`", arguments.config.display()))?;
    let now = wall_ms() / 1_000;
    let mut claims = Map::new();
    claims.insert(settings.auth.user_claim.clone(), json!(arguments.user));
    claims.insert("iat".into(), json!(now));
    claims.insert("exp".into(), json!(now.saturating_add(seconds(&arguments.expires)?)));
    if let Some(audience) = arguments.audience.as_ref().or_else(|| settings.auth.audience.first()) {
        claims.insert("aud".into(), json!(audience));
    }
    if !settings.auth.issuer.is_empty() {
        claims.insert("iss".into(), json!(settings.auth.issuer));
    }
    if !arguments.channels.is_empty() {
        claims.insert("channels".into(), grants(&arguments.channels)?);
    }
    let token = tokens.mint(&claims);
    println!("{}", token.context("no key of the configuration can sign: all are public")?);
    Ok(())
}

/// The claim `channels`, if it is one that the gateway would take.
fn grants(channels: &[String]) -> anyhow::Result<Value> {
    let mut claim = Map::new();
    let mut grants = Vec::new();
    for channel in channels {
        let (pattern, words) = channel
            .split_once('=')
            .with_context(|| format!("--channel {channel:?} is not PATTERN=ACTIONS"))?;
        let action = |word: &str| {
            Action::parse(word)
                .with_context(|| format!("{word:?} is none of subscribe, publish, presence, history"))
        };
        let actions = words.split(',').map(action).collect::<anyhow::Result<Vec<_>>>()?;
        let words: Vec<&str> = actions.iter().map(|action| action.as_str()).collect();
        if claim.insert(pattern.to_owned(), json!(words)).is_some() {
            bail!("--channel {pattern:?} is given twice");
        }
        grants.push((pattern, actions));
    }
    Grants::new(grants).map_err(anyhow::Error::msg)?;
    Ok(claim.into())
}

fn seconds(time: &str) -> anyhow::Result<u64> {
    let unit = match time.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3_600,
        Some('d') => 86_400,
        _ => bail!("--expires {time:?} is not a time like 90s, 15m, 1h or 7d"),
    };
    let count: u64 = time[..time.len() - 1]
        .parse()
        .with_context(|| format!("--expires {time:?} is not a time like 1h"))?;
    count.checked_mul(unit).with_context(|| format!("--expires {time:?} is too long"))
}
