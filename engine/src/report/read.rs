//! What other tools need back from `report.json`: the headline and the plots.

use std::path::Path;

use serde_json::{Map, Value};

use super::{Plot, Verdict};

/// The headline and the plots of a written report.
#[derive(Clone, Debug)]
pub struct ReportSummary {
    /// Its title.
    pub title: String,
    /// The stage kind that wrote it.
    pub kind: String,
    /// What it says in one word.
    pub verdict: Verdict,
    /// The sentence behind the verdict.
    pub summary: Option<String>,
    /// Headline numbers in order.
    pub facts: Vec<(String, Value)>,
    /// Plots in order.
    pub plots: Vec<Plot>,
    /// Machine-readable content.
    pub data: Map<String, Value>,
}

/// A report that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the report {path}")]
pub struct ReportReadError {
    path: String,
    #[source]
    source: std::io::Error,
}

impl ReportSummary {
    /// Reads `report.json` of a folder. Parts this version does not know are left out.
    pub fn read(folder: &Path) -> Result<Self, ReportReadError> {
        let path = folder.join("report.json");
        let value = std::fs::read(&path).and_then(|bytes| Ok(serde_json::from_slice::<Value>(&bytes)?));
        match value {
            Ok(value) => Ok(Self::from_json(&value)),
            Err(source) => Err(ReportReadError { path: path.display().to_string(), source }),
        }
    }

    fn from_json(value: &Value) -> Self {
        let sections = items(&value["sections"]);
        Self {
            title: text(&value["title"]),
            kind: text(&value["kind"]),
            verdict: match value["verdict"].as_str() {
                Some("pass") => Verdict::Pass,
                Some("fail") => Verdict::Fail,
                _ => Verdict::Info,
            },
            summary: value["summary"].as_str().map(str::to_owned),
            facts: items(&value["facts"]).iter().map(|fact| (text(&fact["name"]), fact["value"].clone())).collect(),
            plots: sections.iter().filter_map(|section| plot(&section["plot"])).collect(),
            data: value["data"].as_object().cloned().unwrap_or_default(),
        }
    }
}

fn plot(value: &Value) -> Option<Plot> {
    let title = text(&value["title"]);
    match value["type"].as_str()? {
        "bars" => {
            Some(Plot::Bars { title, bars: items(&value["bars"]).iter().map(|bar| (text(&bar[0]), real(&bar[1]))).collect() })
        }
        "lines" => {
            let series = items(&value["series"]).iter().map(|one| (text(&one[0]), points(&one[1]))).collect();
            Some(Plot::Lines { title, x: text(&value["x"]), y: text(&value["y"]), series })
        }
        "intervals" => {
            let row = |row: &Value| (text(&row[0]), real(&row[1]), real(&row[2]), real(&row[3]));
            Some(Plot::Intervals { title, rows: items(&value["rows"]).iter().map(row).collect() })
        }
        _ => None,
    }
}

fn points(value: &Value) -> Vec<(f64, f64)> {
    items(value).iter().map(|point| (real(&point[0]), real(&point[1]))).collect()
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// JSON has no NaN: what is written as null was not a finite number.
fn real(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Report;

    #[test]
    fn a_written_report_reads_back() {
        let mut report = Report::new("t", "train/sft");
        let series = vec![("train".to_owned(), vec![(1.0, 2.5), (2.0, f64::NAN)])];
        report.verdict(Verdict::Pass, "fine").fact("steps", 2);
        report.plot(Plot::Lines { title: "Loss".into(), x: "step".into(), y: "nll".into(), series });
        let read = ReportSummary::from_json(&serde_json::to_value(&report).unwrap());
        assert_eq!((read.verdict, read.summary.as_deref()), (Verdict::Pass, Some("fine")));
        assert_eq!(read.facts, [("steps".to_owned(), Value::from(2))]);
        let [Plot::Lines { series, .. }] = read.plots.as_slice() else { panic!("{:?}", read.plots) };
        assert_eq!(series[0].1[0], (1.0, 2.5));
        assert!(series[0].1[1].1.is_nan());
    }

    #[test]
    fn foreign_json_gives_an_empty_summary() {
        let read = ReportSummary::from_json(&Value::from(3));
        assert!(read.plots.is_empty() && read.facts.is_empty());
    }
}
