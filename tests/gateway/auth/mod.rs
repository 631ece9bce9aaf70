//! Tokens and rules at the door of a real gateway.

mod algorithms;
mod command;
mod expiry;
mod issuer;
mod jwks;
mod refusals;
mod rules;
mod tickets;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Map, Value, json};
use throughline::{
    auth::{Jwt, JwtConfig, Key},
    session::SessionConfig,
};

use crate::kit::{
    http::Ask,
    running::{Plan, Running},
    speech::{Heard, Known, frames, hello},
};

/// What the application and the gateway share.
const SECRET: &[u8] = b"a secret of the tests, and of nobody else";

/// Knows whoever [`SECRET`] knows, by tokens of exactly the time that they say.
fn tokens() -> Jwt {
    let key = Key::new(Some("a"), "HS256".parse().unwrap(), SECRET).unwrap();
    let config = JwtConfig {
        audience: vec!["throughline".into()],
        issuer: Some("the tests".into()),
        leeway: Duration::ZERO,
        ..JwtConfig::default()
    };
    Jwt::new(vec![key], config, || (seconds() * 1_000.0) as u64).unwrap()
}

fn plan() -> Plan {
    let session = SessionConfig { auth_leeway_ms: 0, ..Plan::default().session };
    Plan { session, build: |builder| builder.authenticate(tokens()), ..Plan::default() }
}

/// The clock on the wall, as a token tells it.
fn seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// What a good token says of a user.
fn claims(user: &str) -> Map<String, Value> {
    let claims = json!({"sub": user, "aud": "throughline", "iss": "the tests", "exp": seconds() + 600.0});
    claims.as_object().unwrap().clone()
}

/// A good token of a user.
fn token(user: &str) -> String {
    tokens().mint(&claims(user)).unwrap()
}

/// The same with other claims; `null` takes one away.
fn token_with(user: &str, changes: Value) -> String {
    tokens().mint(&changed(user, changes)).unwrap()
}

fn changed(user: &str, changes: Value) -> Map<String, Value> {
    let mut claims = claims(user);
    for (name, value) in changes.as_object().unwrap() {
        claims.insert(name.clone(), value.clone());
    }
    claims.retain(|_, value| !value.is_null());
    claims
}

/// A token put together by hand.
fn signed(header: &Value, claims: &Map<String, Value>, key: &EncodingKey, algorithm: Algorithm) -> String {
    let message = message(header, claims);
    let signature = crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

/// The part of a token that is signed.
fn message(header: &Value, claims: &Map<String, Value>) -> String {
    let part = |value: String| URL_SAFE_NO_PAD.encode(value);
    format!("{}.{}", part(header.to_string()), part(Value::Object(claims.clone()).to_string()))
}

/// The frame that opens a session by a token.
fn hello_by(token: &str) -> Value {
    let mut hello = hello();
    hello["auth"] = json!(token);
    hello
}

/// A session that was opened by long-polling.
async fn enter(gateway: &Running, token: &str) -> Known {
    let answer = Ask::frames("/v1/poll", frames(&[hello_by(token)])).to(gateway.clients).await;
    known(&Heard::read(&answer.body))
}

fn known(heard: &Heard) -> Known {
    let welcome = heard.first("welcome").unwrap_or_else(|| panic!("no welcome: {heard:?}"));
    let mut known = Known {
        id: welcome["session"].as_str().unwrap().into(),
        token: welcome["token"].as_str().unwrap().into(),
        incarnation: welcome["incarnation"].as_u64().unwrap(),
        attach: 1,
        after: 0,
    };
    known.note(heard);
    known
}
