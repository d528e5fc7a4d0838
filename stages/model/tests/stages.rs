//! The stages of this crate on a tiny random model: from rows to tokens to an adapter to a verdict, across stops and bad input.

#[cfg(test)]
mod support;

use std::ops::ControlFlow;

use flow_engine::{StageError, StageErrorKind};
use flow_model::{Checkpoint, ModelConfig, evaluate::Suite, tokenize::Tokenize, train::Sft, weights::save_folder};
use flow_rows::TokensReader;
use flow_text::generate::{Generate, Sampling};
use serde_json::{Value, json};
use support::{Bench, Log, MODEL, record, records, write_model, write_rows};

fn tokenize(bench: &Bench, rows: &[flow_text::record::Record]) -> Log {
    let log = Log::default();
    write_rows(&bench.path("rows"), rows);
    bench.run::<Tokenize>("tokens", json!({"model": MODEL}), &[("train", "rows")], &log).expect("rows become tokens");
    log
}

fn change(config: &mut Value, changes: &Value) {
    for (key, value) in changes.as_object().into_iter().flatten() {
        config[key] = value.clone();
    }
}

fn sft(bench: &Bench, name: &str, changes: &Value, log: &Log) -> Result<(), StageError> {
    let mut config = json!({
        "base": MODEL,
        "device": "cpu",
        "method": {"rank": 16, "alpha": 32},
        "optim": {"lr": 0.01, "schedule": {"warmup": "5%"}},
        "batch": {"global": 8, "micro": 4},
        "duration": {"epochs": 100},
        "checkpoint": {"every_steps": 3},
    });
    change(&mut config, changes);
    bench.run::<Sft>(name, config, &[("train", "tokens.train"), ("validation", "tokens.train")], log)
}

fn suite(bench: &Bench, changes: &Value, log: &Log) -> Result<(), StageError> {
    let mut config = json!({
        "base": MODEL,
        "device": "cpu",
        "metrics": ["exact_match", "field_accuracy", "nll", "rougeLsum"],
        "max_new_tokens": 40,
        "batch": 5,
    });
    change(&mut config, changes);
    bench.run::<Suite>("eval", config, &[("model", "sft.adapter"), ("data", "rows"), ("shots_from", "pool")], log)
}

#[test]
fn a_model_learns_its_rows_and_the_evaluation_shows_it() {
    let bench = Bench::new();
    tokenize(&bench, &records(8));
    let log = Log::default();
    sft(&bench, "sft", &json!({}), &log).unwrap();
    assert!(log.metric("loss_first") > 3.0 && log.metric("loss_last") < 0.05, "{}", log.metric("loss_last"));
    assert!(log.metric("validation_loss_last") < log.metric("validation_loss_first"));

    write_rows(&bench.path("pool"), &records(12));
    let log = Log::default();
    suite(&bench, &json!({"shots": 2}), &log).unwrap();
    log.expect("tuned_exact_match", 1.0);
    log.expect("base_exact_match", 0.0);
    log.expect("delta_exact_match_low95", 1.0);
    log.expect("delta_shots_exact_match", 1.0);
    assert!(log.metric("delta_nll_high95") < 0.0 && log.metric("tuned_nll") < 0.05);

    let items = std::fs::read_to_string(bench.path("eval.items")).unwrap();
    let items: Vec<Value> = items.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(items.len(), 8);
    for item in &items {
        assert_eq!(item["arms"]["tuned"]["text"], item["reference"]);
        assert_eq!(item["arms"]["tuned"]["finish"], "stop");
        assert_eq!(item["prompt"].as_array().unwrap().len(), 1);
        assert!(item["arms"]["base_shots"]["scores"]["nll"].as_f64().unwrap() > 1.0);
    }
    assert!(bench.bytes("eval.report").contains_key("report.html"));
}

