//! `flow plan`.

use clap::Args;
use flow_engine::{
    Resources,
    history::{Edit, Estimate, Range, edits},
    run::{Forecast, Outlook, Preimages, Preview, Reason, preview},
    store::Store,
};
use serde_json::{Value, json};

use super::policy;
use crate::{
    CliError, ExitStatus, Shell,
    args::WorkflowArgs,
    history::short,
    reason,
    text::{Cell, Grid, bytes, duration, push, wrap},
    ui::{Tone, Ui},
};

/// Say what a run would do, why, and what it would cost, without running anything
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow plan
  flow plan -p lr=1e-4             what another learning rate would cost
  flow plan --keys                 what every key is made of, and what changed in it
  flow plan --json                 the same with every number")]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    workflow: WorkflowArgs,
    /// Show keys and everything that changed in them against the nearest earlier key
    #[arg(long)]
    keys: bool,
}

pub(super) fn execute(args: &PlanArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    let (project, plan) = args.workflow.load(shell)?;
    policy::enforce((&project, &plan), &[], shell)?;
    let preimages = if args.keys { Preimages::Shown } else { Preimages::Left };
    let previews = preview(&plan, &project, &shell.registry, preimages)?;
    let edits = edits(&previews, &plan, &project);
    if shell.ui.json() {
        let total = Total::of(&previews);
        let total = json!({ "seconds": total.seconds, "bytes": total.bytes, "unknown": total.unknown });
        crate::ui::document(&json!({ "stages": previews, "total": total, "edits": edits }));
        return Ok(ExitStatus::Ok);
    }
    let store = Store::open(&project.site.store)?;
    let mut out = text(&previews, &store, shell.ui);
    if args.keys {
        out.push_str(&keys(&previews, &store, shell.ui));
    }
    if let Some(edit) = edits.first() {
        push(&mut out, format_args!("  {}\n", suggestion(edit)));
    }
    crate::ui::print(&out);
    Ok(ExitStatus::Ok)
}

/// Whether a stage is still to be worked on, as far as that is known.
fn is_open(preview: &Preview) -> bool {
    !matches!(preview.forecast, Forecast::Cached | Forecast::Skip)
}

fn text(previews: &[Preview], store: &Store, ui: Ui) -> String {
    let mut grid = Grid::new();
    for preview in previews {
        let (tone, sign, word, why) = forecast(&preview.forecast, store);
        let time = preview.cost.filter(|_| is_open(preview)).map(|cost| format!("~{}", duration(cost.seconds.median)));
        grid.row([
            Cell::toned(tone, sign),
            Cell::toned(Tone::Strong, preview.stage.clone()),
            Cell::toned(tone, word),
            Cell::plain(time.unwrap_or_default()),
            Cell::plain(if is_open(preview) { with_needs(why, &preview.needs) } else { why }),
        ]);
    }
    format!("{}{}\n  {}\n", grid.render(ui.out, ui.width), beginnings(previews, ui), total(previews))
}

/// What is worth knowing of a stage that runs: why, and what it needs beyond a core or all of them.
fn with_needs(why: String, needs: &Resources) -> String {
    if *needs == Resources::one_cpu() || *needs == Resources::all_cpus() {
        return why;
    }
    format!("{why}{}needs {needs}", if why.is_empty() { "" } else { "; " })
}

fn forecast(forecast: &Forecast, store: &Store) -> (Tone, &'static str, &'static str, String) {
    match forecast {
        Forecast::Cached => (Tone::Calm, "≡", "cached", String::new()),
        Forecast::Run { reason } => (Tone::Good, "▶", "would run", because(reason, store)),
        Forecast::Ask { of } => (Tone::Watch, "⏸", "would ask", of.clone()),
        Forecast::Wait { on } => (Tone::Quiet, "…", "depends", format!("on what {} will give", on.join(", "))),
        Forecast::Skip => (Tone::Quiet, "–", "skipped", "its `if:` is false, or what it reads is skipped".to_owned()),
        Forecast::Fetch { source } => (Tone::Good, "↓", "would run", format!("after fetching {source}")),
        Forecast::Fail { error } => (Tone::Bad, "✗", "would fail", error.to_string()),
    }
}

