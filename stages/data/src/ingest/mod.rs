//! `data/ingest`: files of any common shape in, canonical rows out, and what cannot be read named by line and reason.

mod compress;
mod config;
mod csv;
mod elements;
mod identity;
mod ipc;
mod json;
mod lines;
mod map;
mod parquet;
mod reject;
mod source;
mod template;
mod transcript;
mod work;

use std::path::Path;

use flow_engine::{ArtifactKind, Ports, SourceRef, Stage, StageContext, StageError};

pub use compress::Compression;
pub use config::{DuplicateKeys, Format, IngestConfig, InvalidUtf8, Nul, OnEmpty, Source};
pub use map::{CustomMap, Map};

use crate::stream::RowsOut;
use source::{Entry, Input};
pub(crate) use source::{Row, read_rows};
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
        let mut out = RowsOut::create(cx, "rows")?;
        let mut work = Work::new(config, cx.limit());
        for source in &config.sources {
            work.open_source(source);
            for input in inputs(source, cx)? {
                if !work.is_full() {
                    read_file(source, &input, (&mut work, &mut out), cx)?;
                }
            }
        }
        let filled = out.finish()?;
        work.settle()?;
        work.measure(cx);
        filled.measure(cx);
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
        let wanted = files.iter().filter(|file| source.split.as_ref().is_none_or(|split| names_split(&file.name, split)));
        let files: Vec<File<'_>> = wanted.map(|file| File { path: &file.path, name: file.name.clone() }).collect();
        return match (&source.split, files.is_empty()) {
            (Some(split), true) => {
                let message = format!("no file of {pattern} has the split {split} in its name");
                Err(StageError::input(message).help("file names such as `train-00000-of-00001.parquet` name their split"))
            }
            (Some(_) | None, _) => Ok(files),
        };
    }
    let bound = cx.inputs("files").iter().enumerate();
    Ok(bound.map(|(at, input)| File { path: &input.path, name: format!("files[{at}]") }).collect())
}

/// Whether the name of a data file names a split, as a word by itself: `data/train-00000-of-00001.parquet`, not `training.csv`.
fn names_split(file: &str, split: &str) -> bool {
    const ENDINGS: [&str; 10] = ["jsonl", "ndjson", "json", "csv", "tsv", "parquet", "arrow", "ipc", "feather", "txt"];
    let mut endings = Path::new(file).file_name().and_then(|name| name.to_str()).unwrap_or(file).split('.').skip(1);
    endings.any(|ending| ENDINGS.contains(&ending)) && file.split(|c: char| !c.is_alphanumeric()).any(|word| word == split)
}

fn read_file(
    source: &Source,
    file: &File<'_>,
    (work, out): (&mut Work<'_>, &mut RowsOut),
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
            out.push(&record)?;
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
