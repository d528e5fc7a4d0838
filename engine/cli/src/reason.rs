//! Why a stage runs or does not, in words: `flow why` and `flow plan` say the same.

use flow_engine::{
    plan::Change,
    run::{Comparison, Reason},
    store::Store,
};
use serde_json::Value;

use crate::history::short;

/// One sentence, the first changed place named with both values.
pub(crate) fn sentence(reason: &Reason, store: &Store) -> String {
    match reason {
        Reason::First => "nothing like it was done before".to_owned(),
        Reason::Changed { than } => {
            let changes = changes(than, store);
            let first = changes.first().map_or_else(|| "nothing that is recorded differs".to_owned(), Clone::clone);
            match changes.len() {
                0 | 1 => first,
                more => format!("{first} (and {} more)", more - 1),
            }
        }
        Reason::Unchanged { since: Some(run) } => {
            format!("nothing that decides its outputs changed since run {run}")
        }
        Reason::Unchanged { since: None } => "the store holds the result of the same work".to_owned(),
        Reason::CutOff { ran, .. } => {
            format!("{} ran again but gave the same bytes", ran.join(", "))
        }
        Reason::Repeated { since } => {
            format!("the result of run {since} is gone or was never finished")
        }
        Reason::NotReached => "the run did not get that far".to_owned(),
    }
}

/// How to get the recorded result of the compared action back; none when it is gone, or more than one place changed.
pub(crate) fn way_back(than: &Comparison, store: &Store) -> Option<String> {
    let [change] = than.changes.as_slice() else { return None };
    let written = change.path.starts_with("params.") || matches!(change.path.as_str(), "limit" | "seed");
    let preimage = store.actions().preimage(&than.key).ok().flatten().unwrap_or(Value::Null);
    let place = place(&change.path, &preimage);
    (than.recorded && written).then(|| match &change.old {
        Some(old) => format!("set {place} back to {} for a hit", short(old)),
        None => format!("take {place} out again for a hit"),
    })
}

/// Every changed place in words, what a person wrote before what follows from it.
pub(crate) fn changes(than: &Comparison, store: &Store) -> Vec<String> {
    // Without the earlier pre-image inputs keep their numbers.
    let preimage = store.actions().preimage(&than.key).ok().flatten().unwrap_or(Value::Null);
    let mut sorted: Vec<&Change> = than.changes.iter().collect();
    sorted.sort_by_key(|change| rank(&change.path));
    sorted.into_iter().map(|change| words(change, &preimage)).collect()
}

fn rank(path: &str) -> usize {
    let order = ["params.", "limit", "seed", "sources.", "inputs.", "revision", "kind", "outputs.", "platform"];
    order.iter().position(|start| path.starts_with(start)).unwrap_or(order.len())
}

fn words(change: &Change, preimage: &Value) -> String {
    let place = place(&change.path, preimage);
    match (&change.old, &change.new) {
        (Some(old), Some(new)) => format!("{place} changed: {} -> {}", short(old), short(new)),
        (Some(old), None) => format!("{place} is gone: it was {}", short(old)),
        (None, Some(new)) => format!("{place} is new: {}", short(new)),
        (None, None) => format!("{place} changed"),
    }
}

/// `inputs.0.digest` as `input rows`; the rest as it is written.
fn place(path: &str, preimage: &Value) -> String {
    let steps: Vec<&str> = path.split('.').collect();
    match steps.as_slice() {
        ["inputs", number, "digest"] => {
            let index: Option<usize> = number.parse().ok();
            let port = index.and_then(|index| preimage["inputs"].get(index)).and_then(|input| input["port"].as_str());
            port.map_or_else(|| format!("input {number}"), |port| format!("input {port}"))
        }
        ["sources", middle @ .., number, "digest"] if number.parse::<usize>().is_ok() => {
            format!("source {} (file {number})", middle.join("."))
        }
        ["revision"] => "the stage's own code (its revision)".to_owned(),
        ["limit"] => "--limit".to_owned(),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn change(path: &str, old: Value, new: Value) -> Change {
        Change { path: path.to_owned(), old: Some(old), new: Some(new) }
    }

    #[test]
    fn a_parameter_is_named_with_both_values() {
        let words = words(&change("params.lr", json!(0.0002), json!(0.0004)), &Value::Null);
        assert_eq!(words, "params.lr changed: 0.0002 -> 0.0004");
    }

    #[test]
    fn an_input_is_named_by_its_port() {
        let preimage = json!({"inputs": [{"port": "rows", "digest": "x"}]});
        let digest = |digit: &str| json!(digit.repeat(64));
        let words = words(&change("inputs.0.digest", digest("a"), digest("b")), &preimage);
        assert_eq!(words, "input rows changed: aaaaaaaa -> bbbbbbbb");
    }

    #[test]
    fn a_source_keeps_the_dots_of_its_name() {
        assert_eq!(place("sources.data/*.jsonl.0.digest", &Value::Null), "source data/*.jsonl (file 0)");
    }

    #[test]
    fn new_and_gone_places_say_so() {
        let gone = Change { path: "params.a".into(), old: Some(json!(1)), new: None };
        let new = Change { path: "params.b".into(), old: None, new: Some(json!("x")) };
        assert_eq!(words(&gone, &Value::Null), "params.a is gone: it was 1");
        assert_eq!(words(&new, &Value::Null), "params.b is new: \"x\"");
    }

    #[test]
    fn what_a_person_wrote_comes_first() {
        assert!(rank("params.lr") < rank("inputs.0.digest"));
        assert!(rank("sources.x") < rank("revision"));
    }
}
