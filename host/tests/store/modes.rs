//! Every write mode: keys alike in one batch, over batches, over lanes.

use super::world::{Lane, V, World, spec};
use serde_json::json;

super::on_both!(
    append_keeps_every_row_in_order,
    first_wins,
    last_wins,
    newest_wins,
    newest_wins_by_a_decimal,
    sums_add_up,
    sums_refuse_to_overflow,
    events_count_once,
    events_count_once_across_lanes,
    satellites_keep_changes,
    satellites_correct_a_load_date,
    satellites_take_late_rows,
    satellites_are_the_same_in_any_order,
    satellites_of_sets_keep_whole_sets,
    satellites_with_a_period_close_what_they_leave,
    satellites_with_a_period_begin_where_an_end_stands,
    satellites_with_a_period_are_the_same_in_any_order,
    once_decides,
    once_in_two_tables_leaves_nothing_of_a_loser,
    once_across_lanes,
);

const COLUMNS: &str = "columns = [{ name = \"k\", type = \"text\" }, { name = \"n\", type = \"integer\" }, \
                       { name = \"note\", type = \"varchar(20)\", nullable = true }]";

fn row(key: &str, n: i64, note: &str) -> [V; 3] {
    [key.into(), n.into(), note.into()]
}

async fn lane(world: &World, mode: &str) -> Lane {
    let spec = spec(&format!("[[table]]\nname = \"t\"\nmode = {mode}\n{COLUMNS}"));
    world.lane(&spec).await
}

async fn append_keeps_every_row_in_order(world: World) {
    let mut lane = lane(&world, "\"append\"").await;
    lane.write("t", &[&row("b", 1, ""), &row("a", 2, ""), &row("b", 3, "")]).await;
    let done = lane.write("t", &[&row("a", 4, "")]).await;
    assert_eq!((lane.column("t", "n").await.as_str(), done.rows), ("[1,2,3,4]", vec![1]));
}

async fn first_wins(world: World) {
    let mut lane = lane(&world, "\"first-wins\"\nkey = [\"k\"]").await;
    let done = lane.write("t", &[&row("a", 1, ""), &row("b", 2, ""), &row("a", 3, "")]).await;
    lane.write("t", &[&row("b", 9, ""), &row("c", 4, "")]).await;
    assert_eq!((lane.column("t", "n").await.as_str(), done.rows), ("[1,2,4]", vec![3]));
}

async fn last_wins(world: World) {
    let mut lane = lane(&world, "\"last-wins\"\nkey = [\"k\"]").await;
    lane.write("t", &[&row("a", 1, "x"), &row("b", 2, ""), &row("a", 3, "y")]).await;
    lane.write("t", &[&[V::from("b"), V::I(9), V::Null]]).await;
    assert_eq!(
        lane.rows("t").await,
        [json!({"k": "a", "n": 3, "note": "y"}), json!({"k": "b", "n": 9, "note": null})]
    );
}

