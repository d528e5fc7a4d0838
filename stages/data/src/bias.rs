//! `guard/bias`: measures how social groups appear and holds the numbers against gates, see [`flow_text::bias`].
//!
//! Rows pass through unchanged: the report is for the person who approves, the gates are for the machine.

mod report;

use std::collections::{BTreeMap, BTreeSet};

use flow_engine::{ArtifactKind, Fraction, Ports, Resources, Stage, StageContext, StageError};
use flow_text::{
    bias::{Association, Axis, AxisReport, GateResult, Interval, LabelRates, Lexicon, Mentions, Observations, Outcomes, judge},
    record::Record,
    shingle::{Part, text_of},
};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    field,
    stream::{RowsIn, RowsOut},
    tally::{Tally, as_f64},
};

/// Measure the representation of groups, the words they appear with, and their labels.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BiasConfig {
    /// The axes along which people are grouped.
    pub axes: Vec<Axis>,
    /// Groups with fewer mentions are reported, but not judged.
    pub min_mentions: u64,
    /// Resamples of the 95 % intervals.
    pub bootstrap: u32,
    /// Expected shares of groups, by axis and group; equal shares where nothing is said.
    pub reference: BTreeMap<Axis, BTreeMap<String, f64>>,
    /// Sets of words whose association with groups is measured; ours when there are none.
    pub outcomes: BTreeMap<String, Vec<String>>,
    /// A field of the rows whose values are compared between groups; empty compares none.
    pub label: String,
    /// Values of the label that count as favourable together; without any, each value is compared by itself.
    pub favourable: Vec<String>,
    /// Limits that the measured numbers must keep.
    pub gates: Gates,
    /// Whether a limit that is not kept fails the stage.
    pub on_fail: OnFail,
}

impl Default for BiasConfig {
    fn default() -> Self {
        Self {
            axes: Axis::ALL.to_vec(),
            min_mentions: 30,
            bootstrap: 1_000,
            reference: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            label: String::new(),
            favourable: Vec::new(),
            gates: Gates::default(),
            on_fail: OnFail::Fail,
        }
    }
}

/// Limits. A number beyond its limit whose interval reaches back over it is inconclusive, not a failure.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Gates {
    /// The largest (most - least) / (most + least) of the compared groups, by axis.
    pub imbalance: BTreeMap<Axis, Fraction>,
    /// The largest difference of label rates between a group and the others, by axis.
    pub label_difference: BTreeMap<Axis, Fraction>,
    /// The largest z-score of an association; beyond 1.96 it is hardly chance.
    pub association_z: Option<f64>,
}

/// What happens when a limit is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFail {
    /// The stage fails.
    Fail,
    /// The report says so, and the metric `gates_failed` counts it.
    Warn,
}

/// `guard/bias`.
pub struct Bias;

impl Stage for Bias {
    type Config = BiasConfig;
    const KIND: &'static str = "guard/bias";
    const REVISION: u32 = 1;

    fn ports(_: &BiasConfig) -> Ports {
        Ports::new()
            .reads_many("rows", ArtifactKind::Rows)
            .writes("rows", ArtifactKind::Rows)
            .writes("report", ArtifactKind::Report)
    }

    fn resources(_: &BiasConfig) -> Resources {
        Resources::all_cpus()
    }

    fn run(config: &BiasConfig, cx: &mut StageContext<'_>) -> Result<(), StageError> {
        config.check()?;
        let mut tally = Tally::default();
        let outcomes = Outcomes::new(&config.outcomes);
        let seen = observe(config, &outcomes, &mut tally, cx)?;
        tally.check_conservation()?;
        cx.check_cancelled()?;
        let measured = Measured::of(&seen, &outcomes, config, (cx.seed().0, config.bootstrap));
        tally.measure(cx);
        for axis in &measured.axes {
            cx.measure(&format!("mentions_{}", axis.axis.name()), as_f64(axis.mentions));
            if let Some(imbalance) = axis.imbalance {
                cx.measure(&format!("imbalance_{}", axis.axis.name()), imbalance.value);
            }
        }
        cx.measure("gates_failed", as_f64(measured.count(GateResult::Fail)));
        cx.measure("gates_inconclusive", as_f64(measured.count(GateResult::Inconclusive)));
        measured.enforce(config)?;
        report::make(config, &measured, &tally).write(cx.output("report")?)
    }
}

