//! A tiny model of our own with a byte-level tokenizer, and a way to run stages without an engine.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use flow_engine::{
    Digest, Seed, SourceRef, Stage, StageContext, StageError,
    context::{BoundInput, Invocation, Progress, Reporter, Site},
    horizon::{Keeper, Milestone, OpenCheckpoint, Reach},
    source::SourceFile,
};
use flow_model::{Checkpoint, Family, ModelConfig, weights::save_folder};
use flow_rows::RowsWriter;
use flow_text::{
    record::{Message, Record},
    tokenizer::{ChatTokenizer, TokenizerParts},
};

/// The URI under which the tiny model is a source.
pub(crate) const MODEL: &str = "file:tiny";

const CHATML: &str = "{% for m in messages %}{{'<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n'}}{% endfor %}\
                      {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// The characters that byte-level BPE writes bytes as, in byte order.
fn byte_characters() -> Vec<String> {
    let printable = |byte: u32| (33..127).contains(&byte) || (161..173).contains(&byte) || (174..256).contains(&byte);
    let mut next = 255;
    let codes = (0..256).map(|byte| {
        next += u32::from(!printable(byte));
        if printable(byte) { byte } else { next }
    });
    codes.map(|code| char::from_u32(code).unwrap().to_string()).collect()
}

/// Writes the tiny model as a Hugging Face folder. `first` is the text of token 0.
pub(crate) fn write_model(folder: &Path, first: &str) {
    let mut tokens = vec![first.to_owned(), "<|im_start|>".to_owned(), "<|im_end|>".to_owned()];
    tokens.extend(byte_characters());
    let mut token_types = vec![1; tokens.len()];
    token_types[..3].fill(3);
    let config = ModelConfig {
        vocab_size: tokens.len(),
        // Wide enough for a frozen head to be sure of a token: the norm before it bounds every logit.
        hidden_size: 128,
        intermediate_size: 128,
        head_dim: 32,
        context: 256,
        tied_head: true,
        ..ModelConfig::tiny(Family::Llama)
    };
    let parts = TokenizerParts {
        model: "gpt2".to_owned(),
        pre: "smollm".to_owned(),
        tokens,
        token_types,
        eos: Some(0),
        chat_template: Some(CHATML.to_owned()),
        ..TokenizerParts::default()
    };
    save_folder(&Checkpoint::random(&config, 21), folder).unwrap();
    ChatTokenizer::from_parts(&parts).unwrap().save(folder).unwrap();
}

/// A row of two turns.
pub(crate) fn record(row_id: &str, question: &str, answer: &str) -> Record {
    let turn = |role: &str, content: &str| Message { role: role.to_owned(), content: content.to_owned() };
    let messages = vec![turn("user", question), turn("assistant", answer)];
    Record { row_id: row_id.to_owned(), source: "test".to_owned(), messages, meta: serde_json::Map::new() }
}

/// Rows whose answers follow from their questions: an untrained network tells a letter said often from another one.
pub(crate) fn records(count: usize) -> Vec<Record> {
    let colours = ["red", "blue", "green"];
    let row = |n: usize, letter: char| {
        let question: String = std::iter::repeat_n(letter, 24).collect();
        record(&format!("row{n:03}"), &question, &format!("kind: {}\nnumber: {n}", colours[n % 3]))
    };
    ('a'..).take(count).enumerate().map(|(n, letter)| row(n, letter)).collect()
}

/// Writes a `rows` artifact.
pub(crate) fn write_rows(folder: &Path, records: &[Record]) {
    let mut writer = RowsWriter::create(folder).unwrap();
    for record in records {
        writer.push(record).unwrap();
    }
    writer.finish().unwrap();
}

/// A folder with the tiny model, in which stages run one after another.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
}

/// What a stage reported, and when it is asked to stop.
#[derive(Default)]
pub(crate) struct Log {
    /// Metrics by name.
    pub(crate) metrics: Mutex<BTreeMap<String, f64>>,
    /// Messages about training steps so far.
    pub(crate) seen: AtomicU64,
    /// Asked to stop once this many were seen.
    pub(crate) stop_after: Option<u64>,
}

impl Log {
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let metrics = self.metrics.lock().unwrap();
        *metrics.get(name).unwrap_or_else(|| panic!("no metric {name} among {:?}", metrics.keys()))
    }
}

impl Log {
    /// Asserts that a metric has a value.
    pub(crate) fn expect(&self, name: &str, value: f64) {
        let found = self.metric(name);
        assert!((found - value).abs() < 1e-9, "{name} is {found}, not {value}");
    }
}

impl Reporter for Log {
    fn progress(&self, progress: &Progress) {
        self.seen.fetch_add(u64::from(progress.unit == "steps"), Ordering::Relaxed);
    }

