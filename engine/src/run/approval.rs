//! Decisions of people in a run: what a stage asks, who may answer, and whether an answer stands.
//!
//! Decisions are filed by action key, so they are bound to the digests that were reviewed. Each use counts them anew, see
//! [`crate::govern::Verifier`].

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::{History, RunError, RunId, RunState, Start, event::Reviewed, executor::Shared, spec::SpecInput};
use crate::{
    ArtifactKind, Digest,
    context::Decision,
    govern::{
        Asked, AuditLog, Choice, Durability, Envelope, Filed, GovernError, Happening, Objection, PublicKey, ReviewTerms,
        SecretKey, Signatory, Starter, Subject, Tally, Verifier, Vote, approvals, identity,
    },
    plan::{Plan, PlannedStage},
    project::Project,
    store::{ActionResult, Cas},
};

const FORMAT: u32 = 2;

/// What was decided about what, as `flow approve` shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ApprovalRecord {
    /// Version of this record.
    pub format: u32,
    /// The action key of the deciding stage. Any changed byte of what was reviewed changes it.
    pub key: Digest,
    /// The stage.
    pub stage: String,
    /// The workflow.
    pub workflow: String,
    /// The run that asked.
    pub run: RunId,
    /// What was reviewed.
    pub reviewed: Vec<Reviewed>,
    /// What was decided, with the signed record.
    pub decision: Decision,
    /// Whose key signed it.
    pub signed_by: PublicKey,
    /// How the question stands now.
    pub question: Question,
}

/// What a stage asks, and how far the answer is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Question {
    /// The stage.
    pub stage: String,
    /// Its action key.
    pub key: Digest,
    /// What is under review.
    pub reviewed: Vec<Reviewed>,
    /// Of whom it is asked, how many of them, and for how long.
    pub terms: ReviewTerms,
    /// The decisions so far.
    pub tally: Tally,
    /// The trusted people who may decide and did not yet.
    pub eligible: Vec<String>,
    /// Approvals of the same stage that other content made void, latest first.
    pub earlier: Vec<Earlier>,
}

/// An approval of other content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Earlier {
    /// Who approved.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// The action key then.
    pub key: Digest,
    /// `stage.port` of what is different now; empty when only the stage's own configuration is.
    pub changed: Vec<String>,
}

/// A stage that waits for a person.
#[derive(Clone)]
pub(crate) struct Parked {
    pub(crate) key: Digest,
    pub(crate) reviewed: Vec<Reviewed>,
    pub(crate) terms: ReviewTerms,
}

impl Parked {
    /// What is asked, ready to be answered.
    pub(crate) fn asking<'a>(&'a self, shared: &'a Shared, stage: &'a str) -> Asking<'a> {
        Asking {
            project: &shared.project,
            run: shared.run,
            workflow: &shared.plan.workflow,
            stage,
            key: self.key,
            reviewed: &self.reviewed,
            terms: &self.terms,
            starter: shared.starter.as_ref(),
        }
    }
}

/// A question and where it comes from.
pub(crate) struct Asking<'a> {
    pub(crate) project: &'a Project,
    pub(crate) run: RunId,
    pub(crate) workflow: &'a str,
    pub(crate) stage: &'a str,
    pub(crate) key: Digest,
    pub(crate) reviewed: &'a [Reviewed],
    pub(crate) terms: &'a ReviewTerms,
    pub(crate) starter: Option<&'a Starter>,
}

impl From<&Reviewed> for Subject {
    fn from(reviewed: &Reviewed) -> Self {
        Self { port: reviewed.port.clone(), from: reviewed.from.clone(), kind: reviewed.kind, digest: reviewed.digest }
    }
}

/// What a stage is given to review.
pub(crate) fn reviewed(stage: &PlannedStage, inputs: &BTreeMap<String, Vec<SpecInput>>) -> Vec<Reviewed> {
    let bound = stage.inputs.iter().flat_map(|binding| {
        inputs.get(&binding.port).into_iter().flatten().map(|input| Reviewed {
            port: binding.port.clone(),
            from: input.from.clone(),
            kind: input.artifact.kind,
            digest: input.artifact.digest,
        })
    });
    bound.collect()
}

/// What a stage of a run asks. A stage that never asked anything is an error.
pub fn question(project: &Project, told: &RunState, stage: &str) -> Result<Question, RunError> {
    let found = asked(told, stage)?;
    let (key, terms) = (found.0, found.1.asking.as_deref().cloned().unwrap_or_default());
    Ok(asking(project, told, (key, found.1), &terms).question()?)
}

