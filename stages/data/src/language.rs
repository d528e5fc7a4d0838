//! `data/language`: keeps rows in the languages asked for, see [`flow_text::language`].

use std::collections::{BTreeMap, BTreeSet};

use flow_engine::{
    ArtifactKind, Fraction, Ports, Resources, Stage, StageContext, StageError,
    report::{Plot, Report, Table, Verdict},
};
use flow_text::{
    language::{Language, detect, letters},
    record::Record,
    shingle::{Part, text_of},
};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    ledger::Ledger,
    remedy::{Court, Remedy},
    sample::Samples,
    stream::{RowsIn, RowsOut},
    tally::{as_f64, percent, share},
};

/// Keep rows whose text is in the languages you name. Short texts and texts of unknown language are kept unless you say otherwise.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LanguageConfig {
    /// The languages wanted, as ISO 639-1 codes.
    pub allow: Vec<String>,
    /// What is looked at: each message by itself, or the row as one text.
    pub unit: Unit,
    /// Messages with fewer letters have no language, and no row is dropped for them.
    pub min_letters: usize,
    /// What becomes of a row whose language nobody can tell.
    pub on_unknown: Remedy,
    /// The least share of letters that stand in messages of a wanted language, among those of any known one.
    pub min_target_share: Fraction,
    /// What becomes of a row with less.
    pub action: Remedy,
    /// Fail when more than this share of rows is dropped.
    pub max_drop_fraction: Fraction,
}

impl Default for LanguageConfig {
    fn default() -> Self {
        Self {
            allow: vec!["en".to_owned()],
            unit: Unit::Message,
            min_letters: flow_text::language::MIN_LETTERS,
            on_unknown: Remedy::Keep,
            min_target_share: Fraction::try_from(0.8).expect("0.8 is a fraction"),
            action: Remedy::Drop,
            max_drop_fraction: Fraction::try_from(0.5).expect("a half is a fraction"),
        }
    }
}

/// What is looked at by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Every message but the system's.
    Message,
    /// The row.
    Record,
}

/// `data/language`.
pub struct KeepLanguage;

impl Stage for KeepLanguage {
    type Config = LanguageConfig;
    const KIND: &'static str = "data/language";
    const REVISION: u32 = 1;

    fn ports(_: &LanguageConfig) -> Ports {
        Ports::new()
            .reads_many("rows", ArtifactKind::Rows)
            .writes("rows", ArtifactKind::Rows)
            .writes("report", ArtifactKind::Report)
    }

    fn resources(_: &LanguageConfig) -> Resources {
        Resources::all_cpus()
    }

    fn run(config: &LanguageConfig, cx: &mut StageContext<'_>) -> Result<(), StageError> {
        let wanted = config.wanted()?;
        let rows = RowsIn::open(cx)?;
        let mut out = RowsOut::create(cx, "rows")?;
        let mut work = Work { court: Court::new(Ledger::create(cx)?), languages: BTreeMap::new(), samples: Samples::new() };
        for batch in rows.batches() {
            cx.check_cancelled()?;
            let batch = batch?;
            let spoken: Vec<Spoken> = batch.par_iter().map(|record| Spoken::in_row(record, config)).collect();
            for (mut record, spoken) in batch.into_iter().zip(spoken) {
                if work.book(&mut record, &spoken, (config, &wanted))? {
                    out.push(&record)?;
                }
            }
            cx.progress(work.court.tally.rows_in, Some(rows.count()), "rows");
        }
        let filled = out.finish()?;
        work.court.tally.settle(config.max_drop_fraction)?;
        work.court.tally.measure(cx);
        filled.measure(cx);
        work.report(config)?.write(cx.output("report")?)
    }
}

impl LanguageConfig {
    fn wanted(&self) -> Result<BTreeSet<Language>, StageError> {
        if self.allow.is_empty() {
            return Err(StageError::input("no language is allowed").help("name at least one, such as `allow: [en]`"));
        }
        let code = |code: &String| {
            Language::from_code(code).ok_or_else(|| {
                let known: Vec<&str> = Language::all().into_iter().map(Language::code).collect();
                StageError::input(format!("language {code} cannot be told apart")).help(format!("known are {}", known.join(", ")))
            })
        };
        self.allow.iter().map(code).collect()
    }
}

/// Letters of a row by language.
#[derive(Default)]
struct Spoken {
    known: BTreeMap<Language, usize>,
    /// Whether a text that is long enough is in no language that we can tell.
    has_unknown: bool,
}

impl Spoken {
    fn in_row(record: &Record, config: &LanguageConfig) -> Self {
        let mut spoken = Self::default();
        match config.unit {
            Unit::Record => spoken.hear(&text_of(record, Part::Both), config.min_letters),
            Unit::Message => {
                let said = record.messages.iter().filter(|message| message.role != "system");
                said.for_each(|message| spoken.hear(&message.content, config.min_letters));
            }
        }
        spoken
    }

    fn hear(&mut self, text: &str, min_letters: usize) {
        let count = letters(text);
        if count < min_letters {
            return;
        }
        match detect(text, min_letters) {
            Some(language) => *self.known.entry(language).or_default() += count,
            None => self.has_unknown = true,
        }
    }

    fn main(&self) -> Option<Language> {
        self.known.iter().max_by_key(|(_, count)| **count).map(|(language, _)| *language)
    }

    /// The share of letters in wanted languages; none where no language is known.
    fn target_share(&self, wanted: &BTreeSet<Language>) -> Option<f64> {
        let all: usize = self.known.values().sum();
        let target: usize = self.known.iter().filter(|(language, _)| wanted.contains(language)).map(|(_, count)| count).sum();
        (all > 0).then(|| share(target as u64, all as u64))
    }
}

