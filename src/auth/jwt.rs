//! JSON web tokens (RFC 7519) as credentials.
//!
//! A token is taken apart here and not by the library that proves its signature: so the clock is the one that was handed
//! in, nothing of a token is believed before its signature, and the algorithm is the key's and never the token's.

use std::{fmt, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use parking_lot::{Mutex, RwLock};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use throughline_wire::{ChannelName, Json, bounds};

use super::{
    flaw::Flaw,
    key::{Key, KeyError},
    key_set::{Held, KeySet},
    proven::{self, Proven},
};
use crate::{
    broker::Pending,
    gateway::{Action, Authenticate, Credentials, Denied, Grants, Identity},
};

/// Knows users by their tokens. Cheap to clone.
#[derive(Clone)]
pub struct Jwt(Arc<Inner>);

struct Inner {
    /// With how often they were exchanged.
    keys: RwLock<(u64, Arc<[Key]>)>,
    /// Those that somebody publishes.
    key_set: Option<KeySet>,
    proven: Mutex<Proven>,
    config: JwtConfig,
    clock: Box<dyn Fn() -> u64 + Send + Sync>,
}

/// What a token has to say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JwtConfig {
    /// Who the gateway is: a token's `aud` has to name one of these. Without any a token that names an audience is
    /// refused, since it is for somebody else (RFC 7519, 4.1.3). Default: none.
    pub audience: Vec<String>,
    /// Who signs: a token's `iss` has to be this. Default: anybody with a key.
    pub issuer: Option<String>,
    /// How far clocks may differ: a token counts so long before its `nbf` and after its `exp`. Default: 30 seconds.
    pub leeway: Duration,
    /// The claim that names the user, a text of 1 to 256 bytes. Default: `sub`.
    pub user_claim: String,
    /// The claim that is told of the user to those who take part in the same presence, such as a name to show, in at most
    /// 1,024 bytes. Default: nothing is told.
    pub info_claim: Option<String>,
    /// Whether a token has to end: one that does not can never be taken back. Default: yes.
    pub require_exp: bool,
    /// Whether clients without a token come in as nobody. One with a wrong token does not. Default: no.
    pub anonymous: bool,
}

impl Default for JwtConfig {
    fn default() -> Self {
        Self {
            audience: Vec::new(),
            issuer: None,
            leeway: Duration::from_secs(30),
            user_claim: "sub".into(),
            info_claim: None,
            require_exp: true,
            anonymous: false,
        }
    }
}

impl Jwt {
    /// The longest token, in bytes. What is longer is not looked at.
    pub const MAX_BYTES: usize = 8_192;

