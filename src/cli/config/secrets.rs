//! What is made of secrets: keys that sign, keys that prove, and what the admin API and the application want to see.
//!
//! Each is made of what its files held when they were read, so that it is made again in the same way when they change.

use std::{path::PathBuf, time::Duration};

use super::{
    check::roots,
    settings::{AuthKey, Settings, Source, TokenKey},
};
use crate::{
    auth::{Algorithm, Jwt, JwtConfig, Key, KeySet, KeySetConfig, KeySetError},
    files::Contents,
    gateway::SecretName,
    http::admin::AdminKey,
    session::TokenKeys,
};

impl Settings {
    /// What the files of a secret hold now.
    pub(in crate::cli) fn contents(&self, of: SecretName) -> Contents {
        let files: Vec<PathBuf> = match of {
            SecretName::TokenKeys => {
                self.lists.token_keys.iter().filter_map(|key| key.secret.file()).collect()
            }
            SecretName::AuthKeys => {
                self.lists.auth_keys.iter().filter_map(|key| key.material.file()).collect()
            }
            SecretName::AdminKey if self.admin.key_file.is_empty() => Vec::new(),
            SecretName::AdminKey => vec![self.admin.key_file.clone().into()],
            SecretName::WebhookSecrets if self.webhook.url.is_empty() => Vec::new(),
            SecretName::WebhookSecrets => self.webhook.secret_files.iter().map(Into::into).collect(),
        };
        Contents::read(files)
    }

    /// Whether there is anything that is read again when it changes.
    pub(in crate::cli) fn has_files(&self) -> bool {
        let has_secrets = SecretName::ALL.iter().any(|name| !self.contents(*name).is_empty());
        has_secrets || !self.tls.certificate_file.is_empty()
    }

    /// The keys that tokens are signed with; `None` where none is configured.
    pub(in crate::cli) fn signing_keys(&self, files: &Contents) -> Result<Option<TokenKeys>, String> {
        if self.lists.token_keys.is_empty() {
            return Ok(None);
        }
        let key = |TokenKey { id, secret }: &TokenKey| Ok((id.clone(), secret.read(files)?));
        let keys: Result<Vec<_>, String> = self.lists.token_keys.iter().map(key).collect();
        let keys = keys.and_then(|keys| TokenKeys::new(keys).map_err(|error| error.to_string()));
        keys.map(Some).map_err(|error| format!("`token_keys`: {error}"))
    }

    /// Whether clients are known by their tokens.
    pub(in crate::cli) fn knows_tokens(&self) -> bool {
        !self.lists.auth_keys.is_empty() || !self.auth.jwks_url.is_empty()
    }

    /// The keys of `[[auth.keys]]`.
    pub(in crate::cli) fn auth_keys(&self, files: &Contents) -> Result<Vec<Key>, String> {
        let keys: Result<Vec<_>, String> = self.lists.auth_keys.iter().map(|key| key.read(files)).collect();
        keys.map_err(|error| format!("`auth.keys`: {error}"))
    }

