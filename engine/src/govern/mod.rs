//! Who may decide what, and the proof of it: keys, signed decisions, the audit log, and the policy of a project.
//!
//! A decision is a DSSE envelope around an in-toto statement about the digests that were reviewed, signed with Ed25519. It is
//! verified against the people of `flow.toml` each time it is used ([`Verifier`]), so a changed byte, a key that is no longer
//! trusted, or the passing of time voids it. Leans on digests and small durable files. It knows neither the scheduler nor the
//! terminal: [`crate::run`] asks it whether a decision stands, and the command line signs with a person's key.

pub mod approvals;
pub mod audit;
mod dsse;
mod error;
pub mod identity;
mod keyring;
mod keys;
pub mod policy;
mod starter;
mod statement;
mod tally;
mod terms;
#[cfg(test)]
mod testing;
mod trust;

use std::path::PathBuf;

pub use self::{
    audit::{AuditLog, Durability, Happening},
    dsse::{Envelope, IN_TOTO, Opened, Signed, Unproven},
    error::GovernError,
    keyring::{Held, KEY_VARIABLE, KeyRing, Signatory},
    keys::{PublicKey, SecretKey},
    starter::{Part, Starter, authors},
    statement::{Choice, Subject, Vote},
    tally::{Asked, Counted, Filed, Objection, Tally, Verifier, Void},
    terms::{Party, ReviewTerms},
    trust::{Person, Trust},
};

/// What `flow.toml` says about decisions: whose keys are trusted, and which policy every plan must meet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Governance {
    /// `[trust]`: people by name.
    pub trust: Trust,
    /// `[policy] file`, absolute.
    pub policy: Option<PathBuf>,
}