#[test]
fn a_training_stage_stopped_anywhere_ends_with_the_same_bytes() {
    let bench = Bench::new();
    tokenize(&bench, &records(20));
    let short = json!({"duration": {"epochs": 3}, "method": {"rank": 4, "dropout": 0.1}});
    sft(&bench, "straight", &short, &Log::default()).unwrap();
    for stop in [1, 4, 8] {
        let name = format!("stopped{stop}");
        let log = Log { stop_after: Some(stop), ..Log::default() };
        assert_eq!(sft(&bench, &name, &short, &log).unwrap_err().kind, StageErrorKind::Cancelled);
        assert!(!bench.path(&format!("{name}.adapter")).exists());
        let resumed = Log::default();
        sft(&bench, &name, &short, &resumed).unwrap();
        assert_eq!(resumed.seen.into_inner(), 9 - stop, "only the missing steps are taken");
        for output in ["adapter", "report"] {
            assert!(
                bench.bytes(&format!("{name}.{output}")) == bench.bytes(&format!("straight.{output}")),
                "{output} after {stop}"
            );
        }
    }
}

/// Twenty rows in bins of three or so, two bins a pass, four a step.
fn packed() -> Value {
    json!({
        "duration": {"epochs": 3}, "method": {"rank": 4, "dropout": 0.1},
        "batch": {"global": 4, "micro": 2, "packing": "bfd"},
    })
}

#[test]
fn a_packed_training_stage_stopped_anywhere_ends_with_the_same_bytes() {
    let bench = Bench::new();
    let tokens = tokenize(&bench, &records(20));
    let log = Log::default();
    sft(&bench, "straight", &packed(), &log).unwrap();
    log.expect("packing_efficiency", tokens.metric("packing_efficiency"));
    assert!(log.metric("packing_efficiency") > 0.7);
    let steps = log.seen.into_inner();
    assert!((4..9).contains(&steps), "{steps} steps, where there would be 9 of rows");
    for stop in 1..steps {
        let name = format!("stopped{stop}");
        let log = Log { stop_after: Some(stop), ..Log::default() };
        assert_eq!(sft(&bench, &name, &packed(), &log).unwrap_err().kind, StageErrorKind::Cancelled);
        sft(&bench, &name, &packed(), &Log::default()).unwrap();
        for output in ["adapter", "report"] {
            assert!(bench.bytes(&format!("{name}.{output}")) == bench.bytes(&format!("straight.{output}")), "{output}");
        }
    }
}

#[test]
fn a_row_longer_than_a_bin_is_refused_by_name() {
    let bench = Bench::new();
    let mut rows = records(5);
    rows.push(record("long", &"x".repeat(120), "kind: red"));
    tokenize(&bench, &rows);
    for packing in ["bfd", "none"] {
        let batch = json!({"batch": {"packing": packing, "max_length": 140}});
        let error = sft(&bench, "sft", &batch, &Log::default()).unwrap_err();
        assert!(error.message.contains("row long has") && error.message.contains("`batch.max_length` is 140"), "{error}");
        assert!(error.help.unwrap().contains("max_length: 140"));
    }
}

/// Twenty rows in steps of eight: three steps an epoch.
#[test]
fn more_epochs_go_on_where_fewer_ended_and_end_with_the_same_bytes() {
    let bench = Bench::new();
    tokenize(&bench, &records(20));
    let train = |name: &str, epochs: u32, schedule: &Value| {
        let optim = json!({"lr": 0.01, "schedule": schedule});
        let log = Log::default();
        let changes = json!({"duration": {"epochs": epochs}, "method": {"rank": 4, "dropout": 0.1}, "optim": optim});
        sft(&bench, name, &changes, &log).unwrap();
        log.seen.into_inner()
    };
    for (schedule, taken) in [
        (json!({"name": "constant_with_warmup", "warmup": 2}), 6),
        // The last three of fifteen steps fall; those of nine begin to fall after the seventh.
        (json!({"name": "wsd", "warmup": 2, "decay": "20%"}), 8),
        (json!({"name": "constant", "warmup": "5%"}), 15),
        (json!({"name": "cosine", "warmup": 2}), 15),
    ] {
        let (short, straight) = (format!("grown-{}", schedule["name"]), format!("straight-{}", schedule["name"]));
        assert_eq!(train(&short, 3, &schedule), 9);
        assert_eq!(train(&short, 5, &schedule), taken, "{schedule}");
        assert_eq!(train(&straight, 5, &schedule), 15);
        for output in ["adapter", "report"] {
            assert!(bench.bytes(&format!("{short}.{output}")) == bench.bytes(&format!("{straight}.{output}")), "{schedule}");
        }
    }
}