    /// Knows the users whose tokens one of these keys has signed. `clock` tells the milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// [`KeyError::RepeatedId`].
    pub fn new(
        keys: Vec<Key>,
        config: JwtConfig,
        clock: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Result<Self, KeyError> {
        Self::build(keys, None, config, Box::new(clock))
    }

    /// The same, and those whose tokens a published key has signed. Where a key of `keys` has the id that a token names,
    /// no published one counts. A token without a `kid` is proven by a published key only where a single one has its
    /// algorithm: how many there are is not ours to say.
    ///
    /// # Errors
    /// [`KeyError::RepeatedId`], among `keys`.
    pub fn with_key_set(
        keys: Vec<Key>,
        key_set: KeySet,
        config: JwtConfig,
        clock: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Result<Self, KeyError> {
        Self::build(keys, Some(key_set), config, Box::new(clock))
    }

    fn build(
        keys: Vec<Key>,
        key_set: Option<KeySet>,
        config: JwtConfig,
        clock: Box<dyn Fn() -> u64 + Send + Sync>,
    ) -> Result<Self, KeyError> {
        check_ids(&keys)?;
        let (keys, proven) = (RwLock::new((0, keys.into())), Mutex::default());
        Ok(Self(Arc::new(Inner { keys, key_set, proven, config, clock })))
    }

    /// Takes other keys in place of those that it was made with, for all clones, from the next token on. Who has come in
    /// stays; the next hello is asked for a token that counts then.
    ///
    /// # Errors
    /// [`KeyError::RepeatedId`]: then those that it has stay.
    pub fn replace_keys(&self, keys: Vec<Key>) -> Result<(), KeyError> {
        check_ids(&keys)?;
        let mut held = self.0.keys.write();
        *held = (held.0 + 1, keys.into());
        Ok(())
    }

    /// Signs a token with these claims by the first key that can sign; `None` where all are public.
    ///
    /// For development and for tests: what issues tokens in earnest is the application.
    pub fn mint(&self, claims: &Map<String, Value>) -> Option<String> {
        self.0.keys.read().1.iter().find_map(|key| {
            let mut header = json!({"typ": "JWT", "alg": key.algorithm().to_string()});
            if let Some(id) = key.id() {
                header["kid"] = id.into();
            }
            let part = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
            let claims = serde_json::to_vec(claims).ok()?;
            let message = format!("{}.{}", part(header.to_string().as_bytes()), part(&claims));
            let signature = key.sign(message.as_bytes())?;
            Some(format!("{message}.{signature}"))
        })
    }

    /// Who the token says its owner is.
    async fn identify(&self, token: &str) -> Result<Identity, Flaw> {
        let mut claims = self.verify_or_look(token).await?;
        if claims.contains_key(CHANNEL) {
            return Err(Flaw::ForAChannel);
        }
        let config = &self.0.config;
        let user = match claims.get(&config.user_claim) {
            Some(Value::String(user)) if !user.is_empty() && user.len() <= bounds::USER_BYTES => {
                user.as_str().into()
            }
            _ => return Err(Flaw::User),
        };
        let grants = match claims.remove(CHANNELS) {
            Some(grants) => read_grants(grants)?,
            None => Grants::default(),
        };
        let info = config.info_claim.as_ref().and_then(|claim| claims.get(claim));
        let info = info.map(|info| Json::parse(info.to_string().as_bytes()).map_err(|_| Flaw::Info));
        let expires_at_ms = claims.get("exp").and_then(milliseconds);
        Ok(Identity { user: Some(user), info: info.transpose()?, expires_at_ms, grants })
    }

    /// Whether a token lets its owner have this channel: its claim `channel` names it, and its user claim, where it has
    /// one, this user.
    pub(super) async fn opens(&self, token: &str, channel: &ChannelName, user: Option<&str>) -> bool {
        let opens = self.verify_or_look(token).await.and_then(|claims| {
            if claims.get(CHANNEL).and_then(Value::as_str) != Some(channel.as_str()) {
                return Err(Flaw::OtherChannel);
            }
            match claims.get(&self.0.config.user_claim) {
                None => Ok(()),
                Some(Value::String(bound)) if Some(bound.as_str()) == user => Ok(()),
                Some(_) => Err(Flaw::OtherUser),
            }
        });
        if let Err(flaw) = &opens {
            tracing::debug!(%channel, reason = %flaw, "a subscription's token is refused");
        }
        opens.is_ok()
    }

    /// As [`verify`](Self::verify); a key that is not held yet may have been published since.
    async fn verify_or_look(&self, token: &str) -> Result<Map<String, Value>, Flaw> {
        match (self.verify(token), &self.0.key_set) {
            (Err(Flaw::Unpublished | Flaw::NoKeys), Some(key_set)) if key_set.look_again().await => {
                self.verify(token)
            }
            (verified, _) => verified,
        }
    }

    /// The claims of a token that is genuine, meant for this gateway, and counts now.
    fn verify(&self, token: &str) -> Result<Map<String, Value>, Flaw> {
        if token.len() > Self::MAX_BYTES {
            return Err(Flaw::TooLong);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(Flaw::NotAToken)?;
        let (header, claims) = message.split_once('.').ok_or(Flaw::NotAToken)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Flaw::NotAToken);
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| Flaw::NotAToken)?;
        self.prove(token, &header, message, signature)?;
        let claims = serde_json::from_slice(&decode(claims)?).map_err(|_| Flaw::NotAToken)?;
        self.check(&claims)?;
        Ok(claims)
    }

    /// Whether a key that counts now has signed a token. What it is proven by and what it was proven by are read together,
    /// so that nothing is remembered of other keys.
    fn prove(&self, token: &str, header: &Header, message: &str, signature: &str) -> Result<(), Flaw> {
        if header.crit.is_some() {
            return Err(Flaw::Critical); // RFC 7515, 4.1.11: what is not understood may not be passed over
        }
        let (exchanges, keys) = self.0.keys.read().clone();
        let held = self.0.key_set.as_ref().and_then(KeySet::held);
        let signed = Signed { header, message, signature };
        if header.alg.starts_with("HS") {
            return self.prove_by(&signed, &keys, held.as_ref()); // it costs as much as to remember it
        }
        let (by, hash) = ((exchanges, held.as_ref().map(|held| held.generation)), proven::hash(token));
        if self.0.proven.lock().knows(&hash, by) {
            return Ok(());
        }
        self.prove_by(&signed, &keys, held.as_ref())?;
        self.0.proven.lock().add(hash, by);
        Ok(())
    }

    fn prove_by(&self, signed: &Signed<'_>, keys: &[Key], held: Option<&Held>) -> Result<(), Flaw> {
        let header = signed.header;
        let named = |key: &&Key| header.kid.is_none() || key.id() == header.kid.as_deref();
        let flaw = match signed.prove(keys.iter().filter(named)) {
            Err(flaw) if header.kid.is_none() || flaw == Flaw::UnknownKey => flaw,
            proven => return proven, // a key of ours that is called so answers for it
        };
        let Some(key_set) = self.0.key_set.as_ref().filter(|key_set| key_set.takes(&header.alg)) else {
            return Err(flaw);
        };
        let held = held.ok_or(Flaw::NoKeys)?;
        if header.kid.is_some() {
            return match signed.prove(held.keys.iter().filter(named)) {
                Err(Flaw::UnknownKey) if key_set.is_failing() => Err(Flaw::NoKeys),
                Err(Flaw::UnknownKey) => Err(Flaw::Unpublished),
                proven => proven,
            };
        }
        let mut fitting = held.keys.iter().filter(|key| key.algorithm().is_called(&header.alg));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => signed.prove([key]),
            _ => Err(flaw),
        }
    }

