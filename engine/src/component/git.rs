//! The `git` program: which commit a tag names, and a checkout of it without history.
//!
//! Settings of the person that would change the files (line ends, filters, hooks) are switched off, so that a commit gives
//! the same bytes everywhere. Credentials and proxies stay theirs.

use std::{
    io,
    path::Path,
    process::{Command, Output, Stdio},
};

use super::{ComponentError, GitReference};
use crate::{lock::ComponentPin, store::remove_all};

/// Variables by which a surrounding git command, such as a hook, would turn ours to its own repository.
const FOREIGN: [&str; 7] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
];
const NEUTRAL: [&str; 8] = [
    "core.autocrlf=false",
    "core.eol=lf",
    "core.attributesFile=/dev/null",
    "core.hooksPath=/dev/null",
    "core.symlinks=true",
    "filter.lfs.smudge=",
    "filter.lfs.process=",
    "filter.lfs.required=false",
];

/// A repository to ask.
pub(super) struct Repository {
    name: String,
    url: String,
    revision: String,
}

/// A commit that a revision names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) commit: String,
    /// What to ask the repository for.
    wanted: String,
    /// Whether the revision may name another commit tomorrow without anybody being to blame.
    branch: bool,
}

impl Repository {
    pub(super) fn of(reference: &GitReference) -> Self {
        Self { name: reference.pin_name(), url: reference.url(), revision: reference.revision.clone() }
    }

    /// The commit of the revision now.
    pub(super) fn look(&self) -> Result<Found, ComponentError> {
        let (tag, branch) = (format!("refs/tags/{}", self.revision), format!("refs/heads/{}", self.revision));
        let peeled = format!("{tag}^{{}}");
        let listed = self.git(None, &["ls-remote", "--", &self.url, &tag, &peeled, &branch])?;
        let of = |name: &str| {
            let line = listed.lines().find(|line| line.split_once('\t').is_some_and(|(_, found)| found == name))?;
            line.split_once('\t').map(|(commit, _)| commit.to_owned())
        };
        // An annotated tag is an object of its own; its commit stands under the peeled name.
        if let Some(commit) = of(&peeled).or_else(|| of(&tag)) {
            return Ok(Found { commit, wanted: tag, branch: false });
        }
        if let Some(commit) = of(&branch) {
            return Ok(Found { commit, wanted: branch, branch: true });
        }
        if is_commit(&self.revision) {
            return Ok(Found { commit: self.revision.clone(), wanted: self.revision.clone(), branch: false });
        }
        Err(ComponentError::NoRevision { repository: self.name.clone(), url: self.url.clone() })
    }

    /// The commit that is pinned: a tag must still name it, a branch may have gone on.
    pub(super) fn pinned(&self, pin: &ComponentPin) -> Result<Found, ComponentError> {
        let found = self.look()?;
        if found.commit == pin.commit {
            return Ok(found);
        }
        if found.branch {
            return Ok(Found { commit: pin.commit.clone(), wanted: pin.commit.clone(), branch: true });
        }
        Err(ComponentError::Moved { repository: self.name.clone(), pinned: pin.commit.clone(), found: found.commit })
    }

    /// Lays a commit's files out in an empty folder.
    pub(super) fn check_out(&self, found: &Found, folder: &Path) -> Result<(), ComponentError> {
        self.git(Some(folder), &["init", "--quiet", "--template="])?;
        self.git(Some(folder), &["fetch", "--quiet", "--no-tags", "--depth", "1", "--", &self.url, &found.wanted])?;
        let commit = self.git(Some(folder), &["rev-parse", "--verify", "FETCH_HEAD^{commit}"])?;
        if commit.trim() != found.commit {
            // It moved between two questions; the next run asks again.
            let (repository, pinned) = (self.name.clone(), found.commit.clone());
            return Err(ComponentError::Moved { repository, pinned, found: commit.trim().to_owned() });
        }
        self.git(Some(folder), &["checkout", "--quiet", "--detach", "FETCH_HEAD"])?;
        remove_all(&folder.join(".git")).map_err(|error| self.failed(error.to_string()))
    }

    fn git(&self, folder: Option<&Path>, arguments: &[&str]) -> Result<String, ComponentError> {
        let mut command = Command::new("git");
        if let Some(folder) = folder {
            command.arg("-C").arg(folder);
        }
        for setting in NEUTRAL {
            command.args(["-c", setting]);
        }
        for variable in FOREIGN {
            command.env_remove(variable);
        }
        // Nobody may be there to type a password, and messages are read.
        command.args(arguments).env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C").stdin(Stdio::null());
        match command.output() {
            Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            Ok(output) => Err(self.failed(said(&output))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ComponentError::NoGit { repository: self.name.clone() }),
            Err(error) => Err(self.failed(error.to_string())),
        }
    }

    fn failed(&self, reason: String) -> ComponentError {
        ComponentError::Git { repository: self.name.clone(), url: self.url.clone(), reason }
    }
}

/// What git complained about, on one line.
fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("hint:"));
    let joined = lines.take(4).map(|line| line.trim_start_matches("fatal: ")).collect::<Vec<_>>().join("; ");
    if joined.is_empty() { format!("git ended with {}", output.status) } else { joined }
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.chars().all(|letter| letter.is_ascii_digit() || matches!(letter, 'a'..='f'))
}
