//! Tickets: what opens an event stream by its address.
//!
//! An address is written into logs and histories, so no credential that counts for long may stand in one. A ticket names one
//! session, which it opens within moments, and once. From then on it counts only together with the resume tag of
//! that session (`Last-Event-ID`), which is no part of the address; and no longer than the session.
//!
//! It is signed and holds whom it was given to, so none has to be remembered, and any gateway with the same keys can take it.
//! What is remembered are those that were used, until they would have ended anyway.
//!
//! What is left out: asking the application again when the stream comes back. A ticket says when the credential behind
//! it ends; to put somebody out before, end the session.

use std::{collections::BTreeSet, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use throughline_wire::{ErrorCode, Json, SessionId, Token, bounds};

use super::{
    Shared,
    authority::{Credentials, Identity},
    clock,
    grants::{Action, Grants},
};
use crate::{
    admission::{Class, Wait},
    session::{Goodbye, MAC_BYTES, ResumeTag, TokenKeys},
};

/// What a client puts into the address of its stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ticket {
    /// The ticket. Its `Debug` reveals nothing.
    pub text: Token,
    /// The session that it opens.
    pub session: SessionId,
    /// How long it may take until it does.
    pub life: Duration,
}

impl Ticket {
    /// How long a ticket lives that nobody says more of: as long as a page takes to open its stream.
    pub const LIFE: Duration = Duration::from_secs(30);
    /// The longest that one may live.
    pub const LONGEST: Duration = Duration::from_secs(60);
    /// The longest ticket, in bytes: an address of twice that is taken by every proxy that is common.
    pub const MAX_BYTES: usize = 4_096;
}

/// Why there is no ticket. The caller's fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TicketError {
    /// The user's name, its info and what it is granted do not fit.
    #[error("a ticket holds the user, what is told of it and what it is granted, in at most 4,096 bytes")]
    TooLarge,
    /// A name or an info that no receiver would take.
    #[error("a user is at most 256 bytes, its info 1,024")]
    TooLong,
    /// A life that is none, or too long.
    #[error("a ticket lives for 1 to 60,000 milliseconds")]
    Life,
}

/// A genuine ticket, as its link opens.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) identity: Identity,
    pub(crate) pass: Pass,
}

/// What a ticket opens, and until when.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Pass {
    until_ms: u64,
    pub(crate) session: SessionId,
}

/// What is signed.
#[derive(Serialize, Deserialize)]
struct Statement {
    #[serde(rename = "s")]
    session: String,
    #[serde(rename = "t")]
    until_ms: u64,
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    user: Option<Box<str>>,
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    info: Option<Box<RawValue>>,
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    expires_at_ms: Option<u64>,
    #[serde(rename = "g", default, skip_serializing_if = "Vec::is_empty")]
    grants: Vec<(Box<str>, Vec<String>)>,
}

impl Shared {
    /// A ticket for whoever these credentials show.
    pub(crate) async fn give_ticket(&self, credentials: &Credentials) -> Result<Ticket, Goodbye> {
        // Whoever is new comes to the successor, which will ask.
        let away = self.drain().and_then(|drain| self.turn_away(drain, Class::Newcomer, None).wait(true));
        if let Some(Wait { delay_ms, spread_ms, .. }) = away {
            return Err(Goodbye::Drain { delay_ms, spread_ms });
        }
        // Where no credentials get anybody a place any more, none are checked: a ticket would end before it could be used.
        let verdict = self.admission.lock().refuse_unseen(clock::now());
        if let Some(Wait { delay_ms, spread_ms, .. }) = verdict.and_then(|verdict| verdict.wait(true)) {
            return Err(Goodbye::Overload { delay_ms, spread_ms, code: ErrorCode::Overloaded });
        }
        let identity = self.authenticate(credentials).await.map_err(|denied| denied.goodbye())?;
        self.make_ticket(&identity, Ticket::LIFE).map_err(|error| {
            tracing::warn!(%error, "a user gets no ticket");
            Goodbye::Forbidden(ErrorCode::MessageTooLarge)
        })
    }

