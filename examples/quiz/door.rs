//! Who may enter, and who may hear and say what.
//!
//! A page makes a secret and keeps it for its tab. As a credential it reads `host.SECRET` or `player.SECRET`; the user that
//! others see is a digest of it, so nobody can be somebody else, and whoever loses their session is known again by the next.
//! A host's channel is open to the one who made the game, which is how no player learns an answer early.

use std::net::{IpAddr, Ipv6Addr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use throughline::{
    broker::Pending,
    gateway::{Authenticate, Authorize, Credentials, Denied, Identity, SendQuery, SubscribeQuery},
    wire::{ChannelName, ErrorCode, ReplyError},
};

use crate::{quiz::Quiz, refusal::Refusal};

/// Knows users by their secrets, and tells the quiz where hosts come from.
pub(crate) struct Secrets(pub Quiz);

impl Authenticate for Secrets {
    fn authenticate<'a>(&'a self, credentials: &'a Credentials) -> Pending<'a, Result<Identity, Denied>> {
        let user = credentials.token.as_ref().and_then(|token| user(token.reveal()));
        let host = user.as_deref().filter(|user| user.starts_with("host:"));
        // Who renews a credential says it on a link that came with the first.
        if let (Some(host), Some(remote)) = (host, credentials.remote) {
            self.0.let_in(host, network(remote.ip()));
        }
        let identity = user.map(|user| Identity { user: Some(user.into()), ..Identity::default() });
        Box::pin(std::future::ready(identity.ok_or(Denied::Unauthorized)))
    }
}

/// What counts as one address: of IPv6 the half that a provider gives to one customer.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

/// The user of a credential.
pub(crate) fn user(credential: &str) -> Option<String> {
    let (role, secret) = credential.split_once('.')?;
    let is_secret = (16..=64).contains(&secret.len())
        && secret.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let digest = Sha256::digest(credential);
    (is_secret && matches!(role, "host" | "player"))
        .then(|| format!("{role}:{}", URL_SAFE_NO_PAD.encode(&digest[..12])))
}

/// Lets users into the games there are.
pub(crate) struct Doors(pub Quiz);

impl Doors {
    fn check(&self, user: Option<&str>, channel: &ChannelName) -> Result<(), ReplyError> {
        let (namespace, code) = channel.as_str().split_once(':').unwrap_or((channel.as_str(), ""));
        match namespace {
            "game" | "host" if !self.0.has_game(code) => Err(Refusal::GameUnknown.into()),
            "game" => Ok(()),
            "host" if user.is_some_and(|user| self.0.is_host(code, user)) => Ok(()),
            _ => Err(ErrorCode::Forbidden.into()),
        }
    }
}

impl Authorize for Doors {
    fn subscribe<'a>(&'a self, request: &'a SubscribeQuery<'a>) -> Pending<'a, Result<(), ReplyError>> {
        Box::pin(std::future::ready(self.check(request.user, request.channel)))
    }

    fn send<'a>(&'a self, request: &'a SendQuery<'a>) -> Pending<'a, Result<(), ReplyError>> {
        let is_lobby = request.channel.as_str() == "quiz";
        let checked = if is_lobby { Ok(()) } else { self.check(request.user, request.channel) };
        Box::pin(std::future::ready(checked))
    }
}
