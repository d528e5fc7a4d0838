//! Paths as JSON: text where they are text, a list of bytes where they are not. The file system knows only bytes.
//!
//! Leans on nothing; fields name it with `#[serde(with = "crate::path_bytes")]`.

use std::{
    ffi::OsString,
    fmt::{self, Write as _},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use serde::{
    Deserializer, Serializer,
    de::{Error, SeqAccess, Visitor},
    ser::SerializeSeq,
};

/// First of 256 characters for private use that stand for the bytes of a name that is not text.
const FIRST: u32 = 0xF_0000;

/// Writes a path.
pub(crate) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    if let Some(text) = path.to_str() {
        return serializer.serialize_str(text);
    }
    let bytes = path.as_os_str().as_bytes();
    let mut list = serializer.serialize_seq(Some(bytes.len()))?;
    for byte in bytes {
        list.serialize_element(byte)?;
    }
    list.end()
}

/// Reads what [`serialize`] wrote.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    deserializer.deserialize_any(PathVisitor)
}

struct PathVisitor;

impl<'de> Visitor<'de> for PathVisitor {
    type Value = PathBuf;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a path, as text or as a list of bytes")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<PathBuf, E> {
        Ok(PathBuf::from(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<PathBuf, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = list.next_element::<u8>()? {
            bytes.push(byte);
        }
        Ok(PathBuf::from(OsString::from_vec(bytes)))
    }
}

/// A name as text. Different names have different texts, and the text of a name that is text is the name itself, unless it holds
/// one of the characters that stand for bytes.
pub(crate) fn text_of(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    // Most names: nothing in them stands for anything else.
    if let (true, Ok(plain)) = (name.is_ascii(), std::str::from_utf8(name)) {
        text.push_str(plain);
        return text;
    }
    for chunk in name.utf8_chunks() {
        for letter in chunk.valid().chars() {
            if (FIRST..FIRST + 256).contains(&u32::from(letter)) {
                let mut bytes = [0; 4];
                letter.encode_utf8(&mut bytes).bytes().for_each(|byte| push(&mut text, byte));
            } else {
                text.push(letter);
            }
        }
        chunk.invalid().iter().for_each(|byte| push(&mut text, *byte));
    }
    text
}

fn push(text: &mut String, byte: u8) {
    match char::from_u32(FIRST + u32::from(byte)) {
        Some(letter) => text.push(letter),
        // Every one of the 256 is a character.
        None => write!(text, "\\x{byte:02x}").unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Serialize, Deserialize, Debug, PartialEq)]
    struct Holder {
        #[serde(with = "crate::path_bytes")]
        path: PathBuf,
    }

    fn path(bytes: &[u8]) -> PathBuf {
        PathBuf::from(OsString::from_vec(bytes.to_vec()))
    }

    proptest! {
        #[test]
        fn every_path_is_read_as_it_was_written(bytes in prop::collection::vec(any::<u8>(), 0..30)) {
            let holder = Holder { path: path(&bytes) };
            let json = serde_json::to_string(&holder).unwrap();
            prop_assert_eq!(serde_json::from_str::<Holder>(&json).unwrap(), holder);
        }

        #[test]
        fn different_names_have_different_texts(
            one in prop::collection::vec(prop_oneof![Just(0xff_u8), Just(0xf3), Just(0xb0), Just(0x80), Just(b'a')], 0..9),
            other in prop::collection::vec(prop_oneof![Just(0xff_u8), Just(0xf3), Just(0xb0), Just(0x80), Just(b'a')], 0..9),
        ) {
            prop_assert_eq!(one == other, text_of(&one) == text_of(&other));
        }
    }

    #[test]
    fn text_stays_text() {
        assert_eq!(text_of("grün/データ.txt".as_bytes()), "grün/データ.txt");
        assert_eq!(serde_json::to_string(&Holder { path: "a/b".into() }).unwrap(), r#"{"path":"a/b"}"#);
    }
}
