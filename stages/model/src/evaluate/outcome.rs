//! What an evaluation found: every arm's answers, their means, and the differences that gates read.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use flow_engine::{StageContext, StageError};
use flow_text::{
    generate::Finish,
    score::{Bootstrap, PairedDifference, paired_difference},
};
use serde_json::{Value, json};

use super::{
    Answers, Item, Metric, Questions, SuiteConfig,
    arm::{Answer, Kind},
};

/// The tuned model against one arm of the base by one metric.
pub(super) struct Difference {
    pub(super) against: Kind,
    pub(super) metric: Metric,
    pub(super) found: PairedDifference,
}

impl Difference {
    /// Its name in gates: `delta_exact_match`, or `delta_shots_exact_match` against the base with examples.
    pub(super) fn name(&self) -> String {
        let arm = match self.against {
            Kind::Base | Kind::Tuned => "delta",
            Kind::BaseShots => "delta_shots",
        };
        format!("{arm}_{}", self.metric.name())
    }
}

/// Everything an evaluation found.
pub(super) struct Outcome {
    pub(super) items: Vec<Item>,
    pub(super) example_ids: Vec<String>,
    pub(super) unusable: usize,
    pub(super) arms: Vec<Answers>,
    pub(super) differences: Vec<Difference>,
    pub(super) metrics: Vec<Metric>,
}

impl Outcome {
    pub(super) fn new(config: &SuiteConfig, questions: &Questions, arms: Vec<Answers>) -> Self {
        let mut metrics = config.metrics.clone();
        metrics.sort_unstable();
        metrics.dedup();
        let differences = differences(&arms, &metrics, config.bootstrap.get());
        let example_ids = questions.examples.iter().map(|example| example.row_id.clone()).collect();
        Self { items: questions.items.clone(), example_ids, unusable: questions.unusable, arms, differences, metrics }
    }

    /// The mean of a metric over the items of an arm.
    pub(super) fn mean(arm: &Answers, metric: Metric) -> Option<f64> {
        let scores = arm.scores(metric);
        let count = u32::try_from(scores.len()).ok().filter(|count| *count > 0)?;
        Some(scores.iter().sum::<f64>() / f64::from(count))
    }

    /// Records the numbers that gates read.
    pub(super) fn measure(&self, cx: &StageContext<'_>) {
        cx.measure("items", f64::from(u32::try_from(self.items.len()).unwrap_or(u32::MAX)));
        for arm in &self.arms {
            for metric in &self.metrics {
                if let Some(mean) = Self::mean(arm, *metric) {
                    cx.measure(&format!("{}_{}", arm.kind.name(), metric.name()), mean);
                }
            }
        }
        for difference in &self.differences {
            let name = difference.name();
            cx.measure(&name, difference.found.difference);
            cx.measure(&format!("{name}_low95"), difference.found.low);
            cx.measure(&format!("{name}_high95"), difference.found.high);
        }
    }

    /// Writes one JSON object a line for each item, with what every arm said.
    pub(super) fn write_items(&self, path: &Path) -> Result<(), StageError> {
        let mut file = BufWriter::new(File::create(path)?);
        for (index, item) in self.items.iter().enumerate() {
            let said = self.arms.iter().filter_map(|arm| Some((arm.kind.name(), to_json(arm.answers.get(index)?))));
            let said: BTreeMap<&str, Value> = said.collect();
            let line = json!({ "row_id": item.row_id, "prompt": item.prompt, "reference": item.reference, "arms": said });
            writeln!(file, "{line}")?;
        }
        file.flush()?;
        Ok(())
    }
}

fn differences(arms: &[Answers], metrics: &[Metric], bootstrap: Bootstrap) -> Vec<Difference> {
    let Some(tuned) = arms.iter().find(|arm| arm.kind == Kind::Tuned) else { return Vec::new() };
    let pairs =
        arms.iter().filter(|arm| arm.kind != Kind::Tuned).flat_map(|arm| metrics.iter().map(move |metric| (arm, *metric)));
    pairs
        .filter_map(|(arm, metric)| {
            let found = paired_difference(&arm.scores(metric), &tuned.scores(metric), bootstrap)?;
            Some(Difference { against: arm.kind, metric, found })
        })
        .collect()
}

fn to_json(answer: &Answer) -> Value {
    let finish = match answer.finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::Cancelled => "cancelled",
    };
    let scores: BTreeMap<&str, f64> = answer.scores.iter().map(|(metric, score)| (metric.name(), *score)).collect();
    json!({ "text": answer.text, "ids": answer.ids, "finish": finish, "scores": scores })
}