#[test]
fn the_system_message_of_every_row_travels_to_the_adapter_and_one_of_some_rows_does_not() {
    for last in ["Answer.", "Sing."] {
        let bench = Bench::new();
        let mut rows = records(3);
        for (row, system) in rows.iter_mut().zip(["Answer.", "Answer.", last]) {
            let message = flow_text::record::Message { role: "system".to_owned(), content: system.to_owned() };
            row.messages.insert(0, message);
        }
        tokenize(&bench, &rows);
        sft(&bench, "sft", &json!({"duration": {"epochs": 1}}), &Log::default()).unwrap();
        let opened = flow_model::loader::open(&bench.path("model")).unwrap();
        let tuned = flow_model::generator::Generator::new("m", &opened, Some(&bench.path("sft.adapter"))).unwrap();
        let expected = (last == "Answer.").then_some("Answer.");
        assert_eq!(flow_text::generate::Generate::card(&tuned).system.as_deref(), expected);
    }
}

#[test]
fn tokens_are_the_same_twice_and_rows_without_an_answer_are_left_out() {
    let bench = Bench::new();
    let mut rows = records(5);
    rows.push(flow_text::record::Record {
        messages: rows[0].messages[..1].to_vec(),
        row_id: "silent".to_owned(),
        ..rows[0].clone()
    });
    let log = tokenize(&bench, &rows);
    log.expect("rows", 5.0);
    log.expect("rows_dropped", 1.0);
    let first = bench.bytes("tokens.train");
    std::fs::remove_dir_all(bench.path("rows")).unwrap();
    tokenize(&bench, &rows);
    assert!(bench.bytes("tokens.train") == first);
    assert!(TokensReader::open(&bench.path("tokens.test")).unwrap().is_empty());
    let report = String::from_utf8(bench.bytes("tokens.report")["report.json"].clone()).unwrap();
    assert!(report.contains("silent") && report.contains("no token to learn from"), "{report}");
}

#[test]
fn too_long_rows_are_dropped_cut_or_refused() {
    let bench = Bench::new();
    write_rows(&bench.path("rows"), &[record("short", "a", "b"), record("long", "a", &"b".repeat(100))]);
    let run = |overflow: &str| {
        let log = Log::default();
        let config = json!({"model": MODEL, "max_length": 60, "overflow": overflow});
        bench.run::<Tokenize>("tokens", config, &[("test", "rows")], &log).map(|()| log)
    };
    run("drop").unwrap().expect("rows_dropped", 1.0);
    run("truncate").unwrap().expect("rows_truncated", 1.0);
    let error = run("error").err().unwrap();
    assert!(error.to_string().contains("long") && error.help.is_some(), "{error}");
    let error =
        bench.run::<Tokenize>("tokens", json!({"model": MODEL, "max_length": 1000}), &[("test", "rows")], &Log::default());
    assert!(error.unwrap_err().message.contains("256"), "the model reads 256 tokens");
}