/// Where stages with checkpoints would begin, a paragraph each: the reason is worth more than a cell can show.
fn beginnings(previews: &[Preview], ui: Ui) -> String {
    let mut out = String::new();
    for preview in previews {
        let Some(outlook) = &preview.outlook else { continue };
        let text = format!("{} {}", preview.stage, beginning(outlook));
        for (number, line) in wrap(&text, ui.width.saturating_sub(4)).into_iter().enumerate() {
            let indent = if number == 0 { "\n  " } else { "    " };
            push(&mut out, format_args!("{indent}{line}\n"));
        }
    }
    out
}

fn beginning(outlook: &Outlook) -> String {
    match outlook {
        Outlook::FromStep { step } => format!("goes on from step {step}"),
        Outlook::Anew { step, because, help } => {
            format!("starts anew, not from step {step} of a run of another length: {because} ({help})")
        }
    }
}

fn because(reason: &Reason, store: &Store) -> String {
    let sentence = reason::sentence(reason, store);
    match reason {
        Reason::Changed { than } => match reason::way_back(than, store) {
            Some(_) => format!("{sentence}; set it back for a hit"),
            None => sentence,
        },
        Reason::First | Reason::Unchanged { .. } | Reason::CutOff { .. } | Reason::Repeated { .. } | Reason::NotReached => {
            sentence
        }
    }
}

/// What all open stages cost together.
#[derive(Default)]
struct Total {
    seconds: Range,
    bytes: Range,
    /// Open stages of which nothing is known.
    unknown: usize,
}

impl Total {
    fn of(previews: &[Preview]) -> Self {
        let mut total = Self::default();
        for preview in previews.iter().filter(|preview| is_open(preview)) {
            match preview.cost {
                Some(Estimate { seconds, bytes, .. }) => {
                    total.seconds = total.seconds.plus(seconds);
                    total.bytes = total.bytes.plus(bytes);
                }
                None => total.unknown += 1,
            }
        }
        total
    }
}

/// Counts and costs of all stages in one line.
pub(super) fn total(previews: &[Preview]) -> String {
    let count = |wanted: fn(&Forecast) -> bool| previews.iter().filter(|preview| wanted(&preview.forecast)).count();
    let cached = count(|forecast| matches!(forecast, Forecast::Cached));
    let runs = count(|forecast| matches!(forecast, Forecast::Run { .. } | Forecast::Fetch { .. }));
    let waits = count(|forecast| matches!(forecast, Forecast::Wait { .. }));
    let mut parts = vec![format!("{cached} cached"), format!("{runs} would run")];
    if waits > 0 {
        parts.push(format!("{waits} depend on them"));
    }
    let total = Total::of(previews);
    if total.seconds.median > 0.0 {
        parts.push(format!("at most about {} of work{}", duration(total.seconds.median), spread(total.seconds)));
        parts.push(format!("{} of disk", size(total.bytes.median)));
    }
    if total.unknown > 0 {
        let plural = if total.unknown == 1 { " has" } else { "s have" };
        parts.push(format!("{} stage{plural} no earlier time", total.unknown));
    }
    parts.join(", ")
}

