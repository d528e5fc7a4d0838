//! OpenTelemetry traces: a span for the run, for every stage, and for every attempt, sent as OTLP over HTTP in JSON.
//!
//! Spans are sent when they have ended: every few seconds while the run goes on, and once more at its end. A collector that
//! does not answer is told in the log and changes nothing about the run.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use super::{
    Environment,
    http::Receiver,
    outbox::Outbox,
    span::{Ids, Span, Spans},
};
use crate::run::{Entry, Observer, RunState};

const EVERY: Duration = Duration::from_secs(5);
/// Spans of one message; a run of many stages is told in several.
const BATCH: usize = 512;

/// Where spans go, and under which name.
#[derive(Clone, Debug)]
struct Collector {
    receiver: Receiver,
    resource: Vec<(String, String)>,
}

impl Collector {
    /// What the usual variables say; none when they name no collector.
    fn from_environment(environment: Environment<'_>) -> Option<Self> {
        let said = |name: &str| environment(name).filter(|value| !value.trim().is_empty());
        let disabled = said("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let none = said("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
        let base = || said("OTEL_EXPORTER_OTLP_ENDPOINT").map(|base| format!("{}/v1/traces", base.trim_end_matches('/')));
        let url = said("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(base).filter(|_| !disabled && !none)?;
        let headers = said("OTEL_EXPORTER_OTLP_TRACES_HEADERS").or_else(|| said("OTEL_EXPORTER_OTLP_HEADERS"));
        let mut resource = pairs(&said("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default());
        resource.retain(|(name, _)| name != "service.name");
        resource.push(("service.name".to_owned(), said("OTEL_SERVICE_NAME").unwrap_or_else(|| "flow".to_owned())));
        Some(Self { receiver: Receiver::impatient(url, pairs(&headers.unwrap_or_default())), resource })
    }

    fn document(&self, spans: &[Span]) -> Value {
        let attributes = self.resource.iter().map(|(name, value)| json!({"key": name, "value": {"stringValue": value}}));
        let scope = json!({"name": "flow", "version": env!("CARGO_PKG_VERSION")});
        let spans: Vec<Value> = spans.iter().map(Span::to_otlp).collect();
        json!({"resourceSpans": [{
            "resource": {"attributes": attributes.collect::<Value>()},
            "scopeSpans": [{"scope": scope, "spans": spans}],
        }]})
    }

    fn send(&self, spans: &[Span]) {
        for batch in spans.chunks(BATCH) {
            let body = self.document(batch).to_string();
            if let Err(error) = self.receiver.post(body.as_bytes()) {
                // What does not answer now is not asked again for the rest of it.
                return tracing::warn!(%error, spans = spans.len(), "Could not send a trace.");
            }
        }
    }
}

/// `name=value,name=value`, percent-encoded values decoded.
fn pairs(text: &str) -> Vec<(String, String)> {
    let pair = |part: &str| part.split_once('=').map(|(name, value)| (name.trim().to_owned(), decoded(value.trim())));
    text.split(',').filter_map(pair).filter(|(name, _)| !name.is_empty()).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        if let Some(byte) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(|_| *first == b'%') {
            bytes.push(byte);
            rest = tail.get(2..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Watches a run and sends its spans.
pub(super) struct Tracer {
    spans: Spans,
    outbox: Outbox<Span>,
}

impl Tracer {
    /// A tracer, if the environment names a collector.
    pub(super) fn start(environment: Environment<'_>) -> Option<Self> {
        let collector = Collector::from_environment(environment)?;
        let ids = Ids::under(environment("TRACEPARENT").as_deref());
        let outbox = Outbox::start("traces", EVERY, move |spans| collector.send(&spans))?;
        Some(Self { spans: Spans::new(ids), outbox })
    }
}

impl Observer for Tracer {
    fn event(&mut self, entry: &Entry, state: &RunState) {
        for span in self.spans.after(entry, state) {
            self.outbox.put(span);
        }
    }
}

/// Numbers by name as attributes.
pub(super) fn numbers(metrics: &BTreeMap<String, f64>) -> impl Iterator<Item = (String, Value)> + '_ {
    metrics.iter().map(|(name, value)| (format!("flow.metric.{name}"), json!({"doubleValue": value})))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::{http::loopback::Loopback, testing};

    fn environment<'a>(values: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| values.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn the_usual_variables_name_the_collector() {
        let none = Collector::from_environment(&environment(&[]));
        assert!(none.is_none());
        let values = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://host:4318/"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20abc, x=y"),
            ("OTEL_SERVICE_NAME", "nightly"),
        ];
        let collector = Collector::from_environment(&environment(&values)).unwrap();
        assert_eq!(collector.receiver.url, "http://host:4318/v1/traces");
        assert_eq!(collector.receiver.headers[0], ("authorization".to_owned(), "Bearer abc".to_owned()));
        assert_eq!(collector.resource, [("service.name".to_owned(), "nightly".to_owned())]);
        let whole = [("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://host/t"), ("OTEL_SDK_DISABLED", "true")];
        assert!(Collector::from_environment(&environment(&whole)).is_none());
        assert_eq!(Collector::from_environment(&environment(&whole[..1])).unwrap().receiver.url, "http://host/t");
    }

    #[test]
    fn a_collector_gets_a_span_for_run_stages_and_attempts() {
        let server = Loopback::answering(&[200]);
        let base = server.url("");
        let values = [("OTEL_EXPORTER_OTLP_ENDPOINT", base.as_str())];
        let mut tracer = Tracer::start(&environment(&values)).unwrap();
        testing::replay(|entry, state| tracer.event(entry, state));
        drop(tracer);
        let requests = server.requests();
        assert_eq!(requests[0].path, "/v1/traces");
        let document = requests[0].json();
        let spans = document["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone();
        let named = |name: &str| spans.iter().find(|span| span["name"] == name).unwrap_or_else(|| panic!("{name}: {spans:?}"));
        let (run, train, attempt) = (named("run toys"), named("stage train"), named("attempt train 1"));
        assert_eq!(train["parentSpanId"], run["spanId"]);
        assert_eq!(attempt["parentSpanId"], train["spanId"]);
        assert!(run.get("parentSpanId").is_none());
        for span in &spans {
            assert_eq!(span["traceId"], run["traceId"]);
            assert_eq!((span["traceId"].as_str().unwrap().len(), span["spanId"].as_str().unwrap().len()), (32, 16));
            let nanos = |key: &str| span[key].as_str().unwrap().parse::<u128>().unwrap();
            assert!(nanos("startTimeUnixNano") <= nanos("endTimeUnixNano"));
        }
        assert_eq!((&attempt["status"]["code"], &run["status"]["code"]), (&json!(2), &json!(1)));
        assert_eq!(spans.len(), 1 + testing::STAGES + testing::ATTEMPTS);
    }

    #[test]
    fn a_collector_that_is_gone_keeps_nothing_from_running() {
        let gone = Loopback::answering(&[]).url("");
        let values = [("OTEL_EXPORTER_OTLP_ENDPOINT", gone.as_str())];
        let mut tracer = Tracer::start(&environment(&values)).unwrap();
        testing::replay(|entry, state| tracer.event(entry, state));
        drop(tracer);
    }
}
