//! Invariants as types: a value of one of these is valid wherever it appears.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A number from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Fraction(f64);

impl Fraction {
    /// The plain number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Fraction {
    type Error = String;

    fn try_from(value: f64) -> Result<Self, Self::Error> {
        if (0.0..=1.0).contains(&value) { Ok(Self(value)) } else { Err(format!("expected a number from 0 to 1, got {value}")) }
    }
}

impl From<Fraction> for f64 {
    fn from(fraction: Fraction) -> Self {
        fraction.0
    }
}

impl JsonSchema for Fraction {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Fraction".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "number", "minimum": 0.0, "maximum": 1.0})
    }
}

/// An amount of memory or disk, such as `8GiB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

/// Names of sizes, each with its bytes; the binary ones first, for display.
const SIZES: [(&str, u64); 10] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("KB", 1_000),
    ("B", 1),
];

impl Size {
    /// This many bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// This many gibibytes.
    pub const fn gib(count: u64) -> Self {
        Self(count << 30)
    }

    /// The number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Parses a text such as `500MB` or `1.5 GiB`; a number alone counts bytes.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let letters = text.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
        let number = text.strip_suffix(letters)?;
        let scale = match letters.trim() {
            "" => 1,
            unit => SIZES.iter().find(|(name, _)| *name == unit)?.1,
        };
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let digits = u32::try_from(part.len()).ok().filter(|digits| (1..=6).contains(digits))?;
        let whole: u64 = whole.parse().ok()?;
        let part = part.parse::<u64>().ok()?.checked_mul(scale)? / 10_u64.pow(digits);
        Some(Self(whole.checked_mul(scale)?.checked_add(part)?))
    }
}

impl fmt::Display for Size {
    /// In the largest binary unit that leaves at most one decimal worth reading.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((unit, scale)) = SIZES.iter().take(4).find(|(_, scale)| self.0 >= *scale) else {
            return write!(f, "{} B", self.0);
        };
        let tenths = u128::from(self.0) * 10 / u128::from(*scale);
        match tenths % 10 {
            0 => write!(f, "{} {unit}", tenths / 10),
            tenth => write!(f, "{}.{tenth} {unit}", tenths / 10),
        }
    }
}

impl Serialize for Size {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

struct SizeVisitor;

impl serde::de::Visitor<'_> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an amount of memory such as 500MB or 8GiB")
    }

    fn visit_u64<E: serde::de::Error>(self, bytes: u64) -> Result<Size, E> {
        Ok(Size(bytes))
    }

    fn visit_i64<E: serde::de::Error>(self, bytes: i64) -> Result<Size, E> {
        u64::try_from(bytes).map(Size).map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(bytes), &self))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Size, E> {
        let wrong = || E::custom(format!("found the text {text:?}, expected an amount of memory such as 500MB or 8GiB"));
        Size::parse(text).ok_or_else(wrong)
    }
}

impl JsonSchema for Size {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "minimum": 0,
            "pattern": "^\\s*[0-9]+(\\.[0-9]{1,6})?\\s*(B|[kKMGT]B|[KMGT]iB)?\\s*$",
            "description": "An amount of memory or disk such as 500MB or 8GiB; a number alone counts bytes.",
        })
    }
}

/// A seed already mixed with the stage kind, so that two kinds never share a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed(pub u64);

/// The name of a secret. The value is read from the environment by the stage that needs it and is never stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// The name after `secrets.`, also the name of the environment variable.
    pub secret: String,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${{secrets.{}}}", self.secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown() {
        let read = |text: &str| Size::parse(text).map(Size::get);
        assert_eq!(read("8GiB"), Some(8 << 30));
        assert_eq!(read(" 1.5 GiB "), Some(3 << 29));
        assert_eq!((read("500MB"), read("2kB"), read("17")), (Some(500_000_000), Some(2_000), Some(17)));
        for text in ["", "GiB", "8 bananas", "-1GiB", "1.GiB", ".5GiB", "99999999999TiB", "1.2.3GiB", "8Gi"] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(Size::gib(8).to_string(), "8 GiB");
        assert_eq!((Size::bytes(3 << 29).to_string(), Size::bytes(900).to_string()), ("1.5 GiB".into(), "900 B".into()));
    }
}
