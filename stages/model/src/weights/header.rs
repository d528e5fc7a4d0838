//! Says what is wrong with a safetensors file that the library refuses: which tensor, and by how much.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// What a header says about one tensor.
#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

/// Returns the first fault of a file, or nothing where only the library knows better.
pub(super) fn explain(bytes: &[u8]) -> Option<String> {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return Some(format!("it has {} bytes, too few for a header", bytes.len()));
    };
    let length = u64::from_le_bytes(*length);
    let Some((header, data)) = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length)) else {
        return Some(format!("its header should be {length} bytes long, but {} follow", rest.len()));
    };
    let entries: BTreeMap<String, Value> = match serde_json::from_slice(header) {
        Ok(entries) => entries,
        Err(error) => return Some(format!("its header is not JSON: {error}")),
    };
    let mut found = Vec::new();
    for (name, value) in entries.into_iter().filter(|(name, _)| name != "__metadata__") {
        match Entry::deserialize(value) {
            Ok(entry) => match entry.fault(&name, data.len() as u64) {
                Some(fault) => return Some(fault),
                None => found.push((entry.data_offsets, name)),
            },
            Err(error) => return Some(format!("its header makes no sense for tensor {name}: {error}")),
        }
    }
    uncovered(found, data.len() as u64)
}

impl Entry {
    fn fault(&self, name: &str, data: u64) -> Option<String> {
        let [start, end] = self.data_offsets;
        if end > data {
            return Some(format!("it is cut short: tensor {name} ends at byte {end} of the data, but there are {data}"));
        }
        if start > end {
            return Some(format!("tensor {name} begins at byte {start} and ends before, at {end}"));
        }
        let needed = self.shape.iter().try_fold(width(&self.dtype)?, |bytes, size| bytes.checked_mul(*size));
        let (shape, dtype, taken) = (&self.shape, &self.dtype, end - start);
        match needed {
            Some(needed) if needed == taken => None,
            Some(needed) => {
                Some(format!("tensor {name} of shape {shape:?} and type {dtype} needs {needed} bytes, but has {taken}"))
            }
            None => Some(format!("tensor {name} has the impossible shape {shape:?}")),
        }
    }
}

/// Finds data that two tensors claim, or none.
fn uncovered(mut found: Vec<([u64; 2], String)>, data: u64) -> Option<String> {
    found.sort();
    let mut covered = 0;
    for ([start, end], name) in found {
        if start != covered {
            let fault = if start < covered { "overlaps the tensor before it" } else { "does not follow the tensor before it" };
            return Some(format!("tensor {name} begins at byte {start} of the data and {fault}, which ends at {covered}"));
        }
        covered = end;
    }
    (covered != data).then(|| format!("{} bytes after the last tensor belong to none", data - covered))
}

/// Bytes of one value; nothing for types that this reader refuses by name later.
fn width(dtype: &str) -> Option<u64> {
    match dtype {
        "BOOL" | "U8" | "I8" | "F8_E4M3" | "F8_E5M2" => Some(1),
        "F16" | "BF16" | "I16" | "U16" => Some(2),
        "F32" | "I32" | "U32" => Some(4),
        "F64" | "I64" | "U64" => Some(8),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use safetensors::SafeTensors;

    use super::*;

    fn file(header: &str, data: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        bytes
    }

    fn fault(header: &str, data: usize) -> String {
        let bytes = file(header, data);
        assert!(SafeTensors::deserialize(&bytes).is_err(), "the library takes {header}");
        explain(&bytes).unwrap_or_else(|| panic!("no fault of {header}"))
    }

    #[test]
    fn every_lie_is_told_with_the_tensor() {
        let one = r#"{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}"#;
        assert!(explain(&file(one, 16)).is_none() && SafeTensors::deserialize(&file(one, 16)).is_ok());
        assert!(fault(one, 12).contains("cut short: tensor a ends at byte 16 of the data, but there are 12"));
        assert!(fault(one, 20).contains("4 bytes after the last tensor"));
        let more = r#"{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,16]}}"#;
        assert!(fault(more, 16).contains("tensor a of shape [2, 3] and type F32 needs 24 bytes, but has 16"));
        let back = r#"{"a":{"dtype":"F32","shape":[0],"data_offsets":[16,0]}}"#;
        assert!(fault(back, 16).contains("ends before"));
        let huge = r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,16]}}"#;
        assert!(fault(huge, 16).contains("impossible shape"));
        let twice =
            r#"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"b":{"dtype":"F32","shape":[4],"data_offsets":[8,24]}}"#;
        assert!(fault(twice, 24).contains("tensor b begins at byte 8 of the data and overlaps"));
        let gap =
            r#"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"b":{"dtype":"F32","shape":[1],"data_offsets":[20,24]}}"#;
        assert!(fault(gap, 24).contains("does not follow"));
        assert!(fault(r#"{"a":{"shape":[4]}}"#, 16).contains("tensor a: missing field"));
        assert!(fault("{", 16).contains("not JSON"));
    }

    #[test]
    fn a_header_longer_than_the_file_is_no_header() {
        assert!(explain(b"short").expect("a fault").contains("5 bytes"));
        let mut bytes = file("{}", 0);
        bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(explain(&bytes).expect("a fault").contains("but 2 follow"));
    }

    proptest! {
        #[test]
        fn garbled_headers_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
            let mut bytes = file(r#"{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}"#, 16);
            for (index, value) in changes {
                let at = index.index(bytes.len());
                bytes[at] = value;
            }
            let _fault = explain(&bytes);
        }
    }
}
