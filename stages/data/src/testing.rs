//! A bench for stages: binds inputs, runs a stage in a folder of its own, and hands back what it wrote and measured.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
};

use flow_engine::{
    Digest, Seed, Stage, StageContext, StageError,
    context::{BoundInput, Invocation, Progress, Reporter, Site},
    source::SourceFile,
};
use flow_rows::{RowsReader, RowsWriter};
use flow_text::record::{Message, Record};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A row with one question and one answer.
pub(crate) fn row(id: &str, prompt: &str, answer: &str) -> Record {
    let message = |role: &str, content: &str| Message { role: role.to_owned(), content: content.to_owned() };
    Record {
        row_id: id.to_owned(),
        source: "test".to_owned(),
        messages: vec![message("user", prompt), message("assistant", answer)],
        meta: serde_json::Map::new(),
    }
}

/// A row with a field of `meta`.
pub(crate) fn with_meta(mut row: Record, field: &str, value: impl Into<Value>) -> Record {
    row.meta.insert(field.to_owned(), value.into());
    row
}

/// Inputs and sources for one stage.
pub(crate) struct Bench {
    folder: TempDir,
    inputs: BTreeMap<String, Vec<BoundInput>>,
    sources: BTreeMap<String, Vec<SourceFile>>,
    limit: Option<u64>,
    seed: Seed,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), inputs: BTreeMap::new(), sources: BTreeMap::new(), limit: None, seed: Seed(7) }
    }

    /// Binds rows to an input port.
    pub(crate) fn rows(mut self, port: &str, rows: &[Record]) -> Self {
        let bound = self.inputs.get(port).map_or(0, Vec::len);
        let path = self.folder.path().join(format!("in-{port}-{bound}"));
        let mut writer = RowsWriter::create(&path).unwrap();
        for row in rows {
            writer.push(row).unwrap();
        }
        writer.finish().unwrap();
        self.bind(port, path);
        self
    }

    /// Binds a file to an input port.
    pub(crate) fn file(mut self, port: &str, bytes: &[u8]) -> Self {
        let path = self.folder.path().join(format!("in-{port}"));
        fs::write(&path, bytes).unwrap();
        self.bind(port, path);
        self
    }

    /// Binds a folder to an input port.
    pub(crate) fn folder(mut self, port: &str, path: &Path) -> Self {
        self.bind(port, path.to_owned());
        self
    }

    /// Makes a file of a source.
    pub(crate) fn source(mut self, name: &str, bytes: &[u8]) -> Self {
        let path = self.folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let file = SourceFile { path, name: name.to_owned(), digest: Digest::of(bytes), bytes: bytes.len() as u64 };
        self.sources.entry(name.to_owned()).or_default().push(file);
        self
    }

    /// Reads at most so many rows.
    pub(crate) fn limit(mut self, rows: u64) -> Self {
        self.limit = Some(rows);
        self
    }

    /// Sets the seed.
    pub(crate) fn seed(mut self, seed: u64) -> Self {
        self.seed = Seed(seed);
        self
    }

    fn bind(&mut self, port: &str, path: PathBuf) {
        let input = BoundInput { path, digest: Digest::of(port.as_bytes()), from: format!("test.{port}") };
        self.inputs.entry(port.to_owned()).or_default().push(input);
    }

    /// Runs a stage.
    pub(crate) fn run<S: Stage>(&self, with: Value) -> Result<Run, StageError> {
        let config: S::Config = serde_json::from_value(with).map_err(|error| StageError::input(error.to_string()))?;
        let folder = TempDir::new().unwrap();
        let outputs =
            S::ports(&config).outputs.into_iter().map(|port| (port.name.clone(), folder.path().join(port.name))).collect();
        let site = Site { registry: folder.path().into(), store: folder.path().into(), base: folder.path().into() };
        let invocation = Invocation {
            inputs: self.inputs.clone(),
            outputs,
            sources: self.sources.clone(),
            seed: self.seed,
            limit: self.limit,
            scratch: folder.path().join("scratch"),
            site,
            decision: None,
            ancestors: Vec::new(),
            workflow: "test".to_owned(),
        };
        let sink = Sink::default();
        S::run(&config, &mut StageContext::new(&invocation, &sink))?;
        Ok(Run { folder, metrics: sink.metrics.into_inner().unwrap() })
    }

    /// Asserts that 1, 2, and 8 threads write the same bytes.
    pub(crate) fn assert_same_on_threads<S: Stage>(&self, with: &Value) {
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| self.run::<S>(with.clone()).unwrap().files())
        };
        let alone = on(1);
        assert!(!alone.is_empty());
        assert!(alone == on(2) && alone == on(8), "outputs differ between numbers of threads");
    }
}

#[derive(Default)]
struct Sink {
    metrics: Mutex<BTreeMap<String, f64>>,
}

impl Reporter for Sink {
    fn progress(&self, _: &Progress) {}

    fn metric(&self, name: &str, value: f64) {
        self.metrics.lock().unwrap().insert(name.to_owned(), value);
    }

    fn cancelled(&self) -> bool {
        false
    }
}

/// What a stage wrote and measured.
pub(crate) struct Run {
    folder: TempDir,
    metrics: BTreeMap<String, f64>,
}

impl Run {
    pub(crate) fn rows(&self, port: &str) -> Vec<Record> {
        RowsReader::open(&self.folder.path().join(port)).unwrap().read_all().unwrap()
    }

    pub(crate) fn ids(&self, port: &str) -> Vec<String> {
        self.rows(port).into_iter().map(|row| row.row_id).collect()
    }

    pub(crate) fn report(&self, port: &str) -> Value {
        let folder = self.folder.path().join(port);
        assert!(folder.join("report.html").exists());
        serde_json::from_slice(&fs::read(folder.join("report.json")).unwrap()).unwrap_or(json!(null))
    }

    /// The lines of the ledger beside a report.
    pub(crate) fn ledger(&self, port: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path().join(port).join("ledger.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Where an output lies.
    pub(crate) fn path(&self, port: &str) -> PathBuf {
        self.folder.path().join(port)
    }

    /// A file of an output.
    pub(crate) fn file(&self, port: &str, name: &str) -> Vec<u8> {
        fs::read(self.folder.path().join(port).join(name)).unwrap()
    }

    /// Measured numbers as a JSON array; null for one that was not measured.
    pub(crate) fn metrics<const N: usize>(&self, names: [&str; N]) -> Value {
        names.iter().map(|name| Value::from(self.metrics.get(*name).copied())).collect()
    }

    /// One measured number.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        self.metrics[name]
    }

    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        collect(self.folder.path(), self.folder.path(), &mut files);
        files
    }
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            files.insert(path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap());
        }
    }
}
