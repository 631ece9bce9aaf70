//! Keys that an issuer publishes: taken, rotated, removed, and what an issuer or a forger can do about it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::json;
use throughline::auth::{Jwt, JwtConfig, Key, KeySet, KeySetConfig, KeySetLook};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::{
    SECRET, hello_by,
    issuer::{Issuer, Signing},
    plan, seconds, token,
};
use crate::kit::{
    PATIENCE,
    http::Ask,
    running::{Plan, Running},
    speech::{Heard, frames},
};

/// A gateway that knows tokens by a key of its own and by those of an issuer.
struct Stage {
    issuer: Issuer,
    key_set: KeySet,
    gateway: Running,
    /// The clock of the key set.
    clock: Arc<AtomicU64>,
}

impl Stage {
    async fn set() -> Self {
        Self::with(|config| config).await
    }

    async fn with(change: impl FnOnce(KeySetConfig) -> KeySetConfig) -> Self {
        let issuer = Issuer::start().await;
        let config = KeySetConfig::new(issuer.url.parse().unwrap());
        let config = change(KeySetConfig { roots: vec![issuer.root.clone()], timeout: PATIENCE, ..config });
        let clock = Arc::new(AtomicU64::new(1_000_000));
        let ticking = Arc::clone(&clock);
        let key_set = KeySet::new(config, move || ticking.load(Ordering::Relaxed)).unwrap();
        let key = Key::new(Some("a"), "HS256".parse().unwrap(), SECRET).unwrap();
        let config = JwtConfig {
            audience: vec!["throughline".into()],
            issuer: Some("the tests".into()),
            ..JwtConfig::default()
        };
        let now = || (seconds() * 1_000.0) as u64;
        let tokens = Jwt::with_key_set(vec![key], key_set.clone(), config, now).unwrap();
        let gateway = Running::with(Plan { tokens: Some(tokens), build: |builder| builder, ..plan() }).await;
        Self { issuer, key_set, gateway, clock }
    }

    /// Looks for keys in the background, as a gateway does.
    fn keep(&self) -> AbortOnDropHandle<()> {
        let (handle, key_set) = (self.gateway.handle.clone(), self.key_set.clone());
        AbortOnDropHandle::new(tokio::spawn(async move { handle.keep_key_set(key_set).await }))
    }

    /// One look, with these keys published.
    async fn look(&mut self, published: &[serde_json::Value]) -> KeySetLook {
        let answer = async { self.issuer.asked().await.publish(published) };
        tokio::join!(self.key_set.look(), answer).0
    }

    /// One look that finds this.
    async fn look_at(&mut self, status: u16, head: &str, body: &[u8]) -> KeySetLook {
        let answer = async { self.issuer.asked().await.answer(status, head, body) };
        tokio::join!(self.key_set.look(), answer).0
    }

    fn pass(&self, time: Duration) {
        self.clock.fetch_add(time.as_millis() as u64, Ordering::Relaxed);
    }

    /// Why a token does not open the door; `None` where it does.
    async fn refusal(&self, token: &str) -> Option<String> {
        let answer = Ask::frames("/v1/poll", frames(&[hello_by(token)])).to(self.gateway.clients).await;
        Heard::read(&answer.body).retry().map(Into::into)
    }

