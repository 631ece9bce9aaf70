//! What has to hold between settings, and of each beyond its kind. Refuses what would be unsafe to start.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use http::HeaderName;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use throughline_wire::bounds;

use super::{
    Problems,
    layers::read_secret,
    settings::{AuthKey, Settings, TokenKey},
};
use crate::{
    auth::{Jwt, JwtConfig, Key, Rules},
    certificates::{CertificateFiles, Certificates},
    cli::logs,
    http::{admin::AdminKey, origin::authority_of},
    session::TokenKeys,
    upstream::{
        OrderError, Orders,
        webhook::{Event, Webhook, WebhookConfig, WebhookError},
    },
};

/// Adds what is wrong with these settings.
pub(super) fn check(settings: &Settings, problems: &mut Problems) {
    addresses(settings, problems);
    ranges(settings, problems);
    let Settings { clients, admin, log, .. } = settings;
    let legal_path = clients.base_path.is_empty()
        || (clients.base_path.starts_with('/')
            && !clients.base_path.ends_with('/')
            && clients.base_path.bytes().all(|b| b.is_ascii_graphic() && !b"?#%".contains(&b)));
    if !legal_path {
        problems.add("`base_path` is empty, or begins with `/` and does not end with one: \"/realtime\"");
    }
    for origin in &clients.origins {
        if authority_of(origin).is_none() {
            problems.add(format!("`origins`: {origin:?} is not an origin, like \"https://app.example.com\""));
        }
    }
    for host in &admin.hosts {
        if host.is_empty() || host.contains(['/', ' ']) {
            problems.add(format!("`admin.hosts`: {host:?} is not a host name, like \"gateway.internal\""));
        }
    }
    if !["text", "json"].contains(&&*log.format) {
        problems.add(format!("`log.format` is \"text\" or \"json\", not {:?}", log.format));
    }
    if let Err(error) = logs::filter(&log.filter) {
        problems.add(format!("`log.filter`: {error}"));
    }
    if let Err(problem) = settings.signing_keys() {
        problems.add(problem);
    }
    if let Err(problem) = settings.tokens(|| 0) {
        problems.add(problem);
    }
    if settings.auth.user_claim.is_empty() {
        problems.add("`auth.user_claim` names a claim: \"sub\"");
    }
    match settings.certificate_files() {
        Err(problem) => problems.add(problem),
        Ok(Some(files)) => {
            if let Err(error) = Certificates::from_files(files, SystemTime::now()) {
                problems.add(format!("`tls`: {error}"));
            }
        }
        Ok(None) => {}
    }
    for event in &settings.webhook.events {
        if Event::parse(event).is_none() {
            let known: Vec<&str> = Event::ALL.iter().map(|event| event.as_str()).collect();
            problems.add(format!("`webhook.events` are of {}, not {event:?}", known.join(", ")));
        }
    }
    if settings.webhook_is_told("open") && !settings.lists.auth_keys.is_empty() {
        problems.add(
            "`webhook.events` has `open`, and there are `[[auth.keys]]`: one of the two says who may enter. Take `open` \
             out of `webhook.events`, or the keys away"
                .to_owned(),
        );
    }
    if let Err(error) = settings.orders() {
        problems.add(format!("`webhook.ordered_by`: {error}"));
    }
    if let Err(problem) = settings.webhook() {
        problems.add(problem);
    }
}

