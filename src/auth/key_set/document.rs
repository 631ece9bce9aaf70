//! Which published keys are keys here.
//!
//! A document is obeyed as a whole or not at all; in one that is, a key that cannot be used is left out, since an issuer
//! may well publish keys for others. Each key that is taken has one algorithm from then on.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::KeySetConfig;
use crate::auth::key::{Algorithm, Key};

/// The keys of a document, and why the others are none.
pub(super) fn read(document: &[u8], allowed: &[Algorithm]) -> Result<(Vec<Key>, Vec<String>), String> {
    let document: Document =
        serde_json::from_slice(document).map_err(|error| format!("it is no JSON web key set: {error}"))?;
    if document.keys.len() > KeySetConfig::MAX_KEYS {
        return Err(format!("it has more than {} keys", KeySetConfig::MAX_KEYS));
    }
    let (mut keys, mut left_out) = (Vec::<Key>::new(), Vec::new());
    for (at, published) in document.keys.into_iter().enumerate() {
        match understand(published, allowed) {
            Ok(key) if key.id().is_some() && keys.iter().any(|other| other.id() == key.id()) => {
                left_out.push(format!("keys[{at}]: there is one of the same id before it"));
            }
            Ok(key) => keys.push(key),
            Err(why) => left_out.push(format!("keys[{at}]: {why}")),
        }
    }
    Ok((keys, left_out))
}

/// RFC 7517, 5.
#[derive(Deserialize)]
struct Document {
    keys: Vec<Map<String, Value>>,
}

fn understand(published: Map<String, Value>, allowed: &[Algorithm]) -> Result<Key, &'static str> {
    if ["d", "p", "q", "dp", "dq", "qi", "oth"].iter().any(|member| published.contains_key(*member)) {
        return Err("its private half is published: everybody can sign with it");
    }
    let text = |member: &str| match published.get(member) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(&**text)),
        Some(_) => Err("a member that has to be a text is none"),
    };
    if text("use")?.is_some_and(|purpose| purpose != "sig") {
        return Err("it is not for signatures");
    }
    if let Some(operations) = published.get("key_ops")
        && !operations.as_array().is_some_and(|list| list.iter().any(|operation| operation == "verify"))
    {
        return Err("it is not for verifying");
    }
    let id = text("kid")?;
    if id.is_some_and(|id| id.is_empty() || id.len() > MAX_ID_BYTES) {
        return Err("its `kid` is empty or too long");
    }
    let fits: &[&str] = match (text("kty")?, text("crv")?) {
        (Some("oct"), _) => return Err("it is symmetric: what is published is no secret"),
        (Some("RSA"), None) => &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
        (Some("EC"), Some("P-256")) => &["ES256"],
        (Some("EC"), Some("P-384")) => &["ES384"],
        (Some("OKP"), Some("Ed25519")) => &["EdDSA"],
        _ => return Err("its `kty` and `crv` are none that there are keys of here"),
    };
    // RFC 9864 names EdDSA by its curve.
    let alg = text("alg")?.map(|alg| if alg == "Ed25519" { "EdDSA" } else { alg });
    let mut candidates = allowed
        .iter()
        .copied()
        .filter(|algorithm| fits.iter().any(|name| algorithm.is_called(name)))
        .filter(|algorithm| alg.is_none_or(|alg| algorithm.is_called(alg)));
    let algorithm = candidates.next().ok_or("its `alg` is not allowed, or is not one of its kind of key")?;
    if candidates.any(|other| other != algorithm) {
        return Err("it does not say its `alg`, and more than one that is allowed would fit");
    }
    let part = |member: &str| text(member).map(Option::unwrap_or_default);
    let bytes = |member: &str| {
        URL_SAFE_NO_PAD.decode(part(member)?).map_err(|_| "a part of it is not base64url without padding")
    };
    const WRONG: &str = "it is not a key of its kind";
    let verifying = if fits.len() > 1 {
        let modulus = bytes("n")?;
        let bits = modulus.iter().skip_while(|byte| **byte == 0).count() * 8;
        if !(2_048..=8_192).contains(&bits) {
            return Err("an RSA key has 2,048 to 8,192 bits");
        }
        DecodingKey::from_rsa_components(part("n")?, part("e")?)
    } else if algorithm.is_called("EdDSA") {
        if bytes("x")?.len() != 32 {
            return Err(WRONG);
        }
        DecodingKey::from_ed_components(part("x")?)
    } else {
        let size = if algorithm.is_called("ES256") { 32 } else { 48 };
        if bytes("x")?.len() != size || bytes("y")?.len() != size {
            return Err(WRONG);
        }
        DecodingKey::from_ec_components(part("x")?, part("y")?)
    };
    Ok(Key::published(id, algorithm, verifying.map_err(|_| WRONG)?))
}

