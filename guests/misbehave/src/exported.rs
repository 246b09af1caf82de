//! The component's exports, by hand.

use crate::mode;
use crate::request::Request;
use crate::work::{self, Host};
use gristmill_sdk::bindings::exports::gristmill::transform::transformer::{
    ColumnPlan, Description, Guest, Kind, OutputPlan, Plan, TablePlan,
};
use gristmill_sdk::bindings::gristmill::transform::hashing::{Algorithm, digest_many};
use gristmill_sdk::bindings::gristmill::transform::lookup::get_many;
use gristmill_sdk::bindings::gristmill::transform::types::{Batch, Blobs, Effects};
use std::cell::RefCell;

thread_local! {
    static CONFIG: RefCell<Request> = RefCell::default();
}

struct Misbehave;

struct Outside;

impl Host for Outside {
    fn look_up(&self, key: &str) -> Option<Vec<u8>> {
        get_many("users", &[key.as_bytes().to_vec()]).pop().flatten()
    }

    fn sha256(&self, value: &[u8]) -> Vec<u8> {
        let ends = vec![crate::effects::narrow(value.len())];
        digest_many(Algorithm::Sha256, &Blobs { data: value.to_vec(), ends })
    }
}

impl Guest for Misbehave {
    fn describe() -> Description {
        at_once("describe");
        Description {
            about: "Does on demand what no transform may do. For tests of the host.".to_owned(),
            config_schema: Some(include_str!("../config.schema.json").to_owned()),
        }
    }

    fn configure(config: String) -> Result<Plan, String> {
        gristmill_sdk::log::install_panic_hook();
        at_once("configure");
        let config: Request = serde_json::from_str(&config).map_err(|error| format!(": {error}"))?;
        let deed = config.deed.clone().unwrap_or_default();
        match deed.strip_prefix("configure-") {
            Some("error") => return Err("/do: misbehave was asked for an error".to_owned()),
            Some(deed) => {
                crate::crimes::during(deed, 0, &mut crate::effects::Items::default())?;
            }
            None => {}
        }
        CONFIG.set(config);
        Ok(plan(&deed))
    }

    fn apply(batch: Batch) -> Result<Effects, String> {
        CONFIG.with_borrow(|config| work::apply(&batch, config, &Outside))
    }
}

/// Does what the module's mode says for this place.
fn at_once(place: &str) {
    let _ = crate::crimes::during(mode::deed(place), 0, &mut crate::effects::Items::default());
}

/// Called when an instance is made, before anything else.
#[allow(unsafe_code, reason = "the name that tool chains give to what runs at the start")]
#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    at_once("start");
}

fn plan(deed: &str) -> Plan {
    let column = |name: &str, kind, nullable| ColumnPlan { name: name.to_owned(), kind, nullable };
    let note = if mode::letter("plan") == b'c' { Kind::Float } else { Kind::Text };
    let columns = vec![column("id", Kind::Int, false), column("note", note, true)];
    let mut tables =
        vec![TablePlan { name: "items".to_owned(), columns: columns.clone(), recipe: None, needs: None }];
    if deed == "wide-plan" || mode::letter("plan") == b't' {
        tables.push(TablePlan { name: "unheard_of".to_owned(), columns, recipe: None, needs: None });
    }
    let outputs = vec![OutputPlan { name: "out".to_owned(), dynamic: false }];
    // The lookup only where it is used: other tests need no `users` in their spec.
    let lookups = if deed == "lookup" { vec!["users".to_owned()] } else { Vec::new() };
    Plan { tables, outputs, lookups, mails: false }
}

gristmill_sdk::bindings::export!(Misbehave with_types_in gristmill_sdk::bindings);
