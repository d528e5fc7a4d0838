//! `data/split`: train, validation, and test parts that share no group, no row, and nothing nearly equal.
//!
//! A group goes where the hash of its key says, so adding rows moves no other group. Reads the rows twice: once for the
//! keys, once to write the parts.

mod assign;
mod config;
mod leak;
mod report;

use flow_engine::{ArtifactKind, Ports, Resources, Stage, StageContext, StageError};
use flow_text::{
    record::Record,
    shingle::{Digits, Part as Text, ShingleSet, Shingling, exact_key, normalize, shingles, text_of},
};
use rayon::prelude::*;

pub use config::{HoldOut, Join, LeakCheck, MinRows, OnLeak, Ratios, SplitConfig};

use crate::{
    field,
    ledger::{Deed, Ledger},
    stream::{Filled, RowsIn, RowsOut},
    tally::{Fate, Tally, as_f64},
};
use assign::Groups;
use leak::Leaks;

/// A part of the data; later parts are the more guarded ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// What the model learns from.
    Train,
    /// What training is watched by.
    Validation,
    /// What the model is judged by.
    Test,
}

impl Part {
    /// Every part, in the order of the ratios.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// The name of its port.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

/// `data/split`.
pub struct Split;

impl Stage for Split {
    type Config = SplitConfig;
    const KIND: &'static str = "data/split";
    const REVISION: u32 = 1;

    fn ports(_: &SplitConfig) -> Ports {
        let ports = Part::ALL.into_iter().fold(Ports::new().reads_many("rows", ArtifactKind::Rows), |ports, part| {
            ports.writes(part.name(), ArtifactKind::Rows)
        });
        ports.writes("report", ArtifactKind::Report)
    }

    fn resources(_: &SplitConfig) -> Resources {
        Resources::all_cpus()
    }

    fn run(config: &SplitConfig, cx: &mut StageContext<'_>) -> Result<(), StageError> {
        config.ratios.check()?;
        let rows = RowsIn::open(cx)?;
        let keys = read_keys(&rows, config, cx)?;
        config.check_fields(&keys)?;
        let mut groups = Groups::assign(&keys, config, cx.seed().0);
        let leaks = Leaks::settle(&keys, &mut groups, config)?;
        let tally = write_parts(&rows, &groups, cx)?;
        config.min_rows.check(&groups)?;
        tally.settle(config.max_drop_fraction)?;
        tally.measure(cx);
        for part in Part::ALL {
            cx.measure(&format!("rows_{}", part.name()), as_f64(groups.rows_in(part)));
        }
        cx.measure("groups", as_f64(groups.count()));
        cx.measure("leaks", as_f64(leaks.left()));
        report::make(config, (&keys, &groups), &leaks, &tally).write(cx.output("report")?)
    }
}

/// What decides where a row goes.
struct Key {
    /// Equal for rows that must stay together.
    group: String,
    /// Whether every field of `group_by` is there.
    complete: bool,
    stratum: String,
    held_out: bool,
    exact: u128,
    set: ShingleSet,
}

fn read_keys(rows: &RowsIn, config: &SplitConfig, cx: &StageContext<'_>) -> Result<Vec<Key>, StageError> {
    let mut keys = Vec::new();
    for batch in rows.batches() {
        cx.check_cancelled()?;
        keys.par_extend(batch?.par_iter().map(|record| key_of(record, config)));
        cx.progress_note(keys.len() as u64, Some(rows.count()), "rows", "grouping".to_owned());
    }
    Ok(keys)
}

fn key_of(record: &Record, config: &SplitConfig) -> Key {
    let text = text_of(record, Text::Both);
    let normal = normalize(&text, Digits::Keep);
    let exact = exact_key(if normal.is_empty() { &text } else { &normal });
    let fields: Vec<Option<String>> = config.group_by.iter().map(|name| field::text_of(record, name)).collect();
    let complete = fields.iter().all(Option::is_some);
    // Without a group, equal rows are one: they must not meet across parts.
    let group = if complete && !fields.is_empty() { joined(&fields) } else { format!("{exact:032x}") };
    let needs_set = config.leak_check.fuzzy.is_some() || config.join_groups.contains(&Join::FuzzyCluster);
    Key {
        group,
        complete,
        stratum: joined(&config.stratify_by.iter().map(|name| field::text_of(record, name)).collect::<Vec<_>>()),
        held_out: config.hold_out.as_ref().is_some_and(|hold| hold.takes(field::text_of(record, &hold.field).as_deref())),
        exact,
        set: if needs_set { shingles(&normal, &Shingling::default()) } else { ShingleSet::new() },
    }
}

/// Values with a separator that no text holds; a missing value is not an empty one.
fn joined(values: &[Option<String>]) -> String {
    let shown: Vec<String> = values.iter().map(|value| value.clone().unwrap_or_else(|| "\u{0}".to_owned())).collect();
    shown.join("\u{1f}")
}

fn write_parts(rows: &RowsIn, groups: &Groups, cx: &StageContext<'_>) -> Result<Tally, StageError> {
    let create = |part: Part| RowsOut::create(cx, part.name());
    let mut outs = [create(Part::Train)?, create(Part::Validation)?, create(Part::Test)?];
    let mut ledger = Ledger::create(cx)?;
    let mut tally = Tally::default();
    let mut parts = groups.parts().iter();
    for batch in rows.batches() {
        cx.check_cancelled()?;
        for record in batch? {
            tally.rows_in += 1;
            if let Some(part) = parts.next().copied().flatten() {
                outs[part as usize].push(&record)?;
                tally.rows_out += 1;
            } else {
                tally.lose(Fate::Dropped, "leak");
                ledger.note(&record.row_id, Deed::Dropped, "leak")?;
            }
        }
        cx.progress(tally.rows_in, Some(rows.count()), "rows");
    }
    ledger.finish()?;
    let mut filled = Filled::default();
    for out in outs {
        filled.join(out.finish()?);
    }
    filled.measure(cx);
    Ok(tally)
}

#[cfg(test)]
mod tests;
