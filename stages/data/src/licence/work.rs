//! Rows and what was decided about their licences.

use std::collections::{BTreeMap, BTreeSet};

use flow_engine::{
    StageContext, StageError,
    report::{Plot, Report, Table, Verdict},
};
use flow_text::{
    licence::{Class, Decision, Expression, Grant, Policy},
    record::Record,
};
use serde_json::json;

use super::{LicenceConfig, LicenceGuard, Stage, Unfit};
use crate::{
    field,
    ledger::{Deed, Ledger},
    tally::{Fate, Tally, as_f64, percent, share},
};

/// Why rows may not be used.
const NOT_KNOWN: &str = "licence_not_known";
const REFUSED: &str = "licence_refused";
const MODEL: &str = "written_by_a_model";

/// A decision, or why it is none.
#[derive(Clone)]
enum Finding {
    Granted(Grant),
    Unfit { reason: &'static str, detail: String, unfit: Unfit },
}

/// The account of rows of one source under one licence.
#[derive(Clone)]
pub(super) struct Share {
    pub(super) source: String,
    pub(super) licence: String,
    pub(super) rows: u64,
    finding: Finding,
}

impl Share {
    /// What was granted.
    pub(super) fn grant(&self) -> Option<&Grant> {
        match &self.finding {
            Finding::Granted(grant) => Some(grant),
            Finding::Unfit { .. } => None,
        }
    }
}

pub(super) struct Work<'a> {
    config: &'a LicenceConfig,
    policy: Policy,
    pub(super) tally: Tally,
    ledger: Ledger,
    shares: BTreeMap<(String, String), Share>,
}

impl<'a> Work<'a> {
    pub(super) fn new(config: &'a LicenceConfig, ledger: Ledger) -> Self {
        Self { config, policy: config.policy(), tally: Tally::default(), ledger, shares: BTreeMap::new() }
    }

    /// Books a row and tells whether it stays.
    pub(super) fn book(&mut self, record: &Record) -> Result<bool, StageError> {
        self.tally.rows_in += 1;
        let own = field::text_of(record, &self.config.field).filter(|_| self.config.field != "source");
        let stated = own.or_else(|| self.config.sources.get(&record.source)?.license.clone()).unwrap_or_default();
        let key = (record.source.clone(), stated);
        if !self.shares.contains_key(&key) {
            let finding = self.find(&key.0, &key.1);
            let (source, licence) = key.clone();
            self.shares.insert(key.clone(), Share { source, licence, rows: 0, finding });
        }
        let Some(share) = self.shares.get_mut(&key) else { return Ok(false) };
        share.rows += 1;
        let (reason, fate) = match &share.finding {
            Finding::Granted(_) => {
                self.tally.rows_out += 1;
                return Ok(true);
            }
            Finding::Unfit { reason, unfit: Unfit::Quarantine, .. } => (*reason, Fate::Quarantined),
            Finding::Unfit { reason, unfit: Unfit::Drop, .. } => (*reason, Fate::Dropped),
            Finding::Unfit { detail, unfit: Unfit::Fail, .. } => {
                return Err(StageError::input(format!("rows of source {} may not be used: {detail}", record.source))
                    .help("take the source out, state what permits the use, or set `refused: drop`"));
            }
        };
        self.tally.lose(fate, reason);
        self.ledger.note(&record.row_id, Deed::Dropped, reason)?;
        Ok(false)
    }

    fn find(&self, source: &str, stated: &str) -> Finding {
        let unfit = |reason, detail: String, unfit| Finding::Unfit { reason, detail, unfit };
        if stated.trim().is_empty() {
            return unfit(NOT_KNOWN, "no licence is stated".to_owned(), self.config.unknown);
        }
        let models = self.config.sources.get(source).map(|terms| terms.model_generated_by.as_slice()).unwrap_or_default();
        if let Some(model) = models.iter().find(|model| !is_permitted(model, &self.config.model_generated)) {
            return unfit(MODEL, format!("{model} wrote them, which `model_generated` does not name"), self.config.refused);
        }
        let expression = match Expression::parse(stated) {
            Ok(expression) => expression,
            Err(error) => return unfit(NOT_KNOWN, error.to_string(), self.config.unknown),
        };
        match self.policy.decide(&expression) {
            Decision::Granted(grant) => Finding::Granted(grant),
            Decision::Refused(reasons) => unfit(REFUSED, reasons.join(", "), self.config.refused),
            Decision::Unknown(names) => unfit(NOT_KNOWN, format!("{} is not known", names.join(", ")), self.config.unknown),
        }
    }