fn addresses(settings: &Settings, problems: &mut Problems) {
    let mut parse = |key: &str, text: &str| {
        let address = text.parse::<SocketAddr>();
        if address.is_err() {
            problems.add(format!("`{key}`: {text:?} is not an address and a port, like \"127.0.0.1:7080\""));
        }
        address.ok()
    };
    let clients = parse("listen", &settings.clients.listen);
    let admin = parse("admin.listen", &settings.admin.listen);
    let webtransport = &settings.webtransport;
    let udp = if webtransport.enabled && !webtransport.listen.is_empty() {
        parse("webtransport.listen", &webtransport.listen)
    } else {
        None
    };
    if let (Some(clients), Some(admin)) = (clients, admin)
        && clients == admin
        && clients.port() != 0
    {
        problems.add(format!("`listen` and `admin.listen` are both {clients}: they are two listeners"));
    }
    if let (Some(clients), Some(udp)) = (clients, udp)
        && udp.ip().is_unspecified()
        && udp.port() != clients.port()
        && webtransport.url.is_empty()
    {
        problems.add(format!(
            "`webtransport.listen`: clients find port {} by themselves, but not {udp}: say where it is in `webtransport.url`, \
             like \"https://rt.example.com:{}{}/v1/webtransport\"",
            clients.port(),
            udp.port(),
            settings.clients.base_path
        ));
    }
    if !webtransport.url.is_empty() && !is_https(&webtransport.url) {
        problems.add(format!(
            "`webtransport.url`: {:?} is not an address like \"https://rt.example.com/v1/webtransport\"",
            webtransport.url
        ));
    }
    for (key, address) in [("listen", clients), ("webtransport.listen", udp)] {
        if let Some(address) = address.filter(|address| !address.ip().is_loopback())
            && !settings.clients.anonymous
            && settings.lists.auth_keys.is_empty()
            && !settings.webhook_is_told("open")
        {
            problems.add(format!(
                "`{key}`: {address} can be reached from other machines, and nobody who connects is authenticated. \
                 Set keys for their tokens (`[[auth.keys]]`), or let a webhook say who may enter (`webhook.url`). To let \
                 anybody in, say so: `--anonymous` (or `anonymous = true`). Otherwise listen on 127.0.0.1, behind a \
                 proxy that authenticates"
            ));
        }
    }
    match settings.admin_key() {
        Err(problem) => problems.add(problem),
        Ok(Some(_)) => {}
        Ok(None) => {
            if let Some(address) = admin.filter(|address| !address.ip().is_loopback()) {
                problems.add(format!(
                    "`admin.listen`: {address} can be reached from other machines: whoever reaches the admin API may \
                     publish and disconnect. Set a key: `admin.key_file` (or `admin.key`, THROUGHLINE_ADMIN_KEY)"
                ));
            }
        }
    }
}

fn is_https(url: &str) -> bool {
    url.parse::<http::Uri>()
        .is_ok_and(|url| url.scheme_str() == Some("https") && url.host().is_some_and(|host| !host.is_empty()))
}

