//! What the runs of a project were, and how they differ.
//!
//! Leans on the journals of [`crate::run`] and on the results and key pre-images of [`crate::store`]. A run leaves a
//! [`RunRecord`] and its workflow texts beside its journal, so that a later look needs no version control. Nothing here starts
//! a stage; how anything looks at a terminal or on a page is the caller's concern.

mod bisect;
mod compare;
mod cost;
mod difference;
mod edit;
mod list;
mod metric;
mod past;
mod record;
mod since;
mod texts;

pub use bisect::{BisectError, Mixed, Mixture, Next, Pair, Place, Places, Question, Reading, Search, Verdict, pair, places};
pub use compare::{Line, RunColumn, RunTable, run_table};
pub use cost::{Basis, Estimate, Range};
pub(crate) use difference::flat;
pub use difference::{
    ArtifactDifference, ArtifactFile, FileDifference, FileState, KeyDifference, MetricDifference, OutputDifference,
    ReportDifference, RowChange, RowSample, RowsDifference, RunDifference, RunHead, SourceDifference, SourceRole,
    artifact_difference, find_output, run_difference,
};
pub use edit::{Edit, edits};
pub use list::{RunFilter, RunRow, StageCounts, remove_runs, run_rows};
pub use metric::{metric, metric_stage, metrics};
pub(crate) use past::{Past, rows_read};
pub(crate) use record::keep_code;
pub use record::{RecordedFile, RunRecord};
pub use since::StageEdit;
pub(crate) use since::edited;
pub use texts::Texts;