/// ` (A to B)` when earlier times differ enough to matter.
fn spread(range: Range) -> String {
    let (low, high) = (duration(range.low), duration(range.high));
    if low == high { String::new() } else { format!(" ({low} to {high})") }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sizes are not negative and stay far below 2^64")]
fn size(count: f64) -> String {
    bytes(count.max(0.0) as u64)
}

/// The keys and what changed in them; the whole pre-image of a key that nothing can be compared with.
fn keys(previews: &[Preview], store: &Store, ui: Ui) -> String {
    let mut out = String::new();
    for preview in previews {
        let Some(key) = preview.key else { continue };
        push(&mut out, format_args!("\n  {} {}\n", ui.out.strong(&preview.stage), ui.out.quiet(&key.to_string())));
        let lines = match &preview.forecast {
            Forecast::Run { reason: Reason::Changed { than } } => {
                let mut lines = vec![format!("against {} of run {}:", than.stage, than.run)];
                lines.extend(reason::changes(than, store));
                lines
            }
            _ => preview.preimage.as_ref().map(fields).unwrap_or_default(),
        };
        for line in lines {
            push(&mut out, format_args!("    {line}\n"));
        }
    }
    out.push('\n');
    out
}

/// Every leaf of a pre-image with its place.
fn fields(preimage: &Value) -> Vec<String> {
    let changes = flow_engine::plan::difference(&json!({}), &flat(preimage));
    changes.iter().map(|change| format!("{} {}", change.path, change.new.as_ref().map(short).unwrap_or_default())).collect()
}

/// A map from places to values that hold no others.
fn flat(value: &Value) -> Value {
    fn walk(value: &Value, place: &str, out: &mut serde_json::Map<String, Value>) {
        let below = |step: &str| if place.is_empty() { step.to_owned() } else { format!("{place}.{step}") };
        match value {
            Value::Object(map) if !map.is_empty() => map.iter().for_each(|(key, inner)| walk(inner, &below(key), out)),
            Value::Array(list) if !list.is_empty() => {
                list.iter().enumerate().for_each(|(index, inner)| walk(inner, &below(&index.to_string()), out));
            }
            leaf => {
                out.insert(place.to_owned(), leaf.clone());
            }
        }
    }
    let mut out = serde_json::Map::new();
    walk(value, "", &mut out);
    Value::Object(out)
}

fn suggestion(edit: &Edit) -> String {
    let value = edit.value.as_ref().map_or_else(|| "nothing".to_owned(), short);
    let how = match &edit.parameter {
        Some((name, value)) => format!("-p {name}={}", plain(value)),
        None => format!("{} set back to {value}", edit.path),
    };
    let saves = edit.saves.map(|cost| format!(" and saves about {}", duration(cost.seconds.median))).unwrap_or_default();
    let after = match edit.unblocks.as_slice() {
        [] => String::new(),
        stages => format!("; {} may be hits then, too", stages.join(", ")),
    };
    format!("cheapest edit: {how} makes {} a hit{saves}{after}", edit.stage)
}

/// A value as it is typed after `-p NAME=`.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use flow_engine::history::Basis;

    use super::*;

    fn preview_of(forecast: Forecast, seconds: Option<f64>) -> Preview {
        let range = |middle: f64| Range { low: middle / 2.0, median: middle, high: middle };
        let cost = seconds.map(|seconds| Estimate {
            seconds: range(seconds),
            bytes: range(1e6),
            samples: 2,
            basis: Basis::Stage,
            rows: None,
        });
        Preview {
            stage: "s".into(),
            kind: "k".into(),
            key: None,
            forecast,
            cost,
            preimage: None,
            outlook: None,
            needs: Resources::one_cpu(),
        }
    }

    #[test]
    fn the_total_counts_and_costs_what_is_left() {
        let previews = [
            preview_of(Forecast::Cached, Some(100.0)),
            preview_of(Forecast::Fetch { source: "pip:x".into() }, Some(40.0)),
            preview_of(Forecast::Wait { on: vec!["s".into()] }, Some(20.0)),
            preview_of(Forecast::Wait { on: vec!["s".into()] }, None),
        ];
        assert_eq!(
            total(&previews),
            "1 cached, 1 would run, 2 depend on them, at most about 1m 00s of work (30s to 1m 00s), 2.0 MB of disk, \
             1 stage has no earlier time"
        );
    }

    #[test]
    fn the_cheapest_edit_is_what_a_person_types() {
        let mut edit = Edit {
            stage: "train".into(),
            path: "params.optim.lr".into(),
            value: Some(json!(0.0001)),
            parameter: Some(("lr".into(), json!(0.0001))),
            run: "01JDF3YZ0000000000000000000".get(..26).and_then(|id| id.parse().ok()).unwrap(),
            saves: preview_of(Forecast::Cached, Some(11_520.0)).cost,
            unblocks: vec!["eval".into()],
        };
        assert_eq!(
            suggestion(&edit),
            "cheapest edit: -p lr=0.0001 makes train a hit and saves about 3h 12m; eval may be hits then, too"
        );
        edit.parameter = None;
        assert!(suggestion(&edit).contains("params.optim.lr set back to 0.0001"), "{}", suggestion(&edit));
    }

    #[test]
    fn a_pre_image_is_told_leaf_by_leaf() {
        let told = fields(&json!({"kind": "k", "params": {"a": [1, {"b": true}]}, "limit": null}));
        assert_eq!(told, ["kind \"k\"", "limit null", "params.a.0 1", "params.a.1.b true"]);
    }
}
