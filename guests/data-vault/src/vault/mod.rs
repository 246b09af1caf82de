//! A vault as it is worked with: every name of the configuration resolved.

mod satellite;

use crate::config::{self, Config, Names};
use crate::recipe::Recipe;
use gristmill_rules::{CellRule, Condition, Places, config::Each};
use gristmill_sdk::{Column, Kind, Needs, Plan, Table};
use serde_json::{Map, Value};

/// Hubs, links and satellites.
#[derive(Debug)]
pub struct Vault {
    pub recipe: Recipe,
    pub load_date: CellRule,
    pub record_source: CellRule,
    pub hubs: Vec<Hub>,
    pub links: Vec<Link>,
    pub satellites: Vec<Satellite>,
}

/// What all three have.
#[derive(Debug)]
pub struct Entity {
    pub table: Table,
    /// The array whose items it is made of.
    pub array: Option<usize>,
    pub when: Option<Condition>,
    pub cells: Vec<CellRule>,
    /// Which cells are hashed, in order.
    pub hashed: Vec<usize>,
    /// Whether they were given as a list.
    pub list: bool,
    /// Whether a start and an end stand behind the keys.
    pub period: bool,
}

#[derive(Debug)]
pub struct Hub {
    pub name: String,
    pub key_column: String,
    pub entity: Entity,
    /// Its key among the values that rules can name.
    pub value: usize,
    /// What its key is made of, in words.
    made_of: String,
}

#[derive(Debug)]
pub struct Link {
    pub name: String,
    pub key_column: String,
    pub entity: Entity,
    pub hubs: Vec<usize>,
    /// The columns of their keys.
    pub hub_columns: Vec<String>,
    pub value: usize,
    made_of: String,
}

#[derive(Debug)]
pub struct Satellite {
    pub entity: Entity,
    pub parent: Parent,
    pub state: State,
}

/// What a satellite's state is.
#[derive(Debug)]
pub enum State {
    /// A row, by its hashdiff.
    Row,
    /// The present row only: the parent's key stands for the hashdiff.
    Present,
    /// The set of rows of one record, told apart by these cells; all have one hashdiff.
    Set(Vec<usize>),
    /// That a link holds: of these hubs' keys (their places in the link), from the load date on.
    Pair(Vec<usize>),
}

/// What a satellite describes.
#[derive(Debug, Clone, Copy)]
pub enum Parent {
    Hub(usize),
    Link(usize),
}

/// What a hub's or a link's table is in the spec: one row for each key.
const ONE_ROW: &[&str] = &["first-wins", "once", "last-wins", "newest-wins"];
/// The columns around an entity's own: before them keys, behind them the load date and the record's source.
struct Around<'c> {
    keys: Vec<&'c str>,
    hashdiff: Option<&'c str>,
    /// From when, until when.
    period: Option<[&'c str; 2]>,
}

impl Vault {
    /// Reads hubs, links and satellites; the rules are read after them, for they may name their keys.
    pub fn compile(config: Config, places: &mut Places, plan: &mut Plan) -> Result<Self, String> {
        let mut vault = Self {
            recipe: Recipe::compile(config.recipe).map_err(|what| format!("/recipe/{what}"))?,
            load_date: stamp(config.load_date, places, "/load_date")?,
            record_source: stamp(config.record_source, places, "/record_source")?,
            hubs: Vec::new(),
            links: Vec::new(),
            satellites: Vec::new(),
        };
        for (index, hub) in config.hub.into_iter().enumerate() {
            let hub = vault.hub(hub, places, plan, &format!("/hub/{index}"))?;
            vault.hubs.push(hub);
        }
        for (index, link) in config.link.into_iter().enumerate() {
            let link = vault.link(link, places, plan, &format!("/link/{index}"))?;
            vault.links.push(link);
        }
        for (index, satellite) in config.satellite.into_iter().enumerate() {
            let satellite = vault.satellite(satellite, places, plan, &format!("/satellite/{index}"))?;
            vault.satellites.push(satellite);
        }
        Ok(vault)
    }

