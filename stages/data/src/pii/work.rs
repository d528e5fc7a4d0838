//! One row under the guard, and the account of all rows.

use std::collections::BTreeMap;

use flow_engine::{
    StageError,
    report::{Plot, Report, Table, Verdict},
};
use flow_text::{
    pii::{ActionKind, Entity, Evidence, Home, Policy, Scanner, Span, Value as Realness, apply, masked_sample},
    record::Record,
};
use serde_json::Value;

use super::{Pii, PiiConfig, ResidualCheck, TestValues};
use crate::tally::{Fate, Tally, as_f64};
use flow_engine::Stage;

/// Replacing may bring together what was apart; more rounds than this are never needed in practice.
const ROUNDS: usize = 3;
/// Masked values of a kind that the report shows.
const SAMPLES: usize = 20;

/// What every row is held against.
pub(super) struct Guard<'a> {
    pub(super) scanner: Scanner,
    pub(super) policy: Policy,
    pub(super) config: &'a PiiConfig,
}

/// A value that was found.
pub(super) struct Finding {
    entity: Entity,
    place: Place,
    realness: Realness,
    shape: String,
}

/// Where a value stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Messages,
    Meta,
}

/// A row after its personal data was replaced.
pub(super) struct GuardedRow {
    record: Record,
    findings: Vec<Finding>,
    residual: Vec<(Entity, Evidence)>,
}

impl Guard<'_> {
    /// Replaces the personal data of a row.
    pub(super) fn row(&self, mut record: Record) -> GuardedRow {
        let mut findings = Vec::new();
        let mut residual = Vec::new();
        for message in &mut record.messages {
            self.text(&mut message.content, Place::Messages, (&mut findings, &mut residual));
        }
        for (field, value) in &mut record.meta {
            if !self.config.skip_meta.contains(field) {
                self.value(value, &mut findings, &mut residual);
            }
        }
        GuardedRow { record, findings, residual }
    }

    fn value(&self, value: &mut Value, findings: &mut Vec<Finding>, residual: &mut Vec<(Entity, Evidence)>) {
        match value {
            Value::String(text) => self.text(text, Place::Meta, (findings, residual)),
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item, findings, residual)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.value(field, findings, residual)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn text(&self, text: &mut String, place: Place, (findings, residual): (&mut Vec<Finding>, &mut Vec<(Entity, Evidence)>)) {
        for round in 0..ROUNDS {
            let mut spans = self.scanner.scan(text);
            if round == 0 {
                let counted =
                    spans.iter().filter(|span| span.value == Realness::Real || self.config.test_values != TestValues::Ignore);
                findings.extend(counted.map(|span| finding(text, span, place)));
            }
            spans.retain(|span| self.removes(span));
            if spans.is_empty() {
                return;
            }
            *text = apply(text, &spans, &self.policy);
        }
        let left = self.scanner.scan(text).into_iter().filter(|span| self.removes(span));
        residual.extend(left.map(|span| (span.entity, span.evidence)));
    }

    fn removes(&self, span: &Span) -> bool {
        let is_meant = span.value == Realness::Real || self.config.test_values == TestValues::TreatAsPii;
        is_meant && self.policy.removes(span.entity)
    }
}

fn finding(text: &str, span: &Span, place: Place) -> Finding {
    Finding { entity: span.entity, place, realness: span.value, shape: masked_sample(&text[span.start..span.end]) }
}

/// The account of a stage.
#[derive(Default)]
pub(super) struct Work {
    pub(super) tally: Tally,
    pub(super) rows_touched: u64,
    counts: BTreeMap<(Entity, Place), Counts>,
    shapes: BTreeMap<Entity, Vec<String>>,
    residual: BTreeMap<(Entity, &'static str), u64>,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    real: u64,
    test: u64,
}

impl Work {
    /// Books a row and returns it if it stays.
    pub(super) fn book(&mut self, row: GuardedRow, config: &PiiConfig) -> Option<Record> {
        self.tally.rows_in += 1;
        self.rows_touched += u64::from(!row.findings.is_empty());
        let mut drops = false;
        for finding in &row.findings {
            let counts = self.counts.entry((finding.entity, finding.place)).or_default();
            match finding.realness {
                Realness::Real => counts.real += 1,
                Realness::Test => counts.test += 1,
            }
            let action = config.actions.get(&finding.entity).map_or(config.default_action, |action| action.kind);
            let is_meant = finding.realness == Realness::Real || config.test_values == TestValues::TreatAsPii;
            drops |= is_meant && action == ActionKind::DropRecord;
            let shapes = self.shapes.entry(finding.entity).or_default();
            if shapes.len() < SAMPLES && !shapes.contains(&finding.shape) {
                shapes.push(finding.shape.clone());
            }
        }
        let reason = match (drops, row.findings.len() > config.max_entities_per_record) {
            (true, _) => Some("drop_record"),
            (false, true) => Some("too_many_entities"),
            (false, false) => None,
        };
        if let Some(reason) = reason {
            self.tally.lose(Fate::Dropped, reason);
            return None;
        }
        for (entity, evidence) in row.residual {
            let kind = match evidence {
                Evidence::Checksum => "checksum",
                Evidence::Pattern => "pattern",
                Evidence::Model => "model",
            };
            *self.residual.entry((entity, kind)).or_default() += 1;
        }
        self.tally.rows_out += 1;
        Some(row.record)
    }

