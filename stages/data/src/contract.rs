//! `data/contract`: rows that break their schema are set aside, expectations about all rows are held, and drift from a
//! baseline is measured, see [`flow_text::contract`].

use std::{collections::BTreeMap, fs};

use flow_engine::{
    ArtifactKind, Fraction, Ports, Stage, StageContext, StageError,
    report::{Plot, Report, Table, Verdict},
};
use flow_text::{
    contract::{Drift, Expectation, FieldRule, Observed, Outcome, Profile, Schema, Severity},
    record::Record,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    ledger::{Deed, Ledger},
    stream::{RowsIn, RowsOut},
    tally::{Fate, Tally, as_f64, percent, share},
};

/// Hold rows against a contract: types and ranges of fields, roles, expectations about all rows, and drift from a baseline.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ContractConfig {
    /// What fields must be, by name.
    pub fields: BTreeMap<String, FieldRule>,
    /// What becomes of fields that no rule is about.
    pub unknown_fields: UnknownFields,
    /// Roles that messages may have.
    pub roles: Vec<String>,
    /// The role of the last message; any where none is named.
    pub last_role: Option<String>,
    /// What is expected of all rows together.
    pub expectations: Vec<Expectation>,
    /// Limits on the drift from the report bound to the input `baseline`.
    pub drift: DriftLimits,
    /// Fail when more than this share of rows breaks the schema.
    pub max_bad_fraction: Fraction,
}

impl Default for ContractConfig {
    fn default() -> Self {
        Self {
            fields: BTreeMap::new(),
            unknown_fields: UnknownFields::Keep,
            roles: ["system", "user", "assistant", "tool"].map(str::to_owned).to_vec(),
            last_role: Some("assistant".to_owned()),
            expectations: Vec::new(),
            drift: DriftLimits::default(),
            max_bad_fraction: Fraction::try_from(0.01).expect("a hundredth is a fraction"),
        }
    }
}

/// Limits on the population stability index of any column.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DriftLimits {
    /// Above it the report warns.
    pub warn: f64,
    /// Above it the stage fails.
    pub fail: f64,
}

impl Default for DriftLimits {
    fn default() -> Self {
        Self { warn: 0.1, fail: 0.25 }
    }
}

/// What becomes of fields that no rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnknownFields {
    /// They stay.
    Keep,
    /// They are taken out of their row.
    Drop,
    /// Their row is set aside.
    Quarantine,
}

/// `data/contract`.
pub struct Contract;

impl Stage for Contract {
    type Config = ContractConfig;
    const KIND: &'static str = "data/contract";
    const REVISION: u32 = 1;

    fn ports(_: &ContractConfig) -> Ports {
        let ports = Ports::new().reads_many("rows", ArtifactKind::Rows).reads_optional("baseline", ArtifactKind::Report);
        ports.writes("rows", ArtifactKind::Rows).writes("report", ArtifactKind::Report)
    }

    fn run(config: &ContractConfig, cx: &mut StageContext<'_>) -> Result<(), StageError> {
        let baseline = baseline(cx)?;
        let rows = RowsIn::open(cx)?;
        let mut out = RowsOut::create(cx, "rows")?;
        let mut work = Work::new(config, Ledger::create(cx)?)?;
        for batch in rows.batches() {
            cx.check_cancelled()?;
            for mut record in batch? {
                if work.book(&mut record)? {
                    out.push(&record)?;
                }
            }
            cx.progress(work.tally.rows_in, Some(rows.count()), "rows");
        }
        let filled = out.finish()?;
        let judged = work.judge(baseline.as_ref())?;
        judged.enforce(config)?;
        judged.tally.measure(cx);
        filled.measure(cx);
        cx.measure("expectations_unmet", as_f64(judged.outcomes.iter().filter(|outcome| !outcome.met).count() as u64));
        if let Some(worst) = judged.drifts.first() {
            cx.measure("drift", worst.psi);
        }
        judged.report(config)?.write(cx.output("report")?)
    }
}

/// The profile in the report of an earlier run.
fn baseline(cx: &StageContext<'_>) -> Result<Option<Profile>, StageError> {
    let Some(folder) = cx.input_optional("baseline") else { return Ok(None) };
    let wrong = || StageError::input("the baseline holds no profile").help("bind the report of another `data/contract`");
    let report: Value = serde_json::from_slice(&fs::read(folder.join("report.json"))?).map_err(|_| wrong())?;
    let profile = report.get("data").and_then(|data| data.get("profile")).ok_or_else(wrong)?;
    serde_json::from_value(profile.clone()).map(Some).map_err(|_| wrong())
}

struct Work<'a> {
    config: &'a ContractConfig,
    schema: Schema,
    tally: Tally,
    ledger: Ledger,
    observed: Vec<Observed>,
    profile: Profile,
    breaches: BTreeMap<(&'static str, String), u64>,
    cut: u64,
}

