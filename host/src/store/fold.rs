//! Rows of one batch with the same key, folded into one before the database sees them: PostgreSQL refuses to touch a
//! row twice in one statement, and one statement per table is what makes a batch fast. Rows come out sorted by key,
//! so that lanes that write the same rows wait for each other instead of locking each other out.

use super::Refusal;
use super::decimal;
use super::rows::Rows;
use super::value::uuid;
use crate::effect::{Cell, ColumnData, Texts, Values};
use crate::record::Blobs;
use crate::spec::{ColumnType, Mode};
use bigdecimal::BigDecimal;
use std::cmp::Ordering;

/// Rows by key: keys ascending, rows of one key in the order of their records.
pub struct Runs {
    /// The rows' places, those of one key side by side.
    places: Vec<usize>,
    /// Where each key's places end.
    ends: Vec<usize>,
}

impl Runs {
    /// The places of each key; at least one.
    pub fn iter(&self) -> impl Iterator<Item = &[usize]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).filter_map(|(start, end)| self.places.get(start..*end))
    }

    /// Whether no two rows have the same key.
    fn are_single(&self) -> bool {
        self.ends.len() == self.places.len()
    }
}

/// The rows' places by key.
pub fn runs(rows: &Rows<'_>, columns: &[usize]) -> Runs {
    let mut keys = Blobs::default();
    for place in 0..rows.len() {
        push_key(&mut keys.data, rows, columns, place);
        keys.ends.push(u32::try_from(keys.data.len()).unwrap_or(u32::MAX));
    }
    let mut places: Vec<usize> = (0..rows.len()).collect();
    // Stable: rows of one key keep their order.
    places.sort_by(|a, b| keys.get(*a).cmp(keys.get(*b)));
    let mut ends = Vec::with_capacity(places.len());
    for run in places.chunk_by(|a, b| keys.get(*a) == keys.get(*b)) {
        ends.push(ends.last().copied().unwrap_or(0) + run.len());
    }
    Runs { places, ends }
}

/// A row's key as bytes: equal where the database's values are equal.
pub fn key(rows: &Rows<'_>, columns: &[usize], place: usize) -> Vec<u8> {
    let mut key = Vec::with_capacity(16 * columns.len());
    push_key(&mut key, rows, columns, place);
    key
}

fn push_key(key: &mut Vec<u8>, rows: &Rows<'_>, columns: &[usize], place: usize) {
    for &column in columns {
        push(key, rows.ty(column), rows.cell(column, place));
    }
}

fn push(key: &mut Vec<u8>, ty: ColumnType, cell: Cell<'_>) {
    match (ty, cell) {
        (_, Cell::Null) => key.push(0),
        (ColumnType::Uuid, cell) => key.extend(uuid(cell).unwrap_or_default()),
        (ColumnType::Numeric(size), Cell::Decimal(text)) => match decimal::fit(text, size) {
            Ok(number) => push_bytes(key, number.normalized().to_plain_string().as_bytes()),
            Err(_) => push_bytes(key, text.as_bytes()),
        },
        (_, Cell::Text(text) | Cell::Decimal(text) | Cell::Json(text)) => push_bytes(key, text.as_bytes()),
        (_, Cell::Bytes(bytes)) => push_bytes(key, bytes),
        (_, Cell::Int(value) | Cell::Timestamp(value)) => key.extend((value ^ i64::MIN).to_be_bytes()),
        (_, Cell::Date(days)) => key.extend((days ^ i32::MIN).to_be_bytes()),
        (_, Cell::Boolean(value)) => key.push(u8::from(value)),
        (_, Cell::Float(value)) => key.extend(value.to_be_bytes()),
    }
}

/// Bytes that end where no longer ones go on: ("a", "bc") and ("ab", "c") stay apart.
fn push_bytes(key: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.contains(&0) {
        for &byte in bytes {
            key.push(byte);
            if byte == 0 {
                key.push(0xff);
            }
        }
    } else {
        key.extend_from_slice(bytes);
    }
    key.extend([0, 0]);
}

/// Folds the rows as the table's mode wants it. `append` and `satellite` have rules of their own, `once` is decided in
/// [`super::once`].
pub fn fold<'a>(rows: &Rows<'a>) -> Result<Rows<'a>, Refusal> {
    let runs = runs(rows, &rows.table.key);
    match &rows.table.mode {
        Mode::FirstWins | Mode::Once { .. } => {
            Ok(rows.subset(runs.iter().filter_map(|run| run.first().copied())))
        }
        Mode::NewestWins { by } => Ok(rows.subset(runs.iter().filter_map(|run| newest(rows, *by, run)))),
        Mode::Sum { columns, .. } => sum(rows, columns, &runs),
        Mode::LastWins | Mode::Append | Mode::Satellite { .. } => {
            Ok(rows.subset(runs.iter().filter_map(|run| run.last().copied())))
        }
    }
}

/// The row with the greatest value; of equal ones the first.
fn newest(rows: &Rows<'_>, by: usize, run: &[usize]) -> Option<usize> {
    let mut places = run.iter().copied();
    let first = places.next()?;
    let ty = rows.ty(by);
    Some(places.fold(first, |best, place| {
        let newer = compare(ty, rows.cell(by, place), rows.cell(by, best)) == Ordering::Greater;
        if newer { place } else { best }
    }))
}

