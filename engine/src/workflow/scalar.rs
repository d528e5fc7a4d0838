//! Plain scalars by the core schema of YAML 1.2: no `yes`, no base-60 numbers, no octal by a leading zero.

use serde_json::Number;

use super::NodeValue;

/// A number that this schema writes but no value can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unrepresentable {
    /// An integer beyond 64 bits.
    Integer,
    /// An infinity, NaN, or a float beyond the range of 64 bits.
    Float,
}

/// The value of an unquoted scalar.
pub(super) fn plain(text: &str) -> Result<NodeValue, Unrepresentable> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => NodeValue::Null,
        "true" | "True" | "TRUE" => NodeValue::Bool(true),
        "false" | "False" | "FALSE" => NodeValue::Bool(false),
        _ if is_decimal(text) => NodeValue::Number(integer(text)?),
        _ if is_float(text) => NodeValue::Number(float(text)?),
        ".nan" | ".NaN" | ".NAN" => return Err(Unrepresentable::Float),
        _ if is_infinity(text) => return Err(Unrepresentable::Float),
        _ => match radix(text) {
            Some((digits, base)) => {
                NodeValue::Number(u64::from_str_radix(digits, base).map_err(|_| Unrepresentable::Integer)?.into())
            }
            None => NodeValue::Text(text.to_owned()),
        },
    })
}

fn unsigned_part(text: &str) -> &str {
    text.strip_prefix(['-', '+']).unwrap_or(text)
}

fn is_decimal(text: &str) -> bool {
    let digits = unsigned_part(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn integer(text: &str) -> Result<Number, Unrepresentable> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let signed = text.parse::<i64>().map(Number::from);
    signed.or_else(|_| text.parse::<u64>().map(Number::from)).map_err(|_| Unrepresentable::Integer)
}

/// `[-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn is_float(text: &str) -> bool {
    let (mantissa, exponent) = match unsigned_part(text).split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned_part(text), None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty()) && exponent.is_none_or(is_decimal)
}

fn float(text: &str) -> Result<Number, Unrepresentable> {
    let value = text.parse::<f64>().map_err(|_| Unrepresentable::Float)?;
    Number::from_f64(value).ok_or(Unrepresentable::Float)
}

fn is_infinity(text: &str) -> bool {
    matches!(unsigned_part(text), ".inf" | ".Inf" | ".INF")
}

fn radix(text: &str) -> Option<(&str, u32)> {
    let (digits, base) = match text.strip_prefix("0o") {
        Some(digits) => (digits, 8),
        None => (text.strip_prefix("0x")?, 16),
    };
    (!digits.is_empty() && digits.chars().all(|digit| digit.is_digit(base))).then_some((digits, base))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(text: &str) -> NodeValue {
        NodeValue::Text(text.to_owned())
    }

    #[test]
    fn words_of_older_yaml_are_texts() {
        for word in
            ["yes", "no", "on", "off", "Y", "1_000", "12:30", "0b1", "1e", "e5", "-", "+", ".", "0x", "--1", "1.2.3", "nan"]
        {
            assert_eq!(plain(word), Ok(text(word)), "{word}");
        }
    }

    #[test]
    fn numbers_are_read_in_every_notation_of_the_schema() {
        for (source, value) in [("12", 12), ("-7", -7), ("+3", 3), ("007", 7), ("0o14", 12), ("0xFf", 255)] {
            assert_eq!(plain(source), Ok(NodeValue::Number(value.into())), "{source}");
        }
        for (source, value) in [("2e-4", 2e-4), ("1.", 1.0), (".5", 0.5), ("-1.5E+3", -1500.0)] {
            assert_eq!(plain(source), Ok(NodeValue::Number(Number::from_f64(value).unwrap())), "{source}");
        }
        assert_eq!(plain("18446744073709551615"), Ok(NodeValue::Number(u64::MAX.into())));
    }

    #[test]
    fn numbers_without_a_value_are_told() {
        assert_eq!(plain("18446744073709551616"), Err(Unrepresentable::Integer));
        assert_eq!(plain("0xfffffffffffffffff"), Err(Unrepresentable::Integer));
        for source in ["1e999", ".inf", "-.Inf", ".nan"] {
            assert_eq!(plain(source), Err(Unrepresentable::Float), "{source}");
        }
    }

    proptest! {
        #[test]
        fn any_text_has_an_answer(source in "\\PC{0,20}") {
            prop_assert!(plain(&source).is_ok() || plain(&source).is_err());
        }

        #[test]
        fn integers_are_read_back(value in any::<i64>()) {
            prop_assert_eq!(plain(&value.to_string()), Ok(NodeValue::Number(value.into())));
        }
    }
}
