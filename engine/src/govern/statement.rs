//! What a reviewer signs: an in-toto statement about the digests that were reviewed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Envelope, IN_TOTO, Party, PublicKey, SecretKey, Starter, Unproven, audit::Head};
use crate::{ArtifactKind, Digest};

const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const PREDICATE: &str = "https://flow.dev/approval/v1";
/// The digest of an artifact as the store names it: BLAKE3 of a file, or of a folder's tree.
const ALGORITHM: &str = "flowBlake3";
const FORMAT: u32 = 1;

/// One artifact under review.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The reviewing stage's port.
    pub port: String,
    /// `stage.port` it came from, for people.
    pub from: String,
    /// What it is.
    pub kind: ArtifactKind,
    /// Its content.
    pub digest: Digest,
}

impl Subject {
    /// Whether it is the same content at the same port. Names are for people: a renamed stage changes nothing.
    fn is(&self, other: &Self) -> bool {
        self.port == other.port && self.digest == other.digest
    }
}

/// Whether two reviews are about the same content in the same order.
pub(crate) fn same(one: &[Subject], other: &[Subject]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.is(other))
}

/// What somebody decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// The content may be used.
    Approved,
    /// It may not.
    Rejected,
}

/// One person's decision and everything it was taken about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Vote {
    /// Version of this record.
    pub format: u32,
    /// What was decided.
    pub decision: Choice,
    /// Who decided: the name that `[trust]` gives the key, else the name they gave themselves.
    pub who: String,
    /// The roles they had by `[trust]` then.
    #[serde(default)]
    pub roles: Vec<String>,
    /// When.
    pub at: Timestamp,
    /// Until when it stands.
    #[serde(default)]
    pub expires: Option<Timestamp>,
    /// What they wrote.
    #[serde(default)]
    pub comment: Option<String>,
    /// How it was taken: `command`, `terminal`, or `flag`.
    pub via: String,
    /// The action key of the deciding stage.
    pub action: Digest,
    /// The stage.
    pub stage: String,
    /// The workflow.
    pub workflow: String,
    /// The run that asked.
    pub run: String,
    /// The project that asked.
    pub project: String,
    /// Whom the stage asks.
    #[serde(default)]
    pub asked: Vec<Party>,
    /// What it asks.
    #[serde(default)]
    pub question: Option<String>,
    /// Who started the run.
    #[serde(default)]
    pub started_by: Option<Starter>,
    /// Where the project's audit log ended then.
    #[serde(default)]
    pub audit_head: Option<Head>,
    /// What was reviewed; in the statement these are its subjects.
    #[serde(skip)]
    pub reviewed: Vec<Subject>,
}

impl Vote {
    /// The version of records that this program writes.
    pub(crate) const FORMAT: u32 = FORMAT;

    /// Signs the vote.
    pub fn seal(&self, key: &SecretKey) -> Result<Envelope, serde_json::Error> {
        let statement = Statement {
            kind: STATEMENT.to_owned(),
            subject: self.reviewed.iter().map(Described::from).collect(),
            predicate_type: PREDICATE.to_owned(),
            predicate: self.clone(),
        };
        Ok(Envelope::seal(IN_TOTO, &serde_json::to_vec(&statement)?, key))
    }

    /// Reads a signed vote and says whose key signed it.
    pub fn open(envelope: &Envelope) -> Result<(Self, PublicKey), Unproven> {
        let opened = envelope.open(IN_TOTO)?;
        let statement: Statement = serde_json::from_slice(&opened.payload).map_err(|_| Unproven::Shape)?;
        if statement.kind != STATEMENT || statement.predicate_type != PREDICATE || statement.predicate.format != FORMAT {
            return Err(Unproven::Shape);
        }
        let reviewed: Option<Vec<Subject>> = statement.subject.iter().map(Described::subject).collect();
        let vote = Self { reviewed: reviewed.ok_or(Unproven::Shape)?, ..statement.predicate };
        Ok((vote, opened.key))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Described>,
    predicate_type: String,
    predicate: Vote,
}

/// A subject in the words of in-toto.
#[derive(Serialize, Deserialize)]
struct Described {
    name: String,
    digest: BTreeMap<String, String>,
    annotations: Annotations,
}

#[derive(Serialize, Deserialize)]
struct Annotations {
    port: String,
    kind: ArtifactKind,
}

impl From<&Subject> for Described {
    fn from(subject: &Subject) -> Self {
        Self {
            name: subject.from.clone(),
            digest: BTreeMap::from([(ALGORITHM.to_owned(), subject.digest.to_string())]),
            annotations: Annotations { port: subject.port.clone(), kind: subject.kind },
        }
    }
}

impl Described {
    fn subject(&self) -> Option<Subject> {
        let digest = self.digest.get(ALGORITHM)?.parse().ok()?;
        Some(Subject { port: self.annotations.port.clone(), from: self.name.clone(), kind: self.annotations.kind, digest })
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
    use serde_json::Value;

    use super::*;
    use crate::govern::testing::vote;

    #[test]
    fn a_vote_is_an_in_toto_statement_and_reads_back() {
        let key = SecretKey::generate().unwrap();
        let vote = vote("alice");
        let envelope = vote.seal(&key).unwrap();
        assert_eq!(Vote::open(&envelope), Ok((vote, key.public())));
        let payload: Value = serde_json::from_slice(&BASE64.decode(&envelope.payload).unwrap()).unwrap();
        assert_eq!(payload["_type"], "https://in-toto.io/Statement/v1");
        assert_eq!(payload["subject"][0]["name"], "pii.rows");
        assert_eq!(payload["subject"][0]["digest"]["flowBlake3"], Digest::of(b"rows").to_string());
        assert_eq!(payload["predicate"]["decision"], "approved");
        assert!(payload["predicate"].get("reviewed").is_none());
    }

    #[test]
    fn a_signed_payload_of_another_kind_is_no_vote() {
        let key = SecretKey::generate().unwrap();
        let other = Envelope::seal(IN_TOTO, br#"{"_type": "x"}"#, &key);
        assert_eq!(Vote::open(&other), Err(Unproven::Shape));
    }
}
