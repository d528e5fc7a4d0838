//! Every way a command can end, and the one mapping from errors to exit codes.

use std::{error::Error, fmt, path::Path, process::ExitCode};

use flow_engine::{
    StageError, StageErrorKind,
    component::ComponentError,
    export::capsule::CapsuleError,
    govern::GovernError,
    plan::PlanErrors,
    project::ProjectError,
    run::{Outcome, RunError},
    store::StoreError,
};
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};
use serde_json::{Value, json};

use crate::ui::{Paint, Tone, Ui};

/// How the process ends. The numbers are a promise to scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// Everything asked for is done.
    Ok,
    /// A stage failed.
    StageFailed,
    /// The command line cannot be followed.
    Usage,
    /// The workflow file is invalid.
    WorkflowInvalid,
    /// A `gate:` was not met.
    GateNotMet,
    /// A person has to decide.
    Parked,
    /// A fault of ours.
    Internal,
    /// Stopped by a signal; `flow resume` goes on.
    Interrupted,
}

impl ExitStatus {
    /// The number the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::StageFailed => 1,
            Self::Usage => 2,
            Self::WorkflowInvalid => 3,
            Self::GateNotMet => 4,
            Self::Parked => 5,
            Self::Internal => 70,
            Self::Interrupted => 130,
        }
    }

    /// How another `flow` ended.
    pub(crate) fn from_code(code: Option<i32>) -> Self {
        let all = [
            Self::Ok,
            Self::StageFailed,
            Self::Usage,
            Self::WorkflowInvalid,
            Self::GateNotMet,
            Self::Parked,
            Self::Internal,
            Self::Interrupted,
        ];
        all.into_iter().find(|status| Some(i32::from(status.code())) == code).unwrap_or(Self::Internal)
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}

impl From<Outcome> for ExitStatus {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Succeeded => Self::Ok,
            Outcome::Parked => Self::Parked,
            Outcome::GateFailed => Self::GateNotMet,
            Outcome::Failed => Self::StageFailed,
            Outcome::Interrupted => Self::Interrupted,
        }
    }
}

/// An error on its way to a person: what to show and how to end.
#[derive(Debug)]
pub struct CliError {
    /// How the process ends.
    pub status: ExitStatus,
    diagnostic: Box<dyn Diagnostic + Send + Sync>,
    json: Option<Value>,
}

impl CliError {
    /// A command line that cannot be followed.
    pub fn usage(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::message(ExitStatus::Usage, Message::new("flow::cli::usage", message).help(help))
    }

