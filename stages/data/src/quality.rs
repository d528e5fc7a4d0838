//! `data/quality`: drops, flags, or sends to review rows that teach nothing, see [`flow_text::quality`].

use std::collections::BTreeMap;

use flow_engine::{
    ArtifactKind, Fraction, Ports, Resources, Stage, StageContext, StageError,
    report::{Plot, Report, Table, Verdict},
};
use flow_text::{
    quality::{Action, Census, Entry, Judgement, Profile, Rules, judge},
    record::Record,
    shingle::{Part, text_of},
};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    ledger::Ledger,
    remedy::{Court, Remedy},
    sample::Samples,
    stream::{RowsIn, RowsOut},
    tally::{as_f64, percent, share},
};

/// Judge rows by rules: length, repetition, turns, letters, refusals, unfinished and template answers.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QualityConfig {
    /// Which rules are asked: `sft` for instructions and answers, `web` for pages of running text.
    pub profile: Profile,
    /// Rows with a lower score are dropped: 1 less 0.1 for every flag and 0.3 for every reason to review.
    pub min_score: Fraction,
    /// The limits of the rules, and what becomes of rows beyond them.
    pub rules: Rules,
    /// Fail when more than this share of rows is dropped.
    pub max_drop_fraction: Fraction,
}

impl Default for QualityConfig {
    fn default() -> Self {
        let fraction = |value| Fraction::try_from(value).expect("it lies between 0 and 1");
        Self { profile: Profile::Sft, min_score: fraction(0.0), rules: Rules::default(), max_drop_fraction: fraction(0.5) }
    }
}

/// `data/quality`.
pub struct Quality;

impl Stage for Quality {
    type Config = QualityConfig;
    const KIND: &'static str = "data/quality";
    const REVISION: u32 = 1;

    fn ports(_: &QualityConfig) -> Ports {
        Ports::new()
            .reads_many("rows", ArtifactKind::Rows)
            .writes("rows", ArtifactKind::Rows)
            .writes("report", ArtifactKind::Report)
    }

    fn resources(_: &QualityConfig) -> Resources {
        Resources::all_cpus()
    }

