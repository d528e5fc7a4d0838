//! Looking at the machine: everything a run counts on, one line each, with what to do where something is wrong.
//!
//! Reads and measures; changes nothing but a folder of its own that it removes again. How it is shown is the business of
//! `commands::doctor`.

mod disk;
mod machine;
mod project;
mod tools;

use serde::Serialize;

use flow_engine::project::Project;

/// How one thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// As it should be.
    Ok,
    /// Runs work, but slower, or not all of them.
    Warn,
    /// Runs will fail.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    /// What: one or two words.
    pub(crate) name: &'static str,
    pub(crate) state: State,
    /// What was found.
    pub(crate) found: String,
    /// What to do, unless it is as it should be.
    pub(crate) next: Option<String>,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, state: State::Ok, found: found.into(), next: None }
    }

    fn warn(name: &'static str, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self { name, state: State::Warn, found: found.into(), next: Some(next.into()) }
    }

    fn fail(name: &'static str, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self { name, state: State::Fail, found: found.into(), next: Some(next.into()) }
    }
}

/// Looks at everything. A project that cannot be located is one of the findings.
pub(crate) fn examine(project: Result<&Project, String>) -> Vec<Check> {
    let mut checks = Vec::new();
    match project {
        Ok(project) => {
            checks.extend(project::checks(project));
            checks.extend(disk::checks(project));
        }
        Err(problem) => {
            checks.push(Check::fail("project", problem, "correct flow.toml, or name another folder with --project DIR"));
        }
    }
    checks.extend(machine::checks());
    checks.extend(tools::checks());
    checks
}
