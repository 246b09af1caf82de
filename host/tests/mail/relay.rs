//! The relay between a real store and a server that misbehaves.

use super::server::{Act, Seen, start};
use gristmill::effect::{Effects, Mail};

use gristmill::mail::{Relay, Settings, Smtp, Transport};
use gristmill::record::{Batch, LaneId};
use gristmill::spec::Spec;
use gristmill::store::sqlite::SqliteStore;
use gristmill::store::sqlite::database::Database;
use gristmill::store::{Fence, MailCounts, Origin, Store, Work};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

const SPEC: &str = "version = 1\nname = \"p\"\n[source]\ntopic = \"in\"\n[[stage]]\nname = \"s\"\nmodule = \"m\"\n\
                    [mail]\nfrom = \"orders@gristmill.example\"\nattempts_max = 2\n";

struct Bench {
    store: Arc<dyn Store>,
    wake: Arc<Notify>,
    _folder: tempfile::TempDir,
}

impl Bench {
    /// A store with so many mails.
    async fn new(mails: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("store.db")).await.unwrap();
        let store: Arc<dyn Store> = Arc::new(SqliteStore::over_database(database));
        let bench = Bench { store, wake: Arc::new(Notify::new()), _folder: folder };
        bench.commit(mails).await;
        bench
    }

    /// Commits a batch whose records cause a mail each.
    async fn commit(&self, mails: u32) {
        let spec = Arc::new(Spec::parse("test.toml", SPEC.into(), Path::new(".")).unwrap());
        let lane = LaneId { pipeline: "p".into(), topic: "in".into(), partition: 0 };
        let state = self.store.take_over(&lane).await.unwrap();
        let next_offset = state.next_offset.unwrap_or(0);
        let fence = Fence { epoch: state.epoch, batch: state.batch, next_offset, published: state.published };
        let mut batch = Batch::new("in", 0);
        let mut effects = Effects::default();
        for record in 0..mails {
            batch.push(next_offset + i64::from(record), 0, None, Some(b"{}"));
            effects.mails.push(Mail {
                record,
                to: vec!["ada@example.org".into()],
                subject: "Order".into(),
                text: "Thanks.".into(),
                html: None,
            });
        }
        let next_offset = next_offset + i64::from(mails);
        let work = Work { batch, origin: Origin::Log { next_offset }, effects, stages: Vec::new() };
        self.store.commit(&spec, &lane, fence, &Arc::new(work)).await.unwrap();
        self.wake.notify_one();
    }

    fn relay(
        &self,
        transport: Arc<dyn Transport>,
        settings: Settings,
    ) -> (CancellationToken, tokio::task::JoinHandle<()>) {
        let stop = CancellationToken::new();
        let relay = Relay { store: self.store.clone(), transport, wake: self.wake.clone(), settings };
        (stop.clone(), tokio::spawn(relay.run(stop)))
    }

    async fn counts(&self) -> MailCounts {
        self.store.mail_counts("p").await.unwrap()
    }

    /// Waits until this holds.
    async fn until(&self, holds: impl Fn(&MailCounts) -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !holds(&self.counts().await) {
            assert!(Instant::now() < end, "{:?}", self.counts().await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn server(plan: &[Act]) -> (Arc<dyn Transport>, Arc<Seen>) {
    let (address, seen) = start(plan).await;
    let smtp = Smtp::open(&format!("smtp://{address}")).unwrap();
    (Arc::new(smtp.with_send_timeout(Duration::from_millis(300))), seen)
}

const SETTINGS: Settings = Settings { lease_ms: 2_000, sends_max: 4, poll_ms: 50 };

#[tokio::test]
async fn every_mail_is_sent_once_and_new_ones_at_once() {
    let bench = Bench::new(50).await;
    let (transport, seen) = server(&[Act::Accept]).await;
    let (stop, relay) = bench.relay(transport, Settings { poll_ms: 60_000, ..SETTINGS });
    bench.until(|counts| counts.sent == 50).await;
    bench.commit(1).await;
    bench.until(|counts| counts.sent == 51).await;
    stop.cancel();
    relay.await.unwrap();
    let mut ids = seen.message_ids();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), seen.mails.lock().unwrap().len()), (51, 51));
}

#[tokio::test]
async fn relays_share_the_mails_out() {
    let bench = Bench::new(60).await;
    let (transport, seen) = server(&[Act::Late(5)]).await;
    let relays: Vec<_> = (0..3).map(|_| bench.relay(transport.clone(), SETTINGS)).collect();
    bench.until(|counts| counts.sent == 60).await;
    for (stop, relay) in relays {
        stop.cancel();
        relay.await.unwrap();
    }
    assert_eq!(seen.mails.lock().unwrap().len(), 60);
}

#[tokio::test]
async fn a_relay_ends_whenever_it_is_told_to() {
    let bench = Bench::new(1).await;
    let (transport, _) = server(&[Act::Accept]).await;
    for round in 0..150_u64 {
        let (stop, relay) = bench.relay(transport.clone(), Settings { poll_ms: 1, ..SETTINGS });
        tokio::time::sleep(Duration::from_micros(500 + round * 37)).await;
        stop.cancel();
        tokio::time::timeout(Duration::from_secs(10), relay).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn refusals_are_given_up_and_troubles_tried_again() {
    let bench = Bench::new(2).await;
    let plan = [Act::Recipient("550 nobody"), Act::Answer("451 later"), Act::Accept];
    let (transport, seen) = server(&plan).await;
    let (stop, _relay) = bench.relay(transport, Settings { sends_max: 1, ..SETTINGS });
    bench.until(|counts| *counts == MailCounts { pending: 0, sent: 1, failed: 1 }).await;
    assert_eq!(seen.mails.lock().unwrap().len(), 1);
    stop.cancel();
}

#[tokio::test]
async fn a_mail_that_never_gets_through_is_given_up() {
    let bench = Bench::new(1).await;
    let (transport, _) = server(&[Act::Answer("451 later")]).await;
    let (_stop, _relay) = bench.relay(transport, SETTINGS);
    bench.until(|counts| counts.failed == 1).await;
}

#[tokio::test]
async fn a_mail_that_hangs_holds_nobody_up() {
    let bench = Bench::new(10).await;
    let (transport, _) = server(&[Act::Hang, Act::Accept]).await;
    let (_stop, _relay) = bench.relay(transport, SETTINGS);
    let began = Instant::now();
    bench.until(|counts| counts.sent == 9).await;
    assert!(began.elapsed() < Duration::from_millis(900));
    bench.until(|counts| counts.sent == 10).await;
}

/// A host that dies after the server took a mail and before it wrote that down.
#[tokio::test]
async fn what_a_dead_host_was_sending_is_sent_again_as_the_same_mail() {
    let bench = Bench::new(1).await;
    let (transport, seen) = server(&[Act::Late(200), Act::Accept]).await;
    let (_stop, relay) = bench.relay(transport.clone(), SETTINGS);
    while seen.mails.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    relay.abort();
    let (stop, successor) = bench.relay(transport, SETTINGS);
    bench.until(|counts| counts.sent == 1).await;
    stop.cancel();
    successor.await.unwrap();
    let ids = seen.message_ids();
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], ids[1]);
}
