//! A tensor as its file stores it: bytes, a format, and a shape.

use std::sync::Arc;

use memmap2::Mmap;

use super::Format;

/// Bytes of a file, or bytes rearranged in memory.
#[derive(Clone, Debug)]
pub enum Bytes {
    /// A part of a mapped file.
    Mapped {
        /// The file.
        map: Arc<Mmap>,
        /// First byte.
        start: usize,
        /// Number of bytes.
        length: usize,
    },
    /// Memory of its own.
    Owned(Arc<[u8]>),
}

impl Bytes {
    /// Takes a part of a mapped file; `None` when it reaches past the end.
    pub fn mapped(map: Arc<Mmap>, start: usize, length: usize) -> Option<Self> {
        let end = start.checked_add(length)?;
        (end <= map.len()).then_some(Self::Mapped { map, start, length })
    }

    /// Takes memory.
    pub fn owned(bytes: Vec<u8>) -> Self {
        Self::Owned(bytes.into())
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Mapped { map, start, length } => &map[*start..*start + *length],
            Self::Owned(bytes) => bytes,
        }
    }
}

/// A matrix, or a vector as one row. Cloning shares the bytes.
#[derive(Clone, Debug)]
pub struct Stored {
    format: Format,
    shape: [usize; 2],
    row_bytes: usize,
    bytes: Bytes,
}

impl Stored {
    /// Joins bytes with their meaning. The caller has checked that they are as many as shape and format ask for.
    pub fn new(format: Format, shape: [usize; 2], bytes: Bytes) -> Self {
        let row_bytes = format.row_bytes(shape[1]).unwrap_or(0);
        debug_assert_eq!(row_bytes * shape[0], bytes.as_slice().len());
        Self { format, shape, row_bytes, bytes }
    }

    /// `[rows, columns]`.
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// Number of rows; 1 for a vector.
    pub fn rows(&self) -> usize {
        self.shape[0]
    }

    /// Length of a row.
    pub fn columns(&self) -> usize {
        self.shape[1]
    }

    /// How values are stored.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The stored bytes of one row.
    pub fn row(&self, index: usize) -> &[u8] {
        &self.bytes.as_slice()[index * self.row_bytes..(index + 1) * self.row_bytes]
    }

    /// Decodes every value, row after row.
    pub fn to_f32(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.rows() * self.columns()];
        if self.columns() > 0 {
            for (index, row) in out.chunks_exact_mut(self.columns()).enumerate() {
                self.format.decode(self.row(index), row);
            }
        }
        out
    }

    /// Returns the rows of the given numbers, in that order; `None` when one does not exist.
    pub fn gather(&self, order: impl Iterator<Item = usize>) -> Option<Self> {
        let mut bytes = Vec::with_capacity(self.bytes.as_slice().len());
        let mut rows = 0;
        for index in order {
            if index >= self.rows() {
                return None;
            }
            bytes.extend_from_slice(self.row(index));
            rows += 1;
        }
        Some(Self::new(self.format, [rows, self.columns()], Bytes::owned(bytes)))
    }
}
