//! Rows and the items they hold.

use std::{collections::BTreeMap, ops::Range};

use flow_engine::{
    StageContext, StageError,
    report::{Plot, Report, Table, Verdict},
};
use flow_text::{
    decontaminate::{Hit, Index, ItemId},
    record::Record,
};
use serde_json::{Value, json};

use super::{Cure, Decontaminate, DecontaminateConfig, Stage, evals::EvalSets};
use crate::{
    ledger::Ledger,
    remedy::{Court, Remedy},
    sample::Samples,
    tally::{as_f64, percent, share},
};

/// What stands in the place of a masked item.
const MASK: &str = "[evaluation item removed]";
/// Hits that `report.json` lists; all are counted.
const LISTED: usize = 1_000;
const REASON: &str = "contaminated";

/// The items that a row holds.
pub(super) struct Found {
    hits: Vec<Hit>,
}

impl Found {
    /// Looks at all messages as one text, so that an item split into question and answer is found.
    pub(super) fn in_row(record: &Record, index: &Index) -> Self {
        let contents: Vec<&str> = record.messages.iter().map(|message| message.content.as_str()).collect();
        Self { hits: index.find(&contents.join("\n")) }
    }

    /// Takes what was found out of the messages.
    fn mask(&self, record: &mut Record) {
        let spans = union(self.hits.iter().map(|hit| hit.span.clone()).collect());
        let mut start = 0;
        for message in &mut record.messages {
            let end = start + message.content.len();
            for span in spans.iter().rev().filter(|span| span.start < end && span.end > start) {
                let own = span.start.saturating_sub(start)..(span.end - start).min(message.content.len());
                message.content.replace_range(own, MASK);
            }
            start = end + 1;
        }
    }
}

/// Joins stretches that overlap, in order.
fn union(mut spans: Vec<Range<usize>>) -> Vec<Range<usize>> {
    spans.sort_by_key(|span| span.start);
    let mut joined: Vec<Range<usize>> = Vec::new();
    for span in spans {
        match joined.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            Some(_) | None => joined.push(span),
        }
    }
    joined
}

/// The account of one evaluation set.
#[derive(Default)]
struct SetAccount {
    items: u64,
    unsearchable: u64,
    rows: u64,
    hit: BTreeMap<usize, u64>,
}

pub(super) struct Work<'a> {
    pub(super) court: Court,
    evals: &'a EvalSets,
    sets: Vec<SetAccount>,
    contaminated: u64,
    masked: u64,
    listing: Vec<Value>,
    samples: Samples,
}

impl<'a> Work<'a> {
    pub(super) fn new(evals: &'a EvalSets, index: &Index, ledger: Ledger) -> Self {
        let mut sets: Vec<SetAccount> = evals.names.iter().map(|_| SetAccount::default()).collect();
        for item in &evals.items {
            if let Some(set) = sets.get_mut(item.id.set) {
                set.items += 1;
            }
        }
        for id in index.unsearchable() {
            if let Some(set) = sets.get_mut(id.set) {
                set.unsearchable += 1;
            }
        }
        let (contaminated, masked) = (0, 0);
        Self { court: Court::new(ledger), evals, sets, contaminated, masked, listing: Vec::new(), samples: Samples::new() }
    }

    /// Books a row and tells whether it stays.
    pub(super) fn book(&mut self, record: &mut Record, found: &Found, cure: Cure) -> Result<bool, StageError> {
        if found.hits.is_empty() {
            self.court.pass();
            return Ok(true);
        }
        self.contaminated += 1;
        self.count(record, &found.hits);
        let remedy = match cure {
            Cure::Drop => Remedy::Drop,
            Cure::Flag => Remedy::Flag,
            Cure::Review => Remedy::Review,
            Cure::Mask => {
                found.mask(record);
                self.masked += 1;
                self.court.pass();
                self.court.edited(record, REASON)?;
                return Ok(true);
            }
        };
        self.court.judge(record, &[(REASON, remedy)])
    }

    fn count(&mut self, record: &Record, hits: &[Hit]) {
        for (set, account) in self.sets.iter_mut().enumerate() {
            account.rows += u64::from(hits.iter().any(|hit| hit.item.set == set));
        }
        let text = record.messages.iter().map(|message| message.content.as_str()).collect::<Vec<_>>().join("\n");
        for hit in hits {
            let ItemId { set, item } = hit.item;
            let Some(account) = self.sets.get_mut(set) else { continue };
            *account.hit.entry(item).or_default() += 1;
            let name = self.evals.names.get(set).map_or("", String::as_str);
            let words = text.get(hit.span.clone()).unwrap_or_default();
            self.samples.add(name, &[&record.row_id, &item.to_string(), &format!("{:.2}", hit.coverage), words]);
            if self.listing.len() < LISTED {
                self.listing.push(json!({"row_id": record.row_id, "set": name, "item": item, "coverage": hit.coverage}));
            }
        }
    }

    /// Fails when more is contaminated than can be true.
    pub(super) fn settle(&self, config: &DecontaminateConfig) -> Result<(), StageError> {
        self.court.tally.check_conservation()?;
        let rows = self.court.tally.rows_in;
        if share(self.contaminated, rows) > config.max_contaminated_fraction.get() {
            let message = format!("{} of {rows} rows hold items of evaluation sets", self.contaminated);
            return Err(StageError::input(message)
                .help("look whether training and evaluation read the same file, or raise `max_contaminated_fraction`"));
        }
        Ok(())
    }

    pub(super) fn measure(&self, cx: &StageContext<'_>) {
        self.court.tally.measure(cx);
        cx.measure("contaminated", as_f64(self.contaminated));
        cx.measure("items_found", as_f64(self.sets.iter().map(|set| set.hit.len() as u64).sum()));
    }

    pub(super) fn report(self, config: &DecontaminateConfig) -> Result<Report, StageError> {
        let tally = self.court.close()?;
        let mut report = Report::new("Contamination", Decontaminate::KIND);
        let summary = format!("{} of {} rows hold items of evaluation sets", self.contaminated, tally.rows_in);
        report.verdict(Verdict::Info, summary);
        tally.describe(&mut report);
        report.fact("rows masked", self.masked).fact("least coverage", config.min_coverage.get());
        let columns = ["set", "items", "too short to look for", "items found", "share of items", "rows"];
        let mut table = Table::new("Evaluation sets", columns);
        let mut bars = Vec::new();
        for (name, set) in self.evals.names.iter().zip(&self.sets) {
            let found = set.hit.len() as u64;
            let numbers = [set.items, set.unsearchable, found].map(|number| number.to_string());
            let last = [percent(share(found, set.items)), set.rows.to_string()];
            table.row([name.clone()].into_iter().chain(numbers).chain(last));
            bars.push((name.clone(), 100.0 * share(found, set.items)));
        }
        report.table(table).plot(Plot::Bars { title: "Share of items found, in percent".to_owned(), bars });
        report.data("hits", Value::Array(self.listing));
        self.samples.table(&mut report, "Items found", &["row", "item", "coverage", "words"]);
        Ok(report)
    }
}
