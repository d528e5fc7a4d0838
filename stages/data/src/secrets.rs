//! `guard/secrets`: finds credentials and drops or redacts the rows that hold them, see [`flow_text::secrets`].

use std::collections::{BTreeMap, BTreeSet};

use flow_engine::{
    ArtifactKind, Fraction, Ports, Resources, Stage, StageContext, StageError,
    report::{Plot, Report, Table, Verdict},
};
use flow_rows::{RowsReader, RowsWriter};
use flow_text::{
    pii::masked_sample,
    record::Record,
    secrets::{Custom, Options, Scanner, redact},
};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::tally::{Fate, Tally, as_f64};

/// Drop or redact rows that hold API keys, tokens, private keys, or passwords.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SecretsConfig {
    /// What becomes of a row with a credential.
    pub action: SecretsAction,
    /// The least entropy, in bits for each sign, of values that only their name gives away; hexadecimal ones need half a bit less.
    pub min_entropy: f64,
    /// Exact values that are no secrets.
    pub allow: BTreeSet<String>,
    /// Names of rules that are not applied.
    pub skip_rules: BTreeSet<String>,
    /// Rules of your own.
    pub custom: Vec<CustomRule>,
    /// Fail when more than this share of rows is dropped.
    pub max_drop_fraction: Fraction,
}

/// What becomes of a row with a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SecretsAction {
    /// The row goes.
    DropRecord,
    /// The name of the rule takes the value's place.
    Redact,
    /// It stays, and is counted.
    Flag,
}

/// A rule of your own.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomRule {
    /// Its name in reports.
    pub name: String,
    /// A word near every match; capitals do not matter.
    pub keyword: String,
    /// The regular expression; its first group, if it has one, is the value.
    pub regex: String,
}

impl Default for SecretsConfig {
    fn default() -> Self {
        Self {
            action: SecretsAction::DropRecord,
            min_entropy: 3.5,
            allow: BTreeSet::new(),
            skip_rules: BTreeSet::new(),
            custom: Vec::new(),
            max_drop_fraction: Fraction::try_from(0.5).expect("a half is a fraction"),
        }
    }
}

impl SecretsConfig {
    fn scanner(&self) -> Result<Scanner, StageError> {
        let known: BTreeSet<&str> = flow_text::secrets::names().collect();
        if let Some(unknown) = self.skip_rules.iter().find(|name| !known.contains(name.as_str())) {
            let all = known.into_iter().collect::<Vec<_>>().join(", ");
            return Err(
                StageError::input(format!("cannot skip rule `{unknown}`: there is none")).help(format!("the rules are {all}"))
            );
        }
        let custom =
            |rule: &CustomRule| Custom { name: rule.name.clone(), keyword: rule.keyword.clone(), regex: rule.regex.clone() };
        let options = Options {
            min_entropy: self.min_entropy,
            allow: self.allow.clone(),
            skip: self.skip_rules.clone(),
            custom: self.custom.iter().map(custom).collect(),
        };
        Scanner::new(&options).map_err(|error| StageError::input(error.to_string()).help("look at `custom`"))
    }
}

/// `guard/secrets`.
pub struct Secrets;

impl Stage for Secrets {
    type Config = SecretsConfig;
    const KIND: &'static str = "guard/secrets";
    const REVISION: u32 = 1;

    fn ports(_: &SecretsConfig) -> Ports {
        Ports::new().reads("rows", ArtifactKind::Rows).writes("rows", ArtifactKind::Rows).writes("report", ArtifactKind::Report)
    }

    fn resources(_: &SecretsConfig) -> Resources {
        Resources::all_cpus()
    }

    fn run(config: &SecretsConfig, cx: &mut StageContext<'_>) -> Result<(), StageError> {
        let scanner = config.scanner()?;
        let reader = RowsReader::open(cx.input("rows")?)?;
        let mut writer = RowsWriter::create(cx.output("rows")?)?;
        let mut account = Account::default();
        for batch in reader.batches() {
            cx.check_cancelled()?;
            let searched: Vec<Searched> = batch?.into_par_iter().map(|record| Searched::of(record, &scanner)).collect();
            for row in searched {
                if let Some(record) = account.book(row, config.action) {
                    writer.push(&record)?;
                }
            }
            cx.progress(account.tally.rows_in, Some(reader.count()), "rows");
        }
        writer.finish()?;
        account.tally.settle(config.max_drop_fraction)?;
        account.tally.measure(cx);
        cx.measure("secrets", as_f64(account.found()));
        cx.measure("rows_with_secrets", as_f64(account.rows_touched));
        account.report(config.action).write(cx.output("report")?)
    }
}

/// A row, the same without its credentials, and what was found.
struct Searched {
    record: Record,
    redacted: Option<Record>,
    /// Rule and shape of every value.
    found: Vec<(String, String)>,
}

impl Searched {
    fn of(record: Record, scanner: &Scanner) -> Self {
        let mut plain = record.clone();
        let mut found = Vec::new();
        for message in &mut plain.messages {
            search(&mut message.content, scanner, &mut found);
        }
        plain.meta.values_mut().for_each(|value| search_value(value, scanner, &mut found));
        let redacted = (!found.is_empty()).then_some(plain);
        Self { record, redacted, found }
    }
}