struct Work {
    court: Court,
    languages: BTreeMap<&'static str, u64>,
    samples: Samples,
}

impl Work {
    /// Books a row and tells whether it stays.
    fn book(
        &mut self,
        record: &mut Record,
        spoken: &Spoken,
        (config, wanted): (&LanguageConfig, &BTreeSet<Language>),
    ) -> Result<bool, StageError> {
        let name = spoken.main().map_or(if spoken.has_unknown { "unknown" } else { "too short to tell" }, Language::code);
        *self.languages.entry(name).or_default() += 1;
        let said = match spoken.target_share(wanted) {
            Some(target) if target < config.min_target_share.get() => ("other_language", config.action),
            None if spoken.has_unknown => ("unknown_language", config.on_unknown),
            Some(_) | None => ("", Remedy::Keep),
        };
        if said.1 == Remedy::Keep {
            self.court.pass();
            return Ok(true);
        }
        self.samples.add(name, &[&text_of(record, Part::Both)]);
        self.court.judge(record, &[said])
    }

    fn report(self, config: &LanguageConfig) -> Result<Report, StageError> {
        let Self { court, languages, samples } = self;
        let (flagged, to_review) = (court.flagged, court.to_review);
        let tally = court.close()?;
        let mut report = Report::new("Languages", KeepLanguage::KIND);
        let lost = tally.rows_in - tally.rows_out;
        let summary = format!("{lost} of {} rows are in other languages than {}", tally.rows_in, config.allow.join(", "));
        report.verdict(Verdict::Info, summary);
        tally.describe(&mut report);
        report.fact("rows flagged", flagged).fact("rows to review", to_review);
        let mut table = Table::new("Rows by their main language", ["language", "rows", "share"]);
        for (language, count) in &languages {
            table.row([(*language).to_owned(), count.to_string(), percent(share(*count, tally.rows_in))]);
            report.data(*language, *count);
        }
        let bars = languages.iter().map(|(language, count)| ((*language).to_owned(), as_f64(*count))).collect();
        report.table(table).plot(Plot::Bars { title: "Rows by their main language".to_owned(), bars });
        samples.table(&mut report, "Rows in other languages", &["text"]);
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{Bench, row};

    const EN: &str = "The printer on the third floor has been offline since Monday morning.";
    const DE: &str = "Der Drucker im dritten Stock ist seit Montag nicht mehr erreichbar.";
    const UND: &str = "qxz vlkj wrtp zzgh qqpl mnbv xxcv lkjh gfds poiu ztrw";

    fn planted() -> Vec<Record> {
        vec![
            row("a", EN, EN),
            row("b", DE, DE),
            row("c", "ok", "danke"),
            row("d", EN, DE),
            row("e", UND, UND),
            row("f", EN, "si"),
        ]
    }

    #[test]
    fn rows_in_other_languages_go_and_short_and_unknown_ones_stay() {
        let run = Bench::new().rows("rows", &planted()).run::<KeepLanguage>(json!({})).unwrap();
        assert_eq!(run.ids("rows"), ["a", "c", "e", "f"]);
        assert_eq!(run.metrics(["rows_in", "rows", "dropped", "null_fraction.answer"]), json!([6.0, 4.0, 2.0, 0.0]));
        // Row d counts as English: 57 of its letters are, and 56 are German.
        let data = &run.report("report")["data"];
        assert_eq!(
            (&data["en"], &data["de"], &data["unknown"], &data["too short to tell"]),
            (&json!(3), &json!(1), &json!(1), &json!(1))
        );
        assert_eq!(
            run.ledger("report"),
            [
                json!({"row_id": "b", "action": "dropped", "reason": "other_language"}),
                json!({"row_id": "d", "action": "dropped", "reason": "other_language"})
            ]
        );
    }

    #[test]
    fn rows_can_be_marked_instead() {
        let with = json!({"allow": ["en", "fr"], "action": "flag", "on_unknown": "review", "min_target_share": 0.4});
        let out = Bench::new().rows("rows", &planted()).run::<KeepLanguage>(with).unwrap().rows("rows");
        assert_eq!(out.len(), 6);
        assert_eq!((&out[1].meta["_flags"], &out[4].meta["_review"]), (&json!(["other_language"]), &json!(["unknown_language"])));
        assert!(out[3].meta.is_empty());
    }

    #[test]
    fn the_row_can_be_one_text() {
        let with = json!({"unit": "record", "allow": ["de"], "max_drop_fraction": 1.0});
        let run = Bench::new().rows("rows", &planted()).run::<KeepLanguage>(with).unwrap();
        assert!(!run.ids("rows").contains(&"a".to_owned()) && run.ids("rows").contains(&"b".to_owned()));
    }

    #[test]
    fn languages_that_cannot_be_told_are_refused() {
        let error = Bench::new().rows("rows", &planted()).run::<KeepLanguage>(json!({"allow": ["xx"]})).err().unwrap();
        assert!(error.message.contains("xx") && error.help.unwrap().contains("en"), "{}", error.message);
    }

    #[test]
    fn bytes_do_not_depend_on_threads() {
        let rows: Vec<Record> = (0..400).map(|at| row(&format!("{at}"), if at % 3 == 0 { DE } else { EN }, EN)).collect();
        Bench::new().rows("rows", &rows).assert_same_on_threads::<KeepLanguage>(&json!({}));
    }
}
