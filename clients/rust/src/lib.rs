//! A client of the Throughline protocol: one session over WebTransport, WebSocket, server-sent events and long-polling.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use throughline_client::{Config, Incoming, Session, SubscribeFrom, wire::ChannelName};
//!
//! let (session, mut events) = Session::connect(Config::new("http://127.0.0.1:8080"))?;
//! let news = ChannelName::parse("news").expect("a legal name");
//! session.subscribe(news, SubscribeFrom::Now).await?;
//! while let Some(incoming) = events.next().await {
//!     if let Incoming::Event { number, event, .. } = incoming {
//!         println!("{number}: {} {}", event.channel, event.offset);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A [`Session`] outlives its links. It comes back by the gateway's guidance, resumes by number, and moves from one
//! transport to another with items in flight: nothing lost, nothing twice, nothing out of order, for as long as the
//! gateway holds the session. When it does not, what is unknown is said: [`Incoming::SessionLost`], then
//! [`Incoming::Gap`]s where events are gone, and [`SendError::OutcomeUnknown`] for what had no reply.
//!
//! An address may be `https`: [`Config::tls`] says which certificates are accepted beside those that the system
//! accepts. What lies between is a [`Dial`]: TCP, or an HTTP proxy ([`ProxyDial`]), or whatever is put under the client.
//! WebTransport runs over UDP. Its certificate may be one that the gateway made itself and names by hash in its offer;
//! over plain `http` that is as trustworthy as everything else on the way.
//!
//! How it is made: `core` thinks and does no I/O, `transport` moves bytes and does not think, `driver` joins them.

mod address;
mod config;
mod core;
mod driver;
mod error;
mod incoming;
mod session;
#[doc(hidden)]
pub mod simulation;
mod state;
mod transport;

pub use config::{Config, Timing, Transport, Via};
pub use core::negotiation::{
    history::Attempt,
    verdict::{Verdict, Verdicts},
};
pub use error::{ConfigError, MigrateError, SendError, SubscribeError};
pub use incoming::{Incoming, LinkChange, LostReason};
pub use session::{Events, Sending, Session};
pub use state::{Phase, State};
pub use throughline_wire as wire;
pub use throughline_wire::{
    Codec, Event, Gap, Member, Presence, PresenceKind, ReplyError, SubscribeFrom, Subscribed, Unsubscribed,
    item::Accepted,
};
pub use transport::{
    dial::{Connection, Dial, Dialing, Forwarding, Resolving, TcpDial},
    proxy::{ProxyDial, ProxyError},
    tls::Tls,
};
