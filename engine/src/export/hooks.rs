//! `hooks:` of a workflow, when a run ends: messages to webhooks and commands in the project's folder.
//!
//! A hook that fails changes nothing about the run: it is journaled, and told. Secrets are read at the moment a hook fires
//! and are taken out of whatever is kept of it.

mod command;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::http::Receiver;
use crate::{
    Secret,
    project::Project,
    run::{Event, Outcome, RunPaths, RunState, StageStatus},
    workflow::{Channel, Hook, Hooks, SecretText},
};

/// What hooks are told.
pub(crate) struct Ending<'a> {
    pub(crate) project: &'a Project,
    pub(crate) paths: &'a RunPaths,
    pub(crate) state: &'a RunState,
    pub(crate) outcome: Outcome,
    pub(crate) seconds: f64,
}

/// Fires the hooks that fit the ending, in the order of the file. Gives what the journal should say of each.
pub(crate) fn fire(hooks: &Hooks, ending: &Ending<'_>) -> Vec<Event> {
    let by_outcome: (&str, &[Hook]) = match ending.outcome {
        Outcome::Succeeded => ("success", &hooks.success),
        Outcome::Failed | Outcome::GateFailed => ("failure", &hooks.failure),
        Outcome::Parked => ("parked", &hooks.parked),
        Outcome::Interrupted => ("interrupted", &[]),
    };
    let mut events = Vec::new();
    for (moment, hooks) in [by_outcome, ("finished", &hooks.finished)] {
        for hook in hooks {
            let number = events.len() + 1;
            events.push(one((moment, number), hook, ending));
        }
    }
    events
}

fn one((moment, number): (&str, usize), hook: &Hook, ending: &Ending<'_>) -> Event {
    let name = hook.to_string();
    let done = match hook {
        Hook::Notify(channel) => notify(channel, ending),
        Hook::Run(command) => command::run(command, (number, ending)),
    };
    if let Err(error) = &done {
        // The event tells people; the log need not say it twice.
        tracing::debug!(hook = name, error, "A hook failed.");
    }
    Event::HookFired { moment: moment.to_owned(), hook: name, error: done.err() }
}

fn notify(channel: &Channel, ending: &Ending<'_>) -> Result<(), String> {
    let Channel::Webhook(url) = channel;
    let url = revealed(url)?;
    let body = message(ending).to_string();
    Receiver::new(url).post(body.as_bytes()).map_err(|error| match error.tries {
        1 => error.reason,
        tries => format!("{} ({tries} tries)", error.reason),
    })
}

fn revealed(text: &SecretText) -> Result<String, String> {
    text.reveal(secret)
}

/// The value of a secret.
fn secret(secret: &Secret) -> Result<String, String> {
    let name = &secret.secret;
    std::env::var(name).map_err(|_| format!("secret {name} is not set: set the environment variable {name} before `flow run`"))
}

/// What a webhook gets. `text` is what chat systems show.
fn message(ending: &Ending<'_>) -> Value {
    let state = ending.state;
    let stages = state.stages.iter().map(|stage| {
        json!({
            "name": stage.name,
            "kind": stage.kind,
            "status": word(&stage.status),
            "seconds": stage.seconds,
            "metrics": stage.metrics,
            "error": stage.error.as_ref().map(ToString::to_string),
        })
    });
    json!({
        "text": text(ending),
        "run": state.run,
        "workflow": state.workflow,
        "outcome": ending.outcome,
        "seconds": ending.seconds,
        "started_at": state.started_at,
        "stages": stages.collect::<Value>(),
        "next": next(state),
    })
}

/// The word of a tagged status.
fn word(status: &StageStatus) -> Value {
    serde_json::to_value(status).ok().and_then(|value| value.get("state").cloned()).unwrap_or_default()
}

fn text(ending: &Ending<'_>) -> String {
    let state = ending.state;
    let named = |wanted: fn(&StageStatus) -> bool| {
        let names = state.stages.iter().filter(|stage| wanted(&stage.status)).map(|stage| stage.name.as_str());
        names.collect::<Vec<_>>().join(", ")
    };
    let name = &state.workflow;
    match ending.outcome {
        Outcome::Succeeded => format!("{name} succeeded"),
        Outcome::Failed => format!("{name} failed at {}", named(|status| *status == StageStatus::Failed)),
        Outcome::GateFailed => format!("{name} did not meet the gate of {}", named(|status| *status == StageStatus::GateFailed)),
        Outcome::Parked => format!("{name} waits for the approval of {}", named(|status| *status == StageStatus::Parked)),
        Outcome::Interrupted => format!("{name} was interrupted"),
    }
}

/// The commands that decide what the run waits for.
fn next(state: &RunState) -> Vec<String> {
    let parked = state.stages.iter().filter(|stage| stage.status == StageStatus::Parked);
    parked.map(|stage| format!("flow approve {} --run {}", stage.name, state.run)).collect()
}

/// What every command of a hook finds in its environment.
fn variables(ending: &Ending<'_>) -> BTreeMap<&'static str, String> {
    let outcome = serde_json::to_value(ending.outcome).ok().and_then(|word| word.as_str().map(str::to_owned));
    BTreeMap::from([
        ("FLOW_RUN", ending.state.run.to_string()),
        ("FLOW_OUTCOME", outcome.unwrap_or_default()),
        ("FLOW_WORKFLOW", ending.state.workflow.clone()),
        ("FLOW_RUN_FOLDER", ending.paths.directory().display().to_string()),
    ])
}

#[cfg(test)]
mod tests;
