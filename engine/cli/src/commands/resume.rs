//! `flow resume`.

use clap::Args;
use flow_engine::{
    plan::{Plan, PlanRequest},
    project::Project,
    run::{RunId, Start},
    store::Company,
};

use super::{detach, drive::Drive, find::Found, policy};
use crate::{CliError, ExitStatus, Shell, environment, progress::Detail};

/// Go on with a run that was interrupted, killed, parked, or failed
///
/// Finished stages are not done again, a stage whose process is still alive is waited for, and training goes on from its
/// last checkpoint. A stage that was edited since the run began goes on as the file says now, and is named.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow resume                  the latest run
  flow resume 01JDF3           a run by the beginning or end of its name")]
pub(crate) struct ResumeArgs {
    /// The run
    #[arg(default_value = "latest")]
    run: String,
    /// Approve this stage in advance; may be repeated
    #[arg(long, value_name = "STAGE")]
    approve: Vec<String>,
    /// Say only what went wrong or waits
    #[arg(long, short)]
    quiet: bool,
    /// Go on in the background; `flow status --follow` watches it
    #[arg(long)]
    detach: bool,
    /// The name of the run whose process in the background this is
    #[arg(long, hide = true, value_name = "RUN", conflicts_with = "detach")]
    detached: Option<RunId>,
}

pub(super) fn execute(args: ResumeArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    // The process in the background goes on with the run it was started for, whatever began since.
    let name = args.detached.map_or(args.run, |run| run.to_string());
    let Found { run, state, .. } = Found::run(shell, &name)?;
    let request = state.request;
    let project = Project::locate(&request.workflow_file, &environment)?;
    let plan = Plan::load(&PlanRequest {
        project: &project,
        registry: &shell.registry,
        params: &request.params,
        only: &request.only,
        limit: request.limit,
        profile: request.profile.as_deref(),
    })?;
    policy::enforce_recorded((&project, &plan), &args.approve, shell)?;
    if args.detach {
        return detach::start(shell, &project, run);
    }
    let hangup = detach::settle(args.detached);
    let detail = if args.quiet { Detail::Quiet } else { Detail::Normal };
    let company = Company::Wait;
    Drive { plan, project, start: Start::Resume(run), approve: args.approve, company, detail, run: args.detached, hangup }
        .go(shell)
}