    /// A fault of ours or of the machine.
    pub fn internal(message: impl Into<String>, cause: &(dyn Error + 'static)) -> Self {
        Self::message(ExitStatus::Internal, Message::new("flow::cli::internal", message).because(cause))
    }

    fn message(status: ExitStatus, message: Message) -> Self {
        Self { status, diagnostic: Box::new(message), json: None }
    }

    fn diagnostic(status: ExitStatus, diagnostic: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self { status, diagnostic: Box::new(diagnostic), json: None }
    }

    /// What a terminal shows.
    pub fn as_diagnostic(&self) -> &dyn Diagnostic {
        self.diagnostic.as_ref()
    }

    /// One JSON document for `--json`.
    pub fn to_json(&self) -> Value {
        let mut error = json!({
            "code": self.diagnostic.code().map(|code| code.to_string()),
            "message": self.diagnostic.to_string(),
            "help": self.diagnostic.help().map(|help| help.to_string()),
            "causes": texts(self.diagnostic.source()),
        });
        if let (Some(problems), Some(object)) = (&self.json, error.as_object_mut()) {
            object.insert("problems".to_owned(), problems.clone());
        }
        json!({ "error": error, "exit": self.status.code() })
    }
}

impl From<&clap::Error> for CliError {
    fn from(error: &clap::Error) -> Self {
        let rendered = error.render().to_string();
        let mut paragraphs = rendered.split("\n\n").map(|paragraph| paragraph.trim().trim_start_matches("error: "));
        let message = paragraphs.next().unwrap_or_default().to_owned();
        let help = paragraphs.filter(|paragraph| !paragraph.is_empty()).collect::<Vec<_>>().join("; ");
        Self::usage(message, help)
    }
}

impl From<PlanErrors> for CliError {
    fn from(errors: PlanErrors) -> Self {
        let problems = serde_json::to_value(&errors).ok();
        Self { json: problems, ..Self::diagnostic(ExitStatus::WorkflowInvalid, errors) }
    }
}

impl From<ComponentError> for CliError {
    fn from(error: ComponentError) -> Self {
        let status = match error {
            ComponentError::UnknownPin { .. } => ExitStatus::Usage,
            ComponentError::Reference(_) | ComponentError::NoFile { .. } | ComponentError::Lock(_) => ExitStatus::WorkflowInvalid,
            // The network, the repository, or the disk.
            ComponentError::NoGit { .. }
            | ComponentError::Git { .. }
            | ComponentError::NoRevision { .. }
            | ComponentError::Moved { .. }
            | ComponentError::Tree { .. }
            | ComponentError::Store(_) => ExitStatus::StageFailed,
        };
        Self::diagnostic(status, error)
    }
}

impl From<CapsuleError> for CliError {
    fn from(error: CapsuleError) -> Self {
        let status = match error {
            CapsuleError::Exists { .. } | CapsuleError::Live { .. } | CapsuleError::Io { .. } | CapsuleError::Foreign { .. } => {
                ExitStatus::Usage
            }
            CapsuleError::Gone { .. } | CapsuleError::Damaged { .. } | CapsuleError::Refuted { .. } => ExitStatus::StageFailed,
            CapsuleError::Run(error) => return error.into(),
            CapsuleError::Store(error) => return error.into(),
        };
        Self::diagnostic(status, error)
    }
}

impl From<ProjectError> for CliError {
    fn from(error: ProjectError) -> Self {
        let status = match error {
            ProjectError::NoWorkflow { .. }
            | ProjectError::Folder { .. }
            | ProjectError::NotText { .. }
            | ProjectError::NoHome { .. } => ExitStatus::Usage,
            ProjectError::Unreadable { .. } | ProjectError::Invalid { .. } => ExitStatus::WorkflowInvalid,
        };
        if let ProjectError::NoWorkflow { path, source } = &error
            && source.kind() == std::io::ErrorKind::NotFound
        {
            let message = Message::new("flow::project::no_workflow", format!("{} does not exist", path.display()));
            return Self::message(status, message.help(instead(path)));
        }
        Self::diagnostic(status, error)
    }
}

impl From<RunError> for CliError {
    fn from(error: RunError) -> Self {
        let status = match &error {
            RunError::Govern(error) => governed(error),
            RunError::UnknownRun { .. }
            | RunError::AmbiguousRun { .. }
            | RunError::Live { .. }
            | RunError::UnknownStage { .. }
            | RunError::UnknownOutput { .. }
            | RunError::Changed { .. }
            | RunError::NotParked { .. }
            | RunError::NotRunning { .. }
            | RunError::UnknownApproval { .. }
            | RunError::NothingToApprove { .. } => ExitStatus::Usage,
            // A full disk or a damaged file is not a fault of ours; what is recorded stays.
            RunError::Store(_) | RunError::Journal(_) => ExitStatus::StageFailed,
            RunError::History { .. } | RunError::Lost { .. } => ExitStatus::Internal,
        };
        Self::diagnostic(status, error)
    }
}

/// How an error about keys, decisions, or the audit log ends.
fn governed(error: &GovernError) -> ExitStatus {
    match error {
        GovernError::KeyText { .. }
        | GovernError::KeyName { .. }
        | GovernError::KeyExists { .. }
        | GovernError::NoKey { .. }
        | GovernError::OpenKey { .. }
        | GovernError::Untrusted { .. }
        | GovernError::ManyKeys { .. }
        | GovernError::OtherOwner { .. }
        | GovernError::Refused { .. }
        | GovernError::Time { .. } => ExitStatus::Usage,
        GovernError::Io { .. } | GovernError::Store(_) | GovernError::Random { .. } | GovernError::Audit { .. } => {
            ExitStatus::StageFailed
        }
        GovernError::Compose { .. } => ExitStatus::Internal,
    }
}

impl From<GovernError> for CliError {
    fn from(error: GovernError) -> Self {
        RunError::from(error).into()
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        RunError::from(error).into()
    }
}

impl From<StageError> for CliError {
    fn from(error: StageError) -> Self {
        let (status, code) = match error.kind {
            StageErrorKind::Input => (ExitStatus::Usage, "flow::model::input"),
            StageErrorKind::Resource => (ExitStatus::StageFailed, "flow::model::resource"),
            StageErrorKind::Cancelled => (ExitStatus::Interrupted, "flow::model::cancelled"),
            StageErrorKind::Parked => (ExitStatus::Parked, "flow::model::parked"),
            StageErrorKind::Internal => (ExitStatus::Internal, "flow::model::internal"),
        };
        let cause = error.causes.into_iter().rev().fold(None, |behind, text| Some(Box::new(Cause { text, behind })));
        Self::message(status, Message { code, text: error.message, help: error.help, cause })
    }
}

/// What to type where a workflow file is missing: the workflows that lie near, where there are any.
fn instead(missing: &Path) -> String {
    let folder = missing.parent().unwrap_or(Path::new(""));
    let near = [folder.to_owned(), folder.join("workflows")];
    let files = near.iter().flat_map(|folder| {
        let place = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let entries = std::fs::read_dir(place).into_iter().flatten().flatten();
        entries.map(|entry| folder.join(entry.file_name())).collect::<Vec<_>>()
    });
    let mut found: Vec<String> = files.filter(|file| is_workflow(file)).map(|file| format!("`{}`", file.display())).collect();
    found.sort();
    found.truncate(3);
    match found.as_slice() {
        _ if missing.extension().is_none() => "name a workflow file, or with --project a folder, that exists".to_owned(),
        [] => "name the workflow file, as in `flow run DIR/quickstart.yaml`".to_owned(),
        found => format!("name a file that exists, such as {}", found.join(" or ")),
    }
}

/// Whether a file begins a workflow somewhere.
fn is_workflow(file: &Path) -> bool {
    file.extension().is_some_and(|end| end == "yaml" || end == "yml")
        && std::fs::read_to_string(file).is_ok_and(|text| text.lines().any(|line| line.starts_with("flow:")))
}

/// Shows an error: a graphical report on standard error for people, one document on standard output for programs.
pub(crate) fn show(error: &CliError, ui: Ui) {
    if ui.json() {
        return crate::ui::document(&error.to_json());
    }
    let theme = match ui.err {
        Paint::Colours => GraphicalTheme::unicode(),
        Paint::Plain => GraphicalTheme::unicode_nocolor(),
    };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(ui.width).with_links(false);
    let render = |diagnostic: &dyn Diagnostic| {
        let mut text = String::new();
        match handler.render_report(&mut text, diagnostic) {
            Ok(()) => crate::ui::note(&format!("{}\n", text.trim_end())),
            Err(_) => crate::ui::note(&diagnostic.to_string()),
        }
    };
    match error.diagnostic.related() {
        // Many problems: each in full, and below them how many there are.
        Some(problems) => {
            problems.for_each(render);
            crate::ui::note(&format!("{} {}", ui.err.tone(Tone::Bad, "×"), error.diagnostic));
        }
        None => render(error.as_diagnostic()),
    }
}

/// An error and the errors behind it, outermost first.
fn texts(error: Option<&(dyn Error + 'static)>) -> Vec<String> {
    let mut texts = Vec::new();
    let mut next = error;
    while let Some(cause) = next {
        texts.push(cause.to_string());
        next = cause.source();
    }
    texts
}

/// A message with its advice and causes.
#[derive(Debug)]
struct Message {
    code: &'static str,
    text: String,
    help: Option<String>,
    cause: Option<Box<Cause>>,
}

#[derive(Debug)]
struct Cause {
    text: String,
    behind: Option<Box<Self>>,
}

impl Message {
    fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), help: None, cause: None }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    fn because(mut self, cause: &(dyn Error + 'static)) -> Self {
        self.cause = texts(Some(cause)).into_iter().rev().fold(None, |behind, text| Some(Box::new(Cause { text, behind })));
        self
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Message {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}

impl Diagnostic for Message {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.code))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display + 'a>)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.behind.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_have_the_promised_codes() {
        let codes = [
            (Outcome::Succeeded, 0),
            (Outcome::Failed, 1),
            (Outcome::GateFailed, 4),
            (Outcome::Parked, 5),
            (Outcome::Interrupted, 130),
        ];
        for (outcome, code) in codes {
            assert_eq!(ExitStatus::from(outcome).code(), code, "{outcome:?}");
        }
    }

