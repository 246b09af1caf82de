//! How fast a commit is. `cargo test --release -p gristmill --test main store::bench -- --ignored --nocapture`

use super::world::{V, World, on_postgres, on_sqlite, piece, spec};
use gristmill::effect::Effects;
use std::sync::Arc;
use std::time::Instant;

const ORDERS: &str = "[[table]]\nname = \"orders\"\nmode = \"once\"\nkey = [\"order_id\"]\ncolumns = [\
     { name = \"order_id\", type = \"bigint\" }, { name = \"name\", type = \"varchar(255)\" }, \
     { name = \"email\", type = \"varchar(255)\" }, { name = \"street\", type = \"varchar(255)\" }, \
     { name = \"city\", type = \"varchar(255)\" }, { name = \"state\", type = \"varchar(255)\" }, \
     { name = \"postal_code\", type = \"varchar(10)\" }, { name = \"product_name\", type = \"varchar(255)\" }, \
     { name = \"quantity\", type = \"integer\" }, { name = \"order_date\", type = \"date\" }, \
     { name = \"priority\", type = \"varchar(255)\" }]";

async fn orders(world: World) {
    let spec = spec(ORDERS);
    for lanes in [1, 2] {
        let mut tasks = Vec::new();
        let begun = Instant::now();
        for partition in 0..lanes {
            let mut lane = world.lane_of(&spec, partition * 10 + lanes).await;
            let spec = Arc::clone(&spec);
            tasks.push(tokio::spawn(async move {
                let mut storing = std::time::Duration::ZERO;
                for batch in 0..30_i64 {
                    let base = (i64::from(lane.id.partition) * 1000 + batch) * 2000;
                    let text = |part: &str, n: i64| V::T(format!("{part} of order {n}"));
                    let rows: Vec<[V; 11]> = (base..base + 2000)
                        .map(|n| {
                            let (a, b, c) = (text("name", n), text("email", n), text("street", n));
                            [
                                V::I(n),
                                a,
                                b,
                                c,
                                "Rome".into(),
                                "RM".into(),
                                "00100".into(),
                                text("product", n),
                                V::I(n % 100),
                                V::I(n % 20_000),
                                "low".into(),
                            ]
                        })
                        .collect();
                    let rows: Vec<(u32, &[V])> =
                        rows.iter().enumerate().map(|(n, row)| (n as u32, &row[..])).collect();
                    let effects = Effects { rows: vec![piece(&spec, "orders", &rows)], ..Effects::default() };
                    let work = lane.work(2000, effects);
                    let start = Instant::now();
                    lane.try_commit(work).await.unwrap();
                    storing += start.elapsed();
                }
                storing
            }));
        }
        let mut storing = 0.0;
        for task in tasks {
            storing += task.await.unwrap().as_secs_f64();
        }
        let rows = f64::from(lanes) * 60_000.0;
        println!(
            "{}: {lanes} lanes, {:.0} rows/s while committing, {:.0} in all, {:.1} ms a batch",
            world.store.kind(),
            rows / (storing / f64::from(lanes)),
            rows / begun.elapsed().as_secs_f64(),
            storing * 1000.0 / f64::from(lanes * 30)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn commits() {
    on_sqlite(orders).await;
    on_postgres(orders).await;
}