    /// Checks the whole: nothing lost, not too much refused, and one licence that the result can stand under.
    pub(super) fn settle(self) -> Result<Settled, StageError> {
        self.ledger.finish()?;
        self.tally.settle(self.config.max_drop_fraction)?;
        let quarantined = self.tally.count(Fate::Quarantined);
        if share(quarantined, self.tally.rows_in) > self.config.max_drop_fraction.get() {
            let first = self.shares.values().find_map(|share| match &share.finding {
                Finding::Unfit { detail, .. } => Some(format!("source {}: {detail}", share.source)),
                Finding::Granted(_) => None,
            });
            let message = format!("{quarantined} of {} rows have no licence that is known", self.tally.rows_in);
            return Err(StageError::input(message)
                .help(format!("state the licences in `sources`, or raise `max_drop_fraction`; {}", first.unwrap_or_default())));
        }
        let shares: Vec<Share> = self.shares.into_values().collect();
        let result = self.policy.result(shares.iter().filter_map(Share::grant)).map_err(|(one, other)| {
            StageError::input(format!("nothing can stand under {one} and {other} at once"))
                .help("keep the sources in data sets of their own, or set `share_alike: deny`")
        })?;
        Ok(Settled { tally: self.tally, shares, result })
    }
}

/// Whether a pattern names a model.
fn is_permitted(model: &str, patterns: &[String]) -> bool {
    patterns.iter().any(|pattern| match pattern.split_once('*') {
        Some((start, end)) => model.len() >= start.len() + end.len() && model.starts_with(start) && model.ends_with(end),
        None => pattern == model,
    })
}

/// What holds for the whole.
pub(super) struct Settled {
    tally: Tally,
    pub(super) shares: Vec<Share>,
    /// The licence that the result stands under, if the rows or the configuration ask for one.
    pub(super) result: Option<String>,
}

impl Settled {
    /// Rows that stay.
    pub(super) fn rows(&self) -> u64 {
        self.tally.rows_out
    }

    /// Names of sources whose makers must be named.
    pub(super) fn attributions(&self) -> BTreeSet<&str> {
        let due = self.shares.iter().filter(|share| share.grant().is_some_and(Grant::attribution));
        due.map(|share| share.source.as_str()).collect()
    }

    pub(super) fn measure(&self, cx: &StageContext<'_>) {
        self.tally.measure(cx);
        cx.measure("attributions", as_f64(self.attributions().len() as u64));
    }

    pub(super) fn report(&self, config: &LicenceConfig) -> Report {
        let mut report = Report::new("Licences", LicenceGuard::KIND);
        let lost = self.tally.rows_in - self.tally.rows_out;
        report.verdict(Verdict::Pass, format!("{} of {} rows may be used as intended", self.tally.rows_out, self.tally.rows_in));
        self.tally.describe(&mut report);
        let result = self.result.clone().unwrap_or_else(|| "free to choose".to_owned());
        report.fact("rows refused", lost).fact("licence of the result", result);
        report.fact("attributions due", self.attributions().len());
        let mut table =
            Table::new("Rows by source and licence", ["source", "stated", "class", "decision", "rows", "share", "evidence"]);
        let mut classes: BTreeMap<&'static str, u64> = BTreeMap::new();
        for one in &self.shares {
            let class = widest(one).map_or("not known", Class::name);
            *classes.entry(class).or_default() += one.rows;
            let decision = match &one.finding {
                Finding::Granted(_) => "granted".to_owned(),
                Finding::Unfit { detail, .. } => format!("refused: {detail}"),
            };
            let evidence = config.sources.get(&one.source).and_then(|terms| terms.evidence.clone());
            let stated = if one.licence.is_empty() { "nothing".to_owned() } else { one.licence.clone() };
            let numbers = [one.rows.to_string(), percent(share(one.rows, self.tally.rows_in))];
            let cells = [one.source.clone(), stated, class.to_owned(), decision];
            table.row(cells.into_iter().chain(numbers).chain([evidence.unwrap_or_else(|| "none".to_owned())]));
        }
        report.data("classes", json!(classes)).table(table);
        let bars = classes.into_iter().map(|(class, rows)| (class.to_owned(), as_f64(rows))).collect();
        report.plot(Plot::Bars { title: "Rows by class of licence".to_owned(), bars });
        report
    }
}

/// The strictest class among the licences that people state; none where one is not known.
fn widest(share: &Share) -> Option<Class> {
    fn of(expression: &Expression) -> Option<Class> {
        match expression {
            Expression::One(licence) => Some(licence.class),
            Expression::Unknown(_) => None,
            Expression::All(parts) => parts.iter().map(of).collect::<Option<Vec<_>>>()?.into_iter().max(),
            Expression::Any(parts) => parts.iter().filter_map(of).min(),
        }
    }
    of(&Expression::parse(&share.licence).ok()?)
}
