//! Keys of each algorithm, and tokens of each key.

use std::sync::OnceLock;

use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256};
use serde_json::json;
use throughline::{
    Builder,
    auth::{Jwt, JwtConfig, Key, KeyError},
};

use super::{claims, hello_by, plan, seconds, signed};
use crate::kit::{
    http::Ask,
    running::{Plan, Running},
    speech::{Heard, frames},
};

/// A pair of keys.
pub(super) struct Pair {
    pub(super) public_pem: String,
    pub(super) private_pem: String,
}

pub(super) fn pair(of: &'static rcgen::SignatureAlgorithm) -> Pair {
    let pair = KeyPair::generate_for(of).unwrap();
    Pair { public_pem: pair.public_key_pem(), private_pem: pair.serialize_pem() }
}

/// An RSA pair. Making one takes its time, so there is one.
pub(super) fn rsa() -> &'static Pair {
    static RSA: OnceLock<Pair> = OnceLock::new();
    RSA.get_or_init(|| pair(&PKCS_RSA_SHA256))
}

/// One key for each algorithm: what proves, and what signs.
fn keys() -> &'static [(Algorithm, Vec<u8>, EncodingKey)] {
    static KEYS: OnceLock<Vec<(Algorithm, Vec<u8>, EncodingKey)>> = OnceLock::new();
    KEYS.get_or_init(|| {
        let secret = |algorithm, byte: u8| {
            let secret = vec![byte; 64];
            let signing = EncodingKey::from_secret(&secret);
            (algorithm, secret, signing)
        };
        let rsa = |algorithm| {
            let signing = EncodingKey::from_rsa_pem(rsa().private_pem.as_bytes()).unwrap();
            (algorithm, rsa().public_pem.clone().into_bytes(), signing)
        };
        let curve = |algorithm, of| {
            let pair = pair(of);
            let signing = match algorithm {
                Algorithm::EdDSA => EncodingKey::from_ed_pem(pair.private_pem.as_bytes()),
                _ => EncodingKey::from_ec_pem(pair.private_pem.as_bytes()),
            };
            (algorithm, pair.public_pem.into_bytes(), signing.unwrap())
        };
        vec![
            secret(Algorithm::HS256, 1),
            secret(Algorithm::HS384, 2),
            secret(Algorithm::HS512, 3),
            rsa(Algorithm::RS256),
            rsa(Algorithm::RS384),
            rsa(Algorithm::RS512),
            rsa(Algorithm::PS256),
            rsa(Algorithm::PS384),
            rsa(Algorithm::PS512),
            curve(Algorithm::ES256, &PKCS_ECDSA_P256_SHA256),
            curve(Algorithm::ES384, &PKCS_ECDSA_P384_SHA384),
            curve(Algorithm::EdDSA, &PKCS_ED25519),
        ]
    })
}

fn every_key(builder: Builder) -> Builder {
    let key = |(algorithm, material, _): &(Algorithm, Vec<u8>, EncodingKey)| {
        let name = format!("{algorithm:?}");
        Key::new(Some(&name), name.parse().unwrap(), material).unwrap()
    };
    let config = JwtConfig { audience: vec!["throughline".into()], ..JwtConfig::default() };
    let clock = || (seconds() * 1_000.0) as u64;
    builder.authenticate(Jwt::new(keys().iter().map(key).collect(), config, clock).unwrap())
}

#[tokio::test]
async fn each_algorithm_proves_the_tokens_of_its_own_key_and_of_no_other() {
    let gateway = Running::with(Plan { build: every_key, ..plan() }).await;
    for (named, _, _) in keys() {
        for (algorithm, _, signing) in keys() {
            let header = json!({"alg": format!("{algorithm:?}"), "kid": format!("{named:?}")});
            let token = signed(&header, &claims("ann"), signing, *algorithm);
            let answer = Ask::frames("/v1/poll", frames(&[hello_by(&token)])).to(gateway.clients).await;
            let heard = Heard::read(&answer.body);
            let expected = if named == algorithm { None } else { Some("unauthorized") };
            assert_eq!(heard.retry(), expected, "{algorithm:?} under the name of {named:?}");
        }
    }
}

#[tokio::test]
async fn a_token_without_a_key_id_is_proven_by_the_key_of_its_algorithm() {
    let gateway = Running::with(Plan { build: every_key, ..plan() }).await;
    for (algorithm, _, signing) in keys() {
        let token = signed(&json!({"alg": format!("{algorithm:?}")}), &claims("ann"), signing, *algorithm);
        let answer = Ask::frames("/v1/poll", frames(&[hello_by(&token)])).to(gateway.clients).await;
        assert_eq!(Heard::read(&answer.body).retry(), None, "{algorithm:?}");
    }
}

#[test]
fn a_key_that_is_not_its_algorithms_is_refused_before_any_token() {
    let key = |algorithm: &str, material: &[u8]| {
        algorithm.parse().and_then(|algorithm| Key::new(None, algorithm, material)).map(|_| ())
    };
    let (p256, p384) = (pair(&PKCS_ECDSA_P256_SHA256), pair(&PKCS_ECDSA_P384_SHA384));
    assert_eq!(key("none", &[1; 64]), Err(KeyError::UnknownAlgorithm));
    assert_eq!(key("ES512", p256.public_pem.as_bytes()), Err(KeyError::UnknownAlgorithm));
    assert_eq!(key("HS256", &[1; 31]), Err(KeyError::ShortSecret));
    assert_eq!(key("HS256", &[1; 32]), Ok(()));
    assert_eq!(key("HS256", rsa().public_pem.as_bytes()), Err(KeyError::PemAsSecret));
    assert_eq!(key("RS256", rsa().private_pem.as_bytes()), Err(KeyError::PrivateKey));
    assert_eq!(key("RS256", p256.public_pem.as_bytes()), Err(KeyError::NotAPublicKey));
    assert_eq!(key("ES256", rsa().public_pem.as_bytes()), Err(KeyError::NotAPublicKey));
    assert_eq!(key("ES256", p384.public_pem.as_bytes()), Err(KeyError::NotAPublicKey));
    assert_eq!(key("ES384", p256.public_pem.as_bytes()), Err(KeyError::NotAPublicKey));
    assert_eq!(key("EdDSA", p256.public_pem.as_bytes()), Err(KeyError::NotAPublicKey));
    assert_eq!(key("EdDSA", b"a secret that is long enough to be one"), Err(KeyError::NotAPublicKey));
}

#[test]
fn two_keys_of_one_id_are_refused_and_two_without_are_not() {
    let key = |id| Key::new(id, "HS256".parse().unwrap(), &[1; 32]).unwrap();
    let jwt = |ids: [Option<&'static str>; 2]| {
        Jwt::new(ids.map(key).into(), JwtConfig::default(), || 0).map(|_| ())
    };
    assert_eq!(jwt([Some("a"), Some("a")]), Err(KeyError::RepeatedId));
    assert_eq!(jwt([Some("a"), Some("b")]), Ok(()));
    assert_eq!(jwt([None, None]), Ok(()));
    assert!(!format!("{:?}", key(Some("a"))).contains('1'), "a secret is not shown");
}