fn asked<'s>(told: &'s RunState, stage: &str) -> Result<(Digest, &'s super::StageState), RunError> {
    let found = told.stage(stage).ok_or_else(|| RunError::UnknownStage {
        run: told.run,
        stage: stage.to_owned(),
        known: told.stages.iter().map(|stage| stage.name.as_str()).collect::<Vec<_>>().join(", "),
    })?;
    match found.key.filter(|_| !found.reviewed.is_empty()) {
        Some(key) => Ok((key, found)),
        None => Err(RunError::NotParked { run: told.run, stage: stage.to_owned() }),
    }
}

fn asking<'a>(
    project: &'a Project,
    told: &'a RunState,
    (key, stage): (Digest, &'a super::StageState),
    terms: &'a ReviewTerms,
) -> Asking<'a> {
    Asking {
        project,
        run: told.run,
        workflow: &told.workflow,
        stage: &stage.name,
        key,
        reviewed: &stage.reviewed,
        terms,
        starter: told.request.started_by.as_ref(),
    }
}

/// Decides about a stage that a run parked. `flow resume` then goes on. A rejection stands until the content changes.
pub fn approve(
    project: &Project,
    (run, stage): (RunId, &str),
    decision: Decision,
    signatory: &Signatory,
) -> Result<ApprovalRecord, RunError> {
    let told = History::of(project).load(run)?;
    let found = asked(&told, stage)?;
    let terms = found.1.asking.as_deref().cloned().unwrap_or_default();
    Ok(asking(project, &told, found, &terms).decide(decision, signatory)?)
}

/// Whether a recorded result of a deciding stage may be used in this project now: the decisions in it, or those filed here,
/// must stand.
pub(crate) fn honours(asking: &Asking<'_>, result: &ActionResult, cas: &Cas) -> Result<bool, GovernError> {
    Ok(asking.tally(recorded(result, cas))?.is_approved())
}

/// The decisions that a recorded result holds.
fn recorded(result: &ActionResult, cas: &Cas) -> Vec<Filed> {
    let signed = result.outputs.values().filter(|artifact| artifact.kind == ArtifactKind::Approval);
    let inside = signed.flat_map(|artifact| envelopes(&cas.path(&artifact.digest)));
    inside.map(|envelope| Filed::Signed(Box::new(envelope))).collect()
}

/// The signed records that an `approval` holds. Those of earlier versions hold none.
fn envelopes(path: &std::path::Path) -> Vec<Envelope> {
    let read = || serde_json::from_slice::<serde_json::Value>(&std::fs::read(path).ok()?).ok();
    let signed = read().and_then(|mut approval| approval.get_mut("signed").map(serde_json::Value::take));
    signed.and_then(|signed| serde_json::from_value(signed).ok()).unwrap_or_default()
}