    /// Waits until looks have come to this so often.
    async fn until(&self, result: &str, count: u64) {
        let series = format!("throughline_jwks_fetches_total{{result=\"{result}\"}}");
        let there = async {
            while self.gateway.metric(&series) < count {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, there).await.expect("in time");
    }
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn published_keys_of_each_kind_open_the_door_beside_the_gateways_own() {
    let mut stage = Stage::set().await;
    let signing = [Signing::rs256("rsa"), Signing::es256("p256"), Signing::eddsa("ed")];
    let published: Vec<_> = signing.iter().map(Signing::public).collect();
    assert_eq!(stage.look(&published).await, KeySetLook::Replaced { keys: 3, left_out: Vec::new() });
    assert_eq!(stage.look(&published).await, KeySetLook::Unchanged);
    for signing in &signing {
        assert_eq!(stage.refusal(&signing.token("ann")).await, None);
    }
    assert_eq!(stage.refusal(&token("ann")).await, None, "of a key of its own");
    // The only one of its algorithm needs no name.
    assert_eq!(stage.refusal(&signing[1].token_by(&json!({"alg": "ES256"}), "ann")).await, None);
    let other = Signing::es256("other");
    stage.look(&[signing[1].public(), other.public()]).await;
    let nameless = signing[1].token_by(&json!({"alg": "ES256"}), "ann");
    assert_eq!(stage.refusal(&nameless).await.as_deref(), Some("unauthorized"), "one of two, and not named");
}

#[tokio::test]
async fn a_rotation_is_noticed_by_the_first_token_of_the_new_key_and_a_removed_key_is_gone() {
    let mut stage = Stage::set().await;
    let _keeping = stage.keep();
    let (old, new) = (Signing::es256("old"), Signing::es256("new"));
    let first = stage.issuer.asked().await;
    assert!(first.head.starts_with("GET /keys HTTP/1.1\r\n"), "{}", first.head);
    // Whoever comes while the first look is under way waits for it.
    let token = old.token("ann");
    let answering = async {
        tokio::task::yield_now().await;
        first.publish(&[old.public()]);
    };
    assert_eq!(tokio::join!(stage.refusal(&token), answering).0, None);
    stage.pass(Duration::from_secs(10)); // past the cooldown, and long before the keys are due
    let token = new.token("ann");
    let refusal = {
        let gateway = stage.gateway.clients;
        tokio::spawn(async move {
            let answer = Ask::frames("/v1/poll", frames(&[hello_by(&token)])).to(gateway).await;
            Heard::read(&answer.body).retry().map(ToOwned::to_owned)
        })
    };
    stage.issuer.asked().await.publish(&[old.public(), new.public()]);
    assert_eq!(refusal.await.unwrap(), None, "its key was published meanwhile");
    assert_eq!(stage.refusal(&old.token("ann")).await, None);
    stage.pass(MINUTE);
    stage.issuer.asked().await.publish(&[new.public()]);
    stage.until("replaced", 3).await;
    assert_eq!(stage.refusal(&old.token("ann")).await.as_deref(), Some("unauthorized"));
    assert_eq!(stage.refusal(&new.token("ann")).await, None);
    assert_eq!(stage.gateway.metric("throughline_jwks_keys"), 1);
    assert_eq!(stage.gateway.metric("throughline_jwks_age_seconds"), 0);
}

#[tokio::test]
async fn tokens_of_unknown_keys_cannot_have_the_issuer_asked_more_than_once_in_a_cooldown() {
    let mut stage = Stage::set().await;
    let _keeping = stage.keep();
    let signing = Signing::es256("a key");
    stage.issuer.asked().await.publish(&[signing.public()]);
    stage.until("replaced", 1).await;
    let flood = async |stage: &Stage| {
        let forged: Vec<String> = (0..100)
            .map(|n| signing.token_by(&json!({"alg": "ES256", "kid": format!("key {n}")}), "ann"))
            .collect();
        let refusals = join_all(forged.iter().map(|token| stage.refusal(token))).await;
        assert!(refusals.iter().all(|refusal| refusal.as_deref() == Some("unauthorized")), "{refusals:?}");
    };
    flood(&stage).await;
    assert!(!stage.issuer.is_asked(), "it was asked a moment ago");
    stage.pass(Duration::from_secs(10));
    let mut issuer = std::mem::replace(&mut stage.issuer, Issuer::start().await);
    let answering = async {
        issuer.asked().await.publish(&[signing.public()]);
        issuer
    };
    let ((), issuer) = tokio::join!(flood(&stage), answering);
    assert!(!issuer.is_asked(), "a hundred tokens, one question");
    // An algorithm that no published key may have is no reason to ask.
    stage.pass(Duration::from_secs(10));
    let other = Signing::hs256("unknown", &[1; 32]).token("ann");
    assert_eq!(stage.refusal(&other).await.as_deref(), Some("unauthorized"));
    assert!(!issuer.is_asked());
    assert_eq!(stage.gateway.refusals("unauthorized"), 201);
}

#[tokio::test]
async fn keys_stay_while_the_issuer_fails_in_any_way_and_not_for_ever() {
    let mut stage = Stage::set().await;
    let signing = Signing::es256("a key");
    stage.look(&[signing.public()]).await;
    let large = format!("{{\"keys\":[], \"x\":\"{}\"}}", "x".repeat(KeySetConfig::MAX_BYTES));
    let many = json!({"keys": vec![json!({}); 65]}).to_string();
    for (status, head, body, why) in [
        (500, "", "{}", "the status is 500"),
        (404, "", "{}", "the status is 404"),
        (204, "", "", "the status is 204"),
        (302, "location: https://localhost/\r\n", "", "the status is 302"),
        (200, "", "<html>", "no JSON web key set"),
        (200, "", "{\"keys\": 7}", "no JSON web key set"),
        (200, "content-encoding: gzip\r\n", "\x1f\u{8b}", "no JSON web key set"),
        (200, "", &*large, "larger than 65536 bytes"),
        (200, "", &*many, "more than 64 keys"),
    ] {
        let KeySetLook::Failed(said) = stage.look_at(status, head, body.as_bytes()).await else {
            panic!("{why}");
        };
        assert!(said.contains(why), "{said}");
        assert_eq!(stage.refusal(&signing.token("ann")).await, None, "{why}");
    }
    let broken = async { drop(stage.issuer.asked().await) };
    assert!(matches!(tokio::join!(stage.key_set.look(), broken).0, KeySetLook::Failed(_)));
    let unknown = Signing::es256("another").token("ann");
    assert_eq!(stage.refusal(&unknown).await.as_deref(), Some("overload"), "its key may be published by now");
    stage.pass(Duration::from_secs(86_400));
    assert_eq!(
        stage.refusal(&signing.token("ann")).await,
        None,
        "a day, and the minute that they count anyway"
    );
    stage.pass(MINUTE);
    stage.look_at(500, "", b"").await;
    let stale = Ask::frames("/v1/poll", frames(&[hello_by(&signing.token("ann"))]));
    let answer = stale.to(stage.gateway.clients).await;
    let heard = Heard::read(&answer.body);
    assert_eq!(heard.retry(), Some("overload"), "{heard:?}");
    assert_ne!(heard.first("retry").unwrap()["final"], true, "it may come back");
    assert_eq!(stage.refusal(&token("ann")).await, None, "the gateway's own key is not the issuer's affair");
}

#[tokio::test]
async fn an_issuer_that_is_slow_or_not_who_it_should_be_is_a_failure() {
    // Nobody takes what it is asked, so nobody answers.
    let stage = Stage::with(|config| KeySetConfig { timeout: Duration::from_millis(50), ..config }).await;
    let KeySetLook::Failed(why) = stage.key_set.look().await else { panic!("it never answered") };
    assert!(why.contains("longer than it may"), "{why}");
    let stage = Stage::with(|config| KeySetConfig { roots: Vec::new(), ..config }).await;
    let KeySetLook::Failed(why) = stage.key_set.look().await else { panic!("it is not trusted") };
    assert!(why.to_ascii_lowercase().contains("certificate"), "{why}");
}

#[tokio::test]
async fn an_issuer_that_is_down_at_the_start_has_clients_come_back_later() {
    let mut stage = Stage::set().await;
    let _keeping = stage.keep();
    let signing = Signing::es256("a key");
    drop(stage.issuer.asked().await);
    stage.until("failed", 1).await;
    assert_eq!(stage.refusal(&signing.token("ann")).await.as_deref(), Some("overload"));
    assert_eq!(stage.refusal(&token("ann")).await, None);
    stage.pass(Duration::from_secs(1));
    stage.issuer.asked().await.publish(&[signing.public()]);
    stage.until("replaced", 1).await;
    assert_eq!(stage.refusal(&signing.token("ann")).await, None);
}

#[tokio::test]
async fn what_is_published_cannot_be_a_secret_nor_have_an_algorithm_that_is_not_allowed() {
    let mut stage = Stage::set().await;
    let secret = [7; 64];
    let (rsa, symmetric) = (Signing::rs256("rsa"), Signing::hs256("secret", &secret));
    let mut as_hmac = rsa.public();
    as_hmac["alg"] = "HS256".into();
    as_hmac["kid"] = "as HMAC".into();
    let mut as_rs512 = rsa.public();
    as_rs512["alg"] = "RS512".into();
    as_rs512["kid"] = "as RS512".into();
    let mut for_encryption = rsa.public();
    for_encryption["use"] = "enc".into();
    for_encryption["kid"] = "for encryption".into();
    let published = [symmetric.public(), as_hmac, as_rs512, for_encryption, rsa.public()];
    let look = stage.look(&published).await;
    let KeySetLook::Replaced { keys: 1, left_out } = &look else { panic!("{look:?}") };
    assert_eq!(left_out.len(), 4, "{left_out:?}");
    let modulus = rsa.public()["n"].as_str().unwrap().to_owned();
    let confused = Signing::hs256("rsa", modulus.as_bytes());
    let named = |kid: &str, alg: &str| json!({"alg": alg, "kid": kid});
    for (what, token) in [
        ("a published secret", symmetric.token("ann")),
        ("a public key as a secret", confused.token("ann")),
        (
            "a public key as a secret, by the name of one",
            confused.token_by(&named("as HMAC", "HS256"), "ann"),
        ),
        ("another algorithm of its kind", rsa.token_by(&named("rsa", "RS512"), "ann")),
        ("one that may not have it", rsa.token_by(&named("as RS512", "RS256"), "ann")),
        ("one for encryption", rsa.token_by(&named("for encryption", "RS256"), "ann")),
        ("the gateway's own name", rsa.token_by(&named("a", "RS256"), "ann")),
    ] {
        assert_eq!(stage.refusal(&token).await.as_deref(), Some("unauthorized"), "{what}");
    }
    assert_eq!(stage.refusal(&rsa.token("ann")).await, None);
}
