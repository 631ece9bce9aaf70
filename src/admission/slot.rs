//! An appointment that speaks for itself: its time, its class, and a proof of both and of whom it is for.
//!
//! It is signed with the session token keys, for another purpose, so neither can stand for the other. Any gateway with
//! these keys honours it; nobody keeps anything of it. It may be shown again while it is good: see
//! docs/decisions/0028-admission.md for what that gains.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use throughline_wire::SessionId;

use super::Class;
use crate::session::{MAC_BYTES, TokenKeys};

/// Whom a slot is for. Nobody else can use it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holder<'a> {
    /// Whoever shows the token of this session.
    Session(SessionId),
    /// A user on one client object.
    User {
        /// Whom the client was authenticated as.
        user: &'a str,
        /// What its client calls itself.
        instance: &'a str,
    },
}

/// A signed appointment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slot([u8; Self::BYTES]);

/// Why a slot counts for nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SlotFault {
    /// It is none of ours, or not this caller's.
    Forged,
    /// Its time has not come.
    Early,
    /// Its time is long over.
    Late,
    /// More come back on slots than places can have been given: some are shown again and again.
    Crowded,
}

impl SlotFault {
    /// Every fault.
    pub const ALL: [Self; 4] = [Self::Forged, Self::Early, Self::Late, Self::Crowded];

    /// The word for metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forged => "forged",
            Self::Early => "early",
            Self::Late => "late",
            Self::Crowded => "crowded",
        }
    }
}

impl Slot {
    /// A class, a time in milliseconds since the Unix epoch, and the proof.
    const BYTES: usize = 1 + 8 + MAC_BYTES;

    /// The slot of a caller at this time, in milliseconds since the Unix epoch: so a gateway that takes over after
    /// this one knows it too.
    pub(super) fn sign(keys: &TokenKeys, class: Class, holder: Holder<'_>, at_ms: u64) -> Self {
        let mut bytes = [0; Self::BYTES];
        bytes[0] = class as u8;
        bytes[1..9].copy_from_slice(&at_ms.to_be_bytes());
        bytes[9..].copy_from_slice(&keys.prove_slot(&statement(class, holder, at_ms)));
        Self(bytes)
    }

    /// The time of a genuine slot of this caller.
    pub(super) fn verify(
        keys: &TokenKeys,
        class: Class,
        holder: Option<Holder<'_>>,
        shown: &str,
    ) -> Result<u64, SlotFault> {
        let mut bytes = [0; Self::BYTES];
        let length = URL_SAFE_NO_PAD.decode_slice(shown, &mut bytes).ok();
        let holder = holder.filter(|_| length == Some(Self::BYTES)).ok_or(SlotFault::Forged)?;
        let mut at_ms = [0; 8];
        at_ms.copy_from_slice(&bytes[1..9]);
        let at_ms = u64::from_be_bytes(at_ms);
        let genuine = bytes[0] == class as u8
            && at_ms < 1 << 53
            && keys.verify_slot(&statement(class, holder, at_ms), &bytes[9..]);
        if genuine { Ok(at_ms) } else { Err(SlotFault::Forged) }
    }
}

impl std::fmt::Display for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

/// What is signed. No two holders, classes or times share one.
fn statement(class: Class, holder: Holder<'_>, at_ms: u64) -> Vec<u8> {
    let mut statement = vec![class as u8];
    statement.extend_from_slice(&at_ms.to_be_bytes());
    match holder {
        Holder::Session(session) => {
            statement.push(0);
            statement.extend_from_slice(session.as_bytes());
        }
        Holder::User { user, instance } => {
            statement.push(1);
            statement.extend_from_slice(&(user.len() as u64).to_be_bytes());
            statement.extend_from_slice(user.as_bytes());
            statement.extend_from_slice(instance.as_bytes());
        }
    }
    statement
}
