//! `text/tokenize`: conversations become token ids and labels, by the model's own chat template.
//!
//! What a conversation becomes is decided in `flow-text`, for training, evaluation, and serving alike; this stage reads rows,
//! counts what was left out and why, and writes tokens. It leans on every core and keeps the order of the rows.

mod tally;

use std::{num::NonZeroU32, path::Path};

use flow_engine::{
    ArtifactKind::{Report as ReportFolder, Rows, Tokens},
    Ports, Resources, SourceRef, Stage, StageContext, StageError,
    report::{Plot, Report, Table},
};
use flow_rows::{RowsReader, TokenRow, TokensMeta, TokensWriter};
use flow_text::{
    encode::{EncodeError, Fitted, Limit, Overflow, encode_conversation},
    record::Record,
    tokenizer::ChatTokenizer,
};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::tally::Tally;
use crate::{Opened, base};

/// Longest conversation when none is given and the model can read more.
const DEFAULT_LENGTH: usize = 2048;
/// The rows to learn from.
const TRAIN: &str = "train";
/// The ports, each an input and an output.
const SPLITS: [&str; 3] = [TRAIN, "validation", "test"];

/// Turn conversations into token ids with the model's own chat template; only the assistant's words teach.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenizeConfig {
    /// The model whose tokenizer and chat template are used: `pip:`, `hf:`, `file:`, or `registry:`, then where it is.
    pub model: String,
    /// Longest conversation in tokens; 2048, or what the model can read if that is less, when left out.
    #[serde(default)]
    pub max_length: Option<NonZeroU32>,
    /// What happens to longer ones.
    #[serde(default)]
    pub overflow: Overflow,
    /// Whose words teach.
    #[serde(default)]
    pub loss_on: LossOn,
}

/// Whose words teach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LossOn {
    /// The assistant's, in every turn, with the token that ends the turn.
    #[default]
    Assistant,
}

/// Turns conversations into tokens.
pub struct Tokenize;

impl Stage for Tokenize {
    type Config = TokenizeConfig;
    const KIND: &'static str = "text/tokenize";
    const REVISION: u32 = 3;

    fn ports(_: &TokenizeConfig) -> Ports {
        let ports = SPLITS.iter().fold(Ports::new(), |ports, split| ports.reads_optional(split, Rows));
        SPLITS.iter().fold(ports, |ports, split| ports.writes(split, Tokens)).writes("report", ReportFolder)
    }

    fn sources(config: &TokenizeConfig) -> Vec<SourceRef> {
        vec![SourceRef::Pinned(config.model.clone())]
    }

    fn resources(_: &TokenizeConfig) -> Resources {
        Resources::all_cpus()
    }

    fn run(config: &TokenizeConfig, cx: &mut StageContext<'_>) -> Result<(), StageError> {
        if SPLITS.iter().all(|split| cx.input_optional(split).is_none()) {
            return Err(StageError::input("no input is bound").help("bind at least one of train, validation, and test"));
        }
        let opened = crate::open(&base::locate(cx, &config.model)?)?;
        let limit = limit(config, opened.checkpoint.config().context)?;
        let encoder = Encoder::new(&opened, limit);
        let mut tallies = Vec::new();
        for split in SPLITS {
            let output = cx.output(split)?;
            match cx.input_optional(split) {
                Some(input) => tallies.push((split, encoder.run(input, output, cx)?)),
                None => encoder.run_empty(output)?,
            }
        }
        measure(cx, limit, &tallies);
        report(config, limit, &tallies).write(cx.output("report")?)
    }
}

fn limit(config: &TokenizeConfig, context: usize) -> Result<Limit, StageError> {
    let max_length = match config.max_length {
        None => DEFAULT_LENGTH.min(context),
        Some(length) if length.get() as usize <= context => length.get() as usize,
        Some(length) => {
            let message = format!("max_length {length} is more than the {context} tokens that {} can read", config.model);
            return Err(StageError::input(message).help(format!("set `max_length: {context}` or less")));
        }
    };
    Ok(Limit { max_length, overflow: config.overflow })
}

/// Encodes rows under one limit.
struct Encoder<'a> {
    tokenizer: &'a ChatTokenizer,
    limit: Limit,
}

impl<'a> Encoder<'a> {
    fn new(opened: &'a Opened, limit: Limit) -> Self {
        Self { tokenizer: &opened.tokenizer, limit }
    }

    fn meta(&self, system: Option<String>) -> TokensMeta {
        TokensMeta {
            tokenizer: self.tokenizer.digest(),
            template: self.tokenizer.template().digest(),
            max_length: self.limit.max_length as u64,
            system,
        }
    }

