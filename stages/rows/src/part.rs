//! The files of an artifact: `part-00000.arrow`, `part-00001.arrow`, and so on, each a complete Arrow IPC file.

use std::{
    fs::{self, File},
    io::BufWriter,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow2::{
    array::Array,
    datatypes::{ArrowSchemaRef, Metadata},
    io::ipc::{
        read::{FileMetadata, read_file_metadata},
        write::{Compression, FileWriter, WriteOptions},
    },
    record_batch::RecordBatchT,
};

use crate::RowsError;

/// A batch of columns.
pub(crate) type Columns = RecordBatchT<Box<dyn Array>>;

/// Batches in one part; a part of full batches is a few hundred megabytes.
const BATCHES_PER_PART: usize = 16;

/// What the parts of one artifact have in common.
pub(crate) struct Layout {
    /// The columns.
    pub(crate) schema: ArrowSchemaRef,
    /// How buffers are stored.
    pub(crate) compression: Option<Compression>,
    /// Written to the footer of every part.
    pub(crate) metadata: Option<Arc<Metadata>>,
}

/// Writes batches into as many parts as they need. The first part is written even when no batch comes, so that the
/// schema is never lost.
pub(crate) struct PartWriter {
    directory: PathBuf,
    layout: Layout,
    open: OpenPart,
    parts: usize,
}

struct OpenPart {
    path: PathBuf,
    writer: FileWriter<BufWriter<File>>,
    batches: usize,
}

impl PartWriter {
    /// Makes the directory and opens the first part.
    pub(crate) fn create(directory: &Path, layout: Layout) -> Result<Self, RowsError> {
        fs::create_dir_all(directory).map_err(RowsError::io("create", directory))?;
        let open = OpenPart::create(directory, 0, &layout)?;
        Ok(Self { directory: directory.to_owned(), layout, open, parts: 1 })
    }

    /// Appends a batch.
    pub(crate) fn write(&mut self, columns: Vec<Box<dyn Array>>, height: usize) -> Result<(), RowsError> {
        if self.open.batches == BATCHES_PER_PART {
            let next = OpenPart::create(&self.directory, self.parts, &self.layout)?;
            std::mem::replace(&mut self.open, next).finish()?;
            self.parts += 1;
        }
        let path = self.open.path.clone();
        let batch = Columns::try_new(height, Arc::clone(&self.layout.schema), columns).map_err(RowsError::write(&path))?;
        self.open.writer.write(&batch, None).map_err(RowsError::write(path))?;
        self.open.batches += 1;
        Ok(())
    }

    /// The part being written.
    pub(crate) fn path(&self) -> &Path {
        &self.open.path
    }

    /// Writes the last footer. Without it the artifact reads as torn.
    pub(crate) fn finish(self) -> Result<(), RowsError> {
        self.open.finish()
    }
}

impl OpenPart {
    fn create(directory: &Path, index: usize, layout: &Layout) -> Result<Self, RowsError> {
        let path = directory.join(format!("part-{index:05}.arrow"));
        let file = File::create_new(&path).map_err(RowsError::io("create", &path))?;
        let options = WriteOptions { compression: layout.compression };
        let mut writer = FileWriter::new(BufWriter::new(file), Arc::clone(&layout.schema), None, options);
        if let Some(metadata) = &layout.metadata {
            writer.set_custom_schema_metadata(Arc::clone(metadata));
        }
        writer.start().map_err(RowsError::write(&path))?;
        Ok(Self { path, writer, batches: 0 })
    }

    fn finish(mut self) -> Result<(), RowsError> {
        self.writer.finish().map_err(RowsError::write(&self.path))?;
        // Durability is the store's: it syncs what a stage wrote when it publishes it.
        let buffer = self.writer.into_inner();
        buffer.into_inner().map(drop).map_err(|e| RowsError::io("write", &self.path)(e.into_error()))
    }
}

/// The parts of a directory in order.
pub(crate) fn list(directory: &Path) -> Result<Vec<PathBuf>, RowsError> {
    let mut parts = Vec::new();
    for entry in fs::read_dir(directory).map_err(RowsError::io("list", directory))? {
        let path = entry.map_err(RowsError::io("list", directory))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(is_part) {
            parts.push(path);
        }
    }
    // Longer names are later parts once the five digits run out.
    parts.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
    if parts.is_empty() { Err(RowsError::NoParts { path: directory.to_owned() }) } else { Ok(parts) }
}

fn is_part(name: &str) -> bool {
    name.strip_prefix("part-").and_then(|rest| rest.strip_suffix(".arrow")).is_some()
}

/// Opens a part and checks its columns.
pub(crate) fn open(path: &Path, schema: &ArrowSchemaRef, expected: &'static str) -> Result<(File, FileMetadata), RowsError> {
    let mut file = File::open(path).map_err(RowsError::io("open", path))?;
    let metadata = read_file_metadata(&mut file).map_err(RowsError::torn(path))?;
    let wanted = schema.iter_values().map(|field| (&field.name, &field.dtype));
    if !wanted.eq(metadata.schema.iter_values().map(|field| (&field.name, &field.dtype))) {
        return Err(foreign(path, expected, format!("its columns are {}", describe(&metadata))));
    }
    Ok((file, metadata))
}

pub(crate) fn foreign(path: &Path, expected: &'static str, found: impl Into<String>) -> RowsError {
    RowsError::Foreign { path: path.to_owned(), expected, found: found.into() }
}

fn describe(metadata: &FileMetadata) -> String {
    let columns: Vec<String> = metadata.schema.iter_values().map(|field| format!("{} {:?}", field.name, field.dtype)).collect();
    if columns.is_empty() { "none".to_owned() } else { columns.join(", ") }
}
