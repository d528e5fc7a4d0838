//! Reports of stages that judge: one `report.json` for machines and one self-contained `report.html` for people.
//!
//! A report is a pure function of what the stage computed: no times, paths, or host names, so that the same work gives the
//! same bytes and approvals bound to a report's digest stay valid. `page` draws the HTML, `svg` the plots, and `read` gets
//! back what another tool needs from `report.json`; the run's summary page uses all three.

pub mod number;
pub mod page;
pub mod read;
pub mod svg;

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use crate::StageError;

pub use read::ReportSummary;

/// What a report says in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every check held.
    Pass,
    /// A check failed.
    Fail,
    /// Nothing was judged.
    Info,
}

/// A report under construction.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    title: String,
    kind: String,
    verdict: Verdict,
    summary: Option<String>,
    facts: Vec<Fact>,
    sections: Vec<Section>,
    data: serde_json::Map<String, Value>,
}

/// One headline number.
#[derive(Clone, Debug, Serialize)]
pub struct Fact {
    name: String,
    value: Value,
}

/// One part of the page, in order.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Section {
    /// A paragraph.
    Note(String),
    /// A table.
    Table(Table),
    /// A plot.
    Plot(Plot),
}

/// A table with a caption; every row has as many cells as there are columns.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// A plot drawn as SVG on the page and kept as numbers in `report.json`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum Plot {
    /// One horizontal bar a label.
    Bars {
        /// Caption.
        title: String,
        /// Label and length.
        bars: Vec<(String, f64)>,
    },
    /// Lines over a shared horizontal axis.
    Lines {
        /// Caption.
        title: String,
        /// What the horizontal axis counts.
        x: String,
        /// What the vertical axis measures.
        y: String,
        /// Name and points of each line.
        series: Vec<(String, Vec<(f64, f64)>)>,
    },
    /// Point estimates with 95 % intervals, and a line at zero.
    Intervals {
        /// Caption.
        title: String,
        /// Label, low, middle, high.
        rows: Vec<(String, f64, f64, f64)>,
    },
}

impl Report {
    /// A report of a stage kind such as `guard/pii`.
    pub fn new(title: impl Into<String>, kind: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            kind: kind.into(),
            verdict: Verdict::Info,
            summary: None,
            facts: Vec::new(),
            sections: Vec::new(),
            data: serde_json::Map::new(),
        }
    }

    /// Sets the verdict and the sentence behind it.
    pub fn verdict(&mut self, verdict: Verdict, summary: impl Into<String>) -> &mut Self {
        self.verdict = verdict;
        self.summary = Some(summary.into());
        self
    }

    /// Adds a headline number or word.
    pub fn fact(&mut self, name: impl Into<String>, value: impl Into<Value>) -> &mut Self {
        self.facts.push(Fact { name: name.into(), value: value.into() });
        self
    }

    /// Adds a paragraph.
    pub fn note(&mut self, text: impl Into<String>) -> &mut Self {
        self.sections.push(Section::Note(text.into()));
        self
    }

    /// Adds a table.
    pub fn table(&mut self, table: Table) -> &mut Self {
        self.sections.push(Section::Table(table));
        self
    }

    /// Adds a plot.
    pub fn plot(&mut self, plot: Plot) -> &mut Self {
        self.sections.push(Section::Plot(plot));
        self
    }

    /// Adds machine-readable content under a key of `report.json`.
    pub fn data(&mut self, key: impl Into<String>, value: impl Into<Value>) -> &mut Self {
        self.data.insert(key.into(), value.into());
        self
    }

    /// Writes `report.json` and `report.html` into `directory`, which is made.
    pub fn write(&self, directory: &Path) -> Result<(), StageError> {
        std::fs::create_dir_all(directory)?;
        let json =
            serde_json::to_vec_pretty(self).map_err(|e| StageError::internal("cannot serialize the report").because(&e))?;
        std::fs::write(directory.join("report.json"), json)?;
        std::fs::write(directory.join("report.html"), page::report(self))?;
        Ok(())
    }
}

impl Table {
    /// A table with a caption and column names.
    pub fn new<S: Into<String>>(title: impl Into<String>, columns: impl IntoIterator<Item = S>) -> Self {
        Self { title: title.into(), columns: columns.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) -> &mut Self {
        self.rows.push(cells.into_iter().map(Into::into).collect());
        self
    }
}
