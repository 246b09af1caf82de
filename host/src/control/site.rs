//! What all routes share: the state, and the specs' tables by name.

use super::admission::Admission;
use super::auth::{Known, Rules};
use super::state::AppState;
use crate::sites::Specs;
use crate::spec::{Route, Spec, Table};
use parking_lot::RwLock;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Why nothing can be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Two pipelines add the same route.
    #[error("the pipelines `{first}` and `{second}` both add the route {method} {path}")]
    Route {
        /// The method.
        method: &'static str,
        /// The path.
        path: String,
        /// One pipeline.
        first: String,
        /// The other.
        second: String,
    },
    /// Two pipelines have a table of the same name.
    #[error("the pipelines `{first}` and `{second}` both have a table `{table}`")]
    Table {
        /// The table.
        table: String,
        /// One pipeline.
        first: String,
        /// The other.
        second: String,
    },
    /// The listener failed.
    #[error("HTTP cannot be served: {0}")]
    Listen(#[source] std::io::Error),
}

/// What all routes share.
pub(super) struct Site {
    pub(super) state: AppState,
    pub(super) admission: Admission,
    pub(super) known: Known,
    doors: RwLock<Arc<Doors>>,
}

/// What the pipelines of a moment add: their tables, their routes, and the rules of those.
pub(super) struct Doors {
    pub(super) specs: Specs,
    pub(super) rules: Rules,
    tables: BTreeMap<String, (Arc<Spec>, usize)>,
}

impl Site {
    pub(super) fn new(state: AppState) -> Result<Self, Error> {
        let doors = Doors::of(state.specs.borrow().clone())?;
        let (admission, known) = (Admission::new(&state.limits), Known::new(state.store.clone()));
        Ok(Site { state, admission, known, doors: RwLock::new(Arc::new(doors)) })
    }

    /// What the pipelines add now.
    pub(super) fn doors(&self) -> Arc<Doors> {
        let specs = self.state.specs.borrow().clone();
        let doors = self.doors.read().clone();
        if Arc::ptr_eq(&doors.specs, &specs) {
            return doors;
        }
        match Doors::of(specs) {
            Ok(new) => {
                let new = Arc::new(new);
                *self.doors.write() = new.clone();
                new
            }
            // Whoever applies a spec is told so; hosts that were given such specs keep what they have.
            Err(error) => {
                tracing::error!(%error, "routes and tables stay as they were");
                doors
            }
        }
    }

    /// A pipeline by its name.
    pub(super) fn pipeline(&self, name: &str) -> Option<Arc<Spec>> {
        self.doors().specs.iter().find(|spec| spec.name == name).cloned()
    }
}

impl Doors {
    /// What specs add.
    pub(super) fn of(specs: Specs) -> Result<Self, Error> {
        let mut tables: BTreeMap<String, (Arc<Spec>, usize)> = BTreeMap::new();
        for spec in specs.iter() {
            for (place, table) in spec.tables.iter().enumerate() {
                if let Some((first, _)) = tables.insert(table.name.clone(), (spec.clone(), place)) {
                    let (table, first) = (table.name.clone(), first.name.clone());
                    return Err(Error::Table { table, first, second: spec.name.clone() });
                }
            }
        }
        unique_routes(&specs)?;
        Ok(Doors { rules: Rules::of(&specs), specs, tables })
    }

    /// A table by its name.
    pub(super) fn table(&self, name: &str) -> Option<&Table> {
        let (spec, place) = self.tables.get(name)?;
        spec.tables.get(*place)
    }

    /// The names of all tables.
    pub(super) fn table_names(&self) -> impl Iterator<Item = &str> {
        self.tables.keys().map(String::as_str)
    }
}

fn unique_routes(specs: &[Arc<Spec>]) -> Result<(), Error> {
    let mut routes: HashMap<(&'static str, &str), &str> = HashMap::new();
    for spec in specs {
        for route in &spec.routes {
            let method = match route {
                Route::Ingest { .. } | Route::Generate { .. } => "POST",
                Route::Read { .. } => "GET",
            };
            if let Some(first) = routes.insert((method, route.path()), &spec.name) {
                let (path, first) = (route.path().to_owned(), first.to_owned());
                return Err(Error::Route { method, path, first, second: spec.name.clone() });
            }
        }
    }
    Ok(())
}
