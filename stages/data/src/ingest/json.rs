//! JSON objects from untrusted lines. A byte scan rejects what parsers choke on or quietly change; a strict parser follows.

use std::{borrow::Cow, cell::RefCell, fmt, ops::Range};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::{
    config::{DuplicateKeys, IngestConfig, InvalidUtf8, Nul},
    reject::Reject,
};

/// How lines that readers disagree about are read.
#[derive(Clone, Copy)]
pub(super) struct Manner {
    pub(super) max_depth: usize,
    pub(super) nul: Nul,
    pub(super) duplicate_keys: DuplicateKeys,
    pub(super) invalid_utf8: InvalidUtf8,
}

impl Manner {
    pub(super) fn of(config: &IngestConfig) -> Self {
        let IngestConfig { max_depth, nul, duplicate_keys, invalid_utf8, .. } = *config;
        Self { max_depth, nul, duplicate_keys, invalid_utf8 }
    }
}

/// Parses one line.
pub(super) fn parse(line: &[u8], manner: Manner) -> Result<Map<String, Value>, Reject> {
    let text = manner.invalid_utf8.decode(line)?;
    let repaired = matches!(text, Cow::Owned(_));
    let mut fields = parse_text(&text, manner)?;
    if repaired {
        fields.insert("_encoding".to_owned(), manner.invalid_utf8.name().into());
    }
    Ok(fields)
}

fn parse_text(text: &str, manner: Manner) -> Result<Map<String, Value>, Reject> {
    let scan = Scan::of(text, manner.max_depth)?;
    if scan.has_nul && manner.nul == Nul::Quarantine {
        return Err(Reject::Nul);
    }
    let quoted;
    let text = if scan.big_integers.is_empty() && !text.contains('\0') {
        text
    } else {
        quoted = quote(text, &scan.big_integers).replace('\0', "");
        &quoted
    };
    let value = parse_strictly(text, manner.duplicate_keys)?;
    match value {
        Value::Object(fields) if scan.has_nul => {
            Ok(fields.into_iter().map(|(name, value)| (name.replace('\0', ""), without_nul(value))).collect())
        }
        Value::Object(fields) => Ok(fields),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Err(Reject::NotObject),
    }
}

fn without_nul(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace('\0', "")),
        Value::Array(items) => items.into_iter().map(without_nul).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, without_nul(value))).collect(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other,
    }
}

/// What the bytes show before parsing.
#[derive(Default)]
struct Scan {
    has_nul: bool,
    /// Integers that a 64-bit number cannot hold: they are kept as text, not rounded.
    big_integers: Vec<Range<usize>>,
}

