//! The command line end to end, with toy stages: exit codes, summaries, JSON, approvals, and explanations.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails like the test itself")]

mod support;

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt, path::Path, process::Command};

use support::{Ended, Terminal, program};

const WORKFLOW: &str = "\
flow: 1
name: greet
params:
  word: {type: string, default: hello}
  least: {type: float, default: 0.5}
stages:
  first: {uses: toy/emit@1, with: {text: \"${params.word}\"}}
  second: {uses: toy/emit@1, with: {text: there}}
  both: {uses: toy/concat@1, in: {parts: [first.out, second.out]}}
  judge:
    uses: toy/judge@1
    in: {in: both.out}
    with: {metrics: {f1: 0.9}}
    gate: [\"metrics.f1 >= params.least\"]
  last: {uses: toy/concat@1, in: {parts: [both.out]}, needs: [judge], with: {separator: x}}
";

const ONE: &str = "flow: 1\nname: one\nstages:\n  first: {uses: toy/emit@1, with: {text: a}}\n";

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[test]
fn a_run_ends_with_a_summary_and_a_page_and_the_next_is_cached() {
    let terminal = Terminal::with(WORKFLOW);
    let first = terminal.flow(&["run"]).ends(0).says("greet succeeded").says("metrics.f1 >= params.least").says("5 ran");
    assert!(first.out.lines().any(|line| words(line).starts_with(&["✓", "judge", "ran"])), "{}", first.out);
    let page = std::fs::read_to_string(terminal.run_folder().join("index.html")).unwrap();
    for part in ["<svg", "greet", "judge", "reports/judge/report.html", "metrics.f1 &gt;= params.least"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("<script"));
    terminal.flow(&["run"]).ends(0).says("5 cached");
    terminal.flow(&["why", "both"]).ends(0).says("both was cached");
}

#[test]
fn why_names_the_changed_parameter_with_both_values() {
    let terminal = Terminal::with(WORKFLOW);
    terminal.flow(&["run"]).ends(0).says("succeeded");
    terminal.flow(&["plan", "-p", "word=goodbye"]).ends(0).says("params.text changed: \"hello\" -> \"goodbye\"");
    terminal.flow(&["run", "-p", "word=goodbye"]).ends(0).says("4 ran").says("1 cached");
    terminal.flow(&["why", "first"]).ends(0).says("first re-ran because params.text changed: \"hello\" -> \"goodbye\"");
    terminal.flow(&["why", "both"]).ends(0).says("input parts changed");
}

#[test]
fn a_gate_out_of_reach_ends_with_four_and_keeps_the_report() {
    let terminal = Terminal::with(WORKFLOW);
    terminal.flow(&["run", "-p", "least=0.99"]).ends(4).says("did not meet its gate").says("✗");
    assert!(terminal.run_folder().join("reports/judge/report.html").exists());
}

#[test]
fn a_failed_stage_ends_with_one_and_says_what_to_do() {
    let workflow = "flow: 1\nname: broken\nstages:\n  boom: {uses: toy/fail@1}\n";
    let terminal = Terminal::with(workflow);
    let failed = terminal.flow(&["run"]).ends(1).says("broken failed").says("flow resume").warns("this toy fails on purpose");
    assert!(failed.err.contains("help: use toy/emit"), "{}", failed.err);
    terminal.flow(&["status"]).ends(0).says("failed").says("flow resume");
}

#[test]
fn a_parked_run_is_approved_by_command_and_goes_on() {
    let workflow = "\
flow: 1
name: careful
stages:
  text: {uses: toy/emit@1, with: {text: hello}}
  approve: {uses: toy/decide@1, in: {review: [text.out]}}
  after: {uses: toy/emit@1, needs: [approve], with: {text: bye}}
";
    let terminal = Terminal::with(workflow);
    terminal.flow(&["run"]).ends(5).says("flow approve approve").warns("waits for approval of text.out");
    terminal.flow(&["status"]).ends(0).says("needs approval").says("flow approve approve");
    terminal.flow(&["approve", "approve", "--comment", "fine"]).ends(0).says("✓ approved approve by ada").says("flow resume");
    terminal.flow(&["resume"]).ends(0).says("careful succeeded");
    terminal.flow(&["run"]).ends(0).says("3 cached");
    terminal.flow(&["reject", "text"]).ends(2).warns("does not wait for a decision");
}

#[test]
fn an_approval_in_advance_and_a_rejection_are_recorded() {
    let workflow = "flow: 1\nname: c\nstages:\n  t: {uses: toy/emit@1}\n  ok: {uses: toy/decide@1, in: {review: [t.out]}}\n";
    let terminal = Terminal::with(workflow);
    let approved = terminal.flow(&["run", "--approve", "ok"]).ends(0).says("succeeded").warns("approved by ada");
    assert!(!approved.err.contains("waits for approval"), "{}", approved.err);
    let other = Terminal::with(workflow);
    other.flow(&["run"]).ends(5).says("flow approve ok");
    other.flow(&["reject", "ok"]).ends(0).says("✗ rejected");
    other.flow(&["resume"]).ends(1).warns("rejected");
}

#[test]
fn a_run_in_the_background_is_followed_cancelled_and_resumed() {
    let terminal = Terminal::with("flow: 1\nname: slow\nstages:\n  slow: {uses: toy/sleep@1, with: {steps: 40, millis: 100}}\n");
    terminal.flow(&["run", "--detach", "-p", "x=1"]).ends(3).warns("x");
    let started = terminal.flow(&["run", "--detach", "--json"]).ends(0).json();
    let run = started[0]["run"].as_str().unwrap().to_owned();
    assert!(terminal.run_folder().ends_with(&run));
    terminal.flow(&["status"]).ends(0).says("is running");
    terminal.flow(&["resume"]).ends(1).warns("still going on");
    terminal.flow(&["cancel"]).ends(0).says(&run).says("flow resume");
    terminal.flow(&["status", "--follow"]).ends(130).says("was interrupted");
    terminal.flow(&["cancel"]).ends(2).warns("is not running");
    terminal.flow(&["resume", "--detach"]).ends(0).says("goes on in the background").says("flow status --follow");
    terminal.flow(&["status", "--follow"]).ends(0).says("slow succeeded").warns("slow goes on");
    terminal.flow(&["logs", "--follow"]).ends(0).warns("no stage printed anything");
}

#[test]
fn what_a_stage_needs_is_planned_and_checked() {
    let workflow = |mem: &str| {
        let demand = format!("resources: {{cpus: 1, mem: {mem}}}");
        format!("flow: 1\nname: n\nstages:\n  a: {{uses: toy/emit@1, {demand}}}\n")
    };
    let terminal = Terminal::with(&workflow("64MiB"));
    terminal.flow(&["plan"]).ends(0).says("needs 1 core, 64 MiB memory");
    Terminal::with(&workflow("900TiB")).flow(&["run"]).ends(3).warns("the stage needs 900 TiB of memory");
}

#[test]
fn an_invalid_workflow_ends_with_three_and_shows_every_problem() {
    let terminal =
        Terminal::with("flow: 1\nname: x\nstages:\n  a: {uses: toy/emitt@1}\n  b: {uses: toy/concat@1, in: {parts: [c.out]}}\n");
    let checked = terminal.flow(&["check"]).ends(3).warns("toy/emit").warns("workflow.yaml:4");
    assert!(checked.err.contains("help"), "{}", checked.err);
    let json = terminal.flow(&["check", "--json"]).ends(3).json();
    let problems = json[0]["error"]["problems"].as_array().unwrap();
    assert!(problems.len() >= 2, "{problems:?}");
    assert!(problems.iter().all(|problem| problem["line"].is_u64() && problem["help"].is_string()), "{problems:?}");
}

#[test]
fn a_command_line_that_cannot_be_read_is_told_as_json_too() {
    let terminal = Terminal::with(WORKFLOW);
    let told = terminal.flow(&["plan", "--json", "--onyl", "first"]).ends(2).json();
    let message = told[0]["error"]["message"].as_str().unwrap();
    assert!(message.contains("--onyl") && !message.starts_with("error"), "{message}");
    assert!(told[0]["error"]["help"].as_str().unwrap().contains("--only"));
    assert_eq!(told[0]["exit"], 2);
}

#[test]
fn json_events_come_line_by_line_and_end_with_the_summary() {
    let terminal = Terminal::with(WORKFLOW);
    let lines = terminal.flow(&["run", "--json"]).ends(0).json();
    assert_eq!(lines[0]["event"]["type"], "run-started");
    assert_eq!(lines.last().unwrap()["summary"]["outcome"], "succeeded");
    assert!(lines.iter().any(|line| line["event"]["type"] == "stage-succeeded"));
    let slow = Terminal::with("flow: 1\nname: s\nstages:\n  slow: {uses: toy/sleep@1, with: {steps: 3, millis: 150}}\n");
    let told = slow.flow(&["run", "--json"]).ends(0).json();
    let progress = told.iter().find(|line| line.get("progress").is_some()).unwrap();
    assert_eq!((&progress["progress"]["stage"], &progress["progress"]["progress"]["unit"]), (&"slow".into(), &"steps".into()));
    let status = terminal.flow(&["status", "--json"]).ends(0).json();
    assert_eq!(status[0]["state"]["stages"].as_array().unwrap().len(), 5);
}

#[test]
fn a_wrong_command_line_ends_with_two() {
    let terminal = Terminal::with(WORKFLOW);
    for arguments in [&["fly"][..], &["run", "-p", "x"], &["run", "none.yaml"], &["why", "first"], &["status", "x", "--all"]] {
        terminal.flow(arguments).ends(2).warns("");
    }
    terminal.flow(&["run"]).ends(0).says("succeeded");
    terminal.flow(&["status", "nosuchrun"]).ends(2).warns("nosuchrun");
    terminal.flow(&["logs", "--stage", "none"]).ends(2).warns("its stages are first");
    terminal.flow(&["models", "show", "x@1"]).ends(2).warns("there is no model");
}

#[test]
fn graphs_come_in_three_forms() {
    let terminal = Terminal::with(WORKFLOW);
    terminal.flow(&["graph"]).ends(0).says("flowchart TD").says("-->|\"out\"|");
    terminal.flow(&["graph", "--format", "dot"]).ends(0).says("\"judge\" -> \"last\" [style=dashed];");
    terminal.flow(&["graph", "--format", "svg", "-o", "graph.svg"]).ends(0).says("");
    assert!(std::fs::read_to_string(terminal.path("graph.svg")).unwrap().starts_with("<svg"));
}

#[test]
fn reference_schema_and_help_are_printed() {
    let terminal = Terminal::with(WORKFLOW);
    terminal.flow(&["stages"]).ends(0).says("toy/concat@1");
    terminal.flow(&["stages", "toy/emit"]).ends(0).says("How often to write it.").says("out (file)").says("default 1");
    terminal.flow(&["stages", "toy/nothing"]).ends(2).warns("known kinds are");
    terminal.flow(&["schema"]).ends(0).says("toy/emit");
    terminal.flow(&["--help"]).ends(0).says("Run a workflow:").says("Exit codes:");
    terminal.flow(&["run", "--help"]).ends(0).says("Examples:");
    terminal.flow(&["--version"]).ends(0).says("flow ");
    terminal.flow(&["completions", "bash"]).ends(0).says("flow");
    terminal.flow(&["gc"]).ends(0).says("freed 0 B");
}

#[test]
fn a_prompt_is_answered() {
    let terminal = Terminal::with(WORKFLOW);
    let answered = terminal.flow(&["generate", "parrot@1", "-p", "say this"]).ends(0);
    assert_eq!(answered.out, "say this\n");
    let json = terminal.flow(&["generate", "parrot@1", "-p", "say this", "--json"]).ends(0).json();
    assert_eq!(json[0]["completion_tokens"], 2);
    terminal.flow(&["serve", "parrot@1"]).ends(1).warns("name another port");
}

#[test]
fn commands_find_the_project_by_flag() {
    let terminal = Terminal::with(WORKFLOW);
    terminal.flow(&["run"]).ends(0).says("succeeded");
    std::fs::create_dir(terminal.path("elsewhere")).unwrap();
    terminal.flow(&["status", "--project", "elsewhere"]).ends(2).warns("there is no run in");
    terminal.flow(&["status", "--project", "."]).ends(0).says("greet succeeded");
    assert!(Path::new(&terminal.run_folder()).join("summary.json").exists());
}

const COMMANDS: &str = "\
flow: 1
stages:
  text: {uses: toy/emit@1, with: {text: hello}}
  neat: {uses: cmd@1, in: {text: text.out}, run: [sh, -c, 'read -r x < $0; echo $x > o'], out: {o: {path: o}}}
  careless:
    uses: cmd@1
    run: [sh, -c, 'w=words; read -r x < $w.txt; echo $x > o']
    out: {o: {path: o}}
";

#[test]
fn what_commands_use_undeclared_is_listed_with_what_to_write() {
    let commands = COMMANDS.replace("< $0; echo $x > o'],", "< $0; echo $x > o', '${in.text}'],");
    let terminal = Terminal::with(&commands);
    std::fs::write(terminal.path("words.txt"), "w\n").unwrap();
    terminal.flow(&["check", "--undeclared=neat"]).ends(1).says("text has not given yet");
    terminal.flow(&["run", "--only", "text"]).ends(0).says("succeeded");
    terminal.flow(&["check", "--undeclared=neat"]).ends(0).says("neat: everything it uses is declared");
    let listed = terminal.flow(&["check", "--undeclared"]).ends(3);
    listed.says("careless: one thing is not declared").says("looks for words.txt").says("code: [words.txt]");
    let json = terminal.flow(&["check", "--undeclared", "--json"]).ends(3).json();
    assert_eq!(json[0]["commands"][1]["stage"], "careless");
    assert_eq!(json[0]["commands"][1]["undeclared"][0]["what"], "missing");
    terminal.flow(&["check", "--undeclared=text"]).ends(2).warns("there is no command");
}

/// `flow run` somewhere else, with one more variable.
fn flow_in(folder: &Path, (home, variable, value): (&Path, &str, &OsStr)) -> Ended {
    let output = Command::new(program())
        .arg("run")
        .current_dir(folder)
        .env_clear()
        .envs([("PATH", "/usr/bin:/bin"), ("USER", "ada")])
        .env("HOME", home)
        .env(variable, value)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ended { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

/// A peer that reads the variable as text takes it for unset, and keeps the results elsewhere without a word.
#[test]
fn a_place_that_is_no_text_is_refused_and_nothing_is_written_elsewhere() {
    let terminal = Terminal::with(ONE);
    let place = terminal.path("").join(OsStr::from_bytes(b"store-\xff"));
    let home = terminal.path("");
    for variable in ["FLOW_STORE", "XDG_DATA_HOME"] {
        let ended = flow_in(&home, (&home, variable, place.as_os_str())).ends(2).warns(variable).warns("is not valid UTF-8");
        assert!(ended.err.contains("name a folder whose path is text"), "{}", ended.err);
    }
    assert!(!place.exists() && !home.join(".cache").exists() && !home.join(".flow").exists());
    terminal.flow(&["run"]).ends(0).says("one succeeded");
}

#[test]
fn a_project_in_a_folder_that_is_no_text_is_refused() {
    let terminal = Terminal::with(ONE);
    let folder = terminal.path("").join(OsStr::from_bytes(b"pro\xffject"));
    fs::create_dir(&folder).unwrap();
    fs::copy(terminal.path("workflow.yaml"), folder.join("workflow.yaml")).unwrap();
    let home = terminal.path("");
    flow_in(&folder, (&home, "LANG", OsStr::new("C"))).ends(2).warns("is not valid UTF-8").warns("rename the folder");
    assert!(!folder.join(".flow").exists());
}

#[test]
fn a_store_of_another_format_and_a_folder_that_is_no_store_are_told_apart_and_left_alone() {
    let terminal = Terminal::with(ONE);
    let (home, store) = (terminal.path(""), terminal.path("store"));
    fs::create_dir(&store).unwrap();
    for (text, told, next) in [
        ("flow store 9 blake3 0x0\n", "its format is \"flow store 9 blake3 0x0\"", "update flow"),
        ("flow store 1 blake3 0x10\n", "this flow knows \"flow store 1 blake3 0x0\"", "update flow"),
        ("PK\u{3}\u{4}", "its FORMAT file is not that of a store", "nothing was changed there"),
    ] {
        fs::write(store.join("FORMAT"), text).unwrap();
        let ended = flow_in(&home, (&home, "FLOW_STORE", store.as_os_str()));
        assert!(![0, 101].contains(&ended.code), "{}", ended.err);
        assert!(told_in(&ended.err, told) && told_in(&ended.err, next), "{}", ended.err);
        assert_eq!(
            (fs::read_dir(&store).unwrap().count(), fs::read_to_string(store.join("FORMAT")).unwrap().as_str()),
            (1, text)
        );
    }
}

/// Whether the words stand there, however the lines were broken.
fn told_in(said: &str, words: &str) -> bool {
    let plain = |text: &str| text.replace(['│', '×', '├', '╰', '─', '▶'], " ").split_whitespace().collect::<String>();
    plain(said).contains(&plain(words))
}
