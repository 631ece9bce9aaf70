//! `throughline listen`: a client for the terminal. Shows what a session hears, and how it travels.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use throughline_client::{
    Attempt, Codec, Config, Event, Events, Incoming, LinkChange, Session, SubscribeFrom, Transport, Via,
};
use throughline_wire::{AttemptOutcome, ChannelName, Gap, Member, Payload, Position, Presence, Token};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The channels.
    #[arg(value_name = "CHANNEL", required = true)]
    channels: Vec<String>,
    /// Use this transport and no other, or the best that works: what was tried, and why it is where it is, goes to
    /// the standard error.
    #[arg(long, value_enum, default_value_t = TransportName::Auto)]
    transport: TransportName,
    /// The form of messages. Server-sent events are in `json` only.
    #[arg(long, value_enum)]
    codec: Option<CodecName>,
    /// Begin with the last N events of each channel that are still held.
    #[arg(long, value_name = "N", default_value_t = 0)]
    last: u32,
    /// Take part in each channel's presence, and show who else does: everybody, then who comes and goes.
    #[arg(long)]
    presence: bool,
    /// The gateway.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7080", env = "THROUGHLINE_URL")]
    url: String,
    /// Accept the certificates that these roots (a PEM file) have signed, beside those that the system accepts.
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// Accept the certificate with this SHA-256 (hexadecimal), whoever signed it.
    #[arg(long, value_name = "HASH")]
    certificate_hash: Option<String>,
    /// The user's credential.
    #[arg(long, value_name = "TOKEN")]
    auth: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TransportName {
    Auto,
    Webtransport,
    Websocket,
    Polling,
    Sse,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum CodecName {
    Json,
    Bincode,
}

/// Listens until a signal, or until the gateway says not to come back.
pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    super::logs::init("text", "warn", 0)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(listen(arguments))
}

async fn listen(arguments: Arguments) -> anyhow::Result<()> {
    let from = match arguments.last {
        0 => SubscribeFrom::Now,
        count => SubscribeFrom::Last(count),
    };
    let channels = arguments
        .channels
        .iter()
        .map(|name| ChannelName::parse(name).map_err(|code| anyhow::anyhow!("{name:?}: {}", code.message())));
    let channels = channels.collect::<anyhow::Result<Vec<_>>>()?;
    let presence = arguments.presence;
    let mut signal = std::pin::pin!(signal());
    let (session, mut events) = Session::connect(arguments.config()?)?;
    let mut screen = Screen { via: None };
    // All at once, so that all of them travel in the message that opens the session.
    let subscriptions = channels.into_iter().map(|channel| {
        let session = &session;
        async move {
            let name = channel.clone();
            let subscribed = if presence {
                session.take_part(channel, from).await
            } else {
                session.subscribe(channel, from).await
            };
            subscribed.map(drop).with_context(|| format!("{name} is not to be had"))
        }
    });
    let subscribing = futures_util::future::try_join_all(subscriptions);
    // Both at once: what is heard is shown while further channels are asked for.
    let mut subscribing = std::pin::pin!(subscribing);
    let mut subscribed = false;
    let mut state = session.state();
    let mut told = Told::default();
    let ended = loop {
        tokio::select! {
            result = &mut subscribing, if !subscribed => match result {
                Ok(_) => subscribed = true,
                Err(error) => break Err(error),
            },
            more = show_next(&mut screen, &mut events) => match more {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            },
            Ok(()) = state.changed() => told.tell(&state.borrow_and_update().history),
            () = &mut signal => break Ok(()),
        }
    };
    session.close().await;
    ended
}

/// Shows the next thing that the session hears. Says whether there may be more.
async fn show_next(screen: &mut Screen, events: &mut Events) -> anyhow::Result<bool> {
    match events.next().await {
        Some(Incoming::SessionLost { reason }) if reason.is_final() => {
            bail!("the gateway ended the session: {reason:?}")
        }
        Some(incoming) => {
            screen.show(&incoming)?;
            Ok(true)
        }
        None => Ok(false),
    }
}

impl Arguments {
    fn config(&self) -> anyhow::Result<Config> {
        let codec = self.codec.map(|codec| match codec {
            CodecName::Json => Codec::Json,
            CodecName::Bincode => Codec::Bincode,
        });
        let transport = match self.transport {
            TransportName::Auto => None,
            TransportName::Webtransport => Some(Transport::WebTransport),
            TransportName::Websocket => Some(Transport::WebSocket),
            TransportName::Polling => Some(Transport::Polling),
            TransportName::Sse => Some(Transport::Sse),
        };
        let mut config = Config::new(&self.url);
        config.client_name = "throughline listen".into();
        config.auth = self.auth.as_deref().map(Token::new);
        if let Some(file) = &self.root {
            let pem = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
            config.tls.trust_pem(&pem)?;
        }
        if let Some(hash) = &self.certificate_hash {
            config.tls.accept_hash(hash)?;
        }
        if let Some(transport) = transport {
            let via = Via { transport, codec: codec.unwrap_or(Codec::Json) };
            if !via.is_possible() {
                bail!("server-sent events are text: `--transport sse` goes with `--codec json`");
            }
            config = config.only(via);
        } else if let Some(codec) = codec {
            let transports = config.transports.iter().map(|via| Via { codec, ..*via });
            config.transports = transports.filter(|via| via.is_possible()).collect();
        }
        Ok(config)
    }
}