impl Scan {
    fn of(text: &str, max_depth: usize) -> Result<Self, Reject> {
        let bytes = text.as_bytes();
        let mut scan = Self { has_nul: bytes.contains(&0), ..Self::default() };
        let (mut at, mut depth) = (0, 0_usize);
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'"' => at = scan.string(bytes, at + 1)?,
                b'{' | b'[' => {
                    depth += 1;
                    if depth > max_depth {
                        return Err(Reject::TooDeep);
                    }
                }
                b'}' | b']' => depth = depth.saturating_sub(1),
                b'N' | b'I' => return Err(Reject::NonFinite),
                b'-' | b'0'..=b'9' => {
                    at = scan.number(text, at)?;
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
        Ok(scan)
    }

    /// Returns the position of the closing quote.
    fn string(&mut self, bytes: &[u8], start: usize) -> Result<usize, Reject> {
        let mut at = start;
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'"' => return Ok(at),
                b'\\' if bytes.get(at + 1) == Some(&b'u') => at += self.escape(bytes, at)?,
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
        Ok(at)
    }

    /// Returns the length of a `\u` escape, of both halves for a pair.
    fn escape(&mut self, bytes: &[u8], at: usize) -> Result<usize, Reject> {
        match unit(bytes, at) {
            Some(0) => self.has_nul = true,
            Some(0xd800..=0xdbff) => {
                return if matches!(unit(bytes, at + 6), Some(0xdc00..=0xdfff)) { Ok(12) } else { Err(Reject::LoneSurrogate) };
            }
            Some(0xdc00..=0xdfff) => return Err(Reject::LoneSurrogate),
            // Broken escapes are the parser's to report.
            Some(_) | None => {}
        }
        Ok(2)
    }

    /// Returns the position after a number.
    fn number(&mut self, text: &str, start: usize) -> Result<usize, Reject> {
        let rest = &text[start..];
        let length = rest.bytes().take_while(|b| matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')).count();
        let (token, end) = (&rest[..length], start + length);
        if rest[length..].starts_with("Infinity") {
            return Err(Reject::NonFinite);
        }
        let is_integer = token.bytes().all(|b| matches!(b, b'0'..=b'9' | b'-'));
        if is_integer
            && token.parse::<i64>().is_err()
            && token.parse::<u64>().is_err()
            && token.trim_start_matches('-').len() > 18
        {
            self.big_integers.push(start..end);
        } else if !is_integer && token.parse::<f64>().is_ok_and(f64::is_infinite) {
            return Err(Reject::NonFinite);
        }
        Ok(end.max(start + 1))
    }
}

/// The code unit of a `\u` escape.
fn unit(bytes: &[u8], at: usize) -> Option<u16> {
    let escape = bytes.get(at..at + 6)?;
    let digits = escape.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

fn quote(text: &str, ranges: &[Range<usize>]) -> String {
    let mut out = String::with_capacity(text.len() + 2 * ranges.len());
    let mut at = 0;
    for range in ranges {
        out.push_str(&text[at..range.start]);
        out.push('"');
        out.push_str(&text[range.clone()]);
        out.push('"');
        at = range.end;
    }
    out.push_str(&text[at..]);
    out
}

fn parse_strictly(text: &str, policy: DuplicateKeys) -> Result<Value, Reject> {
    let twice = RefCell::new(None);
    let mut parser = serde_json::Deserializer::from_str(text);
    let parsed = Unique { twice: &twice, policy }.deserialize(&mut parser).and_then(|value| parser.end().map(|()| value));
    parsed.map_err(|error| match twice.into_inner() {
        Some(key) => Reject::DuplicateKey(key),
        None => Reject::BadJson(format!("{} at column {}", category(&error), error.column())),
    })
}

/// The parser's own words may quote the line, so reports get the kind of fault only.
fn category(error: &serde_json::Error) -> &'static str {
    if error.is_eof() { "unexpected end of line" } else { "syntax error" }
}

/// A JSON value in which no object has a key twice, or one of the two values counts.
#[derive(Clone, Copy)]
struct Unique<'a> {
    twice: &'a RefCell<Option<String>>,
    policy: DuplicateKeys,
}

impl<'de> DeserializeSeed<'de> for Unique<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number is not finite"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let is_second = fields.contains_key(&key);
            if is_second && self.policy == DuplicateKeys::Quarantine {
                self.twice.replace(Some(key));
                return Err(A::Error::custom("duplicate key"));
            }
            let value = access.next_value_seed(self)?;
            if !is_second || self.policy == DuplicateKeys::Last {
                fields.insert(key, value);
            }
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const STRICT: Manner = Manner {
        max_depth: 64,
        nul: Nul::Quarantine,
        duplicate_keys: DuplicateKeys::Quarantine,
        invalid_utf8: InvalidUtf8::Reject,
    };