impl Asking<'_> {
    fn asked(&self) -> Asked {
        Asked { key: self.key, reviewed: self.reviewed.iter().map(Subject::from).collect(), terms: self.terms.clone() }
    }

    fn with_verifier<R>(&self, work: impl FnOnce(&Verifier<'_>) -> R) -> Result<R, GovernError> {
        let identity = identity::of(&self.project.state)?;
        let history = History::of(self.project);
        let four_eyes = self.terms.four_eyes;
        let starter = |run: &str| {
            let run = run.parse().ok().filter(|_| four_eyes)?;
            Some(history.load(run).ok()?.request.started_by)
        };
        Ok(work(&Verifier {
            trust: &self.project.governance.trust,
            project: &identity,
            now: Timestamp::now(),
            starter: &starter,
        }))
    }

    /// Counts the decisions that are filed in this project, and more.
    pub(crate) fn tally(&self, more: Vec<Filed>) -> Result<Tally, GovernError> {
        let mut filed = approvals::find(&self.project.state, &self.key)?;
        filed.extend(more);
        let asked = self.asked();
        self.with_verifier(|verifier| verifier.tally(&asked, &filed))
    }

    /// Whether there is a decision, here or in a recorded result.
    pub(crate) fn decided(&self, result: Option<&ActionResult>, cas: &Cas) -> Result<bool, GovernError> {
        let more = result.map(|result| recorded(result, cas)).unwrap_or_default();
        Ok(self.tally(more)?.decision().is_some())
    }

    /// The question with everything that its reader wants to know.
    pub(crate) fn question(&self) -> Result<Question, GovernError> {
        let tally = self.tally(Vec::new())?;
        let trust = &self.project.governance.trust;
        let decided = |name: &str| tally.approvals.iter().any(|vote| vote.by == name);
        let starter = self.starter.filter(|_| self.terms.four_eyes);
        let involved = |name: &str| starter.zip(trust.person(name)).is_some_and(|(by, person)| by.part(name, person).is_some());
        let names = self.terms.eligible(trust).into_iter().filter(|name| !decided(name) && !involved(name));
        Ok(Question {
            stage: self.stage.to_owned(),
            key: self.key,
            reviewed: self.reviewed.to_vec(),
            terms: self.terms.clone(),
            eligible: names.map(str::to_owned).collect(),
            earlier: self.earlier()?,
            tally,
        })
    }

    /// Approvals of this stage about other content.
    fn earlier(&self) -> Result<Vec<Earlier>, GovernError> {
        let mut earlier = Vec::new();
        for (key, envelope) in approvals::all(&self.project.state)? {
            let Ok((vote, _)) = Vote::open(&envelope) else { continue };
            let same = vote.stage == self.stage && vote.workflow == self.workflow;
            if same && key != self.key && vote.decision == Choice::Approved {
                let reviewed = |one: &&Reviewed| !vote.reviewed.iter().any(|then| then.digest == one.digest);
                let changed = self.reviewed.iter().filter(reviewed).map(|one| one.from.clone()).collect();
                earlier.push(Earlier { by: vote.who, at: vote.at, key, changed });
            }
        }
        earlier.sort_by_key(|one| std::cmp::Reverse(one.at));
        Ok(earlier)
    }

    /// What keeps the holder of a key from deciding.
    pub(crate) fn objection(&self, key: &PublicKey, choice: Choice) -> Result<Option<Objection>, GovernError> {
        self.with_verifier(|verifier| verifier.may(self.terms, (key, choice), self.starter).err())
    }

    /// Signs, records, and files a decision; or says who could take it.
    pub(crate) fn decide(&self, decision: Decision, signatory: &Signatory) -> Result<ApprovalRecord, GovernError> {
        let choice = if decision.approved { Choice::Approved } else { Choice::Rejected };
        let key = signatory.key(&self.project.governance.trust)?;
        let by = self.name_of(&key, &decision);
        if let Some(refusal) = self.refusal(&key, choice)? {
            let refused = Happening::Refused {
                run: self.run.to_string(),
                stage: self.stage.to_owned(),
                by: by.clone(),
                reason: refusal.0.clone(),
            };
            AuditLog::of(self.project).append(&by, refused, Durability::Now)?;
            return Err(GovernError::Refused { by, stage: self.stage.to_owned(), reason: refusal.0, help: refusal.1 });
        }
        let envelope = self.sign((&by, choice), &decision, &key)?;
        self.file(&by, &decision, (&envelope, &key))?;
        let decision = Decision { by, signed: vec![envelope], ..decision };
        Ok(ApprovalRecord {
            format: FORMAT,
            key: self.key,
            stage: self.stage.to_owned(),
            workflow: self.workflow.to_owned(),
            run: self.run,
            reviewed: self.reviewed.to_vec(),
            decision,
            signed_by: key.public(),
            question: self.question()?,
        })
    }

    /// The name that `[trust]` gives the key, else the one the decider goes by.
    fn name_of(&self, key: &SecretKey, decision: &Decision) -> String {
        let owner = self.project.governance.trust.owner(&key.public());
        owner.map_or_else(|| decision.by.clone(), |(name, _)| name.to_owned())
    }

    /// Why the holder of a key may not decide so, and what to do instead.
    fn refusal(&self, key: &SecretKey, choice: Choice) -> Result<Option<(String, String)>, GovernError> {
        let question = self.question()?;
        if let (Some(rejection), Choice::Approved) = (&question.tally.rejection, choice) {
            let reason = format!("{} rejected this content at {}", rejection.by, rejection.at);
            return Ok(Some((reason, "a rejection stands until the content changes: mend it and run again".to_owned())));
        }
        Ok(self.objection(&key.public(), choice)?.map(|objection| (objection.to_string(), who_could(&objection, &question))))
    }

    fn sign(&self, (by, decision): (&str, Choice), told: &Decision, key: &SecretKey) -> Result<Envelope, GovernError> {
        let at = told.at.parse().map_err(|_| GovernError::Time { text: told.at.clone() })?;
        let lifetime = self.terms.lifetime().filter(|_| decision == Choice::Approved);
        let owner = self.project.governance.trust.owner(&key.public());
        let vote = Vote {
            format: Vote::FORMAT,
            decision,
            who: by.to_owned(),
            roles: owner.map(|(_, person)| person.roles.clone()).unwrap_or_default(),
            at,
            expires: lifetime.and_then(|lifetime| at.checked_add(lifetime).ok()),
            comment: told.comment.clone(),
            via: told.via.clone(),
            action: self.key,
            stage: self.stage.to_owned(),
            workflow: self.workflow.to_owned(),
            run: self.run.to_string(),
            project: identity::of(&self.project.state)?,
            asked: self.terms.who.clone(),
            question: self.terms.question.clone(),
            started_by: self.starter.cloned(),
            audit_head: AuditLog::of(self.project).head()?,
            reviewed: self.reviewed.iter().map(Subject::from).collect(),
        };
        vote.seal(key).map_err(|error| GovernError::Compose { reason: error.to_string() })
    }

    /// The record comes first: no decision has an effect that the log does not know of.
    fn file(&self, by: &str, decision: &Decision, (envelope, key): (&Envelope, &SecretKey)) -> Result<(), GovernError> {
        let decided = Happening::Decided {
            run: self.run.to_string(),
            stage: self.stage.to_owned(),
            by: by.to_owned(),
            approved: decision.approved,
            via: decision.via.clone(),
            envelope: Box::new(envelope.clone()),
        };
        AuditLog::of(self.project).append(by, decided, Durability::Now)?;
        approvals::file(&self.project.state, &self.key, envelope, &key.public())
    }
}

