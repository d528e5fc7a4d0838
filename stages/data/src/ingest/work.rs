//! The account of all sources: rows, rejected lines with their places, fields seen.

use std::{collections::BTreeMap, fs, path::Path};

use flow_engine::{
    Stage, StageContext, StageError,
    report::{Report, Table, Verdict},
};
use flow_text::record::Record;
use serde_json::{Value, json};

use super::{
    Ingest,
    config::{IngestConfig, OnEmpty, Source},
    identity::Identities,
    lines::Position,
    reject::Reject,
    source::Entry,
};
use crate::tally::{Fate, Tally, as_f64, percent, share};

/// Rejected lines that the report lists; all are counted.
const LISTED: usize = 1_000;

/// The account of the stage.
pub(super) struct Work<'a> {
    config: &'a IngestConfig,
    limit: Option<u64>,
    tally: Tally,
    blank: u64,
    sources: Vec<SourceAccount<'a>>,
    rejected: Vec<Rejected>,
}

struct SourceAccount<'a> {
    source: &'a Source,
    identities: Identities,
    files: u64,
    bytes: u64,
    rows: u64,
    rejected: u64,
    fields: BTreeMap<String, u64>,
}

struct Rejected {
    source: String,
    file: String,
    position: Position,
    reject: Reject,
}

impl<'a> Work<'a> {
    pub(super) fn new(config: &'a IngestConfig, limit: Option<u64>) -> Self {
        Self { config, limit, tally: Tally::default(), blank: 0, sources: Vec::new(), rejected: Vec::new() }
    }

    pub(super) fn config(&self) -> &'a IngestConfig {
        self.config
    }

    /// Starts the account of the next source.
    pub(super) fn open_source(&mut self, source: &'a Source) {
        let identities = Identities::new(&source.name);
        self.sources.push(SourceAccount {
            source,
            identities,
            files: 0,
            bytes: 0,
            rows: 0,
            rejected: 0,
            fields: BTreeMap::new(),
        });
    }

    /// Adds a file to the source.
    pub(super) fn open_file(&mut self, path: &Path) -> Result<(), StageError> {
        let bytes = fs::metadata(path)?.len();
        if let Some(account) = self.sources.last_mut() {
            account.files += 1;
            account.bytes += bytes;
        }
        Ok(())
    }

    /// Whether the source has given as many rows as `--limit` allows.
    pub(super) fn is_full(&self) -> bool {
        let rows = self.sources.last().map_or(0, |account| account.rows);
        self.limit.is_some_and(|limit| rows >= limit)
    }

    pub(super) fn rows_read(&self) -> u64 {
        self.tally.rows_in
    }

    pub(super) fn skip_blank(&mut self) {
        self.blank += 1;
    }

    /// Books an entry and returns its row if it is one.
    pub(super) fn book(&mut self, file: &str, entry: Entry) -> Option<Record> {
        let Entry::Row { position, parsed } = entry else { return None };
        let account = self.sources.last_mut()?;
        self.tally.rows_in += 1;
        match parsed.and_then(|fields| account.record(fields)) {
            Ok(record) => {
                self.tally.rows_out += 1;
                Some(record)
            }
            Err(reject) => {
                account.rejected += 1;
                self.tally.lose(Fate::Quarantined, reject.reason());
                let source = account.source.name.clone();
                self.rejected.push(Rejected { source, file: file.to_owned(), position, reject });
                self.rejected.truncate(LISTED);
                None
            }
        }
    }

    /// Fails when nothing, or too little, could be read.
    pub(super) fn settle(&self) -> Result<(), StageError> {
        self.tally.check_conservation()?;
        let bad = self.tally.count(Fate::Quarantined);
        if self.tally.rows_in == 0 && self.config.on_empty == OnEmpty::Warn {
            return Ok(());
        }
        if self.tally.rows_out == 0 {
            let message = format!("no row could be read from {} lines{}", self.tally.rows_in, self.first_reject());
            return Err(StageError::input(message).help("check `path`, `format`, and `map` of the sources"));
        }
        if self.limit.is_none() && share(bad, self.tally.rows_in) > self.config.max_bad_fraction.get() {
            let message = format!("{bad} of {} lines cannot be read{}", self.tally.rows_in, self.first_reject());
            return Err(StageError::input(message).help("correct the lines, or raise `max_bad_fraction`"));
        }
        Ok(())
    }

    fn first_reject(&self) -> String {
        let Some(Rejected { file, position, reject, .. }) = self.rejected.first() else { return String::new() };
        let detail = if reject.detail().is_empty() { String::new() } else { format!(" ({})", reject.detail()) };
        format!("; the first is line {} of {file}: {}{detail}", position.line, reject.reason())
    }

    pub(super) fn measure(&self, cx: &StageContext<'_>) {
        self.tally.measure(cx);
        cx.measure("blank_lines", as_f64(self.blank));
        cx.measure("bytes_in", as_f64(self.sources.iter().map(|account| account.bytes).sum()));
    }

    pub(super) fn report(&self) -> Report {
        let mut report = Report::new("Ingest", Ingest::KIND);
        let bad = self.tally.count(Fate::Quarantined);
        let summary =
            format!("{} rows read, {bad} lines quarantined ({})", self.tally.rows_out, percent(share(bad, self.tally.rows_in)));
        report.verdict(Verdict::Info, summary);
        if self.tally.rows_in == 0 {
            report.note("There was nothing to read: every file is empty.");
        }
        self.tally.describe(&mut report);
        report.fact("blank lines", self.blank);
        let mut sources = Table::new("Sources", ["source", "licence", "files", "bytes", "rows", "quarantined", "fields"]);
        for account in &self.sources {
            let licence = account.source.license.as_deref().unwrap_or("not stated");
            let fields: Vec<String> = account.fields.iter().map(|(name, count)| format!("{name} ({count})")).collect();
            let numbers = [account.files, account.bytes, account.rows, account.rejected].map(|number| number.to_string());
            let name = account.source.name.clone();
            sources.row([name, licence.to_owned()].into_iter().chain(numbers).chain([fields.join(", ")]));
        }
        report.table(sources);
        let mut table = Table::new("Quarantined lines (the first 50)", ["source", "file", "line", "reason", "detail"]);
        for rejected in self.rejected.iter().take(50) {
            let Rejected { source, file, position, reject } = rejected;
            table.row([source, file, &position.line.to_string(), reject.reason(), reject.detail()]);
        }
        report.table(table);
        report.data("quarantine", self.rejected.iter().map(Rejected::json).collect::<Value>());
        report
    }
}

impl SourceAccount<'_> {
    fn record(&mut self, fields: serde_json::Map<String, Value>) -> Result<Record, Reject> {
        for name in fields.keys() {
            match self.fields.get_mut(name) {
                Some(count) => *count += 1,
                None => drop(self.fields.insert(name.clone(), 1)),
            }
        }
        let (messages, meta) = self.source.map.apply(fields)?;
        self.rows += 1;
        Ok(Record { row_id: self.identities.next(&messages, &meta), source: self.source.name.clone(), messages, meta })
    }
}

impl Rejected {
    fn json(&self) -> Value {
        let Self { source, file, position, reject } = self;
        json!({
            "source": source,
            "file": file,
            "line": position.line,
            "offset": position.offset,
            "reason": reject.reason(),
            "detail": reject.detail(),
        })
    }
}
