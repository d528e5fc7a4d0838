//! Running a plan at a terminal: what `run` and `resume` share.

use std::{os::unix::fs::MetadataExt as _, sync::Arc};

use flow_engine::{
    plan::Plan,
    project::Project,
    run::{Hangup, Interrupts, Outcome, Run, RunId, RunOptions, RunSummary, Start},
    store::Company,
};
use serde_json::json;

use super::{ask, who};
use crate::{
    CliError, ExitStatus, Shell, environment,
    progress::{self, Detail},
    summary,
};

/// What is run and how.
pub(super) struct Drive {
    pub(super) plan: Plan,
    pub(super) project: Project,
    pub(super) start: Start,
    /// What a new run is called, if it has a name already.
    pub(super) run: Option<RunId>,
    /// `--approve`.
    pub(super) approve: Vec<String>,
    /// `--no-wait`.
    pub(super) company: Company,
    pub(super) detail: Detail,
    /// What the end of the terminal means.
    pub(super) hangup: Hangup,
}

impl Drive {
    /// Runs to the end and tells how it ended.
    pub(super) fn go(self, shell: &Shell) -> Result<ExitStatus, CliError> {
        let (project, detail) = (Arc::new(self.project.clone()), self.detail);
        let summary = self.execute(shell, &project)?;
        // How the run ended stands, page or no page: a full disk that failed a stage fails the page too.
        if let Err(error) = summary::write(&summary) {
            crate::ui::note(&format!("  !  cannot write the run's summary page: {error}"));
        }
        match (shell.ui.json(), detail) {
            (true, _) => crate::ui::document(&json!({ "summary": summary })),
            (false, Detail::Normal | Detail::Logs) => crate::ui::print(&summary::text(&summary, &project, shell.ui)),
            (false, Detail::Quiet) if summary.outcome == Outcome::Succeeded => {}
            (false, Detail::Quiet) => {
                for command in summary::advice(&summary, &project) {
                    crate::ui::note(&format!("  next  {command}"));
                }
            }
        }
        Ok(summary.outcome.into())
    }

    /// Runs to the end and leaves the telling to the caller.
    pub(super) fn execute(self, shell: &Shell, project: &Arc<Project>) -> Result<RunSummary, CliError> {
        let failed = |error: &std::io::Error| CliError::internal("cannot start the run", error);
        let hangup = self.hangup;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| failed(&error))?;
        let (observer, board) = progress::observer(shell.ui, self.detail);
        let logs = progress::logs(shell.ui, self.detail, &board, project);
        let exports = flow_engine::export::observers(&self.plan, project, &environment);
        let observers = std::iter::once(observer).chain(logs).chain(exports).collect();
        let mut options = RunOptions::new(self.start).map_err(|error| failed(&error))?;
        options.run = self.run;
        options.approve = self.approve;
        options.company = self.company;
        options.person = person();
        options.signatory = Some(who::signatory(project));
        options.ask = (shell.ui.interactive && !shell.ui.json()).then(|| ask::at_terminal(shell.ui, board));
        let place = (Arc::clone(project), Arc::clone(&shell.registry));
        let result = runtime.block_on(async {
            options.interrupts = Interrupts::from_signals(hangup).map_err(|error| failed(&error))?;
            let plan = Arc::new(self.plan);
            // The program ends soon after: giving a large plan back piece by piece would only take time.
            std::mem::forget(plan.clone());
            Ok(Run::execute(plan, place, options, observers).await?)
        });
        // A question at the terminal may still wait for its answer: nobody waits for the question.
        runtime.shutdown_background();
        result
    }
}

/// Who is recorded as the one who decided.
pub(super) fn person() -> String {
    let named = |variable| environment(variable).filter(|name| !name.is_empty());
    named("USER").or_else(|| named("LOGNAME")).or_else(account).unwrap_or_else(|| "unknown".to_owned())
}

/// The name of the account this process runs under; services and containers often set no `USER`.
fn account() -> Option<String> {
    let user = std::fs::metadata("/proc/self").ok()?.uid();
    let accounts = std::fs::read_to_string("/etc/passwd").ok()?;
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(user)).then(|| name.to_owned())
    })
}

/// Now, as decisions record it.
pub(super) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
