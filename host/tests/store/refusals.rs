//! Rows that the database refuses: their records alone are dead letters, with SQLSTATE and constraint.

use super::world::{V, World, letters, mail, messages, piece, spec};
use gristmill::effect::Effects;
use gristmill::publish::outbox::decode;

super::on_both!(
    one_in_a_thousand_is_found,
    what_does_not_fit_its_column_is_refused,
    a_refused_record_causes_nothing,
    deferred_constraints_are_seen,
);

const DBA: &str = "CREATE TABLE cities (name varchar(50) PRIMARY KEY);\
     INSERT INTO cities VALUES ('Rome'), ('Oslo');\
     CREATE TABLE orders (id bigint PRIMARY KEY, city text NOT NULL REFERENCES cities, \
     quantity integer NOT NULL CONSTRAINT quantity_positive CHECK (quantity > 0), \
     note varchar(10) NOT NULL CHECK (length(note) <= 10))";

const SPEC: &str = "[[table]]\nname = \"orders\"\nmode = \"first-wins\"\nkey = [\"id\"]\ncreate = false\n\
     columns = [{ name = \"id\", type = \"bigint\" }, { name = \"city\", type = \"text\" }, \
     { name = \"quantity\", type = \"integer\" }, { name = \"note\", type = \"varchar(255)\" }]\n\
     [[table]]\nname = \"trail\"\nmode = \"append\"\ncolumns = [{ name = \"id\", type = \"bigint\" }]\n\
     [[output]]\nname = \"out\"\ntopic = \"out\"\n[mail]\nfrom = \"Shop <shop@example.org>\"\n\
     [dead_letters]\ntopic = \"in.dlq\"\n";

async fn one_in_a_thousand_is_found(world: World) {
    world.sql(DBA).await;
    let spec = spec(SPEC);
    let mut lane = world.lane(&spec).await;
    let row = |n: i64| -> [V; 4] {
        match n {
            500 => [V::I(n), "Atlantis".into(), V::I(1), "ok".into()],
            1500 => [V::I(n), "Rome".into(), V::I(0), "ok".into()],
            1999 => [V::I(n), "Rome".into(), V::I(1), "much too long".into()],
            _ => [V::I(n), "Oslo".into(), V::I(1), "ok".into()],
        }
    };
    let rows: Vec<[V; 4]> = (0..2000).map(row).collect();
    let rows: Vec<&[V]> = rows.iter().map(|row| &row[..]).collect();
    let done = lane.write("orders", &rows).await;
    let expected = if world.is_postgres() {
        [("sqlstate-22001".to_owned(), 1), ("sqlstate-23503".to_owned(), 1), ("sqlstate-23514".to_owned(), 1)]
            .to_vec()
    } else {
        [("sqlstate-23503".to_owned(), 1), ("sqlstate-23514".to_owned(), 2)].to_vec()
    };
    assert_eq!((done.dead_letters, done.rows), (expected, vec![1997, 0]));
    assert_eq!(lane.rows("orders").await.len(), 1997);
    let mut found = world.store.dead_letters(&letters()).await.unwrap();
    found.sort_by_key(|letter| letter.offset);
    assert_eq!(found.iter().map(|letter| letter.offset).collect::<Vec<_>>(), [500, 1500, 1999]);
    assert!(found.iter().all(|letter| letter.failure.stage == "store" && letter.attempts == 1));
    assert!(found[1].failure.reason().contains("quantity_positive"), "{}", found[1].failure.reason());
    assert_eq!(
        (found[0].value.as_deref(), &found[0].headers[0].0),
        (Some(&b"value 500"[..]), &"n".to_owned())
    );
    assert_eq!(found[0].headers[0].1, Some(vec![244, 0]));
}