fn ranges(settings: &Settings, problems: &mut Problems) {
    let Settings { http, session, limits, retention, admin, .. } = settings;
    let ranges = [
        ("http.header_timeout_ms", http.header_timeout_ms, 1, HOUR_MS),
        ("http.body_timeout_ms", http.body_timeout_ms, 1, HOUR_MS),
        ("http.keep_alive_ms", http.keep_alive_ms, 1, DAY_MS),
        ("tls.handshake_timeout_ms", settings.tls.handshake_timeout_ms, 1, HOUR_MS),
        ("tls.handshakes", settings.tls.handshakes, 1, 1_000_000),
        ("http.connections", http.connections, 1, 10_000_000),
        ("auth.leeway_ms", settings.auth.leeway_ms, 0, HOUR_MS),
        ("session.resume_window_ms", session.resume_window_ms, 0, DAY_MS),
        ("session.provisional_ms", session.provisional_ms, 1_000, HOUR_MS),
        ("session.heartbeat_ms", session.heartbeat_ms, 1_000, 60_000),
        ("session.poll_hold_ms", session.poll_hold_ms, 100, 5 * 60_000),
        ("session.probe_ms", session.probe_ms, 1_000, HOUR_MS),
        ("session.presence_grace_ms", session.presence_grace_ms, 0, DAY_MS),
        ("session.backoff_base_ms", session.backoff_base_ms, 1, HOUR_MS),
        ("session.backoff_cap_ms", session.backoff_cap_ms, session.backoff_base_ms, HOUR_MS),
        ("session.admission_rate", session.admission_rate, 1, 10_000_000),
        ("session.admission_burst", session.admission_burst, 0, 10_000_000),
        ("session.handler_timeout_ms", session.handler_timeout_ms, 1, HOUR_MS),
        ("shutdown_ms", settings.clients.shutdown_ms, 0, HOUR_MS),
        ("limits.message_bytes", limits.message_bytes, 4_096, 16 << 20),
        ("limits.sessions", limits.sessions, 1, 100_000_000),
        ("limits.channels", limits.channels, 1, 100_000_000),
        ("limits.subscriptions", limits.subscriptions, 1, 65_536),
        ("limits.commands_ahead", limits.commands_ahead, 1, 4_096),
        ("limits.presence_members", limits.presence_members, 0, bounds::PRESENCE_MEMBERS as u64),
        ("limits.presence_bytes", limits.presence_bytes, 1 << 20, 1 << 40),
        ("limits.unacknowledged_items", limits.unacknowledged_items, 1, 65_536),
        ("limits.unacknowledged_bytes", limits.unacknowledged_bytes, 1_024, 64 << 20),
        ("limits.links", limits.links, 2, 64),
        ("retention.events", retention.events, 0, 10_000_000),
        ("retention.bytes", retention.bytes, 0, 1 << 40),
        ("retention.age_ms", retention.age_ms, 0, 30 * DAY_MS),
        ("retention.budget_bytes", retention.budget_bytes, 1 << 20, 1 << 50),
        ("admin.body_bytes", admin.body_bytes, 1_024, 256 << 20),
        ("admin.event_bytes", admin.event_bytes, 1, admin.body_bytes),
        ("webhook.timeout_ms", settings.webhook.timeout_ms, 1, HOUR_MS),
        ("webhook.attempts", settings.webhook.attempts, 1, 100),
        ("webhook.lane", settings.webhook.lane, 1, 1_000_000),
        ("webhook.requests", settings.webhook.requests, 1, 65_536),
        ("webhook.waiting", settings.webhook.waiting, 0, 10_000_000),
        ("webhook.session_events", settings.webhook.session_events, 0, 10_000_000),
        ("runtime.worker_threads", settings.runtime.worker_threads, 0, 1_024),
    ];
    for (key, value, least, most) in ranges {
        if !(least..=most).contains(&value) {
            problems.add(format!("`{key}` is {least} to {most}, not {value}"));
        }
    }
}

impl Settings {
    /// The keys that tokens are signed with; `None` where none is configured.
    pub(in crate::cli) fn signing_keys(&self) -> Result<Option<TokenKeys>, String> {
        if self.lists.token_keys.is_empty() {
            return Ok(None);
        }
        let keys = self.lists.token_keys.iter().map(|TokenKey { id, secret }| (id, secret));
        TokenKeys::new(keys).map(Some).map_err(|error| format!("`token_keys`: {error}"))
    }

