//! Who may decide what, and the proof of it: keys, signed decisions, the audit log, and the policy of a project.
//!
//! Leans on digests and on small durable files. It knows neither the scheduler nor the terminal: [`crate::run`] asks it
//! whether a decision stands, and the command line signs with a person's key.

mod error;
mod keyring;
mod keys;
mod trust;

use std::path::PathBuf;

pub use self::{
    error::GovernError,
    keyring::{Held, KEY_VARIABLE, KeyRing, Signatory},
    keys::{PublicKey, SecretKey},
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
