//! What keeps a decision from being signed, filed, or recorded.

use std::{io, path::PathBuf};

use miette::Diagnostic;

use crate::{StageError, store::StoreError};

/// A key that cannot be used, or a decision that cannot be taken.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum GovernError {
    /// The file system refused.
    #[error("cannot {operation} {}", path.display())]
    #[diagnostic(code(flow::govern::io), help("check the folder's permissions and that the disk is not full"))]
    Io {
        /// What was tried: a verb.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
    /// A text is no key.
    #[error("{what} is no {expected}")]
    #[diagnostic(code(flow::govern::key_text), help("`flow keys new NAME` makes a key and prints its public half"))]
    KeyText {
        /// Where the text stands. Never the text itself: it may be half a secret.
        what: String,
        /// What was expected.
        expected: &'static str,
    },
    /// A name that is no name of a key.
    #[error("{name:?} is no name for a key")]
    #[diagnostic(code(flow::govern::key_name), help("use letters, digits, dashes, dots, and underscores, such as alice"))]
    KeyName {
        /// What was asked for.
        name: String,
    },
    /// A key of that name exists.
    #[error("there is a key in {} already", path.display())]
    #[diagnostic(
        code(flow::govern::key_exists),
        help("take another name; a lost key cannot be replaced, only no longer trusted")
    )]
    KeyExists {
        /// The file of the key.
        path: PathBuf,
    },
    /// There is no key of that name.
    #[error("you have no key {name:?}")]
    #[diagnostic(code(flow::govern::no_key), help("{help}"))]
    NoKey {
        /// What was asked for.
        name: String,
        /// The keys there are.
        help: String,
    },
    /// Others than the owner may read the key.
    #[error("the key in {} can be read by others", path.display())]
    #[diagnostic(code(flow::govern::open_key), help("close it with `chmod 600 {}`; if somebody saw it, make another", path.display()))]
    OpenKey {
        /// The file of the key.
        path: PathBuf,
    },
    /// No key at hand is trusted.
    #[error("none of your keys is named in flow.toml under [trust]")]
    #[diagnostic(code(flow::govern::untrusted), help("{help}"))]
    Untrusted {
        /// What to do.
        help: String,
    },
    /// Several keys at hand are trusted.
    #[error("several of your keys are trusted here: {names}")]
    #[diagnostic(code(flow::govern::many_keys), help("say which one with --key NAME"))]
    ManyKeys {
        /// Their names.
        names: String,
    },
    /// The machine gave no random bytes.
    #[error("cannot make a key: the machine gives no random bytes ({reason})")]
    #[diagnostic(code(flow::govern::random), help("try again; a machine that was just started may need a moment"))]
    Random {
        /// What it said.
        reason: String,
    },
    /// Somebody may not decide.
    #[error("{by} cannot decide about {stage}: {reason}")]
    #[diagnostic(code(flow::govern::refused), help("{help}"))]
    Refused {
        /// Who tried.
        by: String,
        /// The stage.
        stage: String,
        /// Why not.
        reason: String,
        /// Who could, or what to do.
        help: String,
    },
    /// The key belongs to somebody else.
    #[error("the key belongs to {owner} and not to {by}")]
    #[diagnostic(code(flow::govern::other_owner), help("leave out --by, or name the key of {by} with --key NAME"))]
    OtherOwner {
        /// Who was named.
        by: String,
        /// Whose key it is.
        owner: String,
    },
    /// A decision without a time.
    #[error("{text:?} is no time of a decision")]
    #[diagnostic(code(flow::govern::time), help("times are written as 2026-11-24T09:00:00Z"))]
    Time {
        /// What was given.
        text: String,
    },
    /// A statement that cannot be written as JSON.
    #[error("cannot write the decision down: {reason}")]
    #[diagnostic(code(flow::govern::compose), help("please report this: it is a fault of flow"))]
    Compose {
        /// What the serializer said.
        reason: String,
    },
    /// The end of the audit log is no record.
    #[error("cannot go on with the audit log {}: its last line is damaged ({reason})", path.display())]
    #[diagnostic(
        code(flow::govern::audit),
        help("`flow audit verify` tells all; keep the file for whoever looks into it under another name, and run again")
    )]
    Audit {
        /// The log.
        path: PathBuf,
        /// What is wrong with the line.
        reason: String,
    },
    /// The store.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
}

impl GovernError {
    /// Turns an error of the file system into one about a path.
    pub(crate) fn io(operation: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { operation, path, source }
    }
}

impl From<GovernError> for StageError {
    fn from(error: GovernError) -> Self {
        let error = match error {
            GovernError::Store(error) => return error.into(),
            other => other,
        };
        let help = error.help().map(|help| help.to_string());
        let stage = Self::resource(error.to_string());
        let stage = match std::error::Error::source(&error) {
            Some(cause) => stage.because(cause),
            None => stage,
        };
        match help {
            Some(help) => stage.help(help),
            None => stage,
        }
    }
}