    fn hub(&self, hub: config::Hub, places: &mut Places, plan: &mut Plan, at: &str) -> Result<Hub, String> {
        let array = match hub.each {
            Some(each) => {
                let each = Each { each, entries: false, find: hub.find, distinct: hub.distinct };
                Some(places.enter(&each).map_err(|what| format!("{at}/{what}"))?)
            }
            None if hub.find.is_some() || hub.distinct.is_some() => {
                return Err(format!("{at}: `find` and `distinct` belong to an `each`"));
            }
            None => None,
        };
        let value = places.value(&hub.name).map_err(|what| format!("{at}/name: {what}"))?;
        let around = Around { keys: vec![&hub.key], hashdiff: None, period: None };
        let entity = self.entity(hub.table, hub.columns, hub.when, array, around, places, plan, at)?;
        places.leave();
        if hub.business_key.as_slice().is_empty() {
            return Err(format!("{at}/business_key: name at least one column"));
        }
        let hashed = named(&entity.cells, &hub.business_key, &format!("{at}/business_key"))?;
        let entity = Entity { hashed, list: hub.business_key.is_list(), ..entity };
        let made_of = entity.hashed_columns();
        self.keep_recipe(&entity, &made_of, plan);
        plan.need(entity.table, one_row(ONE_ROW, &hub.key));
        Ok(Hub { name: hub.name, key_column: hub.key, entity, value, made_of })
    }

    fn link(
        &self,
        link: config::Link,
        places: &mut Places,
        plan: &mut Plan,
        at: &str,
    ) -> Result<Link, String> {
        let mut hubs = Vec::with_capacity(link.hubs.len());
        let mut array = None;
        for (n, name) in link.hubs.iter().enumerate() {
            let at = format!("{at}/hubs/{n}");
            let place = self.hubs.iter().position(|hub| hub.name == *name);
            let place = place.ok_or_else(|| format!("{at}: there is no hub `{name}`"))?;
            let of = self.hubs.get(place).and_then(|hub| hub.entity.array);
            if of.is_some() && array.is_some() && of != array {
                return Err(format!("{at}: `{name}` is of the items of another array than a hub before it"));
            }
            array = array.or(of);
            hubs.push(place);
        }
        if hubs.len() < 2 {
            return Err(format!("{at}/hubs: a link joins at least two hubs"));
        }
        let own: Vec<String> =
            hubs.iter().filter_map(|hub| self.hubs.get(*hub)).map(|hub| hub.key_column.clone()).collect();
        let columns = link.hub_columns.unwrap_or(own);
        if columns.len() != hubs.len() {
            return Err(format!("{at}/hub_columns: {} names for {} hubs", columns.len(), hubs.len()));
        }
        places.reenter(array);
        let name = link.name.unwrap_or_else(|| link.table.replace('.', "-"));
        let value = places.value(&name).map_err(|what| format!("{at}/name: {what}"))?;
        let keys = std::iter::once(&link.key).chain(&columns).map(String::as_str).collect();
        let around = Around { keys, hashdiff: None, period: None };
        let entity = self.entity(link.table, link.columns, link.when, array, around, places, plan, at)?;
        places.leave();
        let dependent = Names::List(link.dependent);
        let hashed = named(&entity.cells, &dependent, &format!("{at}/dependent"))?;
        let entity = Entity { hashed, ..entity };
        let joined = hubs.iter().filter_map(|hub| self.hubs.get(*hub)).map(|hub| hub.made_of.as_str());
        let dependent = Some(entity.hashed_columns()).filter(|columns| !columns.is_empty());
        let made_of: Vec<&str> = joined.chain(dependent.as_deref()).collect();
        let made_of = made_of.join(" + ");
        self.keep_recipe(&entity, &made_of, plan);
        plan.need(entity.table, one_row(ONE_ROW, &link.key));
        Ok(Link { name, key_column: link.key, entity, hubs, hub_columns: columns, value, made_of })
    }