    #[test]
    fn errors_of_models_keep_their_help_and_causes() {
        let cause = std::io::Error::other("disk gone");
        let error = CliError::from(StageError::input("no model \"x\"").help("flow models ls").because(&cause));
        assert_eq!(error.status, ExitStatus::Usage);
        let json = error.to_json();
        assert_eq!(json["exit"], 2);
        assert_eq!(json["error"]["help"], "flow models ls");
        assert_eq!(json["error"]["causes"][0], "disk gone");
    }

    #[test]
    fn a_missing_workflow_is_answered_with_those_that_lie_near() {
        let folder = std::env::temp_dir().join(format!("flow-near-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("workflows")).unwrap();
        std::fs::write(folder.join("notes.yaml"), "a: 1\n").unwrap();
        assert_eq!(instead(&folder.join("workflow.yaml")), "name the workflow file, as in `flow run DIR/quickstart.yaml`");
        let near = folder.join("workflows/triage.yaml");
        std::fs::write(&near, "# Triage.\nflow: 1\n").unwrap();
        let help = instead(&folder.join("workflow.yaml"));
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(help, format!("name a file that exists, such as `{}`", near.display()));
    }

    #[test]
    fn a_fault_of_ours_ends_with_seventy() {
        let error = CliError::internal("cannot start the runtime", &std::io::Error::other("no threads"));
        assert_eq!((error.status.code(), error.to_json()["error"]["causes"][0].as_str()), (70, Some("no threads")));
    }
}
