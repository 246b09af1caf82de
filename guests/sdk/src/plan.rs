//! What a transform may do under its configuration: tables, outputs, lookups, mail.

use crate::bindings::exports::gristmill::transform::transformer as contract;
use crate::rows::Row;
use std::borrow::Cow;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// Integers of every width.
    Int,
    /// Floating point.
    Float,
    /// True or false.
    Boolean,
    /// Byte strings.
    Bytes,
    /// Byte strings of this one width (uuid and md5 16, sha-1 20, sha-256 32).
    Fixed(u32),
    /// Microseconds since 1970-01-01 UTC.
    Timestamp,
    /// Days since 1970-01-01.
    Date,
    /// Exact decimal numbers.
    Decimal,
    /// JSON texts.
    Json,
}

/// A column of a table that a transform writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name in the pipeline spec.
    pub name: Cow<'static, str>,
    /// What it holds.
    pub kind: Kind,
    /// Whether its cells may be NULL.
    pub nullable: bool,
}

impl Column {
    /// A column with a name known at compile time.
    pub const fn fixed(name: &'static str, kind: Kind, nullable: bool) -> Self {
        Self { name: Cow::Borrowed(name), kind, nullable }
    }

    /// A column with a name from the configuration.
    pub fn named(name: impl Into<String>, kind: Kind, nullable: bool) -> Self {
        Self { name: Cow::Owned(name.into()), kind, nullable }
    }
}

/// A declared table, for rows whose columns are known only from the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table(pub(crate) usize);

/// A declared output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Output(pub(crate) usize);

/// A declared lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lookup(pub(crate) usize);

#[derive(Debug)]
pub(crate) struct TableShape {
    pub name: Cow<'static, str>,
    pub columns: Cow<'static, [Column]>,
    pub recipe: Option<String>,
    pub needs: Option<Needs>,
}

/// What a table must be in the pipeline's spec for the rows to mean what they should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    /// The modes that will do, as the spec has them: `first-wins`.
    pub modes: &'static [&'static str],
    /// Settings (`key`, `hashdiff`, `load`, `children`, `start`, `end`) and the columns that each must name; none: it must not
    /// be given.
    pub settings: Vec<(&'static str, Vec<String>)>,
}

#[derive(Debug)]
pub(crate) struct OutputShape {
    pub name: String,
    pub dynamic: bool,
}

/// The output that feeds the next stage.
pub(crate) const NEXT: &str = "next";

/// The most that a transform may do. The host checks it against the pipeline spec before the version is
/// activated, and each batch's effects against it after that.
#[derive(Debug, Default)]
pub struct Plan {
    pub(crate) tables: Vec<TableShape>,
    pub(crate) outputs: Vec<OutputShape>,
    pub(crate) lookups: Vec<String>,
    pub(crate) mails: bool,
    pub(crate) contradiction: Option<String>,
}

impl Plan {
    /// Declares the table of a row type.
    pub fn table<R: Row>(&mut self) -> Table {
        self.declare(TableShape {
            name: Cow::Borrowed(R::TABLE),
            columns: Cow::Borrowed(R::COLUMNS),
            recipe: None,
            needs: None,
        })
    }

    /// Declares a table whose columns come from the configuration.
    pub fn define_table(&mut self, name: impl Into<String>, columns: Vec<Column>) -> Table {
        let (name, columns) = (Cow::Owned(name.into()), Cow::Owned(columns));
        self.declare(TableShape { name, columns, recipe: None, needs: None })
    }

    /// Says how the keys of a declared table's rows are made: the host keeps it with the table, and takes no transform
    /// that makes them otherwise.
    pub fn keep_recipe(&mut self, table: Table, recipe: impl Into<String>) {
        let Some(shape) = self.tables.get_mut(table.0) else { return };
        let (name, new) = (&shape.name, recipe.into());
        match &shape.recipe {
            Some(kept) if *kept != new => {
                let what = format!("the keys of table `{name}` are made in two ways: `{kept}` and `{new}`");
                self.contradict(what);
            }
            _ => shape.recipe = Some(new),
        }
    }

