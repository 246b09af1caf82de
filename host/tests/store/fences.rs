//! Who may commit what: stale owners, stale batches, repeated commits, the outbox between two ledgers.

use super::world::{V, World, messages, piece, spec};
use gristmill::effect::Effects;
use gristmill::publish::outbox::decode;
use gristmill::store::{Error, Fence, Resolution};
use std::sync::Arc;

super::on_both!(
    a_stale_epoch_is_fenced,
    a_stale_batch_is_fenced,
    a_lost_connection_loses_nothing,
    a_repeated_commit_finds_the_first_one,
    the_outbox_is_kept_until_published,
    two_owners_write_each_batch_once,
    a_lane_begins_where_it_was_told,
    an_operator_decides,
);

const TABLE: &str = "[[table]]\nname = \"t\"\nmode = \"append\"\ncolumns = [{ name = \"n\", type = \"bigint\" }]\n\
                     [[output]]\nname = \"out\"\ntopic = \"out\"\n";

async fn a_stale_epoch_is_fenced(world: World) {
    let spec = spec(TABLE);
    let mut old = world.lane(&spec).await;
    old.write("t", &[&[V::I(1)]]).await;
    let mut new = world.lane(&spec).await;
    assert_eq!((new.state.epoch, new.state.batch, new.state.next_offset), (2, 1, Some(1)));
    let work = old.work(1, Effects::default());
    assert!(matches!(old.try_commit(work).await, Err(Error::Fenced { .. })));
    assert!(matches!(world.store.mark_published(&old.id, 1, 1).await, Err(Error::Fenced { .. })));
    assert!(matches!(world.store.begin_at(&old.id, 1, 5).await, Err(Error::Fenced { .. })));
    new.offset = 1;
    new.write("t", &[&[V::I(2)]]).await;
    assert_eq!(new.column("t", "n").await, "[1,2]");
}

async fn a_stale_batch_is_fenced(world: World) {
    let spec = spec(TABLE);
    let mut lane = world.lane(&spec).await;
    lane.write("t", &[&[V::I(1)]]).await;
    lane.write("t", &[&[V::I(2)]]).await;
    let stale = Fence { batch: 0, ..lane.fence() };
    let work = Arc::new(lane.work(1, Effects::default()));
    let error = world.store.commit(&spec, &lane.id, stale, &work).await.unwrap_err();
    assert!(
        matches!(error, Error::Fenced { .. }) && error.to_string().contains("pipeline test topic in"),
        "{error}"
    );
    let ahead = Fence { batch: 7, ..lane.fence() };
    assert!(matches!(world.store.commit(&spec, &lane.id, ahead, &work).await, Err(Error::Fenced { .. })));
}

async fn a_repeated_commit_finds_the_first_one(world: World) {
    let spec = spec(TABLE);
    let lane = world.lane(&spec).await;
    let effects = Effects {
        rows: vec![piece(&spec, "t", &[(0, &[V::I(1)]), (1, &[V::I(2)])])],
        messages: vec![messages(&[0, 1])],
        ..Effects::default()
    };
    let work = Arc::new(lane.work(2, effects));
    let first = world.store.commit(&spec, &lane.id, lane.fence(), &work).await.unwrap();
    let second = world.store.commit(&spec, &lane.id, lane.fence(), &work).await.unwrap();
    assert_eq!(first, second);
    assert!(!first.outbox.is_empty());
    assert_eq!(lane.column("t", "n").await, "[1,2]");
}

/// The server ends the connection in the middle of a commit; the next attempt does it, once.
async fn a_lost_connection_loses_nothing(world: World) {
    if !world.is_postgres() {
        return; // a file has no connection to lose
    }
    let spec = spec(TABLE);
    let lane = world.lane(&spec).await;
    let effects = Effects { rows: vec![piece(&spec, "t", &[(0, &[V::I(1)])])], ..Effects::default() };
    let work = Arc::new(lane.work(1, effects));
    let locked = tokio::spawn({
        let world = world.clone();
        async move {
            world
                .sql(
                    "BEGIN; LOCK TABLE t; SELECT pg_sleep(1); SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                     WHERE datname = current_database() AND wait_event_type = 'Lock'; COMMIT",
                )
                .await;
        }
    });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let error = world.store.commit(&spec, &lane.id, lane.fence(), &work).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    locked.await.unwrap();
    let done = world.store.commit(&spec, &lane.id, lane.fence(), &work).await.unwrap();
    assert_eq!((done.batch, lane.column("t", "n").await.as_str()), (1, "[1]"));
}

