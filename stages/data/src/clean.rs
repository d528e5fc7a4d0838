//! `data/clean`: repairs mojibake and removes what nobody sees, see [`flow_text::clean`].

use flow_engine::{
    ArtifactKind, Fraction, Ports, Resources, Stage, StageContext, StageError,
    report::{Plot, Report, Table, Verdict},
};
use flow_text::{
    clean::{self, Edits, Invisible, NormalForm, Options, Removal, Whitespace},
    record::Record,
};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    ledger::{Deed, Ledger},
    sample::{Samples, around_difference},
    stream::{RowsIn, RowsOut},
    tally::{Fate, Tally, as_f64},
};

/// Clean the text of messages: mojibake, control and invisible characters, normal form, whitespace.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CleanConfig {
    /// Repair UTF-8 that was read as windows-1252.
    pub mojibake: bool,
    /// Control characters but newline and tab.
    pub control_chars: Removal,
    /// Zero-width and other invisible characters.
    pub invisible: Invisible,
    /// Overrides, embeddings, isolates, and marks of the bidirectional algorithm.
    pub bidi_controls: Removal,
    /// Unicode normal form of the result.
    pub normalize: NormalForm,
    /// Spaces and blank lines.
    pub whitespace: Whitespace,
    /// Leave fenced code blocks as they are.
    pub skip_code_blocks: bool,
    /// Fail when more than this share of rows is dropped because nothing is left of a message.
    pub max_drop_fraction: Fraction,
}

impl Default for CleanConfig {
    fn default() -> Self {
        let Options { mojibake, control_chars, invisible, bidi_controls, normalize, whitespace, skip_code_blocks } =
            Options::default();
        let max_drop_fraction = Fraction::try_from(0.5).expect("a half is a fraction");
        Self { mojibake, control_chars, invisible, bidi_controls, normalize, whitespace, skip_code_blocks, max_drop_fraction }
    }
}

impl CleanConfig {
    fn options(&self) -> Options {
        let Self { mojibake, control_chars, invisible, bidi_controls, normalize, whitespace, skip_code_blocks, .. } = *self;
        Options { mojibake, control_chars, invisible, bidi_controls, normalize, whitespace, skip_code_blocks }
    }
}

/// `data/clean`.
pub struct Clean;

impl Stage for Clean {
    type Config = CleanConfig;
    const KIND: &'static str = "data/clean";
    const REVISION: u32 = 1;

    fn ports(_: &CleanConfig) -> Ports {
        Ports::new()
            .reads_many("rows", ArtifactKind::Rows)
            .writes("rows", ArtifactKind::Rows)
            .writes("report", ArtifactKind::Report)
    }

    fn resources(_: &CleanConfig) -> Resources {
        Resources::all_cpus()
    }

    fn run(config: &CleanConfig, cx: &mut StageContext<'_>) -> Result<(), StageError> {
        let rows = RowsIn::open(cx)?;
        let mut out = RowsOut::create(cx, "rows")?;
        let ledger = Ledger::create(cx)?;
        let mut work = Work { tally: Tally::default(), edits: Edits::default(), changed: 0, samples: Samples::new(), ledger };
        let options = config.options();
        for batch in rows.batches() {
            cx.check_cancelled()?;
            let cleaned: Vec<CleanedRow> = batch?.into_par_iter().map(|record| clean_row(record, &options)).collect();
            for row in cleaned {
                if let Some(record) = work.book(row)? {
                    out.push(&record)?;
                }
            }
            cx.progress(work.tally.rows_in, Some(rows.count()), "rows");
        }
        let filled = out.finish()?;
        work.tally.settle(config.max_drop_fraction)?;
        work.tally.measure(cx);
        filled.measure(cx);
        cx.measure("rows_changed", as_f64(work.changed));
        work.report()?.write(cx.output("report")?)
    }
}

/// A row before and after.
struct CleanedRow {
    record: Record,
    edits: Edits,
    /// The first message that changed: kinds of edit, before, and after.
    example: Option<(Edits, String, String)>,
}

fn clean_row(mut record: Record, options: &Options) -> CleanedRow {
    let mut edits = Edits::default();
    let mut example = None;
    for message in &mut record.messages {
        let cleaned = clean::clean(&message.content, options);
        if cleaned.text != message.content {
            edits += cleaned.edits;
            let before = std::mem::replace(&mut message.content, cleaned.text);
            example.get_or_insert_with(|| (cleaned.edits, before, message.content.clone()));
        }
    }
    CleanedRow { record, edits, example }
}

struct Work {
    tally: Tally,
    edits: Edits,
    changed: u64,
    samples: Samples,
    ledger: Ledger,
}

