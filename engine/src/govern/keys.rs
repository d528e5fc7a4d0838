//! Ed25519 keys as texts: `ed25519:…` may be shown to everybody, `ed25519-secret:…` to nobody.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use ed25519_dalek::{SIGNATURE_LENGTH, Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::GovernError;

const PUBLIC: &str = "ed25519:";
const SECRET: &str = "ed25519-secret:";

/// The half of a key that verifies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Whether `signature` was made over `message` with the other half of this key. Weak keys and malleable signatures are
    /// refused.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let Ok(bytes) = <[u8; SIGNATURE_LENGTH]>::try_from(signature) else { return false };
        VerifyingKey::from_bytes(&self.0).is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(&bytes)).is_ok())
    }

    /// The start of the key, for people and for names of files.
    pub fn short(&self) -> String {
        crate::Digest::from_bytes(self.0).to_string().chars().take(12).collect()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC}{}", BASE64.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no public key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no public key, expected a text such as \"ed25519:…\" that `flow keys new NAME` prints")]
pub struct InvalidPublicKey(String);

impl FromStr for PublicKey {
    type Err = InvalidPublicKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidPublicKey(text.to_owned());
        let encoded = text.trim().strip_prefix(PUBLIC).ok_or_else(invalid)?;
        let bytes = BASE64.decode(encoded).map_err(|_| invalid())?;
        let bytes = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| invalid())?;
        match VerifyingKey::from_bytes(&bytes) {
            Ok(key) if !key.is_weak() => Ok(Self(bytes)),
            _ => Err(invalid()),
        }
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The half of a key that signs. It is wiped from memory when dropped and never shown by `{:?}`.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// A new key.
    pub fn generate() -> Result<Self, GovernError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| GovernError::Random { reason: error.to_string() })?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// Reads a key from a text; comment lines begin with `#`. `what` says where the text stands.
    pub fn parse(text: &str, what: &str) -> Result<Self, GovernError> {
        let wrong = || GovernError::KeyText { what: what.to_owned(), expected: "signing key" };
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let encoded = lines.next().and_then(|line| line.strip_prefix(SECRET)).ok_or_else(wrong)?;
        if lines.next().is_some() {
            return Err(wrong());
        }
        let bytes = BASE64.decode(encoded).map_err(|_| wrong())?;
        let seed = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| wrong())?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// The half that verifies.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// The signature of a message.
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LENGTH] {
        self.0.sign(message).to_bytes()
    }

    /// The text that [`SecretKey::parse`] reads. It must only ever be written to a file of the owner.
    pub(crate) fn reveal(&self) -> String {
        format!("{SECRET}{}\n", BASE64.encode(self.0.as_bytes()))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.public())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first vector of RFC 8032, 7.1.
    #[test]
    fn the_vector_of_the_standard_holds() {
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
        };
        let seed = hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let key = SecretKey::parse(&format!("{SECRET}{}", BASE64.encode(&seed)), "a test").unwrap();
        assert_eq!(key.public().0.to_vec(), hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"));
        let signature = "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b";
        assert_eq!(key.sign(b"").to_vec(), hex(signature));
        assert!(key.public().verifies(b"", &hex(signature)));
    }

    #[test]
    fn a_signature_holds_for_its_message_and_key_only() {
        let (one, other) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
        let mut signature = one.sign(b"rows");
        assert!(one.public().verifies(b"rows", &signature));
        assert!(!one.public().verifies(b"row", &signature));
        assert!(!other.public().verifies(b"rows", &signature));
        assert!(!one.public().verifies(b"rows", &signature[1..]));
        signature[5] ^= 1;
        assert!(!one.public().verifies(b"rows", &signature));
    }

    #[test]
    fn texts_are_read_back_and_others_are_refused_without_showing_them() {
        let key = SecretKey::generate().unwrap();
        let text = format!("# Keep it.\n{}", key.reveal());
        assert_eq!(SecretKey::parse(&text, "a file").unwrap().public(), key.public());
        assert_eq!(key.public().to_string().parse::<PublicKey>().unwrap(), key.public());
        for wrong in ["", "ed25519:AAAA", "ed25519-secret:hunter2", &key.public().to_string()] {
            let error = SecretKey::parse(wrong, "$FLOW_SIGNING_KEY").unwrap_err().to_string();
            assert_eq!(error, "$FLOW_SIGNING_KEY is no signing key");
        }
        assert!(!format!("{key:?}").contains("secret"));
        // The neutral element of the group verifies a signature of anything.
        let weak = format!("{PUBLIC}{}", BASE64.encode([[1].as_slice(), &[0; 31]].concat()));
        assert!(weak.parse::<PublicKey>().is_err());
    }
}
