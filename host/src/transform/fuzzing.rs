//! Effects made of arbitrary bytes: what a hostile guest may return. For the tests, and for the fuzzers in `fuzz/`.

#![allow(clippy::expect_used, reason = "it looks for what does not hold, and says so by a panic")]

use super::bindings::exports::gristmill::transform::transformer as guest;
use super::bindings::gristmill::transform::types as wit;
use super::check::{Checked, check_effects};
use super::plan::{self, Plan};
use crate::effect::{Cell, Effects, MessageValues, TableRows, Texts, Values};
use crate::publish::outbox;
use crate::record::{Batch, Blobs};
use crate::spec::{Limits, Spec};
use crate::store::{Origin, Work};
use crate::topic_name;
use arbitrary::{Result, Unstructured};
use std::path::Path;
use std::sync::LazyLock;

const SPEC: &str = r#"
version = 1
name = "fuzz"
[source]
topic = "in"
[[stage]]
name = "hostile"
module = "m"
[[stage]]
name = "last"
module = "m"
[[table]]
name = "t"
mode = "append"
columns = [
  { name = "text", type = "text", nullable = true }, { name = "int", type = "bigint", nullable = true },
  { name = "float", type = "double", nullable = true }, { name = "boolean", type = "boolean", nullable = true },
  { name = "bytes", type = "bytes", nullable = true }, { name = "fixed", type = "uuid", nullable = true },
  { name = "timestamp", type = "timestamptz", nullable = true }, { name = "date", type = "date", nullable = true },
  { name = "decimal", type = "numeric(10,2)", nullable = true }, { name = "json", type = "json", nullable = true },
]
[[output]]
name = "plain"
topic = "plain"
[[output]]
name = "dynamic"
topic = "out.{}"
[mail]
from = "a@example.org"
"#;

const COLUMNS: [&str; 10] =
    ["text", "int", "float", "boolean", "bytes", "fixed", "timestamp", "date", "decimal", "json"];

static SPEC_AND_PLAN: LazyLock<(Spec, Plan)> = LazyLock::new(|| {
    use guest::Kind as K;
    let kinds = [
        K::Text,
        K::Int,
        K::Float,
        K::Boolean,
        K::Bytes,
        K::Fixed,
        K::Timestamp,
        K::Date,
        K::Decimal,
        K::Json,
    ];
    let columns = COLUMNS
        .iter()
        .zip(kinds)
        .map(|(name, kind)| guest::ColumnPlan { name: (*name).to_owned(), kind, nullable: true })
        .collect();
    let output = |name: &str, dynamic| guest::OutputPlan { name: name.to_owned(), dynamic };
    let wide = guest::Plan {
        tables: vec![guest::TablePlan { name: "t".to_owned(), columns, recipe: None, needs: None }],
        outputs: vec![output("plain", false), output("dynamic", true), output("next", false)],
        lookups: Vec::new(),
        mails: true,
    };
    let spec = Spec::parse("fuzz.toml", SPEC.to_owned(), Path::new(".")).expect("the spec is right");
    let plan = plan::check(&wide, &spec, 0).expect("the plan fits");
    (spec, plan)
});

/// Makes effects of the bytes, checks them as a guest's, and looks at everything in what has passed: whatever later
/// steps take for granted must hold. Answers whether they have passed.
///
/// # Panics
/// If something does not hold: that is what the fuzzer looks for.
pub fn hostile_effects(bytes: &[u8]) -> bool {
    let mut bytes = Unstructured::new(bytes);
    let Ok((inputs, effects)) = effects(&mut bytes) else { return false };
    let (spec, plan) = &*SPEC_AND_PLAN;
    match check_effects(effects, inputs, plan, &Limits::default()) {
        Ok(checked) => {
            look_at(checked, inputs, spec);
            true
        }
        Err(reason) => {
            assert!(!reason.is_empty() && reason.len() < 5_000, "{reason}");
            false
        }
    }
}