impl<'a> Work<'a> {
    fn new(config: &'a ContractConfig, ledger: Ledger) -> Result<Self, StageError> {
        let prepare = |expectation| {
            Observed::new(expectation).map_err(|error| {
                StageError::input(error.to_string()).help("see `flow stages data/contract` for what each expectation needs")
            })
        };
        let observed = config.expectations.iter().map(prepare).collect::<Result<_, _>>()?;
        let schema = Schema { fields: config.fields.clone(), roles: config.roles.clone(), last_role: config.last_role.clone() };
        let (tally, profile) = (Tally::default(), Profile::default());
        Ok(Self { config, schema, tally, ledger, observed, profile, breaches: BTreeMap::new(), cut: 0 })
    }

    /// Books a row and tells whether it stays.
    fn book(&mut self, record: &mut Record) -> Result<bool, StageError> {
        self.tally.rows_in += 1;
        let unknown: Vec<String> = match self.config.unknown_fields {
            UnknownFields::Keep => Vec::new(),
            UnknownFields::Drop | UnknownFields::Quarantine => self.schema.unknown(record).cloned().collect(),
        };
        let breach = match (self.config.unknown_fields, unknown.first()) {
            (UnknownFields::Quarantine, Some(field)) => Some(("unknown_field", field.clone())),
            _ => self.schema.check(record).map(|breach| (breach.rule, breach.about)),
        };
        if let Some((rule, about)) = breach {
            self.tally.lose(Fate::Quarantined, rule);
            self.ledger.note(&record.row_id, Deed::Dropped, rule)?;
            *self.breaches.entry((rule, about)).or_default() += 1;
            return Ok(false);
        }
        if !unknown.is_empty() {
            record.meta.retain(|name, _| !unknown.contains(name));
            self.ledger.note(&record.row_id, Deed::Edited, "unknown_field")?;
            self.cut += 1;
        }
        for observed in &mut self.observed {
            observed.observe(record);
        }
        self.profile.count(record);
        self.tally.rows_out += 1;
        Ok(true)
    }

    fn judge(self, baseline: Option<&Profile>) -> Result<Judged, StageError> {
        self.ledger.finish()?;
        let outcomes = self.observed.into_iter().map(Observed::judge).collect();
        let drifts = baseline.map(|before| self.profile.drift_from(before)).unwrap_or_default();
        let Self { tally, profile, breaches, cut, .. } = self;
        Ok(Judged { tally, outcomes, drifts, profile, breaches, cut })
    }
}

/// How the rows stand to their contract.
struct Judged {
    tally: Tally,
    outcomes: Vec<Outcome>,
    drifts: Vec<Drift>,
    profile: Profile,
    breaches: BTreeMap<(&'static str, String), u64>,
    cut: u64,
}

impl Judged {
    /// Fails where the contract says so.
    fn enforce(&self, config: &ContractConfig) -> Result<(), StageError> {
        self.tally.check_conservation()?;
        let bad = self.tally.count(Fate::Quarantined);
        if share(bad, self.tally.rows_in) > config.max_bad_fraction.get() {
            let worst = self.breaches.iter().max_by_key(|(_, count)| **count);
            let named = worst.map_or_else(String::new, |((rule, about), _)| format!("; most of them for {rule} of {about}"));
            let message = format!("{bad} of {} rows break the contract{named}", self.tally.rows_in);
            return Err(StageError::input(message).help("correct the rows or the contract, or raise `max_bad_fraction`"));
        }
        let unmet: Vec<&Outcome> =
            self.outcomes.iter().filter(|outcome| !outcome.met && outcome.severity == Severity::Fail).collect();
        if let Some(first) = unmet.first() {
            let message =
                format!("{} is not met: found {:.4}, {} rows unexpected", first.expected, first.observed, first.unexpected);
            let more = if unmet.len() > 1 { format!(" ({} more are not met)", unmet.len() - 1) } else { String::new() };
            return Err(StageError::input(message + &more).help("correct the rows, lower `mostly`, or set `severity: warn`"));
        }
        match self.drifts.first().filter(|drift| drift.psi > config.drift.fail) {
            Some(drift) => {
                let message = format!("{} drifted from the baseline: its stability index is {:.3}", drift.column, drift.psi);
                Err(StageError::input(message).help("look what changed, take a new baseline, or raise `drift.fail`"))
            }
            None => Ok(()),
        }
    }