    fn parsed(line: &[u8]) -> Result<Value, &'static str> {
        parse(line, STRICT).map(Value::Object).map_err(|reject| reject.reason())
    }

    #[test]
    fn adversarial_lines_are_named() {
        let deep = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels)).into_bytes();
        let cases: [(&[u8], &str); 15] = [
            (b"{\"a\":1", "bad_json"),
            (b"{\"a\":1} {\"b\":2}", "bad_json"),
            (b"{\"a\":\"\xff\"}", "invalid_utf8"),
            (b"{\"a\":\"\x00\"}", "nul"),
            (b"{\"a\":\"\\u0000\"}", "nul"),
            (b"{\"a\":\"\\ud800\"}", "lone_surrogate"),
            (b"{\"a\":\"\\udc00\\ud800\"}", "lone_surrogate"),
            (b"{\"a\":1,\"a\":2}", "duplicate_key"),
            (b"{\"a\":{\"b\":1,\"b\":1}}", "duplicate_key"),
            (b"{\"a\":1e999}", "non_finite_number"),
            (b"{\"a\":NaN}", "non_finite_number"),
            (b"{\"a\":-Infinity}", "non_finite_number"),
            (b"[1]", "not_object"),
            (b"\"text\"", "not_object"),
            (b"null", "not_object"),
        ];
        for (line, reason) in cases {
            assert_eq!(parsed(line), Err(reason), "{}", String::from_utf8_lossy(line));
        }
        assert!(parsed(&deep(63)).is_ok());
        assert_eq!(parsed(&deep(64)), Err("too_deep"));
        assert_eq!(parsed(&deep(100_000)), Err("too_deep"));
    }

    #[test]
    fn good_values_are_kept_as_they_are() {
        assert_eq!(
            parsed(br#"{"a":"\ud83d\ude42 NaN \\u0000","b":[1,-2.5,true,null]}"#),
            Ok(json!({"a": "🙂 NaN \\u0000", "b": [1, -2.5, true, null]}))
        );
        assert_eq!(
            parsed(b"{\"a\":9223372036854775808,\"b\":18446744073709551615}"),
            Ok(json!({"a": 9_223_372_036_854_775_808_u64, "b": u64::MAX}))
        );
        let big = b"{\"a\":[123456789012345678901234567890,-99999999999999999999],\"b\":\"1\"}";
        assert_eq!(parsed(big), Ok(json!({"a": ["123456789012345678901234567890", "-99999999999999999999"], "b": "1"})));
    }

    #[test]
    fn nul_characters_can_be_taken_out() {
        let line = b"{\"a\":\"x\\u0000y\x00z\"}";
        let manner = Manner { nul: Nul::Strip, ..STRICT };
        assert_eq!(parse(line, manner).map(Value::Object), Ok(json!({"a": "xyz"})));
    }

    #[test]
    fn bytes_and_keys_that_readers_disagree_about_follow_the_options() {
        let with = |line: &[u8], manner| parse(line, manner).map(Value::Object);
        let keep = |duplicate_keys| Manner { duplicate_keys, ..STRICT };
        let twice = br#"{"a": 1, "b": {"c": 2, "c": 3}, "a": 4}"#;
        assert_eq!(with(twice, keep(DuplicateKeys::First)), Ok(json!({"a": 1, "b": {"c": 2}})));
        assert_eq!(with(twice, keep(DuplicateKeys::Last)), Ok(json!({"a": 4, "b": {"c": 3}})));
        let decode = |invalid_utf8| Manner { invalid_utf8, ..STRICT };
        let latin = b"{\"a\": \"caf\xe9\"}";
        assert_eq!(with(latin, decode(InvalidUtf8::Latin1)), Ok(json!({"a": "café", "_encoding": "latin1"})));
        assert_eq!(with(latin, decode(InvalidUtf8::Replace)), Ok(json!({"a": "caf\u{fffd}", "_encoding": "replaced"})));
        assert_eq!(with(b"{\"a\": 1}", decode(InvalidUtf8::Latin1)), Ok(json!({"a": 1})));
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_rejected(line in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(value) = parsed(&line) {
                prop_assert!(value.is_object());
            }
        }

        #[test]
        fn any_json_like_text_is_parsed_or_rejected(text in r#"[{}\[\]",:0-9eE+.\\un\-dNI a]{0,60}"#) {
            if let Ok(value) = parsed(text.as_bytes()) {
                let other: Result<Value, _> = serde_json::from_str(&text);
                prop_assert!(other.is_ok());
                prop_assert!(value.is_object());
            }
        }
    }
}
