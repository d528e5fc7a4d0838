//! What can go wrong with a capsule.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::{run::RunError, store::StoreError};

/// One thing that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file or stage.
    pub what: String,
    /// What is wrong with it: lower case, no period.
    pub problem: String,
}

impl Finding {
    pub(super) fn new(what: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { what: what.into(), problem: problem.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.problem)
    }
}

/// A capsule that cannot be made or does not hold.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum CapsuleError {
    /// The file system refused.
    #[error("cannot {operation} {}", path.display())]
    #[diagnostic(code(flow::capsule::io), help("check the path, its permissions, and the room on the disk"))]
    Io {
        /// What was tried: a verb.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
    /// There is a file of that name.
    #[error("{} exists already, and nothing is overwritten", path.display())]
    #[diagnostic(code(flow::capsule::exists), help("name another file, or remove it"))]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The run is not over.
    #[error("run {run} is going on")]
    #[diagnostic(code(flow::capsule::live), help("wait for its end, or stop it; `flow status` shows it"))]
    Live {
        /// The run.
        run: String,
    },
    /// A result of the run is no longer in the store.
    #[error("cannot pack {what}: it is no longer in the store")]
    #[diagnostic(code(flow::capsule::gone), help("run the workflow again to make it anew, then export that run"))]
    Gone {
        /// The object.
        what: String,
    },
    /// The file is no capsule.
    #[error("{} is no capsule: {reason}", path.display())]
    #[diagnostic(code(flow::capsule::foreign), help("`flow export RUN --capsule FILE` makes one"))]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The capsule was changed after it was made.
    #[error("{} is damaged: {}", path.display(), list(findings))]
    #[diagnostic(code(flow::capsule::damaged), help("get the file again from whoever made it: nothing in it can be relied on"))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not hold.
        findings: Vec<Finding>,
    },
    /// The capsule is whole, and what it says does not hold.
    #[error("the capsule does not hold: {}", list(findings))]
    #[diagnostic(code(flow::capsule::refuted), help("its results are not what its journal says they are"))]
    Refuted {
        /// What does not hold.
        findings: Vec<Finding>,
    },
    /// The run cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Run(#[from] RunError),
    /// The store cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
}

/// A few of many.
fn list(findings: &[Finding]) -> String {
    let shown: Vec<String> = findings.iter().take(5).map(ToString::to_string).collect();
    match findings.len().saturating_sub(shown.len()) {
        0 => shown.join("; "),
        more => format!("{}; and {more} more", shown.join("; ")),
    }
}

impl CapsuleError {
    pub(super) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { operation, path, source }
    }
}
