//! What one record causes in a vault: first all cells, then all digests in one call (where links are made of keys, in two),
//! then rows.

use crate::recipe::{Digest, Preimage, Recipe, Use};
use crate::text::text;
use crate::vault::{Entity, Link, Parent, Satellite, State, Vault};
use gristmill_rules::{CellRule, Facts, Made, Value, put};
use gristmill_sdk::hashing::{Digests, Values};
use gristmill_sdk::{Date, Failure, Faults, Out, RowWriter, Timestamp};
use std::borrow::Cow;
use std::collections::HashMap;

/// The cells of one row.
type Cells<'r> = Vec<Option<Value<'r>>>;

/// What an entity makes of a record: the cells of one row, or of one for each item. `None`: it does not apply.
type Drafts<'r> = Vec<Option<Cells<'r>>>;

/// The keys or hashdiffs of an entity's rows. `None`: there is no row, or its key is NULL.
type Keys = Vec<Option<Digest>>;

/// Writes the rows, or adds faults. The keys become values that rules can name.
pub fn load<'r>(
    vault: &'r Vault,
    facts: &Facts<'r>,
    out: &mut Out<'_, '_>,
    made: &mut Made,
    faults: &mut Faults,
) {
    let hubs: Vec<Drafts<'_>> =
        vault.hubs.iter().map(|hub| drafts(&hub.entity, &[], facts, faults)).collect();
    let of_links = |link: &'r Link| {
        let joined: Vec<&Drafts<'_>> = link.hubs.iter().filter_map(|hub| hubs.get(*hub)).collect();
        drafts(&link.entity, &joined, facts, faults)
    };
    let links: Vec<Drafts<'_>> = vault.links.iter().map(of_links).collect();
    let of_satellites = |satellite: &'r Satellite| {
        let parent = match satellite.parent {
            Parent::Hub(hub) => hubs.get(hub),
            Parent::Link(link) => links.get(link),
        };
        let rows = drafts(&satellite.entity, parent.as_slice(), facts, faults);
        match &satellite.state {
            State::Set(children) => members(&satellite.entity, children, rows, faults),
            _ => rows,
        }
    };
    let satellites: Vec<Drafts<'_>> = vault.satellites.iter().map(of_satellites).collect();
    let load_date = vault.load_date.value(facts, faults);
    let record_source = vault.record_source.value(facts, faults);
    let (Ok(Some(load_date)), Ok(Some(record_source)), true) = (load_date, record_source, faults.is_empty())
    else {
        return;
    };
    let keys = match hash(vault, &hubs, &links, &satellites) {
        Ok(keys) => keys,
        // The host knew the secret when the stage was configured.
        Err(what) => return faults.add(Failure::retry("no-digests", what)),
    };
    let stamps = [load_date, record_source];
    for (place, hub) in vault.hubs.iter().enumerate() {
        let of_hub = nth(&keys.hubs, place);
        tell(made, hub.value, &vault.recipe, of_hub);
        let mut rows = Rows::new(&vault.recipe, &hub.entity, &stamps);
        for (cells, key) in nth(&hubs, place).iter().zip(of_hub) {
            if let (Some(cells), Some(key)) = (cells, key) {
                rows.write_changes(out, &[key], cells);
            }
        }
    }
    for (place, link) in vault.links.iter().enumerate() {
        let of_link = nth(&keys.links, place);
        tell(made, link.value, &vault.recipe, of_link);
        let mut rows = Rows::new(&vault.recipe, &link.entity, &stamps);
        for (row, (cells, key)) in nth(&links, place).iter().zip(of_link).enumerate() {
            let hubs = link.hubs.iter().map(|hub| at(nth(&keys.hubs, *hub), row));
            let all: Option<Vec<&Digest>> = std::iter::once(key.as_ref()).chain(hubs).collect();
            if let (Some(cells), Some(all)) = (cells, all) {
                rows.write_changes(out, &all, cells);
            }
        }
    }
    for (place, satellite) in vault.satellites.iter().enumerate() {
        let parents = match satellite.parent {
            Parent::Hub(hub) => nth(&keys.hubs, hub),
            Parent::Link(link) => nth(&keys.links, link),
        };
        let mut rows = Rows::new(&vault.recipe, &satellite.entity, &stamps);
        let hashdiffs = nth(&keys.hashdiffs, place);
        for (row, (cells, hashdiff)) in nth(&satellites, place).iter().zip(hashdiffs).enumerate() {
            let (Some(cells), Some(parent)) = (cells, at(parents, row)) else { continue };
            let beside: Option<Vec<&Digest>> = match &satellite.state {
                State::Row | State::Set(_) => hashdiff.as_ref().map(|hashdiff| vec![hashdiff]),
                State::Present => Some(vec![parent]),
                State::Pair(hubs) => hubs.iter().map(|hub| at(nth(&keys.hubs, *hub), row)).collect(),
            };
            let Some(beside) = beside else { continue };
            let all: Vec<&Digest> = std::iter::once(parent).chain(beside).collect();
            match satellite.state {
                State::Row | State::Present => rows.write_changes(out, &all, cells),
                // Of pairs the last one counts, though it may have been there before.
                State::Set(_) | State::Pair(_) => rows.write(out, &all, cells),
            }
        }
    }
}

