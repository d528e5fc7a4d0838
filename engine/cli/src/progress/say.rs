//! Events in words. Terminals and logs say the same.

use std::collections::BTreeSet;

use flow_engine::{
    Digest, StageError,
    context::{Decision, Progress},
    history::StageEdit,
    run::{Clause, Event, GateVerdict, Hit, RESUMED_FROM_STEP, Reviewed, RunState, SkipReason, StageProgress, Supply},
    store::Owner,
};

use crate::{
    text::{bytes, duration, metrics},
    ui::{Paint, Tone},
};

/// Names longer than this are not padded for.
const WIDEST_NAME: usize = 28;
/// Numbers shown behind a finished stage.
const METRICS: usize = 3;
/// Edited stages that are told one by one.
const EDITS: usize = 10;

/// One line about a stage or the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Saying {
    pub(crate) stage: String,
    pub(crate) tone: Tone,
    pub(crate) sign: &'static str,
    /// What happened.
    pub(crate) text: String,
    /// What is said more quietly behind it.
    pub(crate) aside: String,
}

impl Saying {
    pub(super) fn about(stage: &str, tone: Tone, sign: &'static str, text: impl Into<String>) -> Self {
        Self { stage: stage.to_owned(), tone, sign, text: text.into(), aside: String::new() }
    }

    fn aside(mut self, aside: impl Into<String>) -> Self {
        self.aside = aside.into();
        self
    }

    /// The line, the stage's name padded to `width`.
    pub(crate) fn render(&self, paint: Paint, width: usize) -> String {
        let aside = if self.aside.is_empty() { String::new() } else { format!("  {}", paint.quiet(&self.aside)) };
        let sign = paint.tone(self.tone, self.sign);
        format!("  {sign} {}  {}{aside}", paint.strong(&format!("{:<width$}", self.stage)), self.text)
    }
}

/// The room that stage names need.
pub(super) fn name_width(state: &RunState) -> usize {
    state.stages.iter().map(|stage| stage.name.chars().count()).max().unwrap_or(0).min(WIDEST_NAME)
}

/// How far a stage or the fetch of its source is, in words.
pub(super) fn progress_text(update: &StageProgress) -> String {
    let words = progress_words(&update.progress);
    update.source.as_ref().map_or_else(|| words.clone(), |uri| format!("fetching {uri}: {words}"))
}

/// Counts, unit, and reading.
pub(crate) fn progress_words(progress: &Progress) -> String {
    let (read, unit): (fn(u64) -> String, _) = match progress.unit.as_str() {
        "bytes" => (bytes, String::new()),
        unit => (|count| count.to_string(), format!(" {unit}")),
    };
    let total = progress.total.map(|total| format!("/{}", read(total))).unwrap_or_default();
    let note = progress.note.as_ref().map(|note| format!(" · {note}")).unwrap_or_default();
    format!("{}{total}{unit}{note}", read(progress.done))
}

/// Says what is new: a question that was told already is not told again when its answer is looked up.
#[derive(Default)]
pub(super) struct Teller {
    asked: BTreeSet<Digest>,
}

impl Teller {
    pub(super) fn say(&mut self, event: &Event, state: &RunState) -> Vec<Saying> {
        match event {
            Event::StageParked { key, .. } if !self.asked.insert(*key) => Vec::new(),
            _ => say(event, state),
        }
    }
}

/// That a run goes on, and with what it did not begin with.
fn resumed(edited: &[StageEdit], state: &RunState) -> Vec<Saying> {
    let told = |edit: &StageEdit| {
        let first = edit.changes.first().map(ToString::to_string).unwrap_or_default();
        let more = if edit.changes.len() > 1 { format!(" (and {} more)", edit.changes.len() - 1) } else { String::new() };
        let text = format!("was edited since the run began and goes on as it is now: {first}{more}");
        Saying::about(&edit.stage, Tone::Watch, "!", text)
    };
    let mut said = vec![Saying::about("", Tone::Calm, "↻", format!("{} goes on", state.workflow))];
    said.extend(edited.iter().take(EDITS).map(told));
    if edited.len() > EDITS {
        said.push(Saying::about("", Tone::Watch, "!", format!("{} more stages were edited", edited.len() - EDITS)));
    }
    said
}