    /// A ticket for somebody who is known.
    pub(crate) fn make_ticket(&self, identity: &Identity, life: Duration) -> Result<Ticket, TicketError> {
        let is_too_long = identity.user.as_ref().is_some_and(|user| user.len() > bounds::USER_BYTES)
            || identity.info.as_ref().is_some_and(|info| info.as_str().len() > bounds::INFO_BYTES);
        if is_too_long {
            return Err(TicketError::TooLong);
        }
        if life < Duration::from_millis(1) || life > Ticket::LONGEST {
            return Err(TicketError::Life);
        }
        let session = SessionId::from_random(clock::random());
        let pass = Pass { until_ms: clock::now().wall_ms + life.as_millis() as u64, session };
        let text = write(&self.session.keys, pass, identity);
        if text.len() > Ticket::MAX_BYTES {
            return Err(TicketError::TooLarge);
        }
        Ok(Ticket { text: Token::new(text), session, life })
    }

    /// Takes the ticket of a stream, and what its client repeats of the stream before, if there was one.
    pub(crate) fn take_ticket(
        &self,
        ticket: &str,
        tag: Option<&str>,
    ) -> Result<(Shown, Option<ResumeTag>), ErrorCode> {
        let keys = &self.session.keys;
        let shown = read(keys, ticket).ok_or(ErrorCode::TicketInvalid)?;
        let now_ms = clock::now().wall_ms;
        let Some(tag) = tag else {
            return if now_ms < shown.pass.until_ms {
                Ok((shown, None))
            } else {
                Err(ErrorCode::TicketExpired)
            };
        };
        let tag = ResumeTag::verify(keys, tag).filter(|tag| tag.session == shown.pass.session);
        let tag = tag.ok_or(ErrorCode::TicketInvalid)?;
        let leeway_ms = self.session.auth_leeway_ms;
        if shown.identity.expires_at_ms.is_some_and(|end| end.saturating_add(leeway_ms) <= now_ms) {
            return Err(ErrorCode::TicketExpired);
        }
        // It opened its session, and opens no other.
        self.registry.find(tag.session).ok_or(ErrorCode::TicketUsed)?;
        Ok((shown, Some(tag)))
    }
}

/// The tickets that were used and would still count.
#[derive(Debug, Default)]
pub(crate) struct Spent(Mutex<BTreeSet<Pass>>);

impl Spent {
    /// Uses a ticket.
    ///
    /// # Errors
    /// It was used before, or ends now, or more have been used than are remembered.
    pub(crate) fn spend(&self, now_ms: u64, pass: Pass) -> Result<(), ErrorCode> {
        if pass.until_ms <= now_ms {
            return Err(ErrorCode::TicketExpired);
        }
        let mut spent = self.0.lock();
        while spent.first().is_some_and(|first| first.until_ms.saturating_add(KEEP_MS) <= now_ms) {
            spent.pop_first();
        }
        if spent.len() >= MOST {
            return Err(ErrorCode::Overloaded);
        }
        if spent.insert(pass) { Ok(()) } else { Err(ErrorCode::TicketUsed) }
    }

    /// Gives a ticket back that has opened nothing.
    pub(crate) fn give_back(&self, pass: Pass) {
        self.0.lock().remove(&pass);
    }
}

fn write(keys: &TokenKeys, pass: Pass, identity: &Identity) -> String {
    let Identity { user, info, expires_at_ms, grants } = identity;
    let words = |actions: &[Action]| actions.iter().map(|action| action.as_str().to_owned()).collect();
    let statement = Statement {
        session: pass.session.to_string(),
        until_ms: pass.until_ms,
        user: user.clone(),
        info: info.as_ref().and_then(|info| serde_json::from_str(info.as_str()).ok()),
        expires_at_ms: *expires_at_ms,
        grants: grants.iter().map(|(pattern, actions)| (pattern.into(), words(actions))).collect(),
    };
    let statement = serde_json::to_vec(&statement).expect("texts and numbers are JSON");
    let proof = keys.prove_ticket(&statement);
    URL_SAFE_NO_PAD.encode([&proof[..], &statement].concat())
}

