//! Tables of a pipeline spec: columns with types, key, write mode (DESIGN.md D7).

use std::collections::BTreeSet;
use std::fmt;

/// A table that rows may go to.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The table's name, with its schema if it has one: `dds.h_user`.
    pub name: String,
    /// The columns, in order.
    pub columns: Vec<Column>,
    /// The places of the key's columns in `columns`; empty only for `append`.
    pub key: Vec<usize>,
    /// How rows are written.
    pub mode: Mode,
    /// Whether the host creates the table and adds what a later spec adds; else it only verifies it.
    pub create: bool,
    /// Rows that the table has when the host has made it: a text for each column, as `GET` shows its values; none is NULL.
    pub initial: Vec<Vec<Option<String>>>,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The column's name.
    pub name: String,
    /// Its type.
    pub ty: ColumnType,
    /// Whether it may be NULL.
    pub nullable: bool,
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// Text of any length.
    Text,
    /// Text of at most so many characters.
    Varchar(u32),
    /// 16-bit integer.
    Smallint,
    /// 32-bit integer.
    Integer,
    /// 64-bit integer.
    Bigint,
    /// 64-bit floating point.
    Double,
    /// Truth value.
    Boolean,
    /// Byte string.
    Bytes,
    /// UUID, given as 16 bytes (`fixed`) or as text.
    Uuid,
    /// A point in time, microseconds, UTC.
    Timestamptz,
    /// A date and time without zone, microseconds.
    Timestamp,
    /// A date.
    Date,
    /// An exact decimal number: digits in all, digits after the point; `None` for any.
    Numeric(Option<(u16, u16)>),
    /// JSON.
    Json,
}

/// How rows are written.
#[derive(Clone, Debug, PartialEq)]
pub enum Mode {
    /// Every row is added.
    Append,
    /// The first row of a key stays.
    FirstWins,
    /// The last row of a key stays.
    LastWins,
    /// The row with the greatest value in this column (its place) stays; of equal ones the first.
    NewestWins {
        /// The place of the column that says how new a row is.
        by: usize,
    },
    /// These columns (their places) add up; the others, save the key, are those of the last row.
    Sum {
        /// The places of the columns that add up.
        columns: Vec<usize>,
        /// What makes a row count once, if anything does.
        counted: Option<Box<Counted>>,
    },
    /// A row is added only where its hashdiff differs from that of the row before it by load date. The key's
    /// columns are the parent's; the table's primary key is the parent's key and the load date.
    Satellite {
        /// The place of the hashdiff.
        hashdiff: usize,
        /// The place of the load date.
        load: usize,
        /// The places of what tells the members of a state apart, if a state is a set of rows (multi-active): they are part of
        /// the primary key, and all members carry the set's hashdiff.
        children: Vec<usize>,
        /// If a state lasts from a start to an end (effectivity): the key is what drives, and the hashdiff says with whom.
        effective: Option<Effective>,
    },
    /// First-wins that decides about its record: a key that is there already with the same content makes the
    /// record a duplicate, with other content a dead letter.
    Once {
        /// The places of the columns that make the content, the key's aside.
        content: Vec<usize>,
    },
}

/// How long a state lasts. A row's end is for ever, [`Effective::FOR_EVER`]; when the next state begins, the host adds the same
/// row with the end, under the next state's load date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effective {
    /// The place of the start.
    pub start: usize,
    /// The place of the end.
    pub end: usize,
}

impl Effective {
    /// The day that stands for an end that is not known.
    pub const FOR_EVER: &'static str = "9999-12-31";
}

/// What the rows of a `sum` table tell besides its columns, so that each event counts once for each key: however often it
/// comes, in which record, and from which version of a module.
#[derive(Clone, Debug, PartialEq)]
pub struct Counted {
    /// Which event a row counts. Rows give these columns too; the table does not have them.
    pub by: Vec<Column>,
    /// Where the host keeps what has been counted: the key's columns and these, all of them its key.
    pub ledger: Table,
    /// The places of the ledger's columns in a row.
    pub places: Vec<usize>,
}

impl Counted {
    /// What is behind the table's name in its ledger's.
    pub const SUFFIX: &'static str = "_counted";

    /// The ledger of a table with this name, these columns and this key.
    pub fn new(table: &str, columns: &[Column], key: &[usize], by: Vec<Column>, create: bool) -> Self {
        let of_key = key.iter().filter_map(|place| columns.get(*place));
        let of_ledger: Vec<Column> = of_key.chain(&by).cloned().collect();
        let places = key.iter().copied().chain(columns.len()..columns.len() + by.len()).collect();
        let ledger = Table {
            name: format!("{table}{}", Self::SUFFIX),
            key: (0..of_ledger.len()).collect(),
            columns: of_ledger,
            mode: Mode::FirstWins,
            create,
            initial: Vec::new(),
        };
        Counted { by, ledger, places }
    }
}

impl Mode {
    /// The mode's name in a spec.
    pub fn name(&self) -> &'static str {
        match self {
            Mode::Append => "append",
            Mode::FirstWins => "first-wins",
            Mode::LastWins => "last-wins",
            Mode::NewestWins { .. } => "newest-wins",
            Mode::Sum { .. } => "sum",
            Mode::Satellite { .. } => "satellite",
            Mode::Once { .. } => "once",
        }
    }
}

