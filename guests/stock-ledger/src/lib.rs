//! Keeps the stock of stores (README.md): each transaction goes into the journal once and changes what is there, and what
//! is sold must be there.

use gristmill_sdk::{
    Config, Failure, Faults, Keyed, Keys, Out, Plan, Record, Row, Timestamp, Transform, Uuid,
};
use serde::Deserialize;
use std::borrow::Cow;

/// A transaction as it comes in: all of it is text, as in a CSV file.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    transaction_id: Cow<'a, str>,
    #[serde(borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    date: Cow<'a, str>,
    #[serde(borrow)]
    store_number: Cow<'a, str>,
    #[serde(borrow)]
    item_number: Cow<'a, str>,
    #[serde(borrow)]
    value: Cow<'a, str>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Incoming,
    Sale,
}

/// The same, read.
struct Transaction {
    id: Uuid,
    kind: Kind,
    at: Timestamp,
    store: i32,
    item: i32,
    value: i32,
}

/// A line of the journal.
#[derive(Clone, Row, Deserialize)]
#[row(table = "transactions")]
struct Journaled {
    transaction_id: Uuid,
    event: Cow<'static, str>,
    timestamp: Timestamp,
    store_number: i32,
    item_number: i32,
    amount: i32,
}

/// What is there of an item in a store.
#[derive(Clone, Row, Deserialize)]
#[row(table = "items")]
struct Stock {
    store_id: i32,
    item_id: i32,
    amount: i32,
}

#[derive(Row)]
#[row(table = "stores")]
struct Store {
    id: i32,
}

/// The transform.
pub struct StockLedger {
    journal: Keyed<Journaled>,
    stock: Keyed<Stock>,
}

impl Transform for StockLedger {
    const ABOUT: &'static str =
        "Keeps the stock of stores: each transaction counts once, and what is sold must be there.";
    type Config = Config;

    fn configure(_: Config, plan: &mut Plan) -> Result<Self, String> {
        plan.table::<Store>();
        Ok(Self { journal: plan.keyed("journal"), stock: plan.keyed("stock") })
    }

    fn lookups(&self, record: &Record<'_>, keys: &mut Keys<'_>) -> Result<(), Failure> {
        let transaction = Transaction::of(record)?;
        keys.ask_row(&self.journal, &[&transaction.id]);
        keys.ask_row(&self.stock, &[&transaction.store, &transaction.item]);
        Ok(())
    }

    fn transform(&self, record: &Record<'_>, out: &mut Out<'_, '_>) -> Result<(), Failure> {
        let transaction = Transaction::of(record)?;
        let known = out.get(&self.journal, &[&transaction.id]).is_some();
        if !known {
            let (store, item) = (transaction.store, transaction.item);
            let before = out.get(&self.stock, &[&store, &item]);
            let amount = transaction.applied(before.map(|stock| stock.amount))?;
            out.row(&Store { id: store });
            out.put(&self.stock, &[&store, &item], Stock { store_id: store, item_id: item, amount });
        }
        // Also of one that is known: the host compares, and says whether this is the same once more or another one.
        out.put(&self.journal, &[&transaction.id], transaction.journaled());
        Ok(())
    }
}

impl Transaction {
    /// Reads a record; all that is wrong with it is told.
    fn of(record: &Record<'_>) -> Result<Self, Failure> {
        let event: Event = record.json()?;
        let mut faults = Faults::default();
        let id = Uuid::parse(&event.transaction_id);
        let kind = match &*event.event_type {
            "incoming" => Some(Kind::Incoming),
            "sale" => Some(Kind::Sale),
            _ => None,
        };
        let at = Timestamp::parse(&event.date);
        let [store, item, value] =
            [&event.store_number, &event.item_number, &event.value].map(|text| number(text));
        let value = value.filter(|value| *value > 0);
        for (bad, code, pointer, reason) in [
            (id.is_none(), "bad-uuid", "/transaction_id", "not a uuid"),
            (kind.is_none(), "bad-event-type", "/event_type", "incoming or sale"),
            (at.is_none(), "bad-date", "/date", "not a date and time: 2020-01-31T10:00:00Z"),
            (store.is_none(), "bad-number", "/store_number", "not a whole number from 0 to 2147483647"),
            (item.is_none(), "bad-number", "/item_number", "not a whole number from 0 to 2147483647"),
            (value.is_none(), "bad-number", "/value", "not a whole number from 1 to 2147483647"),
        ] {
            if bad {
                faults.add(Failure::reject(code, reason).at(pointer));
            }
        }
        if let (Some(store), Some(item)) = (store, item)
            && record.key() != Some(format!("{store}-{item}").as_bytes())
        {
            // Records of one item would be worked through at once, on several lanes.
            let reason = format!("the record's key must be its store and item, {store}-{item}");
            faults.add(Failure::reject("wrong-key", reason));
        }
        faults.check()?;
        match (id, kind, at, store, item, value) {
            (Some(id), Some(kind), Some(at), Some(store), Some(item), Some(value)) => {
                Ok(Self { id, kind, at, store, item, value })
            }
            _ => Err(Failure::reject("wrong-shape", "not a transaction")),
        }
    }

    /// What is there after it. A sale of what is not there may find it later.
    fn applied(&self, before: Option<i32>) -> Result<i32, Failure> {
        let (store, item) = (self.store, self.item);
        match (self.kind, before) {
            (Kind::Incoming, before) => before.unwrap_or(0).checked_add(self.value).ok_or_else(|| {
                Failure::reject(
                    "too-much",
                    format!("{store}-{item} stock amount would be more than {}", i32::MAX),
                )
                .at("/value")
            }),
            (Kind::Sale, None) => Err(Failure::retry("no-item", format!("{store}-{item} does not exist!"))),
            (Kind::Sale, Some(before)) => {
                let after = i64::from(before) - i64::from(self.value);
                i32::try_from(after).ok().filter(|after| *after >= 0).ok_or_else(|| {
                    let reason = format!("{store}-{item} stock amount would be less than 0: {after}!");
                    Failure::retry("out-of-stock", reason)
                })
            }
        }
    }

    fn journaled(&self) -> Journaled {
        let event = match self.kind {
            Kind::Incoming => "incoming",
            Kind::Sale => "sale",
        };
        Journaled {
            transaction_id: self.id,
            event: Cow::Borrowed(event),
            timestamp: self.at,
            store_number: self.store,
            item_number: self.item,
            amount: self.value,
        }
    }
}

/// Digits only: `+5`, ` 5` and `-0` are none of the numbers that the journal's readers write.
fn number(text: &str) -> Option<i32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

gristmill_sdk::export!(StockLedger, lookups);