fn look_at(checked: Checked, inputs: usize, spec: &Spec) {
    let exist = |records: &[u32]| {
        assert!(records.is_sorted() && records.last().is_none_or(|last| (*last as usize) < inputs));
    };
    checked.rows.iter().for_each(|rows| {
        exist(&rows.records);
        look_at_rows(rows);
    });
    checked.mails.iter().for_each(|mail| assert!((mail.record as usize) < inputs && !mail.to.is_empty()));
    assert!(checked.failures.windows(2).all(|pair| matches!(pair, [a, b] if a.0 < b.0)));
    assert!(
        checked.failures.iter().all(|(input, _, faults)| (*input as usize) < inputs && !faults.is_empty())
    );
    let mut expected = 0;
    for messages in &checked.messages {
        exist(&messages.records);
        expected += messages.records.len();
        if let MessageValues::Each(values) = &messages.values {
            look_at_blobs(values, messages.records.len());
        }
        if let Some(topics) = &messages.topics {
            look_at_texts(topics, messages.records.len());
        }
    }
    let mut batch = Batch::new("in", 0);
    (0..inputs).for_each(|offset| batch.push(offset as i64, 1, Some(b"k"), Some(b"v")));
    let effects = Effects { messages: checked.messages, ..Effects::default() };
    let work = Work { batch, origin: Origin::Log { next_offset: 1 }, effects, stages: Vec::new() };
    let value = outbox::encode(spec, &work, |_| true, &[]);
    let read = outbox::decode(&value).expect("what was written reads");
    assert_eq!(read.messages.len(), expected);
    assert!(read.topics.iter().all(|topic| topic_name::is_legal(&topic.name)), "{:?}", read.topics);
}

fn look_at_rows(rows: &TableRows) {
    assert_eq!(rows.columns.len(), COLUMNS.len());
    let count = rows.records.len();
    for (place, column) in rows.columns.iter().enumerate() {
        let Some(column) = column else { continue };
        match &column.values {
            Values::Text(texts) | Values::Decimal(texts) | Values::Json(texts) => look_at_texts(texts, count),
            Values::Bytes(blobs) => look_at_blobs(blobs, count),
            Values::Int(values) => assert_eq!(values.len(), count),
            Values::Float(values) => assert_eq!(values.len(), count),
            Values::Boolean(values) => assert_eq!(values.len(), count),
            Values::Timestamp(values) => assert_eq!(values.len(), count),
            Values::Date(values) => assert_eq!(values.len(), count),
            Values::Fixed { width, data } => assert_eq!(data.len(), width * count),
        }
        let nulls = (0..count).filter(|row| rows.cell(place, *row) == Cell::Null).count();
        assert_eq!(nulls, column.nulls.len(), "a value is read as NULL");
    }
}

/// Every byte belongs to one text: a text that cannot be read would come out empty.
fn look_at_texts(texts: &Texts, count: usize) {
    assert_eq!(texts.len(), count);
    assert_eq!((0..count).map(|index| texts.get(index).len()).sum::<usize>(), texts.data.len());
}

fn look_at_blobs(blobs: &Blobs, count: usize) {
    assert_eq!(blobs.len(), count);
    assert_eq!((0..count).map(|index| blobs.get(index).len()).sum::<usize>(), blobs.data.len());
}

/// How many inputs the call had, and what it returned: mostly nearly right, or every check would end at the first.
fn effects(bytes: &mut Unstructured<'_>) -> Result<(usize, wit::Effects)> {
    let inputs = bytes.int_in_range(0..=6)?;
    let effects = wit::Effects {
        rows: several(bytes, 3, |bytes| rows(bytes, inputs))?,
        messages: several(bytes, 3, |bytes| messages(bytes, inputs))?,
        mails: several(bytes, 2, |bytes| mail(bytes, inputs))?,
        failures: several(bytes, 4, |bytes| failure(bytes, inputs))?,
    };
    Ok((inputs, effects))
}

