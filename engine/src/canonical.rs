//! Deterministic CBOR (RFC 8949, 4.2.1) of JSON-like values: what action keys are hashed from.
//!
//! Equal values give equal bytes and different values different bytes: every text, list, and map is framed by its length,
//! integers are as short as possible, map keys are sorted by their encoded bytes. `-0.0` is `0.0`; infinities and NaN are
//! refused; the integer 1 and the float 1.0 differ. Text is taken as it is, without Unicode normalisation.

use serde_json::{Number, Value};

/// A value without a canonical form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    /// A number that is neither an integer of 64 bits nor a finite float.
    #[error("number {0} has no canonical form")]
    Number(String),
}

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;
const NULL: u8 = 0xf6;
const FLOAT64: u8 = 0xfb;

/// Encodes a value.
pub fn encode(value: &Value) -> Result<Vec<u8>, CanonicalError> {
    let mut out = Vec::new();
    append(&mut out, value)?;
    Ok(out)
}

/// A map that is written entry by entry: for what is too large to be made a [`Value`] first.
#[derive(Debug, Default)]
pub(crate) struct MapEncoder<'n> {
    /// Names and encoded values.
    entries: Vec<(&'n str, Vec<u8>)>,
}

impl<'n> MapEncoder<'n> {
    /// Adds an entry.
    pub(crate) fn value(&mut self, name: &'n str, value: &Value) -> Result<(), CanonicalError> {
        self.written(name, encode(value)?);
        Ok(())
    }

    /// Adds an entry whose value is encoded already.
    pub(crate) fn written(&mut self, name: &'n str, value: Vec<u8>) {
        self.entries.push((name, value));
    }

    /// The whole map.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entries.sort_by(|one, other| place(one.0).cmp(&place(other.0)));
        let mut out =
            Vec::with_capacity(self.entries.iter().map(|(name, value)| name.len() + 9 + value.len()).sum::<usize>() + 9);
        append_head(&mut out, MAP, self.entries.len() as u64);
        for (name, value) in self.entries {
            append_text(&mut out, name);
            out.extend_from_slice(&value);
        }
        out
    }
}

/// A list of small maps of texts, written item by item: for lists that are long or many.
#[derive(Debug)]
pub(crate) struct ListEncoder(Vec<u8>);

impl ListEncoder {
    /// A list of so many items.
    pub(crate) fn of(items: usize) -> Self {
        let mut out = Vec::new();
        append_head(&mut out, ARRAY, items as u64);
        Self(out)
    }

    /// Adds a map of texts. The names come in the order of their encoded bytes: the shorter one first.
    pub(crate) fn map<const N: usize>(&mut self, entries: [(&str, &str); N]) {
        debug_assert!(entries.is_sorted_by_key(|(name, _)| place(name)), "names must be in order");
        append_head(&mut self.0, MAP, N as u64);
        for (name, text) in entries {
            append_text(&mut self.0, name);
            append_text(&mut self.0, text);
        }
    }