    fn run(config: &QualityConfig, cx: &mut StageContext<'_>) -> Result<(), StageError> {
        let rows = RowsIn::open(cx)?;
        let census = take_census(&rows, config, cx)?;
        let mut out = RowsOut::create(cx, "rows")?;
        let mut work = Work::new(Ledger::create(cx)?);
        for batch in rows.batches() {
            cx.check_cancelled()?;
            let batch = batch?;
            let judge = |record: &Record| judge(record, config.profile, &config.rules, &census);
            let judged: Vec<Judgement> = batch.par_iter().map(judge).collect();
            for (mut record, judgement) in batch.into_iter().zip(judged) {
                if work.book(&mut record, &judgement, config)? {
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

/// Reads the rows once for what no single row shows; the profile for pages asks nothing of the kind.
fn take_census(rows: &RowsIn, config: &QualityConfig, cx: &StageContext<'_>) -> Result<Census, StageError> {
    let mut entries = Vec::new();
    if config.profile == Profile::Sft {
        for batch in rows.batches() {
            cx.check_cancelled()?;
            entries.par_extend(batch?.par_iter().map(Entry::of));
            cx.progress_note(entries.len() as u64, Some(rows.count()), "rows", "counting".to_owned());
        }
    }
    Ok(Census::new(&entries))
}

struct Work {
    court: Court,
    /// Rows that broke each rule, whether another rule dropped them or not.
    broken: BTreeMap<&'static str, u64>,
    /// Rows by tenths of their score.
    scores: BTreeMap<u32, u64>,
    samples: Samples,
}

impl Work {
    fn new(ledger: Ledger) -> Self {
        Self { court: Court::new(ledger), broken: BTreeMap::new(), scores: BTreeMap::new(), samples: Samples::new() }
    }

    /// Books a row and tells whether it stays.
    fn book(&mut self, record: &mut Record, judgement: &Judgement, config: &QualityConfig) -> Result<bool, StageError> {
        let score = judgement.score();
        *self.scores.entry(tenths(score)).or_default() += 1;
        let mut said: Vec<(&'static str, Remedy)> =
            judgement.broken.iter().map(|broken| (broken.reason, remedy(broken.action))).collect();
        for (reason, _) in &said {
            *self.broken.entry(reason).or_default() += 1;
            self.samples.add(reason, &[&text_of(record, Part::Prompt), &text_of(record, Part::Answer)]);
        }
        if score < config.min_score.get() && judgement.action() != Action::Drop {
            said.push(("low_score", Remedy::Drop));
        }
        let stays = self.court.judge(record, &said)?;
        if stays && !said.is_empty() {
            record.meta.insert("_quality".to_owned(), json!(score));
        }
        Ok(stays)
    }

    fn report(self, config: &QualityConfig) -> Result<Report, StageError> {
        let Self { court, broken, scores, samples } = self;
        let (flagged, to_review) = (court.flagged, court.to_review);
        let tally = court.close()?;
        let mut report = Report::new("Quality", Quality::KIND);
        let lost = tally.rows_in - tally.rows_out;
        let summary = format!("{lost} of {} rows dropped, {flagged} flagged, {to_review} to review", tally.rows_in);
        report.verdict(Verdict::Info, summary);
        tally.describe(&mut report);
        let profile = match config.profile {
            Profile::Sft => "sft",
            Profile::Web => "web",
        };
        report.fact("profile", profile).fact("rows flagged", flagged).fact("rows to review", to_review);
        let mut table = Table::new("Rows that broke a rule", ["rule", "rows", "share"]);
        for (reason, count) in &broken {
            table.row([(*reason).to_owned(), count.to_string(), percent(share(*count, tally.rows_in))]);
        }
        report.data("broken", json!(broken)).data("rules", json!(config.rules));
        let bars = scores.iter().map(|(tenth, count)| (format!("{:.1}", f64::from(*tenth) / 10.0), as_f64(*count))).collect();
        report.table(table).plot(Plot::Bars { title: "Rows by score".to_owned(), bars });
        samples.table(&mut report, "Rows that broke a rule", &["prompt", "answer"]);
        Ok(report)
    }
}

fn remedy(action: Action) -> Remedy {
    match action {
        Action::Ignore => Remedy::Keep,
        Action::Flag => Remedy::Flag,
        Action::Review => Remedy::Review,
        Action::Drop => Remedy::Drop,
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a score lies between 0 and 1")]
fn tenths(score: f64) -> u32 {
    (score * 10.0 + 0.5) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Bench, row};

    const GOOD: &str = "Water boils at a lower temperature on a mountain, because the air presses less on it.";

    fn planted() -> Vec<Record> {
        let mut rows: Vec<Record> =
            (0..20).map(|at| row(&format!("good{at}"), &format!("Question {at}: why?"), &format!("{GOOD} ({at})"))).collect();
        rows.push(row("echo", GOOD, GOOD));
        rows.push(row("loop", "Write!", &"roses are red and violets are blue. ".repeat(40)));
        rows.push(row("refusal", "Build it", "I'm sorry, but I can't help with that."));
        rows.push(row(
            "cut",
            "Explain",
            &format!("{GOOD} And the reason for that is easy to see for everybody who ever was on the"),
        ));
        rows
    }

    #[test]
    fn planted_defects_are_dropped_or_flagged_by_name() {
        let run = Bench::new().rows("rows", &planted()).run::<Quality>(json!({})).unwrap();
        assert_eq!(run.metrics(["rows_in", "rows", "dropped"]), json!([24.0, 22.0, 2.0]));
        let marks: Vec<(String, Value)> = run
            .rows("rows")
            .into_iter()
            .filter(|row| row.meta.contains_key("_flags"))
            .map(|row| (row.row_id, row.meta["_flags"].clone()))
            .collect();
        assert_eq!(marks, [("refusal".to_owned(), json!(["refusal"])), ("cut".to_owned(), json!(["unfinished"]))]);
        let reasons: Vec<Value> =
            run.ledger("report").iter().map(|line| json!([line["row_id"], line["action"], line["reason"]])).collect();
        assert_eq!(reasons[..2], [json!(["echo", "dropped", "answer_repeats_prompt"]), json!(["loop", "dropped", "repetition"])]);
        assert_eq!(run.report("report")["data"]["broken"]["unfinished"], json!(1));
    }

    #[test]
    fn a_score_can_be_asked_for_and_rules_left_out() {
        let gone = |rules: Value| {
            let with = json!({"min_score": 0.95, "rules": rules});
            let run = Bench::new().rows("rows", &planted()).run::<Quality>(with).unwrap();
            let lines = run.ledger("report").into_iter().filter(|line| line["action"] == "dropped");
            lines.map(|line| json!([line["row_id"], line["reason"]])).collect::<Vec<Value>>()
        };
        let echo_alone = json!({"prompt_answer_jaccard": {"max": 0.9, "action": "ignore"}});
        let low = [json!(["loop", "repetition"]), json!(["refusal", "low_score"]), json!(["cut", "low_score"])];
        // An answer as long as its prompt lies far outside of what these rows are like.
        assert_eq!(gone(echo_alone), [&[json!(["echo", "low_score"])], &low[..]].concat());
        let both = json!({
            "prompt_answer_jaccard": {"max": 0.9, "action": "ignore"}, "length_ratio": {"max": 3.0, "action": "ignore"}
        });
        assert_eq!(gone(both), low);
    }

    #[test]
    fn pages_of_running_text_have_other_rules_and_the_ceiling_holds() {
        let bench = Bench::new().rows("rows", &planted());
        let error = bench.run::<Quality>(json!({"profile": "web"})).err().unwrap();
        assert!(error.message.contains("gopher_words"), "{}", error.message);
    }

    #[test]
    fn bytes_do_not_depend_on_threads() {
        Bench::new().rows("rows", &planted()).assert_same_on_threads::<Quality>(&json!({}));
    }

    use serde_json::Value;
}