    /// Has the host keep with the table how its keys are made, and of what: rows of two ways do not belong together.
    fn keep_recipe(&self, entity: &Entity, made_of: &str, plan: &mut Plan) {
        plan.keep_recipe(entity.table, format!("{} of {made_of}", self.recipe.id()));
    }

    /// Reads the columns and declares the table: keys, hashdiff, own columns, load date, source.
    #[allow(clippy::too_many_arguments, reason = "what hubs, links and satellites have in common")]
    fn entity(
        &self,
        table: String,
        columns: Map<String, Value>,
        when: Option<config::When>,
        array: Option<usize>,
        around: Around<'_>,
        places: &mut Places,
        plan: &mut Plan,
        at: &str,
    ) -> Result<Entity, String> {
        let when = when.map(|when| Condition::compile(when, places, &format!("{at}/when"))).transpose()?;
        let mut cells = Vec::with_capacity(columns.len());
        for (name, column) in columns {
            let at = format!("{at}/columns/{name}");
            cells.push(CellRule::compile(name, column, places, &at)?);
        }
        let digest = |name: &str| Column::named(name, self.recipe.kind(), false);
        let period = around.period.is_some();
        let mut declared: Vec<Column> = around.keys.into_iter().chain(around.hashdiff).map(digest).collect();
        let kind = self.load_date.column().kind;
        declared.extend(around.period.into_iter().flatten().map(|name| Column::named(name, kind, false)));
        declared.extend(cells.iter().map(CellRule::column));
        declared.extend([self.load_date.column(), self.record_source.column()]);
        for (n, column) in declared.iter().enumerate() {
            if declared.iter().take(n).any(|before| before.name == column.name) {
                return Err(format!("{at}: the column `{}` is there twice", column.name));
            }
        }
        let table = plan.define_table(table, declared);
        Ok(Entity { table, array, when, cells, hashed: Vec::new(), list: true, period })
    }
}

impl Entity {
    /// The columns that are hashed, with their types: the type decides which text of a value that is.
    fn hashed_columns(&self) -> String {
        let cells = self.hashed.iter().filter_map(|cell| self.cells.get(*cell));
        let columns = cells.map(|cell| format!("{} {}", cell.name(), word(cell.column().kind)));
        columns.collect::<Vec<_>>().join(", ")
    }
}

fn one_row(modes: &'static [&'static str], key: &str) -> Needs {
    Needs { modes, settings: vec![("key", vec![key.to_owned()])] }
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "text",
        Kind::Int => "int",
        Kind::Float => "float",
        Kind::Boolean => "boolean",
        Kind::Bytes => "bytes",
        Kind::Fixed(_) => "uuid",
        Kind::Timestamp => "timestamp",
        Kind::Date => "date",
        Kind::Decimal => "decimal",
        Kind::Json => "json",
    }
}

fn stamp(stamp: config::Stamp, places: &mut Places, at: &str) -> Result<CellRule, String> {
    let cell = CellRule::compile(stamp.column, Value::Object(stamp.source), places, at)?;
    if cell.column().nullable {
        return Err(format!("{at}/nullable: every row has one"));
    }
    Ok(cell)
}

fn named(cells: &[CellRule], names: &Names, at: &str) -> Result<Vec<usize>, String> {
    let place = |name: &String| {
        let place = cells.iter().position(|cell| cell.name() == name);
        let place = place.ok_or_else(|| format!("{at}: `{name}` is none of the columns"))?;
        if cells.get(place).is_some_and(|cell| cell.column().kind == Kind::Json) {
            return Err(format!("{at}: `{name}` is JSON, which has not one text and cannot be hashed"));
        }
        Ok(place)
    };
    names.as_slice().iter().map(place).collect()
}
