//! Rows of CSV (RFC 4180) as records: each one a JSON object of texts, named by the first row.

use csv::{ErrorKind, ReaderBuilder, StringRecord};
use std::collections::HashSet;
use std::io::{BufRead, Read};

/// Why a CSV cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct Error {
    /// The line, from 1 on.
    pub line: u64,
    /// What is wrong there.
    pub reason: String,
}

/// The rows of a CSV.
pub struct Rows<R> {
    reader: csv::Reader<R>,
    /// The first row as JSON texts.
    names: Vec<String>,
    row: StringRecord,
    ended: bool,
}

impl<R: Read> Rows<std::io::BufReader<R>> {
    /// Reads the first row: the columns' names, which every further row has a value for.
    ///
    /// # Errors
    /// A first row that names no columns, or one of them twice.
    pub fn new(from: R) -> Result<Self, Error> {
        let mut from = std::io::BufReader::new(from);
        // Spreadsheets put a byte order mark before the first name.
        let marked = from.fill_buf().is_ok_and(|bytes| bytes.starts_with(b"\xef\xbb\xbf"));
        if marked {
            from.consume(3);
        }
        let mut reader = ReaderBuilder::new().from_reader(from);
        let first = reader.headers().map_err(|error| told(&error))?.clone();
        let wrong = |reason: String| Error { line: 1, reason };
        let mut seen = HashSet::new();
        for name in &first {
            if name.is_empty() {
                return Err(wrong("a column has no name: the first row names the columns".to_owned()));
            }
            if !seen.insert(name) {
                return Err(wrong(format!("the column `{name}` is there twice")));
            }
        }
        if first.is_empty() {
            return Err(wrong("there is no first row that names the columns".to_owned()));
        }
        let names = first.iter().map(json_text).collect();
        Ok(Rows { reader, names, row: StringRecord::new(), ended: false })
    }

    /// The line that the last row began at.
    pub fn line(&self) -> u64 {
        self.row.position().map_or(1, csv::Position::line)
    }
}

impl<R: Read> Iterator for Rows<std::io::BufReader<R>> {
    type Item = Result<Vec<u8>, Error>;

    /// The next row as a JSON object. An error is the last thing that is told.
    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.reader.read_record(&mut self.row) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => {
                self.ended = true;
                return Some(Err(told(&error)));
            }
        }
        let fields: Vec<String> = self
            .names
            .iter()
            .zip(&self.row)
            .map(|(name, value)| format!("{name}:{}", json_text(value)))
            .collect();
        Some(Ok(format!("{{{}}}", fields.join(",")).into_bytes()))
    }
}

fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn told(error: &csv::Error) -> Error {
    let line = error.position().map_or(1, csv::Position::line);
    let reason = match error.kind() {
        ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} values, and the first row names {expected_len} columns")
        }
        ErrorKind::Utf8 { err, .. } => format!("value {} is not UTF-8", err.field() + 1),
        ErrorKind::Io(error) => format!("it cannot be read: {error}"),
        _ => error.to_string(),
    };
    Error { line, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows(text: &str) -> Result<Vec<String>, Error> {
        Rows::new(text.as_bytes())?.map(|row| row.map(|row| String::from_utf8(row).unwrap())).collect()
    }

    #[test]
    fn rows_are_objects_of_texts() {
        let text = "\u{feff}a,\"b \"\"x\"\"\"\r\n1,\"two\nlines, and more\"\r\n\n ü ,\n";
        let expected = [r#"{"a":"1","b \"x\"":"two\nlines, and more"}"#, r#"{"a":" ü ","b \"x\"":""}"#];
        assert_eq!(rows(text).unwrap(), expected);
        assert_eq!(rows("a,b\n").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, line, part) in [
            ("", 1, "no first row"),
            ("a,,c\n", 1, "no name"),
            ("a,a\n", 1, "`a` is there twice"),
            ("a,b\n1,2\n3\n4,5\n", 3, "1 values, and the first row names 2"),
            ("a,b\n1,2,3\n", 2, "3 values"),
        ] {
            let error = rows(text).unwrap_err();
            assert!(error.line == line && error.reason.contains(part), "{text:?}: {error}");
        }
        let error = Rows::new(&b"a,b\n1,\xff\n"[..]).unwrap().next().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "line 2: value 2 is not UTF-8");
    }

    proptest! {
        #[test]
        fn any_bytes_are_rows_or_an_error(bytes: Vec<u8>, text in "[ab,\"\r\n]{0,40}") {
            for bytes in [&bytes[..], text.as_bytes()] {
                if let Ok(rows) = Rows::new(bytes) {
                    for row in rows.flatten() {
                        prop_assert!(serde_json::from_slice::<serde_json::Value>(&row).unwrap().is_object());
                    }
                }
            }
        }
    }
}
