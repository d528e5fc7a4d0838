//! What the tests of this module share.

use std::path::Path;

use jiff::Timestamp;

use super::{Governance, Person, PublicKey, Starter, Subject, Trust, statement::Choice, statement::Vote};
use crate::{ArtifactKind, Digest, context::Site, project::Project};

/// The time of every test.
pub(super) fn now() -> Timestamp {
    "2026-11-24T09:00:00Z".parse().unwrap()
}

/// What every test reviews.
pub(super) fn reviewed() -> Vec<Subject> {
    let subject = |from: &str, content: &[u8]| Subject {
        port: "review".to_owned(),
        from: from.to_owned(),
        kind: ArtifactKind::File,
        digest: Digest::of(content),
    };
    vec![subject("pii.rows", b"rows"), subject("pii.report", b"report")]
}

/// An approval of it.
pub(super) fn vote(who: &str) -> Vote {
    Vote {
        format: Vote::FORMAT,
        decision: Choice::Approved,
        who: who.to_owned(),
        roles: Vec::new(),
        at: now(),
        expires: None,
        comment: None,
        via: "command".to_owned(),
        action: Digest::of(b"action"),
        stage: "approve".to_owned(),
        workflow: "support".to_owned(),
        run: "01JD".to_owned(),
        project: "here".to_owned(),
        asked: Vec::new(),
        question: None,
        started_by: Some(Starter { user: "carol".to_owned(), ..Starter::default() }),
        audit_head: None,
        reviewed: reviewed(),
    }
}

/// People with a role each.
pub(super) fn trust(people: &[(&str, PublicKey, &str)]) -> Trust {
    let people = people.iter().map(|(name, key, role)| {
        let person = Person { key: *key, roles: vec![(*role).to_owned()], accounts: Vec::new() };
        ((*name).to_owned(), person)
    });
    Trust::try_from(people.collect::<std::collections::BTreeMap<_, _>>()).unwrap()
}

/// A project in a folder.
pub(super) fn project(root: &Path) -> Project {
    Project {
        root: root.to_owned(),
        base: root.to_owned(),
        workflow_file: root.join("workflow.yaml"),
        lock_file: root.join("flow.lock"),
        state: root.join(".flow"),
        site: Site { registry: root.join("registry"), store: root.join("store"), base: root.to_owned() },
        governance: Governance::default(),
        settings: crate::settings::Settings::default(),
    }
}
