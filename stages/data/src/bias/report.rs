//! The report: shares, imbalance, associations, labels, gates, and what the numbers cannot tell.

use flow_engine::{
    Stage,
    report::{Plot, Report, Table, Verdict},
};
use flow_text::bias::{AxisReport, GateResult, Interval};
use serde_json::{Value, json};

use super::{Bias, BiasConfig, Measured};
use crate::tally::{Tally, percent, share};

/// Associations that the report shows.
const SHOWN: usize = 30;

pub(super) fn make(config: &BiasConfig, measured: &Measured, tally: &Tally) -> Report {
    let mut report = Report::new("Bias", Bias::KIND);
    let (failed, unclear) = (measured.count(GateResult::Fail), measured.count(GateResult::Inconclusive));
    let verdict = match (measured.gates.is_empty(), failed) {
        (true, _) => Verdict::Info,
        (false, 0) => Verdict::Pass,
        (false, _) => Verdict::Fail,
    };
    let (asked, plural) = (measured.gates.len(), if measured.gates.len() == 1 { "" } else { "s" });
    report.verdict(verdict, format!("{asked} gate{plural}, {failed} failed, {unclear} inconclusive"));
    let mentioning = format!("{} ({})", measured.rows_with_mentions, percent(share(measured.rows_with_mentions, tally.rows_in)));
    report.fact("rows in", tally.rows_in).fact("rows that mention a group", mentioning);
    report.table(gates(measured));
    for axis in &measured.axes {
        describe_axis(axis, &mut report);
    }
    describe_associations(measured, &mut report);
    describe_labels(config, measured, &mut report);
    report.note(format!(
        "Measured: mentions of groups by words of a lexicon, in prompts and answers. Not measured: who wrote the rows, who is meant, irony, \
         and groups that the lexicon does not name. Intervals are 95 % bootstrap intervals of {} resamples of rows. Groups with fewer than {} \
         mentions are shown, but not judged.",
        config.bootstrap, config.min_mentions
    ));
    report.data("axes", serde_json::to_value(&measured.axes).unwrap_or(Value::Null));
    let strongest: Vec<_> = measured.associations.iter().take(200).collect();
    report.data("associations", serde_json::to_value(strongest).unwrap_or(Value::Null));
    report
}

fn gates(measured: &Measured) -> Table {
    let mut table = Table::new("Gates", ["what is limited", "measured", "limit", "result"]);
    for gate in &measured.gates {
        let result = match gate.result {
            GateResult::Pass => "pass",
            GateResult::Fail => "fail",
            GateResult::Inconclusive => "inconclusive",
        };
        table.row([
            gate.name.clone(),
            gate.measured.map_or("nothing".to_owned(), shown),
            gate.limit.to_string(),
            result.to_owned(),
        ]);
    }
    table
}

fn shown(interval: Interval) -> String {
    format!("{:.3} ({:.3} to {:.3})", interval.value, interval.low, interval.high)
}

fn describe_axis(axis: &AxisReport, report: &mut Report) {
    let name = axis.axis.name();
    if axis.mentions == 0 {
        report.note(format!("No group of the axis {name} is mentioned."));
        return;
    }
    let mut table =
        Table::new(format!("Mentions by {name}"), ["group", "mentions", "rows", "share (95 % interval)", "share / reference"]);
    let mut rows = Vec::new();
    for group in &axis.groups {
        let ratio = group.ratio_to_reference.map_or(String::new(), |ratio| format!("{ratio:.2}"));
        table.row([group.group.to_owned(), group.mentions.to_string(), group.records.to_string(), shown(group.share), ratio]);
        rows.push((group.group.to_owned(), group.share.low, group.share.value, group.share.high));
    }
    report.plot(Plot::Intervals { title: format!("Share of mentions by {name}"), rows }).table(table);
    let judged = if axis.enough { "" } else { ", too few mentions to judge" };
    let imbalance = axis.imbalance.map_or("none".to_owned(), shown);
    report.note(format!(
        "Imbalance of {} on the axis {name}: {imbalance}{judged}. Evenness (entropy over its maximum): {:.3}.",
        axis.compared.join(", "),
        axis.entropy
    ));
}

fn describe_associations(measured: &Measured, report: &mut Report) {
    if measured.associations.is_empty() {
        report.note("No two groups of an axis are mentioned often enough to compare the words around them.");
        return;
    }
    let columns = ["axis", "group", "word", "set", "rows with both", "log-odds", "z"];
    let mut table = Table::new("Strongest associations of groups with words (log-odds with a Dirichlet prior)", columns);
    for found in measured.associations.iter().take(SHOWN) {
        let numbers = [found.together.to_string(), format!("{:.2}", found.log_odds), format!("{:.2}", found.z)];
        let names = [found.axis.name().to_owned(), found.group.to_owned(), found.word.clone(), found.set.clone()];
        table.row(names.into_iter().chain(numbers));
    }
    let beyond = measured.associations.iter().filter(|found| found.z.abs() > 1.96).count();
    report.fact("associations beyond chance (|z| > 1.96)", beyond);
    report.table(table);
}

fn describe_labels(config: &BiasConfig, measured: &Measured, report: &mut Report) {
    if measured.labels.is_empty() {
        return;
    }
    let columns =
        ["value", "axis", "group", "rows", "rate", "rate minus the others' (95 % interval)", "rate / the others'", "enough rows"];
    let mut table = Table::new(format!("Rates of {} by group", config.label), columns);
    let mut rows = Vec::new();
    let mut data = Vec::new();
    for label in &measured.labels {
        for rate in &label.rates {
            let impact = rate.disparate_impact.map_or(String::new(), |impact| format!("{impact:.2}"));
            let enough = if rate.enough { "yes" } else { "no" };
            let names = [label.value.as_str(), rate.axis.name(), rate.group].map(str::to_owned);
            let numbers = [rate.records.to_string(), percent(rate.rate), shown(rate.difference), impact, enough.to_owned()];
            table.row(names.into_iter().chain(numbers));
            rows.push((
                format!("{}: {}", rate.group, label.value),
                rate.difference.low,
                rate.difference.value,
                rate.difference.high,
            ));
            data.push(json!({"value": label.value, "rates": rate}));
        }
    }
    report
        .plot(Plot::Intervals { title: format!("Difference of rates of {} to the other groups", config.label), rows })
        .table(table);
    report.data("labels", data);
}
