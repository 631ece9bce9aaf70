//! What does a token cost that is shown with every poll: the first time, and again?
//!
//! `first` proves the signature, `again` is the token that was proven already; by a secret there is no difference, since
//! proving costs no more than remembering. All of `Authenticate` is in it: taking the token apart, its claims, the user.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::FutureExt as _;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256};
use throughline::{
    auth::{Jwt, JwtConfig, Key},
    gateway::{Authenticate as _, Credentials},
    wire::Token,
};

/// A key that proves, and a token of a user that it proves.
fn signed(algorithm: Algorithm, proves: &[u8], signs: &EncodingKey) -> (Key, Credentials) {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let name = format!("{algorithm:?}");
    let key = Key::new(Some("a"), name.parse().expect("a known name"), proves).expect("a key");
    let header = format!(r#"{{"typ":"JWT","alg":"{name}","kid":"a"}}"#);
    let claims = r#"{"sub":"ann","exp":32503680000,"channels":{"room:*":["subscribe","publish"]}}"#;
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = crypto::sign(message.as_bytes(), signs, algorithm).expect("a signature");
    let token = Some(Token::new(format!("{message}.{signature}")));
    (key, Credentials { token, headers: http::HeaderMap::new(), remote: None })
}

fn jwt(c: &mut Criterion) {
    let pair = |of| {
        let pair = KeyPair::generate_for(of).expect("randomness");
        (pair.public_key_pem().into_bytes(), pair.serialize_pem().into_bytes())
    };
    let (rsa, p256, p384, ed) = (
        pair(&PKCS_RSA_SHA256),
        pair(&PKCS_ECDSA_P256_SHA256),
        pair(&PKCS_ECDSA_P384_SHA384),
        pair(&PKCS_ED25519),
    );
    let by_rsa = EncodingKey::from_rsa_pem(&rsa.1).expect("a key");
    let by_curve = |pem: &[u8]| EncodingKey::from_ec_pem(pem).expect("a key");
    let secret = [7; 64];
    let tokens = [
        ("HS256", signed(Algorithm::HS256, &secret, &EncodingKey::from_secret(&secret))),
        ("RS256", signed(Algorithm::RS256, &rsa.0, &by_rsa)),
        ("ES256", signed(Algorithm::ES256, &p256.0, &by_curve(&p256.1))),
        ("ES384", signed(Algorithm::ES384, &p384.0, &by_curve(&p384.1))),
        ("EdDSA", signed(Algorithm::EdDSA, &ed.0, &EncodingKey::from_ed_pem(&ed.1).expect("a key"))),
    ];
    let mut group = c.benchmark_group("jwt");
    for (name, (key, credentials)) in tokens {
        let jwt = Jwt::new(vec![key.clone()], JwtConfig::default(), || 1_764_000_000_000).expect("one key");
        let look = || {
            let looked =
                jwt.authenticate(black_box(&credentials)).now_or_never().expect("nothing is fetched");
            assert!(looked.is_ok());
        };
        group.bench_function(format!("{name}/first"), |b| {
            b.iter(|| {
                jwt.replace_keys(vec![key.clone()]).expect("one key"); // what was proven is forgotten
                look();
            });
        });
        group.bench_function(format!("{name}/again"), |b| b.iter(look));
    }
    group.finish();
}

criterion_group!(benches, jwt);
criterion_main!(benches);