    /// The keys that are published; `None` where none are. The clock tells milliseconds and never goes back.
    pub(in crate::cli) fn key_set(
        &self,
        clock: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Result<Option<KeySet>, String> {
        let auth = &self.auth;
        if auth.jwks_url.is_empty() {
            return Ok(None);
        }
        let wrong = |error: &KeySetError| match error {
            KeySetError::Roots(_) => format!("`auth.jwks_ca_file`: {error}"),
            KeySetError::Address(_) => format!("`auth.jwks_url`: {error}"),
            _ => format!("`auth.jwks_algorithms`: {error}"),
        };
        let url = auth.jwks_url.parse();
        let url = url.map_err(|_| wrong(&KeySetError::Address(auth.jwks_url.clone())))?;
        let algorithm = |name: &String| {
            name.parse::<Algorithm>().map_err(|error| format!("`auth.jwks_algorithms`: {name:?}: {error}"))
        };
        let config = KeySetConfig {
            algorithms: auth.jwks_algorithms.iter().map(algorithm).collect::<Result<_, _>>()?,
            roots: roots(&auth.jwks_ca_file).map_err(|error| format!("`auth.jwks_ca_file`: {error}"))?,
            timeout: Duration::from_millis(auth.jwks_timeout_ms),
            min_age: Duration::from_millis(auth.jwks_min_age_ms),
            max_age: Duration::from_millis(auth.jwks_max_age_ms.max(auth.jwks_min_age_ms)),
            max_stale: Duration::from_millis(auth.jwks_max_stale_ms),
            cooldown: Duration::from_millis(auth.jwks_cooldown_ms),
            ..KeySetConfig::new(url)
        };
        KeySet::new(config, clock).map(Some).map_err(|error| wrong(&error))
    }

    /// Who knows clients by their tokens, on a clock of milliseconds since the Unix epoch; `None` where nobody does.
    pub(in crate::cli) fn tokens(
        &self,
        files: &Contents,
        key_set: Option<KeySet>,
        clock: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Result<Option<Jwt>, String> {
        if !self.knows_tokens() {
            return Ok(None);
        }
        let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let config = JwtConfig {
            audience: self.auth.audience.clone(),
            issuer: text(&self.auth.issuer),
            leeway: Duration::from_millis(self.auth.leeway_ms),
            user_claim: self.auth.user_claim.clone(),
            info_claim: text(&self.auth.info_claim),
            require_exp: self.auth.require_exp,
            anonymous: self.clients.anonymous,
        };
        let keys = self.auth_keys(files)?;
        let tokens = match key_set {
            Some(key_set) => Jwt::with_key_set(keys, key_set, config, clock),
            None => Jwt::new(keys, config, clock),
        };
        tokens.map(Some).map_err(|error| format!("`auth.keys`: {error}"))
    }

    /// The admin API's key; `None` where none is configured.
    pub(in crate::cli) fn admin_key(&self, files: &Contents) -> Result<Option<AdminKey>, String> {
        let key = match (&*self.admin.key, &*self.admin.key_file) {
            ("", "") => return Ok(None),
            (key, "") => key.to_owned(),
            ("", file) => {
                let key = Source::File(file.into()).read(files);
                key.map_err(|error| format!("`admin.key_file`: {error}"))?
            }
            _ => return Err("either `admin.key` or `admin.key_file`, not both".into()),
        };
        let short = || format!("the admin key has to have at least {} characters", AdminKey::MIN_BYTES);
        AdminKey::new(&key).map(Some).ok_or_else(short)
    }

    /// What requests to the application are signed with.
    pub(in crate::cli) fn webhook_secrets(&self, files: &Contents) -> Result<Vec<String>, String> {
        let stated = self.webhook.secrets.iter().cloned().map(Ok);
        let held = self.webhook.secret_files.iter().map(|file| {
            let secret = Source::File(file.into()).read(files);
            secret.map_err(|error| format!("`webhook.secret_files`: {error}"))
        });
        stated.chain(held).collect()
    }
}

impl AuthKey {
    /// The key, of what its file held.
    pub(super) fn read(&self, files: &Contents) -> Result<Key, String> {
        let material = self.material.read(files)?;
        Key::new(self.id.as_deref(), self.algorithm, material.as_bytes()).map_err(|error| error.to_string())
    }
}

impl Source {
    /// What it is, where it is in a file: of what that held, without the space around it.
    pub(super) fn read(&self, files: &Contents) -> Result<String, String> {
        match self {
            Self::Stated(secret) => Ok(secret.clone()),
            Self::File(path) => {
                let held = files.of(path).map_err(|error| format!("{}: {error}", path.display()))?;
                let text =
                    std::str::from_utf8(held).map_err(|_| format!("{}: this is no text", path.display()))?;
                Ok(text.trim().into())
            }
        }
    }

    /// What its own file holds now.
    pub(super) fn contents(&self) -> Contents {
        Contents::read(self.file())
    }

    fn file(&self) -> Option<PathBuf> {
        match self {
            Self::Stated(_) => None,
            Self::File(path) => Some(path.clone()),
        }
    }
}
