//! Session tokens: `<key id>.<session>.<mac>`, stable for the session's life, unguessable, bound to the user.
//!
//! The mac is HMAC-SHA256 over a purpose, the session's id and the user, cut to 128 bits. The first key signs, all
//! verify, so keys rotate without ending sessions. A *tag* is the same proof for clients that can only repeat a
//! string (`Last-Event-ID`); it has another purpose, so neither can stand for the other. The
//! [slots](crate::admission::Slot) of those who have to wait are a third, the tickets of event streams a fourth.

use std::{fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use parking_lot::RwLock;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use throughline_wire::{SessionId, Token};

/// How long a proof is.
pub(crate) const MAC_BYTES: usize = 16;

/// The keys that tokens are signed with and verified by. Cheap to clone; clones are one set, so that keys are exchanged
/// while sessions stand.
#[derive(Clone)]
pub struct TokenKeys(Arc<RwLock<Arc<[Key]>>>);

struct Key {
    id: Box<str>,
    mac: Hmac<Sha256>,
}

/// What a proof is good for.
#[derive(Clone, Copy)]
enum Purpose {
    Token,
    Tag,
}

impl TokenKeys {
    /// Keys by id; the first signs, all verify. An id is 1 to 16 characters of `A-Z a-z 0-9`.
    ///
    /// # Errors
    /// Says which key is wrong: an illegal or repeated id, or a secret of less than 16 bytes. Also when there is
    /// no key at all.
    pub fn new<I: AsRef<str>, S: AsRef<[u8]>>(
        keys: impl IntoIterator<Item = (I, S)>,
    ) -> Result<Self, KeyError> {
        let mut parsed: Vec<Key> = Vec::new();
        for (id, secret) in keys {
            let id = id.as_ref();
            let legal = (1..=16).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
            if !legal {
                return Err(KeyError::IllegalId(id.into()));
            }
            if parsed.iter().any(|key| &*key.id == id) {
                return Err(KeyError::RepeatedId(id.into()));
            }
            if secret.as_ref().len() < 16 {
                return Err(KeyError::ShortSecret(id.into()));
            }
            let mac = Hmac::new_from_slice(secret.as_ref()).expect("HMAC takes keys of any length");
            parsed.push(Key { id: id.into(), mac });
        }
        if parsed.is_empty() {
            return Err(KeyError::NoKey);
        }
        Ok(Self::of(parsed.into()))
    }

    fn of(keys: Arc<[Key]>) -> Self {
        Self(Arc::new(RwLock::new(keys)))
    }

    /// Takes these keys in place of those that it has, for all clones. A client learns the token that the first of them
    /// signs from the next `welcome`; until then it shows the one that it has, so the key of that one has to be among
    /// them.
    pub fn replace(&self, keys: &Self) {
        let keys = keys.now();
        *self.0.write() = keys;
    }

    /// The present ones; never none.
    fn now(&self) -> Arc<[Key]> {
        Arc::clone(&self.0.read())
    }

    /// One key from these random bytes: no session outlives the process that drew them.
    pub fn from_random(secret: [u8; 32]) -> Self {
        Self::new([("0", secret)]).expect("a legal key")
    }

    /// The token of a session and its user.
    pub fn token(&self, session: SessionId, user: Option<&str>) -> Token {
        let key = &self.now()[0];
        let mac = key.prove(Purpose::Token, session, user);
        Token::new(format!("{}.{session}.{}", key.id, URL_SAFE_NO_PAD.encode(mac)))
    }

    /// The session that a token names, if this user's token is genuine.
    pub fn verify(&self, token: &Token, user: Option<&str>) -> Option<SessionId> {
        let mut parts = token.reveal().split('.');
        let (id, session, mac) = (parts.next()?, SessionId::parse(parts.next()?)?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let keys = self.now();
        if !keys.iter().any(|key| &*key.id == id) {
            return None;
        }
        // By any of them, whatever its id: a secret that is exchanged may have moved to the next place.
        let stated = URL_SAFE_NO_PAD.decode(mac).ok()?;
        let proven = |key: &Key| bool::from(key.prove(Purpose::Token, session, user).ct_eq(&stated[..]));
        keys.iter().any(proven).then_some(session)
    }

    /// The session that a token claims to name, whoever's it is. Proves nothing.
    pub fn claimed_session(token: &Token) -> Option<SessionId> {
        SessionId::parse(token.reveal().split('.').nth(1)?)
    }

    /// The proof that goes into a resume tag: it names the session and cannot be guessed.
    pub fn tag(&self, session: SessionId) -> String {
        let mac = self.now()[0].prove(Purpose::Tag, session, None);
        let mut bytes = [0; 16 + MAC_BYTES];
        bytes[..16].copy_from_slice(session.as_bytes());
        bytes[16..].copy_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The session that a resume tag's proof names, if it is genuine.
    pub fn verify_tag(&self, proof: &str) -> Option<SessionId> {
        let mut bytes = [0; 16 + MAC_BYTES];
        if URL_SAFE_NO_PAD.decode_slice(proof, &mut bytes).ok()? != bytes.len() {
            return None;
        }
        let session = SessionId::from_random(bytes[..16].try_into().expect("16 bytes"));
        let genuine = |key: &Key| bool::from(key.prove(Purpose::Tag, session, None).ct_eq(&bytes[16..]));
        self.now().iter().any(genuine).then_some(session)
    }

    /// The proof of what a slot states.
    pub(crate) fn prove_slot(&self, statement: &[u8]) -> [u8; MAC_BYTES] {
        self.now()[0].prove_statement(SLOT, statement)
    }

    /// Whether the proof of a slot is genuine.
    pub(crate) fn verify_slot(&self, statement: &[u8], proof: &[u8]) -> bool {
        self.now().iter().any(|key| key.prove_statement(SLOT, statement).ct_eq(proof).into())
    }

    /// The proof of what a ticket states.
    #[cfg(feature = "gateway")]
    pub(crate) fn prove_ticket(&self, statement: &[u8]) -> [u8; MAC_BYTES] {
        self.now()[0].prove_statement(TICKET, statement)
    }

    /// Whether the proof of a ticket is genuine.
    #[cfg(feature = "gateway")]
    pub(crate) fn verify_ticket(&self, statement: &[u8], proof: &[u8]) -> bool {
        self.now().iter().any(|key| key.prove_statement(TICKET, statement).ct_eq(proof).into())
    }
}

impl Key {
    fn prove(&self, purpose: Purpose, session: SessionId, user: Option<&str>) -> [u8; MAC_BYTES] {
        let mut mac = self.mac.clone();
        mac.update(match purpose {
            Purpose::Token => b"token",
            Purpose::Tag => b"tag",
        });
        mac.update(session.as_bytes());
        // An absent user and an empty one are not the same.
        mac.update(&[u8::from(user.is_some())]);
        mac.update(user.unwrap_or_default().as_bytes());
        cut(mac)
    }

    fn prove_statement(&self, purpose: &[u8], statement: &[u8]) -> [u8; MAC_BYTES] {
        let mut mac = self.mac.clone();
        mac.update(purpose);
        mac.update(statement);
        cut(mac)
    }
}

/// The purposes of statements. No purpose begins with another: `token`, `tag`, `slot`, `ticket`.
const SLOT: &[u8] = b"slot";
#[cfg(feature = "gateway")]
const TICKET: &[u8] = b"ticket";

fn cut(mac: Hmac<Sha256>) -> [u8; MAC_BYTES] {
    let whole = mac.finalize().into_bytes();
    whole[..MAC_BYTES].try_into().expect("SHA-256 has 32 bytes")
}

impl fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.now().iter().map(|key| &key.id)).finish()
    }
}

