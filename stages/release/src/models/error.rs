//! What can go wrong with the registry.

use std::{io, path::PathBuf};

/// An operation on the registry that failed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The configured path is taken by a file.
    #[error("the registry {path} is not a folder")]
    NotAFolder {
        /// The configured path.
        path: PathBuf,
    },
    /// No version of the name exists.
    #[error("no model is called {name:?}{}", listed(known))]
    UnknownModel {
        /// What was asked for.
        name: String,
        /// Names that exist.
        known: Vec<String>,
    },
    /// The name has no such version.
    #[error("{name} has no version {version}")]
    UnknownVersion {
        /// The model.
        name: String,
        /// What was asked for.
        version: u32,
    },
    /// The name has no such alias.
    #[error("{name} has no alias {alias:?}{}", listed(known))]
    UnknownAlias {
        /// The model.
        name: String,
        /// What was asked for.
        alias: String,
        /// Aliases that exist.
        known: Vec<String>,
    },
    /// A text that is not NAME, NAME@ALIAS, or NAME@VERSION.
    #[error("{text:?} is not a model reference: {reason}")]
    BadReference {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The alias moved since it was read.
    #[error("alias {alias:?} of {name} moved in the meantime: it names {now}")]
    AliasMoved {
        /// The model.
        name: String,
        /// The alias.
        alias: String,
        /// What it names now.
        now: String,
    },
    /// A version file that is not what this program writes.
    #[error("cannot read the version record {path}")]
    Corrupt {
        /// The record.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The index could not be read or rebuilt.
    #[error("cannot use the registry's index")]
    Index(#[from] rusqlite::Error),
    /// The file system refused.
    #[error("cannot access {path}")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

fn listed(known: &[String]) -> String {
    if known.is_empty() { "; there is none yet".to_owned() } else { format!("; there are {}", known.join(", ")) }
}

impl From<RegistryError> for flow_engine::StageError {
    fn from(error: RegistryError) -> Self {
        let message = "the model registry refused";
        match error {
            RegistryError::Io { .. } | RegistryError::Index(_) => Self::resource(message).because(&error),
            _ => Self::input(message).because(&error).help("`flow models ls` lists names, versions, and aliases"),
        }
    }
}
