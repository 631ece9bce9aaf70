//! Secrets that are in files, each with the one who takes it when they change.

use std::sync::Arc;

use crate::{
    auth::Jwt,
    cli::config::Settings,
    files::Contents,
    gateway::{SecretFiles, SecretName},
    http::admin::AdminKey,
    session::TokenKeys,
    upstream::webhook::Webhook,
};

/// What is to be kept up to date.
pub(super) struct Secrets {
    settings: Arc<Settings>,
    files: Vec<SecretFiles>,
}

impl Secrets {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { settings: Arc::new(settings.clone()), files: Vec::new() }
    }

    /// Where none is in a file there is nothing to keep.
    pub(super) fn into_files(self) -> Vec<SecretFiles> {
        self.files
    }

    pub(super) fn keep_token_keys(&mut self, held: Contents, keys: &TokenKeys) {
        let keys = keys.clone();
        self.keep(SecretName::TokenKeys, held, move |settings, held| {
            let new = settings.signing_keys(held)?;
            new.iter().for_each(|new| keys.replace(new));
            Ok(())
        });
    }

    pub(super) fn keep_auth_keys(&mut self, held: Contents, tokens: &Jwt) {
        let tokens = tokens.clone();
        self.keep(SecretName::AuthKeys, held, move |settings, held| {
            let new = settings.auth_keys(held)?;
            tokens.replace_keys(new).map_err(|error| format!("`auth.keys`: {error}"))
        });
    }

    pub(super) fn keep_admin_key(&mut self, held: Contents, key: &AdminKey) {
        let key = key.clone();
        self.keep(SecretName::AdminKey, held, move |settings, held| {
            let new = settings.admin_key(held)?;
            new.iter().for_each(|new| key.replace(new));
            Ok(())
        });
    }

    pub(super) fn keep_webhook_secrets(&mut self, held: Contents, webhook: &Webhook) {
        let webhook = webhook.clone();
        self.keep(SecretName::WebhookSecrets, held, move |settings, held| {
            let new = settings.webhook_secrets(held)?;
            webhook.replace_secrets(&new).map_err(|error| format!("`webhook.secret_files`: {error}"))
        });
    }

    fn keep(
        &mut self,
        name: SecretName,
        held: Contents,
        take: impl Fn(&Settings, &Contents) -> Result<(), String> + Send + 'static,
    ) {
        if !held.is_empty() {
            let settings = Arc::clone(&self.settings);
            self.files.push(SecretFiles::new(name, held, move |held| take(&settings, held)));
        }
    }
}
