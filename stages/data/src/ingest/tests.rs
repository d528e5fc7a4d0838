//! Files of every format and every kind of broken line.

use serde_json::{Value, json};

use super::*;
use crate::testing::{Bench, Run};

fn ingest(name: &str, bytes: &[u8], map: &Value) -> Result<Run, StageError> {
    let with = json!({"sources": [{"name": "s", "path": name, "map": map}], "max_bad_fraction": 1.0});
    Bench::new().source(name, bytes).run::<Ingest>(with)
}

const GOOD: &str = r#"{"prompt":"p","completion":"c","id":1}"#;

#[test]
fn every_kind_of_broken_line_is_quarantined_by_its_reason() {
    let mut lines: Vec<Vec<u8>> = vec![format!("\u{feff}{GOOD}\r").into_bytes(), b"".to_vec(), b"   ".to_vec()];
    lines.extend([
        br#"{"prompt":"p","completion":"c""#.to_vec(),
        b"{\"prompt\":\"\xff\",\"completion\":\"c\"}".to_vec(),
        b"{\"prompt\":\"a\x00b\",\"completion\":\"c\"}".to_vec(),
        br#"{"prompt":"\ud800","completion":"c"}"#.to_vec(),
        br#"{"prompt":"p","prompt":"q","completion":"c"}"#.to_vec(),
        format!("{{\"prompt\":{}1{}}}", "[".repeat(2_000), "]".repeat(2_000)).into_bytes(),
        br#"{"prompt":"p","completion":"c","x":1e999}"#.to_vec(),
        b"[1,2]".to_vec(),
        br#"{"prompt":"p"}"#.to_vec(),
        br#"{"prompt":"p","completion":""}"#.to_vec(),
        br#"{"prompt":["p"],"completion":"c"}"#.to_vec(),
        format!("{{\"prompt\":\"{}\"}}", "x".repeat(5_000)).into_bytes(),
        GOOD.as_bytes().to_vec(),
    ]);
    let with = json!({"sources": [{"name": "s", "path": "a.jsonl", "map": "prompt_completion"}], "max_bad_fraction": 1.0, "max_record_bytes": 4_500});
    let run = Bench::new().source("a.jsonl", &lines.join(&b'\n')).run::<Ingest>(with).unwrap();
    let report = run.report("report");
    let listed = report["data"]["quarantine"].as_array().unwrap();
    let reasons: Vec<(u64, &str)> = listed.iter().map(|q| (q["line"].as_u64().unwrap(), q["reason"].as_str().unwrap())).collect();
    let expected = [
        (4, "bad_json"),
        (5, "invalid_utf8"),
        (6, "nul"),
        (7, "lone_surrogate"),
        (8, "duplicate_key"),
        (9, "too_deep"),
        (10, "non_finite_number"),
        (11, "not_object"),
        (12, "missing_field"),
        (13, "empty_message"),
        (14, "wrong_type"),
        (15, "too_long"),
    ];
    assert_eq!(reasons, expected);
    assert_eq!(run.metrics(["rows_in", "rows_out", "quarantined", "blank_lines"]), json!([14.0, 2.0, 12.0, 2.0]));
    let rows = run.rows("rows");
    assert!(rows[0].row_id != rows[1].row_id && rows[0].messages == rows[1].messages && rows[0].meta == rows[1].meta);
}

#[test]
fn offsets_point_at_the_line() {
    let text = format!("{GOOD}\n{{broken\n");
    let run = ingest("a.jsonl", text.as_bytes(), &json!("prompt_completion")).unwrap();
    let quarantine = run.report("report")["data"]["quarantine"][0].clone();
    assert_eq!((&quarantine["offset"], &quarantine["file"]), (&json!(GOOD.len() + 1), &json!("a.jsonl")));
}

#[test]
fn tables_are_read_with_their_header() {
    let csv = "q,a,id\n\"two\nlines, quoted\",yes,1\nshort,row\nx,\"say \"\"hi\"\"\",2\n";
    let map = json!({"custom": {"prompt": "{q}", "completion": "{a}"}});
    let run = ingest("a.csv", csv.as_bytes(), &map).unwrap();
    let rows = run.rows("rows");
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].messages[0].content, "two\nlines, quoted");
    assert_eq!((rows[1].messages[1].content.as_str(), &rows[1].meta["id"]), ("say \"hi\"", &json!("2")));
    let quarantine = run.report("report")["data"]["quarantine"][0].clone();
    assert_eq!((&quarantine["line"], &quarantine["reason"]), (&json!(4), &json!("wrong_columns")));
    assert!(ingest("a.csv", b"x,x\n1,2\n", &map).err().unwrap().message.contains("two columns"));
    assert_eq!(ingest("a.tsv", b"\xef\xbb\xbfq\ta\n1\t2\n", &map).unwrap().rows("rows").len(), 1);
}

