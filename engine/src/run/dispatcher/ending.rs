//! How a run ends: the requests to stop it, the last entry, and what is kept for later runs.

use tokio::time::Instant as Deadline;

use super::Dispatcher;
use crate::run::{
    Interrupt, Outcome, RunError, RunSummary, StageStatus, admission::Seconds, event::Event, executor::Stop, hooks,
};

impl Dispatcher {
    pub(super) fn press(&mut self, request: Interrupt) {
        let before = *self.stop.borrow();
        let stop = match (request, before) {
            (Interrupt::Press | Interrupt::Terminate, Stop::No) => Stop::Gently,
            (Interrupt::Press | Interrupt::Terminate, Stop::Gently) => Stop::Firmly,
            (Interrupt::Press | Interrupt::Terminate, Stop::Firmly | Stop::Now) | (Interrupt::Kill, _) => Stop::Now,
        };
        self.deadline = match request {
            _ if stop == Stop::Now => None,
            Interrupt::Terminate => Some(Deadline::now() + self.shared.grace),
            Interrupt::Press | Interrupt::Kill => self.deadline,
        };
        self.stop.send_replace(stop);
    }

    pub(super) async fn finish(mut self) -> Result<RunSummary, RunError> {
        let seconds = self.begun.elapsed().as_secs_f64();
        if let Err(error) = self.shared.index.save() {
            tracing::warn!(%error, "Could not save the index of file digests.");
        }
        self.learn();
        let outcome = self.outcome();
        for event in hooks::fire(&self.shared, &self.state, (outcome, seconds)).await {
            self.record(event)?;
        }
        self.record(Event::RunFinished { outcome, seconds })?;
        self.settle()?;
        self.shared.desk.close();
        // What a large run needed goes before its summary comes, and nobody waits for it.
        let Self { state, reports, shared, observers, finished, readings, .. } = self;
        let (directory, plan) = (shared.paths.directory().to_owned(), shared.plan.clone());
        drop((observers, shared));
        give_back((plan, finished, readings));
        Ok(RunSummary { seconds, ..RunSummary::of(state, directory, reports) })
    }

    /// Keeps how long stages took, for the order of later runs.
    fn learn(&self) {
        if self.state.stages.iter().any(|stage| stage.status == StageStatus::Succeeded)
            && let Err(error) = Seconds::learn(&Seconds::place(&self.shared.project.state), &self.state)
        {
            tracing::warn!(%error, "Could not keep how long stages took.");
        }
    }

    fn outcome(&self) -> Outcome {
        let any = |wanted: &dyn Fn(&StageStatus) -> bool| self.state.stages.iter().any(|stage| wanted(&stage.status));
        let unfinished = any(&|status| !status.is_terminal() && *status != StageStatus::Parked);
        if self.stopped() && (unfinished || !self.front.is_empty()) {
            Outcome::Interrupted
        } else if any(&|status| *status == StageStatus::Failed) {
            Outcome::Failed
        } else if any(&|status| *status == StageStatus::GateFailed) {
            Outcome::GateFailed
        } else if any(&|status| *status == StageStatus::Parked) {
            Outcome::Parked
        } else {
            Outcome::Succeeded
        }
    }
}

/// Drops what is large on a thread of its own; at once if there is none.
fn give_back(held: impl Send + 'static) {
    if let Err(error) = std::thread::Builder::new().spawn(move || drop(held)) {
        tracing::debug!(%error, "No thread to give memory back.");
    }
}

/// Waits for a deadline, if there is one.
pub(super) async fn at(deadline: Option<Deadline>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
