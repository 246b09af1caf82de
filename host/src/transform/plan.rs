//! What a guest says it may do under its configuration, checked against the pipeline spec before anything runs,
//! and turned into places, so that checking a batch's effects needs no search by name.

use super::bindings::exports::gristmill::transform::transformer as wit;
use super::ended::bounded;
use crate::spec::{ColumnType, LookupSource, NEXT, Spec, Table};
use std::collections::{BTreeSet, HashMap};

/// What a stage may do, checked.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The tables that it may write, by name.
    pub tables: HashMap<String, TablePlan>,
    /// The outputs that it may send to, by name: the place in `spec.outputs`, and whether messages carry topics.
    /// `next` is not among them.
    pub outputs: HashMap<String, (usize, bool)>,
    /// Where its messages to `next` go.
    pub next: Next,
    /// Whether it may send mail.
    pub mails: bool,
    /// The lookups that it may ask.
    pub lookups: Vec<String>,
    /// The tables of the spec that these read, by their places.
    pub looks_up: Vec<usize>,
    /// Tables whose keys it makes in one way only, and how.
    pub recipes: Vec<(String, String)>,
}

/// Where a stage's messages to `next` go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Next {
    /// Nowhere: its plan does not name `next`.
    #[default]
    Nowhere,
    /// To the stage behind it.
    Stage,
    /// Out of the pipeline, to the output at this place in the spec.
    Output(usize),
}

/// A table that a stage may write.
#[derive(Clone, Debug)]
pub struct TablePlan {
    /// The table's place in `spec.tables`.
    pub table: usize,
    /// The columns that it may give: the place in the table, and the kind.
    pub columns: HashMap<String, (usize, Kind)>,
    /// How many columns the table has.
    pub width: usize,
}

/// Tables, outputs and lookups as a guest's plan names them, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Its tables: the place of each is that in [`TablePlan::table`].
    pub tables: Vec<TableShape>,
    /// Its outputs, `next` aside: the place of each is that in [`Plan::outputs`].
    pub outputs: Vec<String>,
    /// The lookups that it may ask.
    pub lookups: Vec<String>,
}

/// A table as a guest's plan names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableShape {
    /// The table's name.
    pub name: String,
    /// Its columns, in the plan's order.
    pub columns: Vec<ColumnShape>,
}

/// A column as a guest's plan names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnShape {
    /// The column's name.
    pub name: String,
    /// The kind of its values.
    pub kind: Kind,
    /// Whether it may be NULL.
    pub nullable: bool,
}

/// The kind of a column's values, as the contract names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `text`.
    Text,
    /// `int`.
    Int,
    /// `float`.
    Float,
    /// `boolean`.
    Boolean,
    /// `bytes`.
    Bytes,
    /// `fixed`, and how wide it must be.
    Fixed(Option<u32>),
    /// `timestamp`.
    Timestamp,
    /// `date`.
    Date,
    /// `decimal`.
    Decimal,
    /// `json`.
    Json,
}

impl Kind {
    /// The kind that a guest announces, whatever the column is in a database.
    fn announced(kind: wit::Kind) -> Self {
        match kind {
            wit::Kind::Text => Kind::Text,
            wit::Kind::Int => Kind::Int,
            wit::Kind::Float => Kind::Float,
            wit::Kind::Boolean => Kind::Boolean,
            wit::Kind::Bytes => Kind::Bytes,
            wit::Kind::Fixed => Kind::Fixed(None),
            wit::Kind::Timestamp => Kind::Timestamp,
            wit::Kind::Date => Kind::Date,
            wit::Kind::Decimal => Kind::Decimal,
            wit::Kind::Json => Kind::Json,
        }
    }

    /// The kind that a guest announces, as the column's type takes it; `None` if the two do not go together.
    fn fitting(kind: wit::Kind, ty: ColumnType) -> Option<Self> {
        use ColumnType as T;
        Some(match (kind, ty) {
            (wit::Kind::Text, T::Text | T::Varchar(_) | T::Uuid) => Kind::Text,
            (wit::Kind::Int, T::Smallint | T::Integer | T::Bigint) => Kind::Int,
            (wit::Kind::Float, T::Double) => Kind::Float,
            (wit::Kind::Boolean, T::Boolean) => Kind::Boolean,
            (wit::Kind::Bytes, T::Bytes) => Kind::Bytes,
            (wit::Kind::Fixed, T::Uuid) => Kind::Fixed(Some(16)),
            (wit::Kind::Fixed, T::Bytes) => Kind::Fixed(None),
            (wit::Kind::Timestamp, T::Timestamptz | T::Timestamp) => Kind::Timestamp,
            (wit::Kind::Date, T::Date) => Kind::Date,
            (wit::Kind::Decimal, T::Numeric(_)) => Kind::Decimal,
            (wit::Kind::Json, T::Json) => Kind::Json,
            _ => return None,
        })
    }
}