const MAX_ID_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// 32 or more bytes that are no key of anybody, which nobody finds out before a token is shown.
    fn part(bytes: usize) -> String {
        URL_SAFE_NO_PAD.encode(vec![0x81; bytes])
    }

    fn taken(key: Value, allowed: &[&str]) -> Result<String, String> {
        let allowed: Vec<Algorithm> = allowed.iter().map(|name| name.parse().unwrap()).collect();
        let document = json!({"keys": [key]}).to_string();
        let (keys, mut left_out) = read(document.as_bytes(), &allowed).unwrap();
        keys.first().map(|key| key.algorithm().to_string()).ok_or_else(|| left_out.remove(0))
    }

    fn with(base: &Value, changes: Value) -> Value {
        let mut key = base.as_object().unwrap().clone();
        key.extend(changes.as_object().unwrap().clone());
        key.retain(|_, value| !value.is_null());
        key.into()
    }

    #[test]
    fn each_kind_of_key_has_the_algorithm_that_it_says_or_the_only_one_that_it_can() {
        let rsa = json!({"kty": "RSA", "kid": "a", "use": "sig", "n": part(256), "e": "AQAB"});
        let p256 = json!({"kty": "EC", "crv": "P-256", "x": part(32), "y": part(32)});
        let p384 = json!({"kty": "EC", "crv": "P-384", "x": part(48), "y": part(48)});
        let ed = json!({"kty": "OKP", "crv": "Ed25519", "x": part(32), "key_ops": ["verify"]});
        let all = ["RS256", "PS256", "ES256", "ES384", "EdDSA"];
        assert_eq!(taken(with(&rsa, json!({"alg": "PS256"})), &all), Ok("PS256".into()));
        assert_eq!(taken(p256.clone(), &all), Ok("ES256".into()));
        assert_eq!(taken(p384, &all), Ok("ES384".into()));
        assert_eq!(taken(ed.clone(), &all), Ok("EdDSA".into()));
        assert_eq!(taken(with(&ed, json!({"alg": "Ed25519"})), &all), Ok("EdDSA".into()));
        assert_eq!(taken(rsa.clone(), &["RS256", "ES256"]), Ok("RS256".into()), "RSA's only one here");
        assert!(taken(rsa, &all).unwrap_err().contains("more than one"));
        assert!(taken(p256, &["RS256"]).unwrap_err().contains("not allowed"));
    }

    #[test]
    fn what_is_no_key_to_prove_signatures_by_is_left_out_with_its_reason() {
        let rsa =
            json!({"kty": "RSA", "kid": "a", "alg": "RS256", "use": "sig", "n": part(256), "e": "AQAB"});
        assert!(taken(rsa.clone(), &["RS256"]).is_ok());
        for (changes, why) in [
            (json!({"use": "enc"}), "not for signatures"),
            (json!({"key_ops": ["sign"]}), "not for verifying"),
            (json!({"alg": "RS512"}), "not allowed"),
            (json!({"alg": "none"}), "not allowed"),
            (json!({"alg": "HS256"}), "not allowed"),
            (json!({"alg": "ES256"}), "not allowed"),
            (json!({"alg": 7}), "text"),
            (json!({"kty": "oct", "alg": "HS256", "k": part(64)}), "symmetric"),
            (json!({"kty": "EC", "crv": "P-521"}), "`kty`"),
            (json!({"kty": null}), "`kty`"),
            (json!({"d": part(256)}), "private"),
            (json!({"n": part(255)}), "2,048"),
            (json!({"n": part(1_025)}), "2,048"),
            (json!({"n": null}), "2,048"),
            (json!({"n": "ÿ"}), "base64url"),
            (json!({"e": "ÿ"}), "not a key"),
            (json!({"kid": ""}), "`kid`"),
            (json!({"kid": "a".repeat(257)}), "`kid`"),
            (json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "x": part(32), "y": part(31)}), "not a key"),
            (json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": part(33)}), "not a key"),
        ] {
            let error = taken(with(&rsa, changes.clone()), &["RS256", "ES256", "EdDSA"]).unwrap_err();
            assert!(error.contains(why), "{changes}: {error}");
        }
    }

    #[test]
    fn of_two_keys_of_one_id_the_first_counts_and_too_many_are_none() {
        let key = json!({"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": part(32)});
        let allowed = ["EdDSA".parse().unwrap()];
        let of = |keys: Vec<Value>| read(json!({"keys": keys}).to_string().as_bytes(), &allowed);
        let (keys, left_out) = of(vec![key.clone(), key.clone()]).unwrap();
        assert_eq!((keys.len(), left_out.len()), (1, 1));
        assert!(of(vec![key.clone(); 64]).is_ok());
        assert!(of(vec![key; 65]).unwrap_err().contains("more than 64"));
    }

    #[test]
    fn what_is_no_document_is_not_obeyed_and_an_empty_one_is() {
        for nonsense in ["", "<html>", "[]", "{}", r#"{"keys": 7}"#, r#"{"keys": ["a"]}"#] {
            assert!(read(nonsense.as_bytes(), &[]).is_err(), "{nonsense}");
        }
        assert_eq!(read(br#"{"keys": []}"#, &[]).unwrap().0.len(), 0);
    }
}
