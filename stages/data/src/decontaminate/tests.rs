use flow_text::record::Record;
use serde_json::{Value, json};

use super::*;
use crate::testing::{Bench, row};

const ITEM: &str = "Janet keeps a small flock of ducks behind her house and sells their eggs at the market every Friday morning";
const EVALS: &str = "{\"question\": \"Janet keeps a small flock of ducks behind her house and sells their eggs at the market every Friday morning\", \"answer\": \"12\"}\n\
                     {\"question\": \"Capital of France?\", \"answer\": \"Paris\"}\n{\"question\": \"Why?\", \"answer\": \"Because\"}\n";

fn planted() -> Vec<Record> {
    let mut rows: Vec<Record> = (0..12)
        .map(|at| row(&format!("clean{at}"), &format!("What is number {at}?"), "It is a number like any other."))
        .collect();
    rows.push(row("verbatim", &format!("Solve this. {ITEM}. How many?"), "Twelve."));
    rows.push(row("edited", &ITEM.replace("small", "big").replace("Friday", "Monday"), "Twelve."));
    rows.push(row("short", "What is the capital of France?", "Paris, of course."));
    rows
}

fn config(action: &str) -> Value {
    json!({"evals": [{"name": "ducks", "path": "evals.jsonl", "answer": "answer"}], "action": action, "max_contaminated_fraction": 0.5})
}

fn bench() -> Bench {
    Bench::new().rows("rows", &planted()).source("evals.jsonl", EVALS.as_bytes())
}

#[test]
fn planted_items_are_dropped_with_evidence() {
    let run = bench().run::<Decontaminate>(config("drop")).unwrap();
    assert_eq!(run.metrics(["rows_in", "rows", "dropped", "contaminated", "items_found"]), json!([15.0, 12.0, 3.0, 3.0, 2.0]));
    let lines: Vec<Value> = run.ledger("report").iter().map(|line| line["row_id"].clone()).collect();
    assert_eq!(lines, ["verbatim", "edited", "short"]);
    let hits = run.report("report")["data"]["hits"].as_array().unwrap().clone();
    assert_eq!((hits.len(), &hits[0]["set"], &hits[0]["item"]), (3, &json!("ducks"), &json!(0)));
}

#[test]
fn items_can_be_masked_or_flagged() {
    let masked = bench().run::<Decontaminate>(config("mask")).unwrap().rows("rows");
    assert_eq!(masked[12].messages[0].content, "Solve this. [evaluation item removed]. How many?");
    let flagged = bench().run::<Decontaminate>(config("flag")).unwrap().rows("rows");
    assert_eq!((flagged.len(), &flagged[13].meta["_flags"]), (15, &json!(["contaminated"])));
}

#[test]
fn items_can_come_from_rows_and_too_many_hits_fail() {
    let evals = [row("e", ITEM, "12")];
    let bench = Bench::new().rows("rows", &planted()).rows("evals", &evals);
    assert_eq!(bench.run::<Decontaminate>(json!({})).unwrap().ids("rows").len(), 13);
    let error = bench.run::<Decontaminate>(json!({"max_contaminated_fraction": 0.1})).err().unwrap();
    assert!(error.message.contains("2 of 15 rows"), "{}", error.message);
}

#[test]
fn an_evaluation_set_is_read_whole_or_refused() {
    let bench = Bench::new().rows("rows", &planted()).source("evals.jsonl", b"{\"question\": \"x\"}\n{\"text\": 1}\n");
    let error = bench.run::<Decontaminate>(config("drop")).err().unwrap();
    assert!(error.message.contains("line 2") && error.message.contains("question"), "{}", error.message);
}

#[test]
fn bytes_do_not_depend_on_threads() {
    bench().assert_same_on_threads::<Decontaminate>(&config("drop"));
}