async fn what_does_not_fit_its_column_is_refused(world: World) {
    let spec = spec(
        "[[table]]\nname = \"t\"\nmode = \"append\"\ncolumns = [{ name = \"i\", type = \"integer\" }, \
         { name = \"v\", type = \"varchar(3)\" }, { name = \"m\", type = \"numeric(4,2)\" }, \
         { name = \"u\", type = \"uuid\" }, { name = \"d\", type = \"date\" }, { name = \"j\", type = \"json\" }]",
    );
    let mut lane = world.lane(&spec).await;
    let good = || -> [V; 6] {
        let uuid = "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11";
        [V::I(1), "äöü".into(), "1.005".into(), uuid.into(), V::I(0), "{\"a\":1}".into()]
    };
    let with = |place: usize, value: V| {
        let mut row = good();
        row[place] = value;
        row
    };
    let rows = [
        good(),
        with(0, V::I(1 << 40)),
        with(0, V::Null),
        with(1, "four".into()),
        with(1, "a\0b".into()),
        with(2, "99.995".into()),
        with(3, "no uuid".into()),
        with(4, V::I(5_000_000)),
        with(5, "{".into()),
    ];
    let rows: Vec<&[V]> = rows.iter().map(|row| &row[..]).collect();
    let done = lane.write("t", &rows).await;
    assert_eq!(done.rows, [1]);
    let mut codes: Vec<(i64, String)> = Vec::new();
    for letter in world.store.dead_letters(&letters()).await.unwrap() {
        assert!(letter.failure.reason().starts_with("table t, column "), "{}", letter.failure.reason());
        codes.push((letter.offset, letter.failure.code().to_owned()));
    }
    codes.sort();
    let codes: Vec<&str> = codes.iter().map(|(_, code)| code.trim_start_matches("sqlstate-")).collect();
    assert_eq!(codes, ["22003", "23502", "22001", "22021", "22003", "22p02", "22008", "22p02"]);
    let row = &lane.rows("t").await[0];
    assert_eq!(
        *row,
        serde_json::json!({"i": 1, "v": "äöü", "m": "1.01", "u": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "d": "1970-01-01", "j": {"a": 1}})
    );
}

async fn a_refused_record_causes_nothing(world: World) {
    world.sql(DBA).await;
    let spec = spec(SPEC);
    let mut lane = world.lane(&spec).await;
    let rows = [
        [V::I(0), "Rome".into(), V::I(1), "".into()],
        [V::I(1), "Rome".into(), V::I(-1), "".into()],
        [V::I(2), "Rome".into(), V::I(1), "".into()],
    ];
    let audit: Vec<[V; 1]> = (0..3).map(|n| [V::I(n)]).collect();
    let numbered = |n: usize| (n as u32, &rows[n][..]);
    let effects = Effects {
        rows: vec![
            piece(&spec, "orders", &[numbered(0), numbered(1), numbered(2)]),
            piece(&spec, "trail", &[(0, &audit[0]), (1, &audit[1]), (2, &audit[2])]),
        ],
        messages: vec![messages(&[0, 1, 2])],
        mails: vec![mail(1), mail(2), mail(2)],
        ..Effects::default()
    };
    let work = lane.work(3, effects);
    let done = lane.try_commit(work).await.unwrap();
    assert_eq!((done.mails, done.rows.clone()), (2, vec![2, 2]));
    assert_eq!(lane.column("trail", "id").await, "[0,2]");
    let outbox = decode(&done.outbox).unwrap();
    let sent: Vec<(&str, i64)> = outbox
        .messages
        .iter()
        .map(|message| (outbox.topics[message.topic].name.as_str(), message.timestamp_ms - 1_700_000_000_000))
        .collect();
    assert_eq!(sent, [("out", 0), ("out", 2), ("in.dlq", 1)]);
    let mails = world.store.lease_mails(0, 1_000, 10).await.unwrap();
    let ids: Vec<&str> = mails.iter().map(|mail| mail.message_id.as_str()).collect();
    assert_eq!(ids, ["test.in.0.2.0@example.org", "test.in.0.2.1@example.org"]);
}

async fn deferred_constraints_are_seen(world: World) {
    world
        .sql(
            "CREATE TABLE parents (id bigint PRIMARY KEY);\
             CREATE TABLE children (id bigint PRIMARY KEY, \
             parent bigint NOT NULL REFERENCES parents DEFERRABLE INITIALLY DEFERRED)",
        )
        .await;
    let table = |name: &str, more: &str| {
        format!(
            "[[table]]\nname = \"{name}\"\nmode = \"first-wins\"\nkey = [\"id\"]\ncreate = false\n\
             columns = [{{ name = \"id\", type = \"bigint\" }}{more}]\n"
        )
    };
    // Children before parents: only the commit can tell.
    let spec =
        spec(&(table("children", ", { name = \"parent\", type = \"bigint\" }") + &table("parents", "")));
    let mut lane = world.lane(&spec).await;
    let children: Vec<[V; 2]> = (0..10).map(|n| [V::I(n), V::I(if n == 7 { 99 } else { n })]).collect();
    let parents: Vec<[V; 1]> = (0..10).map(|n| [V::I(n)]).collect();
    let of = |n: usize| (n as u32, &children[n][..]);
    let to = |n: usize| (n as u32, &parents[n][..]);
    let effects = Effects {
        rows: vec![
            piece(&spec, "children", &(0..10).map(of).collect::<Vec<_>>()),
            piece(&spec, "parents", &(0..10).map(to).collect::<Vec<_>>()),
        ],
        ..Effects::default()
    };
    let work = lane.work(10, effects);
    let done = lane.try_commit(work).await.unwrap();
    assert_eq!(done.dead_letters, [("sqlstate-23503".to_owned(), 1)]);
    assert_eq!(lane.rows("children").await.len(), 9);
}
