//! The contract's types from one side to the other: the SDK and the host each have their own, made from the same
//! `wit/`. Nothing is copied but the batch, as it is copied into a guest's memory.

use gristmill::record::{Batch, Blobs};
use gristmill::transform::native::contract as host;
use gristmill_sdk::bindings::gristmill::transform::types as sdk;

/// A batch without records.
pub(crate) fn empty_batch() -> sdk::Batch {
    let blobs = || sdk::Blobs { data: Vec::new(), ends: Vec::new() };
    sdk::Batch {
        topic: String::new(),
        partition: 0,
        offsets: Vec::new(),
        timestamps_ms: Vec::new(),
        keys: blobs(),
        no_key: Vec::new(),
        values: blobs(),
        no_value: Vec::new(),
        headers: Vec::new(),
    }
}

/// Fills a batch, into the memory that it has.
pub(crate) fn fill(batch: &mut sdk::Batch, from: &Batch) {
    batch.topic.clone_from(&from.topic);
    batch.partition = from.partition;
    batch.offsets.clone_from(&from.offsets);
    batch.timestamps_ms.clone_from(&from.timestamps_ms);
    fill_blobs(&mut batch.keys, &from.keys);
    batch.no_key.clone_from(&from.no_key);
    fill_blobs(&mut batch.values, &from.values);
    batch.no_value.clone_from(&from.no_value);
    let header = |header: &gristmill::record::Header| sdk::Header {
        index: header.index,
        name: header.name.clone(),
        value: header.value.clone(),
    };
    batch.headers = from.headers.iter().map(header).collect();
}

fn fill_blobs(blobs: &mut sdk::Blobs, from: &Blobs) {
    blobs.data.clone_from(&from.data);
    blobs.ends.clone_from(&from.ends);
}

/// What a batch causes, as the host takes it.
pub(crate) fn effects(effects: sdk::Effects) -> host::Effects {
    host::Effects {
        rows: effects.rows.into_iter().map(rows).collect(),
        messages: effects.messages.into_iter().map(messages).collect(),
        mails: effects.mails.into_iter().map(mail).collect(),
        failures: effects.failures.into_iter().map(failure).collect(),
    }
}

fn rows(rows: sdk::Rows) -> host::Rows {
    let column = |column: sdk::Column| host::Column {
        name: column.name,
        values: values(column.values),
        nulls: column.nulls,
    };
    host::Rows {
        table: rows.table,
        inputs: rows.inputs,
        columns: rows.columns.into_iter().map(column).collect(),
    }
}

fn values(values: sdk::ColumnValues) -> host::ColumnValues {
    use host::ColumnValues as H;
    use sdk::ColumnValues as S;
    match values {
        S::Text(values) => H::Text(texts(values)),
        S::Int(values) => H::Int(values),
        S::Float(values) => H::Float(values),
        S::Boolean(values) => H::Boolean(values),
        S::Bytes(values) => H::Bytes(blobs(values)),
        S::Fixed(values) => H::Fixed(host::FixedValues { width: values.width, data: values.data }),
        S::Timestamp(values) => H::Timestamp(values),
        S::Date(values) => H::Date(values),
        S::Decimal(values) => H::Decimal(texts(values)),
        S::Json(values) => H::Json(texts(values)),
    }
}

fn texts(texts: sdk::Texts) -> host::Texts {
    match texts {
        sdk::Texts::Plain(list) => host::Texts::Plain(list),
        sdk::Texts::Packed(packed) => {
            host::Texts::Packed(host::PackedTexts { data: packed.data, ends: packed.ends })
        }
    }
}

fn blobs(blobs: sdk::Blobs) -> host::BlobsResult {
    host::BlobsResult { data: blobs.data, ends: blobs.ends }
}

fn messages(messages: sdk::Messages) -> host::Messages {
    let header = |header: sdk::Header| host::HeaderResult {
        index: header.index,
        name: header.name,
        value: header.value,
    };
    host::Messages {
        output: messages.output,
        inputs: messages.inputs,
        topics: messages.topics.map(texts),
        keys: messages.keys.map(blobs),
        no_key: messages.no_key,
        values: match messages.values {
            sdk::MessageValues::Same => host::MessageValues::Same,
            sdk::MessageValues::Each(values) => host::MessageValues::Each(blobs(values)),
        },
        no_value: messages.no_value,
        headers: messages.headers.into_iter().map(header).collect(),
    }
}

fn mail(mail: sdk::Mail) -> host::Mail {
    host::Mail { input: mail.input, to: mail.to, subject: mail.subject, text: mail.text, html: mail.html }
}

fn failure(failure: sdk::Failure) -> host::Failure {
    host::Failure {
        input: failure.input,
        verdict: match failure.verdict {
            sdk::Verdict::Reject => host::Verdict::Reject,
            sdk::Verdict::Retry => host::Verdict::Retry,
        },
        code: failure.code,
        pointer: failure.pointer,
        reason: failure.reason,
    }
}