    /// Values found in all.
    pub(super) fn found(&self) -> u64 {
        self.counts.values().map(|counts| counts.real + counts.test).sum()
    }

    /// Values found again after replacing.
    pub(super) fn residual(&self) -> u64 {
        self.residual.values().sum()
    }

    /// Fails when a value with a checksum is left.
    pub(super) fn check_residual(&self, config: &PiiConfig) -> Result<(), StageError> {
        let checked: Vec<String> = self
            .residual
            .iter()
            .filter(|((_, kind), _)| *kind == "checksum")
            .map(|((e, _), n)| format!("{n} {}", e.name()))
            .collect();
        if checked.is_empty() || config.residual_check == ResidualCheck::Warn {
            return Ok(());
        }
        let message = format!("personal data is left after replacing it: {}", checked.join(", "));
        Err(StageError::input(message).help("use `do: redact` or `do: drop_record` for these kinds"))
    }

    /// The report.
    pub(super) fn report(&self, guard: &Guard<'_>) -> Report {
        let mut report = Report::new("Personal data", Pii::KIND);
        let (verdict, left) =
            if self.residual() == 0 { (Verdict::Pass, "none is left") } else { (Verdict::Fail, "some is left") };
        let found = self.found();
        report.verdict(verdict, format!("{found} values in {} of {} rows, {left}", self.rows_touched, self.tally.rows_in));
        self.tally.describe(&mut report);
        report.fact("values found", found).fact("rows with personal data", self.rows_touched);
        report.fact("values found after replacing", self.residual());
        self.describe_kinds(guard, &mut report);
        let mut shapes = Table::new("Shapes of found values (letters as x, digits as 0)", ["kind", "shape"]);
        for (entity, seen) in &self.shapes {
            for shape in seen {
                shapes.row([entity.name(), shape]);
            }
        }
        report.table(shapes);
        let kinds = guard.config.looked_for();
        let looked_for: Vec<&str> = kinds.iter().map(|entity| entity.name()).collect();
        let names = if kinds.iter().any(|entity| entity.home() == Home::Language) {
            "Names, places, and the like are found by a small model, which misses some and takes some words for names."
        } else {
            "Names of people, places, and organisations are not looked for."
        };
        report.note(format!("Looked for {} by patterns, checksums, and context words. {names}", looked_for.join(", ")));
        report
    }

    fn describe_kinds(&self, guard: &Guard<'_>, report: &mut Report) {
        let columns = ["kind", "where", "found", "of them test values", "action", "left afterwards"];
        let mut table = Table::new("Values by kind", columns);
        let mut bars: BTreeMap<&str, f64> = BTreeMap::new();
        for ((entity, place), counts) in &self.counts {
            let all = counts.real + counts.test;
            let left: u64 = self.residual.iter().filter(|((of, _), _)| of == entity).map(|(_, n)| n).sum();
            let place_name = match place {
                Place::Messages => "messages",
                Place::Meta => "meta",
            };
            let action = guard.policy.action(*entity).kind.name();
            table.row([entity.name(), place_name, &all.to_string(), &counts.test.to_string(), action, &left.to_string()]);
            *bars.entry(entity.name()).or_default() += as_f64(all);
        }
        let counted: serde_json::Map<String, Value> =
            bars.iter().map(|(name, count)| ((*name).to_owned(), Value::from(*count))).collect();
        report.data("found", counted);
        let bars = bars.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
        report.table(table).plot(Plot::Bars { title: "Values by kind".to_owned(), bars });
    }
}