#[test]
fn parquet_is_read_with_lists_and_structs() {
    use polars::prelude::*;
    let lines = br#"{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],"n":3,"x":1.5}
{"messages":[{"role":"user","content":"r"},{"role":"assistant","content":"b"}],"n":null,"x":2.0}"#;
    let mut frame = JsonReader::new(std::io::Cursor::new(lines)).with_json_format(JsonFormat::JsonLines).finish().unwrap();
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes).finish(&mut frame).unwrap();
    let rows = ingest("a.parquet", &bytes, &json!("messages")).unwrap().rows("rows");
    assert_eq!((rows.len(), rows[1].messages[1].content.as_str()), (2, "b"));
    assert_eq!((&rows[0].meta["n"], &rows[1].meta["n"], &rows[0].meta["x"]), (&json!(3), &Value::Null, &json!(1.5)));
    let torn = ingest("a.parquet", &bytes[..bytes.len() / 2], &json!("messages")).err().unwrap();
    assert!(torn.message.contains("cannot read a.parquet"), "{torn}");
}

#[test]
fn nothing_to_read_is_a_clear_error() {
    for bytes in [&b""[..], b"\n\n", b"not json\n"] {
        let error = ingest("a.jsonl", bytes, &json!("messages")).err().unwrap();
        assert!(error.message.contains("no row could be read") && error.help.is_some(), "{error}");
    }
    let with = json!({"sources": [{"name": "s", "path": "a.jsonl", "map": "prompt_completion"}]});
    let text = format!("{GOOD}\n{{broken\n");
    let error = Bench::new().source("a.jsonl", text.as_bytes()).run::<Ingest>(with).err().unwrap();
    assert!(error.message.contains("1 of 2 lines") && error.message.contains("line 2 of a.jsonl: bad_json"), "{error}");
}

#[test]
fn files_can_come_from_another_stage_and_a_limit_takes_the_first() {
    let with = json!({"sources": [{"name": "s", "map": "prompt_completion"}]});
    let text = format!("{GOOD}\n{GOOD}\n{GOOD}\n");
    let run = Bench::new().file("files", text.as_bytes()).limit(2).run::<Ingest>(with.clone()).unwrap();
    assert_eq!(run.rows("rows").len(), 2);
    let config: IngestConfig = serde_json::from_value(with).unwrap();
    assert_eq!(Ingest::ports(&config).inputs[0].name, "files");
}

#[test]
fn an_added_row_changes_no_other_id() {
    let line = |n: u32| format!("{{\"prompt\":\"{n}\",\"completion\":\"c\"}}\n");
    let ids = |numbers: &[u32]| {
        ingest("a.jsonl", numbers.iter().map(|n| line(*n)).collect::<String>().as_bytes(), &json!("prompt_completion"))
            .unwrap()
            .ids("rows")
    };
    let (before, after) = (ids(&[1, 2, 1]), ids(&[9, 1, 2, 1, 1]));
    assert_eq!(before, after[1..4]);
}

#[test]
fn unknown_options_and_bad_templates_are_refused() {
    for with in [
        json!({"sources": [{"name": "s", "path": "a", "colour": 1}]}),
        json!({"sources": [{"name": "s", "path": "a", "map": {"custom": {"prompt": "{", "completion": "x"}}}]}),
        json!({"sources": [{"name": "s", "path": "a", "map": "xml"}]}),
    ] {
        assert!(serde_json::from_value::<IngestConfig>(with).is_err());
    }
    let twice = json!({"sources": [{"name": "s", "path": "a"}, {"name": "s", "path": "a"}]});
    assert!(Bench::new().source("a", b"").run::<Ingest>(twice).err().unwrap().message.contains("two sources"));
}