    /// Who knows clients by their tokens, on a clock of milliseconds since the Unix epoch; `None` where no key is configured.
    pub(in crate::cli) fn tokens(
        &self,
        clock: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Result<Option<Jwt>, String> {
        if self.lists.auth_keys.is_empty() {
            return Ok(None);
        }
        let key =
            |AuthKey { id, algorithm, material }: &AuthKey| Key::new(id.as_deref(), *algorithm, material);
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
        let keys: Result<Vec<Key>, _> = self.lists.auth_keys.iter().map(key).collect();
        let tokens = keys.and_then(|keys| Jwt::new(keys, config, clock));
        tokens.map(Some).map_err(|error| format!("`auth.keys`: {error}"))
    }

    /// Who may do what; `None` where everybody may, since nobody is known and there is no rule.
    pub(in crate::cli) fn rules(&self, tokens: Option<&Jwt>) -> Option<Rules> {
        if self.lists.namespaces.is_empty() && tokens.is_none() {
            return None;
        }
        let rules = Rules::new(self.lists.namespaces.iter().cloned());
        Some(match tokens {
            Some(tokens) => rules.with_tokens(tokens.clone()),
            None => rules,
        })
    }

    /// Where the certificate is; `None` where none is configured.
    pub(in crate::cli) fn certificate_files(&self) -> Result<Option<CertificateFiles>, String> {
        match (&*self.tls.certificate_file, &*self.tls.key_file) {
            ("", "") => Ok(None),
            (certificate, "") => Err(format!("`tls.key_file` is missing: the key of {certificate}")),
            ("", key) => {
                Err(format!("`tls.certificate_file` is missing: the certificate of the key in {key}"))
            }
            (certificate, key) => {
                Ok(Some(CertificateFiles { certificate: certificate.into(), key: key.into() }))
            }
        }
    }

    /// Whether there is a webhook that is told of these events.
    pub(in crate::cli) fn webhook_is_told(&self, event: &str) -> bool {
        !self.webhook.url.is_empty() && self.webhook.events.iter().any(|told| told == event)
    }

    /// In which order intents come.
    pub(in crate::cli) fn orders(&self) -> Result<Orders, OrderError> {
        Orders::parse(self.webhook.ordered_by.iter().map(String::as_str))
    }

    /// How the application is reached; `None` where it is not by a webhook.
    pub(in crate::cli) fn webhook(&self) -> Result<Option<Webhook>, String> {
        let webhook = &self.webhook;
        if webhook.url.is_empty() {
            return Ok(None);
        }
        let mut secrets = webhook.secrets.clone();
        for file in &webhook.secret_files {
            secrets.push(read_secret(file).map_err(|error| format!("`webhook.secret_files`: {error}"))?);
        }
        let url = webhook
            .url
            .parse::<http::Uri>()
            .map_err(|_| format!("`webhook.url`: {}", WebhookError::Url(webhook.url.clone())))?;
        let header = |name: &String| {
            name.parse::<HeaderName>()
                .map_err(|_| format!("`webhook.forward_headers`: {name:?} is no header"))
        };
        let config = WebhookConfig {
            events: webhook.events.iter().filter_map(|event| Event::parse(event)).collect(),
            secrets,
            forward_headers: webhook.forward_headers.iter().map(header).collect::<Result<_, _>>()?,
            roots: roots(&webhook.ca_file).map_err(|error| format!("`webhook.ca_file`: {error}"))?,
            timeout: Duration::from_millis(webhook.timeout_ms),
            total: Duration::from_millis(self.session.handler_timeout_ms),
            attempts: webhook.attempts as u32,
            requests: webhook.requests as usize,
            orders: self.orders().unwrap_or_default(), // `check` has said what is wrong with them
            lane: webhook.lane as usize,
            waiting: webhook.waiting as usize,
            answer_bytes: self.limits.message_bytes as usize,
            ..WebhookConfig::new(url, "")
        };
        let named = |error: WebhookError| match error {
            WebhookError::Url(_) => format!("`webhook.url`: {error}"),
            WebhookError::Roots(_) => format!("`webhook.ca_file`: {error}"),
            _ => format!("`webhook.secrets` and `webhook.secret_files`: {error}"),
        };
        Webhook::new(config).map(Some).map_err(named)
    }

    /// The admin API's key; `None` where none is configured.
    pub(in crate::cli) fn admin_key(&self) -> Result<Option<AdminKey>, String> {
        let key = match (&*self.admin.key, &*self.admin.key_file) {
            ("", "") => return Ok(None),
            (key, "") => key.to_owned(),
            ("", file) => read_secret(file).map_err(|error| format!("`admin.key_file`: {error}"))?,
            _ => return Err("either `admin.key` or `admin.key_file`, not both".into()),
        };
        let short = || format!("the admin key has to have at least {} characters", AdminKey::MIN_BYTES);
        AdminKey::new(&key).map(Some).ok_or_else(short)
    }
}

/// The certificates of a PEM file; none of no file.
fn roots(file: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    if file.is_empty() {
        return Ok(Vec::new());
    }
    let roots: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    let roots = roots.map_err(|error| format!("{file}: {error}"))?;
    if roots.is_empty() { Err(format!("{file}: there is no certificate in it")) } else { Ok(roots) }
}

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
