//! The report of an evaluation: means by arm, differences with their intervals, and answers side by side.

use flow_engine::report::{Plot, Report, Table};
use serde_json::json;

use super::{Outcome, SuiteConfig, arm::Kind};

/// Items shown with every arm's answer.
const SHOWN: usize = 12;
/// Characters of a text shown.
const EXCERPT: usize = 240;

/// Builds the report. It holds no times, so that the same work gives the same bytes.
pub(super) fn build(config: &SuiteConfig, outcome: &Outcome) -> Report {
    let mut report = Report::new("Base against tuned", "eval/suite");
    report.fact("Items", outcome.items.len());
    for difference in &outcome.differences {
        if difference.against == Kind::Base {
            let found = difference.found;
            let value = format!("{} to {}", digits(found.base), digits(found.tuned));
            report.fact(format!("{}, base to tuned", difference.metric.name()), value);
        }
    }
    report.note(method(config, outcome));
    report.table(means(outcome)).table(differences(outcome)).plot(intervals(outcome));
    report.table(side_by_side(outcome));
    report.data("differences", differences_data(outcome));
    report.data("examples", json!(outcome.example_ids));
    report
}

fn method(config: &SuiteConfig, outcome: &Outcome) -> String {
    let examples = match outcome.example_ids.len() {
        0 => String::new(),
        count => format!(" The arm base_shots sees {count} solved examples first, none of which is asked."),
    };
    let unusable = match outcome.unusable {
        0 => String::new(),
        count => format!(" {count} rows without an answer of the assistant were left out."),
    };
    format!(
        "Every arm answers the same items with the same chat template, greedily, in at most {} tokens. Intervals: paired \
         bootstrap over items, {} resamples, seed {}, 95 %.{examples}{unusable}",
        config.max_new_tokens, config.bootstrap.resamples, config.bootstrap.seed
    )
}

fn means(outcome: &Outcome) -> Table {
    let names = outcome.metrics.iter().map(|metric| metric.name());
    let mut table = Table::new("Means by arm", std::iter::once("arm").chain(names));
    for arm in &outcome.arms {
        let cells = outcome.metrics.iter().map(|metric| Outcome::mean(arm, *metric).map_or("-".to_owned(), digits));
        table.row(std::iter::once(arm.kind.name().to_owned()).chain(cells));
    }
    table
}

fn differences(outcome: &Outcome) -> Table {
    let mut table = Table::new("Tuned less base", ["metric", "against", "difference", "95 % low", "95 % high"]);
    for difference in &outcome.differences {
        let found = difference.found;
        let [middle, low, high] = [found.difference, found.low, found.high].map(digits);
        table.row([difference.metric.name().to_owned(), difference.against.name().to_owned(), middle, low, high]);
    }
    table
}

fn intervals(outcome: &Outcome) -> Plot {
    let rows = outcome.differences.iter().map(|difference| {
        let label = format!("{} against {}", difference.metric.name(), difference.against.name());
        (label, difference.found.low, difference.found.difference, difference.found.high)
    });
    Plot::Intervals { title: "Tuned less base, 95 % intervals".to_owned(), rows: rows.collect() }
}

fn differences_data(outcome: &Outcome) -> serde_json::Value {
    let named = outcome.differences.iter().map(|difference| (difference.name(), json!(difference.found)));
    serde_json::Value::Object(named.collect())
}

fn side_by_side(outcome: &Outcome) -> Table {
    let arms = outcome.arms.iter().map(|arm| arm.kind.name());
    let mut table = Table::new("Answers side by side", ["row", "question", "right answer"].into_iter().chain(arms));
    for (index, item) in outcome.items.iter().enumerate().take(SHOWN) {
        let question = item.prompt.last().map_or("", |message| &message.content);
        let said = outcome.arms.iter().map(|arm| arm.answers.get(index).map_or("", |answer| &answer.text));
        let cells = [question, &item.reference].into_iter().chain(said).map(excerpt);
        table.row(std::iter::once(item.row_id.chars().take(8).collect()).chain(cells));
    }
    table
}

fn excerpt(text: &str) -> String {
    match text.char_indices().nth(EXCERPT) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn digits(value: f64) -> String {
    format!("{value:.3}")
}
