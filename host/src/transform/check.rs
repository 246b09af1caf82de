//! From what a guest returned to effects that the host can rely on. Everything is checked: counts, ends, order,
//! indices, kinds, names. One thing wrong makes the whole call garbage: the record that causes it is found by
//! halving the batch, so that nothing needs to be guessed here.

use super::bindings::gristmill::transform::types as wit;
use super::ended::bounded;
use super::plan::{Kind, Next, Plan, TablePlan};
use crate::effect::{ColumnData, Fault, Mail, MessageValues, Messages, TableRows, Texts, Values, Verdict};
use crate::record::{Blobs, Header};
use crate::spec::{Limits, NEXT};

/// Faults of one record that are kept; the others are only counted.
const FAULTS_MAX: usize = 100;
/// Recipients of one mail.
const RECIPIENTS_MAX: usize = 100;

/// The effects of one call, checked. Records are inputs of the call.
#[derive(Debug, Default)]
pub struct Checked {
    /// Rows by table.
    pub rows: Vec<TableRows>,
    /// Messages to the spec's outputs.
    pub messages: Vec<Messages>,
    /// What feeds the next stage (`output` has no meaning here).
    pub next: Vec<Messages>,
    /// Mails.
    pub mails: Vec<Mail>,
    /// Refused inputs, each with its verdict and faults; ascending, one entry per input.
    pub failures: Vec<(u32, Verdict, Vec<Fault>)>,
}

type Check<T> = Result<T, String>;

/// Checks what a call with `inputs` records returned.
pub(super) fn check_effects(
    effects: wit::Effects,
    inputs: usize,
    plan: &Plan,
    limits: &Limits,
) -> Check<Checked> {
    let mut checked = Checked::default();
    let mut rows_total = 0_usize;
    for rows in effects.rows {
        rows_total += rows.inputs.len();
        if rows_total > limits.effects_rows_max as usize {
            return Err(format!("more than {} rows (limits.effects_rows_max)", limits.effects_rows_max));
        }
        checked.rows.push(check_rows(rows, inputs, plan)?);
    }
    for messages in effects.messages {
        if messages.output == NEXT {
            match plan.next {
                Next::Stage => checked.next.push(check_messages(messages, inputs, usize::MAX, false)?),
                Next::Output(output) => {
                    checked.messages.push(check_messages(messages, inputs, output, false)?)
                }
                Next::Nowhere => {
                    return Err("messages to `next`, which its plan does not name".to_owned());
                }
            }
        } else {
            let Some(&(output, dynamic)) = plan.outputs.get(&messages.output) else {
                return Err(format!(
                    "messages to output `{}`, which its plan does not name",
                    name(&messages.output)
                ));
            };
            checked.messages.push(check_messages(messages, inputs, output, dynamic)?);
        }
    }
    for mail in effects.mails {
        checked.mails.push(check_mail(mail, inputs, plan)?);
    }
    check_failures(effects.failures, inputs, &mut checked)?;
    Ok(checked)
}

/// A name that a guest made up, safe to be shown.
fn name(name: &str) -> String {
    bounded(&name.escape_debug().to_string())
}

fn check_rows(rows: wit::Rows, inputs: usize, plan: &Plan) -> Check<TableRows> {
    let Some(table) = plan.tables.get(&rows.table) else {
        return Err(format!("rows for table `{}`, which its plan does not name", name(&rows.table)));
    };
    let place = || format!("table `{}`", rows.table);
    check_inputs(&rows.inputs, inputs).map_err(|fault| format!("{}: {fault}", place()))?;
    let mut columns: Vec<Option<ColumnData>> = Vec::new();
    columns.resize_with(table.width, || None);
    for column in rows.columns {
        let at = format!("{} column `{}`", place(), name(&column.name));
        let (index, data) =
            check_column(column, rows.inputs.len(), table).map_err(|fault| format!("{at}: {fault}"))?;
        match columns.get_mut(index) {
            Some(slot @ None) => *slot = Some(data),
            _ => return Err(format!("{at}: it stands there twice")),
        }
    }
    Ok(TableRows { table: table.table, records: rows.inputs, columns })
}

