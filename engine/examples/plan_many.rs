//! Plans a synthetic workflow and says how long that took and how much memory: `plan_many [SHAPE] [STAGES] [REPEATS]`.
//!
//! Shapes: `layers` (each stage reads three of the layer before), `chain`, `wide`, `cmd`, `asking` (conditions and gates), and
//! `foreach` (one stage for every value, paired with a second, gathered by a third).

#![expect(clippy::print_stdout, reason = "a bench tells what it measured")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up ends")]

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use flow_engine::{
    plan::{Plan, PlanRequest},
    project::Project,
    testing::toys,
};

/// Stages of one layer.
const WIDTH: usize = 100;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let shape = arguments.next().unwrap_or_else(|| "layers".to_owned());
    let stages = arguments.next().map_or(1000, |text| text.parse().unwrap());
    let repeats: usize = arguments.next().map_or(1, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("workflow.yaml");
    let text = workflow(&shape, stages);
    std::fs::write(&file, &text).unwrap();
    let home = |name: &str| (name == "HOME").then(|| "/nowhere".to_owned());
    let project = Project::locate(&file, &home).unwrap();
    let registry = toys();
    let request = PlanRequest { project: &project, registry: &registry, params: &[], only: &[], limit: None, profile: None };
    let mut times: Vec<Duration> = Vec::new();
    let mut planned = 0;
    for _ in 0..repeats.max(1) {
        let begun = Instant::now();
        let plan = Plan::load(&request).unwrap_or_else(|errors| panic!("{:?}", errors.problems().first()));
        times.push(begun.elapsed());
        planned = plan.order.len();
    }
    times.sort();
    let (least, middle) = (times[0], times[times.len() / 2]);
    println!(
        "{shape}: {planned} stages, {} KiB, planned in {least:.1?} (median {middle:.1?} of {}), peak {} MiB",
        text.len() / 1024,
        times.len(),
        peak_kib() / 1024
    );
}

/// The most memory this process ever held.
fn peak_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn workflow(shape: &str, stages: usize) -> String {
    let mut out = "flow: 1\nparams: {word: {type: string, default: x}}\nstages:\n".to_owned();
    if shape == "foreach" {
        let values: Vec<String> = (0..stages / 2).map(|value| format!("v{value}")).collect();
        let list = values.join(", ");
        writeln!(out, "  a: {{foreach: {{x: [{list}]}}, uses: toy/emit@1, with: {{text: '${{each.x}}'}}}}").unwrap();
        writeln!(out, "  b: {{foreach: {{x: [{list}]}}, uses: toy/concat@1, in: {{parts: ['a@${{each.x}}.out']}}}}").unwrap();
        writeln!(out, "  c: {{uses: toy/concat@1, in: {{parts: b@*.out}}}}").unwrap();
        return out;
    }
    for stage in 0..stages {
        line(&mut out, shape, stage).unwrap();
    }
    out
}

fn line(out: &mut String, shape: &str, stage: usize) -> std::fmt::Result {
    let before = |back: usize| stage.checked_sub(back);
    match (shape, before(1)) {
        ("chain", Some(before)) => writeln!(out, "  s{stage}: {{uses: toy/concat@1, in: {{parts: [s{before}.out]}}}}"),
        ("asking", Some(before)) => writeln!(
            out,
            "  s{stage}: {{uses: toy/emit@1, if: 'stages.s{before}.metrics.bytes >= 0', gate: 'metrics.bytes < 100', expect: {{bytes: '>= 0'}}}}"
        ),
        ("cmd", Some(before)) => writeln!(
            out,
            "  s{stage}: {{uses: cmd@1, in: {{a: s{before}.out}}, run: [cp, '${{in.a}}', '${{out.out}}'], out: {{out: {{path: o}}}}}}"
        ),
        ("layers", _) if stage >= WIDTH => {
            let layer = (stage / WIDTH - 1) * WIDTH;
            let parts: Vec<String> = (0..3).map(|step| format!("s{}.out", layer + (stage * 7 + step * 31) % WIDTH)).collect();
            writeln!(
                out,
                "  s{stage}: {{uses: toy/concat@1, in: {{parts: [{}]}}, with: {{separator: '{stage}'}}}}",
                parts.join(", ")
            )
        }
        _ => writeln!(out, "  s{stage}: {{uses: toy/emit@1, with: {{text: '${{params.word}} {stage}'}}}}"),
    }
}
