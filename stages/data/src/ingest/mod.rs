//! `data/ingest`: files of any common shape in, canonical rows out, and what cannot be read named by line and reason.

mod config;
mod csv;
mod identity;
mod json;
mod lines;
mod map;
mod parquet;
mod reject;
mod source;
mod template;
mod work;

use std::path::Path;

use flow_engine::{ArtifactKind, Ports, SourceRef, Stage, StageContext, StageError};
use flow_rows::RowsWriter;

pub use config::{Format, IngestConfig, Nul, Source};
pub use map::{CustomMap, Map};

use source::{Entry, Input};
use work::Work;

/// Rows between two reports of progress.
const BATCH: u64 = 4_096;

/// `data/ingest`.
pub struct Ingest;

impl Stage for Ingest {
    type Config = IngestConfig;
    const KIND: &'static str = "data/ingest";
    const REVISION: u32 = 1;
    const READS_LIMIT: bool = true;

    fn ports(config: &IngestConfig) -> Ports {
        let ports = Ports::new().writes("rows", ArtifactKind::Rows).writes("report", ArtifactKind::Report);
        let reads_port = config.sources.iter().any(|source| source.path.is_none());
        if reads_port { ports.reads_many("files", ArtifactKind::File) } else { ports }
    }

    fn sources(config: &IngestConfig) -> Vec<SourceRef> {
        config.sources.iter().filter_map(|source| source.path.clone()).map(SourceRef::Files).collect()
    }

    fn run(config: &IngestConfig, cx: &mut StageContext<'_>) -> Result<(), StageError> {
        config.check()?;
        let mut writer = RowsWriter::create(cx.output("rows")?)?;
        let mut work = Work::new(config, cx.limit());
        for source in &config.sources {
            work.open_source(source);
            for input in inputs(source, cx)? {
                if !work.is_full() {
                    read_file(source, &input, (&mut work, &mut writer), cx)?;
                }
            }
        }
        writer.finish()?;
        work.settle()?;
        work.measure(cx);
        work.report().write(cx.output("report")?)
    }
}

/// A file with the name that reports may show.
struct File<'a> {
    path: &'a Path,
    name: String,
}

fn inputs<'a>(source: &Source, cx: &StageContext<'a>) -> Result<Vec<File<'a>>, StageError> {
    if let Some(pattern) = &source.path {
        let files = cx.source(pattern)?;
        if files.is_empty() {
            return Err(StageError::input(format!("no file matches {pattern}")).help("paths are relative to the workflow file"));
        }
        return Ok(files.iter().map(|file| File { path: &file.path, name: file.name.clone() }).collect());
    }
    let bound = cx.inputs("files").iter().enumerate();
    Ok(bound.map(|(at, input)| File { path: &input.path, name: format!("files[{at}]") }).collect())
}

fn read_file(
    source: &Source,
    file: &File<'_>,
    (work, writer): (&mut Work<'_>, &mut RowsWriter),
    cx: &StageContext<'_>,
) -> Result<(), StageError> {
    let input = Input { path: file.path, name: &file.name, source, config: work.config() };
    work.open_file(file.path)?;
    for entry in input.open()? {
        let entry = entry?;
        if let Entry::Blank = entry {
            work.skip_blank();
            continue;
        }
        if let Some(record) = work.book(&file.name, entry) {
            writer.push(&record)?;
        }
        if work.rows_read().is_multiple_of(BATCH) {
            cx.check_cancelled()?;
            cx.progress(work.rows_read(), None, "rows");
        }
        if work.is_full() {
            break;
        }
    }
    cx.progress(work.rows_read(), None, "rows");
    Ok(())
}

#[cfg(test)]
mod tests;
