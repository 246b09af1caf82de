//! Where the effects of a batch are gathered.

use crate::bindings::gristmill::transform::types::{self as contract, Batch, Effects};
use crate::failure::Failure;
use crate::lookups::Answers;
use crate::messages::{Message, OutputMessages};
use crate::plan::{Column, NEXT, Output, Plan, Table};
use crate::rows::{Row, RowWriter, TableRows, TableSize};
use crate::state::{Keyed, Written};
use serde::de::DeserializeOwned;
use std::fmt::Display;

/// A mail to be sent after the record's rows are committed, at least once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Addresses.
    pub to: Vec<String>,
    /// Subject line.
    pub subject: String,
    /// The body as plain text.
    pub text: String,
    /// The body as HTML, if there is one.
    pub html: Option<String>,
}

impl Mail {
    /// A mail of plain text to one address.
    pub fn new(to: impl Into<String>, subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self { to: vec![to.into()], subject: subject.into(), text: text.into(), html: None }
    }
}

/// The effects of a whole batch, while it is worked through.
#[derive(Debug)]
pub(crate) struct Gathered<'p> {
    plan: &'p Plan,
    tables: Vec<TableRows>,
    outputs: Vec<OutputMessages>,
    stray: OutputMessages,
    mails: Vec<contract::Mail>,
    failures: Vec<contract::Failure>,
    mistake: bool,
    undeclared: Option<String>,
    unreadable: Option<String>,
}

impl<'p> Gathered<'p> {
    pub fn new(plan: &'p Plan, sizes: &[TableSize]) -> Self {
        let table = |(index, shape)| TableRows::like(shape, sizes.get(index));
        Self {
            plan,
            tables: plan.tables.iter().enumerate().map(table).collect(),
            outputs: plan.outputs.iter().map(|shape| OutputMessages::new(shape.dynamic)).collect(),
            stray: OutputMessages::new(false),
            mails: Vec::new(),
            failures: Vec::new(),
            mistake: false,
            undeclared: None,
            unreadable: None,
        }
    }

    /// Takes back what the record did so far and notes why it is refused.
    #[cold]
    pub fn refuse(&mut self, input: u32, failure: Failure) {
        for table in &mut self.tables {
            table.take_back(input);
        }
        for output in &mut self.outputs {
            output.take_back(input);
        }
        while self.mails.last().is_some_and(|mail| mail.input == input) {
            self.mails.pop();
        }
        self.failures.extend(failure.into_contract(input));
    }

    /// A mistake of the transform's author: effects that the plan does not cover. The batch cannot be
    /// delivered then.
    pub fn mistake(&self) -> Option<String> {
        if let Some(what) = &self.undeclared {
            return Some(format!("the transform's plan does not declare {what}"));
        }
        if let Some(what) = &self.unreadable {
            return Some(format!("state that cannot be read: {what}"));
        }
        let text = "a row or message does not fit its declaration: kinds and number of cells, NULL, topic";
        self.mistake.then(|| text.to_owned())
    }

    /// Makes the digests of rows that are still to be made.
    pub fn make_digests(&mut self) {
        self.tables.iter_mut().for_each(TableRows::make_digests);
    }

    pub fn sizes(&self) -> Vec<TableSize> {
        self.tables.iter().map(TableRows::size).collect()
    }

    pub fn into_effects(self) -> Effects {
        let tables = self.tables.into_iter().zip(&self.plan.tables);
        let outputs = self.outputs.into_iter().zip(&self.plan.outputs);
        Effects {
            rows: tables.filter_map(|(rows, shape)| rows.into_contract(shape)).collect(),
            messages: outputs.filter_map(|(messages, shape)| messages.into_contract(shape)).collect(),
            mails: self.mails,
            failures: self.failures,
        }
    }

    #[cold]
    fn undeclared(&mut self, what: String) {
        self.undeclared.get_or_insert(what);
    }
}

/// What one record causes. If its transform returns an error, none of it happens.
pub struct Out<'o, 'p> {
    pub(crate) gathered: &'o mut Gathered<'p>,
    pub(crate) batch: &'o Batch,
    pub(crate) input: u32,
    pub(crate) written: &'o mut Written,
    pub(crate) answers: Option<&'o Answers>,
}

impl Out<'_, '_> {
    /// A row for the table of its type, which the plan declares with `plan.table::<R>()`.
    #[inline]
    pub fn row<R: Row>(&mut self, row: &R) {
        match self.table_of::<R>() {
            Some(index) => {
                if let Some(mut writer) = self.begin_row(Table(index)) {
                    row.write(&mut writer);
                }
            }
            None => self.gathered.undeclared(format!("table `{}` with these columns", R::TABLE)),
        }
    }