fn read(keys: &TokenKeys, ticket: &str) -> Option<Shown> {
    if ticket.len() > Ticket::MAX_BYTES {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(ticket).ok()?;
    let (proof, statement) = bytes.split_at_checked(MAC_BYTES)?;
    if !keys.verify_ticket(statement, proof) {
        return None;
    }
    let Statement { session, until_ms, user, info, expires_at_ms, grants } =
        serde_json::from_slice(statement).ok()?;
    let info = info.map(|info| Json::parse(info.get().as_bytes())).transpose().ok()?;
    let mut granted = Vec::with_capacity(grants.len());
    for (pattern, words) in grants {
        let actions: Option<Vec<Action>> = words.iter().map(|word| Action::parse(word)).collect();
        granted.push((pattern, actions?));
    }
    let grants = Grants::new(granted).ok()?;
    let pass = Pass { until_ms, session: SessionId::parse(&session)? };
    Some(Shown { identity: Identity { user, info, expires_at_ms, grants }, pass })
}

/// How long a used ticket is remembered after its end: a clock that is set back does not bring it back.
const KEEP_MS: u64 = 60_000;
/// How many used tickets are remembered: more than sessions are let in while they count, at the default rate.
const MOST: usize = 1 << 19;

#[cfg(test)]
mod tests {
    use throughline_wire::ChannelName;

    use super::*;

    fn keys(id: &str) -> TokenKeys {
        TokenKeys::new([(id, format!("{id}-secret-of-sufficient-length"))]).unwrap()
    }

    fn pass(until_ms: u64) -> Pass {
        Pass { until_ms, session: SessionId::from_random([7; 16]) }
    }

    fn ann() -> Identity {
        Identity {
            user: Some("änn \"a\"".into()),
            info: Some(Json::parse(br#"{"name":"Ann"}"#).unwrap()),
            expires_at_ms: Some(99),
            grants: Grants::new([("room:*", [Action::Subscribe, Action::History])]).unwrap(),
        }
    }

    #[test]
    fn a_ticket_says_whom_it_was_given_to() {
        for identity in [Identity::default(), ann()] {
            let shown = read(&keys("a"), &write(&keys("a"), pass(5), &identity)).unwrap();
            assert_eq!((shown.identity, shown.pass), (identity, pass(5)));
        }
        let shown = read(&keys("a"), &write(&keys("a"), pass(5), &ann())).unwrap();
        assert!(shown.identity.grants.allow(Action::History, &ChannelName::parse("room:1").unwrap()));
    }

    #[test]
    fn every_changed_character_is_a_forgery() {
        let ticket = write(&keys("a"), pass(5), &ann());
        for at in 0..ticket.len() {
            let mut forged = ticket.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            assert!(read(&keys("a"), &String::from_utf8(forged).unwrap()).is_none(), "at {at}");
        }
        assert!(read(&keys("b"), &ticket).is_none(), "another gateway's");
        for none in ["", "x", "0.abc.def", &ticket[..20], &"A".repeat(5_000)] {
            assert!(read(&keys("a"), none).is_none());
        }
    }

    #[test]
    fn neither_tokens_nor_tags_nor_slots_are_tickets() {
        let keys = keys("a");
        let statement = br#"{"s":"BwcHBwcHBwcHBwcHBwcHBw","t":5}"#;
        let slot = URL_SAFE_NO_PAD.encode([&keys.prove_slot(statement)[..], statement].concat());
        assert!(read(&keys, &slot).is_none());
        assert!(read(&keys, &keys.tag(pass(5).session)).is_none());
        assert!(read(&keys, keys.token(pass(5).session, None).reveal()).is_none());
    }

    #[test]
    fn a_ticket_is_used_once_until_it_ends_and_is_forgotten_after() {
        let spent = Spent::default();
        assert_eq!(spent.spend(0, pass(1_000)), Ok(()));
        assert_eq!(spent.spend(999, pass(1_000)), Err(ErrorCode::TicketUsed));
        assert_eq!(spent.spend(1_000, pass(1_000)), Err(ErrorCode::TicketExpired));
        let later = 1_000 + KEEP_MS;
        assert_eq!(spent.spend(later, pass(later + 1)), Ok(()));
        assert_eq!(spent.0.lock().len(), 1, "what has ended takes no room");
        spent.give_back(pass(later + 1));
        assert_eq!(spent.spend(later, pass(later + 1)), Ok(()), "it has opened nothing");
    }
}