/// Orders two values of one column as both databases do, once they stand in it; NULL is older than anything.
pub fn compare(ty: ColumnType, a: Cell<'_>, b: Cell<'_>) -> Ordering {
    match (a, b) {
        (Cell::Null, Cell::Null) => Ordering::Equal,
        (Cell::Null, _) => Ordering::Less,
        (_, Cell::Null) => Ordering::Greater,
        (Cell::Decimal(a), Cell::Decimal(b)) => {
            match (decimal::in_column(ty, a), decimal::in_column(ty, b)) {
                (Some(a), Some(b)) => a.cmp(&b),
                _ => Ordering::Equal,
            }
        }
        (Cell::Text(a), Cell::Text(b)) | (Cell::Json(a), Cell::Json(b)) => a.cmp(b),
        (Cell::Int(a), Cell::Int(b)) | (Cell::Timestamp(a), Cell::Timestamp(b)) => a.cmp(&b),
        (Cell::Date(a), Cell::Date(b)) => a.cmp(&b),
        (Cell::Float(a), Cell::Float(b)) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
        (Cell::Boolean(a), Cell::Boolean(b)) => a.cmp(&b),
        (Cell::Bytes(a), Cell::Bytes(b)) => a.cmp(b),
        _ => Ordering::Equal,
    }
}

fn sum<'a>(rows: &Rows<'a>, columns: &[usize], runs: &Runs) -> Result<Rows<'a>, Refusal> {
    let last = rows.subset(runs.iter().filter_map(|run| run.last().copied()));
    if runs.are_single() {
        return Ok(last);
    }
    let mut computed = Vec::new();
    for &column in columns {
        let totals: Result<Vec<Total>, Refusal> = runs
            .iter()
            .map(|run| total(rows, column, run.iter().map(|place| rows.cell(column, *place))))
            .collect();
        computed.push((column, column_of(rows, column, totals?)));
    }
    Ok(last.with_computed(computed))
}

/// A sum.
#[derive(Clone, Debug, PartialEq)]
pub enum Total {
    Null,
    Int(i64),
    Float(f64),
    Decimal(BigDecimal),
}

/// Adds values of one column up, exactly, each as it would stand in the column: what comes out is the same however
/// the rows are spread over batches. NULL makes NULL, as in SQL.
pub fn total<'c>(
    rows: &Rows<'_>,
    column: usize,
    mut cells: impl Iterator<Item = Cell<'c>>,
) -> Result<Total, Refusal> {
    let ty = rows.ty(column);
    let first = cells.next().map_or(Total::Null, |cell| of_cell(ty, cell));
    cells.try_fold(first, |sum, cell| add(rows, column, sum, of_cell(ty, cell)))
}

fn of_cell(ty: ColumnType, cell: Cell<'_>) -> Total {
    match cell {
        Cell::Int(value) => Total::Int(value),
        Cell::Float(value) => Total::Float(value),
        Cell::Decimal(text) => decimal::in_column(ty, text).map_or(Total::Null, Total::Decimal),
        _ => Total::Null,
    }
}

/// Adds two sums; what does not fit the column is a refusal.
pub fn add(rows: &Rows<'_>, column: usize, a: Total, b: Total) -> Result<Total, Refusal> {
    let sum = match (a, b) {
        (Total::Int(a), Total::Int(b)) => a.checked_add(b).map(Total::Int),
        (Total::Float(a), Total::Float(b)) => Some(a + b).filter(|sum| sum.is_finite()).map(Total::Float),
        (Total::Decimal(a), Total::Decimal(b)) => Some(Total::Decimal(a + b)),
        _ => Some(Total::Null),
    };
    let ty = rows.table.columns.get(column).map(|column| column.ty);
    let fits = |sum: &Total| match (ty, sum) {
        (Some(ColumnType::Smallint), Total::Int(value)) => i16::try_from(*value).is_ok(),
        (Some(ColumnType::Integer), Total::Int(value)) => i32::try_from(*value).is_ok(),
        (Some(ColumnType::Numeric(size)), Total::Decimal(value)) => {
            decimal::resize(value.clone(), size).is_ok()
        }
        _ => true,
    };
    sum.filter(fits).ok_or_else(|| Refusal {
        table: rows.table.name.clone(),
        sqlstate: "22003".to_owned(),
        constraint: None,
        column: rows.table.columns.get(column).map(|column| column.name.clone()),
        message: "the sum is out of the column's range".to_owned(),
    })
}

