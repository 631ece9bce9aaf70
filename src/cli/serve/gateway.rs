//! The gateway that settings ask for.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Instant, SystemTime},
};

use anyhow::Context as _;
use throughline_wire::frame::{Backoff, Limits};

use super::{ms, secrets::Secrets, sockets::Sockets};
use crate::{
    Gateway,
    auth::KeySet,
    broker::MemoryConfig,
    certificates::Certificates,
    channel::Retention,
    cli::{config::Settings, wall_ms},
    gateway::{GatewayConfig, SecretName},
    http::{OriginPolicy, admin::AdminConfig},
    session::{SessionConfig, TokenKeys},
};

/// The certificate that the gateway shows: from files, else its own. None where there is nothing to show it on.
pub(super) fn certificates(settings: &Settings, sockets: &Sockets) -> anyhow::Result<Option<Certificates>> {
    let now = SystemTime::now();
    if let Some(files) = settings.certificate_files().map_err(anyhow::Error::msg)? {
        return Ok(Some(Certificates::from_files(files, now)?));
    }
    // There is an address where the socket is still with the process before.
    if sockets.webtransport_address.is_none() {
        return Ok(None);
    }
    let loopback = ["localhost", "127.0.0.1", "::1"].map(ToOwned::to_owned);
    let told = settings.webtransport.url.parse::<http::Uri>().ok();
    let told = told.as_ref().and_then(|url| url.host()).map(|host| host.trim_matches(['[', ']']).to_owned());
    let listening = [Some(sockets.clients_address), sockets.webtransport_address]
        .into_iter()
        .flatten()
        .map(|address| address.ip())
        .filter(|ip| !ip.is_unspecified());
    let mut names: Vec<String> =
        loopback.into_iter().chain(told).chain(listening.map(|ip: IpAddr| ip.to_string())).collect();
    names.sort_unstable();
    names.dedup();
    Ok(Some(Certificates::development(names, now)?))
}

/// The gateway, and the keys that are published for it. Without keys of its own it signs tokens with random ones.
pub(super) fn gateway(
    settings: &Settings,
    secrets: &mut Secrets,
    is_loopback: bool,
) -> anyhow::Result<(Gateway, Option<KeySet>)> {
    let Settings { clients, auth, http, session, limits, retention, .. } = settings;
    let signing = settings.contents(SecretName::TokenKeys);
    let keys = match settings.signing_keys(&signing).map_err(anyhow::Error::msg)? {
        Some(keys) => {
            secrets.keep_token_keys(signing, &keys);
            keys
        }
        None => {
            tracing::warn!("no `token_keys` are configured: no session outlives this process");
            let mut secret = [0; 32];
            getrandom::fill(&mut secret).context("the system gives no randomness")?;
            TokenKeys::from_random(secret)
        }
    };
    let config = GatewayConfig {
        base_path: clients.base_path.clone(),
        message_bytes: limits.message_bytes as usize,
        body_timeout: ms(http.body_timeout_ms),
        handler_timeout: ms(session.handler_timeout_ms),
        orders: settings.orders()?,
        sessions: limits.sessions as usize,
        admission_rate: session.admission_rate,
        admission_burst: session.admission_burst,
        session_events: settings.webhook.session_events as usize,
        drain_deadline: ms(settings.drain.deadline_ms),
        drain_return_after: ms(settings.drain.return_ms),
        origins: OriginPolicy {
            public_url: Some(clients.public_url.clone()).filter(|url| !url.is_empty()),
            allowed: clients.origins.clone(),
            is_loopback,
            credentials: settings.cookies_count(),
        },
        proxies: settings.proxies().map_err(anyhow::Error::msg)?,
        limits: settings.limit_config().map_err(anyhow::Error::msg)?,
    };
    let sessions = SessionConfig {
        resume_window_ms: session.resume_window_ms,
        provisional_ms: session.provisional_ms,
        heartbeat_ms: session.heartbeat_ms,
        poll_hold_ms: session.poll_hold_ms,
        probe_ms: session.probe_ms,
        backoff: Backoff { base_ms: session.backoff_base_ms, cap_ms: session.backoff_cap_ms },
        limits: Limits {
            commands_ahead: limits.commands_ahead,
            unacknowledged_items: limits.unacknowledged_items,
            unacknowledged_bytes: limits.unacknowledged_bytes,
            subscriptions: limits.subscriptions,
            commands_per_second: limits.commands_per_second,
            ..Limits::default()
        },
        slow: settings.slow(),
        presence_grace_ms: session.presence_grace_ms,
        presence_members: limits.presence_members as usize,
        user_presence_members: limits.user_presence_members as usize,
        address_presence_members: limits.address_presence_members as usize,
        presence_bytes: limits.presence_bytes,
        volatiles_per_second: limits.volatiles_per_second as u32,
        volatile_bytes: limits.volatile_bytes as usize,
        links: limits.links as usize,
        user_channel: session.user_channel,
        auth_leeway_ms: auth.leeway_ms,
        ..SessionConfig::new(keys)
    };
    let memory = MemoryConfig {
        retention: Retention {
            events: retention.events as usize,
            bytes: retention.bytes as usize,
            age_ms: retention.age_ms,
        },
        budget_bytes: retention.budget_bytes,
        channels: limits.channels as usize,
    };
    let started = Instant::now();
    let key_set =
        settings.key_set(move || started.elapsed().as_millis() as u64).map_err(anyhow::Error::msg)?;
    let proving = settings.contents(SecretName::AuthKeys);
    let tokens = settings.tokens(&proving, key_set.clone(), wall_ms).map_err(anyhow::Error::msg)?;
    let mut builder = Gateway::builder().config(config).session(sessions).memory(memory);
    if let Some(rules) = settings.rules(tokens.as_ref()) {
        builder = builder.authorize(rules);
    }
    if let Some(tokens) = tokens {
        secrets.keep_auth_keys(proving, &tokens);
        builder = builder.authenticate(tokens);
    }
    let shared = settings.contents(SecretName::WebhookSecrets);
    if let Some(webhook) = settings.webhook(&shared).map_err(anyhow::Error::msg)? {
        secrets.keep_webhook_secrets(shared, &webhook);
        builder = builder.webhook(webhook);
    }
    Ok((builder.build(), key_set))
}

pub(super) fn admin_config(
    settings: &Settings,
    secrets: &mut Secrets,
    address: SocketAddr,
) -> anyhow::Result<AdminConfig> {
    let shown = settings.contents(SecretName::AdminKey);
    let key = settings.admin_key(&shown).map_err(anyhow::Error::msg)?;
    if let Some(key) = &key {
        secrets.keep_admin_key(shown, key);
    }
    Ok(AdminConfig {
        key,
        is_loopback: address.ip().is_loopback(),
        hosts: settings.admin.hosts.clone(),
        body_bytes: settings.admin.body_bytes as usize,
        event_bytes: settings.admin.event_bytes as usize,
        body_timeout: ms(settings.http.body_timeout_ms),
    })
}