#[test]
fn a_merged_model_answers_as_base_and_adapter_do() {
    let bench = Bench::new();
    tokenize(&bench, &records(8));
    let log = Log::default();
    let changes = json!({"duration": {"epochs": 20}, "output": {"merged": "safetensors", "dtype": "f32"}});
    sft(&bench, "sft", &changes, &log).unwrap();
    assert!(log.metric("merged_logit_distance") < 1e-4, "{}", log.metric("merged_logit_distance"));
    let tuned = flow_model::generator::Generator::new(
        "tuned",
        &flow_model::open(&bench.path("model")).unwrap(),
        Some(&bench.path("sft.adapter")),
    );
    let merged = flow_model::generator::Generator::new("merged", &flow_model::open(&bench.path("sft.merged")).unwrap(), None);
    let answer = |mut model: flow_model::generator::Generator| {
        let prompt = model.encode_chat(&records(8)[3].messages[..1]).unwrap();
        let sampling = Sampling { max_tokens: 40, temperature: 0.0, top_p: 1.0, seed: 0 };
        model.generate(&[prompt], &sampling, &mut |_, _| ControlFlow::Continue(())).unwrap()
    };
    let said = answer(tuned.unwrap());
    assert!(!said[0].ids.is_empty());
    assert_eq!(answer(merged.unwrap()), said);
}

/// What training says to bad input; no step may have been taken.
fn refused(bench: &Bench, changes: &Value) -> StageError {
    let log = Log::default();
    let error = sft(bench, "sft", changes, &log).expect_err("bad input");
    assert_eq!(log.seen.into_inner(), 0, "no step is taken");
    assert!(error.help.is_some(), "{error} helps nobody");
    error
}

#[test]
fn rows_longer_than_the_model_reads_are_refused_before_training() {
    let bench = Bench::new();
    tokenize(&bench, &records(4));
    let path = bench.path("model").join("config.json");
    let config = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, config.replace("\"max_position_embeddings\": 256", "\"max_position_embeddings\": 24")).unwrap();
    let error = refused(&bench, &json!({}));
    assert!(error.message.contains("row row000 has") && error.message.contains("the model reads 24"), "{error}");
}

#[test]
fn a_tokenizer_with_more_tokens_than_the_model_is_refused_before_training() {
    let bench = Bench::new();
    tokenize(&bench, &records(4));
    let smaller = ModelConfig { vocab_size: 200, ..Checkpoint::open(&bench.path("model")).unwrap().config().clone() };
    save_folder(&Checkpoint::random(&smaller, 1), &bench.path("model")).unwrap();
    let error = refused(&bench, &json!({}));
    assert!(error.message.contains("it has 259 tokens, the model 200"), "{error}");
}

#[test]
fn targets_that_the_model_lacks_and_weights_that_are_no_numbers_are_refused_before_training() {
    let bench = Bench::new();
    tokenize(&bench, &records(4));
    let error = refused(&bench, &json!({"method": {"targets": ["query_key_value"]}}));
    assert!(error.message.contains("query_key_value") && error.message.contains("q_proj, k_proj"), "{error}");

    let path = bench.path("model").join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 4;
    bytes[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    let error = refused(&bench, &json!({}));
    assert!(error.message.contains("model.safetensors: value") && error.message.ends_with("is NaN"), "{error}");
}

#[test]
fn wrong_inputs_are_named() {
    let bench = Bench::new();
    let error = bench.run::<Tokenize>("tokens", json!({"model": MODEL}), &[], &Log::default()).unwrap_err();
    assert!(error.message.contains("no input"), "{error}");

    tokenize(&bench, &records(4));
    write_model(&bench.path("other"), "<|stop|>");
    let error = sft(&bench, "sft", &json!({"base": "file:other"}), &Log::default()).unwrap_err();
    assert!(error.message.contains("another tokenizer"), "{error}");

    let error = sft(&bench, "sft", &json!({"optim": {"lr": 1e30, "schedule": {"warmup": 0}}}), &Log::default()).unwrap_err();
    assert!(error.message.contains("diverged") && error.help.unwrap().contains("optim.lr"));

    sft(&bench, "sft", &json!({"duration": {"epochs": 1}}), &Log::default()).unwrap();
    write_rows(&bench.path("pool"), &records(5));
    let error = suite(&bench, &json!({"shots": 2}), &Log::default()).unwrap_err();
    assert!(error.message.contains("shots_from has 1"), "{error}");
    let error = suite(&bench, &json!({"metrics": ["field_match"], "fields": ["team"]}), &Log::default()).unwrap_err();
    assert!(error.message.contains("team"), "{error}");
}
