//! Tables: made, extended, verified; read with filters and in pages; looked up by key.

use super::world::{V, World, spec};
use gristmill::store::{Error, Filter, FilterOp, TableQuery};
use serde_json::json;

super::on_both!(
    every_type_reads_as_documented,
    filters_compare_by_type,
    pages_follow_each_other,
    appended_rows_page_in_their_order,
    rows_are_looked_up,
    a_spec_may_grow,
    a_table_begins_with_its_initial_rows,
    a_spec_that_does_not_fit_is_refused,
    hosts_prepare_at_once,
    a_table_keeps_its_recipe,
);

const TYPES: &str = "[[table]]\nname = \"t\"\nmode = \"last-wins\"\nkey = [\"id\", \"k\"]\ncolumns = [\
     { name = \"id\", type = \"bigint\" }, { name = \"k\", type = \"text\" }, \
     { name = \"f\", type = \"double\", nullable = true }, { name = \"o\", type = \"boolean\", nullable = true }, \
     { name = \"y\", type = \"bytes\", nullable = true }, { name = \"u\", type = \"uuid\", nullable = true }, \
     { name = \"tz\", type = \"timestamptz\", nullable = true }, { name = \"ts\", type = \"timestamp\", nullable = true }, \
     { name = \"d\", type = \"date\", nullable = true }, { name = \"m\", type = \"numeric(6,2)\", nullable = true }, \
     { name = \"j\", type = \"json\", nullable = true }, { name = \"s\", type = \"smallint\", nullable = true }]";

fn full(id: i64, key: &str, money: &str) -> [V; 12] {
    [
        V::I(id),
        key.into(),
        V::F(1.0),
        V::B(true),
        V::Bytes(vec![0, 255]),
        "a0eebc999c0b4ef8bb6d6bb9bd380a11".into(),
        V::I(1_709_211_909_120_000),
        V::I(-1),
        V::I(19_782),
        money.into(),
        "[1, null]".into(),
        V::I(-5),
    ]
}

async fn every_type_reads_as_documented(world: World) {
    let mut lane = world.lane(&spec(TYPES)).await;
    let mut nulls: [V; 12] = std::array::from_fn(|_| V::Null);
    nulls[0] = V::I(i64::MAX);
    nulls[1] = "".into();
    lane.write("t", &[&full(1, "ä", "7.1"), &nulls]).await;
    let rows = lane.rows("t").await;
    assert_eq!(
        rows[0],
        json!({"id": 1, "k": "ä", "f": 1.0, "o": true, "y": "AP8=", "u": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "tz": "2024-02-29T13:05:09.120000Z", "ts": "1969-12-31T23:59:59.999999", "d": "2024-02-29",
            "m": "7.10", "j": [1, null], "s": -5})
    );
    assert_eq!(
        (&rows[1]["id"], &rows[1]["j"], &rows[1]["o"]),
        (&json!(i64::MAX), &json!(null), &json!(null))
    );
    assert_eq!(world.store.count_rows(&lane.spec.tables[0]).await.unwrap(), 2);
}

