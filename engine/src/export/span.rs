//! Spans of a run: made from its events, ended in order, named by digests so that a resumed run goes on in the same trace.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::trace::numbers;
use crate::{
    Digest,
    run::{Entry, Event, Outcome, RunId, RunState, SkipReason},
};

/// `SPAN_KIND_INTERNAL`.
const INTERNAL: u8 = 1;

/// How a span ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Status {
    Unset,
    Good,
    Bad(String),
}

/// Something that took time.
#[derive(Clone, Debug)]
pub(super) struct Span {
    trace: String,
    id: String,
    parent: Option<String>,
    name: String,
    begun: Timestamp,
    ended: Timestamp,
    attributes: Vec<(String, Value)>,
    status: Status,
}

impl Span {
    pub(super) fn to_otlp(&self) -> Value {
        let nanos = |time: Timestamp| time.as_nanosecond().max(0).to_string();
        let attributes = self.attributes.iter().map(|(key, value)| json!({"key": key, "value": value}));
        let mut span = json!({
            "traceId": self.trace,
            "spanId": self.id,
            "name": self.name,
            "kind": INTERNAL,
            "startTimeUnixNano": nanos(self.begun),
            "endTimeUnixNano": nanos(self.ended.max(self.begun)),
            "attributes": attributes.collect::<Value>(),
            "status": match &self.status {
                Status::Unset => json!({}),
                Status::Good => json!({"code": 1}),
                Status::Bad(message) => json!({"code": 2, "message": message}),
            },
        });
        if let (Some(parent), Some(object)) = (&self.parent, span.as_object_mut()) {
            object.insert("parentSpanId".to_owned(), json!(parent));
        }
        span
    }
}

/// The trace a run belongs to: its own, or that of whoever started it.
#[derive(Clone, Debug, Default)]
pub(super) struct Ids {
    parent: Option<(String, String)>,
}

impl Ids {
    /// Reads a W3C `traceparent`; another text counts as none.
    pub(super) fn under(traceparent: Option<&str>) -> Self {
        let parent = traceparent.and_then(|text| {
            let mut parts = text.trim().split('-');
            let (_, trace, span) = (parts.next()?, parts.next()?, parts.next()?);
            let hex = |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            let known = hex(trace, 32) && hex(span, 16) && trace.contains(|digit| digit != '0');
            known.then(|| (trace.to_lowercase(), span.to_lowercase()))
        });
        Self { parent }
    }

    fn trace(&self, run: RunId) -> String {
        match &self.parent {
            Some((trace, _)) => trace.clone(),
            None => hex(&format!("trace {run}"), 16),
        }
    }
}

/// A name of so many bytes, from a digest.
fn hex(text: &str, bytes: usize) -> String {
    let digest = Digest::derive("flow.dev 2026-11 span v1", text.as_bytes()).to_string();
    digest.get(..2 * bytes).unwrap_or_default().to_owned()
}

/// Spans that are open, and the rules by which events end them.
pub(super) struct Spans {
    ids: Ids,
    run: Option<RunId>,
    begun: Option<Timestamp>,
    stages: BTreeMap<String, Timestamp>,
    attempts: BTreeMap<String, (u32, Timestamp)>,
    resumed: u64,
}

type Attributes = Vec<(String, Value)>;

fn text(name: &str, value: &dyn std::fmt::Display) -> (String, Value) {
    (name.to_owned(), json!({"stringValue": value.to_string()}))
}

impl Spans {
    pub(super) fn new(ids: Ids) -> Self {
        Self { ids, run: None, begun: None, stages: BTreeMap::new(), attempts: BTreeMap::new(), resumed: 0 }
    }

    /// The spans that an event ends.
    pub(super) fn after(&mut self, entry: &Entry, state: &RunState) -> Vec<Span> {
        self.begin(entry, state);
        let at = entry.at;
        match &entry.event {
            Event::StageStarted { stage, attempt, .. } => {
                self.attempts.insert(stage.clone(), (*attempt, at));
                Vec::new()
            }
            Event::StageRetried { stage, error, .. } => {
                self.attempt(stage, (at, Status::Bad(error.to_string()))).into_iter().collect()
            }
            Event::StageSucceeded { stage, metrics, .. } => {
                self.end((stage, state), (at, Status::Good), measured(metrics, "miss"))
            }
            Event::StageCached { stage, metrics, .. } => {
                self.stage((stage, state), (at, Status::Good), measured(metrics, "hit")).into_iter().collect()
            }
            Event::StageFailed { stage, error, .. } => self.end((stage, state), (at, Status::Bad(error.to_string())), Vec::new()),
            Event::StageInterrupted { stage, .. } => {
                self.end((stage, state), (at, Status::Bad("interrupted".to_owned())), Vec::new())
            }
            Event::StageSkipped { stage, reason } => {
                let attributes = vec![text("flow.skipped", &skipped(reason))];
                self.stage((stage, state), (at, Status::Unset), attributes).into_iter().collect()
            }
            Event::RunFinished { outcome, .. } => self.close(*outcome, at, state),
            Event::RunStarted { .. }
            | Event::RunResumed { .. }
            | Event::SourceReady { .. }
            | Event::StageWaiting { .. }
            | Event::StageParked { .. }
            | Event::StageDecided { .. }
            | Event::StageJudged { .. }
            | Event::StageLost { .. }
            | Event::StageTainted { .. }
            | Event::HookFired { .. }
            | Event::Unknown => Vec::new(),
        }
    }

