//! Which libraries a program names: the little of the ELF format that a dynamic linker reads first.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

const HEADER: usize = 64;
const SEGMENT: usize = 56;
const MAGIC: &[u8] = b"\x7fELF\x02\x01";

const LOAD: u32 = 1;
const DYNAMIC: u32 = 2;
const INTERPRETER: u32 = 3;

const NEEDED: u64 = 1;
const STRINGS: u64 = 5;
const STRINGS_SIZE: u64 = 10;
const RPATH: u64 = 15;
const RUNPATH: u64 = 29;

/// More than any honest program has; a damaged one must not ask for all memory.
const LARGEST: u64 = 64 << 20;

/// What a program or library asks its loader for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Linked {
    /// The kind of processor it is for.
    pub(super) machine: u16,
    /// The loader, if it is a program.
    pub(super) interpreter: Option<PathBuf>,
    /// Libraries by name, in order.
    pub(super) needed: Vec<String>,
    /// Where it wants them looked for, `$ORIGIN` filled in.
    pub(super) folders: Vec<PathBuf>,
}

#[derive(Clone, Copy)]
struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    size: u64,
}

/// Reads what a file asks for; none for what is no 64-bit program or library, or a damaged one.
pub(super) fn read(path: &Path) -> io::Result<Option<Linked>> {
    let file = File::open(path)?;
    Ok(linked(&file, path.parent().unwrap_or(Path::new("/"))))
}

fn linked(file: &File, origin: &Path) -> Option<Linked> {
    let header = bytes(file, 0, HEADER as u64)?;
    if !header.starts_with(MAGIC) {
        return None;
    }
    let segments = segments(file, &header)?;
    let mut linked = Linked { machine: u16_at(&header, 18)?, ..Linked::default() };
    if let Some(segment) = segments.iter().find(|segment| segment.kind == INTERPRETER) {
        linked.interpreter = Some(PathBuf::from(text(&bytes(file, segment.offset, segment.size)?, 0)?));
    }
    if let Some(dynamic) = segments.iter().find(|segment| segment.kind == DYNAMIC) {
        linked.read_dynamic(&entries(&bytes(file, dynamic.offset, dynamic.size)?), (file, &segments), origin)?;
    }
    Some(linked)
}

impl Linked {
    fn read_dynamic(&mut self, entries: &[(u64, u64)], (file, segments): (&File, &[Segment]), origin: &Path) -> Option<()> {
        let value = |wanted: u64| entries.iter().find(|(tag, _)| *tag == wanted).map(|(_, value)| *value);
        let (Some(address), Some(size)) = (value(STRINGS), value(STRINGS_SIZE)) else { return Some(()) };
        let holds =
            |segment: &&Segment| segment.kind == LOAD && (segment.address..segment.address + segment.size).contains(&address);
        let segment = segments.iter().find(holds)?;
        let strings = bytes(file, segment.offset + (address - segment.address), size)?;
        let named = |wanted: u64| entries.iter().filter(move |(tag, _)| *tag == wanted).map(|(_, value)| *value);
        self.needed = named(NEEDED).filter_map(|at| text(&strings, at)).collect();
        for list in named(RPATH).chain(named(RUNPATH)).filter_map(|at| text(&strings, at)) {
            let folders = list.split(':').filter(|folder| !folder.is_empty());
            let origin = origin.to_string_lossy();
            self.folders.extend(folders.map(|folder| folder.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin).into()));
        }
        Some(())
    }
}

fn segments(file: &File, header: &[u8]) -> Option<Vec<Segment>> {
    let (offset, size, count) = (u64_at(header, 32)?, u16_at(header, 54)?, u16_at(header, 56)?);
    let table = bytes(file, offset, u64::from(size) * u64::from(count))?;
    let one = |record: &[u8]| {
        Some(Segment {
            kind: u32_at(record, 0)?,
            offset: u64_at(record, 8)?,
            address: u64_at(record, 16)?,
            size: u64_at(record, 32)?,
        })
    };
    table.chunks(usize::from(size).max(SEGMENT)).map(one).collect()
}

fn entries(table: &[u8]) -> Vec<(u64, u64)> {
    table
        .chunks_exact(16)
        .filter_map(|entry| Some((u64_at(entry, 0)?, u64_at(entry, 8)?)))
        .take_while(|(tag, _)| *tag != 0)
        .collect()
}

fn bytes(file: &File, offset: u64, size: u64) -> Option<Vec<u8>> {
    let mut buffer = vec![0; usize::try_from(size).ok().filter(|_| size <= LARGEST)?];
    file.read_exact_at(&mut buffer, offset).ok().map(|()| buffer)
}

fn text(strings: &[u8], at: u64) -> Option<String> {
    let rest = strings.get(usize::try_from(at).ok()?..)?;
    let end = memchr::memchr(0, rest).unwrap_or(rest.len());
    rest.get(..end).map(|name| String::from_utf8_lossy(name).into_owned())
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().copied().map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_names_its_libraries() {
        let found = read(&std::env::current_exe().unwrap()).unwrap().unwrap();
        assert!(found.interpreter.is_some_and(|loader| loader.is_absolute()));
        assert!(found.needed.iter().any(|name| name.starts_with("libc.")), "{:?}", found.needed);
    }

    #[test]
    fn what_is_no_program_and_what_is_damaged_names_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x");
        for damaged in [&b"#!/bin/sh\n"[..], b"", b"\x7fELF\x02\x01", &[0x7f, b'E', b'L', b'F', 2, 1, 255, 255].repeat(30)] {
            std::fs::write(&file, damaged).unwrap();
            assert_eq!(read(&file).unwrap(), None);
        }
        let mut whole = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        whole.truncate(3000);
        std::fs::write(&file, whole).unwrap();
        read(&file).unwrap();
    }
}
