//! A bounds-checked reader of little-endian values. Every error says what was being read and where.

pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn position(&self) -> usize {
        self.at
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn take(&mut self, length: usize, what: &str) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(length);
        let found = end.and_then(|end| self.bytes.get(self.at..end));
        let found = found.ok_or_else(|| format!("it ends inside the {what} at offset {}", self.at))?;
        self.at += length;
        Ok(found)
    }

    pub(super) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], String> {
        let taken = self.take(N, what)?;
        taken.try_into().map_err(|_| format!("it ends inside the {what} at offset {}", self.at))
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32, String> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64, String> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// Reads a count of things that take at least `least` bytes each: more than fit in the rest of the file is an error.
    pub(super) fn count(&mut self, what: &str, least: usize) -> Result<usize, String> {
        let at = self.at;
        let count = self.u64(what)?;
        let room = (self.bytes.len() - self.at) / least.max(1);
        match usize::try_from(count) {
            Ok(count) if count <= room => Ok(count),
            _ => Err(format!("the {what} at offset {at} is {count}, more than the file can hold")),
        }
    }

    pub(super) fn text(&mut self, what: &str) -> Result<String, String> {
        let length = self.count(what, 1)?;
        let at = self.at;
        let bytes = self.take(length, what)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| format!("the {what} at offset {at} is not UTF-8"))
    }
}
