//! `flow bisect`.

use std::sync::Arc;

use clap::Args;
use flow_engine::{
    history::{BisectError, Mixed, Mixture, Next, Pair, Places, Question, Search, Verdict, metric, metric_stage, pair, places},
    plan::{Plan, PlanRequest},
    project::Project,
    report::number::number,
    run::{Hangup, History, Preimages, RunRequest, Start, preview},
    store::Company,
};
use serde_json::json;

use super::{drive::Drive, plan, policy};
use crate::{
    CliError, ExitStatus, Shell, environment,
    progress::Detail,
    text::push,
    ui::{Tone, Ui},
};

/// Find the change that moved a number: among the recorded runs, then by running mixtures of two of them
///
/// A mixture takes some parameters, values, and code from the good run and the rest from the bad one. Stages that nothing of
/// it touches are cached, so a mixture costs what really has to be done again; `--plan` says how much before anything runs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow bisect --metric eval.f1 --plan
  flow bisect --metric eval.f1
  flow bisect --metric f1 --good 01JDF3 --bad latest")]
pub(crate) struct BisectArgs {
    /// The number that moved, `STAGE.METRIC` or `METRIC`
    #[arg(long, value_name = "METRIC")]
    metric: String,
    /// A run with the number as it should be [default: the last one with another number]
    #[arg(long, value_name = "RUN")]
    good: Option<String>,
    /// A run with the number as it should not be [default: the latest that has it]
    #[arg(long, value_name = "RUN")]
    bad: Option<String>,
    /// Say what would be run and what it would cost, and run nothing
    #[arg(long)]
    plan: bool,
    /// Approve this stage in every mixture; may be repeated
    #[arg(long, value_name = "STAGE")]
    approve: Vec<String>,
}

/// Everything a bisection works with.
struct Bisection<'a> {
    args: &'a BisectArgs,
    shell: &'a Shell,
    project: Project,
    pair: Pair,
    places: Places,
    /// The stage that measures the number; nothing beyond it is run.
    stage: String,
}

pub(super) fn execute(args: &BisectArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    let history = History::of(&shell.project()?);
    let find = |name: &Option<String>| name.as_deref().map(|name| history.find(name)).transpose();
    let question = Question { metric: args.metric.clone(), good: find(&args.good)?, bad: find(&args.bad)? };
    let pair = pair(&history, &question).map_err(|error| unanswerable(&error))?;
    let bad = history.load(pair.bad.run)?;
    let project = Project::locate(&bad.request.workflow_file, &environment)?;
    let places = places(&project, &pair)?;
    let stage = metric_stage(&bad, &args.metric).unwrap_or_default().to_owned();
    let bisection = Bisection { args, shell, project, pair, places, stage };
    let values = (pair.good.value, pair.bad.value);
    let search = Search::new(bisection.places.mixable.len(), bisection.places.fixed.len(), values);
    if args.plan {
        return bisection.foretell(&search);
    }
    bisection.tell_pair();
    let verdict = bisection.search(search)?;
    bisection.conclude(&verdict);
    Ok(ExitStatus::Ok)
}

fn unanswerable(error: &BisectError) -> CliError {
    let help = match error {
        BisectError::NoNumber { .. } => "`flow runs --metric METRIC` shows which runs have it",
        BisectError::Steady { .. } => "name two runs that differ with --good and --bad; `flow runs --metric METRIC` lists them",
    };
    CliError::usage(error.to_string(), help)
}