async fn filters_compare_by_type(world: World) {
    let mut lane = world.lane(&spec(TYPES)).await;
    lane.write("t", &[&full(1, "a", "9.5"), &full(2, "B", "10"), &full(30, "c", "-3")]).await;
    let table = &lane.spec.tables[0];
    let found = async |column: &str, op: FilterOp, value: &str| {
        let filter = Filter { column: table.column(column).unwrap(), op, value: value.to_owned() };
        let query = TableQuery { filters: vec![filter], after: None, limit: 10 };
        let page = world.store.read_table(table, &query).await;
        page.map(|page| page.rows.iter().map(|row| row["id"].as_i64().unwrap()).collect::<Vec<_>>())
    };
    use FilterOp::{Eq, Ge, Gt, Le, Lt, Ne};
    for (column, op, value, expected) in [
        ("id", Ge, "2", &[2, 30][..]),
        ("k", Gt, "B", &[1, 30]),
        ("k", Eq, "B", &[2]),
        ("m", Gt, "9", &[1, 2]),
        ("m", Eq, "9.50", &[1]),
        ("f", Le, "1.5", &[1, 2, 30]),
        ("o", Ne, "true", &[]),
        ("y", Eq, "AP8=", &[1, 2, 30]),
        ("u", Eq, "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", &[1, 2, 30]),
        ("tz", Lt, "2024-02-29T14:05:10+01:00", &[1, 2, 30]),
        ("ts", Eq, "1969-12-31T23:59:59.999999", &[1, 2, 30]),
        ("d", Eq, "2024-02-29", &[1, 2, 30]),
        ("s", Lt, "-5", &[]),
    ] {
        assert_eq!(found(column, op, value).await.unwrap(), expected, "{column} {op:?} {value}");
    }
    for (column, value) in [
        ("id", "1.5"),
        ("id", "99999999999999999999"),
        ("s", "70000"),
        ("d", "29.2.2024"),
        ("tz", "soon"),
        ("u", "x"),
        ("m", "1e3"),
        ("o", "yes"),
        ("y", "%"),
        ("j", "{}"),
        ("k", "a\0"),
    ] {
        let error = found(column, Eq, value).await.unwrap_err();
        assert!(matches!(error, Error::BadRequest(_)) && error.to_string().contains(column), "{error}");
    }
}

