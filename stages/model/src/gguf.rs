//! Reads GGUF files, versions 2 and 3: metadata eagerly, tensors where they lie in the mapped file. A corrupt file gives an
//! error with the offset at which it stopped making sense, never a panic and never an allocation by a number it made up.

mod cursor;
mod value;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use memmap2::Mmap;

use crate::{
    ModelError,
    weights::{Bytes, Format, Stored, map_file},
};
use cursor::Cursor;
pub use value::Value;

const MAGIC: u32 = u32::from_le_bytes(*b"GGUF");
const DEFAULT_ALIGNMENT: u64 = 32;
/// More dimensions than any tensor has.
const MAX_DIMENSIONS: u32 = 4;

/// An opened GGUF file.
#[derive(Clone, Debug)]
pub struct Gguf {
    path: PathBuf,
    map: Arc<Mmap>,
    metadata: BTreeMap<String, Value>,
    tensors: BTreeMap<String, Tensor>,
}

/// Where a tensor lies and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Its shape, outermost dimension first: the reverse of the file's order.
    pub shape: Vec<usize>,
    /// How its values are stored.
    pub format: Format,
    start: usize,
    length: usize,
}

impl Gguf {
    /// Maps a file and reads its directory.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let map = map_file(path)?;
        let (metadata, tensors) = parse(&map).map_err(|reason| ModelError::format(path, reason))?;
        Ok(Self { path: path.to_owned(), map, metadata, tensors })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A metadata value.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.metadata.get(key)
    }

    /// A metadata value that is text.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.metadata.get(key) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A metadata value that is a whole number and not negative.
    pub fn number(&self, key: &str) -> Option<u64> {
        self.metadata.get(key).and_then(Value::as_u64)
    }

    /// A metadata value that is a number.
    #[expect(clippy::cast_possible_truncation, reason = "files hold single precision")]
    pub fn float(&self, key: &str) -> Option<f32> {
        match self.metadata.get(key) {
            Some(Value::Float(number)) => Some(*number as f32),
            _ => None,
        }
    }

    /// A metadata value that is true or false.
    pub fn flag(&self, key: &str) -> Option<bool> {
        match self.metadata.get(key) {
            Some(Value::Flag(flag)) => Some(*flag),
            _ => None,
        }
    }

    /// A tensor's entry in the directory.
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// The names of all tensors.
    pub fn tensor_names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Returns a tensor as stored, without copying it. Leading dimensions are joined.
    pub fn stored(&self, name: &str) -> Option<Stored> {
        let tensor = self.tensors.get(name)?;
        let (columns, leading) = tensor.shape.split_last()?;
        let bytes = Bytes::mapped(Arc::clone(&self.map), tensor.start, tensor.length)?;
        Some(Stored::new(tensor.format, [leading.iter().product(), *columns], bytes))
    }
}

type Directory = (BTreeMap<String, Value>, BTreeMap<String, Tensor>);

/// Reads the header, the metadata, and the tensor directory.
fn parse(bytes: &[u8]) -> Result<Directory, String> {
    let mut cursor = Cursor::new(bytes);
    if cursor.u32("magic")? != MAGIC {
        return Err("it does not begin with \"GGUF\"".to_owned());
    }
    match cursor.u32("version")? {
        2 | 3 => {}
        version if version.swap_bytes() <= 3 => return Err("it is a big-endian file".to_owned()),
        version => return Err(format!("GGUF version {version} is not supported")),
    }
    let tensor_count = cursor.count("tensor count", 24)?;
    let pair_count = cursor.count("metadata count", 13)?;
    let mut metadata = BTreeMap::new();
    for _ in 0..pair_count {
        let key = cursor.text("metadata key")?;
        let value = Value::read(&mut cursor)?;
        if metadata.insert(key.clone(), value).is_some() {
            return Err(format!("metadata key {key} appears twice"));
        }
    }
    let tensors = read_directory(&mut cursor, tensor_count, &metadata)?;
    Ok((metadata, tensors))
}

fn read_directory(
    cursor: &mut Cursor<'_>,
    count: usize,
    metadata: &BTreeMap<String, Value>,
) -> Result<BTreeMap<String, Tensor>, String> {
    let alignment = metadata.get("general.alignment").and_then(Value::as_u64).unwrap_or(DEFAULT_ALIGNMENT);
    if !alignment.is_power_of_two() || alignment > 1 << 20 {
        return Err(format!("alignment {alignment} is not a small power of two"));
    }
    let entries = (0..count).map(|_| Entry::read(cursor)).collect::<Result<Vec<_>, _>>()?;
    let data = (cursor.position() as u64).next_multiple_of(alignment);
    let mut tensors = BTreeMap::new();
    for entry in entries {
        let name = entry.name.clone();
        let tensor = entry.place(data, alignment, cursor.len())?;
        if tensors.insert(name.clone(), tensor).is_some() {
            return Err(format!("tensor {name} appears twice"));
        }
    }
    Ok(tensors)
}

/// One line of the tensor directory.
struct Entry {
    name: String,
    shape: Vec<usize>,
    code: u32,
    offset: u64,
}