#[test]
fn compressed_files_are_read_as_what_is_in_them() {
    let map = json!("prompt_completion");
    let text = format!("{GOOD}\n{GOOD}\n");
    let packed = zstd::bulk::compress(text.as_bytes(), 3).unwrap();
    for name in ["a.jsonl.zst", "a.zst", "a"] {
        assert_eq!(ingest(name, &packed, &map).unwrap().rows("rows").len(), 2, "{name}");
    }
    let csv = zstd::bulk::compress(b"prompt,completion\nq,a\n", 3).unwrap();
    assert_eq!(ingest("a.csv.zst", &csv, &map).unwrap().rows("rows").len(), 1);
    let torn = ingest("a.jsonl.zst", &packed[..packed.len() - 6], &map).err().unwrap();
    assert!(torn.message.contains("cannot read a.jsonl.zst to its end"), "{}", torn.message);
}

#[test]
fn json_documents_give_one_row_an_object() {
    let map = json!("prompt_completion");
    let array = format!("[{GOOD},\n {GOOD},\n 7, {{\"prompt\": 1}}]");
    let run = ingest("a.json", array.as_bytes(), &map).unwrap();
    assert_eq!(run.rows("rows").len(), 2);
    let listed = run.report("report")["data"]["quarantine"].clone();
    assert_eq!(
        (&listed[0]["reason"], &listed[0]["line"], &listed[1]["reason"]),
        (&json!("not_object"), &json!(3), &json!("wrong_type"))
    );
    let pretty = "{\n  \"prompt\": \"p\",\n  \"completion\": \"c\"\n}\n{\n  \"prompt\": \"q\",\n  \"completion\": \"d\"\n}\n";
    assert_eq!(ingest("a.json", pretty.as_bytes(), &map).unwrap().rows("rows").len(), 2);
    assert_eq!(ingest("a.json", format!("{GOOD}\n{GOOD}").as_bytes(), &map).unwrap().rows("rows").len(), 2);
}

#[test]
fn text_gives_one_row_a_line() {
    let run = ingest("a.txt", b"\xef\xbb\xbffirst line\r\n\n  second\xff line\nthird", &json!("text")).unwrap();
    let said: Vec<String> = run.rows("rows").into_iter().map(|row| row.messages[0].content.clone()).collect();
    assert_eq!(said, ["first line", "third"]);
    assert_eq!(run.metrics(["quarantined", "blank_lines", "rows"]), json!([1.0, 1.0, 2.0]));
}

#[test]
fn arrow_files_are_read_and_streams_refused() {
    use polars::prelude::*;
    let lines = br#"{"prompt":"p","completion":"c","n":3}
{"prompt":"q","completion":"d","n":null}"#;
    let mut frame = JsonReader::new(std::io::Cursor::new(lines)).with_json_format(JsonFormat::JsonLines).finish().unwrap();
    let mut bytes = Vec::new();
    IpcWriter::new(&mut bytes).finish(&mut frame).unwrap();
    let rows = ingest("a.arrow", &bytes, &json!("prompt_completion")).unwrap().rows("rows");
    assert_eq!((rows.len(), rows[1].messages[1].content.as_str(), &rows[0].meta["n"]), (2, "d", &json!(3)));
    for torn in [&bytes[..bytes.len() / 2], b"\xff\xff\xff\xff stream"] {
        let error = ingest("a.arrow", torn, &json!("prompt_completion")).err().unwrap();
        assert!(error.message.contains("a.arrow") && error.help.is_some(), "{}", error.message);
    }
}

#[test]
fn a_split_is_chosen_by_the_names_of_files() {
    assert!(names_split("data/train-00000-of-00001.parquet", "train"));
    assert!(names_split("train.jsonl.gz", "train") && names_split("my_train_file.csv", "train"));
    for other in ["data/test-00000-of-00001.parquet", "training.jsonl", "train/README.md", "train"] {
        assert!(!names_split(other, "train"), "{other}");
    }
}

#[test]
fn nothing_to_read_can_be_allowed() {
    let with = json!({"sources": [{"name": "s", "path": "a.jsonl"}], "on_empty": "warn"});
    let run = Bench::new().source("a.jsonl", b"").run::<Ingest>(with.clone()).unwrap();
    assert_eq!(run.rows("rows").len(), 0);
    assert!(Bench::new().source("a.jsonl", b"not json\n").run::<Ingest>(with).is_err());
}

#[test]
fn options_at_their_defaults_leave_no_trace_in_the_key() {
    let with = json!({"sources": [{"name": "s", "path": "a.jsonl"}]});
    let config: IngestConfig = serde_json::from_value(with).unwrap();
    let written = serde_json::to_value(&config).unwrap();
    let fields = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(fields(&written), ["sources", "max_bad_fraction", "max_record_bytes", "max_depth", "nul"]);
    assert_eq!(fields(&written["sources"][0]), ["name", "path", "format", "map", "license"]);
}
