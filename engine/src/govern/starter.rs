//! Who started a run and who wrote what it runs: those whom "four eyes" keeps from approving it.

use std::{path::Path, process::Command};

use serde::{Deserialize, Serialize};

use super::{Person, PublicKey};

/// The people behind a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Starter {
    /// The account that started it.
    pub user: String,
    /// The public halves of the signing keys that account held.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<PublicKey>,
    /// Name and address of the author of the commit that the workflow file last changed in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authors: Vec<String>,
}

/// What somebody did for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// They started it.
    Started,
    /// They wrote the commit.
    Wrote,
}

impl Starter {
    /// What a person did for the run, if anything.
    pub fn part(&self, name: &str, person: &Person) -> Option<Part> {
        if self.keys.contains(&person.key) || person.is_called(name, &self.user) {
            return Some(Part::Started);
        }
        self.authors.iter().any(|author| person.is_called(name, author)).then_some(Part::Wrote)
    }
}

/// Name and address of whoever last changed a file, and of the author of the commit that is checked out; none outside of
/// version control.
pub fn authors(file: &Path) -> Vec<String> {
    let Some(folder) = file.parent() else { return Vec::new() };
    let log = |of: Option<&Path>| {
        let mut command = Command::new("git");
        command.arg("-C").arg(folder).args(["log", "-1", "--no-mailmap", "--format=%an%n%ae"]);
        if let Some(of) = of {
            command.arg("--").arg(of);
        }
        // No git, no repository, or no commit yet: there is no author.
        let output = command.output().ok().filter(|output| output.status.success());
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
    };
    let mut found: Vec<String> =
        [log(Some(file)), log(None)].iter().flat_map(|text| text.lines()).map(|line| line.trim().to_owned()).collect();
    found.retain(|name| !name.is_empty());
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::govern::SecretKey;

    fn person(accounts: &[&str]) -> Person {
        let key = SecretKey::generate().unwrap().public();
        Person { key, roles: Vec::new(), accounts: accounts.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn the_one_who_started_or_wrote_is_known_by_key_account_or_address() {
        let alice = person(&["al", "alice@example.org"]);
        let by_key = Starter { user: "ci".to_owned(), keys: vec![alice.key], ..Starter::default() };
        assert_eq!(by_key.part("alice", &alice), Some(Part::Started));
        let by_account = Starter { user: "al".to_owned(), ..Starter::default() };
        assert_eq!(by_account.part("alice", &alice), Some(Part::Started));
        let by_address = Starter { user: "ci".to_owned(), authors: vec!["Alice@Example.org".to_owned()], ..Starter::default() };
        assert_eq!(by_address.part("alice", &alice), Some(Part::Wrote));
        assert_eq!(by_address.part("bob", &person(&[])), None);
    }

    #[test]
    fn the_author_of_the_last_commit_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("workflow.yaml");
        std::fs::write(&file, "flow: 1\n").unwrap();
        assert!(authors(&file).is_empty());
        let git = |arguments: &[&str]| {
            let mut command = Command::new("git");
            command.arg("-C").arg(folder.path()).args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]);
            command.args(arguments).output().unwrap().status.success()
        };
        assert!(git(&["init", "-q"]) && git(&["add", "."]) && git(&["commit", "-q", "-m", "x"]));
        assert_eq!(authors(&file), ["Ada", "ada@example.org"]);
    }
}