    fn report(self, config: &ContractConfig) -> Result<Report, StageError> {
        let mut report = Report::new("Contract", Contract::KIND);
        let unmet = self.outcomes.iter().filter(|outcome| !outcome.met).count();
        let bad = self.tally.count(Fate::Quarantined);
        let drifted = self.drifts.iter().filter(|drift| drift.psi > config.drift.warn).count();
        let summary = format!(
            "{bad} of {} rows break the contract, {unmet} expectations are not met, {drifted} columns drifted",
            self.tally.rows_in
        );
        report.verdict(Verdict::Pass, summary);
        self.tally.describe(&mut report);
        report.fact("expectations not met", unmet).fact("columns that drifted", drifted).fact("rows with fields cut", self.cut);
        let mut table = Table::new("Expectations", ["expectation", "observed", "unexpected rows", "met", "otherwise"]);
        for outcome in &self.outcomes {
            let met = if outcome.met { "yes" } else { "no" };
            let severity = if outcome.severity == Severity::Fail { "fail" } else { "warn" };
            let cells = [outcome.expected.clone(), format!("{:.4}", outcome.observed), outcome.unexpected.to_string()];
            table.row(cells.into_iter().chain([met.to_owned(), severity.to_owned()]));
        }
        report.table(table);
        let mut breaches = Table::new("Rows that break the contract", ["rule", "field or role", "rows", "share"]);
        for ((rule, about), count) in &self.breaches {
            breaches.row([(*rule).to_owned(), about.clone(), count.to_string(), percent(share(*count, self.tally.rows_in))]);
        }
        report.table(breaches);
        if !self.drifts.is_empty() {
            let bars = self.drifts.iter().take(30).map(|drift| (drift.column.clone(), drift.psi)).collect();
            report.plot(Plot::Bars { title: "Drift by column (population stability index)".to_owned(), bars });
        }
        let value = |value: Result<Value, serde_json::Error>| {
            value.map_err(|error| StageError::internal("cannot serialize the report").because(&error))
        };
        report.data("profile", value(serde_json::to_value(&self.profile))?);
        report.data("expectations", json!(self.outcomes)).data("drift", json!(self.drifts));
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Bench, Run, row, with_meta};

    fn rows() -> Vec<Record> {
        let good = |at: usize| {
            with_meta(row(&format!("{at}"), &format!("question {at}"), "answer"), "team", if at & 1 == 0 { "a" } else { "b" })
        };
        let mut rows: Vec<Record> = (0..20).map(good).collect();
        rows.push(with_meta(row("wrong", "question", "answer"), "team", 7));
        rows.push(row("missing", "question", "answer"));
        rows.push(with_meta(with_meta(row("more", "question", "answer"), "team", "a"), "colour", "red"));
        rows
    }

    fn run(with: Value) -> Result<Run, StageError> {
        Bench::new().rows("rows", &rows()).run::<Contract>(with)
    }

    const TEAM: &str = r#"{"team": {"type": "string", "in": ["a", "b"]}}"#;

    fn team() -> Value {
        serde_json::from_str(TEAM).unwrap()
    }

    #[test]
    fn rows_that_break_the_schema_are_set_aside_by_rule() {
        let run = run(json!({"fields": team(), "max_bad_fraction": 0.2, "unknown_fields": "drop"})).unwrap();
        assert_eq!(run.metrics(["rows_in", "rows", "quarantined", "null_fraction.team"]), json!([23.0, 21.0, 2.0, 0.0]));
        let lines: Vec<Value> = run.ledger("report").iter().map(|l| json!([l["row_id"], l["action"], l["reason"]])).collect();
        assert_eq!(
            lines,
            [
                json!(["wrong", "dropped", "type"]),
                json!(["missing", "dropped", "missing"]),
                json!(["more", "edited", "unknown_field"])
            ]
        );
        assert!(!run.rows("rows")[20].meta.contains_key("colour"));
    }

    #[test]
    fn too_many_bad_rows_and_unmet_expectations_fail() {
        let error = run(json!({"fields": team()})).err().unwrap();
        assert!(error.message.contains("2 of 23 rows break the contract"), "{}", error.message);
        let expect = |severity: &str| json!({"expectations": [{"expect": "unique", "column": "answer", "severity": severity}]});
        assert!(run(expect("fail")).err().unwrap().message.contains("unique of answer is not met"));
        assert_eq!(run(expect("warn")).unwrap().metrics(["expectations_unmet"]), json!([1.0]));
        assert!(run(json!({"expectations": [{"expect": "unique"}]})).err().unwrap().message.contains("names no column"));
    }

    #[test]
    fn drift_from_a_baseline_is_measured_and_fails() {
        let rows = |share: usize| -> Vec<Record> {
            (0..100)
                .map(|at| with_meta(row(&format!("{at}"), "a question", "an answer"), "team", if at < share { "a" } else { "b" }))
                .collect()
        };
        let before = Bench::new().rows("rows", &rows(50)).run::<Contract>(json!({})).unwrap();
        let after =
            |share| Bench::new().rows("rows", &rows(share)).folder("baseline", &before.path("report")).run::<Contract>(json!({}));
        assert!(after(52).unwrap().metric("drift") < 0.01);
        let error = after(90).err().unwrap();
        assert!(error.message.contains("team drifted"), "{}", error.message);
    }
}