    fn run_empty(&self, output: &Path) -> Result<(), StageError> {
        TokensWriter::create(output, &self.meta(None))?.finish()?;
        Ok(())
    }

    fn run(&self, input: &Path, output: &Path, cx: &StageContext<'_>) -> Result<Tally, StageError> {
        let rows = RowsReader::open(input)?;
        let mut writer = TokensWriter::create(output, &self.meta(shared_system(&rows)?))?;
        let mut tally = Tally::default();
        for batch in rows.batches() {
            let batch = batch?;
            let encoded: Vec<_> = batch.par_iter().map(|record| self.encode(record)).collect();
            for (record, (fitted, forged)) in batch.iter().zip(encoded) {
                if let Some(example) = tally.add(&record.row_id, forged, fitted)? {
                    writer.push(TokenRow { row_id: &record.row_id, input_ids: &example.input_ids, labels: &example.labels })?;
                }
            }
            cx.check_cancelled()?;
            cx.progress(tally.rows, Some(rows.count()), "rows");
        }
        writer.finish()?;
        tally.require_something()?;
        Ok(tally)
    }

    fn encode(&self, record: &Record) -> (Result<Fitted, EncodeError>, u64) {
        let forged = self.tokenizer.count_forged(&record.messages) as u64;
        (encode_conversation(self.tokenizer, &record.messages, self.limit), forged)
    }
}

/// The system message that every row opens with. A model taught under one answers well only under it, so it travels with the
/// tokens to the adapter, and whoever talks with the model need not know it.
fn shared_system(rows: &RowsReader) -> Result<Option<String>, StageError> {
    let mut shared: Option<String> = None;
    for batch in rows.batches() {
        for record in batch? {
            let opening = record.messages.into_iter().next().filter(|message| message.role == "system");
            let Some(opening) = opening else { return Ok(None) };
            if *shared.get_or_insert_with(|| opening.content.clone()) != opening.content {
                return Ok(None);
            }
        }
    }
    Ok(shared)
}

fn measure(cx: &StageContext<'_>, limit: Limit, tallies: &[(&str, Tally)]) {
    let total = |count: fn(&Tally) -> u64| float(tallies.iter().map(|(_, tally)| count(tally)).sum());
    cx.measure("rows", total(|tally| tally.kept));
    cx.measure("rows_dropped", total(Tally::dropped));
    cx.measure("rows_truncated", total(|tally| tally.truncated));
    cx.measure("tokens", total(|tally| tally.tokens));
    cx.measure("tokens_supervised", total(|tally| tally.supervised));
    // Only rows to learn from are packed.
    if let Some((_, train)) = tallies.iter().find(|(split, _)| *split == TRAIN) {
        cx.measure("packing_efficiency", train.packed(limit.max_length).efficiency());
    }
}

fn report(config: &TokenizeConfig, limit: Limit, tallies: &[(&str, Tally)]) -> Report {
    let mut report = Report::new("Tokens", "text/tokenize");
    report.fact("Model", config.model.clone()).fact("Longest conversation, tokens", limit.max_length);
    let columns = ["split", "rows in", "rows out", "cut", "left out", "tokens", "of them learned from", "forged special tokens"];
    let mut counts = Table::new("Rows and tokens", columns);
    let mut reasons = Table::new("Rows left out", ["split", "why", "rows", "such as"]);
    for (split, tally) in tallies {
        let numbers = [tally.rows, tally.kept, tally.truncated, tally.dropped(), tally.tokens, tally.supervised, tally.forged];
        counts.row(std::iter::once((*split).to_owned()).chain(numbers.map(|number| number.to_string())));
        for (reason, left_out) in &tally.left_out {
            reasons.row([(*split).to_owned(), reason.clone(), left_out.rows.to_string(), left_out.examples.join(", ")]);
        }
    }
    report.table(counts).table(packing(limit, tallies)).table(reasons);
    for (split, tally) in tallies {
        report.plot(Plot::Bars { title: format!("Conversation length in tokens, {split}"), bars: tally.histogram() });
    }
    report
}

/// What `batch.packing` of `train/sft` would come to.
fn packing(limit: Limit, tallies: &[(&str, Tally)]) -> Table {
    let title = format!("If packed into bins of {} tokens", limit.max_length);
    let mut table = Table::new(title, ["split", "rows", "bins", "filled", "rows in a bin"]);
    for (split, tally) in tallies {
        let packed = tally.packed(limit.max_length);
        let rows = format!("{:.1}", float(tally.kept) / float(packed.bins.max(1)));
        table.row([(*split).to_owned(), tally.kept.to_string(), packed.bins.to_string(), packed.filled(), rows]);
    }
    table
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}
