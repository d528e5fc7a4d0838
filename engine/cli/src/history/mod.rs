//! Runs against each other, as a person reads them: differences at the terminal, comparisons there and on a page.

mod artifact;
mod difference;
mod page;
mod table;

pub(crate) use artifact::artifact;
pub(crate) use difference::difference;
pub(crate) use page::page;
pub(crate) use table::table;

use flow_engine::{
    plan::Change,
    report::{number::number, svg::fit},
};
use serde_json::Value;

/// A value on one line; digests by their first digits.
pub(crate) fn short(value: &Value) -> String {
    let text = match value {
        Value::String(text) if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            text.chars().take(8).collect()
        }
        Value::Number(real) if real.is_f64() => real.to_string(),
        other => other.to_string(),
    };
    fit(&text, 60)
}

/// One side of a change; nothing where the place is not there.
fn side(value: Option<&Value>) -> String {
    value.map_or_else(|| "–".to_owned(), short)
}

/// A change as three cells: place, earlier, later.
fn cells(change: &Change) -> [String; 3] {
    [change.path.clone(), side(change.old.as_ref()), side(change.new.as_ref())]
}

/// A number with its sign.
pub(crate) fn signed(value: f64) -> String {
    let sign = if value > 0.0 { "+" } else { "" };
    format!("{sign}{}", number(value))
}

/// A part of a whole as a percentage with its sign.
pub(crate) fn percent(part: f64) -> String {
    let sign = if part > 0.0 { "+" } else { "" };
    format!("{sign}{} %", number((part * 1e3).round() / 10.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_carry_their_sign() {
        assert_eq!((signed(0.25).as_str(), signed(-2.0).as_str(), signed(0.0).as_str()), ("+0.25", "−2", "0"));
        assert_eq!((percent(0.123_45).as_str(), percent(-1.0).as_str()), ("+12.3 %", "−100 %"));
    }
}
