//! `data/decontaminate`: takes out rows that hold items of evaluation sets, see [`flow_text::decontaminate`].

mod evals;
mod work;

use flow_engine::{ArtifactKind, Fraction, Ports, Resources, SourceRef, Stage, StageContext, StageError};
use flow_text::decontaminate::{Index, Options};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    ingest::Format,
    ledger::Ledger,
    stream::{RowsIn, RowsOut},
};
use evals::EvalSets;
use work::{Found, Work};

/// Take out training rows that hold items of evaluation sets, word for word or with words edited.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DecontaminateConfig {
    /// The evaluation sets; without any, the rows bound to the input `evals` are the items.
    pub evals: Vec<EvalFile>,
    /// Words from which on an item is long.
    pub n: usize,
    /// Words from which on an item is looked for by itself; shorter ones only together with their answer.
    pub short_n: usize,
    /// The least share of a long item's words, in their order and weighted by how rare they are among the items.
    pub min_coverage: Fraction,
    /// The same of an item that is not long.
    pub short_coverage: Fraction,
    /// Words around the shortest items within which their answer must stand.
    pub answer_window: usize,
    /// What becomes of a row that holds an item.
    pub action: Cure,
    /// Fail when more than this share of rows holds an item: then something else is wrong.
    pub max_contaminated_fraction: Fraction,
}

impl Default for DecontaminateConfig {
    fn default() -> Self {
        let Options { n, short_n, min_coverage, short_coverage, answer_window } = Options::default();
        let fraction = |value| Fraction::try_from(value).expect("it lies between 0 and 1");
        Self {
            evals: Vec::new(),
            n,
            short_n,
            min_coverage: fraction(min_coverage),
            short_coverage: fraction(short_coverage),
            answer_window,
            action: Cure::Drop,
            max_contaminated_fraction: fraction(0.2),
        }
    }
}

/// An evaluation set in files.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvalFile {
    /// Its name in the report.
    pub name: String,
    /// A file or pattern, relative to the workflow file.
    pub path: String,
    /// What the files are; `auto` goes by the name's ending, then by the first bytes.
    #[serde(default)]
    pub format: Format,
    /// The field with the question or text.
    #[serde(default = "question")]
    pub question: String,
    /// The field with the answer, which the shortest items are looked for with.
    #[serde(default)]
    pub answer: Option<String>,
}

fn question() -> String {
    "question".to_owned()
}

/// What becomes of a row that holds an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cure {
    /// It goes.
    Drop,
    /// The item's words are taken out of its messages.
    Mask,
    /// It stays, and `meta._flags` names `contaminated`.
    Flag,
    /// It stays, and `meta._review` names `contaminated`.
    Review,
}

/// `data/decontaminate`.
pub struct Decontaminate;

impl Stage for Decontaminate {
    type Config = DecontaminateConfig;
    const KIND: &'static str = "data/decontaminate";
    const REVISION: u32 = 1;

    fn ports(config: &DecontaminateConfig) -> Ports {
        let ports = Ports::new().reads_many("rows", ArtifactKind::Rows);
        let ports = if config.evals.is_empty() { ports.reads_many("evals", ArtifactKind::Rows) } else { ports };
        ports.writes("rows", ArtifactKind::Rows).writes("report", ArtifactKind::Report)
    }

    fn sources(config: &DecontaminateConfig) -> Vec<SourceRef> {
        config.evals.iter().map(|eval| SourceRef::Files(eval.path.clone())).collect()
    }

    fn resources(_: &DecontaminateConfig) -> Resources {
        Resources::all_cpus()
    }

    fn run(config: &DecontaminateConfig, cx: &mut StageContext<'_>) -> Result<(), StageError> {
        let evals = EvalSets::read(config, cx)?;
        let index = Index::new(&evals.items, config.options());
        let rows = RowsIn::open(cx)?;
        let mut out = RowsOut::create(cx, "rows")?;
        let mut work = Work::new(&evals, &index, Ledger::create(cx)?);
        for batch in rows.batches() {
            cx.check_cancelled()?;
            let batch = batch?;
            let found: Vec<Found> = batch.par_iter().map(|record| Found::in_row(record, &index)).collect();
            for (mut record, found) in batch.into_iter().zip(found) {
                if work.book(&mut record, &found, config.action)? {
                    out.push(&record)?;
                }
            }
            cx.progress(work.court.tally.rows_in, Some(rows.count()), "rows");
        }
        let filled = out.finish()?;
        work.settle(config)?;
        work.measure(cx);
        filled.measure(cx);
        work.report(config)?.write(cx.output("report")?)
    }
}

impl DecontaminateConfig {
    fn options(&self) -> Options {
        Options {
            n: self.n,
            short_n: self.short_n,
            min_coverage: self.min_coverage.get(),
            short_coverage: self.short_coverage.get(),
            answer_window: self.answer_window,
        }
    }
}

#[cfg(test)]
mod tests;
