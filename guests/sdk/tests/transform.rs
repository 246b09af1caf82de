//! A transform that uses everything, run as its author would test it.

use gristmill_sdk::testing::{self, Answers, Sent, TestRecord};
use gristmill_sdk::{
    Column, Date, Decimal, Failure, Faults, Json, Keys, Kind, Lookup, Mail, Out, Output, Plan, Record, Row,
    Table, Timestamp, Transform, Uuid,
};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Order<'a> {
    id: i64,
    name: Option<&'a str>,
    #[serde(borrow)]
    total: Option<Decimal<'a>>,
    day: Option<Date>,
    user: Option<&'a str>,
    #[serde(default)]
    then: &'a str,
}

#[derive(Row)]
#[row(table = "orders")]
struct OrderRow<'a> {
    id: i64,
    name: Option<&'a str>,
    total: Option<Decimal<'a>>,
    day: Option<Date>,
    made: Timestamp,
    #[row(column = "type")]
    kind: &'static str,
    owner: Option<&'a [u8]>,
    tag: Uuid,
    hash: [u8; 2],
    doc: Json<'static>,
    r#final: bool,
    weight: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    output: String,
}

struct Orders {
    out: Output,
    cities: Output,
    tags: Table,
    users: Lookup,
}

impl Transform for Orders {
    const ABOUT: &'static str = "For this test.";
    type Config = Config;

    fn configure(config: Config, plan: &mut Plan) -> Result<Self, String> {
        plan.table::<OrderRow>();
        plan.forwards();
        plan.mails();
        Ok(Self {
            out: plan.output(config.output),
            cities: plan.dynamic_output("cities"),
            tags: plan.define_table("tags", vec![Column::named("tag", Kind::Text, true)]),
            users: plan.lookup("users"),
        })
    }

    fn lookups(&self, record: &Record<'_>, keys: &mut Keys<'_>) -> Result<(), Failure> {
        if let Some(user) = record.json::<Order>()?.user {
            keys.ask(self.users, user);
        }
        Ok(())
    }

    fn transform(&self, record: &Record<'_>, out: &mut Out<'_, '_>) -> Result<(), Failure> {
        let order: Order = record.json()?;
        let owner = order.user.and_then(|user| record.looked_up(self.users, user));
        out.row(&OrderRow {
            id: order.id,
            name: order.name,
            total: order.total,
            day: order.day,
            made: Timestamp::from_millis(record.timestamp_ms()),
            kind: "order",
            owner,
            tag: Uuid([7; 16]),
            hash: [1, 255],
            doc: Json::of(&[1, 2]).map_err(|error| Failure::reject("json", error.to_string()))?,
            r#final: true,
            weight: 0.5,
        });
        if let Some(mut row) = out.begin_row(self.tags)
            && let Some(place) = row.place()
        {
            match order.name {
                Some(name) => place.text(name),
                None => place.null(),
            }
        }
        self.then(order.then, order.id, out)
    }
}

impl Orders {
    fn then(&self, then: &str, id: i64, out: &mut Out<'_, '_>) -> Result<(), Failure> {
        out.send(self.out).key_display(id);
        match then {
            "value" => drop(out.send(self.out).value("own").header("h", "x")),
            "tombstone" => drop(out.send(self.out).key("k").no_value()),
            "city" => drop(out.send(self.cities).topic("Köln")),
            "forward" => out.forward(),
            "mail" => out.mail(Mail::new("a@b.example", "Hi", "there")),
            "retry" => return Err(Failure::retry("later", "not yet")),
            "faults" => {
                let mut faults = Faults::default();
                faults.add(Failure::reject("one", "1").at("/a"));
                faults.add(Failure::reject("two", "2").at("/b"));
                faults.check()?;
            }
            "no-topic" => drop(out.send(self.cities)),
            "short" => drop(out.begin_row(self.tags)),
            _ => {}
        }
        Ok(())
    }
}

const CONFIG: &str = r#"{"output": "out"}"#;

fn run(values: &[&str]) -> Result<Vec<testing::Caused>, String> {
    let records: Vec<_> = values.iter().map(|value| TestRecord::text(*value).timestamp_ms(1)).collect();
    testing::run_with::<Orders>(CONFIG, &records, &Answers::default().with("users", "u1", "Ada"))
}

