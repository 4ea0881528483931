//! Parquet, a row a site; the columns are those of csv, what else there is to say is the metadata `heapray`.

use super::remarks;
use super::rows::{NUMBERS, Row, TEXTS, rows};
use heapray_query::answer::StackProfile;
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use std::sync::Arc;

/// The library refused to write.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the parquet file: {0}")]
pub struct ParquetError(#[from] parquet::errors::ParquetError);

/// The bytes of the file.
///
/// # Errors
/// The library's own.
pub fn parquet(profile: &StackProfile) -> Result<Vec<u8>, ParquetError> {
    let rows = rows(profile);
    let texts = TEXTS.iter().map(|name| format!("REQUIRED BYTE_ARRAY {name} (STRING);"));
    let numbers = NUMBERS.iter().map(|name| format!("REQUIRED INT64 {name};"));
    let columns: String = texts.chain(numbers).collect();
    let schema = Arc::new(parse_message_type(&format!("message heapray {{ {columns} }}"))?);
    let remarks = KeyValue::new("heapray".to_owned(), remarks(profile).join("\n"));
    let properties = WriterProperties::builder()
        .set_created_by("heapray".to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_key_value_metadata(Some(vec![remarks]))
        .build();
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    let mut at = 0;
    while let Some(mut column) = group.next_column()? {
        match at {
            text if text < TEXTS.len() => {
                let values: Vec<ByteArray> =
                    rows.iter().map(|row: &Row| ByteArray::from(row.texts[text].as_str())).collect();
                column.typed::<ByteArrayType>().write_batch(&values, None, None)?;
            }
            number => {
                let values: Vec<i64> = rows.iter().map(|row| row.numbers[number - TEXTS.len()]).collect();
                column.typed::<Int64Type>().write_batch(&values, None, None)?;
            }
        }
        column.close()?;
        at += 1;
    }
    group.close()?;
    writer.close()?;
    Ok(bytes)
}
