//! Numbers as people read them: four significant digits, thousands apart, no noise.

use serde_json::Value;

/// Writes a number with four significant digits; whole numbers keep all of theirs.
pub fn number(value: f64) -> String {
    if value.is_nan() {
        return "n/a".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "∞" } else { "−∞" }.to_owned();
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    let magnitude = value.abs();
    if value.fract() == 0.0 && magnitude < 1e15 {
        return grouped(&format!("{value:.0}"));
    }
    if !(1e-4..1e15).contains(&magnitude) {
        return format!("{value:.2e}");
    }
    let decimals = usize::try_from(3 - exponent(magnitude)).unwrap_or(0);
    grouped(trimmed(&format!("{value:.decimals$}")))
}

/// Writes a JSON value as one short cell: numbers by [`number`], words as they are.
pub fn cell(value: &Value) -> String {
    match value {
        Value::Null => "n/a".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(n) => match (n.as_u64(), n.as_f64()) {
            (Some(whole), _) => grouped(&whole.to_string()),
            (None, Some(real)) => number(real),
            (None, None) => n.to_string(),
        },
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        Value::Object(_) => value.to_string(),
    }
}

/// The power of ten of a positive finite number.
pub(crate) fn exponent(magnitude: f64) -> i32 {
    // The formatter rounds correctly where `log10().floor()` is off by one near powers of ten.
    format!("{magnitude:e}").rsplit('e').next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// A count as a coordinate.
pub(crate) fn real(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Puts a thin separator between thousands of the whole part.
pub(crate) fn grouped(digits: &str) -> String {
    let (sign, rest) = digits.strip_prefix('-').map_or(("", digits), |rest| ("−", rest));
    let (whole, fraction) = rest.split_once('.').map_or((rest, ""), |(whole, fraction)| (whole, fraction));
    let mut out = String::from(sign);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

/// Drops zeros after the decimal point that say nothing.
pub(crate) fn trimmed(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_read_well() {
        let cases = [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (1234.0, "1,234"),
            (-1_234_567.0, "−1,234,567"),
            (0.5, "0.5"),
            (0.123_456, "0.1235"),
            (2.0e-4, "0.0002"),
            (1.5e-5, "1.50e-5"),
            (12_345.678, "12,346"),
            (999.95, "1,000"),
            (f64::NAN, "n/a"),
            (f64::NEG_INFINITY, "−∞"),
            (3e20, "3.00e20"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text, "{value}");
        }
    }

    #[test]
    fn cells_show_every_kind_of_value() {
        assert_eq!(cell(&json!(null)), "n/a");
        assert_eq!(cell(&json!(true)), "yes");
        assert_eq!(cell(&json!([1, 2.5, "x"])), "1, 2.5, x");
        assert_eq!(cell(&json!(u64::MAX)), "18,446,744,073,709,551,615");
    }
}
