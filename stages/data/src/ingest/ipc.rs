//! Rows of Arrow IPC files through polars: a slice of rows at a time.

use std::{fs::File, io::Read, path::Path};

use flow_engine::StageError;
use polars::{
    error::PolarsError,
    prelude::{DataFrame, LazyFrame, PlRefPath},
};

use super::{parquet::entries, source::Entries};

/// Rows decoded at once.
const SLICE: usize = 16_384;

/// Opens a file; a stream, which has no footer, cannot be read in slices and is refused.
pub(super) fn open<'a>(path: &'a Path, name: &'a str) -> Result<Entries<'a>, StageError> {
    let unreadable = move |error: PolarsError| {
        StageError::input(format!("cannot read {name} as Arrow"))
            .because(&error)
            .help("the file may be torn; get it again, or set `format:`")
    };
    let mut head = Vec::new();
    File::open(path)?.take(6).read_to_end(&mut head)?;
    if head != b"ARROW1" {
        let message = format!("{name} is an Arrow stream, or no Arrow at all");
        return Err(StageError::input(message).help("write it as an Arrow file, such as with `pyarrow.ipc.new_file`"));
    }
    let mut next = Some(0);
    let slices = std::iter::from_fn(move || {
        let start = next.take()?;
        let slice = read_slice(path, start).map_err(unreadable);
        next = slice.as_ref().is_ok_and(|frame| frame.height() == SLICE).then_some(start + SLICE);
        Some(slice.map(|frame| (start, frame)))
    });
    Ok(Box::new(slices.flat_map(|slice| match slice {
        Ok((start, frame)) => Box::new(entries(start, frame)) as Entries<'a>,
        Err(error) => Box::new(std::iter::once(Err(error))),
    })))
}

#[expect(clippy::default_trait_access, reason = "polars does not export the types of all its options")]
fn read_slice(path: &Path, start: usize) -> Result<DataFrame, PolarsError> {
    let place = PlRefPath::new(path.to_string_lossy());
    let frame = LazyFrame::scan_ipc(place, Default::default(), Default::default())?;
    frame.slice(i64::try_from(start).unwrap_or(i64::MAX), u32::try_from(SLICE).unwrap_or(u32::MAX)).collect()
}
