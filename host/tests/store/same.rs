//! Random effects into both stores give the same tables, counts and dead letters.

use super::world::{Lane, V, World, letters, on_postgres, on_sqlite, piece, spec};
use gristmill::effect::Effects;
use gristmill::spec::Spec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use std::sync::{Arc, Mutex};

/// `GRISTMILL_TEST_CASES` says how many instead, for a longer search.
const CASES: usize = 20;

const MODES: [(&str, &str); 8] = [
    ("appended", "\"append\""),
    ("first", "\"first-wins\"\nkey = [\"k\"]"),
    ("last", "\"last-wins\"\nkey = [\"k\"]"),
    ("newest", "\"newest-wins\"\nkey = [\"k\"]\nnewest_by = \"m\""),
    ("sums", "\"sum\"\nkey = [\"k\"]\nsum = [\"n\", \"m\"]"),
    (
        "counts",
        "\"sum\"\nkey = [\"k\"]\nsum = [\"n\", \"m\"]\ncounted_by = [{ name = \"e\", type = \"varchar(3)\" }]",
    ),
    ("states", "\"satellite\"\nkey = [\"k\"]\nhashdiff = \"v\"\nload = \"at\""),
    ("onces", "\"once\"\nkey = [\"k\"]\ncontent = [\"v\", \"m\"]"),
];

fn all_modes() -> Arc<Spec> {
    let table = |(name, mode): (&str, &str)| {
        format!(
            "[[table]]\nname = \"{name}\"\nmode = {mode}\ncolumns = [{{ name = \"k\", type = \"text\" }}, \
             {{ name = \"v\", type = \"varchar(3)\" }}, {{ name = \"n\", type = \"smallint\" }}, \
             {{ name = \"m\", type = \"numeric(5,2)\" }}, {{ name = \"at\", type = \"date\" }}]\n"
        )
    };
    spec(&MODES.map(table).concat())
}

/// A row for each table, or for none: few keys, so that they meet.
type Row = (usize, [V; 6]);
type Case = Vec<Vec<Vec<Row>>>;

fn row() -> impl Strategy<Value = Row> {
    let text = |values: Vec<&'static str>| prop::sample::select(values).prop_map(V::from);
    (
        0..MODES.len(),
        text(vec!["a", "A", "ä", "", "a b"]),
        text(vec!["x", "y", "z", "four", "n\0"]),
        prop::sample::select(vec![1, 2, -7, 20_000, 40_000]).prop_map(V::I),
        text(vec!["1", "1.0", "-0.005", "400", "400.004", "999.994", "999.995"]),
        (0_i64..4).prop_map(V::I),
        // Only where events are counted.
        text(vec!["1", "2", "3", "long", "e\0"]),
    )
        .prop_map(|(table, k, v, n, m, at, e)| (table, [k, v, n, m, at, e]))
}

/// Batches of records of rows.
fn case() -> impl Strategy<Value = Case> {
    let record = prop::collection::vec(row(), 0..4);
    prop::collection::vec(prop::collection::vec(record, 1..30), 1..5)
}

async fn run(world: World, spec: Arc<Spec>, cases: Arc<Vec<Case>>, seen: Arc<Mutex<Vec<String>>>) {
    for case in cases.iter() {
        for (name, _) in MODES {
            world.sql(&format!("DROP TABLE IF EXISTS {name}")).await;
        }
        world.sql("DROP TABLE IF EXISTS counts_counted").await;
        let mut lane = world.lane(&spec).await;
        let mut story = Vec::new();
        for batch in case {
            story.push(commit(&mut lane, batch).await);
        }
        for (name, _) in MODES {
            story.push(format!("{name}:"));
            story.extend(lane.rows(name).await.iter().map(ToString::to_string));
        }
        for letter in world.store.dead_letters(&letters()).await.unwrap() {
            world.store.drop_dead_letter(letter.id).await.unwrap();
            // Where only the database can tell (a sum beyond its column), the words are its own.
            story.push(format!("{} {}", letter.offset, letter.failure.code()));
        }
        seen.lock().unwrap().push(story.join("\n"));
    }
}

async fn commit(lane: &mut Lane, batch: &[Vec<Row>]) -> String {
    let spec = Arc::clone(&lane.spec);
    let mut effects = Effects::default();
    for (place, (name, _)) in MODES.iter().enumerate() {
        let rows: Vec<(u32, &[V])> = batch
            .iter()
            .enumerate()
            .flat_map(|(record, rows)| rows.iter().map(move |row| (record as u32, row)))
            .filter(|(_, row)| row.0 == place)
            .map(|(record, row)| (record, &row.1[..]))
            .collect();
        effects.rows.push(piece(&spec, name, &rows));
    }
    lane.offset = lane.state.next_offset.unwrap_or(0);
    let work = lane.work(batch.len(), effects);
    let mut done = lane.try_commit(work).await.unwrap();
    done.batch = 0;
    done.next_offset = 0;
    format!("{done:?}")
}

/// The first line in which two stories differ, from each: what a log that is cut still has to show.
fn difference<'a>(one: &'a str, two: &'a str) -> Option<(&'a str, &'a str)> {
    let lines = one.lines().map(Some).chain(std::iter::repeat(None));
    let others = two.lines().map(Some).chain(std::iter::repeat(None));
    let mut pairs = lines.zip(others).take_while(|pair| *pair != (None, None));
    let found = pairs.find(|(one, two)| one != two)?;
    Some((found.0.unwrap_or("nothing more"), found.1.unwrap_or("nothing more")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_effects_are_the_same_in_both_stores() {
    let mut runner = TestRunner::new(Config::default());
    let count = std::env::var("GRISTMILL_TEST_CASES").map_or(CASES, |count| count.parse().unwrap());
    let cases: Vec<Case> = (0..count).map(|_| case().new_tree(&mut runner).unwrap().current()).collect();
    let (spec, cases) = (all_modes(), Arc::new(cases));
    let stories = || Arc::new(Mutex::new(Vec::new()));
    let (sqlite, postgres) = (stories(), stories());
    on_sqlite(|world| run(world, Arc::clone(&spec), Arc::clone(&cases), Arc::clone(&sqlite))).await;
    on_postgres(|world| run(world, Arc::clone(&spec), Arc::clone(&cases), Arc::clone(&postgres))).await;
    let (sqlite, postgres) = (sqlite.lock().unwrap().clone(), postgres.lock().unwrap().clone());
    if postgres.is_empty() {
        return; // the embedded set alone
    }
    for ((case, one), two) in cases.iter().zip(&sqlite).zip(&postgres) {
        if let Some((sqlite, postgres)) = difference(one, two) {
            panic!(
                "SQLite: {sqlite}\nPostgreSQL: {postgres}\nof {case:?}\nSQLite:\n{one}\nPostgreSQL:\n{two}"
            );
        }
    }
    assert_eq!(sqlite.len(), cases.len());
}