/// Inputs must ascend (equal ones may follow each other) and exist.
fn check_inputs(indices: &[u32], inputs: usize) -> Check<()> {
    if !indices.is_sorted() {
        return Err("its inputs do not ascend".to_owned());
    }
    match indices.last() {
        Some(&last) if last as usize >= inputs => Err(format!("input {last} of a batch of {inputs}")),
        _ => Ok(()),
    }
}

/// Sparse indices must ascend strictly and be below `count`.
fn check_sparse(what: &str, indices: &[u32], count: usize) -> Check<()> {
    let ascend = indices.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
    let exist = indices.last().is_none_or(|&last| (last as usize) < count);
    if ascend && exist {
        Ok(())
    } else {
        Err(format!("its list of {what} does not ascend or goes beyond {count}"))
    }
}

fn check_count(found: usize, expected: usize) -> Check<()> {
    if found == expected { Ok(()) } else { Err(format!("{found} values for {expected}")) }
}

fn check_column(column: wit::Column, rows: usize, table: &TablePlan) -> Check<(usize, ColumnData)> {
    let Some(&(index, kind)) = table.columns.get(&column.name) else {
        return Err("its plan does not name it".to_owned());
    };
    check_sparse("NULLs", &column.nulls, rows)?;
    let values = check_values(column.values, rows, kind)?;
    if let Values::Decimal(texts) = &values {
        for row in (0..rows).filter(|row| crate::record::present(&column.nulls, *row)) {
            if !is_decimal(texts.get(row)) {
                return Err(format!("row {row} is not a decimal number"));
            }
        }
    }
    Ok((index, ColumnData { values, nulls: column.nulls }))
}

fn check_values(values: wit::ColumnValues, rows: usize, kind: Kind) -> Check<Values> {
    use wit::ColumnValues as V;
    let fixed = |found: usize| check_count(found, rows);
    Ok(match (values, kind) {
        (V::Text(texts), Kind::Text) => Values::Text(check_texts(texts, rows)?),
        (V::Decimal(texts), Kind::Decimal) => Values::Decimal(check_texts(texts, rows)?),
        (V::Json(texts), Kind::Json) => Values::Json(check_texts(texts, rows)?),
        (V::Int(values), Kind::Int) => fixed(values.len()).map(|()| Values::Int(values))?,
        (V::Float(values), Kind::Float) => fixed(values.len()).map(|()| Values::Float(values))?,
        (V::Boolean(values), Kind::Boolean) => fixed(values.len()).map(|()| Values::Boolean(values))?,
        (V::Timestamp(values), Kind::Timestamp) => fixed(values.len()).map(|()| Values::Timestamp(values))?,
        (V::Date(values), Kind::Date) => fixed(values.len()).map(|()| Values::Date(values))?,
        (V::Bytes(blobs), Kind::Bytes) => Values::Bytes(check_blobs(blobs, rows)?),
        (V::Fixed(values), Kind::Fixed(expected)) => {
            let width = values.width as usize;
            if width == 0 || width > 1024 || expected.is_some_and(|expected| expected != values.width) {
                return Err(format!("values {width} bytes wide"));
            }
            check_count(values.data.len(), rows.saturating_mul(width))?;
            Values::Fixed { width, data: values.data }
        }
        _ => return Err("values of another kind than planned".to_owned()),
    })
}

/// Ends must ascend and the last one be the length of the data.
fn check_ends(ends: &[u32], length: usize, count: usize) -> Check<()> {
    check_count(ends.len(), count)?;
    let last = ends.last().copied().unwrap_or(0) as usize;
    if ends.is_sorted() && last == length {
        Ok(())
    } else {
        Err("its ends do not ascend to its length".to_owned())
    }
}

fn check_blobs(blobs: wit::BlobsResult, count: usize) -> Check<Blobs> {
    check_ends(&blobs.ends, blobs.data.len(), count)?;
    Ok(Blobs { data: blobs.data, ends: blobs.ends })
}

fn check_texts(texts: wit::Texts, count: usize) -> Check<Texts> {
    match texts {
        wit::Texts::Plain(list) => {
            check_count(list.len(), count)?;
            let mut packed = Texts::default();
            list.iter().for_each(|text| packed.push(text));
            Ok(packed)
        }
        wit::Texts::Packed(packed) => {
            check_ends(&packed.ends, packed.data.len(), count)?;
            if packed.ends.iter().all(|&end| packed.data.is_char_boundary(end as usize)) {
                Ok(Texts { data: packed.data, ends: packed.ends })
            } else {
                Err("one of its ends lies inside a character".to_owned())
            }
        }
    }
}