fn several<T>(
    bytes: &mut Unstructured<'_>,
    most: usize,
    mut one: impl FnMut(&mut Unstructured<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let count = bytes.int_in_range(0..=most)?;
    (0..count).map(|_| one(bytes)).collect()
}

/// Now and then.
fn wrong(bytes: &mut Unstructured<'_>) -> Result<bool> {
    bytes.ratio(1, 24)
}

fn name(bytes: &mut Unstructured<'_>, known: &[&str]) -> Result<String> {
    if wrong(bytes)? { bytes.arbitrary() } else { Ok((*bytes.choose(known)?).to_owned()) }
}

/// So many numbers below `end`, mostly ascending.
fn ascending(bytes: &mut Unstructured<'_>, count: usize, end: usize) -> Result<Vec<u32>> {
    let mut numbers = (0..count)
        .map(|_| {
            if wrong(bytes)? {
                bytes.arbitrary()
            } else {
                bytes.int_in_range(0..=end.saturating_sub(1) as u32)
            }
        })
        .collect::<Result<Vec<u32>>>()?;
    if !wrong(bytes)? {
        numbers.sort_unstable();
    }
    Ok(numbers)
}

fn sparse(bytes: &mut Unstructured<'_>, count: usize) -> Result<Vec<u32>> {
    let some = bytes.int_in_range(0..=count.min(2))?;
    let mut numbers = ascending(bytes, some, count)?;
    if !wrong(bytes)? {
        numbers.dedup();
    }
    Ok(numbers)
}

/// How many values are given for `right` of them.
fn count(bytes: &mut Unstructured<'_>, right: usize) -> Result<usize> {
    if wrong(bytes)? { bytes.int_in_range(0..=right + 2) } else { Ok(right) }
}

fn list<'b, T: arbitrary::Arbitrary<'b>>(bytes: &mut Unstructured<'b>, right: usize) -> Result<Vec<T>> {
    let count = count(bytes, right)?;
    (0..count).map(|_| bytes.arbitrary()).collect()
}

/// The ends of so many pieces of data of this length.
fn ends(bytes: &mut Unstructured<'_>, length: usize, right: usize) -> Result<Vec<u32>> {
    let count = count(bytes, right)?;
    let mut ends = ascending(bytes, count, length + 1)?;
    if let (Some(last), false) = (ends.last_mut(), wrong(bytes)?) {
        *last = length as u32;
    }
    Ok(ends)
}

fn blobs(bytes: &mut Unstructured<'_>, right: usize) -> Result<wit::BlobsResult> {
    let data: Vec<u8> = if right == 0 { Vec::new() } else { bytes.arbitrary()? };
    let ends = ends(bytes, data.len(), right)?;
    Ok(wit::BlobsResult { data, ends })
}

fn texts(bytes: &mut Unstructured<'_>, right: usize) -> Result<wit::Texts> {
    if bytes.arbitrary()? {
        return Ok(wit::Texts::Plain(list(bytes, right)?));
    }
    let data: String = if right == 0 { String::new() } else { bytes.arbitrary()? };
    let ends = ends(bytes, data.len(), right)?;
    Ok(wit::Texts::Packed(wit::PackedTexts { data, ends }))
}

fn decimals(bytes: &mut Unstructured<'_>, right: usize) -> Result<wit::Texts> {
    if wrong(bytes)? {
        return texts(bytes, right);
    }
    let number = |bytes: &mut Unstructured<'_>| {
        Ok((*bytes.choose(&["0", "-1.50", "1e3", "+7", ".5", "5.", "1e99999", "--1", "١"])?).to_owned())
    };
    Ok(wit::Texts::Plain((0..right).map(|_| number(bytes)).collect::<Result<_>>()?))
}

fn rows(bytes: &mut Unstructured<'_>, inputs: usize) -> Result<wit::Rows> {
    let rows = bytes.int_in_range(0..=if inputs == 0 { 0 } else { 5 })?;
    Ok(wit::Rows {
        table: name(bytes, &["t"])?,
        inputs: ascending(bytes, rows, inputs)?,
        columns: several(bytes, 4, |bytes| column(bytes, rows))?,
    })
}

