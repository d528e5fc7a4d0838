//! Rows of Parquet files, and of any table, through polars: a slice of rows at a time.

use std::{fs::File, path::Path};

use flow_engine::StageError;
use polars::prelude::{AnyValue, DataFrame, ParquetReader, SerReader};
use serde_json::{Map, Number, Value};

use super::{
    lines::Position,
    reject::Reject,
    source::{Entries, Entry},
};

/// Rows decoded at once.
const SLICE: usize = 16_384;

/// Opens a file; its metadata is read now, its rows as they are asked for.
pub(super) fn open<'a>(path: &'a Path, name: &'a str) -> Result<Entries<'a>, StageError> {
    let unreadable = move |error: polars::error::PolarsError| {
        StageError::input(format!("cannot read {name} as Parquet"))
            .because(&error)
            .help("the file may be torn; get it again, or set `format:`")
    };
    let rows = ParquetReader::new(File::open(path)?).num_rows().map_err(unreadable)?;
    let slices = (0..rows).step_by(SLICE).map(move |start| {
        let reader = ParquetReader::new(File::open(path)?).with_slice(Some((start, SLICE)));
        Ok((start, reader.finish().map_err(unreadable)?))
    });
    Ok(Box::new(slices.flat_map(|slice: Result<(usize, DataFrame), StageError>| match slice {
        Ok((start, frame)) => Box::new(entries(start, frame)) as Entries<'a>,
        Err(error) => Box::new(std::iter::once(Err(error))),
    })))
}

pub(super) fn entries<'a>(start: usize, frame: DataFrame) -> impl Iterator<Item = Result<Entry, StageError>> + 'a {
    (0..frame.height()).map(move |row| {
        let position = Position { line: (start + row + 1) as u64, offset: (start + row) as u64 };
        Ok(Entry::Row { position, parsed: fields(&frame, row) })
    })
}

fn fields(frame: &DataFrame, row: usize) -> Result<Map<String, Value>, Reject> {
    frame
        .columns()
        .iter()
        .map(|column| {
            let value = column.get(row).map_err(|_| Reject::WrongColumns(column.name().to_string()))?;
            Ok((column.name().to_string(), json(value)?))
        })
        .collect()
}

fn json(value: AnyValue<'_>) -> Result<Value, Reject> {
    Ok(match value {
        AnyValue::Null => Value::Null,
        AnyValue::Boolean(value) => value.into(),
        AnyValue::String(text) => text.into(),
        AnyValue::StringOwned(text) => text.as_str().into(),
        AnyValue::UInt8(n) => n.into(),
        AnyValue::UInt16(n) => n.into(),
        AnyValue::UInt32(n) => n.into(),
        AnyValue::UInt64(n) => n.into(),
        AnyValue::Int8(n) => n.into(),
        AnyValue::Int16(n) => n.into(),
        AnyValue::Int32(n) => n.into(),
        AnyValue::Int64(n) => n.into(),
        AnyValue::Float32(n) => float(n.into())?,
        AnyValue::Float64(n) => float(n)?,
        AnyValue::List(items) => items.iter().map(json).collect::<Result<_, _>>()?,
        value @ AnyValue::Struct(..) => return json(value.into_static()),
        AnyValue::StructOwned(parts) => {
            let (values, fields) = *parts;
            let named = fields.iter().zip(values).map(|(field, value)| Ok((field.name().to_string(), json(value)?)));
            Value::Object(named.collect::<Result<_, _>>()?)
        }
        // Dates, times, decimals, and wide integers keep their written form.
        other => other.to_string().into(),
    })
}

fn float(value: f64) -> Result<Value, Reject> {
    Number::from_f64(value).map(Value::Number).ok_or(Reject::NonFinite)
}
