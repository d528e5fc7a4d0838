//! The `tokens` artifact from outside: any row in any order, and nothing but whole files of one make.

use std::fs;

use flow_rows::{RowsError, RowsWriter, TokenRow, TokensMeta, TokensReader, TokensWriter};
use proptest::prelude::*;
use tempfile::TempDir;

type Row = (String, Vec<u32>, Vec<i32>);

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn meta() -> TokensMeta {
    TokensMeta {
        tokenizer: "0123abcd".to_owned(),
        template: "4567".to_owned(),
        max_length: 2_048,
        system: Some("Be brief.".to_owned()),
    }
}

fn row((row_id, input_ids, labels): &Row) -> TokenRow<'_> {
    TokenRow { row_id, input_ids, labels }
}

fn write(folder: &TempDir, rows: &[Row]) -> u64 {
    let mut writer = TokensWriter::create(folder.path(), &meta()).expect("it creates");
    for pushed in rows {
        writer.push(row(pushed)).expect("it pushes");
    }
    writer.finish().expect("it finishes")
}

fn numbered(index: u32) -> Row {
    let ids: Vec<u32> = (0..index % 5).map(|at| index + at).collect();
    let labels = ids.iter().map(|id| if id % 2 == 0 { -100 } else { id.cast_signed() }).collect();
    (format!("{index:032x}"), ids, labels)
}

#[test]
fn any_row_of_any_batch_is_read_in_place() {
    let folder = folder();
    let rows: Vec<Row> = (0..70_000).map(numbered).collect();
    assert_eq!(write(&folder, &rows), 70_000);
    let reader = TokensReader::open(folder.path()).expect("it opens");
    assert_eq!((reader.len(), reader.is_empty(), reader.meta()), (70_000, false, &meta()));
    for index in [0, 1, 65_535, 65_536, 69_999, 3] {
        assert_eq!(reader.get(index).expect("it is there"), row(&rows[index]));
    }
    assert!(reader.iter().zip(&rows).all(|(found, pushed)| found.expect("it is there") == row(pushed)));
    assert!(matches!(reader.get(70_000), Err(RowsError::NoRow { index: 70_000, rows: 70_000 })));
}

#[test]
fn no_rows_are_an_artifact_that_knows_its_make() {
    let folder = folder();
    assert!(matches!(TokensReader::open(folder.path()), Err(RowsError::NoParts { .. })));
    assert_eq!(write(&folder, &[]), 0);
    let reader = TokensReader::open(folder.path()).expect("it opens");
    assert!(reader.is_empty() && reader.iter().next().is_none());
    assert_eq!(reader.meta(), &meta());
}

#[test]
fn uneven_ids_and_labels_are_refused() {
    let folder = folder();
    let mut writer = TokensWriter::create(folder.path(), &meta()).expect("it creates");
    let uneven = writer.push(TokenRow { row_id: "x", input_ids: &[1, 2], labels: &[1] });
    assert!(matches!(uneven, Err(RowsError::Uneven { ids: 2, labels: 1, .. })));
}

#[test]
fn a_torn_or_foreign_file_is_refused() {
    let folder = folder();
    write(&folder, &[numbered(4), numbered(3)]);
    let path = folder.path().join("part-00000.arrow");
    let bytes = fs::read(&path).expect("it reads");
    for length in 0..bytes.len() {
        fs::write(&path, &bytes[..length]).expect("it writes");
        assert!(matches!(TokensReader::open(folder.path()), Err(RowsError::Torn { .. })), "{length}");
    }
    fs::remove_file(&path).expect("it was there");
    RowsWriter::create(folder.path()).and_then(RowsWriter::finish).expect("it writes");
    assert!(matches!(TokensReader::open(folder.path()), Err(RowsError::Foreign { expected: "tokens", .. })));
}

#[test]
fn parts_of_different_makes_are_refused() {
    let (one, other) = (folder(), folder());
    write(&one, &[numbered(1)]);
    let make = TokensMeta { max_length: 7, ..meta() };
    TokensWriter::create(other.path(), &make).and_then(TokensWriter::finish).expect("it writes");
    fs::copy(other.path().join("part-00000.arrow"), one.path().join("part-00001.arrow")).expect("it copies");
    assert!(matches!(TokensReader::open(one.path()), Err(RowsError::Foreign { .. })));
}

proptest! {
    #[test]
    fn what_is_pushed_is_read_and_the_bytes_are_the_same_twice(
        rows in prop::collection::vec(("\\PC{0,8}", prop::collection::vec((any::<u32>(), any::<i32>()), 0..20)), 0..20)
    ) {
        let rows: Vec<Row> = rows
            .into_iter()
            .map(|(row_id, pairs)| {
                let (ids, labels) = pairs.into_iter().unzip();
                (row_id, ids, labels)
            })
            .collect();
        let (first, second) = (folder(), folder());
        write(&first, &rows);
        write(&second, &rows);
        let reader = TokensReader::open(first.path()).expect("it opens");
        prop_assert_eq!(reader.len(), rows.len());
        for (index, pushed) in rows.iter().enumerate() {
            prop_assert_eq!(reader.get(index).expect("it is there"), row(pushed));
        }
        let bytes = |folder: &TempDir| fs::read(folder.path().join("part-00000.arrow")).expect("it reads");
        prop_assert_eq!(bytes(&first), bytes(&second));
    }

    #[test]
    fn a_flipped_byte_never_panics(at in 0usize..4_096, flip in 1u8..) {
        let folder = folder();
        write(&folder, &[numbered(4), numbered(3), numbered(9)]);
        let path = folder.path().join("part-00000.arrow");
        let mut bytes = fs::read(&path).expect("it reads");
        let at = at % bytes.len();
        bytes[at] ^= flip;
        fs::write(&path, &bytes).expect("it writes");
        if let Ok(reader) = TokensReader::open(folder.path()) {
            prop_assert!(reader.iter().take(100).filter_map(Result::ok).count() <= 100);
        }
    }
}