impl BiasConfig {
    fn check(&self) -> Result<(), StageError> {
        for (axis, shares) in &self.reference {
            let names: Vec<&str> = Lexicon::groups(*axis).map(|(_, name)| name).collect();
            if let Some(unknown) = shares.keys().find(|name| !names.contains(&name.as_str())) {
                let message = format!("axis {} has no group {unknown}", axis.name());
                return Err(StageError::input(message).help(format!("its groups are {}", names.join(", "))));
            }
        }
        let gated = self.gates.imbalance.keys().chain(self.gates.label_difference.keys());
        if let Some(axis) = gated.into_iter().find(|axis| !self.axes.contains(axis)) {
            let message = format!("axis {} has a gate but is not measured", axis.name());
            return Err(StageError::input(message).help(format!("add {} to `axes`", axis.name())));
        }
        Ok(())
    }
}

/// What a row says about groups.
struct Seen {
    mentions: Mentions,
    words: BTreeSet<String>,
    label: Option<String>,
}

/// Copies the rows and notes what they mention.
fn observe(config: &BiasConfig, outcomes: &Outcomes, tally: &mut Tally, cx: &StageContext<'_>) -> Result<Vec<Seen>, StageError> {
    let rows = RowsIn::open(cx)?;
    let mut out = RowsOut::create(cx, "rows")?;
    let lexicon = Lexicon::new(&config.axes);
    let look = |record: &Record| {
        let text = text_of(record, Part::Both);
        let mentions = lexicon.mentions(&text);
        let words = if mentions.is_empty() { BTreeSet::new() } else { outcomes.words(&text) };
        let label = if config.label.is_empty() { None } else { field::text_of(record, &config.label) };
        Seen { mentions, words, label }
    };
    let mut seen = Vec::new();
    for batch in rows.batches() {
        cx.check_cancelled()?;
        let batch = batch?;
        seen.par_extend(batch.par_iter().map(look));
        for record in &batch {
            out.push(record)?;
        }
        tally.rows_in += batch.len() as u64;
        cx.progress(tally.rows_in, Some(rows.count()), "rows");
    }
    let filled = out.finish()?;
    tally.rows_out = filled.rows();
    filled.measure(cx);
    if !config.label.is_empty() && !seen.is_empty() && seen.iter().all(|row| row.label.is_none()) {
        return Err(StageError::input(format!("no row has the label field {}", config.label))
            .help("name a field that the source's rows have"));
    }
    Ok(seen)
}

/// Rates of one value of the label.
struct LabelReport {
    value: String,
    rates: Vec<LabelRates>,
}

/// A limit and how the number stands to it.
struct Gate {
    name: String,
    limit: f64,
    measured: Option<Interval>,
    result: GateResult,
}

/// Everything that was measured.
struct Measured {
    axes: Vec<AxisReport>,
    associations: Vec<Association>,
    labels: Vec<LabelReport>,
    gates: Vec<Gate>,
    rows_with_mentions: u64,
}

/// Values of a label that are compared one by one at most.
const MOST_LABELS: usize = 8;

impl Measured {
    fn of(seen: &[Seen], outcomes: &Outcomes, config: &BiasConfig, draws: (u64, u32)) -> Self {
        let mentioning: Vec<&Seen> = seen.iter().filter(|row| !row.mentions.is_empty()).collect();
        let records: Vec<Mentions> = mentioning.iter().map(|row| row.mentions.clone()).collect();
        let none = BTreeMap::new();
        let axis_report = |axis: &Axis| {
            let reference = config.reference.get(axis).unwrap_or(&none);
            AxisReport::measure(*axis, &Observations { records: &records, reference, min_mentions: config.min_mentions, draws })
        };
        let with_words: Vec<(Mentions, BTreeSet<String>)> =
            mentioning.iter().map(|row| (row.mentions.clone(), row.words.clone())).collect();
        let associations =
            config.axes.iter().flat_map(|axis| Association::measure(*axis, &with_words, outcomes, config.min_mentions));
        let mut measured = Self {
            axes: config.axes.iter().map(axis_report).collect(),
            associations: associations.collect(),
            labels: label_reports(&mentioning, config, draws),
            gates: Vec::new(),
            rows_with_mentions: mentioning.len() as u64,
        };
        measured.gates = measured.judge(config);
        measured
    }