/// What to do about an objection.
fn who_could(objection: &Objection, question: &Question) -> String {
    match objection {
        Objection::NoIdentities => {
            "name the reviewers in flow.toml under [trust]; each makes a key with `flow keys new NAME`".to_owned()
        }
        Objection::UnknownStarter => "start a new run: it records who starts it".to_owned(),
        Objection::UnknownKey { key } => format!("have your public key added to flow.toml under [trust]: {key}"),
        Objection::WrongRole { .. } | Objection::FourEyes { .. } => match question.eligible.as_slice() {
            [] => format!("nobody in flow.toml could: it asks {}", question.terms.asked()),
            names => format!("could be decided by {}", names.join(", ")),
        },
        Objection::Unproven { .. }
        | Objection::Unsigned
        | Objection::OtherContent
        | Objection::OtherProject
        | Objection::Expired { .. }
        | Objection::Future { .. } => "decide again".to_owned(),
    }
}

/// What a person at the terminal is asked, and what keeps them from approving it; nothing when they approved before.
pub(crate) fn for_person(asking: &Asking<'_>, signatory: &Signatory) -> Result<Option<(Question, Option<String>)>, GovernError> {
    let question = asking.question()?;
    let key = match signatory.key(&asking.project.governance.trust) {
        Ok(key) => key.public(),
        // Without a key of theirs the person still sees what is asked.
        Err(error) => return Ok(Some((question, Some(error.to_string())))),
    };
    if question.tally.approvals.iter().any(|vote| vote.key == Some(key)) {
        return Ok(None);
    }
    let objection = asking.objection(&key, Choice::Approved)?;
    Ok(Some((question, objection.map(|objection| objection.to_string()))))
}

/// Refuses advance approvals by somebody who may not give them, before anything runs.
pub(crate) fn check_flags(
    plan: &Plan,
    project: &Project,
    (approve, signatory): (&[String], &Signatory),
    start: &Start,
) -> Result<(), GovernError> {
    let starter = match start {
        Start::New(request) => request.started_by.clone(),
        Start::Resume(run) => History::of(project).load(*run).ok().and_then(|state| state.request.started_by),
    };
    for stage in approve {
        let Some(terms) = plan.find(stage).and_then(|node| plan.graph[node].stage.asks()) else { continue };
        let trust = &project.governance.trust;
        let key = signatory.key(trust)?.public();
        let verifier = Verifier { trust, project: "", now: Timestamp::now(), starter: &|_| None };
        if let Err(objection) = verifier.may(&terms, (&key, Choice::Approved), starter.as_ref()) {
            let by = trust.owner(&key).map_or_else(|| "this key's owner".to_owned(), |(name, _)| name.to_owned());
            let could = terms.eligible(trust).join(", ");
            let help = if could.is_empty() { terms.asked() } else { could };
            let help = format!("leave out `--approve {stage}`; it asks {help}");
            return Err(GovernError::Refused { by, stage: stage.clone(), reason: objection.to_string(), help });
        }
    }
    Ok(())
}
