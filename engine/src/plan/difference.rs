//! What changed between two pre-images of an action: the answer of `flow why`.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One changed place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Keys and indices from the root, such as `params.optim.lr` or `argv.2`.
    pub path: String,
    /// The earlier value; none when the place is new.
    pub old: Option<Value>,
    /// The later value; none when the place is gone.
    pub new: Option<Value>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.old, &self.new) {
            (Some(old), Some(new)) => write!(f, "{} {old} -> {new}", self.path),
            (Some(old), None) => write!(f, "{} {old} removed", self.path),
            (None, Some(new)) => write!(f, "{} {new} added", self.path),
            (None, None) => f.write_str(&self.path),
        }
    }
}

/// Every place where two values differ, sorted by key, lists compared item by item.
pub fn difference(old: &Value, new: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    compare(&mut changes, String::new(), (Some(old), Some(new)));
    changes
}

fn compare(changes: &mut Vec<Change>, path: String, values: (Option<&Value>, Option<&Value>)) {
    let below = |step: &str| if path.is_empty() { step.to_owned() } else { format!("{path}.{step}") };
    match values {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for key in keys {
                compare(changes, below(key), (old.get(key), new.get(key)));
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            for index in 0..old.len().max(new.len()) {
                compare(changes, below(&index.to_string()), (old.get(index), new.get(index)));
            }
        }
        (old, new) if old != new => changes.push(Change { path, old: old.cloned(), new: new.cloned() }),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_changed_parameter_is_named_with_both_values() {
        let old = json!({"kind": "train/sft", "params": {"lr": 0.0002, "epochs": 3}});
        let new = json!({"kind": "train/sft", "params": {"lr": 0.0004, "epochs": 3}});
        let changes: Vec<_> = difference(&old, &new).iter().map(ToString::to_string).collect();
        assert_eq!(changes, ["params.lr 0.0002 -> 0.0004"]);
    }

    #[test]
    fn additions_and_removals_are_told_apart_from_null() {
        let changes = difference(&json!({"a": null, "l": [1, 2]}), &json!({"b": 1, "l": [1, 3, 4]}));
        let texts: Vec<_> = changes.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["a null removed", "b 1 added", "l.1 2 -> 3", "l.2 4 added"]);
    }

    proptest! {
        #[test]
        fn only_different_values_differ(one in 0_i64..3, other in 0_i64..3) {
            let (old, new) = (json!({"x": [one]}), json!({"x": [other]}));
            prop_assert_eq!(difference(&old, &new).is_empty(), one == other);
        }
    }
}