fn column(bytes: &mut Unstructured<'_>, rows: usize) -> Result<wit::Column> {
    let name = name(bytes, &COLUMNS)?;
    let kind = if wrong(bytes)? { *bytes.choose(&COLUMNS)? } else { name.as_str() };
    let values = match kind {
        "int" => wit::ColumnValues::Int(list(bytes, rows)?),
        "float" => wit::ColumnValues::Float(list(bytes, rows)?),
        "boolean" => wit::ColumnValues::Boolean(list(bytes, rows)?),
        "bytes" => wit::ColumnValues::Bytes(blobs(bytes, rows)?),
        "fixed" => {
            let width = if wrong(bytes)? { bytes.arbitrary()? } else { 16 };
            let data = list(bytes, rows.saturating_mul(16))?;
            wit::ColumnValues::Fixed(wit::FixedValues { width, data })
        }
        "timestamp" => wit::ColumnValues::Timestamp(list(bytes, rows)?),
        "date" => wit::ColumnValues::Date(list(bytes, rows)?),
        "decimal" => wit::ColumnValues::Decimal(decimals(bytes, rows)?),
        "json" => wit::ColumnValues::Json(texts(bytes, rows)?),
        _ => wit::ColumnValues::Text(texts(bytes, rows)?),
    };
    Ok(wit::Column { name, values, nulls: sparse(bytes, rows)? })
}

fn messages(bytes: &mut Unstructured<'_>, inputs: usize) -> Result<wit::Messages> {
    let count = bytes.int_in_range(0..=if inputs == 0 { 0 } else { 4 })?;
    let output = name(bytes, &["plain", "dynamic", "next"])?;
    let dynamic = (output == "dynamic") != wrong(bytes)?;
    Ok(wit::Messages {
        inputs: ascending(bytes, count, inputs)?,
        topics: if dynamic { Some(texts(bytes, count)?) } else { None },
        keys: if bytes.arbitrary()? { Some(blobs(bytes, count)?) } else { None },
        no_key: sparse(bytes, count)?,
        values: if bytes.arbitrary()? {
            wit::MessageValues::Same
        } else {
            wit::MessageValues::Each(blobs(bytes, count)?)
        },
        no_value: sparse(bytes, count)?,
        headers: headers(bytes, count)?,
        output,
    })
}

fn headers(bytes: &mut Unstructured<'_>, count: usize) -> Result<Vec<wit::HeaderResult>> {
    let some = bytes.int_in_range(0..=count.min(3))?;
    let header = |bytes: &mut Unstructured<'_>, index| {
        Ok(wit::HeaderResult { index, name: bytes.arbitrary()?, value: bytes.arbitrary()? })
    };
    ascending(bytes, some, count)?.into_iter().map(|index| header(bytes, index)).collect()
}

fn mail(bytes: &mut Unstructured<'_>, inputs: usize) -> Result<wit::Mail> {
    let to = |bytes: &mut Unstructured<'_>| name(bytes, &["a@example.org", "Ann <ann@example.org>"]);
    Ok(wit::Mail {
        input: ascending(bytes, 1, inputs)?.first().copied().unwrap_or(0),
        to: several(bytes, 3, to)?,
        subject: bytes.arbitrary()?,
        text: bytes.arbitrary()?,
        html: bytes.arbitrary()?,
    })
}

fn failure(bytes: &mut Unstructured<'_>, inputs: usize) -> Result<wit::Failure> {
    Ok(wit::Failure {
        input: ascending(bytes, 1, inputs)?.first().copied().unwrap_or(0),
        verdict: if bytes.arbitrary()? { wit::Verdict::Reject } else { wit::Verdict::Retry },
        code: name(bytes, &["bad-date", "x"])?,
        pointer: bytes.arbitrary()?,
        reason: bytes.arbitrary()?,
    })
}

#[cfg(test)]
mod tests {
    use super::hostile_effects;
    use proptest::prelude::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    static CALLS: AtomicUsize = AtomicUsize::new(0);
    static PASSED: AtomicUsize = AtomicUsize::new(0);

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        fn any_effects(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            CALLS.fetch_add(1, Ordering::Relaxed);
            PASSED.fetch_add(usize::from(hostile_effects(&bytes)), Ordering::Relaxed);
        }
    }

    /// `PROPTEST_CASES` says how many; the fuzzers in `fuzz/` run for longer.
    #[test]
    fn no_effects_break_what_comes_after_them() {
        any_effects();
        let (calls, passed) = (CALLS.load(Ordering::Relaxed), PASSED.load(Ordering::Relaxed));
        assert!(passed * 20 > calls && passed * 20 < calls * 19, "{passed} of {calls} have passed");
    }
}
