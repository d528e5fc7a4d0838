//! The guard on rows with planted personal data.

use flow_text::record::Record;
use serde_json::json;

use super::*;
use crate::testing::{Bench, row, with_meta};

fn planted() -> Vec<Record> {
    vec![
        row("a", "Mail jane.doe@acme.org or call +49 30 901820.", "Card 4556 7375 8689 9855 noted."),
        row("b", "My IBAN is DE89 3704 0044 0532 0130 00", "jane [at] acme [dot] org"),
        with_meta(row("c", "nothing here", "at all"), "maintainer", "Jane <jane.doe@acme.org>"),
        row("d", "write to nobody@example.com", "fine"),
    ]
}

#[test]
fn planted_values_are_replaced_and_counted() {
    let run = Bench::new().rows("rows", &planted()).run::<Pii>(json!({})).unwrap();
    let out = run.rows("rows");
    assert_eq!(out[0].messages[0].content, "Mail [EMAIL] or call [PHONE].");
    assert_eq!(out[0].messages[1].content, "Card [CREDIT_CARD] noted.");
    assert_eq!((out[1].messages[0].content.as_str(), out[1].messages[1].content.as_str()), ("My IBAN is [IBAN]", "[EMAIL]"));
    assert_eq!(out[2].meta["maintainer"], "Jane <[EMAIL]>");
    assert_eq!(out[3].messages[0].content, "write to nobody@example.com");
    assert_eq!(run.metrics(["entities", "rows_with_pii", "residual", "rows_out"]), json!([7.0, 4.0, 0.0, 4.0]));
    assert_eq!(
        run.report("report")["data"]["found"],
        json!({"CREDIT_CARD": 1.0, "EMAIL_ADDRESS": 4.0, "IBAN_CODE": 1.0, "PHONE_NUMBER": 1.0})
    );
    let page = run.report("report").to_string();
    assert!(!page.contains("jane.doe@acme.org") && !page.contains("4556"), "a report must not show what was found");
}

#[test]
fn test_values_fields_and_kinds_follow_the_configuration() {
    let with = json!({"test_values": "treat_as_pii", "skip_meta": ["maintainer"], "entities": ["EMAIL_ADDRESS"]});
    let out = Bench::new().rows("rows", &planted()).run::<Pii>(with).unwrap().rows("rows");
    assert_eq!(out[3].messages[0].content, "write to [EMAIL]");
    assert_eq!(out[2].meta["maintainer"], "Jane <jane.doe@acme.org>");
    assert!(out[0].messages[1].content.contains("4556"));
}

#[test]
fn records_can_be_dropped() {
    let with = json!({"actions": {"IBAN_CODE": {"do": "drop_record"}}, "max_entities_per_record": 2});
    let run = Bench::new().rows("rows", &planted()).run::<Pii>(with).unwrap();
    assert_eq!(run.ids("rows"), ["c", "d"]);
    assert_eq!(run.metrics(["dropped"]), json!([2.0]));
}

#[test]
fn pseudonyms_need_a_key() {
    let error = Bench::new().rows("rows", &planted()).run::<Pii>(json!({"default_action": "pseudonymize"})).err().unwrap();
    assert!(error.message.contains("without a key") && error.help.unwrap().contains("secrets."));
    let with = json!({"default_action": "pseudonymize", "key": {"secret": "FLOW_TEST_SECRET_THAT_NOBODY_SETS"}});
    assert!(Bench::new().rows("rows", &planted()).run::<Pii>(with).err().unwrap().message.contains("is not set"));
}

#[test]
fn masked_values_do_not_pass_a_checksum_again() {
    let with = json!({"default_action": "redact", "actions": {"CREDIT_CARD": {"do": "mask", "keep_last": 19}}});
    let run = Bench::new().rows("rows", &planted()).run::<Pii>(with).unwrap();
    assert_eq!(run.rows("rows")[0].messages[1].content, "Card **** **** 8689 9855 noted.");
}

#[test]
fn bytes_do_not_depend_on_threads() {
    let rows: Vec<Record> =
        (0..300).map(|at| row(&format!("{at}"), &format!("mail a{at}@acme.org"), "4556737586899855")).collect();
    Bench::new().rows("rows", &rows).assert_same_on_threads::<Pii>(&json!({}));
}
