//! The policy file: its shape, and from its text to compiled rules.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use serde::{Deserialize, Serialize};

use super::rule::Rule;
use crate::{
    Digest,
    expression::{Expression, Place},
    plan::PlanErrors,
    registry::{ConfigError, PathStep},
    workflow::{Node, Problem, Problems, SourceText, Span, Telling, every_error, parse},
};

const REFERENCE: &str = "a policy is `policy: 1` and a list of `rules`, each with `id`, `message`, and `require`";

/// A policy file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyDocument {
    /// The version of its language: 1.
    pub policy: Version,
    /// What it is for, for people.
    #[serde(default)]
    pub description: Option<String>,
    /// The rules.
    pub rules: Vec<RuleDocument>,
}

/// The version of the policy language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u64")]
pub struct Version;

impl TryFrom<u64> for Version {
    type Error = String;

    fn try_from(version: u64) -> Result<Self, String> {
        if version == 1 { Ok(Self) } else { Err(format!("found version {version}, this flow reads version 1")) }
    }
}

/// One rule.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleDocument {
    /// Its name, for messages and for the audit log.
    pub id: String,
    /// What it wants, for people.
    pub message: String,
    /// What follows from breaking it.
    #[serde(default)]
    pub severity: Severity,
    /// Where it applies (CEL); everywhere when left out.
    #[serde(default)]
    pub when: Option<String>,
    /// What must hold there (CEL).
    pub require: String,
    /// What to do about a breach.
    #[serde(default)]
    pub help: Option<String>,
}

/// What follows from breaking a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing runs.
    #[default]
    Error,
    /// It is told.
    Warn,
}

/// Reads and compiles a policy, with the digest of its text.
pub(super) fn load(path: &Path) -> Result<(Digest, Vec<Rule>), PlanErrors> {
    let mut problems = Problems::default();
    let name = path.display().to_string();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            problems.add(Problem {
                code: "flow::policy::unreadable",
                message: format!("cannot read the policy {name}: {error}"),
                file: SourceText::new(name, ""),
                span: Span::default(),
                label: "here".to_owned(),
                help: "flow.toml names it under `[policy] file`; paths are relative to flow.toml".to_owned(),
            });
            return Err(PlanErrors::new(problems.into_sorted()));
        }
    };
    let digest = Digest::of(text.as_bytes());
    let file = SourceText::new(name, text);
    let rules = Compiler { file: &file, problems: &mut problems }.rules();
    if problems.is_empty() { Ok((digest, rules)) } else { Err(PlanErrors::new(problems.into_sorted())) }
}

struct Compiler<'a> {
    file: &'a Arc<SourceText>,
    problems: &'a mut Problems,
}

impl Compiler<'_> {
    fn rules(&mut self) -> Vec<Rule> {
        let Some(root) = parse(self.file, self.problems) else { return Vec::new() };
        let document = match every_error(&root.to_json(), ConfigError::parse::<PolicyDocument>) {
            Ok(document) => document,
            Err(partial) => {
                let first = Span::new(root.span.start, (root.span.start + 1).min(root.span.end));
                let telling = Telling { file: self.file, node: Some(&root), whole: first, reference: REFERENCE };
                telling.tell(&partial.errors, self.problems);
                return Vec::new();
            }
        };
        let mut ids = BTreeSet::new();
        let mut rules = Vec::with_capacity(document.rules.len());
        for (index, rule) in document.rules.into_iter().enumerate() {
            if !ids.insert(rule.id.clone()) {
                let message = format!("there are two rules `{}`", rule.id);
                self.add(
                    &root,
                    (index, "id"),
                    ("flow::policy::duplicate", message, "give each rule a name of its own".to_owned()),
                );
            }
            let when = rule.when.as_ref().map(|text| self.expression(&root, (index, "when"), text));
            let require = self.expression(&root, (index, "require"), &rule.require);
            match (when, require) {
                (Some(None), _) | (_, None) => {}
                (when, Some(require)) => rules.push(Rule { when: when.flatten(), require, document: rule }),
            }
        }
        rules
    }

    fn expression(&mut self, root: &Node, at: (usize, &str), text: &str) -> Option<Expression> {
        let error = match Expression::compile(text, Place::Policy) {
            Ok(expression) => return Some(expression),
            Err(error) => error,
        };
        self.add(root, at, ("flow::policy::expression", error.message, error.help));
        None
    }

    fn add(&mut self, root: &Node, (index, key): (usize, &str), texts: (&'static str, String, String)) {
        let path = [PathStep::Key("rules".to_owned()), PathStep::Index(index), PathStep::Key(key.to_owned())];
        let (code, message, help) = texts;
        let span = root.place(&path).pointer();
        self.problems.add(Problem { code, message, file: self.file.clone(), span, label: "here".to_owned(), help });
    }
}
