//! Whether a value is random enough for a credential, and no placeholder.

/// How a rule's values are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judge {
    /// Their shape says it all.
    Shape,
    /// They must be random too.
    Random,
    /// A person made them: several kinds of signs, and no word of a program.
    Password,
}

/// Parts of values that stand for a secret in manuals and tests.
const PLACEHOLDERS: [&str; 28] = [
    "example",
    "changeme",
    "change_me",
    "your",
    "xxxx",
    "placeholder",
    "redacted",
    "dummy",
    "sample",
    "insert",
    "replace",
    "todo",
    "secret_here",
    "getenv",
    "environ",
    "process.env",
    "config.",
    "settings.",
    "${",
    "{{",
    "<",
    "...",
    "****",
    "123456",
    "abcdef",
    "null",
    "undefined",
    "test_key",
];

impl Judge {
    /// Whether a value is a credential.
    pub(super) fn accepts(self, value: &str, least: f64) -> bool {
        let lower = value.to_lowercase();
        let is_placeholder = PLACEHOLDERS.iter().any(|part| lower.contains(part)) || value.starts_with(['$', '%', '@', '*']);
        match self {
            Self::Shape => entropy(value) > 2.0 && !lower.contains("example") && !lower.contains("xxxxxx"),
            Self::Random => !is_placeholder && !is_words(value) && is_random(value, least),
            Self::Password => !is_placeholder && !is_code(value) && kinds(value) >= 3 && entropy(value) >= 2.5,
        }
    }
}

fn is_random(value: &str, least: f64) -> bool {
    let is_hex = value.bytes().all(|byte| byte.is_ascii_hexdigit());
    let has_digit = value.bytes().any(|byte| byte.is_ascii_digit());
    // A short value cannot reach the floor even when no sign comes twice.
    let most = value.len().min(64).checked_ilog2().map_or(0.0, f64::from);
    let floor = (if is_hex { least - 0.5 } else { least }).min(most - 0.5);
    has_digit && entropy(value) >= floor
}

/// Words joined by signs, such as a path or a name of a variable.
fn is_words(value: &str) -> bool {
    let parts: Vec<&str> = value.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty()).collect();
    let is_word = |part: &&str| part.bytes().all(|byte| byte.is_ascii_alphabetic()) || part.len() <= 4;
    parts.len() > 1 && parts.iter().all(|part| is_word(part) && part.len() <= 12)
}

/// A call, an index, or a path of a program rather than a value.
fn is_code(value: &str) -> bool {
    value.contains(['(', ')', '[', ']', '{', '}', ';']) || value.contains("::") || value.contains("->")
}

/// How many of lower case, upper case, digits, and signs a value has.
fn kinds(value: &str) -> usize {
    let has = |test: fn(&u8) -> bool| usize::from(value.bytes().any(|byte| test(&byte)));
    has(u8::is_ascii_lowercase) + has(u8::is_ascii_uppercase) + has(u8::is_ascii_digit) + has(u8::is_ascii_punctuation)
}

/// Shannon's entropy of the bytes, in bits for each.
fn entropy(value: &str) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in value.bytes() {
        if let Some(count) = counts.get_mut(usize::from(byte)) {
            *count += 1;
        }
    }
    let all = f64::from(u32::try_from(value.len()).unwrap_or(u32::MAX).max(1));
    counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / all).map(|share| -share * share.log2()).sum()
}