impl Bisection<'_> {
    /// Runs mixtures until one answer is left.
    fn search(&self, mut search: Search) -> Result<Verdict, CliError> {
        loop {
            match search.next() {
                Next::Found(verdict) => return Ok(verdict),
                Next::Try(mixture) => {
                    let value = self.run(&mixture)?;
                    let nearer =
                        if (value - self.pair.bad.value).abs() < (value - self.pair.good.value).abs() { "bad" } else { "good" };
                    note(&format!("{} = {}: {nearer}", self.args.metric, number(value)));
                    search = search.told(value);
                }
            }
        }
    }

    fn mixed(&self, mixture: &Mixture) -> Result<Mixed, CliError> {
        Mixed::lay_out(&self.project, &self.places, mixture)
            .map_err(|error| CliError::internal("cannot lay out a mixture of two runs", &error))
    }

    fn planned(&self, project: &Project) -> Result<Plan, CliError> {
        let only = [self.stage.clone()];
        let asked = History::of(&self.project).load(self.pair.bad.run)?.request;
        Ok(Plan::load(&PlanRequest {
            project,
            registry: &self.shell.registry,
            params: &[],
            only: &only,
            limit: asked.limit,
            profile: asked.profile.as_deref(),
        })?)
    }

    /// Runs one mixture and reads the number.
    fn run(&self, mixture: &Mixture) -> Result<f64, CliError> {
        let taken = self.taken(mixture);
        note(&format!("running the good run{taken}"));
        let mixed = self.mixed(mixture)?;
        let plan = self.planned(&mixed.project)?;
        policy::enforce_recorded((&self.project, &plan), &self.args.approve, self.shell)?;
        let request = RunRequest {
            workflow_file: mixed.project.workflow_file.clone(),
            only: vec![self.stage.clone()],
            limit: plan.limit,
            ..RunRequest::default()
        };
        let project = Arc::new(mixed.project.clone());
        let drive = Drive {
            plan,
            project: mixed.project.clone(),
            start: Start::New(request),
            approve: self.args.approve.clone(),
            company: Company::Wait,
            detail: Detail::Quiet,
            run: None,
            hangup: Hangup::Stops,
        };
        let summary = drive.execute(self.shell, &project)?;
        let state = History::of(&project).load(summary.run)?;
        metric(&state, &self.args.metric).ok_or_else(|| {
            let help = "look at it with the parameters above, or approve what waits with --approve STAGE";
            CliError::usage(format!("the mixture{taken} did not come to {}", self.args.metric), help)
        })
    }

    fn taken(&self, mixture: &Mixture) -> String {
        let names = mixture.from_bad.iter().filter_map(|place| self.places.mixable.get(*place)).map(ToString::to_string);
        let names: Vec<String> = names.collect();
        if names.is_empty() { " as it was".to_owned() } else { format!(" with {}", names.join("; ")) }
    }

    fn tell_pair(&self) {
        let Pair { good, bad, between } = self.pair;
        let metric = &self.args.metric;
        note(&format!(
            "{metric} went from {} in run {} to {} in run {}",
            number(good.value),
            good.run,
            number(bad.value),
            bad.run
        ));
        match between {
            0 => {}
            1 => note("one recorded run in between was looked at"),
            runs => note(&format!("{runs} recorded runs in between were looked at")),
        }
    }

    /// Shows the places, the number of runs, and the cost of the first one.
    fn foretell(&self, search: &Search) -> Result<ExitStatus, CliError> {
        let first = match search.next() {
            Next::Try(mixture) => Some((self.forecast(&mixture)?, self.taken(&mixture))),
            Next::Found(_) => None,
        };
        if self.shell.ui.json() {
            let first = first.map(|(cost, taken)| json!({ "mixture": taken.trim(), "forecast": cost }));
            let at_most = search.at_most();
            crate::ui::document(&json!({ "pair": self.pair, "places": self.places, "runs_at_most": at_most, "first": first }));
            return Ok(ExitStatus::Ok);
        }
        self.tell_pair();
        let mut out = list(&self.places, self.shell.ui);
        match first {
            Some((cost, taken)) => push(
                &mut out,
                format_args!("\n  {} at most; the first is the good run{taken}\n  {cost}\n", runs(search.at_most())),
            ),
            None => out.push_str("\n  nothing has to be run\n"),
        }
        crate::ui::print(&out);
        Ok(ExitStatus::Ok)
    }

    /// What a mixture would cost, by the times of the project's own runs.
    fn forecast(&self, mixture: &Mixture) -> Result<String, CliError> {
        let mixed = self.mixed(mixture)?;
        let plan = self.planned(&mixed.project)?;
        let mut project = mixed.project.clone();
        project.state.clone_from(&self.project.state);
        Ok(plan::total(&preview(&plan, &project, &self.shell.registry, Preimages::Left)?))
    }

    fn conclude(&self, verdict: &Verdict) {
        if self.shell.ui.json() {
            return crate::ui::document(
                &json!({ "metric": self.args.metric, "pair": self.pair, "places": self.places, "verdict": verdict }),
            );
        }
        let ui = self.shell.ui;
        let place = |number: usize| self.places.mixable.get(number).map(ToString::to_string).unwrap_or_default();
        let metric = &self.args.metric;
        let text = match verdict {
            Verdict::Alone { place: number } => format!("{metric} moved because of {}", ui.out.strong(&place(*number))),
            Verdict::Together { place: number, with } => {
                let with: Vec<String> = with.iter().map(|number| place(*number)).collect();
                format!("{metric} moved because of {} together with {}", ui.out.strong(&place(*number)), with.join("; "))
            }
            Verdict::Fixed => format!("{metric} moved because of what cannot be mixed: {}", self.places.fixed.join("; ")),
            Verdict::Nothing => {
                format!("{metric} moved although nothing that is recorded differs: its stages do not repeat themselves")
            }
        };
        crate::ui::print(&format!("\n  {} {text}\n", ui.out.tone(Tone::Good, "✓")));
        let (good, bad) = (self.pair.good.run, self.pair.bad.run);
        crate::ui::print(&format!("  {}  {}\n", ui.out.quiet("next"), ui.out.strong(&format!("flow diff {good} {bad}"))));
    }
}

fn note(text: &str) {
    crate::ui::note(&format!("  {text}"));
}

fn list(places: &Places, ui: Ui) -> String {
    let mut out = String::from("\n");
    for place in &places.mixable {
        push(&mut out, format_args!("  ~ {}\n", ui.out.strong(&place.to_string())));
    }
    for fixed in &places.fixed {
        push(&mut out, format_args!("  {} {fixed}\n", ui.out.tone(Tone::Watch, "!")));
    }
    out
}

fn runs(count: usize) -> String {
    if count == 1 { "one run".to_owned() } else { format!("{count} runs") }
}
