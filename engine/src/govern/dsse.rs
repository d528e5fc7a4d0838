//! DSSE envelopes: a payload with its type, and signatures over both.
//!
//! The signed bytes are the pre-authentication encoding of the specification, so a payload can never pass for one of
//! another type, and nothing has to be canonical.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};

use super::{PublicKey, SecretKey};
use crate::Digest;

/// The type of payload that in-toto statements have.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";

/// A signed payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// What the payload is.
    pub payload_type: String,
    /// The payload, Base64.
    pub payload: String,
    /// At least one signature.
    pub signatures: Vec<Signed>,
}

/// One signature of an envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// The public key that verifies it.
    pub keyid: String,
    /// The signature, Base64.
    pub sig: String,
}

/// What an envelope holds, once its signature was found to be good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The payload.
    pub payload: Vec<u8>,
    /// Whose key signed it.
    pub key: PublicKey,
}

/// An envelope that proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// It is not a payload of this type with one signature.
    #[error("it is no signed record of this kind")]
    Shape,
    /// The signature was not made over this payload with this key.
    #[error("its signature does not match its content")]
    Signature,
}

impl Envelope {
    /// Signs a payload.
    pub fn seal(payload_type: &str, payload: &[u8], key: &SecretKey) -> Self {
        let sig = BASE64.encode(key.sign(&encoding(payload_type, payload)));
        let signed = Signed { keyid: key.public().to_string(), sig };
        Self { payload_type: payload_type.to_owned(), payload: BASE64.encode(payload), signatures: vec![signed] }
    }

    /// The payload, if its one signature is good. Whether the key's owner is trusted is the caller's question.
    pub fn open(&self, payload_type: &str) -> Result<Opened, Unproven> {
        let [signed] = self.signatures.as_slice() else { return Err(Unproven::Shape) };
        if self.payload_type != payload_type {
            return Err(Unproven::Shape);
        }
        let key: PublicKey = signed.keyid.parse().map_err(|_| Unproven::Shape)?;
        let payload = BASE64.decode(&self.payload).map_err(|_| Unproven::Shape)?;
        let signature = BASE64.decode(&signed.sig).map_err(|_| Unproven::Signature)?;
        if !key.verifies(&encoding(payload_type, &payload), &signature) {
            return Err(Unproven::Signature);
        }
        Ok(Opened { payload, key })
    }

    /// The identity of the record: what was signed and by whom.
    pub fn digest(&self) -> Digest {
        let mut framed = encoding(&self.payload_type, self.payload.as_bytes());
        for signed in &self.signatures {
            framed.extend_from_slice(&encoding(&signed.keyid, signed.sig.as_bytes()));
        }
        Digest::derive("flow.dev 2026-11 envelope v1", &framed)
    }
}

/// The pre-authentication encoding, version 1.
fn encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut encoded = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    encoded.extend_from_slice(payload);
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's `protocol.md`.
    #[test]
    fn the_encoding_is_that_of_the_specification() {
        let encoded = encoding("http://example.com/HelloWorld", b"hello world");
        assert_eq!(encoded, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }

    #[test]
    fn an_envelope_opens_and_any_change_closes_it() {
        let key = SecretKey::generate().unwrap();
        let envelope = Envelope::seal(IN_TOTO, b"{\"decision\": 1}", &key);
        assert_eq!(envelope.open(IN_TOTO), Ok(Opened { payload: b"{\"decision\": 1}".to_vec(), key: key.public() }));
        assert_eq!(envelope.open("text/plain"), Err(Unproven::Shape));

        let forged = Envelope { payload: BASE64.encode(b"{\"decision\": 2}"), ..envelope.clone() };
        assert_eq!(forged.open(IN_TOTO), Err(Unproven::Signature));
        let mut stolen = envelope.clone();
        stolen.signatures[0].keyid = SecretKey::generate().unwrap().public().to_string();
        assert_eq!(stolen.open(IN_TOTO), Err(Unproven::Signature));
        let retyped = Envelope { payload_type: "text/plain".to_owned(), ..envelope.clone() };
        assert_eq!(retyped.open("text/plain"), Err(Unproven::Signature));
        let bare = Envelope { signatures: Vec::new(), ..envelope.clone() };
        assert_eq!(bare.open(IN_TOTO), Err(Unproven::Shape));
        assert_ne!(bare.digest(), envelope.digest());
    }

    #[test]
    fn the_names_of_the_fields_are_those_of_the_specification() {
        let envelope = Envelope::seal(IN_TOTO, b"x", &SecretKey::generate().unwrap());
        let json = serde_json::to_value(&envelope).unwrap();
        assert_eq!(json["payloadType"], IN_TOTO);
        assert_eq!(json["payload"], "eA==");
        assert!(json["signatures"][0]["keyid"].is_string() && json["signatures"][0]["sig"].is_string());
    }
}