    fn metric(&self, name: &str, value: f64) {
        self.metrics.lock().unwrap().insert(name.to_owned(), value);
    }

    fn cancelled(&self) -> bool {
        self.stop_after.is_some_and(|stop| self.seen.load(Ordering::Relaxed) >= stop)
    }
}

/// The log of a run with its checkpoints, as an engine would keep them: one folder a step, never pruned.
struct Kept<'a> {
    log: &'a Log,
    folder: PathBuf,
}

impl Reporter for Kept<'_> {
    fn progress(&self, progress: &Progress) {
        self.log.progress(progress);
    }

    fn metric(&self, name: &str, value: f64) {
        Reporter::metric(self.log, name, value);
    }

    fn cancelled(&self) -> bool {
        self.log.cancelled()
    }

    fn keeper(&self) -> Option<&dyn Keeper> {
        Some(self)
    }
}

impl Keeper for Kept<'_> {
    fn resume(&self, reach: Reach, open: OpenCheckpoint<'_>) -> Result<Option<Milestone>, StageError> {
        let folders = std::fs::read_dir(&self.folder).into_iter().flatten().map(|entry| entry.unwrap().path());
        let read = |folder: PathBuf| -> (Milestone, PathBuf) {
            (serde_json::from_slice(&std::fs::read(folder.with_extension("json")).unwrap()).unwrap(), folder)
        };
        let mut found: Vec<_> = folders.filter(|path| path.is_dir()).map(read).collect();
        found.retain(|(at, _)| at.step <= reach.total && (at.total == reach.total || at.shared && at.step <= reach.shared));
        found.sort_by_key(|(at, _)| std::cmp::Reverse(at.step));
        Ok(found.into_iter().find(|(at, folder)| open(at, folder).is_ok()).map(|(at, _)| at))
    }

    fn save(&self, milestone: &Milestone, folder: &Path, _: usize) -> Result<(), StageError> {
        let place = self.folder.join(format!("{:06}-of-{}", milestone.step, milestone.total));
        std::fs::create_dir_all(&self.folder)?;
        drop(std::fs::remove_dir_all(&place));
        std::fs::rename(folder, &place)?;
        std::fs::write(place.with_extension("json"), serde_json::to_vec(milestone).unwrap()).map_err(StageError::from)
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap() };
        write_model(&bench.path("model"), "<|end|>");
        bench
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a stage as attempt `name`: its outputs are `name.port`, its scratch folder `name.scratch`, and its checkpoints
    /// lie in `name.checkpoints`.
    pub(crate) fn run<S: Stage>(
        &self,
        name: &str,
        config: serde_json::Value,
        inputs: &[(&str, &str)],
        log: &Log,
    ) -> Result<(), StageError> {
        let config: S::Config = serde_json::from_value(config).unwrap();
        let ports = S::ports(&config);
        for port in &ports.outputs {
            let output = self.path(&format!("{name}.{}", port.name));
            if output.is_dir() { std::fs::remove_dir_all(&output).unwrap() } else { drop(std::fs::remove_file(&output)) }
        }
        let bind = |(port, artifact): &(&str, &str)| {
            let input = BoundInput { path: self.path(artifact), digest: Digest::of(b""), from: String::new() };
            ((*port).to_owned(), vec![input])
        };
        let invocation = Invocation {
            inputs: inputs.iter().map(bind).collect(),
            outputs: ports.outputs.iter().map(|port| (port.name.clone(), self.path(&format!("{name}.{}", port.name)))).collect(),
            sources: S::sources(&config).iter().map(|source| self.resolve(source)).collect(),
            seed: Seed(17),
            limit: None,
            scratch: self.path(&format!("{name}.scratch")),
            site: Site { registry: self.path("registry"), store: self.path("store"), base: self.path("") },
            decision: None,
            ancestors: Vec::new(),
            workflow: "test".to_owned(),
        };
        let kept = Kept { log, folder: self.path(&format!("{name}.checkpoints")) };
        S::run(&config, &mut StageContext::new(&invocation, &kept))
    }

    fn resolve(&self, source: &SourceRef) -> (String, Vec<SourceFile>) {
        let uri = source.name();
        let folder = match uri.strip_prefix("file:") {
            Some("tiny") => self.path("model"),
            Some(other) => self.path(other),
            None => panic!("no source {uri}"),
        };
        let files = std::fs::read_dir(folder).unwrap().map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            SourceFile { path, name, digest: Digest::of(b""), bytes: 0 }
        });
        (uri, files.collect())
    }

    /// Reads every file of an output, by name.
    pub(crate) fn bytes(&self, output: &str) -> BTreeMap<String, Vec<u8>> {
        let entries = std::fs::read_dir(self.path(output)).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap())).collect()
    }
}