/// Optional sign, digits, optional fraction, optional exponent: what both databases read.
fn is_decimal(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    text.len() <= 1_000
        && digits(whole)
        && digits(fraction)
        && exponent.is_none_or(|e| digits(e) && e.len() <= 4)
}

fn check_messages(messages: wit::Messages, inputs: usize, output: usize, dynamic: bool) -> Check<Messages> {
    let at = format!("output `{}`", name(&messages.output));
    let count = messages.inputs.len();
    let check = || -> Check<Messages> {
        check_inputs(&messages.inputs, inputs)?;
        check_sparse("messages without key", &messages.no_key, count)?;
        check_sparse("messages without value", &messages.no_value, count)?;
        if dynamic != messages.topics.is_some() {
            return Err("its topics are not as planned".to_owned());
        }
        let headers_known = messages.headers.last().is_none_or(|header| (header.index as usize) < count);
        if !headers_known || !messages.headers.is_sorted_by_key(|header| header.index) {
            return Err("its headers do not ascend or go beyond its messages".to_owned());
        }
        Ok(Messages {
            output,
            records: messages.inputs,
            topics: messages.topics.map(|topics| check_texts(topics, count)).transpose()?,
            keys: messages.keys.map(|keys| check_blobs(keys, count)).transpose()?,
            no_key: messages.no_key,
            values: match messages.values {
                wit::MessageValues::Same => MessageValues::Same,
                wit::MessageValues::Each(blobs) => MessageValues::Each(check_blobs(blobs, count)?),
            },
            no_value: messages.no_value,
            headers: messages
                .headers
                .into_iter()
                .map(|header| Header { index: header.index, name: header.name, value: header.value })
                .collect(),
        })
    };
    check().map_err(|fault| format!("{at}: {fault}"))
}

fn check_mail(mail: wit::Mail, inputs: usize, plan: &Plan) -> Check<Mail> {
    if !plan.mails {
        return Err("a mail, which its plan does not name".to_owned());
    }
    check_inputs(&[mail.input], inputs)?;
    if !(1..=RECIPIENTS_MAX).contains(&mail.to.len()) {
        return Err(format!("a mail to {} recipients; 1 to {RECIPIENTS_MAX} are allowed", mail.to.len()));
    }
    if let Some(address) = mail.to.iter().find(|address| address.parse::<lettre::message::Mailbox>().is_err())
    {
        return Err(format!("a mail to `{}`, which is not an address", name(address)));
    }
    Ok(Mail { record: mail.input, to: mail.to, subject: mail.subject, text: mail.text, html: mail.html })
}

fn check_failures(failures: Vec<wit::Failure>, inputs: usize, checked: &mut Checked) -> Check<()> {
    let mut by_input: std::collections::BTreeMap<u32, (Verdict, Vec<Fault>)> =
        std::collections::BTreeMap::new();
    for failure in failures {
        check_inputs(&[failure.input], inputs).map_err(|fault| format!("a failure: {fault}"))?;
        let code_legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if !(1..=64).contains(&failure.code.len()) || !failure.code.bytes().all(code_legal) {
            let message = "which is not 1 to 64 letters, digits and hyphens";
            return Err(format!("a failure with the code `{}`, {message}", name(&failure.code)));
        }
        let verdict = match failure.verdict {
            wit::Verdict::Reject => Verdict::Reject,
            wit::Verdict::Retry => Verdict::Retry,
        };
        let (worst, faults) = by_input.entry(failure.input).or_insert((Verdict::Retry, Vec::new()));
        *worst = verdict.max(*worst);
        if faults.len() < FAULTS_MAX {
            let pointer = failure.pointer.map(|pointer| bounded(&pointer));
            faults.push(Fault { code: failure.code, pointer, reason: bounded(&failure.reason) });
        }
    }
    checked.failures =
        by_input.into_iter().map(|(input, (verdict, faults))| (input, verdict, faults)).collect();
    Ok(())
}
