//! Whole runs of the pipeline: what a green one leaves behind, what a gate stops, and that no row is lost on the way.

use std::fs;

use serde_json::{Value, json};

use crate::{
    fixtures::{PIPELINE, desk, tiny_llama},
    support::{Server, TestProject},
};

#[test]
fn the_pipeline_ends_in_a_served_and_registered_model() {
    let project = desk();
    project.flow(&["run", "--approve", "approve"]).expect(0);

    let standings = project.standings();
    assert_eq!(standings.len(), 12);
    assert!(standings.values().all(|standing| standing == "succeeded"), "{standings:?}");
    assert_eq!(project.stage("serve")["metrics"]["equal"], 1.0, "the served answer is the one that was evaluated");

    let models = project.json(&["models", "ls"]);
    assert_eq!(models[0]["name"], "desk");
    assert_eq!(models[0]["aliases"][0], "candidate");
    let card = project.flow(&["models", "show", "desk@candidate"]).expect(0);
    assert!(card.stdout.contains("CC0-1.0"), "{}", card.stdout);

    let run = project.json(&["status"])["state"]["run"].as_str().expect("a run").to_owned();
    shows_what_is_trained(&project);
    let folder = project.path().join(".flow/runs").join(run);
    let page = fs::read_to_string(folder.join("index.html")).expect("a summary page");
    assert!(page.contains("<svg") && page.contains("delta_exact_match_low95"));
    assert!(!page.contains("src=\"http"), "the page stands alone");
    for stage in ["ingest", "clean", "dedup", "pii", "bias", "split", "train", "eval", "serve"] {
        assert!(folder.join("reports").join(stage).join("report.html").exists(), "no report of {stage}");
    }
}

/// The template's words are read, the assistant's are trained, each token is one or the other.
fn shows_what_is_trained(project: &TestProject) {
    let text = project.flow(&["data", "show", "tokenize.train", "--labels", "--rows", "1"]).expect(0).stdout;
    let (read, trained) = text.split_once("<|im_start|>assistant\n⟦").unwrap_or_else(|| panic!("nothing is marked: {text}"));
    assert!(read.contains("<|im_start|>user\n") && !read.contains('⟦'), "{text}");
    assert!(trained.contains("<|im_end|>⟧"), "the end of the turn is trained: {text}");

    let shown = project.json(&["data", "show", "tokenize.train", "--rows", "2"]);
    let rows = &shown["tokens"]["chosen"];
    assert_eq!((rows.as_array().map(Vec::len), &shown["model"]), (Some(2), &json!("file:tiny")));
    let name = rows[1]["row_id"].as_str().expect("a name");
    let named = project.json(&["data", "show", "tokenize.train", "--row", name]);
    assert_eq!(named["tokens"]["chosen"][0], rows[1]);
    let refused = project.flow(&["data", "show", "split.train"]).expect(2);
    assert!(refused.stderr.contains("split.train holds no tokens"), "{}", refused.stderr);
}

#[test]
fn the_registered_model_answers_alike_on_the_command_line_and_over_http() {
    let project = desk();
    project.flow(&["run", "--approve", "approve", "--quiet", "-p", "steps=20"]).expect(0);
    let ask = ["generate", "desk@candidate", "-p", "May I bring tea?", "--max-tokens", "8"];
    let typed = project.json(&ask);
    assert!(typed["text"].as_str().is_some_and(|text| !text.is_empty()), "{typed}");
    assert_eq!(typed, project.json(&ask), "greedy decoding repeats itself");

    let server = Server::start(&project, "desk@candidate");
    let messages = json!([{"role": "user", "content": "May I bring tea?"}]);
    let request = json!({"model": "desk@candidate", "messages": messages, "temperature": 0, "max_tokens": 8});
    let (status, body) = server.post("/v1/chat/completions", &request);
    assert_eq!(status, 200, "{body}");
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(answer["choices"][0]["message"]["content"], typed["text"], "{answer}");
    assert_eq!(answer["usage"]["completion_tokens"], typed["completion_tokens"], "{answer}");

    let (status, body) =
        server.post("/v1/chat/completions", &json!({"model": "desk@candidate", "messages": messages, "logprobs": true}));
    assert!((400..500).contains(&status) && body.contains("logprobs"), "{status} {body}");
}

