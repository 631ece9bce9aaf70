//! Keys that tokens are proven by: each has one algorithm, whatever a token says of itself.

use std::{fmt, str::FromStr};

use jsonwebtoken::{AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey, crypto};

/// A key, with the one algorithm that it is used with.
#[derive(Clone)]
pub struct Key {
    id: Option<Box<str>>,
    algorithm: Algorithm,
    verifying: DecodingKey,
    /// Where it can sign too.
    signing: Option<EncodingKey>,
}

/// One of `HS256`, `HS384`, `HS512`, `RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`, `ES256`, `ES384` and `EdDSA`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Algorithm(jsonwebtoken::Algorithm);

/// Why a key cannot be used. None of it repeats the key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// There is no such algorithm here, `none` included.
    #[error(
        "the algorithm is not one of HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA"
    )]
    UnknownAlgorithm,
    /// A secret that could be guessed.
    #[error("a secret has to have at least {} bytes", Key::MIN_SECRET_BYTES)]
    ShortSecret,
    /// A PEM file in place of a secret: anybody has the public half, and could sign with it.
    #[error("a secret is needed, and this is a PEM file: HS algorithms have no public keys")]
    PemAsSecret,
    /// Not a public key, or not one of the algorithm's kind.
    #[error("this is no public key of the algorithm's kind, in PEM (\"-----BEGIN PUBLIC KEY-----\")")]
    NotAPublicKey,
    /// A private key, which has no business here.
    #[error("this is a private key: the gateway needs the public one")]
    PrivateKey,
    /// Two keys with one id.
    #[error("two keys have the same id")]
    RepeatedId,
}

impl Key {
    /// The shortest secret of an HS algorithm, in bytes.
    pub const MIN_SECRET_BYTES: usize = 32;

    /// A key from its material: the secret of an HS algorithm, or else a public key in PEM.
    ///
    /// With an id it proves tokens whose `kid` is that id, and those without a `kid`; without one only the latter.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn new(id: Option<&str>, algorithm: Algorithm, material: &[u8]) -> Result<Self, KeyError> {
        let family = algorithm.0.family();
        let is_pem = contains(material, b"-----BEGIN");
        let verifying = match family {
            AlgorithmFamily::Hmac if is_pem => return Err(KeyError::PemAsSecret),
            AlgorithmFamily::Hmac if material.len() < Self::MIN_SECRET_BYTES => {
                return Err(KeyError::ShortSecret);
            }
            AlgorithmFamily::Hmac => DecodingKey::from_secret(material),
            _ if contains(material, b"PRIVATE KEY-----") => return Err(KeyError::PrivateKey),
            AlgorithmFamily::Rsa => {
                DecodingKey::from_rsa_pem(material).map_err(|_| KeyError::NotAPublicKey)?
            }
            AlgorithmFamily::Ec => {
                let key = DecodingKey::from_ec_pem(material).map_err(|_| KeyError::NotAPublicKey)?;
                // A point of the other curve would be found out at the first token, and look like a forged one.
                let bytes = if algorithm.0 == jsonwebtoken::Algorithm::ES256 { 65 } else { 97 };
                if key.try_get_as_bytes().map_or(0, <[u8]>::len) != bytes {
                    return Err(KeyError::NotAPublicKey);
                }
                key
            }
            AlgorithmFamily::Ed => DecodingKey::from_ed_pem(material).map_err(|_| KeyError::NotAPublicKey)?,
        };
        let signing = algorithm.is_symmetric().then(|| EncodingKey::from_secret(material));
        Ok(Self { id: id.map(Into::into), algorithm, verifying, signing })
    }

    /// A public key that was published with its algorithm.
    pub(super) fn published(id: Option<&str>, algorithm: Algorithm, verifying: DecodingKey) -> Self {
        Self { id: id.map(Into::into), algorithm, verifying, signing: None }
    }

    /// Its id; a token names it as its `kid`.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The one algorithm that it is used with.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether it is the same key under the same id.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let is_same = match (self.verifying.kind(), other.verifying.kind()) {
            (DecodingKeyKind::SecretOrDer(one), DecodingKeyKind::SecretOrDer(other)) => one == other,
            (
                DecodingKeyKind::RsaModulusExponent { n, e },
                DecodingKeyKind::RsaModulusExponent { n: other_n, e: other_e },
            ) => (n, e) == (other_n, other_e),
            _ => false,
        };
        is_same && self.id == other.id && self.algorithm == other.algorithm
    }

    /// Signs `header.claims`, in base64; `None` where it is a public key.
    pub(super) fn sign(&self, message: &[u8]) -> Option<String> {
        crypto::sign(message, self.signing.as_ref()?, self.algorithm.0).ok()
    }

    /// Whether `signature`, in base64, is this key's under `header.claims`.
    pub(super) fn proves(&self, message: &[u8], signature: &str) -> bool {
        crypto::verify(signature, message, &self.verifying, self.algorithm.0).unwrap_or(false)
    }
}

impl Algorithm {
    /// Whether its keys are secrets, which sign what they prove.
    pub fn is_symmetric(self) -> bool {
        self.0.family() == AlgorithmFamily::Hmac
    }

    /// Whether a token's `alg` means it.
    pub(super) fn is_called(self, name: &str) -> bool {
        name.parse() == Ok(self)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl FromStr for Algorithm {
    type Err = KeyError;

    fn from_str(name: &str) -> Result<Self, KeyError> {
        name.parse().map(Self).map_err(|_| KeyError::UnknownAlgorithm)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f) // the crate's names are those of RFC 7518 and RFC 8037
    }
}

impl fmt::Debug for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