/// What to say about an event; starts are left to the observers, the end of the run to the summary.
fn say(event: &Event, state: &RunState) -> Vec<Saying> {
    let watch = |stage: &str, sign, text: String| vec![Saying::about(stage, Tone::Watch, sign, text)];
    match event {
        Event::RunStarted { .. }
        | Event::StageStarted { .. }
        | Event::HookFired { error: None, .. }
        | Event::RunFinished { .. }
        | Event::Unknown => Vec::new(),
        Event::HookFired { moment, hook, error: Some(error) } => {
            watch("", "!", format!("hook of `{moment}` failed, {hook}: {error}"))
        }
        Event::RunResumed { edited } => resumed(edited, state),
        Event::SourceReady { stage, uri, bytes: size, supply, .. } => source(stage, (uri, *size), *supply).into_iter().collect(),
        Event::StageWaiting { stage, owner, .. } => vec![Saying::about(stage, Tone::Calm, "…", waiting(owner, state))],
        Event::StageParked { stage, reviewed, .. } => watch(stage, "⏸", parked(reviewed)),
        Event::StageDecided { stage, decision, .. } => vec![decided(stage, decision)],
        Event::StageCached { stage, hit, metrics: read, seconds, .. } => {
            let saved = if *seconds >= 1.0 { format!(", saved {}", duration(*seconds)) } else { String::new() };
            let text = format!("{}{saved}", cached(hit));
            vec![Saying::about(stage, Tone::Calm, "≡", text).aside(metrics(read, &[], METRICS))]
        }
        Event::StageRetried { stage, attempt, error, wait_seconds } => {
            watch(stage, "↻", format!("attempt {attempt} failed: {error}; again in {}", duration(*wait_seconds)))
        }
        Event::StageSucceeded { stage, metrics: read, seconds, .. } => {
            let from = read.get(RESUMED_FROM_STEP).map(|step| format!(", from step {step}")).unwrap_or_default();
            let text = format!("{}{from}", duration(*seconds));
            vec![Saying::about(stage, Tone::Good, "✓", text).aside(metrics(read, &[], METRICS))]
        }
        Event::StageFailed { stage, error, .. } => failed(stage, error),
        Event::StageSkipped { stage, reason } => vec![Saying::about(stage, Tone::Quiet, "–", skipped(reason))],
        Event::StageJudged { stage, verdicts } => verdicts.iter().map(|verdict| judged(stage, verdict)).collect(),
        Event::StageLost { stage, digest, reason, found_by, .. } => {
            vec![lost(stage, (digest, reason.as_str()), found_by.as_deref())]
        }
        Event::StageTainted { stage, changed } => watch(stage, "!", tainted(changed)),
        Event::StageInterrupted { stage, .. } => watch(stage, "⏸", "stopped at a safe point".to_owned()),
    }
}

fn parked(reviewed: &[Reviewed]) -> String {
    let list: Vec<&str> = reviewed.iter().map(|artifact| artifact.from.as_str()).collect();
    format!("waits for approval of {}", list.join(", "))
}

fn decided(stage: &str, decision: &Decision) -> Saying {
    let (tone, sign, word) = if decision.approved { (Tone::Good, "✓", "approved") } else { (Tone::Bad, "✗", "rejected") };
    let comment = decision.comment.clone().unwrap_or_default();
    Saying::about(stage, tone, sign, format!("{word} by {}", decision.by)).aside(comment)
}

fn lost(stage: &str, (digest, reason): (&Digest, &str), found_by: Option<&str>) -> Saying {
    let text = format!("object {} of the store cannot be used: {reason}; it is made again", digest.short());
    let found = found_by.map(|by| format!("found by {by}")).unwrap_or_default();
    Saying::about(stage, Tone::Watch, "↻", text).aside(found)
}

/// That a result counts for this run only, and why.
pub(crate) fn tainted(changed: &[std::path::PathBuf]) -> String {
    let first = changed.first().map(|path| crate::text::near_here(path).display().to_string()).unwrap_or_default();
    let more = if changed.len() > 1 { format!(" and {} more", changed.len() - 1) } else { String::new() };
    format!("not cached: {first}{more} changed while it was read; run again when nobody writes to it")
}

