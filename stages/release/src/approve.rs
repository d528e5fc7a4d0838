//! `gate/approve`: a person decides about exactly what the stage reads.
//!
//! The engine parks the run until a decision is recorded for this stage's action key, which holds the digest of every
//! reviewed artifact: one changed byte is another key, and the old decision says nothing about it.

use flow_engine::{
    ArtifactKind, Effect, Ports, Stage, StageContext, StageError, StageErrorKind,
    context::{BoundInput, Decision},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Ask a person to approve what the bound artifacts hold.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApproveConfig {
    /// Who may decide, for the reader of the record; names and groups as your organisation writes them.
    #[serde(default)]
    who: Vec<String>,
    /// What the reviewer is asked to look at.
    #[serde(default)]
    question: Option<String>,
}

/// The stage kind.
pub struct Approve;

/// What the `approval` output holds.
#[derive(Serialize)]
struct Approval<'a> {
    format: u32,
    question: Option<&'a str>,
    asked: &'a [String],
    decision: &'a Decision,
    reviewed: Vec<Reviewed>,
}

#[derive(Serialize)]
struct Reviewed {
    from: String,
    digest: String,
}

impl Stage for Approve {
    type Config = ApproveConfig;
    const KIND: &'static str = "gate/approve";
    const REVISION: u32 = 1;
    const EFFECT: Effect = Effect::Decides;

    fn ports(_: &ApproveConfig) -> Ports {
        Ports::new().reads_many("review", ArtifactKind::Any).writes("approval", ArtifactKind::Approval)
    }

    fn run(config: &ApproveConfig, cx: &mut StageContext<'_>) -> Result<(), StageError> {
        let decision = cx.decision().ok_or_else(|| StageError::new(StageErrorKind::Parked, "no decision is recorded"))?;
        if !decision.approved {
            return Err(rejection(decision));
        }
        let approval = Approval {
            format: 1,
            question: config.question.as_deref(),
            asked: &config.who,
            decision,
            reviewed: cx.inputs("review").iter().map(reviewed).collect(),
        };
        let json = serde_json::to_vec_pretty(&approval)
            .map_err(|error| StageError::internal("cannot serialize the approval").because(&error))?;
        std::fs::write(cx.output("approval")?, json)?;
        Ok(())
    }
}

fn reviewed(input: &BoundInput) -> Reviewed {
    Reviewed { from: input.from.clone(), digest: input.digest.to_string() }
}

fn rejection(decision: &Decision) -> StageError {
    let reason = decision.comment.as_deref().map_or_else(String::new, |comment| format!(": {comment}"));
    StageError::input(format!("{} rejected the data{reason}", decision.by))
        .help("change the data or the policy and run again; the new content asks for a new decision")
}
