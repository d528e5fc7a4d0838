//! The policy of a project while a run goes on: a file that changed is asked again before the next stage starts.
//!
//! Whoever starts a run holds the whole plan against the policy first. A run may last for days, and what a team forbids meanwhile
//! must not be done by it any more. A policy that cannot be asked protects nothing, so no stage starts until it can.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use crate::{
    Digest, StageError,
    govern::{
        AuditLog, Durability, Happening,
        policy::{self, PolicyReport, Severity},
    },
    plan::{Plan, PlanErrors},
    project::Project,
    store::Stamp,
};

/// Asks the policy before each stage.
pub(crate) struct PolicyWatch {
    plan: Arc<Plan>,
    project: Arc<Project>,
    actor: String,
    /// Stages that are approved in advance.
    flags: Vec<String>,
    asked: Asked,
    /// What is forbidden, by stage; under no name what is forbidden altogether.
    forbidden: BTreeMap<Option<String>, StageError>,
}

/// The state of the file that was asked last.
struct Asked {
    stamp: Option<Stamp>,
    digest: Option<Digest>,
}

impl Asked {
    fn of(file: &Path) -> Self {
        let digest = std::fs::read(file).ok().map(|bytes| Digest::of(&bytes));
        Self { stamp: Stamp::of(file).ok(), digest }
    }
}

impl PolicyWatch {
    /// Takes the policy as it is now for one that was asked.
    pub(crate) fn open((plan, project): (&Arc<Plan>, &Arc<Project>), actor: &str, flags: &[String]) -> Self {
        let nothing = Asked { stamp: None, digest: None };
        let asked = project.governance.policy.as_deref().map_or(nothing, Asked::of);
        let (plan, project, forbidden) = (plan.clone(), project.clone(), BTreeMap::new());
        Self { plan, project, actor: actor.to_owned(), flags: flags.to_vec(), asked, forbidden }
    }

    /// Whether a stage may start.
    pub(crate) fn allows(&mut self, stage: &str) -> Result<(), StageError> {
        let Some(file) = self.project.governance.policy.clone() else { return Ok(()) };
        if self.asked.stamp.is_none() || Stamp::of(&file).ok() != self.asked.stamp {
            let now = Asked::of(&file);
            if now.digest != self.asked.digest || now.digest.is_none() {
                self.ask();
            }
            self.asked = now;
        }
        let named = self.forbidden.get(&None).or_else(|| self.forbidden.get(&Some(stage.to_owned())));
        named.map_or(Ok(()), |error| Err(error.clone()))
    }

    fn ask(&mut self) {
        self.forbidden.clear();
        match policy::evaluate(&self.plan, &self.project, &self.flags) {
            Ok(report) => {
                self.note(&report);
                for (stage, problem) in report.broken() {
                    let error = StageError::input(problem.message.clone()).help(problem.help.clone());
                    self.forbidden.entry(stage.map(str::to_owned)).or_insert(error);
                }
            }
            Err(errors) => drop(self.forbidden.insert(None, unasked(&errors))),
        }
    }

    fn note(&self, report: &PolicyReport) {
        let Some(policy) = report.digest else { return };
        let (broken, warned) = (report.named(Severity::Error), report.named(Severity::Warn));
        let checked = Happening::PolicyChecked { policy, broken, warned };
        if let Err(error) = AuditLog::of(&self.project).append(&self.actor, checked, Durability::Now) {
            tracing::error!(%error, "Could not write to the audit log.");
        }
    }
}

fn unasked(errors: &PlanErrors) -> StageError {
    let first = errors.problems().first().map(|problem| problem.message.clone()).unwrap_or_default();
    StageError::input(format!("the policy cannot be asked: {first}"))
        .help("correct the file under `[policy]` of flow.toml, and go on with `flow resume`")
}
