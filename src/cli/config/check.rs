//! What has to hold between settings, and of each beyond its kind. Refuses what would be unsafe to start.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, SystemTime},
};

use http::{HeaderName, uri::Authority};
use ipnet::IpNet;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use throughline_wire::bounds;

use super::{Problems, settings::Settings};
use crate::{
    auth::{Jwt, Rules},
    certificates::{CertificateFiles, Certificates},
    cli::logs,
    files::Contents,
    gateway::{LimitConfig, SecretName},
    http::{ForwardedHeader, TrustedProxies, origin::authority_of},
    session::{SlowPolicy, SlowRule, SlowRules},
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
    if !clients.public_url.is_empty() && !is_origin(&clients.public_url) {
        problems.add(format!(
            "`public_url`: {:?} is not an origin, like \"https://rt.example.com\": it has no path, not even \"/\" (`base_path` is \
             for that)",
            clients.public_url
        ));
    }
    for origin in &clients.origins {
        if !is_origin(origin) {
            problems.add(format!("`origins`: {origin:?} is not an origin, like \"https://app.example.com\""));
        }
    }
    if let Err(problem) = settings.proxies() {
        problems.add(problem);
    }
    for host in &admin.hosts {
        if host.is_empty() || host.contains(['/', ' ']) {
            problems.add(format!("`admin.hosts`: {host:?} is not a host name, like \"gateway.internal\""));
        }
    }
    if let Err(problem) = settings.limit_config() {
        problems.add(problem);
    }
    let (rate, ahead) = (settings.limits.commands_per_second, settings.limits.commands_ahead);
    if rate > 0 && rate.saturating_mul(10) < ahead {
        problems.add(format!(
            "`limits.commands_per_second`: at {rate} a second a client that says {ahead} at once (`limits.commands_ahead`) would \
             wait for more than 10 seconds"
        ));
    }
    if !["text", "json"].contains(&&*log.format) {
        problems.add(format!("`log.format` is \"text\" or \"json\", not {:?}", log.format));
    }
    if let Err(error) = logs::filter(&log.filter) {
        problems.add(format!("`log.filter`: {error}"));
    }
    for (name, SlowRule { policy, events, .. }) in &settings.lists.slow {
        let held = settings.retention.events;
        if *policy != SlowPolicy::Replay && *events >= held {
            problems.add(format!(
                "`[[namespaces]]`: `slow_events` of {name:?} is below `retention.events`, {held}, not {events}: whoever is \
                 so far behind has lost them already"
            ));
        }
    }
    if let Err(problem) = settings.signing_keys(&settings.contents(SecretName::TokenKeys)) {
        problems.add(problem);
    }
    if let Err(problem) = settings.tokens(&settings.contents(SecretName::AuthKeys), None, || 0) {
        problems.add(problem);
    }
    if let Err(problem) = settings.key_set(|| 0) {
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
    if settings.webhook_is_told("open") && settings.knows_tokens() {
        problems.add(
            "`webhook.events` has `open`, and there are `[[auth.keys]]` or `auth.jwks_url`: one of the two says who may \
             enter. Take `open` out of `webhook.events`, or the keys away"
                .to_owned(),
        );
    }
    if let Err(error) = settings.orders() {
        problems.add(format!("`webhook.ordered_by`: {error}"));
    }
    if let Err(problem) = settings.webhook(&settings.contents(SecretName::WebhookSecrets)) {
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
            && !settings.knows_tokens()
            && !settings.webhook_is_told("open")
        {
            problems.add(format!(
                "`{key}`: {address} can be reached from other machines, and nobody who connects is authenticated. \
                 Set keys for their tokens (`[[auth.keys]]`, `auth.jwks_url`), or let a webhook say who may enter (`webhook.url`). To let \
                 anybody in, say so: `--anonymous` (or `anonymous = true`). Otherwise listen on 127.0.0.1, behind a \
                 proxy that authenticates"
            ));
        }
    }
    match settings.admin_key(&settings.contents(SecretName::AdminKey)) {
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

/// Whether a browser could state it, port and all.
fn is_origin(text: &str) -> bool {
    authority_of(text)
        .is_some_and(|authority| authority.parse::<Authority>().is_ok_and(|parsed| !parsed.host().is_empty()))
}

fn is_https(url: &str) -> bool {
    url.parse::<http::Uri>()
        .is_ok_and(|url| url.scheme_str() == Some("https") && url.host().is_some_and(|host| !host.is_empty()))
}

fn ranges(settings: &Settings, problems: &mut Problems) {
    let Settings { auth, http, session, limits, retention, admin, .. } = settings;
    let ranges = [
        ("http.header_timeout_ms", http.header_timeout_ms, 1, HOUR_MS),
        ("http.body_timeout_ms", http.body_timeout_ms, 1, HOUR_MS),
        ("http.keep_alive_ms", http.keep_alive_ms, 1, DAY_MS),
        ("tls.handshake_timeout_ms", settings.tls.handshake_timeout_ms, 1, HOUR_MS),
        ("tls.handshakes", settings.tls.handshakes, 1, 1_000_000),
        ("http.connections", http.connections, 1, 10_000_000),
        ("auth.leeway_ms", settings.auth.leeway_ms, 0, HOUR_MS),
        ("auth.jwks_timeout_ms", auth.jwks_timeout_ms, 1, HOUR_MS),
        ("auth.jwks_min_age_ms", auth.jwks_min_age_ms, 1_000, DAY_MS),
        ("auth.jwks_max_age_ms", auth.jwks_max_age_ms, auth.jwks_min_age_ms, 30 * DAY_MS),
        ("auth.jwks_max_stale_ms", auth.jwks_max_stale_ms, 0, 30 * DAY_MS),
        ("auth.jwks_cooldown_ms", auth.jwks_cooldown_ms, 1_000, HOUR_MS),
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
        ("drain.deadline_ms", settings.drain.deadline_ms, 0, HOUR_MS),
        ("drain.return_ms", settings.drain.return_ms, 0, HOUR_MS),
        ("limits.message_bytes", limits.message_bytes, 4_096, 16 << 20),
        ("limits.sessions", limits.sessions, 1, 100_000_000),
        ("limits.channels", limits.channels, 1, 100_000_000),
        ("limits.subscriptions", limits.subscriptions, 1, 65_536),
        ("limits.commands_ahead", limits.commands_ahead, 1, 4_096),
        ("limits.presence_members", limits.presence_members, 0, bounds::PRESENCE_MEMBERS as u64),
        ("limits.user_presence_members", limits.user_presence_members, 0, bounds::PRESENCE_MEMBERS as u64),
        (
            "limits.address_presence_members",
            limits.address_presence_members,
            0,
            bounds::PRESENCE_MEMBERS as u64,
        ),
        ("limits.presence_bytes", limits.presence_bytes, 1 << 20, 1 << 40),
        ("limits.volatiles_per_second", limits.volatiles_per_second, 0, 1_000_000),
        ("limits.volatile_bytes", limits.volatile_bytes, 0, limits.message_bytes),
        ("limits.unacknowledged_items", limits.unacknowledged_items, 1, 65_536),
        ("limits.unacknowledged_bytes", limits.unacknowledged_bytes, 1_024, 64 << 20),
        ("limits.links", limits.links, 2, 64),
        ("limits.commands_per_second", limits.commands_per_second, 0, 1_000_000),
        ("limits.commands_burst", limits.commands_burst, 0, 10_000_000),
        ("limits.bytes_per_second", limits.bytes_per_second, 0, 1 << 30),
        ("limits.user_sessions", limits.user_sessions, 0, 100_000_000),
        ("limits.user_commands_per_second", limits.user_commands_per_second, 0, 10_000_000),
        ("limits.address_sessions", limits.address_sessions, 0, 100_000_000),
        ("limits.address_connections", limits.address_connections, 0, 10_000_000),
        ("limits.address_handshakes_per_second", limits.address_handshakes_per_second, 0, 10_000_000),
        ("limits.address_handshakes_burst", limits.address_handshakes_burst, 0, 10_000_000),
        ("limits.address_commands_per_second", limits.address_commands_per_second, 0, 10_000_000),
        ("limits.address_prefix", limits.address_prefix, 16, 128),
        ("limits.memory_bytes", limits.memory_bytes, 0, 1 << 50),
        ("limits.shed_at_percent", limits.shed_at_percent, 50, 99),
        ("http.unsent_bytes", http.unsent_bytes, 0, 64 << 20),
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
        ("log.warnings_per_minute", settings.log.warnings_per_minute, 0, 1_000_000),
        ("runtime.worker_threads", settings.runtime.worker_threads, 0, 1_024),
    ];
    for (key, value, least, most) in ranges {
        if !(least..=most).contains(&value) {
            problems.add(format!("`{key}` is {least} to {most}, not {value}"));
        }
    }
}

impl Settings {
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

    /// What a session gets of a channel in which it fell behind.
    pub(in crate::cli) fn slow(&self) -> SlowRules {
        SlowRules::new(self.lists.slow.iter().map(|(name, rule)| (name.as_str(), *rule)))
    }

    /// What clients, users and addresses may have.
    pub(in crate::cli) fn limit_config(&self) -> Result<LimitConfig, String> {
        let limits = &self.limits;
        let network = |text: &String| {
            let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            network.map_err(|_| {
                format!("`limits.address_exempt`: {text:?} is not a network, like \"192.0.2.0/24\"")
            })
        };
        Ok(LimitConfig {
            commands_burst: limits.commands_burst,
            bytes_per_second: limits.bytes_per_second,
            user_sessions: limits.user_sessions as usize,
            user_commands_per_second: limits.user_commands_per_second,
            address_sessions: limits.address_sessions as usize,
            address_connections: limits.address_connections as usize,
            address_handshakes_per_second: limits.address_handshakes_per_second,
            address_handshakes_burst: limits.address_handshakes_burst,
            address_commands_per_second: limits.address_commands_per_second,
            address_prefix: limits.address_prefix.min(128) as u8,
            address_exempt: limits.address_exempt.iter().map(network).collect::<Result<_, _>>()?,
            memory_bytes: limits.memory_bytes,
            shed_at_percent: limits.shed_at_percent,
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

    /// Whether a cookie says who a client is.
    pub(in crate::cli) fn cookies_count(&self) -> bool {
        let is_shown = |name: &String| name.eq_ignore_ascii_case("cookie");
        self.webhook_is_told("open") && self.webhook.forward_headers.iter().any(is_shown)
    }

    /// Which proxies are believed.
    pub(in crate::cli) fn proxies(&self) -> Result<TrustedProxies, String> {
        let Some(header) = ForwardedHeader::parse(&self.http.forwarded_header) else {
            let names =
                ForwardedHeader::ALL.iter().map(|header| header.as_str()).collect::<Vec<_>>().join(" or ");
            return Err(format!("`http.forwarded_header` is {names}, not {:?}", self.http.forwarded_header));
        };
        TrustedProxies::new(&self.http.trusted_proxies, header)
            .map_err(|error| format!("`http.trusted_proxies`: {error}"))
    }

    /// In which order intents come.
    pub(in crate::cli) fn orders(&self) -> Result<Orders, OrderError> {
        Orders::parse(self.webhook.ordered_by.iter().map(String::as_str))
    }

    /// How the application is reached; `None` where it is not by a webhook.
    pub(in crate::cli) fn webhook(&self, files: &Contents) -> Result<Option<Webhook>, String> {
        let webhook = &self.webhook;
        if webhook.url.is_empty() {
            return Ok(None);
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
            secrets: self.webhook_secrets(files)?,
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
}

/// The certificates of a PEM file; none of no file.
pub(super) fn roots(file: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    if file.is_empty() {
        return Ok(Vec::new());
    }
    let roots: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    let roots = roots.map_err(|error| format!("{file}: {error}"))?;
    if roots.is_empty() { Err(format!("{file}: there is no certificate in it")) } else { Ok(roots) }
}

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