#[test]
fn every_kind_of_column() {
    let caused =
        run(&[r#"{"id": 1, "name": "A", "total": 1.50, "day": "2026-11-21", "user": "u1"}"#]).unwrap();
    let columns = serde_json::to_value(&caused[0].rows[0].columns).unwrap();
    assert_eq!(
        columns,
        json!({
            "id": 1, "name": "A", "total": "1.50", "day": "2026-11-21", "made": "1970-01-01T00:00:00.001000Z",
            "type": "order", "owner": "416461", "tag": "07070707-0707-0707-0707-070707070707", "hash": "01ff",
            "doc": [1, 2], "final": true, "weight": 0.5
        })
    );
    assert_eq!(caused[0].rows[1].columns["tag"], json!("A"));
}

#[test]
fn refused_records_leave_nothing_behind() {
    let caused = run(&[
        r#"{"id": 1, "name": "first", "then": "value"}"#,
        r#"{"id": 2, "name": "refused", "then": "faults"}"#,
        r#"{"id": 3, "then": "retry"}"#,
        r#"{"id": 4, "name": "fourth", "then": "tombstone"}"#,
        r#"{"id": 5"#,
        r#"{"id": 6, "then": "mail"}"#,
    ])
    .unwrap();
    let codes =
        |index: usize| caused[index].failures.iter().map(|fault| fault.code.as_str()).collect::<Vec<_>>();
    assert_eq!(codes(1), ["one", "two"]);
    assert_eq!(caused[1].failures[1].pointer.as_deref(), Some("/b"));
    assert!(caused[2].failures[0].retry);
    assert_eq!(codes(4), ["invalid-json"]);
    for index in [1, 2, 4] {
        assert!(caused[index].rows.is_empty() && caused[index].messages.is_empty());
    }
    assert_eq!(caused[3].rows[0].columns["name"], json!("fourth"));
    assert_eq!(caused[5].rows[0].columns["name"], json!(null));
    assert_eq!(caused[5].mails[0].to, ["a@b.example"]);
}

#[test]
fn own_values_beside_same_ones() {
    let caused = run(&[
        r#"{"id": 1}"#,
        r#"{"id": 2, "then": "value"}"#,
        r#"{"id": 3, "then": "tombstone"}"#,
        r#"{"id": 4, "then": "city"}"#,
        r#"{"id": 5, "then": "forward"}"#,
    ])
    .unwrap();
    let sent = |index: usize| caused[index].messages.iter().map(|one| one.value.clone()).collect::<Vec<_>>();
    // One output's messages are either all `same` or all spelled out.
    assert_eq!(sent(0), [Sent::Text(r#"{"id": 1}"#.to_owned())]);
    assert_eq!(sent(1)[1], Sent::Text("own".to_owned()));
    assert_eq!(caused[1].messages[1].headers["h"], json!("x"));
    assert_eq!(caused[1].messages[1].key, None);
    assert_eq!(sent(2)[1], Sent::None);
    assert_eq!(caused[2].messages[0].key.as_deref(), Some("3"));
    assert_eq!(caused[3].messages[1].topic.as_deref(), Some("Köln"));
    let next = &caused[4].messages[0];
    assert_eq!((next.output.as_str(), &next.value), ("next", &Sent::Same));
}

#[test]
fn same_values_stay_outside() {
    let caused = run(&[r#"{"id": 1}"#, r#"{"id": 2}"#]).unwrap();
    assert_eq!(caused[1].messages[0].value, Sent::Same);
}

#[test]
fn wrong_shapes_have_a_pointer() {
    let caused = run(&[r#"{"id": 1, "day": "2026-02-30"}"#]).unwrap();
    let fault = &caused[0].failures[0];
    assert_eq!((fault.code.as_str(), fault.pointer.as_deref()), ("wrong-shape", Some("/day")));
}

#[test]
fn authors_mistakes_end_the_batch() {
    assert!(run(&[r#"{"id": 1, "then": "no-topic"}"#]).unwrap_err().contains("topic"));
    assert!(run(&[r#"{"id": 1, "then": "short"}"#]).is_err());
}

#[test]
fn configurations_are_refused_with_a_pointer() {
    assert!(testing::refused_config::<Orders>("{\"output\": 5}").unwrap().starts_with("/output: "));
    assert!(testing::refused_config::<Orders>("{}").unwrap().contains("output"));
    assert_eq!(testing::refused_config::<Orders>(CONFIG), None);
}

#[test]
fn tombstones() {
    let caused = testing::run::<Orders>(CONFIG, &[TestRecord::tombstone().key("k")]).unwrap();
    assert_eq!(caused[0].failures[0].code, "no-value");
}

#[test]
fn digests_are_the_known_ones() {
    use gristmill_sdk::hashing::{Algorithm, Values, digest_many};
    let mut values = Values::default();
    values.push("");
    values.push("abc");
    let digests = digest_many(Algorithm::Md5, &values);
    assert_eq!(digests.iter().count(), 2);
    assert_eq!(digests.get(1).unwrap()[..4], [0x90, 0x01, 0x50, 0x98]);
    assert_eq!(digest_many(Algorithm::Sha1, &values).get(1).unwrap()[..4], [0xa9, 0x99, 0x3e, 0x36]);
    assert_eq!(digest_many(Algorithm::Sha256, &values).get(1).unwrap()[..4], [0xba, 0x78, 0x16, 0xbf]);
}

gristmill_sdk::export!(Orders, lookups);
