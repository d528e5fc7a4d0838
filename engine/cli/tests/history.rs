//! What runs were and how they differ, at the command line, with toy stages.

mod support;

use serde_json::{Value, json};
use support::Terminal;

const WORKFLOW: &str = "\
flow: 1
name: greet
params:
  word: {type: string, default: hello}
  score: {type: float, default: 0.9}
stages:
  first: {uses: toy/emit@1, with: {text: \"${params.word}\"}}
  second: {uses: toy/emit@1, with: {text: there}}
  both: {uses: toy/concat@1, in: {parts: [first.out, second.out]}}
  judge:
    uses: toy/judge@1
    in: {in: both.out}
    with: {metrics: {f1: \"${params.score}\"}}
    gate: [\"metrics.f1 >= 0.1\"]
";

/// A command whose code, data, and printing can be changed.
const COMMAND: &str = "\
flow: 1
name: tools
stages:
  tool:
    uses: cmd@1
    run: [sh, tool.sh, \"${out.text}\"]
    code: [tool.sh]
    out: {text: {path: text.txt, kind: file}}
";

fn after_two_runs() -> Terminal {
    let terminal = Terminal::with(WORKFLOW);
    terminal.flow(&["run"]).ends(0).says("succeeded");
    terminal.flow(&["run", "-p", "word=goodbye", "-p", "score=0.5"]).ends(0).says("succeeded");
    terminal
}

fn document(terminal: &Terminal, arguments: &[&str]) -> Value {
    terminal.flow(&[arguments, &["--json"]].concat()).ends(0).json().remove(0)
}

#[test]
fn runs_are_listed_with_the_numbers_that_gates_judged() {
    let terminal = after_two_runs();
    let listed = terminal.flow(&["runs"]).ends(0).says("judge.f1").says("greet").says("succeeded");
    assert_eq!(listed.out.lines().count(), 3, "{}", listed.out);
    assert!(terminal.run_folder().join("record.json").exists());
    let rows = document(&terminal, &["runs", "--metric", "f1", "--limit", "1"]);
    assert_eq!((rows[0]["chosen"]["f1"].as_f64(), rows.as_array().map(Vec::len)), (Some(0.5), Some(1)));
    assert_eq!(rows[0]["params"], json!({"word": "goodbye", "score": 0.5}));
    assert_eq!(rows[0]["stages"], json!({"ran": 3, "cached": 1, "failed": 0, "skipped": 0, "open": 0}));
    terminal.flow(&["runs", "--workflow", "other"]).ends(0).warns("no run yet");
    terminal.flow(&["runs", "--metric", "f2"]).ends(2).warns("known numbers are").warns("judge.f1");
}

#[test]
fn runs_are_named_by_place_and_removed() {
    let terminal = after_two_runs();
    terminal.flow(&["status", "latest~1"]).ends(0).says("greet succeeded");
    terminal.flow(&["status", "latest~2"]).ends(2).warns("there is no run");
    let ambiguous = terminal.flow(&["status", "01"]).ends(2).warns("2 runs are called");
    assert!(ambiguous.err.contains("the first is 01"), "{}", ambiguous.err);
    terminal.flow(&["runs", "rm", "latest~1"]).ends(0).says("forgot 1 run;");
    assert_eq!(document(&terminal, &["runs"]).as_array().map(Vec::len), Some(1));
    terminal.flow(&["runs", "rm", "--keep", "0"]).ends(0).says("forgot 1 run;");
    terminal.flow(&["runs", "rm", "latest"]).ends(2).warns("there is no run");
    terminal.flow(&["run"]).ends(0).says("4 cached");
}

#[test]
fn a_difference_names_parameters_keys_and_numbers() {
    let terminal = after_two_runs();
    let told = terminal.flow(&["diff"]).ends(0).says("word").says("params.text changed: \"hello\" -> \"goodbye\"");
    let numbers = told.out.lines().find(|line| line.contains("judge.f1")).unwrap_or_default().to_owned();
    assert!(numbers.contains("−0.4") && numbers.contains("−44.4 %"), "{numbers}");
    let found = document(&terminal, &["diff", "latest~1", "latest"]);
    let params: Vec<&str> = found["params"].as_array().unwrap().iter().filter_map(|change| change["path"].as_str()).collect();
    assert_eq!(params, ["score", "word"]);
    assert_eq!(found["keys"].as_array().map(Vec::len), Some(3), "{}", found["keys"]);
    terminal.flow(&["diff", "latest", "latest"]).ends(0).says("nothing that is recorded differs");
}

#[test]
fn a_difference_of_an_output_shows_the_changed_lines() {
    let terminal = after_two_runs();
    terminal.flow(&["diff", "latest~1", "latest", "first.out"]).ends(0).says("-hello").says("+goodbye");
    terminal.flow(&["diff", "latest~1", "latest", "second.out"]).ends(0).says("is the same in both runs");
    terminal.flow(&["diff", "latest~1", "latest", "judge.report"]).ends(0).says("report.json").says("0 other files are the same");
    terminal.flow(&["diff", "latest~1", "latest", "first.none"]).ends(2).warns("its outputs are first.out");
}

#[test]
fn a_difference_shows_what_changed_in_workflow_and_code() {
    let terminal = Terminal::with(COMMAND);
    std::fs::write(terminal.path("tool.sh"), "echo one > \"$1\"\necho done\n").unwrap();
    terminal.flow(&["run"]).ends(0).says("succeeded");
    std::fs::write(terminal.path("tool.sh"), "echo two > \"$1\"\necho done\n").unwrap();
    let edited = COMMAND.replace("stages:", "# a comment\nseed: 7\nstages:");
    std::fs::write(terminal.path("workflow.yaml"), edited).unwrap();
    terminal.flow(&["run"]).ends(0).says("succeeded");
    let told = terminal.flow(&["diff"]).ends(0).says("-echo one > \"$1\"").says("+echo two > \"$1\"").says(" echo done");
    assert!(told.out.contains("workflow workflow.yaml") && !told.out.contains("a comment"), "{}", told.out);
}

#[test]
fn a_comparison_puts_runs_side_by_side_and_draws_a_page() {
    let terminal = after_two_runs();
    terminal.flow(&["compare", "--html", "page.html"]).ends(0).says("judge.f1").says("0.5 (−0.4)").says("goodbye");
    let page = std::fs::read_to_string(terminal.path("page.html")).unwrap();
    for part in ["Parameters that differ", "judge.f1", "<svg", "goodbye"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("<script") && !page.contains("https://"));
    terminal.flow(&["compare", "--metric", "none"]).ends(2).warns("known numbers are");
    terminal.flow(&["compare", "--html", "none/page.html"]).ends(2).warns("cannot write");
}

#[test]
fn a_plan_costs_what_it_would_run_and_names_the_edit_that_saves_it() {
    let terminal = after_two_runs();
    let told =
        terminal.flow(&["plan", "-p", "word=hello", "-p", "score=0.7"]).ends(0).says("would run").says("set it back for a hit");
    assert!(told.out.contains("cheapest edit: -p score="), "{}", told.out);
    let planned = document(&terminal, &["plan", "-p", "word=new"]);
    let stage = |name: &str| planned["stages"].as_array().unwrap().iter().find(|stage| stage["stage"] == name).unwrap().clone();
    assert!(stage("first")["cost"]["seconds"]["median"].is_f64() && stage("first")["cost"]["samples"] == 2, "{planned}");
    assert_eq!(planned["edits"].as_array().map(Vec::len), Some(1));
    let keys = terminal.flow(&["plan", "--keys", "-p", "word=new"]).ends(0).says("against first of run");
    assert!(keys.out.contains("params.text changed") && keys.out.contains("kind \"toy/emit\""), "{}", keys.out);
}

#[test]
fn why_says_how_to_get_the_hit_back() {
    let terminal = after_two_runs();
    terminal.flow(&["why", "first"]).ends(0).says("the work took").says("set params.text back to \"hello\" for a hit");
}

#[test]
fn what_a_stage_printed_is_replayed_on_a_hit() {
    let terminal = Terminal::with(COMMAND);
    std::fs::write(terminal.path("tool.sh"), "echo text > \"$1\"\necho spoken\necho loud >&2\n").unwrap();
    let live = terminal.flow(&["run", "--logs"]).ends(0).warns("tool │ spoken").warns("tool │ loud");
    assert!(!live.err.contains("replayed"), "{}", live.err);
    terminal.flow(&["run", "--logs"]).ends(0).warns("tool (replayed) │ spoken");
    terminal.flow(&["logs", "tool"]).ends(0).says("tool (replayed) │ spoken").says("tool (replayed) │ loud");
    let lines = terminal.flow(&["logs", "--json"]).ends(0).json();
    assert!(lines.iter().all(|line| line["replayed_from"].is_string()) && lines.len() == 2, "{lines:?}");
}

#[test]
fn a_stage_that_does_not_repeat_itself_is_caught_at_its_first_byte() {
    let terminal = Terminal::with(COMMAND);
    std::fs::write(terminal.path("tool.sh"), "echo text > \"$1\"\n").unwrap();
    terminal.flow(&["run"]).ends(0).says("succeeded");
    terminal.flow(&["check", "--determinism", "tool"]).ends(0).says("and the recorded result gave the same bytes");
    std::fs::write(terminal.path("tool.sh"), "echo same > \"$1\"\npwd >> \"$1\"\n").unwrap();
    let caught = terminal.flow(&["check", "--determinism", "tool"]).ends(1).says("does not repeat itself");
    assert!(caught.out.contains("output text differs from byte"), "{}", caught.out);
    terminal.flow(&["check", "--determinism", "none"]).ends(2).warns("its stages are tool");
    let waiting = Terminal::with(WORKFLOW);
    waiting.flow(&["check", "--determinism", "both"]).ends(2).warns("flow run --only first, second");
}

#[test]
fn a_bisection_tells_data_that_changed_from_parameters_that_did() {
    let workflow = "\
flow: 1
name: counts
params: {word: {type: string, default: a}}
stages:
  other: {uses: toy/emit@1, with: {text: \"${params.word}\"}}
  read: {uses: toy/emit@1, needs: [other], with: {files: \"data/*.txt\"}}
";
    let terminal = Terminal::with(workflow);
    std::fs::create_dir(terminal.path("data")).unwrap();
    std::fs::write(terminal.path("data/rows.txt"), "one\n").unwrap();
    terminal.flow(&["run"]).ends(0).says("succeeded");
    std::fs::write(terminal.path("data/rows.txt"), "one\ntwo\n").unwrap();
    terminal.flow(&["run", "-p", "word=b"]).ends(0).says("succeeded");
    let planned = document(&terminal, &["bisect", "--metric", "read.bytes", "--plan"]);
    assert_eq!(planned["runs_at_most"], 1, "{planned}");
    let told = terminal.flow(&["bisect", "--metric", "read.bytes"]).ends(0).says("what cannot be mixed: data data/rows.txt");
    assert!(told.err.contains("running the good run as it was") && told.out.contains("as in the bad run now"), "{}", told.out);
}

#[test]
fn a_bisection_names_the_one_change_that_moved_a_number() {
    let terminal = Terminal::with(WORKFLOW);
    terminal.flow(&["run"]).ends(0).says("succeeded");
    terminal.flow(&["run", "-p", "word=more"]).ends(0).says("succeeded");
    let edited = WORKFLOW
        .replace("text: there", "text: here")
        .replace("uses: toy/concat@1, in", "uses: toy/concat@1, with: {separator: x}, in");
    std::fs::write(terminal.path("workflow.yaml"), edited).unwrap();
    terminal.flow(&["run", "-p", "word=goodbye", "-p", "score=0.5"]).ends(0).says("succeeded");
    let planned = document(&terminal, &["bisect", "--metric", "judge.f1", "--plan"]);
    assert_eq!(planned["places"]["mixable"].as_array().map(Vec::len), Some(4), "{planned}");
    assert_eq!(document(&terminal, &["runs"]).as_array().map(Vec::len), Some(3));
    let found =
        terminal.flow(&["bisect", "--metric", "judge.f1"]).ends(0).says("judge.f1 moved because of param score 0.9 -> 0.5");
    assert!(found.err.contains("running the good run with"), "{}", found.err);
    assert_eq!(document(&terminal, &["runs"]).as_array().map(Vec::len), Some(3));
    let left = std::fs::read_dir(terminal.path(".flow/bisect")).unwrap().count();
    assert_eq!(left, 0, "mixtures are removed");
    terminal.flow(&["bisect", "--metric", "none"]).ends(2).warns("no run measured");
    terminal
        .flow(&["bisect", "--metric", "f1", "--good", "latest~2", "--bad", "latest~1"])
        .ends(2)
        .warns("is the same in both runs");
}