async fn the_outbox_is_kept_until_published(world: World) {
    let spec = spec(TABLE);
    let mut lane = world.lane(&spec).await;
    for n in 0..3 {
        let effects = Effects { messages: vec![messages(&[0])], ..Effects::default() };
        let work = lane.work(1, effects);
        let done = lane.try_commit(work).await.unwrap();
        let value = format!("value {n}");
        assert_eq!(decode(&done.outbox).unwrap().messages[0].value, Some(value.as_bytes()));
    }
    // A batch without messages has no entry.
    let work = lane.work(1, Effects::default());
    lane.try_commit(work).await.unwrap();
    let batches = |entries: Vec<gristmill::store::OutboxEntry>| {
        entries.iter().map(|entry| (entry.batch, entry.next_offset)).collect::<Vec<_>>()
    };
    assert_eq!(batches(world.store.outbox(&lane.id, 0).await.unwrap()), [(1, 1), (2, 2), (3, 3)]);
    assert_eq!(batches(world.store.outbox(&lane.id, 2).await.unwrap()), [(3, 3)]);
    // The next batch forgets what is published; an idle lane says so by itself.
    lane.state.published = 1;
    let work = lane.work(1, Effects::default());
    lane.try_commit(work).await.unwrap();
    assert_eq!(batches(world.store.outbox(&lane.id, 0).await.unwrap()), [(2, 2), (3, 3)]);
    world.store.mark_published(&lane.id, lane.state.epoch, 3).await.unwrap();
    world.store.mark_published(&lane.id, lane.state.epoch, 2).await.unwrap();
    assert_eq!(world.store.outbox(&lane.id, 0).await.unwrap(), []);
    assert_eq!(world.store.lane(&lane.id).await.unwrap().unwrap().published, 3);
}

/// Two hosts that both believe they own the lane: every batch is written by one of them, once.
async fn two_owners_write_each_batch_once(world: World) {
    let spec = spec(TABLE);
    drop(world.lane(&spec).await);
    let tasks = (0..2).map(|_| {
        let (world, spec) = (world.clone(), Arc::clone(&spec));
        tokio::spawn(async move {
            for _ in 0..200 {
                let mut lane = world.lane(&spec).await;
                lane.offset = lane.state.next_offset.unwrap_or(0);
                for _ in 0..3 {
                    let n = lane.offset;
                    if n >= 60 {
                        return;
                    }
                    let effects =
                        Effects { rows: vec![piece(&spec, "t", &[(0, &[V::I(n)])])], ..Effects::default() };
                    let work = lane.work(1, effects);
                    match lane.try_commit(work).await {
                        Ok(_) => {}
                        Err(Error::Fenced { .. }) => break,
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let mut numbers: Vec<i64> =
        world.rows(&spec, "t").await.iter().map(|row| row["n"].as_i64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..60).collect::<Vec<_>>());
}

async fn a_lane_begins_where_it_was_told(world: World) {
    let spec = spec(TABLE);
    let lane = world.lane(&spec).await;
    assert_eq!(lane.state.next_offset, None);
    world.store.begin_at(&lane.id, 1, 17).await.unwrap();
    let mut next = world.lane(&spec).await;
    assert_eq!((next.state.batch, next.state.next_offset), (0, Some(17)));
    next.write("t", &[&[V::I(1)]]).await;
    assert!(matches!(world.store.begin_at(&lane.id, 2, 3).await, Err(Error::Fenced { .. })));
}

async fn an_operator_decides(world: World) {
    let spec = spec(TABLE);
    let mut lane = world.lane(&spec).await;
    let effects = Effects { messages: vec![messages(&[0])], ..Effects::default() };
    let work = lane.work(1, effects);
    lane.try_commit(work).await.unwrap();
    world.store.resolve(&lane.id, Resolution::TrustStore).await.unwrap();
    let work = lane.work(1, Effects::default());
    assert!(matches!(lane.try_commit(work).await, Err(Error::Fenced { .. })), "who works on it lets go");
    let state = world.store.take_over(&lane.id).await.unwrap();
    assert!(state.distrust_group && state.published == 0);
    world.store.mark_published(&lane.id, state.epoch, 1).await.unwrap();
    assert!(!world.store.take_over(&lane.id).await.unwrap().distrust_group);
    world.store.resolve(&lane.id, Resolution::ContinueAt { next_offset: 40 }).await.unwrap();
    let state = world.store.take_over(&lane.id).await.unwrap();
    assert_eq!((state.next_offset, state.published, state.batch), (Some(40), 1, 1));
    assert_eq!(world.store.outbox(&lane.id, 0).await.unwrap(), []);
    let unknown = gristmill::record::LaneId { partition: 9, ..lane.id.clone() };
    assert!(matches!(world.store.resolve(&unknown, Resolution::TrustStore).await, Err(Error::BadRequest(_))));
}
