use flow_text::record::Record;
use serde_json::{Value, json};

use super::*;
use crate::testing::{Bench, Run, row, with_meta};

fn of(source: &str, id: &str) -> Record {
    Record { source: source.to_owned(), ..row(id, "a question", "an answer") }
}

fn rows() -> Vec<Record> {
    vec![of("wiki", "a"), of("own", "b"), of("mystery", "c"), with_meta(of("own", "d"), "license", "CC-BY-4.0"), of("own", "e")]
}

fn sources() -> Value {
    json!({
        "wiki": {"license": "Creative Commons Attribution Share Alike 4.0", "creators": ["Ann Author"], "source_url": "https://example.org/wiki"},
        "own": {"license": "MIT OR CC-BY-NC-4.0"},
    })
}

fn run(with: Value) -> Result<Run, StageError> {
    Bench::new().rows("rows", &rows()).run::<LicenceGuard>(with)
}

fn paper(run: &Run, name: &str) -> String {
    String::from_utf8(run.file("papers", name)).unwrap()
}

#[test]
fn rows_pass_by_their_licence_and_what_is_not_known_is_quarantined() {
    let run = run(json!({"sources": sources()})).unwrap();
    assert_eq!(run.ids("rows"), ["a", "b", "d", "e"]);
    assert_eq!(run.metrics(["rows_in", "rows", "quarantined", "attributions"]), json!([5.0, 4.0, 1.0, 2.0]));
    assert_eq!(run.ledger("report"), [json!({"row_id": "c", "action": "dropped", "reason": "licence_not_known"})]);
    assert_eq!(run.report("report")["data"]["classes"], json!({"commercial": 4, "not known": 1}));
}

#[test]
fn papers_name_every_maker_and_the_licence_of_the_whole() {
    let run = run(json!({"sources": sources(), "title": "Help desk"})).unwrap();
    let notice = paper(&run, "NOTICE");
    for expected in [
        "wiki by Ann Author",
        "CC-BY-SA-4.0",
        "https://example.org/wiki",
        "own by its authors",
        "as a whole stands under CC-BY-SA-4.0",
    ] {
        assert!(notice.contains(expected), "{expected} in {notice}");
    }
    assert!(!notice.contains("mystery"));
    assert!(paper(&run, "DATA_CARD.md").contains("| wiki | 1 | CC-BY-SA-4.0 | Ann Author |"));
    let croissant: Value = serde_json::from_str(&paper(&run, "croissant.json")).unwrap();
    assert_eq!(
        (&croissant["conformsTo"][0], &croissant["license"]),
        (&json!("http://mlcommons.org/croissant/1.1"), &json!(["CC-BY-SA-4.0"]))
    );
    assert_eq!(croissant["prov:wasDerivedFrom"].as_array().unwrap().len(), 2);
    assert_eq!(croissant["recordSet"][0]["field"].as_array().unwrap().len(), 4);
}

#[test]
fn non_commercial_data_fails_a_commercial_run_and_passes_for_research() {
    let nc = json!({"wiki": {"license": "cc-by-nc-4.0"}, "own": {"license": "MIT"}});
    let error = run(json!({"sources": nc})).err().unwrap();
    assert!(error.message.contains("wiki") && error.message.contains("forbids commercial use"), "{}", error.message);
    let dropped = run(json!({"sources": nc, "refused": "drop"})).unwrap();
    assert_eq!(dropped.metrics(["dropped", "quarantined"]), json!([1.0, 1.0]));
    let research = json!({"sources": nc, "intent": "research", "allow": ["*"], "deny": []});
    assert_eq!(run(research).unwrap().ids("rows").len(), 4);
}

#[test]
fn what_a_model_wrote_is_refused_unless_it_is_named() {
    let written = json!({"wiki": {"license": "MIT", "model_generated_by": ["gpt-4"]}, "own": {"license": "MIT"}});
    let error = run(json!({"sources": written})).err().unwrap();
    assert!(error.message.contains("gpt-4"), "{}", error.message);
    assert!(run(json!({"sources": written, "model_generated": ["gpt-*"]})).is_ok());
}

#[test]
fn licences_that_exclude_each_other_and_missing_evidence_fail() {
    let two = json!({"wiki": {"license": "CC-BY-SA-3.0"}, "own": {"license": "GPL-3.0-only"}});
    let error = run(json!({"sources": two, "allow": ["*"]})).err().unwrap();
    assert!(error.message.contains("CC-BY-SA-3.0 and GPL-3.0-only"), "{}", error.message);
    let error = run(json!({"sources": sources(), "require": ["license", "source_url"]})).err().unwrap();
    assert!(error.message.contains("source_url of source own"), "{}", error.message);
}

#[test]
fn nothing_stated_is_too_much_to_lose() {
    let error = run(json!({})).err().unwrap();
    assert!(error.message.contains("4 of 5 rows have no licence"), "{}", error.message);
}