/// What is wrong with a set of keys. The operator's fault.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// No key can sign.
    #[error("there is no token key")]
    NoKey,
    /// An id that cannot be part of a token.
    #[error("token key id {0:?} is not 1 to 16 letters and digits")]
    IllegalId(Box<str>),
    /// Two keys of one id.
    #[error("token key id {0:?} is there twice")]
    RepeatedId(Box<str>),
    /// A secret that could be guessed.
    #[error("token key {0:?} has a secret of less than 16 bytes")]
    ShortSecret(Box<str>),
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: SessionId = SessionId::from_random([7; 16]);

    fn keys(ids: &[&str]) -> TokenKeys {
        TokenKeys::new(ids.iter().map(|id| (id, format!("{id}-secret-of-sufficient-length")))).unwrap()
    }

    #[test]
    fn a_token_is_stable_and_names_its_session() {
        let keys = keys(&["a"]);
        let token = keys.token(SESSION, Some("ann"));
        assert_eq!(token, keys.token(SESSION, Some("ann")));
        assert_eq!(keys.verify(&token, Some("ann")), Some(SESSION));
        assert_eq!(TokenKeys::claimed_session(&token), Some(SESSION));
    }

    #[test]
    fn a_token_of_another_user_or_of_nobody_is_refused() {
        let keys = keys(&["a"]);
        let token = keys.token(SESSION, Some("ann"));
        assert_eq!(keys.verify(&token, Some("bob")), None);
        assert_eq!(keys.verify(&token, None), None);
        assert_eq!(keys.verify(&keys.token(SESSION, None), Some("")), None);
    }

    #[test]
    fn every_changed_character_is_a_forgery() {
        let keys = keys(&["a"]);
        let token = keys.token(SESSION, None);
        for i in 0..token.reveal().len() {
            let mut forged = token.reveal().as_bytes().to_vec();
            forged[i] = if forged[i] == b'A' { b'B' } else { b'A' };
            let forged = Token::new(String::from_utf8(forged).unwrap());
            assert_ne!(keys.verify(&forged, None), Some(SESSION), "{forged:?} at {i}");
        }
    }

    #[test]
    fn the_first_key_signs_and_all_verify() {
        let old = keys(&["a"]);
        let rotated = keys(&["b", "a"]);
        assert_eq!(rotated.verify(&old.token(SESSION, None), None), Some(SESSION));
        assert_eq!(old.verify(&rotated.token(SESSION, None), None), None);
        assert_eq!(rotated.verify_tag(&old.tag(SESSION)), Some(SESSION));
    }

    #[test]
    fn a_secret_that_moved_to_another_id_verifies_what_it_signed() {
        let secrets = |now: &str, before: &str| {
            TokenKeys::new([
                ("now", format!("{now} of some length")),
                ("before", format!("{before} of some length")),
            ])
        };
        let token = secrets("first", "none").unwrap().token(SESSION, None);
        assert_eq!(secrets("second", "first").unwrap().verify(&token, None), Some(SESSION));
        assert_eq!(secrets("third", "second").unwrap().verify(&token, None), None);
    }

    #[test]
    fn keys_that_are_replaced_are_replaced_for_all_who_hold_them() {
        let held = keys(&["a"]);
        let (shared, before) = (held.clone(), held.token(SESSION, None));
        held.replace(&keys(&["b", "a"]));
        assert_ne!(shared.token(SESSION, None), before);
        assert_eq!(shared.verify(&before, None), Some(SESSION));
        held.replace(&keys(&["b"]));
        assert_eq!(shared.verify(&before, None), None);
    }

    #[test]
    fn a_tag_is_no_token_and_a_token_no_tag() {
        let keys = keys(&["a"]);
        assert_eq!(keys.verify_tag(&keys.tag(SESSION)), Some(SESSION));
        assert_eq!(keys.verify_tag(keys.token(SESSION, None).reveal()), None);
        assert_eq!(keys.verify(&Token::new(keys.tag(SESSION)), None), None);
    }

    #[test]
    fn short_secrets_and_repeated_ids_are_refused_by_name() {
        let short = TokenKeys::new([("a", "short")]).unwrap_err();
        assert_eq!(short, KeyError::ShortSecret("a".into()));
        let secret = "a-secret-of-sufficient-length";
        assert_eq!(
            TokenKeys::new([("a", secret), ("a", secret)]).unwrap_err(),
            KeyError::RepeatedId("a".into())
        );
        assert_eq!(TokenKeys::new([("a.b", secret)]).unwrap_err(), KeyError::IllegalId("a.b".into()));
        assert_eq!(TokenKeys::new([("", "")][..0].to_vec()).unwrap_err(), KeyError::NoKey);
    }
}