async fn pages_follow_each_other(world: World) {
    let mut lane = world.lane(&spec(TYPES)).await;
    let rows: Vec<[V; 12]> = (0..25).map(|n| full(n / 3, ["a", "B", "ä"][(n % 3) as usize], "1")).collect();
    let rows: Vec<&[V]> = rows.iter().map(|row| &row[..]).collect();
    lane.write("t", &rows).await;
    let table = &lane.spec.tables[0];
    let (mut query, mut got, mut pages) = (TableQuery { limit: 4, ..TableQuery::default() }, Vec::new(), 0);
    loop {
        let page = world.store.read_table(table, &query).await.unwrap();
        got.extend(
            page.rows.iter().map(|row| (row["id"].as_i64().unwrap(), row["k"].as_str().unwrap().to_owned())),
        );
        pages += 1;
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    let mut sorted = got.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!((pages, &got), (7, &sorted), "by the bytes of the keys, each row once");
    assert_eq!(got.len(), 25);
    query.after = Some("nonsense".into());
    assert!(matches!(world.store.read_table(table, &query).await, Err(Error::BadRequest(_))));
}

async fn appended_rows_page_in_their_order(world: World) {
    world.sql("CREATE TABLE dba (n bigint NOT NULL)").await;
    let table = |name: &str, create: bool| {
        format!(
            "[[table]]\nname = \"{name}\"\nmode = \"append\"\ncreate = {create}\ncolumns = [\
             {{ name = \"n\", type = \"bigint\" }}]\n"
        )
    };
    let mut lane = world.lane(&spec(&(table("t", true) + &table("dba", false)))).await;
    for name in ["t", "dba"] {
        lane.write(name, &[&[V::I(3)], &[V::I(1)], &[V::I(2)]]).await;
    }
    let mut query = TableQuery { limit: 2, ..TableQuery::default() };
    let first = world.store.read_table(&lane.spec.tables[0], &query).await.unwrap();
    assert_eq!(first.rows, [json!({"n": 3}), json!({"n": 1})]);
    query.after = first.next;
    let second = world.store.read_table(&lane.spec.tables[0], &query).await.unwrap();
    assert_eq!((second.rows, second.next), (vec![json!({"n": 2})], None));
    query.after = None;
    let page = world.store.read_table(&lane.spec.tables[1], &query).await.unwrap();
    assert_eq!((page.rows.len(), page.next), (2, None));
}

async fn rows_are_looked_up(world: World) {
    let spec = spec(
        "[[table]]\nname = \"dim.users\"\nmode = \"last-wins\"\nkey = [\"id\"]\ncolumns = [\
         { name = \"id\", type = \"bigint\" }, { name = \"name\", type = \"text\" }]",
    );
    let mut lane = world.lane(&spec).await;
    lane.write("dim.users", &[&[V::I(1), "Ann".into()], &[V::I(2), "Bob".into()]]).await;
    let keys: Vec<Vec<u8>> =
        ["2", "7", "x", "", "1", "2"].iter().map(|key| key.as_bytes().to_vec()).chain([vec![255]]).collect();
    let answers = world.store.lookup_rows(&spec.tables[0], &keys).await.unwrap();
    let answers: Vec<Option<&str>> = answers
        .iter()
        .map(|answer| answer.as_deref().map(|text| std::str::from_utf8(text).unwrap()))
        .collect();
    let (ann, bob) = (Some(r#"{"id":1,"name":"Ann"}"#), Some(r#"{"id":2,"name":"Bob"}"#));
    assert_eq!(answers, [bob, None, None, None, ann, bob, None]);
}

fn growing(columns: &str, more: &str) -> std::sync::Arc<gristmill::spec::Spec> {
    spec(&format!(
        "[[table]]\nname = \"a.t\"\nmode = \"last-wins\"\nkey = [\"id\"]\n{more}columns = [{columns}]"
    ))
}

const ID: &str = "{ name = \"id\", type = \"bigint\" }";

async fn a_spec_may_grow(world: World) {
    let mut lane = world.lane(&growing(ID, "")).await;
    lane.write("a.t", &[&[V::I(1)]]).await;
    let wider = growing(&format!("{ID}, {{ name = \"v\", type = \"varchar(5)\", nullable = true }}"), "");
    let mut lane = world.lane(&wider).await;
    lane.offset = 1;
    lane.write("a.t", &[&[V::I(2), "x".into()]]).await;
    assert_eq!(lane.rows("a.t").await, [json!({"id": 1, "v": null}), json!({"id": 2, "v": "x"})]);
    // An older spec still works beside it.
    world.store.prepare_tables(&growing(ID, "")).await.unwrap();
    let error =
        world.store.prepare_tables(&growing(&format!("{ID}, {{ name = \"w\", type = \"text\" }}"), "")).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("a.t") && error.contains(" w ") && error.contains("nullable = true"), "{error}");
}

async fn a_table_begins_with_its_initial_rows(world: World) {
    let of = |initial: &str| {
        spec(&format!(
            "[[table]]\nname = \"dv.s\"\nmode = \"satellite\"\nkey = [\"k\"]\nhashdiff = \"hd\"\nload = \"at\"\n\
             initial = [{initial}]\ncolumns = [{{ name = \"k\", type = \"uuid\" }}, {{ name = \"hd\", type = \"bytes\" }}, \
             {{ name = \"at\", type = \"timestamptz\" }}, {{ name = \"n\", type = \"integer\", nullable = true }}]"
        ))
    };
    let zeros = "00000000-0000-0000-0000-000000000000";
    let ghost = format!("{{ k = \"{zeros}\", hd = \"AAA=\", at = 1900-01-01T00:00:00Z }}");
    let error = world.store.prepare_tables(&of(&ghost.replace("AAA=", "?"))).await.unwrap_err().to_string();
    assert!(error.contains("initial[0].hd: `?` is not a value of bytes"), "{error}");
    let lane = world.lane(&of(&ghost)).await;
    let expected = json!({ "k": zeros, "hd": "AAA=", "at": "1900-01-01T00:00:00.000000Z", "n": null });
    assert_eq!(lane.rows("dv.s").await, std::slice::from_ref(&expected));
    // A table that is there keeps what it has, whatever a later spec says.
    let other = format!(
        "{ghost}, {{ k = \"{}\", hd = \"AAA=\", at = \"1900-01-01T00:00:00Z\", n = 1 }}",
        "f".repeat(32)
    );
    let lane = world.lane(&of(&other)).await;
    assert_eq!(lane.rows("dv.s").await, [expected]);
}

async fn a_spec_that_does_not_fit_is_refused(world: World) {
    if world.store.kind() == "PostgreSQL" {
        // The tests' role is called `gristmill`, as is the schema of Gristmill's own tables.
        let own = spec(
            "[[table]]\nname = \"audit\"\nmode = \"append\"\ncolumns = [{ name = \"id\", type = \"bigint\" }]",
        );
        let error = world.store.prepare_tables(&own).await.unwrap_err().to_string();
        assert!(error.contains("one of Gristmill's own"), "{error}");
    }
    world.sql("CREATE TABLE t (id bigint NOT NULL, name text, extra text NOT NULL)").await;
    let dba = |columns: &str, mode: &str| {
        spec(&format!("[[table]]\nname = \"t\"\ncreate = false\nmode = {mode}\ncolumns = [{columns}]"))
    };
    let id = |ty: &str| format!("{{ name = \"id\", type = \"{ty}\" }}");
    let extra = ", { name = \"extra\", type = \"text\" }";
    let keyed = "\"last-wins\"\nkey = [\"id\"]";
    for (columns, mode, words) in [
        (id("text") + extra, "\"append\"", &["column id", "text"][..]),
        (id("bigint"), "\"append\"", &["column extra", "NOT NULL"]),
        (id("bigint") + extra + ", { name = \"no\", type = \"text\" }", "\"append\"", &["no column no"]),
        (id("bigint") + extra, keyed, &["(id)", "ADD UNIQUE"]),
    ] {
        let error = world.store.prepare_tables(&dba(&columns, mode)).await.unwrap_err();
        assert!(matches!(error, Error::Unfit { .. }), "{error:?}");
        let error = error.to_string();
        assert!(words.iter().all(|word| error.contains(word)) && error.contains("table t"), "{error}");
    }
    world.store.prepare_tables(&dba(&(id("bigint") + extra), "\"append\"")).await.unwrap();
    world.sql("CREATE UNIQUE INDEX t_id ON t (id)").await;
    world.store.prepare_tables(&dba(&(id("bigint") + extra), keyed)).await.unwrap();
    let missing = growing(ID, "create = false\n");
    let error = world.store.prepare_tables(&missing).await.unwrap_err().to_string();
    assert!(error.contains("a.t") && error.contains("create = false"), "{error}");
}

async fn hosts_prepare_at_once(world: World) {
    let spec = spec(TYPES);
    let tasks = (0..4).map(|_| {
        let (url, spec) = (world.url().to_owned(), spec.clone());
        tokio::spawn(async move {
            let store = gristmill::store::open(&url).await.unwrap();
            store.migrate().await.unwrap();
            store.prepare_tables(&spec).await.unwrap();
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    world.store.ping().await.unwrap();
}

async fn a_table_keeps_its_recipe(world: World) {
    let hub = spec(
        "[[table]]\nname = \"dv.h\"\nmode = \"first-wins\"\nkey = [\"k\"]\ncolumns = [{ name = \"k\", type = \"text\" }]",
    );
    world.store.prepare_tables(&hub).await.unwrap();
    let recipe = |recipe: &str| [("dv.h".to_owned(), recipe.to_owned())];
    world.store.check_recipes(&recipe("framed sha256")).await.unwrap();
    world.store.keep_recipes(&recipe("framed sha256")).await.unwrap();
    world.store.keep_recipes(&recipe("framed sha256")).await.unwrap();
    world.store.check_recipes(&[]).await.unwrap();
    for refused in [
        world.store.keep_recipes(&recipe("framed md5")).await,
        world.store.check_recipes(&recipe("other")).await,
    ] {
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("dv.h") && error.contains("`framed sha256`"), "{error}");
    }
    // A table that is made anew may have another.
    world.sql(if world.is_postgres() { "DROP TABLE dv.h" } else { "DROP TABLE \"dv.h\"" }).await;
    world.store.prepare_tables(&hub).await.unwrap();
    world.store.keep_recipes(&recipe("framed md5")).await.unwrap();
}