/// Who does the work, seen from this run.
pub(crate) fn waiting(owner: &Owner, state: &RunState) -> String {
    let pid = owner.process.pid;
    if owner.run == state.run.to_string() {
        format!("still at work in process {pid}, which outlived its engine")
    } else {
        format!("computing in run {} (process {pid}); waits for it", owner.run)
    }
}

fn source(stage: &str, (uri, size): (&str, u64), supply: Supply) -> Option<Saying> {
    let verb = match supply {
        // Nothing a person has to know: it is what the lock file says.
        Supply::Pinned => return None,
        Supply::Found => "found",
        Supply::Fetched => "fetched",
    };
    Some(Saying::about(stage, Tone::Good, "↓", format!("{verb} {uri} ({})", bytes(size))).aside("pinned in flow.lock"))
}

/// Why a stage did not have to run.
pub(crate) fn cached(hit: &Hit) -> String {
    match hit {
        Hit::Cached => "cached".to_owned(),
        Hit::CutOff { ran } => format!("cached: {} gave the same bytes again", ran.join(", ")),
        Hit::Recovered => "recovered: it finished while nobody watched".to_owned(),
        Hit::Shared => "shared: another run finished the same work".to_owned(),
    }
}

/// Why a stage was left out.
pub(crate) fn skipped(reason: &SkipReason) -> String {
    match reason {
        SkipReason::Condition { expression } => format!("skipped: `{expression}` is false"),
        SkipReason::Upstream { stage } => format!("skipped: {stage} was skipped"),
        SkipReason::Blocked { stage } => format!("not reached: {stage} stopped it"),
    }
}

fn failed(stage: &str, error: &StageError) -> Vec<Saying> {
    let first = Saying::about(stage, Tone::Bad, "✗", error.to_string());
    let help = error.help.as_ref().map(|help| Saying::about("", Tone::Bad, " ", format!("help: {help}")));
    std::iter::once(first).chain(help).collect()
}

fn judged(stage: &str, verdict: &GateVerdict) -> Saying {
    let clause = match verdict.clause {
        Clause::Gate => "gate",
        Clause::Expect => "expect",
    };
    let (tone, sign, word) = if verdict.passed { (Tone::Good, "✓", "holds") } else { (Tone::Bad, "✗", "not met") };
    Saying::about(stage, tone, sign, format!("{clause} {word}: {}", verdict.expression)).aside(verdict.detail.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_stage_fact_and_aside() {
        let saying = Saying::about("train", Tone::Good, "✓", "41s").aside("loss 0.4");
        assert_eq!(saying.render(Paint::Plain, 8), "  ✓ train     41s  loss 0.4");
    }

    #[test]
    fn a_failure_comes_with_its_help() {
        let lines = failed("ingest", &StageError::input("no valid row in data.jsonl").help("look at the quarantine"));
        let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["no valid row in data.jsonl", "help: look at the quarantine"]);
    }

    #[test]
    fn a_broken_gate_shows_its_reading() {
        let verdict = GateVerdict {
            clause: Clause::Gate,
            expression: "metrics.f1 >= 0.9".into(),
            passed: false,
            detail: "metrics.f1 = 0.5".into(),
        };
        let line = judged("eval", &verdict);
        assert_eq!(
            (line.tone, line.text.as_str(), line.aside.as_str()),
            (Tone::Bad, "gate not met: metrics.f1 >= 0.9", "metrics.f1 = 0.5")
        );
    }

    #[test]
    fn progress_counts_bytes_as_sizes() {
        let progress = Progress { done: 1_500_000, total: Some(3_000_000), unit: "bytes".into(), note: None };
        let update = StageProgress { stage: "train".into(), source: Some("pip:m==1/x".into()), progress };
        assert_eq!(progress_text(&update), "fetching pip:m==1/x: 1.5 MB/3.0 MB");
    }

    #[test]
    fn pinned_sources_are_not_worth_a_line() {
        assert_eq!(source("train", ("pip:x==1/y", 3), Supply::Pinned), None);
        assert!(source("train", ("pip:x==1/y", 3), Supply::Fetched).is_some());
    }
}