async fn newest_wins(world: World) {
    let mut lane = lane(&world, "\"newest-wins\"\nkey = [\"k\"]\nnewest_by = \"n\"").await;
    lane.write("t", &[&row("a", 5, "first five"), &row("a", 3, "old"), &row("a", 5, "second")]).await;
    lane.write("t", &[&row("a", 5, "equal"), &row("b", 1, "new")]).await;
    lane.write("t", &[&row("a", 4, "older"), &row("b", 2, "newer")]).await;
    assert_eq!(lane.column("t", "note").await, r#"["first five","newer"]"#);
}

async fn newest_wins_by_a_decimal(world: World) {
    let spec = spec(
        "[[table]]\nname = \"t\"\nmode = \"newest-wins\"\nkey = [\"k\"]\nnewest_by = \"v\"\ncolumns = [\
         { name = \"k\", type = \"bigint\" }, { name = \"v\", type = \"numeric\", nullable = true }]",
    );
    let mut lane = world.lane(&spec).await;
    lane.write("t", &[&[V::I(1), "9".into()], &[V::I(2), V::Null]]).await;
    lane.write("t", &[&[V::I(1), "10".into()], &[V::I(2), "-1".into()]]).await;
    lane.write("t", &[&[V::I(1), "9.5".into()], &[V::I(2), V::Null]]).await;
    assert_eq!(lane.column("t", "v").await, r#"["10","-1"]"#);
}

fn money() -> std::sync::Arc<gristmill::spec::Spec> {
    spec(
        "[[table]]\nname = \"t\"\nmode = \"sum\"\nkey = [\"k\"]\nsum = [\"n\", \"money\", \"x\"]\ncolumns = [\
         { name = \"k\", type = \"text\" }, { name = \"n\", type = \"smallint\" }, \
         { name = \"money\", type = \"numeric(12,2)\" }, { name = \"x\", type = \"double\" }, \
         { name = \"note\", type = \"text\" }]",
    )
}

fn paid(key: &str, n: i64, money: &str, note: &str) -> [V; 5] {
    [key.into(), n.into(), money.into(), V::F(0.5), note.into()]
}

async fn sums_add_up(world: World) {
    let mut lane = world.lane(&money()).await;
    lane.write("t", &[&paid("a", 1, "0.10", "x"), &paid("a", 2, "0.2", "y"), &paid("b", 1, "5", "z")]).await;
    lane.write("t", &[&paid("a", 3, "1000000000.00", "last")]).await;
    assert_eq!(
        lane.rows("t").await[0],
        json!({"k": "a", "n": 6, "money": "1000000000.30", "x": 1.5, "note": "last"})
    );
}

async fn sums_refuse_to_overflow(world: World) {
    let mut lane = world.lane(&money()).await;
    lane.write("t", &[&paid("a", 30_000, "1", "kept")]).await;
    let done = lane
        .write(
            "t",
            &[&paid("a", 1, "1", "one"), &paid("a", 30_000, "1", "too much"), &paid("b", 1, "1", "b")],
        )
        .await;
    assert_eq!(done.dead_letters, [("sqlstate-22003".to_owned(), 1)]);
    assert_eq!(lane.column("t", "n").await, "[30001,1]");
    assert_eq!(lane.column("t", "note").await, r#"["one","b"]"#);
}

fn counted() -> std::sync::Arc<gristmill::spec::Spec> {
    spec(
        "[[table]]\nname = \"cdm.t\"\nmode = \"sum\"\nkey = [\"k\"]\nsum = [\"n\"]\n\
         counted_by = [{ name = \"event\", type = \"bigint\" }]\ncolumns = [\
         { name = \"k\", type = \"text\" }, { name = \"n\", type = \"smallint\" }, { name = \"note\", type = \"text\" }]",
    )
}

fn event(key: &str, n: i64, note: &str, event: i64) -> [V; 4] {
    [key.into(), n.into(), note.into(), event.into()]
}

async fn events_count_once(world: World) {
    let mut lane = world.lane(&counted()).await;
    let first =
        [event("a", 1, "x", 1), event("b", 1, "b", 1), event("a", 9, "again", 1), event("a", 2, "y", 2)];
    lane.write("cdm.t", &first.each_ref().map(|row| &row[..])).await;
    assert_eq!(lane.column("cdm.t", "n").await, "[3,1]");
    assert_eq!(lane.column("cdm.t", "note").await, r#"["y","b"]"#, "what does not count changes nothing");
    // All of it once more, as after a reset of the log, and something new.
    lane.write("cdm.t", &[&first[3], &first[0], &event("a", 10, "z", 3), &first[1], &event("c", 1, "c", 1)])
        .await;
    assert_eq!(lane.column("cdm.t", "n").await, "[13,1,1]");
    // What is refused has not been counted.
    let done = lane.write("cdm.t", &[&event("a", 32_767, "too much", 4), &event("a", 1, "w", 5)]).await;
    assert_eq!(done.dead_letters, [("sqlstate-22003".to_owned(), 1)]);
    lane.write("cdm.t", &[&event("a", 1, "v", 4), &event("a", 1, "u", 5)]).await;
    assert_eq!(lane.column("cdm.t", "n").await, "[15,1,1]");
    let rows = lane.rows("cdm.t").await;
    assert_eq!(rows[0], json!({"k": "a", "n": 15, "note": "v"}), "the event is not a column");
}

async fn events_count_once_across_lanes(world: World) {
    let spec = counted();
    let mut lanes = [world.lane_of(&spec, 0).await, world.lane_of(&spec, 1).await];
    for lane in &mut lanes {
        lane.write("cdm.t", &[&event("a", 1, "x", 1), &event("a", 1, "x", 2)]).await;
    }
    assert_eq!(lanes[0].column("cdm.t", "n").await, "[2]");
}

async fn satellite(world: &World) -> Lane {
    let spec = spec(
        "[[table]]\nname = \"dv.s\"\nmode = \"satellite\"\nkey = [\"parent\"]\nhashdiff = \"hd\"\nload = \"at\"\n\
         columns = [{ name = \"parent\", type = \"bytes\" }, { name = \"hd\", type = \"text\" }, \
         { name = \"at\", type = \"timestamptz\" }]",
    );
    world.lane(&spec).await
}

fn state(parent: u8, hashdiff: &str, at: i64) -> [V; 3] {
    [V::Bytes(vec![parent, 0]), hashdiff.into(), V::I(at * 1_000_001)]
}

async fn satellites_keep_changes(world: World) {
    let mut lane = satellite(&world).await;
    lane.write("dv.s", &[&state(1, "A", 1), &state(1, "A", 2), &state(1, "B", 3), &state(1, "A", 4)]).await;
    assert_eq!(lane.column("dv.s", "hd").await, r#"["A","B","A"]"#);
    lane.write("dv.s", &[&state(1, "A", 5), &state(2, "A", 5), &state(1, "C", 6), &state(1, "D", 6)]).await;
    // Of one load date the last state counts.
    assert_eq!(lane.column("dv.s", "hd").await, r#"["A","B","A","D","A"]"#);
    // The same records once more, as after a reset of the log, in one batch and in many: nothing is new.
    let again = [state(1, "A", 1), state(1, "B", 3), state(1, "A", 4), state(1, "C", 6), state(1, "D", 6)];
    lane.write("dv.s", &again.each_ref().map(|row| &row[..])).await;
    for row in &again {
        lane.write("dv.s", &[&row[..]]).await;
    }
    assert_eq!(lane.column("dv.s", "hd").await, r#"["A","B","A","D","A"]"#);
    assert_eq!(lane.rows("dv.s").await[0]["at"], "1970-01-01T00:00:01.000001Z");
}

async fn satellites_correct_a_load_date(world: World) {
    let mut lane = satellite(&world).await;
    lane.write("dv.s", &[&state(1, "A", 1), &state(1, "B", 5), &state(1, "A", 8), &state(2, "B", 5)]).await;
    // At 5 it was A after all: then nothing has begun there, nor at 8.
    lane.write("dv.s", &[&state(1, "A", 5)]).await;
    assert_eq!(lane.column("dv.s", "hd").await, r#"["A","B"]"#);
    // At 1 it was B: another row, and what follows is compared with it.
    lane.write("dv.s", &[&state(1, "B", 1), &state(1, "B", 2), &state(1, "C", 3)]).await;
    assert_eq!(lane.column("dv.s", "hd").await, r#"["B","C","B"]"#);
    // What stands there and is said again stays, whatever was said between.
    lane.write("dv.s", &[&state(1, "D", 3), &state(1, "C", 3), &state(1, "C", 4)]).await;
    assert_eq!(lane.column("dv.s", "hd").await, r#"["B","C","B"]"#);
}

async fn satellites_take_late_rows(world: World) {
    let mut lane = satellite(&world).await;
    lane.write("dv.s", &[&state(1, "A", 1), &state(1, "B", 9)]).await;
    lane.write("dv.s", &[&state(1, "A", 5), &state(1, "C", 7), &state(1, "B", 10)]).await;
    // B began at 9; that it was there at 10 too is no change.
    assert_eq!(lane.column("dv.s", "hd").await, r#"["A","C","B"]"#);
    // It turns out that B began at 8 already, and another parent's C at 2: their rows move, and no state is there twice.
    lane.write("dv.s", &[&state(2, "C", 5), &state(1, "B", 8)]).await;
    lane.write("dv.s", &[&state(2, "C", 2), &state(2, "C", 3)]).await;
    assert_eq!(lane.column("dv.s", "hd").await, r#"["A","C","B","C"]"#);
    let at = |second: i64| format!("1970-01-01T00:00:0{second}.00000{second}Z");
    let expected = json!([at(1), at(7), at(8), at(2)]).to_string();
    assert_eq!(lane.column("dv.s", "at").await, expected);
    // Another state between keeps the later row.
    lane.write("dv.s", &[&state(2, "D", 3), &state(2, "C", 4)]).await;
    assert_eq!(lane.column("dv.s", "hd").await, r#"["A","C","B","C","D","C"]"#);
}

async fn satellites_are_the_same_in_any_order(world: World) {
    let states = [state(1, "A", 1), state(1, "A", 2), state(1, "A", 3), state(2, "B", 4), state(2, "B", 5)];
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..10 {
        let mut lane = satellite(&world).await;
        world.sql(if world.is_postgres() { "DELETE FROM dv.s" } else { "DELETE FROM \"dv.s\"" }).await;
        let mut order: Vec<_> = states.iter().collect();
        random.shuffle(&mut order);
        for state in order {
            lane.write("dv.s", &[&state[..]]).await;
        }
        assert_eq!(lane.column("dv.s", "hd").await, r#"["A","B"]"#);
        let expected = json!(["1970-01-01T00:00:01.000001Z", "1970-01-01T00:00:04.000004Z"]).to_string();
        assert_eq!(lane.column("dv.s", "at").await, expected);
    }
}

/// A set of telephones of one parent, each with the set's hashdiff.
fn set(parent: u8, hashdiff: &str, at: i64, phones: &[&str]) -> Vec<[V; 4]> {
    let member =
        |phone: &&str| [V::Bytes(vec![parent]), hashdiff.into(), V::I(at * 1_000_000), (*phone).into()];
    phones.iter().map(member).collect()
}

async fn satellites_of_sets_keep_whole_sets(world: World) {
    let spec = spec(
        "[[table]]\nname = \"dv.m\"\nmode = \"satellite\"\nkey = [\"parent\"]\nhashdiff = \"hd\"\nload = \"at\"\n\
         children = [\"phone\"]\n\
         columns = [{ name = \"parent\", type = \"bytes\" }, { name = \"hd\", type = \"text\" }, \
         { name = \"at\", type = \"timestamptz\" }, { name = \"phone\", type = \"text\" }]",
    );
    let mut lane = world.lane(&spec).await;
    // Each record says a whole set.
    let say = |sets: &[Vec<[V; 4]>]| -> Vec<Vec<Vec<V>>> {
        sets.iter().map(|set| set.iter().map(|row| row.to_vec()).collect()).collect()
    };
    let (one, two) = (set(1, "A", 1, &["x", "y"]), set(1, "B", 2, &["x", "z"]));
    lane.write_records("dv.m", &say(&[one.clone(), set(1, "A", 1, &["q"]), two.clone()])).await;
    let phones = |rows: Vec<serde_json::Value>| -> Vec<(String, String)> {
        let text = |row: &serde_json::Value, name: &str| row[name].as_str().unwrap().to_owned();
        rows.iter().map(|row| (text(row, "hd"), text(row, "phone"))).collect()
    };
    let expect = |expected: &[(&str, &str)]| -> Vec<(String, String)> {
        expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    };
    // Of one load date the last set stays, whole; the next one comes whole, with the member that it shares.
    assert_eq!(phones(lane.rows("dv.m").await), expect(&[("A", "q"), ("B", "x"), ("B", "z")]));
    // Another one of the same load date takes its place, and no member of it is left.
    lane.write_records("dv.m", &say(&[set(1, "D", 1, &["x", "y"])])).await;
    assert_eq!(phones(lane.rows("dv.m").await), expect(&[("D", "x"), ("D", "y"), ("B", "x"), ("B", "z")]));
    // The same set again is no change; a late one that begins the last state earlier moves all of its members.
    lane.write_records("dv.m", &say(&[set(1, "B", 9, &["x", "z"]), set(2, "C", 5, &["p", "q"])])).await;
    lane.write_records("dv.m", &say(&[set(2, "C", 4, &["p", "q"])])).await;
    let rows = lane.rows("dv.m").await;
    assert_eq!(rows.len(), 6);
    let late: Vec<&str> =
        rows.iter().filter(|row| row["hd"] == "C").map(|row| row["at"].as_str().unwrap()).collect();
    assert_eq!(late, ["1970-01-01T00:00:04.000000Z"; 2]);
}

const FOR_EVER: i64 = 253_402_214_400_000_000;

/// Who an order belongs to since when.
fn pair(order: u8, user: &str, at: i64) -> [V; 5] {
    let micros = at * 1_000_000;
    [V::Bytes(vec![order]), user.into(), V::I(micros), V::I(FOR_EVER), V::I(micros)]
}

async fn periods(world: &World) -> Lane {
    let spec = spec(
        "[[table]]\nname = \"dv.e\"\nmode = \"satellite\"\nkey = [\"h_order\"]\nhashdiff = \"l_order_user\"\nload = \"at\"\n\
         start = \"start_at\"\nend = \"end_at\"\n\
         columns = [{ name = \"h_order\", type = \"bytes\" }, { name = \"l_order_user\", type = \"text\" }, \
         { name = \"start_at\", type = \"timestamp\" }, { name = \"end_at\", type = \"timestamp\" }, \
         { name = \"at\", type = \"timestamp\" }]",
    );
    world.lane(&spec).await
}

/// Pair, start, end and load date of each row, in seconds; `-` for ever.
async fn told(lane: &Lane) -> Vec<String> {
    let second = |row: &serde_json::Value, name: &str| {
        let text = row[name].as_str().unwrap();
        if text.starts_with("9999-12-31") {
            "-".to_owned()
        } else {
            text[17..19].trim_start_matches('0').to_owned()
        }
    };
    let line = |row: &serde_json::Value| {
        let [start, end, at] = ["start_at", "end_at", "at"].map(|name| second(row, name));
        format!("{} {start} {end} {at}", row["l_order_user"].as_str().unwrap())
    };
    let mut lines: Vec<String> = lane.rows("dv.e").await.iter().map(line).collect();
    lines.sort();
    lines
}

async fn satellites_with_a_period_close_what_they_leave(world: World) {
    let mut lane = periods(&world).await;
    lane.write("dv.e", &[&pair(1, "A", 1), &pair(1, "A", 2), &pair(1, "B", 3)]).await;
    assert_eq!(told(&lane).await, ["A 1 - 1", "A 1 3 3", "B 3 - 3"]);
    // Back to the first one, and another order, which is its own.
    lane.write("dv.e", &[&pair(1, "A", 7), &pair(2, "C", 4)]).await;
    assert_eq!(told(&lane).await, ["A 1 - 1", "A 1 3 3", "A 7 - 7", "B 3 - 3", "B 3 7 7", "C 4 - 4"]);
    // A late pair in between ends the one before it and is ended by the one behind it.
    lane.write("dv.e", &[&pair(1, "D", 2)]).await;
    let expected = ["A 1 - 1", "A 1 2 2", "A 7 - 7", "B 3 - 3", "B 3 7 7", "C 4 - 4", "D 2 - 2", "D 2 3 3"];
    assert_eq!(told(&lane).await, expected);
    // All of it once more changes nothing.
    lane.write("dv.e", &[&pair(1, "A", 1), &pair(1, "D", 2), &pair(1, "B", 3), &pair(1, "A", 7)]).await;
    assert_eq!(told(&lane).await, expected);
    // At 7 it was another pair, and in the end none: the one before it goes on.
    lane.write("dv.e", &[&pair(1, "X", 7)]).await;
    let expected = ["A 1 - 1", "A 1 2 2", "B 3 - 3", "B 3 7 7", "C 4 - 4", "D 2 - 2", "D 2 3 3", "X 7 - 7"];
    assert_eq!(told(&lane).await, expected);
    lane.write("dv.e", &[&pair(1, "B", 7)]).await;
    let expected = ["A 1 - 1", "A 1 2 2", "B 3 - 3", "C 4 - 4", "D 2 - 2", "D 2 3 3"];
    assert_eq!(told(&lane).await, expected);
}

/// An end stands at the load date at which a state begins now, of the very pair that begins.
async fn satellites_with_a_period_begin_where_an_end_stands(world: World) {
    let mut lane = periods(&world).await;
    lane.write("dv.e", &[&pair(1, "Y", 1), &pair(1, "X", 5)]).await;
    assert_eq!(told(&lane).await, ["X 5 - 5", "Y 1 - 1", "Y 1 5 5"]);
    lane.write("dv.e", &[&pair(1, "Z", 3), &pair(1, "Y", 5)]).await;
    assert_eq!(told(&lane).await, ["Y 1 - 1", "Y 1 3 3", "Y 5 - 5", "Z 3 - 3", "Z 3 5 5"]);
}

async fn satellites_with_a_period_are_the_same_in_any_order(world: World) {
    let pairs = [pair(1, "A", 1), pair(1, "B", 2), pair(1, "B", 3), pair(1, "C", 4), pair(1, "D", 5)];
    let mut random = fastrand::Rng::with_seed(2);
    for _ in 0..8 {
        let mut lane = periods(&world).await;
        world.sql(if world.is_postgres() { "DELETE FROM dv.e" } else { "DELETE FROM \"dv.e\"" }).await;
        let mut order: Vec<_> = pairs.iter().collect();
        random.shuffle(&mut order);
        for part in order.chunks(random.usize(1..4)) {
            lane.write("dv.e", &part.iter().map(|pair| &pair[..]).collect::<Vec<_>>()).await;
        }
        let expected = ["A 1 - 1", "A 1 2 2", "B 2 - 2", "B 2 4 4", "C 4 - 4", "C 4 5 5", "D 5 - 5"];
        assert_eq!(told(&lane).await, expected);
    }
}

fn orders() -> std::sync::Arc<gristmill::spec::Spec> {
    spec(
        "[[table]]\nname = \"orders\"\nmode = \"once\"\nkey = [\"id\"]\ncontent = [\"city\", \"price\", \"doc\"]\n\
         columns = [{ name = \"id\", type = \"bigint\" }, { name = \"city\", type = \"varchar(10)\" }, \
         { name = \"price\", type = \"numeric\", nullable = true }, { name = \"doc\", type = \"json\", nullable = true }, \
         { name = \"seen\", type = \"integer\" }]\n\
         [[table]]\nname = \"lines\"\nmode = \"append\"\ncolumns = [{ name = \"id\", type = \"bigint\" }]\n",
    )
}

fn order(id: i64, city: &str, seen: i64) -> [V; 5] {
    [V::I(id), city.into(), "1.50".into(), r#"{"a": 1, "b": [2]}"#.into(), V::I(seen)]
}

async fn once_decides(world: World) {
    use super::world::{messages, piece};
    let spec = orders();
    let mut lane = world.lane(&spec).await;
    let batch = [order(1, "Rome", 1), order(2, "Bonn", 1), order(1, "Rome", 2), order(2, "Köln", 2)];
    let numbered: Vec<(u32, &[V])> = batch.iter().enumerate().map(|(n, row)| (n as u32, &row[..])).collect();
    let lines: Vec<[V; 1]> = (0..4).map(|n| [V::I(n)]).collect();
    let lines: Vec<(u32, &[V])> = lines.iter().enumerate().map(|(n, row)| (n as u32, &row[..])).collect();
    let effects = gristmill::effect::Effects {
        rows: vec![piece(&spec, "orders", &numbered), piece(&spec, "lines", &lines)],
        messages: vec![messages(&[])],
        ..Default::default()
    };
    let work = lane.work(4, effects);
    let done = lane.try_commit(work).await.unwrap();
    assert_eq!((done.duplicates, done.rows), (1, vec![2, 2]));
    assert_eq!(done.dead_letters, [("key-conflict".to_owned(), 1)]);
    assert_eq!(lane.column("lines", "id").await, "[0,1]");
    let letters = world.store.dead_letters(&super::world::letters()).await.unwrap();
    assert!(letters[0].failure.reason().contains("table orders: the key id = 2"), "{letters:?}");
    // Delivered again: the same content in other words, and other content.
    let mut again = order(1, "Rome", 7);
    again[2] = "1.5".into();
    again[3] = r#"{"b":[2],"a":1}"#.into();
    let mut without = order(2, "Bonn", 7);
    without[2] = V::Null;
    let done = lane.write("orders", &[&again, &without, &order(3, "Oslo", 7)]).await;
    assert_eq!((done.duplicates, done.rows), (1, vec![1, 0]));
    assert_eq!(done.dead_letters, [("key-conflict".to_owned(), 1)]);
    assert_eq!(lane.column("orders", "seen").await, "[1,1,7]");
}

async fn once_in_two_tables_leaves_nothing_of_a_loser(world: World) {
    use super::world::piece;
    let table = |name: &str| {
        format!(
            "[[table]]\nname = \"{name}\"\nmode = \"once\"\nkey = [\"k\"]\ncolumns = [\
             {{ name = \"k\", type = \"text\" }}, {{ name = \"v\", type = \"integer\" }}]\n"
        )
    };
    let spec = spec(&(table("a") + &table("b")));
    let mut lane = world.lane(&spec).await;
    lane.write("b", &[&["x".into(), V::I(1)]]).await;
    // Record 0 wins in `a` and loses in `b`; record 1 takes in `a` what record 0 must not keep.
    let (a0, a1) = ([V::from("n"), V::I(0)], [V::from("n"), V::I(1)]);
    let (b0, b1) = ([V::from("x"), V::I(2)], [V::from("y"), V::I(1)]);
    let effects = gristmill::effect::Effects {
        rows: vec![piece(&spec, "a", &[(0, &a0), (1, &a1)]), piece(&spec, "b", &[(0, &b0), (1, &b1)])],
        ..Default::default()
    };
    let work = lane.work(2, effects);
    let done = lane.try_commit(work).await.unwrap();
    assert_eq!(done.dead_letters, [("key-conflict".to_owned(), 1)]);
    assert_eq!(
        (lane.column("a", "v").await.as_str(), lane.column("b", "v").await.as_str()),
        ("[1]", "[1,1]")
    );
}

async fn once_across_lanes(world: World) {
    let spec = orders();
    let mut lanes = Vec::new();
    for partition in 0..4 {
        lanes.push(world.lane_of(&spec, partition).await);
    }
    let tasks = lanes.into_iter().map(|mut lane| {
        tokio::spawn(async move {
            let (mut won, mut lost) = (0, 0);
            for start in 0..5 {
                let rows: Vec<[V; 5]> = (0..50).map(|n| order(start * 25 + n, "Rome", 1)).collect();
                let rows: Vec<&[V]> = rows.iter().map(|row| &row[..]).collect();
                let done = lane.write("orders", &rows).await;
                won += done.rows[0];
                lost += done.duplicates;
            }
            (won, lost)
        })
    });
    let (mut won, mut lost) = (0, 0);
    for task in tasks.collect::<Vec<_>>() {
        let done = task.await.unwrap();
        won += done.0;
        lost += done.1;
    }
    assert_eq!((won, lost), (150, 1000 - 150));
    assert_eq!(world.rows(&spec, "orders").await.len(), 150);
}