    /// Says what a declared table must be in the spec: the host takes no spec in which it is otherwise.
    pub fn need(&mut self, table: Table, needs: Needs) {
        let Some(shape) = self.tables.get_mut(table.0) else { return };
        match &shape.needs {
            Some(known) if *known != needs => {
                let what =
                    format!("table `{}` would have to be two things: {known:?} and {needs:?}", shape.name);
                self.contradict(what);
            }
            _ => shape.needs = Some(needs),
        }
    }

    fn declare(&mut self, shape: TableShape) -> Table {
        if let Some(index) = self.tables.iter().position(|table| table.name == shape.name) {
            if self.tables.get(index).is_some_and(|table| table.columns != shape.columns) {
                self.contradict(format!("table `{}` is declared twice with different columns", shape.name));
            }
            return Table(index);
        }
        self.tables.push(shape);
        Table(self.tables.len() - 1)
    }

    /// Declares an output with one topic.
    pub fn output(&mut self, name: impl Into<String>) -> Output {
        self.declare_output(name.into(), false)
    }

    /// Declares an output each of whose messages completes the name of its topic.
    pub fn dynamic_output(&mut self, name: impl Into<String>) -> Output {
        self.declare_output(name.into(), true)
    }

    /// Declares that records may be sent on to the next stage.
    pub fn forwards(&mut self) -> Output {
        self.declare_output(NEXT.to_owned(), false)
    }

    fn declare_output(&mut self, name: String, dynamic: bool) -> Output {
        if let Some(index) = self.outputs.iter().position(|output| output.name == name) {
            if self.outputs.get(index).is_some_and(|output| output.dynamic != dynamic) {
                self.contradict(format!("output `{name}` is declared both with and without topics"));
            }
            return Output(index);
        }
        self.outputs.push(OutputShape { name, dynamic });
        Output(self.outputs.len() - 1)
    }

    /// Declares a lookup; export the transform with `export!(Type, lookups)` then.
    pub fn lookup(&mut self, name: impl Into<String>) -> Lookup {
        let name = name.into();
        if let Some(index) = self.lookups.iter().position(|lookup| *lookup == name) {
            return Lookup(index);
        }
        self.lookups.push(name);
        Lookup(self.lookups.len() - 1)
    }

    /// Declares that the transform sends mail.
    pub fn mails(&mut self) {
        self.mails = true;
    }

    fn contradict(&mut self, what: String) {
        self.contradiction.get_or_insert(what);
    }

    pub(crate) fn to_contract(&self) -> contract::Plan {
        contract::Plan {
            tables: self.tables.iter().map(TableShape::to_contract).collect(),
            outputs: self
                .outputs
                .iter()
                .map(|output| contract::OutputPlan { name: output.name.clone(), dynamic: output.dynamic })
                .collect(),
            lookups: self.lookups.clone(),
            mails: self.mails,
        }
    }
}

impl TableShape {
    fn to_contract(&self) -> contract::TablePlan {
        let column = |column: &Column| contract::ColumnPlan {
            name: column.name.to_string(),
            kind: column.kind.to_contract(),
            nullable: column.nullable,
        };
        contract::TablePlan {
            name: self.name.to_string(),
            columns: self.columns.iter().map(column).collect(),
            recipe: self.recipe.clone(),
            needs: self.needs.as_ref().map(Needs::to_contract),
        }
    }
}

impl Needs {
    fn to_contract(&self) -> contract::TableNeeds {
        let setting = |(name, columns): &(&str, Vec<String>)| contract::TableSetting {
            name: (*name).to_owned(),
            columns: columns.clone(),
        };
        contract::TableNeeds {
            modes: self.modes.iter().map(|mode| (*mode).to_owned()).collect(),
            settings: self.settings.iter().map(setting).collect(),
        }
    }
}

impl Kind {
    fn to_contract(self) -> contract::Kind {
        match self {
            Self::Text => contract::Kind::Text,
            Self::Int => contract::Kind::Int,
            Self::Float => contract::Kind::Float,
            Self::Boolean => contract::Kind::Boolean,
            Self::Bytes => contract::Kind::Bytes,
            Self::Fixed(_) => contract::Kind::Fixed,
            Self::Timestamp => contract::Kind::Timestamp,
            Self::Date => contract::Kind::Date,
            Self::Decimal => contract::Kind::Decimal,
            Self::Json => contract::Kind::Json,
        }
    }
}