#[test]
fn a_gate_out_of_reach_keeps_the_report_and_registers_nothing() {
    let project = desk();
    let outcome = project.flow(&["run", "--approve", "approve", "-p", "bar=0.9"]).expect(4);
    assert!(outcome.stderr.contains("gate not met: metrics.delta_exact_match_low95 >= params.bar"), "{}", outcome.stderr);

    let standings = project.standings();
    assert_eq!(standings["eval"], "gate-failed");
    assert_eq!([&standings["register"], &standings["serve"]], ["skipped", "skipped"]);
    let run = project.json(&["status"])["state"]["run"].as_str().expect("a run").to_owned();
    assert!(project.path().join(".flow/runs").join(run).join("reports/eval/report.html").exists());
    assert_eq!(project.json(&["models", "ls"]), Value::Array(Vec::new()));

    project.flow(&["run", "--quiet"]).expect(0);
    assert_eq!(project.standings()["train"], "cached", "a lower bar trains nothing again");
}

#[test]
fn no_stage_of_the_data_loses_a_row_without_a_reason() {
    let project = desk();
    let rows = fs::read_to_string(project.path().join("desk.jsonl")).expect("reads");
    let broken = format!("{rows}{{\"topic\": \"rooms\", \"prompt\": 7}}\n");
    project.write("desk.jsonl", &broken.repeat(2));
    project.write("workflow.yaml", &PIPELINE.replace("sources: [", "max_bad_fraction: 0.1, sources: ["));
    project.flow(&["run", "--approve", "approve", "--quiet", "--only", "split"]).expect(0);

    for name in ["ingest", "clean", "dedup", "pii", "bias", "split"] {
        loses_no_row(name, &project.stage(name));
    }
    assert_eq!(project.stage("ingest")["metrics"]["quarantined"], 2.0);
    assert!(project.stage("dedup")["metrics"]["merged"].as_f64() >= Some(62.0), "every row came twice");
}

/// Every row that came in went out, or is accounted for.
fn loses_no_row(name: &str, stage: &Value) {
    let count = |metric: &str| stage["metrics"][metric].as_f64().unwrap_or_else(|| panic!("{name} has no {metric}: {stage}"));
    let accounted = count("rows_out") + count("dropped") + count("quarantined") + count("merged");
    let entered = count("rows_in");
    assert!(entered > 0.0 && (entered - accounted).abs() < 0.5, "{name}: {entered} in, {accounted} accounted for");
}

/// The quickstart as it stands, but with a model that cannot learn the task: its gate is what keeps that model out of the registry.
#[test]
fn the_quickstart_keeps_a_model_that_learned_nothing_out_of_the_registry() {
    let project = TestProject::new();
    project.copy("workflows");
    tiny_llama(&project.path().join("workflows/tiny"), 1);
    let params = ["-p", "base=file:tiny", "-p", "max_length=1024", "-p", "rank=2"];
    let outcome = project.flow(&[&["run", "workflows/quickstart.yaml", "--approve", "approve"], &params[..]].concat()).expect(4);
    assert!(outcome.stderr.contains("gate not met: metrics.delta_exact_match_low95 > 0.0"), "{}", outcome.stderr);

    let status = project.json(&["status", "--project", "workflows"]);
    let stage = |name: &str| {
        let stages = status["state"]["stages"].as_array().expect("a run has stages");
        stages.iter().find(|stage| stage["name"] == name).expect("the stage is in the run")
    };
    for name in ["ingest", "curate/clean", "curate/dedup", "curate/pii", "curate/bias", "split"] {
        loses_no_row(name, stage(name));
    }
    assert!(stage("eval")["metrics"]["items"].as_f64() >= Some(60.0), "enough tickets are held out");
    assert_eq!(stage("register")["status"]["state"], "skipped");
}

/// A smoke run reads a few rows and does not spoil the cache of the full one.
#[test]
fn a_limited_run_reads_only_so_many_rows() {
    let project = desk();
    project.flow(&["run", "--only", "clean", "--limit", "10", "--quiet"]).expect(0);
    assert_eq!(project.stage("clean")["metrics"]["rows_in"], 10.0);
    project.flow(&["run", "--only", "clean", "--quiet"]).expect(0);
    assert_eq!(project.stage("clean")["metrics"]["rows_in"], 62.0);
}
