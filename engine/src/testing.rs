//! Toy stages: real stages with tiny jobs, so that plans and runs can be tested without tables or tensors.

mod walk;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::walk::{Pace, Resume, Walk, WalkConfig};
use crate::{
    ArtifactKind, Effect, Ports, SourceRef, Stage, StageContext, StageError, StageRegistry,
    context::Site,
    govern::ReviewTerms,
    report::{Report, Verdict},
};

/// Every toy stage.
pub fn toys() -> StageRegistry {
    StageRegistry::new()
        .with::<Emit>()
        .with::<Concat>()
        .with::<Fail>()
        .with::<Sleep>()
        .with::<Hog>()
        .with::<Judge>()
        .with::<Decide>()
        .with::<Pinned>()
        .with::<Publish>()
        .with::<Walk>()
        .with::<Scribble>()
        .with::<Linger>()
}

/// Writes a text.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmitConfig {
    /// What to write.
    #[serde(default)]
    pub text: String,
    /// A pattern of files whose content is written after the text.
    #[serde(default)]
    pub files: Option<String>,
    /// How often to write it.
    #[serde(default = "once")]
    pub times: u32,
}

fn once() -> u32 {
    1
}

/// `toy/emit`: writes a text and the content of files to `out`.
pub struct Emit;

impl Stage for Emit {
    type Config = EmitConfig;
    const KIND: &'static str = "toy/emit";
    const REVISION: u32 = 1;
    const READS_LIMIT: bool = true;

    fn ports(_: &EmitConfig) -> Ports {
        Ports::new().writes("out", ArtifactKind::File)
    }

    fn sources(config: &EmitConfig) -> Vec<SourceRef> {
        config.files.iter().cloned().map(SourceRef::Files).collect()
    }

    fn run(config: &EmitConfig, cx: &mut StageContext<'_>) -> Result<(), StageError> {
        let mut text = config.text.repeat(config.times as usize);
        if let Some(pattern) = &config.files {
            for file in cx.source(pattern)? {
                text.push_str(&std::fs::read_to_string(&file.path)?);
            }
        }
        if let Some(limit) = cx.limit() {
            text = text.lines().take(usize::try_from(limit).unwrap_or(usize::MAX)).collect::<Vec<_>>().join("\n");
        }
        cx.measure("bytes", count(text.len()));
        std::fs::write(cx.output("out")?, text).map_err(StageError::from)
    }
}

/// Joins its inputs.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConcatConfig {
    /// What to put between two parts.
    #[serde(default)]
    pub separator: String,
}

/// `toy/concat`: joins the files at `parts`, in order, and writes `out`.
pub struct Concat;

impl Stage for Concat {
    type Config = ConcatConfig;
    const KIND: &'static str = "toy/concat";
    const REVISION: u32 = 1;

    fn ports(_: &ConcatConfig) -> Ports {
        Ports::new().reads_many("parts", ArtifactKind::File).writes("out", ArtifactKind::File)
    }

    fn run(config: &ConcatConfig, cx: &mut StageContext<'_>) -> Result<(), StageError> {
        let parts: Vec<String> =
            cx.inputs("parts").iter().map(|part| std::fs::read_to_string(&part.path)).collect::<Result<_, _>>()?;
        cx.measure("parts", count(parts.len()));
        std::fs::write(cx.output("out")?, parts.join(&config.separator)).map_err(StageError::from)
    }
}

/// How `toy/fail` fails.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// With an error about its input.
    Input,
    /// With an error about the machine.
    Resource,
    /// With a panic.
    Panic,
    /// By killing its own process.
    Abort,
}

/// Fails a number of times, then succeeds.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FailConfig {
    /// How it fails.
    #[serde(default = "by_input")]
    pub how: Failure,
    /// Attempts that fail before one succeeds.
    #[serde(default = "always")]
    pub times: u32,
}

fn by_input() -> Failure {
    Failure::Input
}

fn always() -> u32 {
    u32::MAX
}

/// `toy/fail`: counts its attempts in the scratch folder and fails the first ones.
pub struct Fail;

impl Stage for Fail {
    type Config = FailConfig;
    const KIND: &'static str = "toy/fail";
    const REVISION: u32 = 1;

    fn ports(_: &FailConfig) -> Ports {
        Ports::new().reads_optional("in", ArtifactKind::Any).writes("out", ArtifactKind::File)
    }

    fn run(config: &FailConfig, cx: &mut StageContext<'_>) -> Result<(), StageError> {
        let attempts = cx.scratch().join("attempts");
        let before = read_count(&attempts);
        std::fs::write(&attempts, (before + 1).to_string())?;
        if before >= u64::from(config.times) {
            return std::fs::write(cx.output("out")?, "done\n").map_err(StageError::from);
        }
        match config.how {
            Failure::Input => Err(StageError::input("this toy fails on purpose").help("use toy/emit for one that succeeds")),
            Failure::Resource => Err(StageError::resource("this toy ran out of something")),
            Failure::Panic => panic!("this toy panics on purpose"),
            Failure::Abort => std::process::abort(),
        }
    }
}