/// Checks a guest's plan for the stage at `stage` against the spec. The error says all that does not fit.
pub(super) fn check(plan: &wit::Plan, spec: &Spec, stage: usize) -> Result<Plan, String> {
    let mut faults = Vec::new();
    let mut checked = Plan { mails: plan.mails, lookups: plan.lookups.clone(), ..Plan::default() };
    for table in &plan.tables {
        if let Some(planned) = check_table(table, spec, &mut faults) {
            checked.tables.insert(table.name.clone(), planned);
            if let Some(recipe) = &table.recipe {
                checked.recipes.push((table.name.clone(), bounded(recipe)));
            }
        }
    }
    for output in &plan.outputs {
        if output.name == NEXT {
            match spec.stages.get(stage).and_then(|stage| stage.next) {
                Some(output) => checked.next = Next::Output(output),
                None if stage + 1 < spec.stages.len() => checked.next = Next::Stage,
                None => faults.push(
                    "it sends to `next`, but there is no stage after it: say which output takes that, `next = \"…\"`"
                        .to_owned(),
                ),
            }
            continue;
        }
        match spec.outputs.iter().position(|declared| declared.name == output.name) {
            Some(place) => {
                let dynamic = spec.outputs.get(place).is_some_and(|declared| {
                    matches!(declared.topic, crate::spec::TopicPattern::Dynamic { .. })
                });
                if dynamic != output.dynamic {
                    let (guest, hint) = if output.dynamic {
                        ("computes", "write a topic with {} in it")
                    } else {
                        ("does not compute", "write a topic without {}")
                    };
                    faults.push(format!("it {guest} the topic of output `{}`: {hint}", output.name));
                }
                checked.outputs.insert(output.name.clone(), (place, output.dynamic));
            }
            None => {
                faults.push(format!("it sends to output `{}`, which the spec does not declare", output.name))
            }
        }
    }
    for lookup in &plan.lookups {
        match spec.lookups.iter().find(|declared| declared.name == *lookup) {
            Some(declared) => checked.looks_up.extend(match declared.from {
                LookupSource::Table { table } => Some(table),
                LookupSource::Keys { .. } => None,
            }),
            None => faults.push(format!("it asks the lookup `{lookup}`, which the spec does not declare")),
        }
    }
    if plan.mails && spec.mail.is_none() {
        faults.push("it sends mail, but the spec has no [mail]".to_owned());
    }
    if faults.is_empty() { Ok(checked) } else { Err(faults.join("; ")) }
}

fn check_table(planned: &wit::TablePlan, spec: &Spec, faults: &mut Vec<String>) -> Option<TablePlan> {
    let Some(place) = spec.tables.iter().position(|table| table.name == planned.name) else {
        faults.push(format!("it writes table `{}`, which the spec does not declare", planned.name));
        return None;
    };
    let table = spec.tables.get(place)?;
    let mut columns = HashMap::new();
    for column in &planned.columns {
        let Some((index, given)) = table.given().enumerate().find(|(_, given)| given.name == column.name)
        else {
            faults.push(format!("table `{}` has no column `{}`", table.name, column.name));
            continue;
        };
        let ty = given.ty;
        match Kind::fitting(column.kind, ty) {
            Some(kind) => {
                columns.insert(column.name.clone(), (index, kind));
            }
            None => faults.push(format!(
                "column `{}.{}` is a {ty} and takes no {} values",
                table.name,
                column.name,
                format!("{:?}", column.kind).to_lowercase().replace("kind::", ""),
            )),
        }
    }
    for column in table.given().filter(|column| !column.nullable) {
        if !columns.contains_key(&column.name) {
            faults.push(format!(
                "it gives no `{}` for table `{}`, which must not be NULL",
                column.name, table.name
            ));
        }
    }
    if let Some(needs) = &planned.needs {
        check_needs(table, needs, faults);
    }
    Some(TablePlan { table: place, columns, width: table.given().count() })
}

/// Whether a table is in the spec what the guest's rows need it to be.
fn check_needs(table: &Table, needs: &wit::TableNeeds, faults: &mut Vec<String>) {
    let name = &table.name;
    if !needs.modes.iter().any(|mode| mode == table.mode.name()) {
        let modes: Vec<String> = needs.modes.iter().map(|mode| format!("`{mode}`")).collect();
        let modes = modes.join(" or ");
        faults.push(format!("table `{name}` is `{}`, and its rows are made for {modes}", table.mode.name()));
        return;
    }
    for needed in &needs.settings {
        let Some(given) = table.setting(&needed.name) else {
            faults.push(format!(
                "it needs a setting `{}` of table `{name}`, which tables do not have",
                needed.name
            ));
            continue;
        };
        let needs: BTreeSet<&str> = needed.columns.iter().map(String::as_str).collect();
        if given != needs {
            let shown = |columns: BTreeSet<&str>| format!("[{}]", Vec::from_iter(columns).join(", "));
            let (given, needs) = (shown(given), shown(needs));
            faults.push(format!("`{}` of table `{name}` is {given}, and its rows need {needs}", needed.name));
        }
    }
}

/// The plan of a guest that is in no pipeline: whatever it announces is there. The error says what contradicts
/// itself.
pub(super) fn by_itself(plan: &wit::Plan) -> Result<(Plan, Shape), String> {
    let mut own = Plan { mails: plan.mails, lookups: plan.lookups.clone(), ..Plan::default() };
    let mut shape = Shape { lookups: plan.lookups.clone(), ..Shape::default() };
    for table in &plan.tables {
        let (mut columns, mut shapes) = (HashMap::new(), Vec::new());
        for (place, column) in table.columns.iter().enumerate() {
            let kind = Kind::announced(column.kind);
            if columns.insert(column.name.clone(), (place, kind)).is_some() {
                return Err(format!("its plan names column `{}.{}` twice", table.name, column.name));
            }
            shapes.push(ColumnShape { name: column.name.clone(), kind, nullable: column.nullable });
        }
        let planned = TablePlan { table: shape.tables.len(), width: columns.len(), columns };
        if own.tables.insert(table.name.clone(), planned).is_some() {
            return Err(format!("its plan names table `{}` twice", table.name));
        }
        shape.tables.push(TableShape { name: table.name.clone(), columns: shapes });
    }
    for output in &plan.outputs {
        if output.name == NEXT {
            own.next = Next::Stage;
        } else {
            let place = shape.outputs.len();
            if own.outputs.insert(output.name.clone(), (place, output.dynamic)).is_some() {
                return Err(format!("its plan names output `{}` twice", output.name));
            }
            shape.outputs.push(output.name.clone());
        }
    }
    Ok((own, shape))
}