/// The cells of an entity, for the record or for each item: where its condition holds, and what it joins or describes is there.
fn drafts<'r>(
    entity: &'r Entity,
    parents: &[&Drafts<'_>],
    facts: &Facts<'r>,
    faults: &mut Faults,
) -> Drafts<'r> {
    let holds = |facts: &Facts<'r>| entity.when.as_ref().is_none_or(|when| when.holds(facts));
    let stands = |row: usize| parents.iter().all(|parent| at(parent, row).is_some());
    let mut drafts = Vec::new();
    let no_array = facts.each(entity.array, faults, |facts, faults| {
        let applies = stands(drafts.len()) && holds(facts);
        drafts.push(applies.then(|| {
            // A cell whose value is refused has its fault: the record writes nothing then.
            entity.cells.iter().map(|cell| cell.value(facts, faults).unwrap_or(None)).collect()
        }));
    });
    // What is of the same items as its parent need not say so again: the parent has no rows.
    if let Some(failure) = no_array
        && stands(0)
        && entity.when.as_ref().is_none_or(|when| when.may_hold(facts))
    {
        faults.add(failure);
    }
    drafts
}

/// The members of a set, each once. Of two that cannot be told apart the table would keep one, and nobody would know which:
/// a fault, unless they say the same.
fn members<'r>(entity: &Entity, children: &[usize], rows: Drafts<'r>, faults: &mut Faults) -> Drafts<'r> {
    let mut known: HashMap<Vec<Option<String>>, usize> = HashMap::new();
    let mut members: Drafts<'r> = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(cells) = row else {
            members.push(None);
            continue;
        };
        let tells_apart = |cell: &usize| {
            let value = cells.get(*cell)?.as_ref()?;
            let text = text(value, false)?.into_owned();
            // `1.0` and `1.00` are one key.
            let zeros = matches!(value, Value::Decimal(_)) && text.contains('.');
            Some(if zeros { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text })
        };
        let member: Vec<Option<String>> = children.iter().map(tells_apart).collect();
        let Some(before) = known.get(&member).and_then(|place| members.get(*place)) else {
            known.insert(member, members.len());
            members.push(Some(cells));
            continue;
        };
        if before.as_ref() != Some(&cells) {
            let names: Vec<&str> =
                children.iter().filter_map(|cell| entity.cells.get(*cell)).map(CellRule::name).collect();
            let values: Vec<&str> = member.iter().map(|text| text.as_deref().unwrap_or("NULL")).collect();
            let (names, values) = (names.join("`, `"), values.join("`, `"));
            let reason =
                format!("two members of a set have the same `{names}`, `{values}`, and are not the same");
            faults.add(Failure::reject("repeated-member", reason));
        }
        members.push(None);
    }
    members
}

/// All keys and hashdiffs of a record.
struct Hashed {
    hubs: Vec<Keys>,
    links: Vec<Keys>,
    hashdiffs: Vec<Keys>,
}