/// Sleeps in steps and remembers them.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SleepConfig {
    /// How many steps there are.
    #[serde(default = "once")]
    pub steps: u32,
    /// How long a step takes.
    #[serde(default)]
    pub millis: u64,
    /// What to write at the end.
    #[serde(default)]
    pub text: String,
}

/// `toy/sleep`: a stage with checkpoints. A repeated attempt goes on after the last finished step.
pub struct Sleep;

impl Stage for Sleep {
    type Config = SleepConfig;
    const KIND: &'static str = "toy/sleep";
    const REVISION: u32 = 1;

    fn ports(_: &SleepConfig) -> Ports {
        Ports::new().reads_optional("in", ArtifactKind::Any).writes("out", ArtifactKind::File)
    }

    fn run(config: &SleepConfig, cx: &mut StageContext<'_>) -> Result<(), StageError> {
        let checkpoint = cx.scratch().join("step");
        let first = read_count(&checkpoint);
        cx.measure("first_step", f64::from(u32::try_from(first).unwrap_or(u32::MAX)));
        for step in first..u64::from(config.steps) {
            cx.check_cancelled()?;
            thread::sleep(Duration::from_millis(config.millis));
            std::fs::write(&checkpoint, (step + 1).to_string())?;
            cx.progress(step + 1, Some(u64::from(config.steps)), "steps");
        }
        std::fs::write(cx.output("out")?, format!("{} {}\n", config.steps, config.text)).map_err(StageError::from)
    }
}

/// Takes memory.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HogConfig {
    /// How much, in mebibytes.
    pub mebibytes: u32,
}

/// `toy/hog`: takes memory bit by bit, touches it, and writes how much it had.
pub struct Hog;

impl Stage for Hog {
    type Config = HogConfig;
    const KIND: &'static str = "toy/hog";
    const REVISION: u32 = 1;

    fn ports(_: &HogConfig) -> Ports {
        Ports::new().writes("out", ArtifactKind::File)
    }

    fn run(config: &HogConfig, cx: &mut StageContext<'_>) -> Result<(), StageError> {
        let mut held: Vec<Vec<u8>> = Vec::new();
        for mebibyte in 0..config.mebibytes {
            held.push(vec![u8::try_from(mebibyte % 251).unwrap_or(0); 1 << 20]);
        }
        std::fs::write(cx.output("out")?, std::hint::black_box(&held).len().to_string()).map_err(StageError::from)
    }
}

/// Reports given numbers.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JudgeConfig {
    /// What to report by name.
    #[serde(default)]
    pub metrics: BTreeMap<String, f64>,
}

/// `toy/judge`: measures what it is told and writes a `report`.
pub struct Judge;

impl Stage for Judge {
    type Config = JudgeConfig;
    const KIND: &'static str = "toy/judge";
    const REVISION: u32 = 1;

    fn ports(_: &JudgeConfig) -> Ports {
        Ports::new().reads("in", ArtifactKind::File).writes("report", ArtifactKind::Report)
    }

    fn run(config: &JudgeConfig, cx: &mut StageContext<'_>) -> Result<(), StageError> {
        let mut report = Report::new("A toy's judgement", Self::KIND);
        report.verdict(Verdict::Info, "the numbers were given");
        for (name, value) in &config.metrics {
            cx.measure(name, *value);
            report.fact(name.as_str(), *value);
        }
        report.data("input_bytes", std::fs::metadata(cx.input("in")?)?.len());
        report.write(cx.output("report")?)
    }
}

/// `toy/decide`: needs a person's decision about `review` and records it as `approval`.
pub struct Decide;

impl Stage for Decide {
    type Config = ReviewTerms;
    const KIND: &'static str = "toy/decide";
    const REVISION: u32 = 1;
    const EFFECT: Effect = Effect::Decides;

    fn ports(_: &ReviewTerms) -> Ports {
        Ports::new().reads_many("review", ArtifactKind::Any).writes("approval", ArtifactKind::Approval)
    }

    fn asks(terms: &ReviewTerms) -> Option<ReviewTerms> {
        Some(terms.clone())
    }

    fn run(_: &ReviewTerms, cx: &mut StageContext<'_>) -> Result<(), StageError> {
        let decision = cx.decision().ok_or_else(|| StageError::new(crate::StageErrorKind::Parked, "a decision is missing"))?;
        if !decision.approved {
            return Err(StageError::input(format!("{} rejected it", decision.by)));
        }
        let approval =
            serde_json::to_vec(decision).map_err(|error| StageError::internal("cannot write it down").because(&error))?;
        std::fs::write(cx.output("approval")?, approval).map_err(StageError::from)
    }
}