    #[inline]
    fn table_of<R: Row>(&self) -> Option<usize> {
        let tables = &self.gathered.plan.tables;
        // The same constant is the same declaration: no columns compared per row. The name has to be, for the
        // compiler keeps equal constants once, and two tables may have equal columns.
        let same = |columns: &[Column]| std::ptr::eq(columns.as_ptr(), R::COLUMNS.as_ptr());
        tables.iter().position(|table| same(&table.columns) && table.name == R::TABLE).or_else(|| {
            tables.iter().position(|table| table.name == R::TABLE && *table.columns == *R::COLUMNS)
        })
    }

    /// A row of a table that was declared with `plan.define_table`: add its cells in the order of the
    /// declared columns.
    #[inline]
    pub fn begin_row(&mut self, table: Table) -> Option<RowWriter<'_>> {
        let gathered = &mut *self.gathered;
        if let Some(rows) = gathered.tables.get_mut(table.0) {
            return Some(rows.begin(self.input, &mut gathered.mistake));
        }
        gathered.undeclared.get_or_insert_with(|| "a table that this transform uses".to_owned());
        None
    }

    /// A message to an output that the plan declares. It carries the record's own value unless it is given
    /// another.
    ///
    /// ```
    /// use gristmill_sdk::{Config, Failure, Out, Output, Plan, Record, Transform};
    ///
    /// /// Each record goes to the topic of its key, as it is.
    /// struct ByKey(Output);
    ///
    /// impl Transform for ByKey {
    ///     const ABOUT: &'static str = "Each record goes to the topic of its key.";
    ///     type Config = Config;
    ///
    ///     fn configure(_: Config, plan: &mut Plan) -> Result<Self, String> {
    ///         Ok(Self(plan.dynamic_output("by-key")))
    ///     }
    ///
    ///     fn transform(&self, record: &Record<'_>, out: &mut Out<'_, '_>) -> Result<(), Failure> {
    ///         let key = record.key().and_then(|key| std::str::from_utf8(key).ok()).unwrap_or("others");
    ///         out.send(self.0).topic(key).key_display(record.offset()).header("by", "key");
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # use gristmill_sdk::testing::{TestRecord, run};
    /// let caused = run::<ByKey>("{}", &[TestRecord::text("as it is").key("rome")])?;
    /// assert_eq!(caused[0].messages[0].topic.as_deref(), Some("rome"));
    /// # Ok::<(), String>(())
    /// ```
    pub fn send(&mut self, output: Output) -> Message<'_> {
        let gathered = &mut *self.gathered;
        let messages = match gathered.outputs.get_mut(output.0) {
            Some(messages) => messages,
            // An `Output` of another plan: nowhere to go, and the batch will not be delivered.
            None => {
                gathered.undeclared.get_or_insert_with(|| "an output that this transform uses".to_owned());
                &mut gathered.stray
            }
        };
        let values = (&self.batch.values, self.batch.no_value.as_slice());
        Message::begin(messages, values, self.input, &mut gathered.mistake)
    }

    /// Sends the record on to the next stage, as it is; the plan declares it with `plan.forwards()`.
    pub fn forward(&mut self) {
        let next = self.gathered.plan.outputs.iter().position(|output| output.name == NEXT);
        match next {
            Some(index) => drop(self.send(Output(index))),
            None => self.gathered.undeclared(format!("output `{NEXT}`")),
        }
    }

    /// The row with this key as it stands for this record: as the records before it in the batch have left it, or as it
    /// stood when the batch began. [`crate::Transform::lookups`] must have asked for it.
    pub fn get<R: Row + Clone + DeserializeOwned + 'static>(
        &mut self,
        state: &Keyed<R>,
        key: &[&dyn Display],
    ) -> Option<R> {
        let read = self.written.get(state, key, self.answers);
        read.unwrap_or_else(|what| {
            self.gathered.unreadable.get_or_insert(what);
            None
        })
    }

    /// Writes the row with this key, which the records behind this one see.
    pub fn put<R: Row + 'static>(&mut self, state: &Keyed<R>, key: &[&dyn Display], row: R) {
        self.row(&row);
        self.written.put(state, key, row);
    }

    /// A mail; the plan declares it with `plan.mails()`.
    pub fn mail(&mut self, mail: Mail) {
        if !self.gathered.plan.mails {
            self.gathered.undeclared("mail".to_owned());
        }
        let Mail { to, subject, text, html } = mail;
        self.gathered.mails.push(contract::Mail { input: self.input, to, subject, text, html });
    }
}
