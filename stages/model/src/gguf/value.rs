//! Metadata values of a GGUF file.

use super::cursor::Cursor;

/// Lists inside lists: deeper than any real file goes.
const MAX_DEPTH: u32 = 4;

/// One metadata value. Numbers are widened to the largest type of their sign.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A whole number of an unsigned type.
    Unsigned(u64),
    /// A whole number of a signed type.
    Signed(i64),
    /// A number of either precision.
    Float(f64),
    /// True or false.
    Flag(bool),
    /// Text.
    Text(String),
    /// A list of one type.
    List(Vec<Self>),
}

impl Value {
    /// The value as a whole number that is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Unsigned(number) => Some(*number),
            Self::Signed(number) => u64::try_from(*number).ok(),
            Self::Float(_) | Self::Flag(_) | Self::Text(_) | Self::List(_) => None,
        }
    }

    /// The value as a list.
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(values) => Some(values),
            _ => None,
        }
    }

    /// The value as text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self, String> {
        let code = cursor.u32("value type")?;
        Self::read_as(cursor, code, 0)
    }

    fn read_as(cursor: &mut Cursor<'_>, code: u32, depth: u32) -> Result<Self, String> {
        let what = "metadata value";
        Ok(match code {
            0 => Self::Unsigned(u8::from_le_bytes(cursor.array(what)?).into()),
            1 => Self::Signed(i8::from_le_bytes(cursor.array(what)?).into()),
            2 => Self::Unsigned(u16::from_le_bytes(cursor.array(what)?).into()),
            3 => Self::Signed(i16::from_le_bytes(cursor.array(what)?).into()),
            4 => Self::Unsigned(cursor.u32(what)?.into()),
            5 => Self::Signed(i32::from_le_bytes(cursor.array(what)?).into()),
            6 => Self::Float(f32::from_le_bytes(cursor.array(what)?).into()),
            7 => Self::Flag(u8::from_le_bytes(cursor.array(what)?) != 0),
            8 => Self::Text(cursor.text(what)?),
            9 => Self::read_list(cursor, depth)?,
            10 => Self::Unsigned(cursor.u64(what)?),
            11 => Self::Signed(i64::from_le_bytes(cursor.array(what)?)),
            12 => Self::Float(f64::from_le_bytes(cursor.array(what)?)),
            _ => return Err(format!("value type {code} before offset {} is unknown", cursor.position())),
        })
    }

    fn read_list(cursor: &mut Cursor<'_>, depth: u32) -> Result<Self, String> {
        if depth == MAX_DEPTH {
            return Err(format!("lists at offset {} are nested too deep", cursor.position()));
        }
        let code = cursor.u32("list type")?;
        let count = cursor.count("list length", least_bytes(code))?;
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(Self::read_as(cursor, code, depth + 1)?);
        }
        Ok(Self::List(values))
    }
}

/// The fewest bytes that a value of a type takes in the file.
fn least_bytes(code: u32) -> usize {
    match code {
        2 | 3 => 2,
        4..=6 => 4,
        8 | 10..=12 => 8,
        9 => 12,
        _ => 1,
    }
}
