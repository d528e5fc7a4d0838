//! Compressed files as streams of bytes, with a limit on how much may come out of how little.

use std::{
    cell::Cell,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
    rc::Rc,
};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use flow_engine::StageError;
use lzma_rust2::XzReader;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bytes that may come out before the ratio counts.
const FREE: u64 = 64 << 20;
/// The largest window of a frame that is decompressed, as a power of two.
const WINDOW_LOG: u32 = 27;
/// Bytes at the start of a file that show what it is.
const HEAD: usize = 64;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// By its first bytes.
    #[default]
    Auto,
    /// Not at all.
    None,
    /// gzip, of any number of members.
    Gz,
    /// Zstandard.
    Zst,
    /// bzip2.
    Bz2,
    /// xz.
    Xz,
}

impl Compression {
    fn of(self, head: &[u8]) -> Self {
        match self {
            Self::Auto if head.starts_with(&[0x1f, 0x8b]) => Self::Gz,
            Self::Auto if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) => Self::Zst,
            Self::Auto if head.starts_with(b"BZh") => Self::Bz2,
            Self::Auto if head.starts_with(&[0xfd, b'7', b'z', b'X', b'Z', 0]) => Self::Xz,
            Self::Auto => Self::None,
            named => named,
        }
    }
}

/// A file being read, decompressed if need be.
pub(super) struct Plain {
    pub(super) reader: Box<dyn BufRead>,
    pub(super) is_compressed: bool,
}

/// Opens a file; at most `ratio` times its size may come out of it.
pub(super) fn open(path: &Path, name: &str, (compression, ratio): (Compression, u64)) -> Result<Plain, StageError> {
    let mut head = Vec::new();
    File::open(path)?.take(HEAD as u64).read_to_end(&mut head)?;
    let kind = compression.of(&head);
    let read = Rc::new(Cell::new(0));
    let file = BufReader::with_capacity(1 << 20, Counted { inner: File::open(path)?, read: Rc::clone(&read) });
    let plain: Box<dyn Read> = match kind {
        Compression::None | Compression::Auto => return Ok(Plain { reader: Box::new(file), is_compressed: false }),
        Compression::Gz => Box::new(MultiGzDecoder::new(file)),
        Compression::Zst => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(file)?;
            decoder.window_log_max(WINDOW_LOG)?;
            Box::new(decoder)
        }
        Compression::Bz2 => Box::new(MultiBzDecoder::new(file)),
        Compression::Xz => {
            check_dictionary(&head, name)?;
            Box::new(XzReader::new(file, true))
        }
    };
    let limited = Limited { inner: plain, read, given: 0, ratio };
    Ok(Plain { reader: Box::new(BufReader::with_capacity(1 << 20, limited)), is_compressed: true })
}

/// Refuses an xz file that asks for more memory than any preset does.
fn check_dictionary(head: &[u8], name: &str) -> Result<(), StageError> {
    // After the stream header of twelve bytes: size, flags, sizes that are there by the flags, and the first filter.
    let flags = head.get(13).copied().unwrap_or(0);
    let mut at = 14;
    for _ in 0..(flags >> 6).count_ones() {
        while head.get(at).is_some_and(|byte| byte & 0x80 != 0) {
            at += 1;
        }
        at += 1;
    }
    let is_lzma2 = head.get(at) == Some(&0x21);
    let bits = head.get(at + 2).copied().unwrap_or(0);
    // 2^(bits / 2 + 11) for odd numbers and more for even ones; 32 stands for 128 MiB.
    if is_lzma2 && bits > 32 {
        let message = format!("{name} asks for a dictionary of more than 128 MiB");
        return Err(StageError::input(message).help("compress it again with `xz -9` or less"));
    }
    Ok(())
}

/// Counts what is read.
struct Counted<R> {
    inner: R,
    read: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read.set(self.read.get() + count as u64);
        Ok(count)
    }
}

/// Ends with an error where more comes out than is allowed.
struct Limited<R> {
    inner: R,
    read: Rc<Cell<u64>>,
    given: u64,
    ratio: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.given += count as u64;
        if self.given > FREE.saturating_add(self.read.get().saturating_mul(self.ratio)) {
            let text = format!("more than {} times as much comes out as there is in it", self.ratio);
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// `"one\ntwo\n"` as `bzip2` writes it.
    const BZ2: [u8; 45] = [
        66, 90, 104, 57, 49, 65, 89, 38, 83, 89, 167, 20, 43, 119, 0, 0, 2, 193, 128, 0, 16, 2, 1, 132, 128, 32, 0, 33, 128, 12,
        2, 56, 245, 27, 139, 185, 34, 156, 40, 72, 83, 138, 21, 187, 128,
    ];

    /// The same as `xz` writes it.
    const XZ: [u8; 64] = [
        253, 55, 122, 88, 90, 0, 0, 4, 230, 214, 180, 70, 2, 0, 33, 1, 22, 0, 0, 0, 116, 47, 229, 163, 1, 0, 7, 111, 110, 101,
        10, 116, 119, 111, 10, 0, 81, 171, 158, 175, 87, 117, 112, 73, 0, 1, 32, 8, 187, 25, 217, 187, 31, 182, 243, 125, 1, 0,
        0, 0, 0, 4, 89, 90,
    ];

    fn gz(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: &[u8], ratio: u64) -> Result<Vec<u8>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, bytes).unwrap();
        let mut out = Vec::new();
        let mut plain = open(&path, "a", (Compression::Auto, ratio)).map_err(|error| error.message)?;
        plain.reader.read_to_end(&mut out).map_err(|error| error.to_string())?;
        Ok(out)
    }

    #[test]
    fn every_kind_is_known_by_its_first_bytes() {
        let text = b"one\ntwo\n";
        let members = [gz(b"one\n"), gz(b"two\n")].concat();
        for bytes in [text.to_vec(), members, zstd::bulk::compress(text, 3).unwrap(), BZ2.to_vec(), XZ.to_vec()] {
            assert_eq!(read(&bytes, 200).as_deref(), Ok(&text[..]));
        }
    }

    #[test]
    fn a_bomb_is_stopped_and_a_torn_file_is_an_error() {
        let zeros = zstd::bulk::compress(&vec![b'0'; 80 << 20], 3).unwrap();
        assert!(read(&zeros, 200).unwrap_err().contains("200 times"));
        let whole = gz(&b"some text that is long enough to be torn".repeat(50));
        assert!(read(&whole[..whole.len() - 20], 200).is_err());
    }

    #[test]
    fn a_huge_dictionary_is_refused() {
        let mut head = vec![0xfd, b'7', b'z', b'X', b'Z', 0, 0, 4, 0, 0, 0, 0, 2, 0, 0x21, 1, 40];
        assert!(read(&head, 200).unwrap_err().contains("128 MiB"));
        head[16] = 22;
        assert!(!read(&head, 200).unwrap_err().contains("128 MiB"));
    }
}