impl Table {
    /// The place of a column.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// The columns that a setting of a spec names for this table, in no order; `None`: there is no such setting.
    pub fn setting(&self, name: &str) -> Option<BTreeSet<&str>> {
        let places: Vec<usize> = match (name, &self.mode) {
            ("key", _) => self.key.clone(),
            ("hashdiff", Mode::Satellite { hashdiff, .. }) => vec![*hashdiff],
            ("load", Mode::Satellite { load, .. }) => vec![*load],
            ("children", Mode::Satellite { children, .. }) => children.clone(),
            ("start", Mode::Satellite { effective: Some(effective), .. }) => vec![effective.start],
            ("end", Mode::Satellite { effective: Some(effective), .. }) => vec![effective.end],
            ("hashdiff" | "load" | "children" | "start" | "end", _) => Vec::new(),
            _ => return None,
        };
        Some(places.iter().filter_map(|place| Some(self.columns.get(*place)?.name.as_str())).collect())
    }

    /// What rows give: the table's columns, and for a `sum` that counts each event once what says which event it is.
    pub fn given(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().chain(self.counted().into_iter().flat_map(|counted| &counted.by))
    }

    /// What makes a row of a `sum` count once, if anything does.
    pub fn counted(&self) -> Option<&Counted> {
        match &self.mode {
            Mode::Sum { counted, .. } => counted.as_deref(),
            _ => None,
        }
    }

    /// This table and, if it has one, the ledger of what it has counted.
    pub fn with_ledger(&self) -> impl Iterator<Item = &Table> {
        std::iter::once(self).chain(self.counted().map(|counted| &counted.ledger))
    }

    /// The places of the columns that must be unique together in the database: the key, and for a satellite the
    /// load date too, what tells the members of a set apart, and of two states that touch which it is. Empty for `append`.
    pub fn unique(&self) -> Vec<usize> {
        let mut unique = self.key.clone();
        if let Mode::Satellite { load, hashdiff, children, effective } = &self.mode {
            unique.push(*load);
            unique.extend(children);
            unique.extend(effective.map(|_| *hashdiff));
        }
        unique
    }
}

impl ColumnType {
    /// The names of all types, for suggestions.
    pub const NAMES: [&'static str; 14] = [
        "text",
        "varchar(n)",
        "smallint",
        "integer",
        "bigint",
        "double",
        "boolean",
        "bytes",
        "uuid",
        "timestamptz",
        "timestamp",
        "date",
        "numeric(p,s)",
        "json",
    ];

    /// Reads a type as a spec writes it: `bigint`, `varchar(255)`, `numeric(19,5)`.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, arguments) = match text.split_once('(') {
            Some((name, rest)) => (name, Some(rest.strip_suffix(')')?)),
            None => (text, None),
        };
        match (name.trim(), arguments) {
            ("varchar", Some(n)) => n.trim().parse().ok().filter(|n| *n > 0).map(ColumnType::Varchar),
            ("numeric", Some(arguments)) => {
                let (precision, scale) = arguments.split_once(',').unwrap_or((arguments, "0"));
                let (precision, scale) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
                ((1..=1000).contains(&precision) && scale <= precision)
                    .then_some(ColumnType::Numeric(Some((precision, scale))))
            }
            (_, Some(_)) => None,
            ("text", None) => Some(ColumnType::Text),
            ("smallint", None) => Some(ColumnType::Smallint),
            ("integer" | "int", None) => Some(ColumnType::Integer),
            ("bigint", None) => Some(ColumnType::Bigint),
            ("double", None) => Some(ColumnType::Double),
            ("boolean", None) => Some(ColumnType::Boolean),
            ("bytes", None) => Some(ColumnType::Bytes),
            ("uuid", None) => Some(ColumnType::Uuid),
            ("timestamptz", None) => Some(ColumnType::Timestamptz),
            ("timestamp", None) => Some(ColumnType::Timestamp),
            ("date", None) => Some(ColumnType::Date),
            ("numeric", None) => Some(ColumnType::Numeric(None)),
            ("json", None) => Some(ColumnType::Json),
            _ => None,
        }
    }

    /// Whether two equal values of this type always have the same bytes here and in the database, so that it can
    /// be part of a key.
    pub fn can_be_key(self) -> bool {
        !matches!(self, ColumnType::Double | ColumnType::Json)
    }

    /// Whether values of this type can be added up.
    pub fn can_be_summed(self) -> bool {
        use ColumnType::{Bigint, Double, Integer, Numeric, Smallint};
        matches!(self, Smallint | Integer | Bigint | Double | Numeric(_))
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ColumnType::Text => f.write_str("text"),
            ColumnType::Varchar(n) => write!(f, "varchar({n})"),
            ColumnType::Smallint => f.write_str("smallint"),
            ColumnType::Integer => f.write_str("integer"),
            ColumnType::Bigint => f.write_str("bigint"),
            ColumnType::Double => f.write_str("double"),
            ColumnType::Boolean => f.write_str("boolean"),
            ColumnType::Bytes => f.write_str("bytes"),
            ColumnType::Uuid => f.write_str("uuid"),
            ColumnType::Timestamptz => f.write_str("timestamptz"),
            ColumnType::Timestamp => f.write_str("timestamp"),
            ColumnType::Date => f.write_str("date"),
            ColumnType::Numeric(None) => f.write_str("numeric"),
            ColumnType::Numeric(Some((precision, scale))) => write!(f, "numeric({precision},{scale})"),
            ColumnType::Json => f.write_str("json"),
        }
    }
}