/// A column of sums.
pub fn column_of(rows: &Rows<'_>, column: usize, totals: Vec<Total>) -> ColumnData {
    let ty = rows.table.columns.get(column).map(|column| column.ty);
    let null = |(place, total): (usize, &Total)| {
        (*total == Total::Null).then(|| u32::try_from(place).unwrap_or(u32::MAX))
    };
    let nulls = totals.iter().enumerate().filter_map(null).collect();
    let values = match ty {
        Some(ColumnType::Double) => Values::Float(
            totals.iter().map(|total| if let Total::Float(value) = total { *value } else { 0.0 }).collect(),
        ),
        Some(ColumnType::Numeric(_)) => {
            let mut texts = Texts::default();
            for total in &totals {
                let shown =
                    if let Total::Decimal(value) = total { decimal::text(value) } else { "0".to_owned() };
                texts.push(&shown);
            }
            Values::Decimal(texts)
        }
        _ => Values::Int(
            totals.iter().map(|total| if let Total::Int(value) = total { *value } else { 0 }).collect(),
        ),
    };
    ColumnData { values, nulls }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::TableRows;
    use crate::spec::{Column, Table};

    fn table(ty: ColumnType, mode: Mode) -> Table {
        let column = |name: &str, ty| Column { name: name.into(), ty, nullable: false };
        let columns = vec![column("k", ColumnType::Text), column("v", ty)];
        Table { name: "t".into(), columns, key: vec![0], mode, create: true, initial: Vec::new() }
    }

    fn piece(keys: &[&str], values: Values) -> TableRows {
        let mut texts = Texts::default();
        keys.iter().for_each(|key| texts.push(key));
        let records = (0..keys.len() as u32).collect();
        let columns = [Values::Text(texts), values].map(|values| Some(ColumnData { values, nulls: vec![] }));
        TableRows { table: 0, records, columns: columns.into() }
    }

    fn decimals(numbers: &[&str]) -> Values {
        let mut texts = Texts::default();
        numbers.iter().for_each(|number| texts.push(number));
        Values::Decimal(texts)
    }

    fn folded(table: &Table, piece: &TableRows) -> Result<Vec<String>, Refusal> {
        let rows = fold(&Rows::all(table, piece))?;
        Ok((0..rows.len()).map(|place| format!("{:?}", rows.cell(1, place))).collect())
    }

    #[test]
    fn each_mode_keeps_its_row_of_a_key_sorted_by_key() {
        let rows = piece(&["b", "a", "b", "b"], Values::Int(vec![2, 9, 3, 3]));
        let check = |mode, expected: [&str; 2]| {
            assert_eq!(folded(&table(ColumnType::Integer, mode), &rows).unwrap(), expected);
        };
        check(Mode::FirstWins, ["Int(9)", "Int(2)"]);
        check(Mode::LastWins, ["Int(9)", "Int(3)"]);
        check(Mode::NewestWins { by: 1 }, ["Int(9)", "Int(3)"]);
        check(Mode::Sum { columns: vec![1], counted: None }, ["Int(9)", "Int(8)"]);
    }

    #[test]
    fn of_equally_new_rows_the_first_stays_and_decimals_compare_by_value() {
        let rows = piece(&["a", "a", "a"], decimals(&["9", "10", "10.0"]));
        let newest = |size, rows| folded(&table(ColumnType::Numeric(size), Mode::NewestWins { by: 1 }), rows);
        assert_eq!(newest(None, &rows).unwrap(), [r#"Decimal("10")"#]);
        let cents = piece(&["a", "a", "a"], decimals(&["9.991", "9.994", "9.98"]));
        assert_eq!(newest(None, &cents).unwrap(), [r#"Decimal("9.994")"#]);
        assert_eq!(newest(Some((5, 2)), &cents).unwrap(), [r#"Decimal("9.991")"#]);
    }

    #[test]
    fn sums_are_of_the_values_as_they_stand_in_the_column() {
        let sum = table(ColumnType::Numeric(Some((5, 2))), Mode::Sum { columns: vec![1], counted: None });
        let halves = piece(&["a"; 3], decimals(&["0.005", "0.005", "1"]));
        assert_eq!(folded(&sum, &halves).unwrap(), [r#"Decimal("1.02")"#]);
    }

    #[test]
    fn sums_are_exact_and_refuse_to_overflow() {
        let sum = || Mode::Sum { columns: vec![1], counted: None };
        let tenths = piece(&["a"; 3], decimals(&["0.1", "0.2", "100000000000000000000000"]));
        assert_eq!(
            folded(&table(ColumnType::Numeric(None), sum()), &tenths).unwrap(),
            [r#"Decimal("100000000000000000000000.3")"#]
        );
        let much = piece(&["a", "a"], Values::Int(vec![i64::MAX, 1]));
        assert_eq!(folded(&table(ColumnType::Bigint, sum()), &much).unwrap_err().sqlstate, "22003");
        let small = piece(&["a", "a"], Values::Int(vec![30_000, 30_000]));
        assert_eq!(folded(&table(ColumnType::Smallint, sum()), &small).unwrap_err().sqlstate, "22003");
    }

    #[test]
    fn keys_of_several_columns_do_not_run_into_each_other() {
        let mut two = table(ColumnType::Text, Mode::LastWins);
        two.key = vec![0, 1];
        let mut values = Texts::default();
        ["bc", "c", "\0c"].iter().for_each(|value| values.push(value));
        let rows = piece(&["a", "ab", "a"], Values::Text(values));
        assert_eq!(runs(&Rows::all(&two, &rows), &two.key).iter().count(), 3);
    }
}