impl Entry {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, String> {
        let name = cursor.text("tensor name")?;
        let dimensions = cursor.u32("number of dimensions")?;
        if dimensions == 0 || dimensions > MAX_DIMENSIONS {
            return Err(format!("tensor {name} has {dimensions} dimensions"));
        }
        let mut shape = Vec::with_capacity(dimensions as usize);
        for _ in 0..dimensions {
            let size = cursor.u64("dimension")?;
            shape.push(usize::try_from(size).map_err(|_| format!("tensor {name} has a dimension of {size}"))?);
        }
        shape.reverse();
        Ok(Self { name, shape, code: cursor.u32("tensor type")?, offset: cursor.u64("tensor offset")? })
    }

    /// Checks that the tensor lies inside the file.
    fn place(self, data: u64, alignment: u64, file: usize) -> Result<Tensor, String> {
        let Self { name, shape, code, offset } = self;
        let format = Format::from_ggml(code)
            .ok_or_else(|| format!("tensor {name} is stored as {}, which is not supported", ggml_name(code)))?;
        if !offset.is_multiple_of(alignment) {
            return Err(format!("tensor {name} begins at {offset}, which is not aligned to {alignment}"));
        }
        let columns = shape.last().copied().unwrap_or(0);
        let rows = shape.iter().rev().skip(1).try_fold(1_usize, |product, size| product.checked_mul(*size));
        let length = rows.zip(format.row_bytes(columns)).and_then(|(rows, row)| rows.checked_mul(row));
        let length = length.ok_or_else(|| format!("tensor {name} has the impossible shape {shape:?}"))?;
        let start = data.checked_add(offset).and_then(|start| usize::try_from(start).ok());
        match start {
            Some(start) if start.checked_add(length).is_some_and(|end| end <= file) => {
                Ok(Tensor { shape, format, start, length })
            }
            _ => Err(format!("tensor {name} reaches past the end of the file at {file}")),
        }
    }
}

/// The name of a storage type that this reader does not decode.
fn ggml_name(code: u32) -> String {
    let known = match code {
        6 => "Q5_0",
        7 => "Q5_1",
        9 => "Q8_1",
        10 => "Q2_K",
        11 => "Q3_K",
        12 => "Q4_K",
        13 => "Q5_K",
        14 => "Q6_K",
        15 => "Q8_K",
        _ => return format!("type {code}"),
    };
    known.to_owned()
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Builds a small file: two metadata pairs and one F32 tensor `t` of shape `[2, 3]`.
    pub(crate) fn sample() -> Vec<u8> {
        let text = |out: &mut Vec<u8>, text: &str| {
            out.extend((text.len() as u64).to_le_bytes());
            out.extend(text.as_bytes());
        };
        let mut out = Vec::new();
        out.extend(MAGIC.to_le_bytes());
        out.extend(3_u32.to_le_bytes());
        out.extend(1_u64.to_le_bytes());
        out.extend(2_u64.to_le_bytes());
        text(&mut out, "general.architecture");
        out.extend(8_u32.to_le_bytes());
        text(&mut out, "llama");
        text(&mut out, "list");
        out.extend(9_u32.to_le_bytes());
        out.extend(4_u32.to_le_bytes());
        out.extend(2_u64.to_le_bytes());
        out.extend(7_u32.to_le_bytes());
        out.extend(9_u32.to_le_bytes());
        text(&mut out, "t");
        out.extend(2_u32.to_le_bytes());
        out.extend(3_u64.to_le_bytes());
        out.extend(2_u64.to_le_bytes());
        out.extend(0_u32.to_le_bytes());
        out.extend(0_u64.to_le_bytes());
        out.resize(out.len().next_multiple_of(32), 0);
        for value in 0..6_u8 {
            out.extend(f32::from(value).to_le_bytes());
        }
        out
    }

    #[test]
    fn a_small_file_is_read() {
        let (metadata, tensors) = parse(&sample()).expect("valid");
        assert_eq!(metadata["general.architecture"], Value::Text("llama".to_owned()));
        assert_eq!(metadata["list"], Value::List(vec![Value::Unsigned(7), Value::Unsigned(9)]));
        assert_eq!(tensors["t"].shape, [2, 3]);
        assert_eq!(tensors["t"].length, 24);
    }

    #[test]
    fn stored_values_come_from_the_map() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("model.gguf");
        std::fs::write(&path, sample()).expect("written");
        let gguf = Gguf::open(&path).expect("valid");
        assert_eq!(gguf.stored("t").expect("present").to_f32(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert!(gguf.stored("u").is_none());
    }

    #[test]
    fn every_truncation_is_an_error() {
        let whole = sample();
        for length in 0..whole.len() {
            assert!(parse(&whole[..length]).is_err(), "cut at {length}");
        }
    }

    #[test]
    fn a_made_up_count_allocates_nothing() {
        let mut bytes = sample();
        bytes[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(parse(&bytes).expect_err("too many").contains("metadata count"));
    }

    proptest! {
        #[test]
        fn garbled_bytes_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
            let mut bytes = sample();
            for (index, value) in changes {
                let at = index.index(bytes.len());
                bytes[at] = value;
            }
            if let Ok((_, tensors)) = parse(&bytes) {
                prop_assert!(tensors.values().all(|tensor| tensor.start + tensor.length <= bytes.len()));
            }
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut file = b"GGUF\x03\0\0\0".to_vec();
            file.extend(bytes);
            let _outcome = parse(&file);
        }
    }
}
