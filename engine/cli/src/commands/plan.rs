//! `flow plan`.

use clap::Args;
use flow_engine::{
    run::{Forecast, Preview, preview},
    store::Store,
};

use crate::{
    CliError, ExitStatus, Shell,
    args::WorkflowArgs,
    reason,
    text::{Cell, Grid, duration},
    ui::{Tone, Ui},
};

/// Say what a run would do and why, without running anything
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow plan
  flow plan -p lr=1e-4             what another learning rate would cost")]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    workflow: WorkflowArgs,
}

pub(super) fn execute(args: &PlanArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    let (project, plan) = args.workflow.load(shell)?;
    let previews = preview(&plan, &project, &shell.registry)?;
    if shell.ui.json() {
        crate::ui::document(&previews);
    } else {
        let store = Store::open(&project.site.store)?;
        crate::ui::print(&text(&previews, &store, shell.ui));
    }
    Ok(ExitStatus::Ok)
}

fn text(previews: &[Preview], store: &Store, ui: Ui) -> String {
    let mut grid = Grid::new();
    for preview in previews {
        let (tone, sign, word, why) = forecast(&preview.forecast, store);
        let runs = !matches!(preview.forecast, Forecast::Cached | Forecast::Skip);
        let time = preview.last_seconds.filter(|_| runs).map(|seconds| format!("~{}", duration(seconds)));
        grid.row([
            Cell::toned(tone, sign),
            Cell::toned(Tone::Strong, preview.stage.clone()),
            Cell::toned(tone, word),
            Cell::plain(time.unwrap_or_default()),
            Cell::plain(why),
        ]);
    }
    format!("{}\n  {}\n", grid.render(ui.out, ui.width), total(previews))
}

fn forecast(forecast: &Forecast, store: &Store) -> (Tone, &'static str, &'static str, String) {
    match forecast {
        Forecast::Cached => (Tone::Calm, "≡", "cached", String::new()),
        Forecast::Run { reason } => (Tone::Good, "▶", "would run", reason::sentence(reason, store)),
        Forecast::Wait { on } => (Tone::Quiet, "…", "depends", format!("on what {} will give", on.join(", "))),
        Forecast::Skip => (Tone::Quiet, "–", "skipped", "its `if:` is false, or what it reads is skipped".to_owned()),
        Forecast::Fetch { source } => (Tone::Good, "↓", "would run", format!("after fetching {source}")),
        Forecast::Fail { error } => (Tone::Bad, "✗", "would fail", error.to_string()),
    }
}

fn total(previews: &[Preview]) -> String {
    let count = |wanted: fn(&Forecast) -> bool| previews.iter().filter(|preview| wanted(&preview.forecast)).count();
    let cached = count(|forecast| matches!(forecast, Forecast::Cached));
    let runs = count(|forecast| matches!(forecast, Forecast::Run { .. } | Forecast::Fetch { .. }));
    let waits = count(|forecast| matches!(forecast, Forecast::Wait { .. }));
    let open = previews.iter().filter(|preview| !matches!(preview.forecast, Forecast::Cached | Forecast::Skip));
    let seconds: f64 = open.filter_map(|preview| preview.last_seconds).sum();
    let mut parts = vec![format!("{cached} cached"), format!("{runs} would run")];
    if waits > 0 {
        parts.push(format!("{waits} depend on them"));
    }
    if seconds > 0.0 {
        parts.push(format!("at most about {} if times stay as they were", duration(seconds)));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preview_of(forecast: Forecast, last_seconds: Option<f64>) -> Preview {
        Preview { stage: "s".into(), kind: "k".into(), key: None, forecast, last_seconds }
    }

    #[test]
    fn the_total_counts_and_costs_what_is_left() {
        let previews = [
            preview_of(Forecast::Cached, Some(100.0)),
            preview_of(Forecast::Fetch { source: "pip:x".into() }, Some(40.0)),
            preview_of(Forecast::Wait { on: vec!["s".into()] }, Some(20.0)),
        ];
        assert_eq!(total(&previews), "1 cached, 1 would run, 1 depend on them, at most about 1m 00s if times stay as they were");
    }
}
