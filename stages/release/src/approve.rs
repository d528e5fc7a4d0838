//! `gate/approve`: a person decides about exactly what the stage reads.
//!
//! The engine parks the run until a decision is recorded for this stage's action key, which holds the digest of every
//! reviewed artifact: one changed byte is another key, and the old decision says nothing about it. Who may decide, how many
//! have to, and for how long it stands is checked by the engine each time the decision is used.

use flow_engine::{
    ArtifactKind, Effect, Ports, Stage, StageContext, StageError, StageErrorKind,
    context::{BoundInput, Decision},
    govern::{Envelope, Party, ReviewTerms},
};
use serde::Serialize;

/// The stage kind.
pub struct Approve;

/// What the `approval` output holds.
#[derive(Serialize)]
struct Approval<'a> {
    format: u32,
    question: Option<&'a str>,
    asked: &'a [Party],
    decision: Decision,
    reviewed: Vec<Reviewed>,
    /// DSSE envelopes: whoever trusts the keys can verify the decision without this project.
    signed: &'a [Envelope],
}

#[derive(Serialize)]
struct Reviewed {
    from: String,
    digest: String,
}

impl Stage for Approve {
    type Config = ReviewTerms;
    const KIND: &'static str = "gate/approve";
    const REVISION: u32 = 1;
    const EFFECT: Effect = Effect::Decides;

    fn ports(_: &ReviewTerms) -> Ports {
        Ports::new().reads_many("review", ArtifactKind::Any).writes("approval", ArtifactKind::Approval)
    }

    fn asks(config: &ReviewTerms) -> Option<ReviewTerms> {
        Some(config.clone())
    }

    fn run(config: &ReviewTerms, cx: &mut StageContext<'_>) -> Result<(), StageError> {
        let decision = cx.decision().ok_or_else(|| StageError::new(StageErrorKind::Parked, "no decision is recorded"))?;
        if !decision.approved {
            return Err(rejection(decision));
        }
        let approval = Approval {
            format: 2,
            question: config.question.as_deref(),
            asked: &config.who,
            decision: Decision { signed: Vec::new(), ..decision.clone() },
            reviewed: cx.inputs("review").iter().map(reviewed).collect(),
            signed: &decision.signed,
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
