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
        self.keep(SecretName::TokenKeys, held, Settings::signing_keys, move |new| {
            new.iter().for_each(|new| keys.replace(new));
            Ok(())
        });
    }

    pub(super) fn keep_auth_keys(&mut self, held: Contents, tokens: &Jwt) {
        let tokens = tokens.clone();
        self.keep(SecretName::AuthKeys, held, Settings::auth_keys, move |new| {
            tokens.replace_keys(new).map_err(|error| format!("`auth.keys`: {error}"))
        });
    }

    pub(super) fn keep_admin_key(&mut self, held: Contents, key: &AdminKey) {
        let key = key.clone();
        self.keep(SecretName::AdminKey, held, Settings::admin_key, move |new| {
            new.iter().for_each(|new| key.replace(new));
            Ok(())
        });
    }

    pub(super) fn keep_webhook_secrets(&mut self, held: Contents, webhook: &Webhook) {
        let webhook = webhook.clone();
        self.keep(SecretName::WebhookSecrets, held, Settings::webhook_secrets, move |new| {
            webhook.replace_secrets(&new).map_err(|error| format!("`webhook.secret_files`: {error}"))
        });
    }

    /// Once the files change, what is `read` of them is for `take`. Of what is in no file there is nothing to keep.
    fn keep<T: 'static>(
        &mut self,
        name: SecretName,
        held: Contents,
        read: fn(&Settings, &Contents) -> Result<T, String>,
        take: impl Fn(T) -> Result<(), String> + Send + 'static,
    ) {
        if !held.is_empty() {
            let settings = Arc::clone(&self.settings);
            self.files.push(SecretFiles::new(name, held, move |held| take(read(&settings, held)?)));
        }
    }
}