/// One line per thing: events as `transport #item channel@offset [name] payload`, everything else after a `-`.
struct Screen {
    /// What the session is on.
    via: Option<Via>,
}

impl Screen {
    fn show(&mut self, incoming: &Incoming) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match incoming {
            Incoming::Event { number, event, .. } => {
                let transport = self.via.map_or("-", |via| via.transport.name());
                write!(out, "{transport} #{number} {}@{}", event.channel, event.offset)?;
                write_event(&mut out, event)?;
            }
            Incoming::Gap { number, gap } => writeln!(out, "- #{number} {}", Missing(gap))?,
            Incoming::Subscribed { number, subscribed } => {
                let Position { epoch, offset } = subscribed.position;
                let recovered = if subscribed.recovered { "" } else { ", not all that was missed is held" };
                writeln!(
                    out,
                    "- #{number} subscribed {}@{offset} (epoch {epoch}{recovered})",
                    subscribed.channel
                )?;
            }
            Incoming::Unsubscribed { unsubscribed, .. } => {
                writeln!(out, "- unsubscribed {} ({})", unsubscribed.channel, unsubscribed.reason.as_str())?;
            }
            Incoming::Presence { number, presence } => writeln!(out, "- #{number} {}", Who(presence))?,
            Incoming::PresenceLost { channel, error } => {
                writeln!(out, "- presence of {channel} lost: {error}")?;
            }
            Incoming::Link(LinkChange::Up { via, session, resumed, why }) => {
                let how = if *resumed { "resumed" } else { "opened" };
                writeln!(out, "- {via}: session {session} {how}")?;
                writeln!(io::stderr(), "on {via}: {why}")?;
                self.via = Some(*via);
            }
            Incoming::Link(LinkChange::Down { via, reason, retry_in }) => {
                writeln!(out, "- {via}: lost ({reason}); again in {} ms", retry_in.as_millis())?;
                self.via = None;
            }
            Incoming::SessionLost { reason } => writeln!(out, "- session lost: {reason:?}")?,
            _ => {}
        }
        out.flush()
    }
}

fn write_event(out: &mut impl io::Write, event: &Event) -> io::Result<()> {
    if let Some(name) = &event.name {
        write!(out, " {name:?}")?;
    }
    match &event.payload {
        Payload::Empty => writeln!(out),
        Payload::Json(json) => writeln!(out, " {}", printable(json.as_str())),
        Payload::Bytes(bytes) => writeln!(out, " {} bytes", bytes.len()),
    }
}

/// JSON as a terminal may have it: DEL and the controls above it, which JSON allows in strings, are escaped.
fn printable(json: &str) -> String {
    json.chars().fold(String::with_capacity(json.len()), |mut text, c| {
        if c.is_control() {
            text.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            text.push(c);
        }
        text
    })
}

/// How far what was tried is told.
#[derive(Default)]
struct Told {
    until: Option<Duration>,
}

impl Told {
    /// Tells how transports did since the last time. What is proven is told when the session is on it.
    fn tell(&mut self, history: &Arc<[Attempt]>) {
        for attempt in history.iter().filter(|attempt| Some(attempt.at) > self.until) {
            let Attempt { via, outcome, reason, took, .. } = attempt;
            if *outcome != AttemptOutcome::Proven {
                eprintln!("{via}: {} after {} ms: {reason}", outcome.as_str(), took.as_millis());
            }
        }
        self.until = history.last().map(|attempt| attempt.at);
    }
}

/// A presence in words.
struct Who<'a>(&'a Presence);

impl std::fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Presence { channel, kind, members, count } = self.0;
        write!(f, "{} {channel}:", kind.as_str())?;
        for Member { session, user, info } in members {
            write!(f, " {session}")?;
            if let Some(user) = user {
                write!(f, " {user:?}")?;
            }
            if let Some(info) = info {
                write!(f, " {}", printable(info.as_str()))?;
            }
            f.write_str(",")?;
        }
        write!(f, " {count} in all")
    }
}

/// A gap in words.
struct Missing<'a>(&'a Gap);

impl std::fmt::Display for Missing<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Gap { channel, from, to, exact, reason } = self.0;
        let channel = channel.as_ref().map_or("items", ChannelName::as_str);
        let bound = if *exact { "" } else { "at most " };
        match from {
            Some(from) if from.epoch == to.epoch => {
                write!(f, "gap {channel}: {bound}{} to {}", from.offset.next(), to.offset)?;
            }
            _ => write!(f, "gap {channel}: unknown up to {} of epoch {}", to.offset, to.epoch)?,
        }
        write!(f, " ({})", reason.as_str())
    }
}

/// Waits for Ctrl-C or a request to end.
async fn signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
