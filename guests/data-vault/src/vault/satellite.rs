//! Satellites: what they describe, and what their states are.

use super::{Around, Entity, Parent, Satellite, State, Vault, named, one_row};
use crate::config::{self, Names};
use gristmill_rules::{Places, config::Each};
use gristmill_sdk::{Kind, Needs, Plan};

/// What the table is of a satellite that has the present state only.
const PRESENT_ROW: &[&str] = &["last-wins", "newest-wins"];

impl Vault {
    pub(super) fn satellite(
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
            None if satellite.find.is_some() || satellite.distinct.is_some() => {
                return Err(format!("{at}: `find` and `distinct` belong to an `each`"));
            }
            None => {
                places.reenter(array);
                array
            }
        };
        let Some(hashdiff) = &satellite.hashdiff else {
            return Err(format!("{at}/hashdiff: name its column"));
        };
        let key = satellite.key.as_ref().or(key).cloned().unwrap_or_default();
        let around = Around { keys: vec![&key], hashdiff: Some(hashdiff), period: None };
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
        if satellite.hashdiff_is_key && satellite.hashdiff_of.is_some() {
            return Err(format!("{at}/hashdiff_of: the key stands in the place of a hashdiff"));
        }
        let made_of = self.made_of(parent);
        let states = |children: &[String]| self.states(&[&key], hashdiff, children, None);
        let (state, kept, needs) = match (satellite.each, satellite.hashdiff_is_key) {
            (Some(_), true) => return Err(format!("{at}/hashdiff_is_key: a set has a hashdiff")),
            (Some(_), false) => {
                let names = satellite.children;
                let (kept, needs) = (format!("{made_of}; sets by {}", names.join(", ")), states(&names));
                let children = named(&entity.cells, &Names::List(names), &format!("{at}/children"))?;
                if children.is_empty() {
                    return Err(format!("{at}/children: name what tells the members of the set apart"));
                }
                (State::Set(children), kept, needs)
            }
            (None, true) => {
                (State::Present, format!("{made_of}; the present state"), one_row(PRESENT_ROW, &key))
            }
            (None, false) => (State::Row, format!("{made_of}; all states"), states(&[])),
        };
        self.keep_recipe(&entity, &kept, plan);
        plan.need(entity.table, needs);
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
        let key = satellite.key.as_deref().unwrap_or(&link.key_column);
        let mut keys = vec![key];
        keys.extend(link.hub_columns.iter().map(String::as_str));
        let kind = self.load_date.column().kind;
        if !matches!(kind, Kind::Timestamp | Kind::Date) {
            return Err(format!("{at}: the load date must be a timestamp or a date"));
        }
        let around = Around { keys, hashdiff: None, period: Some([start, end]) };
        let (table, columns) = (satellite.table, satellite.columns);
        let entity = self.entity(table, columns, satellite.when, array, around, places, plan, at)?;
        places.leave();
        let drives =
            |hub: &usize| self.hubs.get(*hub).is_some_and(|hub| satellite.driving.contains(&hub.name));
        let joined = link.hubs.iter().zip(&link.hub_columns);
        let mut driving: Vec<&str> =
            joined.filter(|(hub, _)| drives(hub)).map(|(_, column)| column.as_str()).collect();
        driving.sort_unstable();
        let kept = format!("{}; pairs by {}", self.made_of(parent), driving.join(", "));
        self.keep_recipe(&entity, &kept, plan);
        plan.need(entity.table, self.states(&driving, key, &[], Some([start, end])));
        Ok(Satellite { entity, parent, state: State::Pair(link.hubs.clone()) })
    }

    /// What the table is of a satellite that has all states.
    fn states(&self, key: &[&str], hashdiff: &str, children: &[String], period: Option<[&str; 2]>) -> Needs {
        let one = |name: &str| vec![name.to_owned()];
        let key = key.iter().map(|name| (*name).to_owned()).collect();
        let [start, end] = period.map_or([vec![], vec![]], |period| period.map(one));
        let settings = vec![
            ("key", key),
            ("hashdiff", one(hashdiff)),
            ("load", one(self.load_date.name())),
            ("children", children.to_vec()),
            ("start", start),
            ("end", end),
        ];
        Needs { modes: &["satellite"], settings }
    }

    fn made_of(&self, parent: Parent) -> &str {
        match parent {
            Parent::Hub(hub) => self.hubs.get(hub).map(|hub| hub.made_of.as_str()),
            Parent::Link(link) => self.links.get(link).map(|link| link.made_of.as_str()),
        }
        .unwrap_or_default()
    }
}
