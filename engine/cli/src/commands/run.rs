//! `flow run`.

use clap::Args;
use flow_engine::{
    run::{History, RunId, RunRequest, Start},
    store::Company,
};

use super::{detach, drive::Drive, policy, who};
use crate::{CliError, ExitStatus, Shell, args::WorkflowArgs, progress::Detail};

/// Run a workflow: what is cached is reused, what failed or changed is done again
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow run                                     run workflow.yaml
  flow run workflows/quickstart.yaml -p lr=1e-4
  flow run --only split --limit 100            a smoke run up to one stage
  flow run --profile smoke                     with the parameters and overrides of a profile
  flow run --logs                              show what stages print, or printed
  flow run --approve approve                   approve in a script; the record says so
  flow run --detach                            go on in the background, also without this terminal")]
pub(crate) struct RunArgs {
    #[command(flatten)]
    workflow: WorkflowArgs,
    /// Approve this stage in advance; may be repeated
    #[arg(long, value_name = "STAGE")]
    approve: Vec<String>,
    /// Do work that another run is doing already as well, instead of waiting for it; the first result is kept
    #[arg(long)]
    no_wait: bool,
    /// Say only what went wrong or waits
    #[arg(long, short)]
    quiet: bool,
    /// Show what stages print; for a cached stage, what it printed when the work was done
    #[arg(long, conflicts_with = "quiet")]
    logs: bool,
    /// Go on in the background; `flow status --follow` watches it
    #[arg(long)]
    detach: bool,
    /// The name of the run whose process in the background this is
    #[arg(long, hide = true, value_name = "RUN", conflicts_with = "detach")]
    detached: Option<RunId>,
}

pub(super) fn execute(args: RunArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    let (project, plan) = args.workflow.load(shell)?;
    policy::enforce_recorded((&project, &plan), &args.approve, shell)?;
    if args.detach {
        return detach::start(shell, &project, History::of(&project).new_name());
    }
    let request = RunRequest {
        workflow_file: project.workflow_file.clone(),
        params: args.workflow.params,
        only: args.workflow.only,
        limit: args.workflow.limit,
        profile: args.workflow.profile,
        started_by: Some(who::starter(&project, &plan)),
    };
    let hangup = detach::settle(args.detached);
    let detail = match (args.quiet, args.logs) {
        (true, _) => Detail::Quiet,
        (false, true) => Detail::Logs,
        (false, false) => Detail::Normal,
    };
    let company = if args.no_wait { Company::Beside } else { Company::Wait };
    Drive { plan, project, start: Start::New(request), approve: args.approve, company, detail, run: args.detached, hangup }
        .go(shell)
}
