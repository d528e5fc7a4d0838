//! What the end-to-end tests share: a clean project folder, the built binary, and where outside data and referees lie.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use serde_json::{Deserializer, Value};
use tempfile::TempDir;

/// The root of this repository.
pub(crate) fn repository() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().expect("the package lies below the root").to_path_buf()
}

/// A project of its own: folder, store, registry, and an environment that holds nothing else.
pub(crate) struct TestProject {
    folder: TempDir,
}

/// What a run of the binary gave.
pub(crate) struct Outcome {
    /// Exit code; -1 when a signal ended it.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

impl TestProject {
    /// An empty project.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("temp dir");
        fs::create_dir(folder.path().join("project")).expect("folder");
        Self { folder }
    }

    /// The project's folder.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    /// The content store.
    pub(crate) fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// Writes a file of the project.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("has a parent")).expect("folder");
        fs::write(path, text).expect("writes");
    }

    /// Copies a folder of the repository into the project, without its runs.
    pub(crate) fn copy(&self, folder: &str) {
        let mut waiting = vec![repository().join(folder)];
        while let Some(from) = waiting.pop() {
            for entry in fs::read_dir(&from).expect("a folder").flatten() {
                let path = entry.path();
                let name = path.strip_prefix(repository()).expect("lies in the repository");
                if entry.file_type().expect("has a type").is_dir() {
                    if entry.file_name() != ".flow" {
                        waiting.push(path);
                    }
                } else {
                    let to = self.path().join(name);
                    fs::create_dir_all(to.parent().expect("has a parent")).expect("folder");
                    fs::copy(&path, to).expect("copies");
                }
            }
        }
    }

    /// The binary, to be run in the project.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flow"));
        command
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .env("FLOW_STORE", self.store())
            .env("COLUMNS", "100")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        // pip's own settings decide where a wheel comes from.
        for (name, value) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PIP_")) {
            command.env(name, value);
        }
        command
    }

    /// Runs the binary to its end.
    #[must_use = "assert the exit code or read the output"]
    pub(crate) fn flow(&self, arguments: &[&str]) -> Outcome {
        Outcome::from(self.command(arguments).output().expect("the binary starts"))
    }

    /// Runs the binary with `--json` and parses its one document.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let outcome = self.flow(&[arguments, &["--json"]].concat());
        serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {}\n{}", outcome.stdout, outcome.stderr))
    }

    /// Where every stage of the latest run stands, such as `cached` or `cut-off`.
    pub(crate) fn standings(&self) -> BTreeMap<String, String> {
        let standing = |stage: &Value| {
            let status = &stage["status"];
            let how = status["hit"]["how"].as_str().or_else(|| status["state"].as_str());
            Some((stage["name"].as_str()?.to_owned(), how?.to_owned()))
        };
        let status = self.json(&["status"]);
        status["state"]["stages"].as_array().expect("a run has stages").iter().filter_map(standing).collect()
    }

    /// What `flow status` knows about a stage of the latest run.
    pub(crate) fn stage(&self, name: &str) -> Value {
        let mut status = self.json(&["status"]);
        let stages = status["state"]["stages"].as_array_mut().expect("a run has stages");
        stages.iter_mut().find(|stage| stage["name"] == name).map(Value::take).expect("the stage is in the run")
    }

    /// The digest of an output of the latest run.
    pub(crate) fn digest(&self, stage: &str, port: &str) -> String {
        let stage = self.stage(stage);
        stage["outputs"][port]["digest"].as_str().unwrap_or_else(|| panic!("no {port} in {stage}")).to_owned()
    }
}

impl Outcome {
    /// Asserts the exit code, showing what was printed when it differs.
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// A `flow serve` that ends with the test.
pub(crate) struct Server {
    process: Child,
    /// Where it listens.
    pub(crate) address: String,
}

impl Server {
    /// Serves a model on a free port and waits until it listens.
    pub(crate) fn start(project: &TestProject, reference: &str) -> Self {
        let mut command = project.command(&["serve", reference, "--bind", "127.0.0.1:0", "--json"]);
        let mut process = command.stdout(Stdio::piped()).spawn().expect("the binary starts");
        let output = BufReader::new(process.stdout.take().expect("piped"));
        let ready: Value = Deserializer::from_reader(output).into_iter().next().expect("it says where it is").expect("JSON");
        let address = ready["address"].as_str().expect("an address").to_owned();
        Self { process, address }
    }

    /// Posts a document as any HTTP client does, and returns the status and the body.
    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, String) {
        let body = body.to_string();
        let mut stream = TcpStream::connect(&self.address).expect("connects");
        let head = format!("POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        let content = format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all((head + &content).as_bytes()).expect("sends");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("receives");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, body.to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// The Python of the outside referees, or a counted skip; with `CI=true` a missing one is a failure.
pub(crate) fn referees() -> Option<PathBuf> {
    if let Some(python) = std::env::var_os("FLOW_REFEREES_PYTHON") {
        return Some(python.into());
    }
    absent("FLOW_REFEREES_PYTHON names no Python with tests/referees/requirements.txt installed");
    None
}

/// Says that a test is skipped, or fails where everything must be there.
pub(crate) fn absent(what: &str) {
    assert!(std::env::var_os("CI").is_none_or(|value| value != "true"), "{what}");
    eprintln!("skipped: {what}");
}
