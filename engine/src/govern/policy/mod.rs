//! The policy of a project: rules in CEL that every plan must meet before anything runs.
//!
//! A rule that names `stage` is asked about every stage, any other about the plan as a whole. A rule without an answer counts
//! as broken: a policy that cannot be asked protects nothing.

mod data;
mod document;
mod identities;
mod rule;

use std::path::Path;

use serde::Serialize;

pub use self::document::{PolicyDocument, RuleDocument, Severity};
use crate::{
    Digest,
    plan::{Plan, PlanErrors},
    project::Project,
    workflow::Problem,
};

/// How a plan stands against the policy.
#[derive(Debug, Serialize)]
pub struct PolicyReport {
    /// The digest of the policy file; none where there is no policy.
    pub digest: Option<Digest>,
    /// The rules in the order of the file.
    pub rules: Vec<RuleReport>,
}

/// How a plan stands against one rule.
#[derive(Debug, Serialize)]
pub struct RuleReport {
    /// The rule.
    pub id: String,
    /// What it wants, for people.
    pub message: String,
    /// What follows from breaking it.
    pub severity: Severity,
    /// How many stages, or plans, it applied to.
    pub applied: u64,
    /// Where it is broken.
    pub breaches: Vec<Breach>,
}

/// One place where a rule is broken.
#[derive(Debug, Serialize)]
pub struct Breach {
    /// The stage; none for the plan as a whole.
    pub stage: Option<String>,
    /// The place in the file, the message, and what to do.
    pub problem: Problem,
}

impl PolicyReport {
    fn breaches(&self, severity: Severity) -> impl Iterator<Item = (&RuleReport, &Breach)> {
        let rules = self.rules.iter().filter(move |rule| rule.severity == severity);
        rules.flat_map(|rule| rule.breaches.iter().map(move |breach| (rule, breach)))
    }

    /// Every place where a rule is broken that must not be, with its stage.
    pub(crate) fn broken(&self) -> impl Iterator<Item = (Option<&str>, &Problem)> {
        self.breaches(Severity::Error).map(|(_, breach)| (breach.stage.as_deref(), &breach.problem))
    }

    /// Broken rules of one severity, as `rule` or `rule: stage`.
    pub fn named(&self, severity: Severity) -> Vec<String> {
        let name = |(rule, breach): (&RuleReport, &Breach)| match &breach.stage {
            Some(stage) => format!("{}: {stage}", rule.id),
            None => rule.id.clone(),
        };
        self.breaches(severity).map(name).collect()
    }

    /// What only warns.
    pub fn warnings(&self) -> Vec<&Problem> {
        self.breaches(Severity::Warn).map(|(_, breach)| &breach.problem).collect()
    }

    /// The same, for those who keep it.
    pub fn into_warnings(self) -> Vec<Problem> {
        let rules = self.rules.into_iter().filter(|rule| rule.severity == Severity::Warn);
        rules.flat_map(|rule| rule.breaches).map(|breach| breach.problem).collect()
    }

    /// The report, or every broken rule as an error.
    pub fn enforced(self) -> Result<Self, PlanErrors> {
        if self.breaches(Severity::Error).next().is_none() {
            return Ok(self);
        }
        let rules = self.rules.into_iter().filter(|rule| rule.severity == Severity::Error);
        Err(PlanErrors::new(rules.flat_map(|rule| rule.breaches).map(|breach| breach.problem).collect()))
    }
}

/// Asks every rule about a plan. `flags` are the stages that are approved in advance. A policy file that cannot be read or
/// understood is an error with every problem of it.
pub fn evaluate(plan: &Plan, project: &Project, flags: &[String]) -> Result<PolicyReport, PlanErrors> {
    let mut rules = identities::check(plan, &project.governance.trust);
    let Some(file) = &project.governance.policy else { return Ok(PolicyReport { digest: None, rules }) };
    let (digest, policy) = document::load(file)?;
    let facts = data::Facts::of(plan, &project.governance.trust, flags);
    rules.extend(policy.iter().map(|rule| rule.ask(plan, &facts)));
    Ok(PolicyReport { digest: Some(digest), rules })
}

/// Reads a policy file without a plan to hold against it.
pub fn check(file: &Path) -> Result<usize, PlanErrors> {
    document::load(file).map(|(_, rules)| rules.len())
}

#[cfg(test)]
mod tests;
