//! Well-formed effects: the rows and messages of plain items, which a misdeed then spoils.

use gristmill_sdk::bindings::gristmill::transform::types::{
    Blobs, Column, ColumnValues, Effects, Failure, MessageValues, Messages, PackedTexts, Rows, Texts, Verdict,
};

/// The items of a batch, row by row.
#[derive(Debug, Default)]
pub(crate) struct Items {
    inputs: Vec<u32>,
    ids: Vec<i64>,
    notes: Vec<Option<String>>,
    sent: Vec<(u32, i64)>,
    pub failures: Vec<Failure>,
}

impl Items {
    pub fn row(&mut self, input: u32, id: i64, note: Option<String>) {
        self.inputs.push(input);
        self.ids.push(id);
        self.notes.push(note);
    }

    pub fn send(&mut self, input: u32, id: i64) {
        self.sent.push((input, id));
    }

    pub fn fail(&mut self, input: u32, verdict: Verdict, code: &str, pointer: Option<&str>, reason: &str) {
        let (code, reason) = (code.to_owned(), reason.to_owned());
        let pointer = pointer.map(str::to_owned);
        self.failures.push(Failure { input, verdict, code, pointer, reason });
    }

    pub fn into_effects(self) -> Effects {
        let mut effects =
            Effects { rows: Vec::new(), messages: Vec::new(), mails: Vec::new(), failures: self.failures };
        if !self.inputs.is_empty() {
            effects.rows.push(rows(self.inputs, self.ids, &self.notes));
        }
        if !self.sent.is_empty() {
            effects.messages.push(messages("out", &self.sent));
        }
        effects
    }
}

fn rows(inputs: Vec<u32>, ids: Vec<i64>, notes: &[Option<String>]) -> Rows {
    let mut texts = PackedTexts { data: String::new(), ends: Vec::new() };
    for note in notes {
        texts.data.push_str(note.as_deref().unwrap_or_default());
        texts.ends.push(narrow(texts.data.len()));
    }
    Rows {
        table: "items".to_owned(),
        inputs,
        columns: vec![
            column("id", ColumnValues::Int(ids), Vec::new()),
            column("note", ColumnValues::Text(Texts::Packed(texts)), nulls(notes)),
        ],
    }
}

fn column(name: &str, values: ColumnValues, nulls: Vec<u32>) -> Column {
    Column { name: name.to_owned(), values, nulls }
}

fn nulls(values: &[Option<String>]) -> Vec<u32> {
    values.iter().zip(0..).filter(|(value, _)| value.is_none()).map(|(_, index)| index).collect()
}

/// Messages that say `same`, keyed by ids.
pub(crate) fn messages(output: &str, sent: &[(u32, i64)]) -> Messages {
    let mut keys = Blobs { data: Vec::new(), ends: Vec::new() };
    for (_, id) in sent {
        keys.data.extend_from_slice(id.to_string().as_bytes());
        keys.ends.push(narrow(keys.data.len()));
    }
    Messages {
        output: output.to_owned(),
        inputs: sent.iter().map(|(input, _)| *input).collect(),
        topics: None,
        keys: Some(keys),
        no_key: Vec::new(),
        values: MessageValues::Same,
        no_value: Vec::new(),
        headers: Vec::new(),
    }
}

pub(crate) fn narrow(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
