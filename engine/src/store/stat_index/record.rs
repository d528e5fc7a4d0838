//! The records of the index on disk: of one size, in the order of device and inode, and checked as a whole or one by one.

use super::Stamp;
use crate::Digest;

const MAGIC: &[u8] = b"flow stat index 1\n";
const BODY: usize = 8 * 3 + 16 * 3 + 32;
const CHECK: usize = 32;

/// One file whose content is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) stamp: Stamp,
    pub(super) digest: Digest,
    pub(super) hashed_at: i128,
}

impl Known {
    fn write(&self, out: &mut Vec<u8>) {
        let Stamp { device, inode, bytes, modified_ns, changed_ns } = self.stamp;
        for number in [device, inode, bytes] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for number in [modified_ns, changed_ns, self.hashed_at] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(self.digest.as_bytes());
    }

    fn read(mut body: &[u8]) -> Option<Self> {
        let input = &mut body;
        let (device, inode, bytes) = (small(input)?, small(input)?, small(input)?);
        let (modified_ns, changed_ns, hashed_at) = (big(input)?, big(input)?, big(input)?);
        let digest = Digest::from_bytes((*input).try_into().ok()?);
        Some(Self { stamp: Stamp { device, inode, bytes, modified_ns, changed_ns }, digest, hashed_at })
    }

    /// The record as a line of the log, with a check of its own.
    pub(super) fn logged(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(BODY + CHECK);
        self.write(&mut out);
        let check = blake3::hash(&out);
        out.extend_from_slice(check.as_bytes());
        out
    }
}

fn small(input: &mut &[u8]) -> Option<u64> {
    let (head, rest) = input.split_first_chunk()?;
    *input = rest;
    Some(u64::from_le_bytes(*head))
}

fn big(input: &mut &[u8]) -> Option<i128> {
    let (head, rest) = input.split_first_chunk()?;
    *input = rest;
    Some(i128::from_le_bytes(*head))
}

/// The whole file, for records in order.
pub(super) fn render_sorted<'a>(records: impl Iterator<Item = &'a Known>) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    records.for_each(|known| known.write(&mut out));
    let check = blake3::hash(&out);
    out.extend_from_slice(check.as_bytes());
    out
}

/// What [`render_sorted`] wrote, searched where it lies in memory.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    bytes: Vec<u8>,
    /// Device and inode of every record.
    places: Vec<(u64, u64)>,
}

impl Sorted {
    /// A wrong record would be a wrong hit, so a file that fails its check holds nothing.
    pub(super) fn parse(bytes: Vec<u8>) -> Self {
        let Some((content, check)) = bytes.split_last_chunk::<CHECK>() else { return Self::default() };
        if blake3::hash(content).as_bytes() != check {
            return Self::default();
        }
        let Some(records) = content.strip_prefix(MAGIC) else { return Self::default() };
        let place = |mut body: &[u8]| Some((small(&mut body)?, small(&mut body)?));
        let places = records.chunks_exact(BODY).filter_map(place).collect();
        Self { bytes, places }
    }

    /// The record of a file.
    pub(super) fn find(&self, place: (u64, u64)) -> Option<Known> {
        self.at(self.places.binary_search(&place).ok()?)
    }

    /// All records.
    pub(super) fn iter(&self) -> impl Iterator<Item = Known> {
        (0..self.places.len()).filter_map(|number| self.at(number))
    }

    fn at(&self, number: usize) -> Option<Known> {
        let start = MAGIC.len() + number * BODY;
        Known::read(self.bytes.get(start..start + BODY)?)
    }
}

/// Reads the records of a log up to the first that is torn.
pub(super) fn parse_log(bytes: &[u8]) -> Vec<Known> {
    let whole = |record: &[u8]| {
        let (body, check) = record.split_last_chunk::<CHECK>()?;
        (blake3::hash(body).as_bytes() == check).then(|| Known::read(body)).flatten()
    };
    bytes.chunks_exact(BODY + CHECK).map_while(whole).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(inode: u64) -> Known {
        let stamp = Stamp { device: 1, inode, bytes: 3, modified_ns: -5, changed_ns: i128::MAX };
        Known { stamp, digest: Digest::of(&inode.to_le_bytes()), hashed_at: 7 }
    }

    #[test]
    fn records_are_read_as_written() {
        let records: Vec<Known> = (0..50).map(known).collect();
        let sorted = Sorted::parse(render_sorted(records.iter()));
        assert_eq!(sorted.iter().collect::<Vec<_>>(), records);
        assert!(records.iter().all(|known| sorted.find(known.stamp.place()) == Some(*known)));
        assert_eq!((sorted.find((1, 50)), sorted.find((0, 7))), (None, None));
        let log: Vec<u8> = records.iter().flat_map(Known::logged).collect();
        assert_eq!(parse_log(&log), records);
    }

    #[test]
    fn one_wrong_bit_is_one_too_many() {
        let records: Vec<Known> = (0..5).map(known).collect();
        let sorted = render_sorted(records.iter());
        let log: Vec<u8> = records.iter().flat_map(Known::logged).collect();
        for at in [0, 20, sorted.len() / 2, sorted.len() - 1] {
            let mut wrong = sorted.clone();
            wrong[at] ^= 1;
            assert_eq!(Sorted::parse(wrong).iter().count(), 0, "{at}");
        }
        let mut wrong = log.clone();
        wrong[2 * (BODY + CHECK) + 9] ^= 1;
        assert_eq!(parse_log(&wrong), records[..2]);
        assert_eq!(parse_log(&log[..log.len() - 1]), records[..4]);
        assert!(Sorted::parse(Vec::new()).iter().next().is_none() && parse_log(&[]).is_empty());
    }
}