fn hash(
    vault: &Vault,
    hubs: &[Drafts<'_>],
    links: &[Drafts<'_>],
    satellites: &[Drafts<'_>],
) -> Result<Hashed, String> {
    let recipe = &vault.recipe;
    let mut work = Waiting::new(recipe);
    let of_hubs: Vec<Vec<Slot>> =
        vault.hubs.iter().zip(hubs).map(|(hub, drafts)| work.all(&hub.entity, drafts, Use::Key)).collect();
    let of_satellites: Vec<Vec<Slot>> = vault
        .satellites
        .iter()
        .zip(satellites)
        .map(|(satellite, drafts)| match &satellite.state {
            State::Present | State::Pair(_) => drafts.iter().map(|_| Slot::Known(None)).collect(),
            State::Row => work.all(&satellite.entity, drafts, Use::Hashdiff),
            State::Set(children) => work.set(&satellite.entity, drafts, children),
        })
        .collect();
    // Of business keys where the recipe says so: those go along in the same call.
    let of_links: Vec<Vec<Slot>> = match recipe.links_of_keys() {
        true => Vec::new(),
        false => link_slots(vault, links, &mut work, |hub, row, texts| {
            let entity = &vault.hubs.get(hub)?.entity;
            let cells = at(nth(hubs, hub), row)?;
            texts.extend(hashed_texts(recipe, entity, cells));
            Some(())
        }),
    };
    let digests = work.digest()?;
    let resolve = |slots: Vec<Vec<Slot>>, digests: &Digests| -> Vec<Keys> {
        let keys = |slots: Vec<Slot>| slots.into_iter().map(|slot| slot.resolve(recipe, digests)).collect();
        slots.into_iter().map(keys).collect()
    };
    let hashdiffs = resolve(of_satellites, &digests);
    let hub_keys = resolve(of_hubs, &digests);
    let link_keys = if recipe.links_of_keys() {
        let mut work = Waiting::new(recipe);
        let slots = link_slots(vault, links, &mut work, |hub, row, texts| {
            texts.push(Some(Cow::Owned(recipe.shown(at(nth(&hub_keys, hub), row)?))));
            Some(())
        });
        resolve(slots, &work.digest()?)
    } else {
        resolve(of_links, &digests)
    };
    Ok(Hashed { hubs: hub_keys, links: link_keys, hashdiffs })
}

/// What waits for the keys of links: `part` adds what a hub contributes, or says that there is no such hub.
fn link_slots<'v>(
    vault: &'v Vault,
    links: &'v [Drafts<'_>],
    work: &mut Waiting<'_>,
    part: impl Fn(usize, usize, &mut Vec<Option<Cow<'v, str>>>) -> Option<()>,
) -> Vec<Vec<Slot>> {
    let mut all = Vec::with_capacity(links.len());
    for (link, drafts) in vault.links.iter().zip(links) {
        let mut slots = Vec::with_capacity(drafts.len());
        for (row, cells) in drafts.iter().enumerate() {
            let mut texts = Vec::new();
            let whole = link.hubs.iter().all(|hub| part(*hub, row, &mut texts).is_some());
            slots.push(match cells {
                Some(cells) if whole => {
                    texts.extend(hashed_texts(&vault.recipe, &link.entity, cells));
                    work.push(vault.recipe.preimage(&texts, Use::Key, true))
                }
                _ => Slot::Known(None),
            });
        }
        all.push(slots);
    }
    all
}

/// The texts of the cells that are hashed.
fn hashed_texts<'v>(
    recipe: &'v Recipe,
    entity: &'v Entity,
    cells: &'v [Option<Value<'_>>],
) -> impl Iterator<Item = Option<Cow<'v, str>>> {
    let cells = entity.hashed.iter().map(|cell| cells.get(*cell).and_then(Option::as_ref));
    cells.map(|cell| cell.and_then(|value| text(value, recipe.zoned())))
}

/// What a digest comes from.
#[derive(Clone, Copy)]
enum Slot {
    /// The value with this number.
    Waits(usize),
    Known(Option<Digest>),
}

impl Slot {
    fn resolve(self, recipe: &Recipe, digests: &Digests) -> Option<Digest> {
        match self {
            Self::Known(digest) => digest,
            Self::Waits(number) => digests.get(number).map(|digest| recipe.finish(digest)),
        }
    }
}

/// Values whose digests are made together.
struct Waiting<'w> {
    recipe: &'w Recipe,
    values: Values,
    count: usize,
}

impl<'w> Waiting<'w> {
    fn new(recipe: &'w Recipe) -> Self {
        Self { recipe, values: Values::default(), count: 0 }
    }

    fn push(&mut self, preimage: Preimage) -> Slot {
        match preimage {
            Preimage::Null => Slot::Known(None),
            Preimage::Zeros => Slot::Known(Some(self.recipe.zeros())),
            Preimage::Bytes(bytes) => {
                self.values.push(bytes);
                self.count += 1;
                Slot::Waits(self.count - 1)
            }
        }
    }