/// Names a pinned source.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PinnedConfig {
    /// Its URI.
    pub uri: String,
}

/// `toy/pinned`: writes the content of a pinned source to `out`.
pub struct Pinned;

impl Stage for Pinned {
    type Config = PinnedConfig;
    const KIND: &'static str = "toy/pinned";
    const REVISION: u32 = 1;

    fn ports(_: &PinnedConfig) -> Ports {
        Ports::new().writes("out", ArtifactKind::File)
    }

    fn sources(config: &PinnedConfig) -> Vec<SourceRef> {
        vec![SourceRef::Pinned(config.uri.clone())]
    }

    fn run(config: &PinnedConfig, cx: &mut StageContext<'_>) -> Result<(), StageError> {
        let mut content = Vec::new();
        for file in cx.source(&config.uri)? {
            content.extend(std::fs::read(&file.path)?);
        }
        std::fs::write(cx.output("out")?, content).map_err(StageError::from)
    }
}

/// Publishes outside the store.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PublishConfig {
    /// The name to publish under.
    pub name: String,
}

/// `toy/publish`: copies `in` into the registry's folder and notes its lineage beside it; its result holds as long as the copy is
/// there.
pub struct Publish;

impl Stage for Publish {
    type Config = PublishConfig;
    const KIND: &'static str = "toy/publish";
    const REVISION: u32 = 1;
    const EFFECT: Effect = Effect::Publishes;
    const READS_ANCESTORS: bool = true;

    fn ports(_: &PublishConfig) -> Ports {
        Ports::new().reads("in", ArtifactKind::File).writes("ref", ArtifactKind::Ref)
    }

    fn still_holds(config: &PublishConfig, site: &Site, output: &dyn Fn(&str) -> Option<PathBuf>) -> bool {
        let recorded = output("ref").and_then(|path| std::fs::read_to_string(path).ok());
        recorded.is_some_and(|name| name == config.name) && site.registry.join(&config.name).is_file()
    }

    fn run(config: &PublishConfig, cx: &mut StageContext<'_>) -> Result<(), StageError> {
        std::fs::create_dir_all(&cx.site().registry)?;
        std::fs::copy(cx.input("in")?, cx.site().registry.join(&config.name))?;
        let names: Vec<&str> = cx.ancestors().iter().map(|ancestor| ancestor.stage.as_str()).collect();
        std::fs::write(cx.site().registry.join(&config.name).with_extension("lineage"), names.join(" "))?;
        std::fs::write(cx.output("ref")?, &config.name).map_err(StageError::from)
    }
}

/// Writes to its input.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScribbleConfig {
    /// The file below the input, if that is a folder.
    #[serde(default)]
    pub file: String,
}

/// `toy/scribble`: a stage that breaks the rules: it appends to its input, whatever the file's mode says.
pub struct Scribble;

impl Stage for Scribble {
    type Config = ScribbleConfig;
    const KIND: &'static str = "toy/scribble";
    const REVISION: u32 = 1;

    fn ports(_: &ScribbleConfig) -> Ports {
        Ports::new().reads("in", ArtifactKind::Any).writes("out", ArtifactKind::File)
    }

    fn run(config: &ScribbleConfig, cx: &mut StageContext<'_>) -> Result<(), StageError> {
        use std::{io::Write, os::unix::fs::PermissionsExt};
        let input = cx.input("in")?;
        let path = if config.file.is_empty() { input.to_owned() } else { input.join(&config.file) };
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644))?;
        std::fs::File::options().append(true).open(&path)?.write_all(b"!")?;
        std::fs::write(cx.output("out")?, "scribbled\n").map_err(StageError::from)
    }
}

/// Reads files slowly.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LingerConfig {
    /// A pattern of files.
    pub files: String,
    /// How long it stays after it has read them.
    #[serde(default)]
    pub millis: u64,
}

/// `toy/linger`: reads files, says so, stays for a while, and writes what it read to `out`.
pub struct Linger;

impl Stage for Linger {
    type Config = LingerConfig;
    const KIND: &'static str = "toy/linger";
    const REVISION: u32 = 1;

    fn ports(_: &LingerConfig) -> Ports {
        Ports::new().writes("out", ArtifactKind::File)
    }

    fn sources(config: &LingerConfig) -> Vec<SourceRef> {
        vec![SourceRef::Files(config.files.clone())]
    }

    fn run(config: &LingerConfig, cx: &mut StageContext<'_>) -> Result<(), StageError> {
        let mut content = Vec::new();
        for file in cx.source(&config.files)? {
            content.extend(std::fs::read(&file.path)?);
        }
        cx.progress(1, Some(1), "files");
        thread::sleep(Duration::from_millis(config.millis));
        std::fs::write(cx.output("out")?, content).map_err(StageError::from)
    }
}

fn read_count(path: &Path) -> u64 {
    std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}