impl Work {
    /// Books a row and returns it if it stays.
    fn book(&mut self, row: CleanedRow) -> Result<Option<Record>, StageError> {
        self.tally.rows_in += 1;
        self.edits += row.edits;
        if let Some((edits, before, after)) = &row.example {
            self.changed += 1;
            let (before, after) = around_difference(before, after);
            for (kind, _) in edits.by_kind().into_iter().filter(|(_, count)| *count > 0) {
                self.samples.add(kind, &[before, after]);
            }
        }
        if row.record.messages.iter().any(|message| message.content.is_empty()) {
            self.tally.lose(Fate::Dropped, "empty_message");
            self.ledger.note(&row.record.row_id, Deed::Dropped, "empty_message")?;
            return Ok(None);
        }
        for (kind, _) in row.edits.by_kind().into_iter().filter(|(_, count)| *count > 0) {
            self.ledger.note(&row.record.row_id, Deed::Edited, kind)?;
        }
        self.tally.rows_out += 1;
        Ok(Some(row.record))
    }

    fn report(self) -> Result<Report, StageError> {
        self.ledger.finish()?;
        let mut report = Report::new("Cleaning", Clean::KIND);
        let total: u64 = self.edits.by_kind().iter().map(|(_, count)| count).sum();
        report.verdict(Verdict::Info, format!("{} of {} rows changed by {total} edits", self.changed, self.tally.rows_in));
        self.tally.describe(&mut report);
        report.fact("rows changed", self.changed);
        let mut table = Table::new("Edits by kind", ["kind", "edits"]);
        for (kind, count) in self.edits.by_kind() {
            table.row([kind.to_owned(), count.to_string()]);
            report.data(kind, count);
        }
        let bars = self.edits.by_kind().map(|(kind, count)| (kind.to_owned(), as_f64(count))).to_vec();
        report.table(table).plot(Plot::Bars { title: "Edits by kind".to_owned(), bars });
        self.samples.table(&mut report, "Before and after", &["before", "after"]);
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{Bench, row};

    #[test]
    fn planted_defects_are_counted_and_empty_rows_dropped() {
        let rows = [
            row("a", "cafÃ© ouvert", "oui"),
            row("b", "zero\u{200b}width", "bell\u{7}"),
            row("c", "\u{200b}\u{feff}", "nothing was asked"),
            row("d", "fine", "fine"),
        ];
        let run = Bench::new().rows("rows", &rows).run::<Clean>(json!({})).unwrap();
        let out = run.rows("rows");
        assert_eq!(out.iter().map(|r| r.row_id.as_str()).collect::<Vec<_>>(), ["a", "b", "d"]);
        assert_eq!((out[0].messages[0].content.as_str(), out[1].messages[1].content.as_str()), ("café ouvert", "bell"));
        assert_eq!(run.metrics(["rows_in", "rows_out", "dropped", "rows_changed"]), json!([4.0, 3.0, 1.0, 3.0]));
        let lines: Vec<Value> = run.ledger("report").iter().map(|l| json!([l["row_id"], l["action"], l["reason"]])).collect();
        let edited = |id: &str, kind: &str| json!([id, "edited", kind]);
        let dropped = json!(["c", "dropped", "empty_message"]);
        assert_eq!(lines, [edited("a", "mojibake"), edited("b", "control"), edited("b", "invisible"), dropped]);
        let data = run.report("report");
        assert_eq!(
            (&data["data"]["mojibake"], &data["data"]["invisible"], &data["data"]["control"]),
            (&json!(1), &json!(3), &json!(1))
        );
    }

    #[test]
    fn rows_of_several_stages_are_read_in_order() {
        let bench = Bench::new().rows("rows", &[row("a", "x", "y")]).rows("rows", &[row("b", "x", "y"), row("c", "", "y")]);
        let run = bench.run::<Clean>(json!({})).unwrap();
        assert_eq!(run.ids("rows"), ["a", "b"]);
        assert_eq!(run.metrics(["rows", "rows_in", "null_fraction.prompt"]), json!([2.0, 3.0, 0.0]));
    }

    #[test]
    fn cleaning_its_own_output_changes_nothing() {
        let rows = [row("a", "cafÃ©  \r\n x", "e\u{301}\u{0}")];
        let first = Bench::new().rows("rows", &rows).run::<Clean>(json!({})).unwrap().rows("rows");
        let again = Bench::new().rows("rows", &first).run::<Clean>(json!({})).unwrap();
        assert_eq!((again.rows("rows"), again.metrics(["rows_changed"])), (first, json!([0.0])));
    }

    #[test]
    fn too_many_drops_fail_the_stage() {
        let error = Bench::new().rows("rows", &[row("a", "\u{0}", "x")]).run::<Clean>(json!({})).err().unwrap();
        assert!(error.message.contains("1 of 1 rows were dropped") && error.help.is_some(), "{error}");
    }

    #[test]
    fn bytes_do_not_depend_on_threads() {
        let rows: Vec<Record> = (0..500).map(|at| row(&format!("{at}"), &format!("cafÃ© {at}\u{200b}"), "ok  ok")).collect();
        Bench::new().rows("rows", &rows).assert_same_on_threads::<Clean>(&json!({}));
    }
}
