//! The data and Responsible-AI stages: raw text in, curated, audited, and split rows out. The only crate that names polars.
//!
//! Each stage is a shell around functions of `flow-text`: it reads batches of rows, maps them in parallel, writes them in
//! order, and accounts for every row in a `tally::Tally`. The bytes written never depend on the number of threads.

pub mod bias;
pub mod clean;
pub mod contract;
pub mod decontaminate;
pub mod dedup;
mod field;
pub mod ingest;
pub mod language;
mod ledger;
pub mod licence;
pub mod pii;
pub mod quality;
mod remedy;
mod sample;
pub mod secrets;
pub mod split;
mod stream;
mod tally;
#[cfg(test)]
mod testing;

use std::sync::Arc;

use flow_engine::StageRegistry;

/// Adds every stage of this crate, and the viewer of the rows they write.
#[must_use]
pub fn register(registry: StageRegistry) -> StageRegistry {
    registry
        .with::<ingest::Ingest>()
        .with::<contract::Contract>()
        .with::<licence::LicenceGuard>()
        .with::<clean::Clean>()
        .with::<language::KeepLanguage>()
        .with::<quality::Quality>()
        .with::<dedup::Dedup>()
        .with::<decontaminate::Decontaminate>()
        .with::<pii::Pii>()
        .with::<secrets::Secrets>()
        .with::<bias::Bias>()
        .with::<split::Split>()
        .with_viewer(Arc::new(flow_rows::RowsViewer))
}
