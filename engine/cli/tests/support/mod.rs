//! A project folder, the toy program, and what it left behind.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails like the test itself")]

use std::{path::PathBuf, process::Command};

use serde_json::Value;

/// A project folder and a clean environment.
pub(crate) struct Terminal {
    pub(crate) folder: tempfile::TempDir,
}

/// What a command left behind.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Terminal {
    pub(crate) fn with(workflow: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("workflow.yaml"), workflow).unwrap();
        Self { folder }
    }

    #[must_use = "assert the exit code"]
    pub(crate) fn flow(&self, arguments: &[&str]) -> Ended {
        let output = Command::new(program())
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOME", self.folder.path())
            .env("USER", "ada")
            .env("COLUMNS", "120")
            .env("PATH", "/usr/bin:/bin")
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ended { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    pub(crate) fn run_folder(&self) -> PathBuf {
        let runs = std::fs::read_dir(self.path(".flow/runs")).unwrap();
        runs.map(|entry| entry.unwrap().path()).max().unwrap()
    }
}

impl Ended {
    #[track_caller]
    pub(crate) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.out.contains(text), "no {text:?} in stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    pub(crate) fn warns(self, text: &str) -> Self {
        assert!(self.err.contains(text), "no {text:?} in stderr:\n{}", self.err);
        self
    }

    pub(crate) fn json(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The example that cargo builds beside this test.
pub(crate) fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    profile.join("examples/toyflow")
}
