//! The command line. Doc comments here and in `commands` are the manual.

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand};
use flow_engine::{
    plan::{Plan, PlanErrors, PlanRequest},
    project::Project,
};

use crate::{CliError, Shell, commands, environment, text::push};

/// Turn raw text into a governed, evaluated, served language model, with one workflow file.
#[derive(Debug, Parser)]
#[command(name = "flow", disable_help_subcommand = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// Write JSON to standard output: one document, or one event a line while something runs
    #[arg(long, global = true, display_order = 900)]
    pub(crate) json: bool,
    /// Act on the project around this folder, for commands that name no workflow file
    #[arg(long, global = true, value_name = "DIR", default_value = ".", hide_default_value = true, display_order = 901)]
    pub(crate) project: PathBuf,
}

/// A workflow file and what is asked of it.
#[derive(Clone, Debug, Args)]
pub(crate) struct WorkflowArgs {
    /// The workflow file
    #[arg(default_value = "workflow.yaml")]
    pub(crate) file: PathBuf,
    /// Set a parameter of the workflow
    #[arg(short = 'p', long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
    pub(crate) params: Vec<(String, String)>,
    /// Look only at this stage and what it needs, such as clean, 'clean@fr' or 'clean@*'; may be repeated
    #[arg(long, value_name = "STAGE")]
    pub(crate) only: Vec<String>,
    /// Use this profile of the workflow
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Read at most this many rows of every source: a smoke run
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
}

impl WorkflowArgs {
    /// Checks the workflow and plans it.
    pub(crate) fn load(&self, shell: &Shell) -> Result<(Project, Plan), CliError> {
        self.plan(shell, Plan::load)
    }

    /// The same, with every profile, and with a look at the files it names.
    pub(crate) fn check(&self, shell: &Shell) -> Result<(Project, Plan), CliError> {
        self.plan(shell, Plan::check)
    }

    fn plan(&self, shell: &Shell, read: Read) -> Result<(Project, Plan), CliError> {
        self.refuse_stage()?;
        let project = Project::locate(&self.file, &environment)?;
        let plan = read(&PlanRequest {
            project: &project,
            registry: &shell.registry,
            params: &self.params,
            only: &self.only,
            limit: self.limit,
            profile: self.profile.as_deref(),
        })?;
        Ok((project, plan))
    }
}

impl WorkflowArgs {
    /// The name of a stage in the place of the file is a slip that is worth a sentence.
    fn refuse_stage(&self) -> Result<(), CliError> {
        let text = self.file.to_string_lossy();
        if text.contains(['/', '.']) || self.file.exists() {
            return Ok(());
        }
        let help = format!("to look at one stage of workflow.yaml, write `--only '{text}'`");
        Err(CliError::usage(format!("there is no workflow file {text}"), help))
    }
}

/// How a workflow is read.
type Read = fn(&PlanRequest<'_>) -> Result<Plan, PlanErrors>;

fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE, such as -p lr=2e-4".to_owned()),
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(commands::run::RunArgs),
    Resume(commands::resume::ResumeArgs),
    Cancel(commands::cancel::CancelArgs),
    Plan(commands::plan::PlanArgs),
    Check(commands::check::CheckArgs),
    Status(commands::status::StatusArgs),
    Runs(commands::runs::RunsArgs),
    Diff(commands::diff::DiffArgs),
    Compare(commands::compare::CompareArgs),
    Bisect(commands::bisect::BisectArgs),
    Data(commands::data::DataArgs),
    Logs(commands::logs::LogsArgs),
    Why(commands::why::WhyArgs),
    Graph(commands::graph::GraphArgs),
    Approve(commands::approve::ApproveArgs),
    Reject(commands::approve::RejectArgs),
    Keys(commands::keys::KeysArgs),
    Audit(commands::audit::AuditArgs),
    Policy(commands::policy::PolicyArgs),
    Chat(commands::chat::ChatArgs),
    Generate(commands::generate::GenerateArgs),
    Serve(commands::serve::ServeArgs),
    Models(commands::models::ModelsArgs),
    Stages(commands::stages::StagesArgs),
    Schema(commands::schema::SchemaArgs),
    Gc(commands::gc::GcArgs),
    Init(commands::init::InitArgs),
    Update(commands::update::UpdateArgs),
    Migrate(commands::migrate::MigrateArgs),
    Doctor(commands::doctor::DoctorArgs),
    Man(commands::man::ManArgs),
    Export(commands::export::ExportArgs),
    Replay(commands::replay::ReplayArgs),
    Cache(commands::cache::CacheArgs),
    Completions(commands::completions::CompletionsArgs),
    #[command(hide = true)]
    ExecStage(commands::exec_stage::ExecStageArgs),
}

/// The list of commands as `flow --help` groups it.
const GROUPS: &[(&str, &[&str])] = &[
    ("Begin", &["init", "update", "migrate"]),
    ("Run a workflow", &["run", "resume", "cancel", "approve", "reject"]),
    ("Look before", &["check", "plan", "graph", "policy"]),
    ("Look after", &["status", "runs", "diff", "compare", "bisect", "data", "logs", "why", "audit"]),
    ("Hand on", &["export", "replay"]),
    ("Use a model", &["chat", "generate", "serve", "models"]),
    ("Look up", &["stages", "schema", "completions", "man"]),
    ("Sign", &["keys"]),
    ("Tidy up", &["gc", "cache", "doctor"]),
];

const EXAMPLES: &str = "\
Examples:
  flow run workflow.yaml              run everything that changed
  flow run -p lr=2e-4 --only train    another learning rate, up to one stage
  flow resume                         go on after an interruption
  flow why train                      say why a stage ran again
  flow chat triage@candidate          talk to what came out

Exit codes: 0 done, 1 a stage failed, 2 usage, 3 workflow invalid, 4 gate not met,
5 waiting for approval, 70 internal fault, 130 interrupted";

/// The command line as clap sees it, with the grouped list of commands.
pub(crate) fn command(version: &'static str) -> clap::Command {
    let command = Arguments::command().version(version).bin_name("flow");
    let list = grouped(&command);
    command.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{list}Options:\n{{options}}\n\n{EXAMPLES}\n\n\
         `flow COMMAND --help` tells more about a command.\n"
    ))
}

fn grouped(command: &clap::Command) -> String {
    let mut out = String::new();
    for (title, names) in GROUPS {
        out.push_str(title);
        out.push_str(":\n");
        for name in *names {
            let about = command.find_subcommand(name).and_then(clap::Command::get_about).map(ToString::to_string);
            push(&mut out, format_args!("  {name:<12} {}\n", about.unwrap_or_default()));
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command("1.0.0").debug_assert();
    }

    #[test]
    fn every_command_is_in_one_group() {
        let listed: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let command = command("1.0.0");
        let visible: Vec<&str> =
            command.get_subcommands().filter(|sub| !sub.is_hide_set()).map(clap::Command::get_name).collect();
        for name in &visible {
            assert_eq!(listed.iter().filter(|other| *other == name).count(), 1, "{name}");
        }
        assert_eq!(listed.len(), visible.len());
    }

    #[test]
    fn every_command_says_what_it_does_and_gives_an_example() {
        for sub in command("1.0.0").get_subcommands().filter(|sub| !sub.is_hide_set()) {
            let name = sub.get_name();
            assert!(sub.get_about().is_some(), "{name}");
            assert!(sub.get_after_help().is_some_and(|text| text.to_string().contains("flow ")), "{name}");
        }
    }

    #[test]
    fn parameters_are_name_and_value() {
        assert_eq!(parameter("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(parameter("a").is_err() && parameter("=b").is_err());
    }
}
