//! What can go wrong with a component of a repository.

use super::InvalidReference;
use crate::{
    Digest,
    lock::LockError,
    store::{AmendError, StoreError},
};

/// A component that cannot be had. Nothing is pinned then.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ComponentError {
    /// The reference cannot be read.
    #[error(transparent)]
    #[diagnostic(code(flow::component::reference), help("write `git:HOST/ORG/REPO//PATH@TAG` or `git:file:///REPO//PATH@TAG`"))]
    Reference(#[from] InvalidReference),
    /// There is no `git`.
    #[error("cannot get {repository}: the program `git` is not installed")]
    #[diagnostic(code(flow::component::no_git), help("install git, or copy the component into the project and use it by path"))]
    NoGit {
        /// The repository and revision.
        repository: String,
    },
    /// `git` failed.
    #[error("cannot get {repository}: {reason}")]
    #[diagnostic(
        code(flow::component::git),
        help("check the address, your access to it, and the network: `git ls-remote {url}`")
    )]
    Git {
        /// The repository and revision.
        repository: String,
        /// What git was told.
        url: String,
        /// What git said.
        reason: String,
    },
    /// The repository has no such tag, branch, or commit.
    #[error("{repository} has no such tag, branch, or commit")]
    #[diagnostic(code(flow::component::no_revision), help("`git ls-remote {url}` lists what there is"))]
    NoRevision {
        /// The repository and revision.
        repository: String,
        /// What git was told.
        url: String,
    },
    /// The tag names another commit than the lock file.
    #[error("the tag of {repository} moved: flow.lock pins commit {pinned}, the repository now has {found}")]
    #[diagnostic(
        code(flow::component::moved),
        help("ask the owner why: tags should stay. `flow update` accepts the new commit and shows what changed")
    )]
    Moved {
        /// The repository and revision.
        repository: String,
        /// The commit of the lock file.
        pinned: String,
        /// The commit of the tag.
        found: String,
    },
    /// The commit's files are not those of the lock file.
    #[error("commit {commit} of {repository} is not what flow.lock pins: expected tree {expected}, got {found}")]
    #[diagnostic(code(flow::component::tree), help("restore flow.lock from version control, or run `flow update` to pin anew"))]
    Tree {
        /// The repository and revision.
        repository: String,
        /// The commit.
        commit: String,
        /// The tree of the lock file.
        expected: Digest,
        /// The tree of the checkout.
        found: Digest,
    },
    /// The repository has no such file.
    #[error("{repository} holds no component {path}")]
    #[diagnostic(code(flow::component::no_file), help("name a workflow file of the repository, or the folder of one"))]
    NoFile {
        /// The repository and revision.
        repository: String,
        /// The path in it.
        path: String,
    },
    /// No pin goes by this name.
    #[error("nothing in {lock} is called {name}")]
    #[diagnostic(code(flow::component::unknown_pin), help("{known}"))]
    UnknownPin {
        /// What was asked for.
        name: String,
        /// The lock file.
        lock: String,
        /// What there is.
        known: String,
    },
    /// The lock file cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Lock(#[from] LockError),
    /// The store cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
}

impl ComponentError {
    /// The stable name of the error.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Reference(_) => "flow::component::reference",
            Self::NoGit { .. } => "flow::component::no_git",
            Self::Git { .. } => "flow::component::git",
            Self::NoRevision { .. } => "flow::component::no_revision",
            Self::Moved { .. } => "flow::component::moved",
            Self::Tree { .. } => "flow::component::tree",
            Self::NoFile { .. } => "flow::component::no_file",
            Self::UnknownPin { .. } => "flow::component::unknown_pin",
            Self::Lock(_) => "flow::component::lock",
            Self::Store(_) => "flow::component::store",
        }
    }

    /// The message with its cause, and what the reader can do.
    pub(crate) fn texts(&self) -> (String, String) {
        let cause = std::error::Error::source(self).map(|cause| format!(": {cause}")).unwrap_or_default();
        let help = miette::Diagnostic::help(self).map(|help| help.to_string()).unwrap_or_default();
        (format!("{self}{cause}"), help)
    }
}

impl From<AmendError> for ComponentError {
    fn from(error: AmendError) -> Self {
        match error {
            AmendError::Lock(error) => error.into(),
            AmendError::Store(error) => error.into(),
        }
    }
}
