//! Counters and one latency histogram, in the text format of Prometheus.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Upper bounds of the latency buckets, in milliseconds.
const BOUNDS_MS: [u64; 8] = [50, 100, 250, 500, 1_000, 2_500, 10_000, 60_000];

/// What the server counts. All counters only grow.
#[derive(Default)]
pub(super) struct Metrics {
    requests: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    prompt_tokens: AtomicU64,
    completion_tokens: AtomicU64,
    latency_ms_sum: AtomicU64,
    latency_buckets: [AtomicU64; BOUNDS_MS.len()],
}

impl Metrics {
    /// Counts an answered request.
    pub(super) fn answered(&self, (prompt, completion): (usize, usize), took: Duration) {
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        add(&self.requests, 1);
        add(&self.prompt_tokens, prompt as u64);
        add(&self.completion_tokens, completion as u64);
        add(&self.latency_ms_sum, ms);
        for (bound, bucket) in BOUNDS_MS.iter().zip(&self.latency_buckets) {
            add(bucket, u64::from(ms <= *bound));
        }
    }

    /// Counts a request that was the client's fault or came too many.
    pub(super) fn refused(&self) {
        add(&self.refused, 1);
    }

    /// Counts a request that the model failed.
    pub(super) fn failed(&self) {
        add(&self.failed, 1);
    }

    /// Renders every metric.
    pub(super) fn render(&self) -> String {
        let mut text = String::new();
        let counters = [
            ("flow_requests_total", "Requests answered.", &self.requests),
            ("flow_requests_refused_total", "Requests refused as invalid or too many.", &self.refused),
            ("flow_requests_failed_total", "Requests that the model failed.", &self.failed),
            ("flow_prompt_tokens_total", "Prompt tokens read.", &self.prompt_tokens),
            ("flow_completion_tokens_total", "Tokens produced.", &self.completion_tokens),
        ];
        for (name, help, counter) in counters {
            let value = counter.load(Ordering::Relaxed);
            push(&mut text, format_args!("# HELP {name} {help}\n# TYPE {name} counter\n{name} {value}\n"));
        }
        self.render_latency(&mut text);
        text
    }

    fn render_latency(&self, text: &mut String) {
        let name = "flow_request_duration_milliseconds";
        push(text, format_args!("# HELP {name} From request to last token.\n# TYPE {name} histogram\n"));
        for (bound, bucket) in BOUNDS_MS.iter().zip(&self.latency_buckets) {
            push(text, format_args!("{name}_bucket{{le=\"{bound}\"}} {}\n", bucket.load(Ordering::Relaxed)));
        }
        let count = self.requests.load(Ordering::Relaxed);
        let sum = self.latency_ms_sum.load(Ordering::Relaxed);
        push(text, format_args!("{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum}\n{name}_count {count}\n"));
    }
}

fn add(counter: &AtomicU64, value: u64) {
    counter.fetch_add(value, Ordering::Relaxed);
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("writing to a string never fails");
}