    /// The whole list.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

fn append(out: &mut Vec<u8>, value: &Value) -> Result<(), CanonicalError> {
    match value {
        Value::Null => out.push(NULL),
        Value::Bool(false) => out.push(FALSE),
        Value::Bool(true) => out.push(TRUE),
        Value::Number(number) => append_number(out, number)?,
        Value::String(text) => append_text(out, text),
        Value::Array(items) => {
            append_head(out, ARRAY, items.len() as u64);
            for item in items {
                append(out, item)?;
            }
        }
        Value::Object(entries) => append_map(out, entries)?,
    }
    Ok(())
}

fn append_number(out: &mut Vec<u8>, number: &Number) -> Result<(), CanonicalError> {
    if let Some(unsigned) = number.as_u64() {
        append_head(out, UNSIGNED, unsigned);
    } else if let Some(signed) = number.as_i64() {
        // CBOR writes a negative n as -1 - n, which is the bitwise complement.
        append_head(out, NEGATIVE, (!signed).cast_unsigned());
    } else {
        let float = number.as_f64().filter(|float| float.is_finite());
        let float = float.ok_or_else(|| CanonicalError::Number(number.to_string()))?;
        out.push(FLOAT64);
        // Adding positive zero turns -0.0 into 0.0 and changes nothing else.
        out.extend_from_slice(&(float + 0.0).to_be_bytes());
    }
    Ok(())
}

fn append_map(out: &mut Vec<u8>, entries: &serde_json::Map<String, Value>) -> Result<(), CanonicalError> {
    let mut sorted: Vec<(&String, &Value)> = entries.iter().collect();
    sorted.sort_by(|one, other| place(one.0).cmp(&place(other.0)));
    append_head(out, MAP, sorted.len() as u64);
    for (name, value) in sorted {
        append_text(out, name);
        append(out, value)?;
    }
    Ok(())
}

/// What orders names as their encoded bytes do, which begin with the length.
fn place(name: &str) -> (usize, &[u8]) {
    (name.len(), name.as_bytes())
}

fn append_text(out: &mut Vec<u8>, text: &str) {
    append_head(out, TEXT, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Writes a major type and its argument in the shortest form.
fn append_head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let major = major << 5;
    if let Ok(byte) = u8::try_from(argument) {
        if byte < 24 {
            out.push(major | byte);
        } else {
            out.extend_from_slice(&[major | 0x18, byte]);
        }
    } else if let Ok(short) = u16::try_from(argument) {
        out.push(major | 0x19);
        out.extend_from_slice(&short.to_be_bytes());
    } else if let Ok(word) = u32::try_from(argument) {
        out.push(major | 0x1a);
        out.extend_from_slice(&word.to_be_bytes());
    } else {
        out.push(major | 0x1b);
        out.extend_from_slice(&argument.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn hex(value: &Value) -> String {
        use std::fmt::Write;
        encode(value).unwrap().iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    }

    /// The vectors of RFC 8949, appendix A, that JSON can state. They must never change.
    #[test]
    fn golden_vectors_of_the_standard_hold() {
        for (value, expected) in [
            (json!(0), "00"),
            (json!(10), "0a"),
            (json!(23), "17"),
            (json!(24), "1818"),
            (json!(100), "1864"),
            (json!(1000), "1903e8"),
            (json!(1_000_000), "1a000f4240"),
            (json!(1_000_000_000_000_u64), "1b000000e8d4a51000"),
            (json!(u64::MAX), "1bffffffffffffffff"),
            (json!(-1), "20"),
            (json!(-10), "29"),
            (json!(-100), "3863"),
            (json!(-1000), "3903e7"),
            (json!(1.1), "fb3ff199999999999a"),
            (json!(-4.1), "fbc010666666666666"),
            (json!(1.0e300), "fb7e37e43c8800759c"),
            (json!(false), "f4"),
            (json!(true), "f5"),
            (json!(null), "f6"),
            (json!(""), "60"),
            (json!("IETF"), "6449455446"),
            (json!("\u{fc}"), "62c3bc"),
            (json!([]), "80"),
            (json!([1, [2, 3], [4, 5]]), "8301820203820405"),
            (json!({}), "a0"),
            (json!({"a": 1, "b": [2, 3]}), "a26161016162820203"),
            (json!({"b": [2, 3], "a": 1}), "a26161016162820203"),
        ] {
            assert_eq!(hex(&value), expected, "{value}");
        }
    }

    #[test]
    fn shorter_keys_sort_first_and_key_order_does_not_show() {
        assert_eq!(hex(&json!({"aa": 1, "b": 2})), "a261620262616101");
        assert_eq!(hex(&json!({"b": 2, "aa": 1})), "a261620262616101");
    }

    #[test]
    fn signed_zeros_are_one_value_and_kinds_of_nothing_are_three() {
        assert_eq!(hex(&json!(-0.0)), hex(&json!(0.0)));
        assert_eq!(hex(&json!(2e-4)), hex(&json!(0.0002)));
        assert_ne!(hex(&json!(1)), hex(&json!(1.0)));
        let absent = hex(&json!({}));
        let null = hex(&json!({"x": null}));
        let empty = hex(&json!({"x": ""}));
        assert!(absent != null && null != empty && absent != empty);
    }

    #[test]
    fn a_map_that_is_written_entry_by_entry_is_the_same_map() {
        let whole = json!({"bb": [1, 2], "a": null, "b": {"c": "d"}, "": 1});
        let mut map = MapEncoder::default();
        for (name, value) in whole.as_object().unwrap() {
            map.value(name, value).unwrap();
        }
        assert_eq!(map.finish(), encode(&whole).unwrap());
    }

    /// Reads what [`encode`] writes; a left inverse proves that different values have different bytes.
    fn decode(bytes: &mut &[u8]) -> Value {
        let (first, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        match *first {
            FALSE => json!(false),
            TRUE => json!(true),
            NULL => Value::Null,
            FLOAT64 => json!(f64::from_bits(take(bytes, 8))),
            head => {
                let argument = match head & 31 {
                    24 => take(bytes, 1),
                    25 => take(bytes, 2),
                    26 => take(bytes, 4),
                    27 => take(bytes, 8),
                    small => u64::from(small),
                };
                decode_body(bytes, head >> 5, argument)
            }
        }
    }

    fn decode_body(bytes: &mut &[u8], major: u8, argument: u64) -> Value {
        match major {
            UNSIGNED => json!(argument),
            NEGATIVE => json!(!argument.cast_signed()),
            TEXT => json!(text(bytes, argument)),
            ARRAY => (0..argument).map(|_| decode(bytes)).collect(),
            MAP => Value::Object(
                (0..argument)
                    .map(|_| match decode(bytes) {
                        Value::String(key) => (key, decode(bytes)),
                        other => panic!("key {other}"),
                    })
                    .collect(),
            ),
            other => panic!("major type {other}"),
        }
    }

    fn take(bytes: &mut &[u8], count: usize) -> u64 {
        let (head, rest) = bytes.split_at(count);
        *bytes = rest;
        head.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }

    fn text(bytes: &mut &[u8], count: u64) -> String {
        let (head, rest) = bytes.split_at(usize::try_from(count).unwrap());
        *bytes = rest;
        String::from_utf8(head.to_vec()).unwrap()
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-64_i64..64).prop_map(Value::from),
            any::<f64>().prop_filter("finite", |float| float.is_finite()).prop_map(|float| json!(float + 0.0)),
            "\\PC{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec(("\\PC{0,6}", inner), 0..6)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn decoding_gives_the_value_back(value in values()) {
            let bytes = encode(&value).unwrap();
            let mut rest = bytes.as_slice();
            prop_assert_eq!(decode(&mut rest), value);
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn different_values_have_different_bytes(one in values(), other in values()) {
            prop_assert_eq!(one == other, encode(&one) == encode(&other));
        }
    }
}
