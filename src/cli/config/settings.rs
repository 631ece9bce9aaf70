//! Every key: its type, its default, its unit and what it is for, once.

use std::{collections::BTreeMap, path::PathBuf};

use toml::Value;

use super::value::{Kind, Setting};
use crate::{
    auth::{Algorithm, Namespace},
    session::SlowRule,
};

/// One key of the configuration.
#[derive(Debug)]
pub(super) struct Key {
    /// Its place: `section.key`, or `key` for those that come before the sections.
    pub(super) path: &'static str,
    pub(super) kind: Kind,
    /// What its number counts, or what its text is.
    pub(super) unit: &'static str,
    /// What it is for, in lines.
    pub(super) why: &'static [&'static str],
    pub(super) default: fn() -> Value,
}

/// Values by key.
pub(super) type Values = BTreeMap<&'static str, Value>;

macro_rules! settings {
    ($(
        $(#[doc = $about:literal])+
        $section:ident: $Section:ident in $prefix:literal {
            $($(#[doc = $why:literal])+ $key:ident: $type:ty = $default:expr, $unit:literal;)+
        }
    )+) => {
        /// What `throughline serve` is told. `throughline config` prints it with all defaults.
        #[derive(Clone, PartialEq, Eq, Debug, Default)]
        #[non_exhaustive]
        pub struct Settings {
            $($(#[doc = $about])+ pub $section: $Section,)+
            /// What is said of several things of one kind.
            pub lists: Lists,
        }

        $(
            $(#[doc = $about])+
            #[derive(Clone, PartialEq, Eq, Debug)]
            #[non_exhaustive]
            pub struct $Section {
                $($(#[doc = $why])+ pub $key: $type,)+
            }

            impl Default for $Section {
                fn default() -> Self {
                    Self { $($key: $default,)+ }
                }
            }
        )+

        /// Every key, in the order in which they are printed.
        pub(super) const KEYS: &[Key] = &[$($(
            Key {
                path: concat!($prefix, stringify!($key)),
                kind: <$type as Setting>::KIND,
                unit: $unit,
                why: &[$($why),+],
                default: || <$type as Setting>::to_value(&$default),
            },
        )+)+];

        /// Every section: its prefix, and what it is about, in lines.
        pub(super) const SECTIONS: &[(&str, &[&str])] = &[$(($prefix, &[$($about),+]),)+];

        impl Settings {
            /// The defaults, changed by values that are of their keys' kinds.
            pub(super) fn of(values: &Values, lists: Lists) -> Self {
                let mut settings = Self { lists, ..Self::default() };
                $($(
                    let value = values.get(concat!($prefix, stringify!($key)));
                    if let Some(value) = value.and_then(<$type as Setting>::of) {
                        settings.$section.$key = value;
                    }
                )+)+
                settings
            }
        }
    };
}

settings! {
    /// Where clients connect, and which.
    clients: Clients in "" {
        /// Where clients connect. Anything but loopback needs `[[auth.keys]]`, `auth.jwks_url`, a webhook that says who may
        /// enter, or `anonymous`.
        listen: String = "127.0.0.1:7080".into(), "IP:port";
        /// Lets anybody in who reaches the listener and shows no token, as nobody. Without `[[auth.keys]]` and
        /// `[[namespaces]]` whoever is in may subscribe to and send to every channel.
        anonymous: bool = false, "true or false";
        /// Where clients reach the gateway, as browsers state an origin: `https://rt.example.com`. Its pages may connect, whatever
        /// host a proxy names; empty for the host that a trusted proxy (`http.trusted_proxies`) or the request itself names.
        public_url: String = String::new(), "origin";
        /// Origins whose pages may connect beside those of the gateway's own host, exactly as browsers state them:
        /// `https://app.example.com`. While it listens on loopback pages on loopback may connect too.
        origins: Vec<String> = Vec::new(), "origins";
        /// Where the gateway is mounted, behind a proxy that passes the path on: "" or "/realtime".
        base_path: String = String::new(), "path";
    }
    /// Who clients are, by JSON web tokens. Counts where there are `[[auth.keys]]`, or a `jwks_url`.
    auth: Auth in "auth." {
        /// Who this gateway is: a token's `aud` has to name one of these. Without any a token that names an audience is
        /// refused.
        audience: Vec<String> = Vec::new(), "names";
        /// Who signs: a token's `iss` has to be this; empty for anybody with a key.
        issuer: String = String::new(), "name";
        /// How far clocks may differ. A token counts so long before its `nbf` and after its `exp`, and links stay so long
        /// after the end of their client's token.
        leeway_ms: u64 = 30_000, "milliseconds";
        /// The claim that names the user, a text of 1 to 256 bytes.
        user_claim: String = "sub".into(), "claim";
        /// The claim that those are told who take part in the same presence, such as a name to show, in at most 1,024 bytes;
        /// empty for none.
        info_claim: String = String::new(), "claim";
        /// Whether a token has to end. One that does not can never be taken back.
        require_exp: bool = true, "true or false";
        /// Where whoever issues tokens publishes keys, as a JSON web key set: `https`, or `http` on loopback. Beside
        /// `[[auth.keys]]` or in their place. Empty for none.
        jwks_url: String = String::new(), "URL";
        /// The algorithms that published keys may have. A key has the one that it states, or the only one of these that
        /// it can have.
        jwks_algorithms: Vec<String> = ["RS256", "ES256", "EdDSA"].map(Into::into).into(), "algorithms";
        /// Roots in PEM that are trusted there beside those of the system.
        jwks_ca_file: String = String::new(), "path";
        /// How long it may take to fetch them. Whoever shows a token of an unknown key waits no longer.
        jwks_timeout_ms: u64 = 5_000, "milliseconds";
        /// How long fetched keys count before they are fetched again, whatever `cache-control` says, and where it says
        /// nothing; also the longest pause after failures. Shorter finds removed keys sooner.
        jwks_min_age_ms: u64 = 60_000, "milliseconds";
        /// How long at most. A key that is published no more proves tokens no longer than this.
        jwks_max_age_ms: u64 = 3_600_000, "milliseconds";
        /// How long keys count past that while they cannot be fetched. Then all who show a token are told to come back
        /// later: `overloaded`.
        jwks_max_stale_ms: u64 = 86_400_000, "milliseconds";
        /// The shortest time between two fetches because of tokens that name unknown keys, however many do.
        jwks_cooldown_ms: u64 = 10_000, "milliseconds";
    }
    /// The admin API, metrics and health, on a listener of their own.
    admin: Admin in "admin." {
        /// Where the admin API is. Anything but loopback needs a key.
        listen: String = "127.0.0.1:7081".into(), "IP:port";
        /// What requests have to show (`Authorization: Bearer …`), at least 16 characters; empty for none.
        key: String = String::new(), "secret";
        /// A file that holds the key, in place of `key`; spaces and line breaks around it do not count.
        key_file: String = String::new(), "path";
        /// Names that requests may name as their host, beside addresses: "gateway.internal".
        hosts: Vec<String> = Vec::new(), "host names";
        /// The largest request; it is held in memory while it is read.
        body_bytes: u64 = 1 << 20, "bytes";
        /// The largest payload of one event. Keep it at or below limits.unacknowledged_bytes.
        event_bytes: u64 = 256 * 1024, "bytes";
    }
    /// WebTransport (HTTP/3), on a UDP port of its own. Without certificate files the gateway makes certificates of its own,
    /// which clients know by their hashes.
    webtransport: WebTransport in "webtransport." {
        /// Whether it is offered.
        enabled: bool = true, "true or false";
        /// Where it listens, by UDP; empty for the address and the port number of `listen`. Anything but loopback needs
        /// what `listen` needs.
        listen: String = String::new(), "IP:port";
        /// Where clients find it, if that is neither the host and the port number that they called nor `webtransport.listen`:
        /// `https://rt.example.com:7080/v1/webtransport`.
        url: String = String::new(), "URL";
    }
    /// TLS on the clients' listener, and the certificate of WebTransport. Without files clients connect in the clear.
    tls: Tls in "tls." {
        /// The gateway's certificate in PEM, and after it those that signed it. Both files are read again when they change,
        /// and on SIGHUP.
        certificate_file: String = String::new(), "path";
        /// Its private key in PEM, not encrypted.
        key_file: String = String::new(), "path";
        /// How long a handshake may take, from the connection on.
        handshake_timeout_ms: u64 = 10_000, "milliseconds";
        /// How many handshakes may be under way; more wait. Each costs a signature, and some 20 KB while it lasts.
        handshakes: u64 = 1_024, "handshakes";
    }
    /// What a connection may draw out.
    http: Http in "http." {
        /// How long the head of a request may take from its first byte.
        header_timeout_ms: u64 = 10_000, "milliseconds";
        /// How long the body of a request may take.
        body_timeout_ms: u64 = 10_000, "milliseconds";
        /// How long a connection may lie idle between requests. Longer than the load balancer's in front, or it answers
        /// 502 now and then (60 s is common).
        keep_alive_ms: u64 = 75_000, "milliseconds";
        /// Proxies that are believed when they say whose address and which host a request is about, by network ("10.0.0.0/8",
        /// "fd00::/8") or address. Without any the address is that of the connection.
        trusted_proxies: Vec<String> = Vec::new(), "networks";
        /// The header that they write: `x-forwarded-for`, with `x-forwarded-host` and `x-forwarded-proto` beside it, or
        /// `forwarded` (RFC 7239). The other one is the client's own word, and ignored.
        forwarded_header: String = "x-forwarded-for".into(), "header";
        /// How many connections may be open on each listener; more wait in the system's queue. The process needs as
        /// many descriptors (`ulimit -n`).
        connections: u64 = 100_000, "connections";
        /// How much of what was written to a client the system may hold that has not been sent yet (`TCP_NOTSENT_LOWAT`); 0
        /// for as much as it likes. What is held for each client that does not read.
        unsent_bytes: u64 = 32 * 1024, "bytes per connection";
    }
    /// How long sessions wait for what.
    session: Session in "session." {
        /// How long a session without a link waits for its client before it is forgotten. Longer survives longer
        /// tunnels and keeps some 700 bytes and the journal of each waiting session.
        resume_window_ms: u64 = 120_000, "milliseconds";
        /// How long a new session waits for its token to come back. Longer than the slowest first round trip.
        provisional_ms: u64 = 10_000, "milliseconds";
        /// How often a stream is pinged, and how long a ping may go unanswered; 1,000 to 60,000. Shorter finds dead
        /// links sooner and costs one small write and read per session each time.
        heartbeat_ms: u64 = 15_000, "milliseconds";
        /// How long a poll is held when there is nothing to say. Intermediaries cut at 30 to 60 seconds.
        poll_hold_ms: u64 = 25_000, "milliseconds";
        /// How long a better transport may stand by unproven.
        probe_ms: u64 = 15_000, "milliseconds";
        /// How long a session without a link is still here: listed in the presence of its channels, and not `lost` to the
        /// application; no longer than the resume window, whatever this says. Shorter tells sooner that somebody is gone,
        /// longer hides reconnects and reloads.
        presence_grace_ms: u64 = 30_000, "milliseconds";
        /// Whether each session of a user is given the user's own channel, `$user:ID`, so that the application can publish to
        /// users. Costs each of their sessions a subscription.
        user_channel: bool = false, "true or false";
        /// The bound of a lost client's second attempt, doubled with each further one.
        backoff_base_ms: u64 = 250, "milliseconds";
        /// The bound of all later attempts.
        backoff_cap_ms: u64 = 30_000, "milliseconds";
        /// How many sessions are opened or taken up again each second; whoever is too many is told when to come back. After
        /// a crash clients spread over sessions / this rate, and a twentieth more.
        admission_rate: u64 = 2_500, "sessions per second";
        /// How many of them may come at once; 0 for a tenth of the rate, and at least 32.
        admission_burst: u64 = 0, "sessions";
        /// How long the application may take for what a client sends, before the client is told `timed_out`.
        handler_timeout_ms: u64 = 30_000, "milliseconds";
    }
    /// How the gateway empties itself on SIGTERM, by `POST /api/v1/drain`, or for a successor.
    drain: Drain in "drain." {
        /// How long it may take: three quarters of it to tell everybody when to leave, the rest for them to leave. At
        /// least 4 s less than the supervisor's patience (systemd 90 s, Kubernetes 30 s).
        deadline_ms: u64 = 25_000, "milliseconds";
        /// How long a client that leaves stays away at least: as long as it takes until the next gateway is there. Nothing
        /// where it takes the sockets over (`handover.socket`).
        return_ms: u64 = 1_000, "milliseconds";
    }
    /// The hand-over of the listening sockets to the process that is to follow, so that no connection is refused.
    handover: Handover in "handover." {
        /// A socket in the file system. A process that starts asks here for the listeners of the one before, which drains once
        /// the new one is ready; then it waits here for the one after. Empty for none.
        socket: String = String::new(), "path";
    }
    /// How much of what there may be.
    limits: Limits in "limits." {
        /// The largest message of a client; it is held in memory while it arrives.
        message_bytes: u64 = 64 * 1024, "bytes";
        /// Sessions, attached and detached. Past it new ones are told `too_many_sessions`.
        sessions: u64 = 1_000_000, "sessions";
        /// Channels. An idle one costs some 300 bytes until its events are too old. Past it new names are refused:
        /// `too_many_channels`.
        channels: u64 = 65_536, "channels";
        /// Channels that one session may hold.
        subscriptions: u64 = 256, "channels per session";
        /// Commands of one session that may be unreplied.
        commands_ahead: u64 = 64, "commands per session";
        /// Sessions that take part in the presence of one channel. Each that comes or goes is told to all the others. Past
        /// it: `too_many_members`.
        presence_members: u64 = 1_000, "sessions per channel";
        /// Those of them that are sessions of one user, on all its pages and devices; 0 for no bound. One that vanished is one for
        /// `session.presence_grace_ms`. Past it: `too_many_members`.
        user_presence_members: u64 = 50, "sessions per user and channel";
        /// Those of them that have no user and came from one address, which thousands of people may share; 0 for no bound. Past it:
        /// `too_many_members`.
        address_presence_members: u64 = 500, "sessions per address and channel";
        /// What presences may cost together that were sent and not acknowledged. Past it nobody is told more until some
        /// are; from half of it on not who holds an eighth: a user, or those of one address who have none.
        presence_bytes: u64 = 32 << 20, "bytes";
        /// Volatiles that one session may say; what is above that is dropped. Each wakes everybody who holds its channel. 0 for
        /// none at all.
        volatiles_per_second: u64 = 100, "volatiles per second and session";
        /// The largest payload of a volatile; larger ones are dropped. What fits a datagram is 1,200 bytes with its frame.
        volatile_bytes: u64 = 4_096, "bytes";
        /// Event items of one session that may be unacknowledged before it gets no more.
        unacknowledged_items: u64 = 1_024, "items per session";
        /// Payload of one session that may be unacknowledged before it gets no more.
        unacknowledged_bytes: u64 = 256 * 1024, "bytes per session";
        /// Links of one session: the one that works, and probes.
        links: u64 = 4, "links per session";
        /// Commands of one session; 0 for no bound. Clients are told, and whoever is over it is heard no further for a while.
        /// Any other frame counts as one, but for volatiles.
        commands_per_second: u64 = 200, "commands per second and session";
        /// How many of them may come at once; 0 for those of two seconds. A page that opens subscribes to all that it shows.
        commands_burst: u64 = 0, "commands";
        /// Bytes of one session's messages, twice as many at once; 0 for no bound.
        bytes_per_second: u64 = 1 << 20, "bytes per second and session";
        /// Sessions of one user, those that wait for their client included: every page that is loaded anew leaves one for the
        /// resume window. 0 for no bound. Past it: `too_many_sessions`.
        user_sessions: u64 = 500, "sessions per user";
        /// Commands of all sessions of one user, twice as many at once; 0 for no bound.
        user_commands_per_second: u64 = 2_000, "commands per second and user";
        /// Sessions from one address. Thousands of people may be behind the one of a company or of a mobile network. 0 for no
        /// bound. Past it: `too_many_sessions`.
        address_sessions: u64 = 10_000, "sessions per address";
        /// Connections from one address; 0 for no bound. Past it: `too_many_connections`.
        address_connections: u64 = 10_000, "connections per address";
        /// Connections that are begun from one address, each of which may cost a TLS handshake; 0 for no bound. All that are
        /// behind one address come back together when their network does. Past it: `rate_limited`.
        address_handshakes_per_second: u64 = 1_000, "connections per second and address";
        /// How many of them may come at once; 0 for those of two seconds.
        address_handshakes_burst: u64 = 0, "connections";
        /// Commands of all sessions without a user that came from one address, twice as many at once; 0 for no bound.
        address_commands_per_second: u64 = 10_000, "commands per second and address";
        /// How much of an IPv6 address counts as one address: what one customer is given.
        address_prefix: u64 = 64, "bits";
        /// Networks whose addresses are not counted: an office's, a proxy's that is not named as one. By default loopback.
        address_exempt: Vec<String> = ["127.0.0.0/8", "::1/128"].map(Into::into).into(), "networks";
        /// How much memory the process may use; 0 for what its control group allows, else for what the machine has.
        memory_bytes: u64 = 0, "bytes";
        /// From how much of its memory, or of its open files, on the gateway opens no session; half way from there to the end
        /// it takes no connection either. 50 to 99.
        shed_at_percent: u64 = 90, "percent";
    }
    /// What channels keep for those who come back or ask for the last events. The first bound reached trims.
    retention: Retention in "retention." {
        /// Events of one channel.
        events: u64 = 1_000, "events per channel";
        /// Their bytes, as encoded.
        bytes: u64 = 1 << 20, "bytes per channel";
        /// The age of the oldest.
        age_ms: u64 = 300_000, "milliseconds";
        /// All channels' events and all sessions' journals together. Past it the oldest of the largest channel is trimmed, and
        /// whoever has not read it is told a gap.
        budget_bytes: u64 = 256 << 20, "bytes";
    }
    /// The application, reached by HTTP: what clients send is posted to it, and what it answers is their reply. Without `url`
    /// it is published to the channel that it names. docs/webhook.md has the shape.
    webhook: Webhook in "webhook." {
        /// Where events are posted: `https://app.example.com/throughline`. `http` belongs on a network that is trusted.
        url: String = String::new(), "URL";
        /// What it is asked and told: `open` who may enter, `intent` what becomes of what clients send, `session` what became of
        /// sessions. Without `open` everybody enters as nobody; without `intent` what is sent is published.
        events: Vec<String> = vec!["open".into(), "intent".into()], "events";
        /// The headers of a client that it is shown when it says who may enter. Cookies are shown only of pages that may
        /// connect.
        forward_headers: Vec<String> = ["authorization", "cookie", "user-agent"].map(Into::into).into(), "headers";
        /// What requests are signed with, at least 16 characters each. Each makes a signature of its own, so that the
        /// application can change to the next one at any time.
        secrets: Vec<String> = Vec::new(), "secrets";
        /// Files that hold one secret each, beside `secrets`; spaces and line breaks around it do not count.
        secret_files: Vec<String> = Vec::new(), "paths";
        /// Roots in PEM that are trusted beside those of the system, for `https`.
        ca_file: String = String::new(), "path";
        /// How long one attempt may take. All of them together take no longer than session.handler_timeout_ms.
        timeout_ms: u64 = 5_000, "milliseconds";
        /// How often an event is tried before its client is told `handler_failed` or `timed_out`.
        attempts: u64 = 3, "attempts";
        /// In which order intents come, by namespace (`game=channel`; `*=none` for all others): `session`, one at a time of one
        /// session about one channel; `channel`, one at a time about one channel, whoever sent it; or `none`.
        ordered_by: Vec<String> = vec!["*=session".into()], "rules";
        /// How many intents about one channel there may be where they come by `channel`. Past it clients are told `overloaded`.
        lane: u64 = 256, "intents per channel";
        /// How many requests may be under way at once, each on a connection of its own.
        requests: u64 = 128, "requests";
        /// How many may wait for one of those, each with its event in memory. Past it clients are told `overloaded`.
        waiting: u64 = 4_096, "requests";
        /// How many `session` events may wait to be told, and as many ends of sessions again, some 200 bytes each. Past it they
        /// are not told, and the next says how many.
        session_events: u64 = 65_536, "events";
    }
    /// What is written to the standard error.
    log: Log in "log." {
        /// `text` for people, `json` for machines: one object per line.
        format: String = "text".into(), "text or json";
        /// Which lines: a level, or levels by target, "info,throughline=debug". Dependencies are capped at `debug`,
        /// whatever this says: at `trace` they print messages, and with them tokens.
        filter: String = "info".into(), "filter";
        /// How many warnings of one kind are written in a minute; of the others their number is, at its end. Whoever is
        /// refused a thousand times a second fills no disk, and metrics count each. 0 for no bound.
        warnings_per_minute: u64 = 60, "lines of a kind per minute";
    }
    /// The threads.
    runtime: Runtime in "runtime." {
        /// Threads that carry connections; 0 for one per core.
        worker_threads: u64 = 0, "threads";
    }
}

/// What is said of several things of one kind, each by a table of its own.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Lists {
    /// The keys that session tokens are signed with; the first signs, all verify.
    pub token_keys: Vec<TokenKey>,
    /// The keys that clients' tokens are proven by.
    pub auth_keys: Vec<AuthKey>,
    /// Who may do what in the channels of a namespace.
    pub namespaces: Vec<(String, Namespace)>,
    /// What a session gets of a namespace's channel in which it fell behind.
    pub slow: Vec<(String, SlowRule)>,
}

/// A key that clients' tokens are proven by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuthKey {
    /// What a token's `kid` names it by.
    pub id: Option<String>,
    /// The one algorithm that it is used with.
    pub algorithm: Algorithm,
    /// A secret, or a public key in PEM.
    pub material: Source,
}

/// A key that session tokens are signed with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenKey {
    /// 1 to 16 letters and digits; part of every token.
    pub id: String,
    /// At least 16 bytes.
    pub secret: Source,
}

/// Where a key is. Its `Debug` does not reveal it.
#[derive(Clone, PartialEq, Eq)]
pub enum Source {
    /// In the configuration.
    Stated(String),
    /// In a file, which is read again when it changes; space around it does not count.
    File(PathBuf),
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stated(_) => f.write_str("Stated(…)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}