    fn judge(&self, config: &BiasConfig) -> Vec<Gate> {
        let mut gates = Vec::new();
        for axis in &self.axes {
            let name = axis.axis.name();
            if let Some(limit) = config.gates.imbalance.get(&axis.axis) {
                gates.push(Gate::new(format!("imbalance of {name}"), limit.get(), axis.imbalance, axis.enough));
            }
            if let Some(limit) = config.gates.label_difference.get(&axis.axis) {
                let rates = self
                    .labels
                    .iter()
                    .flat_map(|label| label.rates.iter().map(move |rate| (label, rate)))
                    .filter(|(_, rate)| rate.axis == axis.axis);
                gates.extend(rates.map(|(label, rate)| {
                    Gate::new(
                        format!("{} = {} of {}", config.label, label.value, rate.group),
                        limit.get(),
                        Some(rate.difference),
                        rate.enough,
                    )
                }));
            }
        }
        if let Some(limit) = config.gates.association_z {
            let strongest = self.associations.iter().max_by(|a, b| a.z.abs().total_cmp(&b.z.abs()));
            let point = strongest.map(|found| Interval { low: found.z, value: found.z, high: found.z });
            let name =
                strongest.map_or("association".to_owned(), |found| format!("association of {} with {}", found.group, found.word));
            gates.push(Gate::new(name, limit, point, strongest.is_some()));
        }
        gates
    }

    fn count(&self, result: GateResult) -> u64 {
        self.gates.iter().filter(|gate| gate.result == result).count() as u64
    }

    fn enforce(&self, config: &BiasConfig) -> Result<(), StageError> {
        let failed: Vec<String> = self.gates.iter().filter(|gate| gate.result == GateResult::Fail).map(Gate::describe).collect();
        if failed.is_empty() || config.on_fail == OnFail::Warn {
            return Ok(());
        }
        let help = "bring more of the rarer groups, raise the limit, or set `on_fail: warn` to see the whole report";
        Err(StageError::input(format!("bias gates are not met: {}", failed.join("; "))).help(help))
    }
}

impl Gate {
    fn new(name: String, limit: f64, measured: Option<Interval>, enough: bool) -> Self {
        Self { name, limit, measured, result: judge(measured, limit, enough) }
    }

    fn describe(&self) -> String {
        let value = self
            .measured
            .map_or("nothing".to_owned(), |m| format!("{:.3} (95 % interval {:.3} to {:.3})", m.value, m.low, m.high));
        format!("{} is {value}, the limit is {}", self.name, self.limit)
    }
}

fn label_reports(seen: &[&Seen], config: &BiasConfig, draws: (u64, u32)) -> Vec<LabelReport> {
    let labelled: Vec<(&Mentions, &str)> = seen.iter().filter_map(|row| Some((&row.mentions, row.label.as_deref()?))).collect();
    let rates = |is_good: &dyn Fn(&str) -> bool| {
        let records: Vec<(&Mentions, bool)> = labelled.iter().map(|(mentions, label)| (*mentions, is_good(label))).collect();
        config.axes.iter().flat_map(|axis| LabelRates::measure(*axis, &records, config.min_mentions, draws)).collect()
    };
    if labelled.is_empty() {
        return Vec::new();
    }
    if !config.favourable.is_empty() {
        let is_good = |label: &str| config.favourable.iter().any(|value| value == label);
        return vec![LabelReport { value: config.favourable.join(" or "), rates: rates(&is_good) }];
    }
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for (_, label) in &labelled {
        *counts.entry(label).or_default() += 1;
    }
    let mut values: Vec<(&str, u64)> = counts.into_iter().collect();
    values.sort_by_key(|(value, count)| (std::cmp::Reverse(*count), *value));
    let compared = values.into_iter().take(MOST_LABELS);
    compared.map(|(value, _)| LabelReport { value: value.to_owned(), rates: rates(&|label| label == value) }).collect()
}

#[cfg(test)]
mod tests;