fn search_value(value: &mut Value, scanner: &Scanner, found: &mut Vec<(String, String)>) {
    match value {
        Value::String(text) => search(text, scanner, found),
        Value::Array(items) => items.iter_mut().for_each(|item| search_value(item, scanner, found)),
        Value::Object(fields) => fields.values_mut().for_each(|field| search_value(field, scanner, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn search(text: &mut String, scanner: &Scanner, found: &mut Vec<(String, String)>) {
    let secrets = scanner.scan(text);
    if !secrets.is_empty() {
        found.extend(secrets.iter().map(|secret| (secret.rule.clone(), masked_sample(&text[secret.start..secret.end]))));
        *text = redact(text, &secrets);
    }
}

/// The account of the stage.
#[derive(Default)]
struct Account {
    tally: Tally,
    rows_touched: u64,
    by_rule: BTreeMap<String, Seen>,
}

#[derive(Default)]
struct Seen {
    count: u64,
    shape: String,
}

impl Account {
    fn book(&mut self, row: Searched, action: SecretsAction) -> Option<Record> {
        self.tally.rows_in += 1;
        let Some(redacted) = row.redacted else {
            self.tally.rows_out += 1;
            return Some(row.record);
        };
        self.rows_touched += 1;
        for (rule, shape) in row.found {
            let seen = self.by_rule.entry(rule).or_insert(Seen { count: 0, shape });
            seen.count += 1;
        }
        if action == SecretsAction::DropRecord {
            self.tally.lose(Fate::Dropped, "secret");
            return None;
        }
        self.tally.rows_out += 1;
        Some(if action == SecretsAction::Redact { redacted } else { row.record })
    }

    fn found(&self) -> u64 {
        self.by_rule.values().map(|seen| seen.count).sum()
    }

    fn report(&self, action: SecretsAction) -> Report {
        let mut report = Report::new("Secrets", Secrets::KIND);
        let (verdict, left) = match action {
            _ if self.rows_touched == 0 => (Verdict::Pass, ""),
            SecretsAction::DropRecord => (Verdict::Pass, "; the rows are dropped"),
            SecretsAction::Redact => (Verdict::Pass, "; they are taken out"),
            SecretsAction::Flag => (Verdict::Fail, "; they are still there"),
        };
        let rows = self.tally.rows_in;
        report.verdict(verdict, format!("{} credentials in {} of {rows} rows{left}", self.found(), self.rows_touched));
        self.tally.describe(&mut report);
        let mut table = Table::new("Credentials by rule", ["rule", "found", "shape of the first (letters as x, digits as 0)"]);
        for (rule, seen) in &self.by_rule {
            table.row([rule.clone(), seen.count.to_string(), seen.shape.clone()]);
        }
        let bars = self.by_rule.iter().map(|(rule, seen)| (rule.clone(), as_f64(seen.count))).collect();
        report.table(table).plot(Plot::Bars { title: "Credentials by rule".to_owned(), bars });
        report
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{Bench, row, with_meta};

    fn planted() -> Vec<Record> {
        vec![
            row("a", "How do I log in?", "Use ghp_9fK2mQx7LwZ4tBv8RcN1yHs6JdG3pE5uAaTo and go."),
            row("b", "Which database?", "postgres://app:Xk29vvQz1@db.internal/main"),
            row("c", "nothing here", "commit 3f2a91c2b4d53f2a91c2b4d53f2a91c2b4d53f2a"),
            with_meta(row("d", "fine", "fine"), "note", "api_key = \"k29Xv8RcN1yHs6JdG3pE5uAa\""),
        ]
    }

    #[test]
    fn rows_with_credentials_go_and_are_counted() {
        let run = Bench::new().rows("rows", &planted()).run::<Secrets>(json!({"max_drop_fraction": 1.0})).unwrap();
        assert_eq!(run.ids("rows"), ["c"]);
        assert_eq!(run.metrics(["secrets", "rows_with_secrets", "dropped", "rows_out"]), json!([3.0, 3.0, 3.0, 1.0]));
        let page = run.report("report").to_string();
        assert!(!page.contains("ghp_9f") && !page.contains("Xk29vvQz1"), "a report must not show what was found");
    }

    #[test]
    fn values_can_be_taken_out_instead() {
        let run = Bench::new().rows("rows", &planted()).run::<Secrets>(json!({"action": "redact"})).unwrap();
        let out = run.rows("rows");
        assert_eq!(out[0].messages[1].content, "Use [SECRET:github-token] and go.");
        assert_eq!(out[1].messages[1].content, "postgres://app:[SECRET:connection-string]@db.internal/main");
        assert_eq!(out[3].meta["note"], "api_key = \"[SECRET:api-key]\"");
        assert_eq!(Bench::new().rows("rows", &out).run::<Secrets>(json!({})).unwrap().metrics(["secrets"]), json!([0.0]));
    }

    #[test]
    fn rules_that_cannot_be_used_are_refused() {
        let run = |with| Bench::new().rows("rows", &planted()).run::<Secrets>(with).err().unwrap();
        assert!(run(json!({"skip_rules": ["githab"]})).message.contains("githab"));
        assert!(run(json!({"custom": [{"name": "a", "keyword": "b", "regex": "("}]})).message.contains("cannot compile"));
    }
}
