//! `throughline publish`: one event, by the admin API.

use anyhow::{Context as _, bail};
use serde_json::{Value, value::RawValue};
use throughline_wire::Json;

use super::admin_client::AdminArguments;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The channel; several are separated by commas.
    #[arg(value_name = "CHANNEL", value_delimiter = ',', required = true)]
    channels: Vec<String>,
    /// What the event says: a JSON value.
    #[arg(value_name = "JSON")]
    json: String,
    /// The kind of event.
    #[arg(long)]
    name: Option<String>,
    /// What it is the latest of.
    #[arg(long)]
    key: Option<String>,
    /// What travels beside it; may be given again.
    #[arg(long = "meta", value_name = "NAME=VALUE")]
    meta: Vec<String>,
    /// Publishes once, however often this is run within 5 minutes.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    admin: AdminArguments,
}

/// Publishes, and prints where it landed.
pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let body = request(&arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (status, answer) = runtime.block_on(arguments.admin.post("/api/v1/publish", body))?;
    let mut failures = 0;
    for outcome in
        answer["results"].as_array().into_iter().flatten().flat_map(|event| event.as_array()).flatten()
    {
        let channel = outcome["channel"].as_str().unwrap_or_default();
        match &outcome["position"] {
            Value::Object(position) => {
                println!("{channel}@{} (epoch {})", position["offset"], text(&position["epoch"]));
            }
            _ => {
                failures += 1;
                eprintln!("{channel}: {}", text(&outcome["error"]["message"]));
            }
        }
    }
    if failures > 0 {
        bail!("not published to {failures} channel(s)");
    }
    if !status.is_success() {
        bail!("{}: {}", text(&answer["error"]["code"]), text(&answer["error"]["message"]));
    }
    Ok(())
}

fn request(arguments: &Arguments) -> anyhow::Result<String> {
    #[derive(serde::Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Publish<'a> {
        channels: &'a [String],
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<&'a str>,
        #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
        meta: serde_json::Map<String, Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        idempotency_key: Option<&'a str>,
        data: Box<RawValue>,
    }
    let json = Json::parse(arguments.json.as_bytes()).map_err(|code| {
        anyhow::anyhow!("{code}: {}. A text is JSON with its quotes: '\"hello\"'", code.message())
    })?;
    let meta = arguments.meta.iter().map(|pair| {
        let (name, value) =
            pair.split_once('=').with_context(|| format!("--meta {pair:?} is not NAME=VALUE"))?;
        Ok((name.to_owned(), Value::String(value.to_owned())))
    });
    Ok(serde_json::to_string(&Publish {
        channels: &arguments.channels,
        name: arguments.name.as_deref(),
        key: arguments.key.as_deref(),
        meta: meta.collect::<anyhow::Result<_>>()?,
        idempotency_key: arguments.idempotency_key.as_deref(),
        data: RawValue::from_string(json.as_str().to_owned())?,
    })?)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