    fn check(&self, claims: &Map<String, Value>) -> Result<(), Flaw> {
        let config = &self.0.config;
        let (now_ms, leeway_ms) = ((self.0.clock)(), config.leeway.as_millis() as u64);
        match claims.get("exp") {
            Some(exp) if milliseconds(exp).ok_or(Flaw::Time)?.saturating_add(leeway_ms) <= now_ms => {
                return Err(Flaw::Expired);
            }
            None if config.require_exp => return Err(Flaw::NeverExpires),
            _ => {}
        }
        if let Some(nbf) = claims.get("nbf")
            && milliseconds(nbf).ok_or(Flaw::Time)? > now_ms.saturating_add(leeway_ms)
        {
            return Err(Flaw::NotYet);
        }
        let ours =
            |name: &Value| name.as_str().is_some_and(|name| config.audience.iter().any(|us| us == name));
        let is_for_us = match claims.get("aud") {
            Some(Value::Array(names)) => names.iter().any(ours),
            Some(name) => ours(name),
            None => config.audience.is_empty(),
        };
        if !is_for_us {
            return Err(Flaw::Audience);
        }
        if let Some(issuer) = &config.issuer
            && claims.get("iss").and_then(Value::as_str) != Some(issuer)
        {
            return Err(Flaw::Issuer);
        }
        Ok(())
    }
}

impl Authenticate for Jwt {
    fn authenticate<'a>(&'a self, credentials: &'a Credentials) -> Pending<'a, Result<Identity, Denied>> {
        Box::pin(async move {
            let identity = match &credentials.token {
                Some(token) => self.identify(token.reveal()).await,
                None if self.0.config.anonymous => Ok(Identity::default()),
                None => Err(Flaw::Missing),
            };
            identity.map_err(|flaw| {
                tracing::debug!(reason = %flaw, remote = ?credentials.remote, "a token is refused");
                if flaw == Flaw::NoKeys { Denied::Unavailable } else { Denied::Unauthorized }
            })
        })
    }
}

impl fmt::Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { keys, key_set, config, .. } = &*self.0;
        f.debug_struct("Jwt")
            .field("keys", &keys.read().1)
            .field("key_set", key_set)
            .field("config", config)
            .finish_non_exhaustive()
    }
}

/// What is read of a token's header. A member that comes twice is an error.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

/// A token's signature, and what it is of.
struct Signed<'a> {
    header: &'a Header,
    message: &'a str,
    signature: &'a str,
}

impl Signed<'_> {
    /// Whether one of these keys has signed.
    fn prove<'k>(&self, keys: impl IntoIterator<Item = &'k Key>) -> Result<(), Flaw> {
        let mut flaw = if self.header.kid.is_some() { Flaw::UnknownKey } else { Flaw::OtherAlgorithm };
        for key in keys {
            // The claim only chooses among keys: what a key is used with is fixed.
            flaw = match key.algorithm().is_called(&self.header.alg) {
                true if key.proves(self.message.as_bytes(), self.signature) => return Ok(()),
                true => Flaw::Forged,
                false if flaw == Flaw::UnknownKey => Flaw::OtherAlgorithm,
                false => flaw,
            };
        }
        Err(flaw)
    }
}

/// The claim `channels`: `{"room:*": ["subscribe", "publish"]}`.
fn read_grants(grants: Value) -> Result<Grants, Flaw> {
    let Value::Object(grants) = grants else { return Err(Flaw::Grants) };
    let mut read = Vec::with_capacity(grants.len().min(Grants::MAX + 1));
    for (pattern, actions) in grants.into_iter().take(Grants::MAX + 1) {
        let actions = actions.as_array().ok_or(Flaw::Grants)?;
        let actions = actions.iter().map(|action| action.as_str().and_then(Action::parse));
        read.push((pattern, actions.collect::<Option<Vec<_>>>().ok_or(Flaw::Grants)?));
    }
    Grants::new(read).map_err(Flaw::GrantOf)
}

fn check_ids(keys: &[Key]) -> Result<(), KeyError> {
    let is_repeated =
        |at: usize, key: &Key| key.id().is_some() && keys[..at].iter().any(|other| other.id() == key.id());
    let repeated = keys.iter().enumerate().any(|(at, key)| is_repeated(at, key));
    if repeated { Err(KeyError::RepeatedId) } else { Ok(()) }
}

/// A `NumericDate`: seconds since the Unix epoch, with or without a fraction.
fn milliseconds(date: &Value) -> Option<u64> {
    match date.as_u64() {
        Some(seconds) => Some(seconds.saturating_mul(1_000)),
        None => date.as_f64().filter(|seconds| *seconds >= 0.0).map(|seconds| (seconds * 1_000.0) as u64),
    }
}

const CHANNEL: &str = "channel";
const CHANNELS: &str = "channels";