    fn all(&mut self, entity: &Entity, drafts: &Drafts<'_>, of: Use) -> Vec<Slot> {
        let slot = |cells: &Option<Cells<'_>>| match cells {
            None => Slot::Known(None),
            Some(cells) => {
                let texts: Vec<_> = hashed_texts(self.recipe, entity, cells).collect();
                self.push(self.recipe.preimage(&texts, of, entity.list))
            }
        };
        drafts.iter().map(slot).collect()
    }

    /// One hashdiff for all rows: of the texts of all members, in the order of what tells them apart, so that the order of the
    /// array makes no difference.
    fn set(&mut self, entity: &Entity, drafts: &Drafts<'_>, children: &[usize]) -> Vec<Slot> {
        let of = |cells: &[usize], row: &Cells<'_>| -> Vec<Option<String>> {
            let cells = cells.iter().map(|cell| row.get(*cell).and_then(Option::as_ref));
            cells.map(|cell| Some(text(cell?, self.recipe.zoned())?.into_owned())).collect()
        };
        let mut members: Vec<[Vec<Option<String>>; 2]> =
            drafts.iter().flatten().map(|row| [of(children, row), of(&entity.hashed, row)]).collect();
        members.sort();
        let texts: Vec<Option<Cow<'_, str>>> =
            members.into_iter().flat_map(|[_, texts]| texts).map(|text| text.map(Cow::Owned)).collect();
        let slot = self.push(self.recipe.preimage(&texts, Use::Hashdiff, true));
        drafts.iter().map(|row| if row.is_some() { slot } else { Slot::Known(None) }).collect()
    }

    fn digest(&self) -> Result<Digests, String> {
        self.recipe.digests(&self.values)
    }
}

/// An item's, else the record's: what is of the record belongs to each of its items.
fn at<T>(all: &[Option<T>], row: usize) -> Option<&T> {
    if all.len() == 1 { all.first() } else { all.get(row) }?.as_ref()
}

fn nth<T>(all: &[Vec<T>], place: usize) -> &[T] {
    all.get(place).map_or(&[], Vec::as_slice)
}

/// Lets rules name keys.
fn tell(made: &mut Made, value: usize, recipe: &Recipe, keys: &[Option<Digest>]) {
    for key in keys {
        made.push(
            value,
            key.as_ref().map(|key| {
                let mut text = String::with_capacity(70);
                text.push('"');
                recipe.show(key, &mut text);
                text.push('"');
                text
            }),
        );
    }
}

/// The end that is not known, of the kind of a load date: 9999-12-31.
fn for_ever(load_date: &Value<'_>) -> Value<'static> {
    const DAYS: i32 = 2_932_896;
    match load_date {
        Value::Date(_) => Value::Date(Date(DAYS)),
        _ => Value::Timestamp(Timestamp(i64::from(DAYS) * 86_400_000_000)),
    }
}

/// The rows of one entity.
struct Rows<'w> {
    recipe: &'w Recipe,
    entity: &'w Entity,
    stamps: &'w [Value<'w>; 2],
    /// The keys that were written, and the last row of each.
    written: HashMap<Digest, (Digest, &'w [Option<Value<'w>>])>,
}

impl<'w> Rows<'w> {
    fn new(recipe: &'w Recipe, entity: &'w Entity, stamps: &'w [Value<'w>; 2]) -> Self {
        Self { recipe, entity, stamps, written: HashMap::new() }
    }

    /// Writes a row, unless the last one with its key was the same: the items of a record often share a key.
    fn write_changes(&mut self, out: &mut Out<'_, '_>, keys: &[&Digest], cells: &'w [Option<Value<'w>>]) {
        if let (Some(_), [first, rest @ ..]) = (self.entity.array, keys) {
            let row = (**rest.first().unwrap_or(first), cells);
            if self.written.insert(**first, row) == Some(row) {
                return;
            }
        }
        self.write(out, keys, cells);
    }

    fn write(&self, out: &mut Out<'_, '_>, keys: &[&Digest], cells: &[Option<Value<'_>>]) {
        let Some(mut row) = out.begin_row(self.entity.table) else { return };
        for key in keys {
            self.digest(&mut row, key);
        }
        if self.entity.period {
            let [load_date, _] = self.stamps;
            for value in [load_date, &for_ever(load_date)] {
                let Some(place) = row.place() else { return };
                put(place, value);
            }
        }
        for cell in cells.iter().map(Option::as_ref).chain(self.stamps.iter().map(Some)) {
            let Some(place) = row.place() else { return };
            match cell {
                Some(value) => put(place, value),
                None => place.null(),
            }
        }
    }

    fn digest(&self, row: &mut RowWriter<'_>, digest: &Digest) {
        let Some(place) = row.place() else { return };
        if self.recipe.is_text() {
            place.text(&self.recipe.shown(digest));
        } else {
            place.fixed(digest.bytes());
        }
    }
}
