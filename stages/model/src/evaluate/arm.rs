//! One arm of an evaluation: a model, and what it sees of every item. All arms answer greedily.

use std::{collections::BTreeMap, ops::ControlFlow};

use flow_engine::{StageContext, StageError};
use flow_text::{
    generate::{Finish, Generate, Sampling},
    record::Message,
};

use super::{Comparison, Item, Metric, SuiteConfig, generate_error};

/// A model, and one prompt for each item.
pub(super) struct Arm {
    kind: Kind,
    /// What the model sees, item by item.
    pub(super) prompts: Vec<Vec<Message>>,
}

/// The arms there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// The base as it is.
    Base,
    /// The base with solved examples before the question.
    BaseShots,
    /// The base with the adapter.
    Tuned,
}

impl Kind {
    /// Its name in gates and items.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::BaseShots => "base_shots",
            Self::Tuned => "tuned",
        }
    }
}

impl Arm {
    pub(super) fn base(prompts: Vec<Vec<Message>>) -> Self {
        Self { kind: Kind::Base, prompts }
    }

    pub(super) fn base_shots(prompts: Vec<Vec<Message>>) -> Self {
        Self { kind: Kind::BaseShots, prompts }
    }

    pub(super) fn tuned(prompts: Vec<Vec<Message>>) -> Self {
        Self { kind: Kind::Tuned, prompts }
    }

    pub(super) fn name(&self) -> &'static str {
        self.kind.name()
    }

    pub(super) fn is_tuned(&self) -> bool {
        self.kind == Kind::Tuned
    }
}

/// What an arm said to one item, and how good it is.
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) ids: Vec<u32>,
    pub(super) finish: Finish,
    pub(super) scores: BTreeMap<Metric, f64>,
}

/// What an arm said to every item.
pub(super) struct Answers {
    pub(super) kind: Kind,
    pub(super) answers: Vec<Answer>,
}

impl Answers {
    /// Scores every answer by every metric that reads text.
    pub(super) fn score(&mut self, metrics: &[Metric], by: &Comparison<'_>, items: &[Item]) -> Result<(), StageError> {
        for (answer, item) in self.answers.iter_mut().zip(items) {
            for metric in metrics {
                match by.score(*metric, &answer.text, &item.reference) {
                    Some(score) => drop(answer.scores.insert(*metric, score)),
                    None if metric.reads_fields() => return Err(no_fields(item, by)),
                    None => {}
                }
            }
        }
        Ok(())
    }

    /// The scores of one metric, item by item.
    pub(super) fn scores(&self, metric: Metric) -> Vec<f64> {
        self.answers.iter().filter_map(|answer| answer.scores.get(&metric).copied()).collect()
    }
}

fn no_fields(item: &Item, by: &Comparison<'_>) -> StageError {
    let what =
        if by.fields.is_empty() { "no fields".to_owned() } else { format!("not all of the fields {}", by.fields.join(", ")) };
    StageError::input(format!("the reference of row {} has {what}", item.row_id))
        .help("leave field metrics out, or correct `fields`; an answer is a JSON object or lines of `name: value`")
}

/// Asks arms and says how far it is.
pub(super) struct Asker<'a> {
    cx: &'a StageContext<'a>,
    sampling: Sampling,
    batch: usize,
    total: u64,
    done: std::cell::Cell<u64>,
}

impl<'a> Asker<'a> {
    pub(super) fn new(config: &SuiteConfig, cx: &'a StageContext<'a>, total: usize) -> Self {
        let max_tokens = config.max_new_tokens.get() as usize;
        Self {
            cx,
            sampling: Sampling { max_tokens, temperature: 0.0, top_p: 1.0, seed: 0 },
            batch: config.batch.get() as usize,
            total: total as u64,
            done: std::cell::Cell::new(0),
        }
    }

    /// Lets the model answer every item of an arm.
    pub(super) fn ask(&self, model: &mut dyn Generate, arm: &Arm, items: &[Item]) -> Result<Answers, StageError> {
        let prompts = self.encode(model, arm, items)?;
        let mut answers = Vec::with_capacity(prompts.len());
        for batch in prompts.chunks(self.batch) {
            self.cx.check_cancelled()?;
            let completions = model.generate(batch, &self.sampling, &mut |_, _| ControlFlow::Continue(()));
            for completion in completions.map_err(generate_error)? {
                let text = model.decode(&completion.ids).map_err(generate_error)?;
                answers.push(Answer { text, ids: completion.ids, finish: completion.finish, scores: BTreeMap::new() });
            }
            self.done.set(self.done.get() + batch.len() as u64);
            self.cx.progress_note(self.done.get(), Some(self.total), "answers", arm.name().to_owned());
        }
        Ok(Answers { kind: arm.kind, answers })
    }

    fn encode(&self, model: &dyn Generate, arm: &Arm, items: &[Item]) -> Result<Vec<Vec<u32>>, StageError> {
        let context = model.card().context;
        let encode = |(messages, item): (&Vec<Message>, &Item)| {
            let ids = model.encode_chat(messages).map_err(generate_error)?;
            let needed = ids.len() + self.sampling.max_tokens;
            if needed > context {
                let message = format!("row {} needs {needed} tokens with its answer, but the model reads {context}", item.row_id);
                return Err(StageError::input(message).help("lower `max_new_tokens` or `shots`, or leave long rows out"));
            }
            Ok(ids)
        };
        arm.prompts.iter().zip(items).map(encode).collect()
    }
}
