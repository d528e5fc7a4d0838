//! Watches a run for the audit log: what an auditor asks about later, in the words of [`crate::govern`].

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::{
    Observer, RunState,
    approval::{self, Earlier},
    event::{Clause, Entry, Event, GateVerdict},
};
use crate::{
    Artifact, ArtifactKind, Digest,
    govern::{AuditLog, Durability, GovernError, Happening, Objection},
    plan::Plan,
    project::Project,
    store::Cas,
    workflow::Hook,
};

/// Appends to the audit log of a project.
pub(crate) struct Auditor {
    project: Arc<Project>,
    log: AuditLog,
    actor: String,
    cas: Cas,
    plan: Arc<Plan>,
    /// The secrets of stages that have any; looked for when the first stage starts, so that a run of cached stages pays nothing.
    secrets: Option<BTreeMap<String, Vec<String>>>,
}

impl Auditor {
    /// Opens the log. A log that cannot be continued keeps a run from starting.
    pub(crate) fn open(project: &Arc<Project>, plan: &Arc<Plan>, (actor, cas): (&str, Cas)) -> Result<Self, GovernError> {
        let log = AuditLog::of(project);
        log.head()?;
        Ok(Self { project: project.clone(), log, actor: actor.to_owned(), cas, plan: plan.clone(), secrets: None })
    }

    fn given_secrets(&mut self, run: &str, stage: &str) {
        let plan = &self.plan;
        let secrets = self.secrets.get_or_insert_with(|| secrets(plan));
        for secret in secrets.get(stage).cloned().unwrap_or_default() {
            let used = Happening::SecretUsed { run: run.to_owned(), stage: stage.to_owned(), secret };
            self.append(used, Durability::Later);
        }
    }

    /// The secrets of a hook that fired. One that is not set was given to nobody.
    fn told_secrets(&self, run: &str, (moment, hook): (&str, &str)) {
        let fired = self.plan.hooks.at(moment).iter().find(|one| one.to_string() == hook);
        for secret in fired.into_iter().flat_map(Hook::secrets).filter(|secret| std::env::var_os(&secret.secret).is_some()) {
            let (run, stage) = (run.to_owned(), format!("hooks.{moment}"));
            self.append(Happening::SecretUsed { run, stage, secret: secret.secret.clone() }, Durability::Later);
        }
    }

    fn append(&self, happening: Happening, durability: Durability) {
        if let Err(error) = self.log.append(&self.actor, happening, durability) {
            tracing::error!(%error, "Could not write to the audit log.");
        }
    }

    fn decided_before(&self, run_state: &RunState, stage: &str) {
        let run = run_state.run.to_string();
        let question = match approval::question(&self.project, run_state, stage) {
            Ok(question) => question,
            Err(error) => return tracing::error!(%error, "Could not look for earlier decisions."),
        };
        let known = self.log.records().unwrap_or_default();
        let told = |by: &str, action: Digest| {
            known.iter().any(|record| matches!(&record.event, Happening::Voided { by: who, action: of, run: at, .. } if who == by && *of == action && *at == run))
        };
        let voided = |by: String, action, objection| Happening::Voided {
            run: run.clone(),
            stage: stage.to_owned(),
            by,
            action,
            objection,
        };
        for void in question.tally.void.into_iter().filter(|void| !told(&void.by, question.key)) {
            self.append(voided(void.by, question.key, void.objection), Durability::Now);
        }
        for Earlier { by, key, .. } in question.earlier.into_iter().take(1).filter(|one| !told(&one.by, one.key)) {
            self.append(voided(by, key, Objection::OtherContent), Durability::Now);
        }
    }

    fn published(&self, run: String, (stage, kind): (&str, &str), artifact: &Artifact) {
        let reference = std::fs::read(self.cas.path(&artifact.digest)).ok();
        let reference = reference.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        let named = reference.and_then(|value| Some(format!("{}@{}", value.get("name")?.as_str()?, value.get("version")?)));
        self.append(
            Happening::Published {
                run,
                stage: stage.to_owned(),
                kind: kind.to_owned(),
                reference: named,
                digest: artifact.digest,
            },
            Durability::Now,
        );
    }

    fn judged(&self, run: &str, stage: &str, verdicts: &[GateVerdict]) {
        for verdict in verdicts.iter().filter(|verdict| verdict.clause == Clause::Gate && !verdict.passed) {
            let missed = Happening::GateNotMet {
                run: run.to_owned(),
                stage: stage.to_owned(),
                expression: verdict.expression.clone(),
                detail: verdict.detail.clone(),
            };
            self.append(missed, Durability::Now);
        }
    }
}

impl Observer for Auditor {
    fn event(&mut self, entry: &Entry, state: &RunState) {
        let run = state.run.to_string();
        match &entry.event {
            Event::RunStarted { workflow, .. } => {
                // The run's own journal is on disk already and tells the same.
                self.append(Happening::RunStarted { run, workflow: workflow.clone() }, Durability::Later);
            }
            Event::RunResumed { .. } => self.append(Happening::RunResumed { run }, Durability::Later),
            Event::StageParked { stage, .. } => self.decided_before(state, stage),
            Event::StageStarted { stage, .. } => self.given_secrets(&run, stage),
            Event::HookFired { moment, hook, .. } => self.told_secrets(&run, (moment, hook)),
            Event::StageJudged { stage, verdicts } => self.judged(&run, stage, verdicts),
            Event::StageSucceeded { stage, outputs, .. } => {
                let kind = state.stage(stage).map_or("", |stage| stage.kind.as_str());
                for artifact in outputs.values().filter(|artifact| artifact.kind == ArtifactKind::Ref) {
                    self.published(run.clone(), (stage, kind), artifact);
                }
            }
            Event::RunFinished { outcome, .. } => {
                let outcome =
                    serde_json::to_value(outcome).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default();
                self.append(Happening::RunFinished { run, outcome }, Durability::Now);
            }
            Event::SourceReady { .. }
            | Event::StageWaiting { .. }
            | Event::StageDecided { .. }
            | Event::StageCached { .. }
            | Event::StageRetried { .. }
            | Event::StageLost { .. }
            | Event::StageTainted { .. }
            | Event::StageFailed { .. }
            | Event::StageSkipped { .. }
            | Event::StageInterrupted { .. }
            | Event::Unknown => {}
        }
    }
}

/// The secrets of every stage that has any, by the stage's name.
fn secrets(plan: &Plan) -> BTreeMap<String, Vec<String>> {
    let stages = plan.graph.node_weights().map(|stage| {
        let mut found = Vec::new();
        collect(&stage.stage.config(), &mut found);
        (stage.name.clone(), found)
    });
    stages.filter(|(_, found)| !found.is_empty()).collect()
}

/// The names of secrets in a configuration, wherever they stand.
fn collect(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(map) => match (map.len(), map.get("secret").and_then(Value::as_str)) {
            (1, Some(secret)) => into.push(secret.to_owned()),
            _ => map.values().for_each(|value| collect(value, into)),
        },
        Value::Array(items) => items.iter().for_each(|value| collect(value, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
