//! Who clients are, by JSON web tokens; and what they may do, by rules for namespaces.
//!
//! [`Jwt`] is an [`Authenticate`](crate::gateway::Authenticate): an application's backend signs a token for each user,
//! and the gateway needs nothing of it but a [`Key`]. [`Rules`] is an [`Authorize`](crate::gateway::Authorize) for what
//! such users may do. Either can be had without the other, and both without the command line.
//!
//! Left out on purpose: sessions of its own (a token counts until it ends, and is asked for on every hello), and reading
//! a token's claims before its signature is proven. Keys come from whoever makes the [`Jwt`], one by one or as a
//! [`KeySet`], which fetches what an issuer publishes.

mod flaw;
mod jwt;
mod key;
mod key_set;
mod proven;
mod rules;

pub use jwt::{Jwt, JwtConfig};
pub use key::{Algorithm, Key, KeyError};
pub use key_set::{KeySet, KeySetConfig, KeySetError, KeySetLook};
pub use rules::{Namespace, Rules, UnknownWho, Who};
