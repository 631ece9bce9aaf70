//! Secrets from files that are kept up to date while the gateway runs, and what is counted of them.

use std::{fmt, sync::Arc};

use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use tokio::{sync::Notify, time::timeout};

use super::Handle;
use crate::{
    files::{Contents, LOOK, Watched},
    labels::Labels,
};

/// What a secret is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SecretName {
    /// What session tokens are signed with.
    TokenKeys,
    /// What clients' tokens are proven by.
    AuthKeys,
    /// What the admin API wants to see.
    AdminKey,
    /// What requests to the application are signed with.
    WebhookSecrets,
}

impl SecretName {
    /// Every name.
    pub const ALL: &[Self] = &[Self::TokenKeys, Self::AuthKeys, Self::AdminKey, Self::WebhookSecrets];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TokenKeys => "token_keys",
            Self::AuthKeys => "auth_keys",
            Self::AdminKey => "admin_key",
            Self::WebhookSecrets => "webhook_secrets",
        }
    }
}

/// A secret in files, and who takes it when they change.
pub struct SecretFiles {
    name: SecretName,
    watched: Watched,
    take: Take,
}

/// Takes a secret from what its files hold.
type Take = Box<dyn Fn(&Contents) -> Result<(), String> + Send>;

impl SecretFiles {
    /// Files that held `contents` when their secret was first taken. `take` takes it again from what they hold then, or
    /// says what is wrong with it, in words that repeat nothing of it, and changes nothing.
    pub fn new(
        name: SecretName,
        contents: Contents,
        take: impl Fn(&Contents) -> Result<(), String> + Send + 'static,
    ) -> Self {
        Self { name, watched: Watched::new(contents), take: Box::new(take) }
    }

    /// Whether another secret was taken.
    fn look(&mut self) -> Result<bool, String> {
        self.watched.look(&self.take).map(|taken| taken.is_some())
    }
}

impl fmt::Debug for SecretFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretFiles").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How secrets were exchanged.
#[derive(Debug, Default)]
pub(crate) struct SecretMetrics {
    reloads: Family<Labels<2>, Counter>,
}

impl SecretMetrics {
    /// Makes their series, at zero.
    pub(crate) fn register(&self, registry: &mut Registry) {
        for secret in SecretName::ALL.iter().map(|name| name.as_str()) {
            for result in ["loaded", "failed"] {
                drop(self.reloads.get_or_create(&[("secret", secret), ("result", result)]));
            }
        }
        registry.register(
            "secret_reloads",
            "Secrets that were to take the present ones' place, by what they are for and by result",
            self.reloads.clone(),
        );
    }

    fn count(&self, name: SecretName, result: &'static str) {
        self.reloads.get_or_create(&[("secret", name.as_str()), ("result", result)]).inc();
    }
}

impl Handle {
    /// Keeps secrets up to date, for as long as it is polled: looks at their files every five seconds, and whenever `nudge`
    /// is notified, and counts and logs what came of it. Sessions and connections stay as they are.
    pub async fn keep_secrets(&self, mut secrets: Vec<SecretFiles>, nudge: Arc<Notify>) {
        let metrics = &self.shared.metrics.secrets;
        loop {
            let _ = timeout(LOOK, nudge.notified()).await;
            let looking = move || {
                let looked: Vec<_> = secrets.iter_mut().map(|secret| (secret.name, secret.look())).collect();
                (secrets, looked)
            };
            // Not on this task: files may be on a disk that hangs.
            let (back, looked) = match tokio::task::spawn_blocking(looking).await {
                Ok(looked) => looked,
                Err(error) if error.is_panic() => {
                    return tracing::error!("a look at secrets has panicked: none is read again");
                }
                // The runtime is ending.
                Err(_) => return,
            };
            secrets = back;
            for (name, looked) in looked {
                let secret = name.as_str();
                match looked {
                    Ok(false) => {}
                    Ok(true) => {
                        metrics.count(name, "loaded");
                        tracing::info!(secret, "there is a new secret");
                    }
                    Err(why) => {
                        metrics.count(name, "failed");
                        tracing::error!(secret, why, "the new secret cannot be used: the old one stays");
                    }
                }
            }
        }
    }
}