    /// Notes when the run and the stage of an event were heard of first.
    fn begin(&mut self, entry: &Entry, state: &RunState) {
        self.run = Some(state.run);
        if self.begun.is_none() {
            self.begun = Some(entry.at);
            // Every engine that goes on with a run has a span of its own.
            self.resumed = entry.seq;
        }
        if let Some(stage) = entry.event.stage() {
            self.stages.entry(stage.to_owned()).or_insert(entry.at);
        }
    }

    /// The spans of a stage that ends, and of its attempt, if one is under way.
    fn end(&mut self, stage: (&str, &RunState), (at, status): (Timestamp, Status), more: Attributes) -> Vec<Span> {
        let attempt = self.attempt(stage.0, (at, status.clone()));
        attempt.into_iter().chain(self.stage(stage, (at, status), more)).collect()
    }

    fn attempt(&mut self, stage: &str, (at, status): (Timestamp, Status)) -> Option<Span> {
        let run = self.run?;
        let (number, begun) = self.attempts.remove(stage)?;
        Some(Span {
            trace: self.ids.trace(run),
            id: hex(&format!("attempt {run} {stage} {number}"), 8),
            parent: Some(self.stage_id(run, stage)),
            name: format!("attempt {stage} {number}"),
            begun,
            ended: at,
            attributes: vec![
                text("flow.run", &run),
                text("flow.stage", &stage),
                ("flow.attempt".to_owned(), json!({"intValue": number.to_string()})),
            ],
            status,
        })
    }

    fn stage(&mut self, (name, state): (&str, &RunState), (at, status): (Timestamp, Status), more: Attributes) -> Option<Span> {
        let run = self.run?;
        let begun = self.stages.remove(name)?;
        let known = state.stage(name);
        let mut attributes = vec![text("flow.run", &run), text("flow.stage", &name)];
        attributes.extend(known.map(|known| text("flow.stage.kind", &known.kind)));
        attributes.extend(known.and_then(|known| known.key).map(|key| text("flow.key", &key)));
        attributes.extend(more);
        Some(Span {
            trace: self.ids.trace(run),
            id: self.stage_id(run, name),
            parent: Some(self.run_id(run)),
            name: format!("stage {name}"),
            begun,
            ended: at,
            attributes,
            status,
        })
    }

    /// The run's own span, after what is still open: a parked stage waits for longer than its run.
    fn close(&mut self, outcome: Outcome, at: Timestamp, state: &RunState) -> Vec<Span> {
        let Some((run, begun)) = self.run.zip(self.begun) else { return Vec::new() };
        let open: Vec<String> = self.stages.keys().cloned().collect();
        let mut spans: Vec<Span> =
            open.iter().filter_map(|stage| self.stage((stage, state), (at, Status::Unset), Vec::new())).collect();
        let word = serde_json::to_value(outcome).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default();
        spans.push(Span {
            trace: self.ids.trace(run),
            id: self.run_id(run),
            parent: self.ids.parent.as_ref().map(|(_, span)| span.clone()),
            name: format!("run {}", state.workflow),
            begun,
            ended: at,
            attributes: vec![text("flow.run", &run), text("flow.workflow", &state.workflow), text("flow.outcome", &word)],
            status: match outcome {
                Outcome::Succeeded | Outcome::Parked => Status::Good,
                Outcome::GateFailed | Outcome::Failed | Outcome::Interrupted => Status::Bad(word),
            },
        });
        self.begun = None;
        spans
    }

    fn run_id(&self, run: RunId) -> String {
        hex(&format!("run {run} {}", self.resumed), 8)
    }

    fn stage_id(&self, run: RunId, stage: &str) -> String {
        hex(&format!("stage {run} {} {stage}", self.resumed), 8)
    }
}

fn skipped(reason: &SkipReason) -> String {
    match reason {
        SkipReason::Condition { expression } => format!("if: {expression}"),
        SkipReason::Upstream { stage } => format!("{stage} was skipped"),
        SkipReason::Blocked { stage } => format!("{stage} gave nothing"),
    }
}

/// What a stage measured, and whether it was done before.
fn measured(metrics: &BTreeMap<String, f64>, cache: &str) -> Attributes {
    numbers(metrics).chain([text("flow.cache", &cache)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_joins_the_trace_of_whoever_started_it() {
        let ids = Ids::under(Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
        let run = RunId::generate();
        assert_eq!(ids.trace(run), "0af7651916cd43dd8448eb211c80319c");
        for wrong in ["", "00-0af7-b7ad-01", "00-00000000000000000000000000000000-b7ad6b7169203331-01"] {
            let ids = Ids::under(Some(wrong));
            assert!(ids.parent.is_none(), "{wrong}");
            assert_eq!(ids.trace(run).len(), 32);
        }
    }
}
