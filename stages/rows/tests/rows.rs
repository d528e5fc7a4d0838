//! The `rows` artifact from outside: what is pushed is read, whatever it is, and what is not ours is refused by name.

use std::{fs, path::Path};

use flow_engine::{StageError, StageErrorKind};
use flow_rows::{RowsError, RowsReader, RowsWriter, TokensMeta, TokensWriter};
use flow_text::record::{Message, Record};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn record(index: usize) -> Record {
    let message = |role: &str, content: String| Message { role: role.to_owned(), content };
    let messages = (0..index % 4).map(|turn| message("user", format!("turn {turn} of {index} é🙂")));
    let Value::Object(meta) = json!({"z": index, "a": {"nested": [1, null, "x"]}}) else { unreachable!("an object") };
    Record { row_id: format!("{index:032x}"), source: "tickets".to_owned(), messages: messages.collect(), meta }
}

fn write(directory: &Path, records: &[Record]) -> u64 {
    let mut writer = RowsWriter::create(directory).expect("it creates");
    for record in records {
        writer.push(record).expect("it pushes");
    }
    writer.finish().expect("it finishes")
}

fn read(directory: &Path) -> Result<Vec<Record>, RowsError> {
    RowsReader::open(directory)?.read_all()
}

#[test]
fn batches_hold_65536_rows_and_memory_stays_flat() {
    let folder = folder();
    let mut writer = RowsWriter::create(folder.path()).expect("it creates");
    for index in 0..70_000 {
        writer.push(&record(index)).expect("it pushes");
    }
    assert_eq!(writer.finish().expect("it finishes"), 70_000);
    let reader = RowsReader::open(folder.path()).expect("it opens");
    assert_eq!(reader.count(), 70_000);
    let mut next = 0;
    let mut sizes = Vec::new();
    for batch in reader.batches() {
        let batch = batch.expect("it reads");
        sizes.push(batch.len());
        for found in batch {
            assert_eq!(found, record(next));
            next += 1;
        }
    }
    assert_eq!(sizes, [65_536, 4_464]);
}

#[test]
fn long_rows_close_a_batch_early() {
    let folder = folder();
    let mut long = record(1);
    long.messages[0].content = "x".repeat(65 << 20);
    assert_eq!(write(folder.path(), &[long, record(2)]), 2);
    let reader = RowsReader::open(folder.path()).expect("it opens");
    let sizes = reader.batches().map(|batch| batch.expect("it reads").len());
    assert_eq!(sizes.collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn no_rows_are_an_artifact_and_no_parts_are_none() {
    let folder = folder();
    assert!(matches!(RowsReader::open(folder.path()), Err(RowsError::NoParts { .. })));
    let artifact = folder.path().join("rows");
    assert_eq!(write(&artifact, &[]), 0);
    let reader = RowsReader::open(&artifact).expect("it opens");
    assert_eq!((reader.count(), reader.batches().count()), (0, 0));
    assert!(matches!(RowsReader::open(&folder.path().join("missing")), Err(RowsError::Io { operation: "list", .. })));
}

#[test]
fn a_torn_file_is_refused_at_every_length() {
    let folder = folder();
    write(folder.path(), &[record(1), record(2)]);
    let path = folder.path().join("part-00000.arrow");
    let bytes = fs::read(&path).expect("it reads");
    for length in 0..bytes.len() {
        fs::write(&path, &bytes[..length]).expect("it writes");
        let refused = RowsReader::open(folder.path()).expect_err("it is torn");
        assert!(matches!(refused, RowsError::Torn { .. }), "{length}: {refused}");
    }
}

#[test]
fn an_unfinished_writer_leaves_a_torn_file() {
    let folder = folder();
    let mut writer = RowsWriter::create(folder.path()).expect("it creates");
    writer.push(&record(1)).expect("it pushes");
    drop(writer);
    let refused = StageError::from(read(folder.path()).expect_err("it is torn"));
    assert_eq!(refused.kind, StageErrorKind::Input);
    assert!(refused.message.ends_with("part-00000.arrow is torn or not an Arrow IPC file"), "{}", refused.message);
    assert!(refused.help.is_some());
}

#[test]
fn another_artifact_is_refused_with_its_columns() {
    let folder = folder();
    let meta = TokensMeta { tokenizer: "a".to_owned(), template: "b".to_owned(), max_length: 1, system: None };
    TokensWriter::create(folder.path(), &meta).and_then(TokensWriter::finish).expect("it writes");
    let refused = RowsReader::open(folder.path()).expect_err("it holds tokens");
    assert!(refused.to_string().contains("does not hold rows: its columns are row_id LargeUtf8, input_ids"), "{refused}");
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1_000_000i32..1_000_000).prop_map(|n| Value::from(f64::from(n) / 64.0)),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| prop::collection::vec(inner, 0..3).prop_map(Value::from))
}

prop_compose! {
    fn any_record()(
        row_id in "[0-9a-f]{32}",
        source in "\\PC{0,8}",
        messages in prop::collection::vec(("\\PC{0,8}", any::<String>()), 0..4),
        meta in prop::collection::vec(("\\PC{0,4}", json_value()), 0..4),
    ) -> Record {
        let messages = messages.into_iter().map(|(role, content)| Message { role, content }).collect();
        Record { row_id, source, messages, meta: Map::from_iter(meta) }
    }
}

proptest! {
    #[test]
    fn what_is_pushed_is_read_and_the_bytes_are_the_same_twice(records in prop::collection::vec(any_record(), 0..12)) {
        let folder = folder();
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        prop_assert_eq!(write(&first, &records), records.len() as u64);
        write(&second, &records);
        prop_assert_eq!(read(&first).expect("it reads"), records);
        let bytes = |directory: &Path| fs::read(directory.join("part-00000.arrow")).expect("it reads");
        prop_assert_eq!(bytes(&first), bytes(&second));
    }

    #[test]
    fn a_flipped_byte_never_panics(at in 0usize..4_096, flip in 1u8..) {
        let folder = folder();
        let records = [record(1), record(3)];
        write(folder.path(), &records);
        let path = folder.path().join("part-00000.arrow");
        let mut bytes = fs::read(&path).expect("it reads");
        let at = at % bytes.len();
        bytes[at] ^= flip;
        fs::write(&path, &bytes).expect("it writes");
        if let Ok(found) = read(folder.path()) {
            prop_assert!(found.len() <= records.len());
        }
    }
}
