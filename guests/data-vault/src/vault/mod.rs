//! A vault as it is worked with: every name of the configuration resolved.

use crate::config::{self, Config, Names};
use crate::recipe::Recipe;
use gristmill_rules::{CellRule, Condition, Places, config::Each};
use gristmill_sdk::{Column, Kind, Plan, Table};
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
        Ok(Hub { name: hub.name, key_column: hub.key, entity, value })
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
        Ok(Link {
            name,
            key_column: link.key,
            entity: Entity { hashed, ..entity },
            hubs,
            hub_columns: columns,
            value,
        })
    }

    fn satellite(
        &self,
        satellite: config::Satellite,
        places: &mut Places,
        plan: &mut Plan,
        at: &str,
    ) -> Result<Satellite, String> {
        let hub = self.hubs.iter().position(|hub| hub.name == satellite.of);
        let link = self.links.iter().position(|link| link.name == satellite.of);
        let (parent, key, array) = match (hub, link) {
            (Some(place), _) => {
                let hub = self.hubs.get(place);
                (Parent::Hub(place), hub.map(|hub| &hub.key_column), hub.and_then(|hub| hub.entity.array))
            }
            (None, Some(place)) => {
                let link = self.links.get(place);
                (
                    Parent::Link(place),
                    link.map(|link| &link.key_column),
                    link.and_then(|link| link.entity.array),
                )
            }
            (None, None) => return Err(format!("{at}/of: there is no hub and no link `{}`", satellite.of)),
        };
        if !satellite.driving.is_empty() || satellite.start.is_some() || satellite.end.is_some() {
            return self.effectivity(satellite, parent, array, places, plan, at);
        }
        let set = match &satellite.each {
            Some(each) => {
                if array.is_some() {
                    return Err(format!("{at}/each: what it describes is of items already"));
                }
                let (find, distinct) = (satellite.find.clone(), satellite.distinct.clone());
                let each = Each { each: each.clone(), entries: false, find, distinct };
                Some(places.enter(&each).map_err(|what| format!("{at}/{what}"))?)
            }
            None if !satellite.children.is_empty() => {
                return Err(format!("{at}/children: belong to an `each`: a set is of an array's items"));
            }
            None => {
                places.reenter(array);
                array
            }
        };
        let Some(hashdiff) = &satellite.hashdiff else {
            return Err(format!("{at}/hashdiff: name its column"));
        };
        let keys = satellite.key.as_ref().or(key).map(String::as_str).into_iter().collect();
        let around = Around { keys, hashdiff: Some(hashdiff), period: None };
        let columns = satellite.columns;
        let entity = self.entity(satellite.table, columns, satellite.when, set, around, places, plan, at)?;
        places.leave();
        let (mut hashed, list) = match &satellite.hashdiff_of {
            Some(names) => (named(&entity.cells, names, &format!("{at}/hashdiff_of"))?, names.is_list()),
            None => {
                let all = entity.cells.iter().map(|cell| cell.name().to_owned()).collect();
                (named(&entity.cells, &Names::List(all), &format!("{at}/columns"))?, true)
            }
        };
        if satellite.hashdiff_of.is_none() || self.recipe.sorts_hashdiffs() {
            let name = |cell: &usize| entity.cells.get(*cell).map(|cell| cell.name().to_lowercase());
            hashed.sort_by_key(name);
        }
        if hashed.is_empty() && !satellite.hashdiff_is_key {
            return Err(format!("{at}: a hashdiff of no column"));
        }
        let state = match (satellite.each, satellite.hashdiff_is_key) {
            (Some(_), true) => return Err(format!("{at}/hashdiff_is_key: a set has a hashdiff")),
            (Some(_), false) => {
                let children =
                    named(&entity.cells, &Names::List(satellite.children), &format!("{at}/children"))?;
                if children.is_empty() {
                    return Err(format!("{at}/children: name what tells the members of the set apart"));
                }
                State::Set(children)
            }
            (None, true) => State::Present,
            (None, false) => State::Row,
        };
        let entity = Entity { hashed, list, ..entity };
        Ok(Satellite { entity, parent, state })
    }

    /// A satellite that says from when to when a link holds.
    fn effectivity(
        &self,
        satellite: config::Satellite,
        parent: Parent,
        array: Option<usize>,
        places: &mut Places,
        plan: &mut Plan,
        at: &str,
    ) -> Result<Satellite, String> {
        let link = match parent {
            Parent::Link(place) => self.links.get(place),
            Parent::Hub(_) => None,
        };
        let link = link.ok_or_else(|| format!("{at}/driving: only a link holds from a start to an end"))?;
        let (Some(start), Some(end)) = (&satellite.start, &satellite.end) else {
            return Err(format!("{at}: `driving` needs `start` and `end`, the names of columns"));
        };
        for name in &satellite.driving {
            let drives = |hub: &usize| self.hubs.get(*hub).is_some_and(|hub| hub.name == *name);
            if !link.hubs.iter().any(drives) {
                return Err(format!("{at}/driving: the link joins no hub `{name}`"));
            }
        }
        if satellite.driving.is_empty() || satellite.driving.len() == link.hubs.len() {
            return Err(format!("{at}/driving: name some of the link's hubs, and not all"));
        }
        let other = [
            ("each", satellite.each.is_some() || satellite.find.is_some() || satellite.distinct.is_some()),
            ("children", !satellite.children.is_empty()),
            ("hashdiff", satellite.hashdiff.is_some() || satellite.hashdiff_is_key),
            ("hashdiff_of", satellite.hashdiff_of.is_some()),
        ];
        if let Some((option, _)) = other.iter().find(|(_, given)| *given) {
            return Err(format!("{at}/{option}: a link that holds for a time has none"));
        }
        places.reenter(array);
        let mut keys = vec![satellite.key.as_deref().unwrap_or(&link.key_column)];
        keys.extend(link.hub_columns.iter().map(String::as_str));
        let kind = self.load_date.column().kind;
        if !matches!(kind, Kind::Timestamp | Kind::Date) {
            return Err(format!("{at}: the load date must be a timestamp or a date"));
        }
        let around = Around { keys, hashdiff: None, period: Some([start, end]) };
        let (table, columns) = (satellite.table, satellite.columns);
        let entity = self.entity(table, columns, satellite.when, array, around, places, plan, at)?;
        places.leave();
        Ok(Satellite { entity, parent, state: State::Pair(link.hubs.clone()) })
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
        plan.keep_recipe(table, self.recipe.id());
        Ok(Entity { table, array, when, cells, hashed: Vec::new(), list: true, period })
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
