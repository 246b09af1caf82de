//! What is kept for later: parked records, dead letters, mails, reference values.

use super::world::{Lane, World, failure, letters, mail, spec};
use gristmill::access::{Grant, Role};
use gristmill::effect::{Effects, Verdict};
use gristmill::store::{MailCounts, MailOutcome, NewToken, Origin, ParkedOrigin, Token, Work};
use std::collections::BTreeMap;

super::on_both!(
    parked_records_come_back_and_are_given_up,
    parked_records_that_succeed_are_forgotten,
    dead_letters_are_listed_replayed_and_dropped,
    mails_are_leased_and_settled,
    reference_values_are_found,
    tokens_are_kept_once_and_revoked_once,
);

const SPEC: &str = "[[table]]\nname = \"t\"\nmode = \"append\"\ncolumns = [{ name = \"n\", type = \"bigint\" }]\n\
     [retry]\nattempts_max = 3\ndelay_ms_first = 1000\ndelay_ms_max = 60000\n[mail]\nfrom = \"a@example.org\"\n";

fn failing(verdict: Verdict, code: &str, records: &[u32]) -> Effects {
    let failures: BTreeMap<_, _> = records.iter().map(|record| (*record, failure(verdict, code))).collect();
    Effects { failures, ..Effects::default() }
}

/// The lane's due records as a batch that comes back.
async fn comeback(lane: &Lane, effects: Effects) -> Work {
    let due = lane.world.store.due_parked(&lane.id, i64::MAX, 100, 1 << 20).await.unwrap();
    let mut work = Work { effects, ..lane.work(0, Effects::default()) };
    let mut origins = Vec::new();
    for record in due {
        work.batch.push(record.offset, record.timestamp_ms, record.key.as_deref(), record.value.as_deref());
        for (name, value) in &record.headers {
            work.batch.push_header(name, value.as_deref());
        }
        origins.push(ParkedOrigin { id: record.id, attempts: record.attempts });
    }
    work.origin = Origin::Parked(origins);
    work
}

async fn parked_records_come_back_and_are_given_up(world: World) {
    let mut lane = world.lane(&spec(SPEC)).await;
    let work = lane.work(3, failing(Verdict::Retry, "busy", &[1]));
    let original = (work.batch.offset(1), work.batch.value(1).map(<[u8]>::to_vec));
    let done = lane.try_commit(work).await.unwrap();
    assert_eq!((done.parked, done.dead_letters.len()), (1, 0));
    let due = done.parked_due_ms.unwrap();
    assert_eq!(world.store.next_parked_due(&lane.id).await.unwrap(), Some(due));
    assert_eq!(world.store.due_parked(&lane.id, due - 1, 10, 100).await.unwrap(), []);
    let found = world.store.due_parked(&lane.id, due, 10, 1).await.unwrap();
    assert_eq!((found[0].offset, found[0].value.clone(), found[0].attempts), (original.0, original.1, 1));
    assert_eq!(found[0].headers, [("n".to_owned(), Some(vec![1, 0]))]);
    let work = comeback(&lane, failing(Verdict::Retry, "busy", &[0])).await;
    let done = lane.try_commit(work).await.unwrap();
    assert_eq!((done.parked, done.next_offset, world.store.parked_count("test").await.unwrap()), (1, 3, 1));
    let work = comeback(&lane, failing(Verdict::Retry, "busy", &[0])).await;
    let done = lane.try_commit(work).await.unwrap();
    assert_eq!((done.parked, done.dead_letters), (0, vec![("busy".to_owned(), 1)]));
    assert_eq!(world.store.next_parked_due(&lane.id).await.unwrap(), None);
    let letter = &world.store.dead_letters(&letters()).await.unwrap()[0];
    assert_eq!((letter.offset, letter.attempts), (1, 3));
    assert_eq!(letter.failure.reason(), "given up after 3 attempts: because busy");
}

async fn parked_records_that_succeed_are_forgotten(world: World) {
    let mut lane = world.lane(&spec(SPEC)).await;
    let work = lane.work(250, failing(Verdict::Retry, "busy", &(0..250).collect::<Vec<_>>()));
    lane.try_commit(work).await.unwrap();
    // Bounds: so many records, so many bytes, but one at least.
    assert_eq!(world.store.due_parked(&lane.id, i64::MAX, 7, 1 << 20).await.unwrap().len(), 7);
    assert_eq!(world.store.due_parked(&lane.id, i64::MAX, 7, 0).await.unwrap().len(), 1);
    for left in [150, 50, 0] {
        let work = comeback(&lane, Effects::default()).await;
        lane.try_commit(work).await.unwrap();
        assert_eq!(world.store.parked_count("test").await.unwrap(), left);
    }
}

async fn dead_letters_are_listed_replayed_and_dropped(world: World) {
    let mut lane = world.lane(&spec(SPEC)).await;
    for code in ["bad-json", "no\0id", "bad-json"] {
        let work = lane.work(1, failing(Verdict::Reject, code, &[0]));
        lane.try_commit(work).await.unwrap();
    }
    let store = &world.store;
    assert_eq!(
        store.dead_letter_counts("test").await.unwrap(),
        [("bad-json".to_owned(), 2), ("no\u{fffd}id".to_owned(), 1)]
    );
    let all = store.dead_letters(&letters()).await.unwrap();
    assert_eq!(all.iter().map(|letter| letter.offset).collect::<Vec<_>>(), [2, 1, 0]);
    assert_eq!((all[0].failure.digest.as_str(), all[0].failure.stage.as_str()), ("abc", "validate"));
    let mut query = letters();
    query.code = Some("bad-json".into());
    query.before = Some(all[0].id);
    assert_eq!(store.dead_letters(&query).await.unwrap().len(), 1);
    query.pipeline = Some("other".into());
    assert_eq!(store.dead_letters(&query).await.unwrap().len(), 0);
    let id = all[2].id;
    assert_eq!(store.dead_letter(id).await.unwrap().as_ref(), Some(&all[2]));
    let (one, two) = tokio::join!(store.replay_dead_letter(id, 5), store.replay_dead_letter(id, 5));
    assert!(one.unwrap() != two.unwrap(), "moved once");
    assert_eq!(store.dead_letter(id).await.unwrap(), None);
    let back = store.due_parked(&lane.id, 5, 10, 1 << 20).await.unwrap();
    assert_eq!((back.len(), back[0].attempts, back[0].offset), (1, 0, 0));
    assert_eq!(back[0].value.as_deref(), Some(&b"value 0"[..]));
    assert!(store.drop_dead_letter(all[1].id).await.unwrap());
    assert!(!store.drop_dead_letter(all[1].id).await.unwrap());
    assert_eq!(store.dead_letters(&letters()).await.unwrap().len(), 1);
}

async fn mails_are_leased_and_settled(world: World) {
    let mut lane = world.lane(&spec(SPEC)).await;
    let effects = Effects { mails: vec![mail(0), mail(1), mail(2)], ..Effects::default() };
    let work = lane.work(3, effects);
    lane.try_commit(work).await.unwrap();
    let store = &world.store;
    let (one, two) = tokio::join!(store.lease_mails(100, 50, 2), store.lease_mails(100, 50, 2));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.len() + two.len(), 3);
    assert_eq!(store.lease_mails(149, 50, 10).await.unwrap(), []);
    let mails = store.lease_mails(150, 50, 10).await.unwrap();
    assert_eq!(
        (mails.len(), mails[0].subject.as_str(), &mails[0].to[0]),
        (3, "s\0", &"a@example.org".to_owned())
    );
    store.settle_mail(&mails[0], &MailOutcome::Sent).await.unwrap();
    let again = MailOutcome::Again { at_ms: 500, error: "busy".into() };
    store.settle_mail(&mails[1], &again).await.unwrap();
    // The same said again, since no answer came: one attempt.
    store.settle_mail(&mails[1], &again).await.unwrap();
    store.settle_mail(&mails[2], &MailOutcome::Failed { error: "no such box".into() }).await.unwrap();
    assert_eq!(store.mail_counts("test").await.unwrap(), MailCounts { pending: 1, sent: 1, failed: 1 });
    assert_eq!(store.lease_mails(499, 50, 10).await.unwrap(), []);
    let failed = store.failed_mails(Some("test"), 10).await.unwrap();
    assert_eq!(
        failed.iter().map(|mail| (mail.id, mail.error.as_str(), mail.attempts)).collect::<Vec<_>>(),
        [(mails[2].id, "no such box", 1)]
    );
    assert_eq!((failed[0].to.as_slice(), &failed[0].message_id), (&mails[2].to[..], &mails[2].message_id));
    assert_eq!(store.failed_mails(None, 10).await.unwrap(), failed);
    assert_eq!(store.failed_mails(Some("other"), 10).await.unwrap(), []);
    assert!(!store.retry_mail(mails[0].id).await.unwrap(), "it is sent");
    assert!(store.retry_mail(mails[2].id).await.unwrap());
    assert_eq!(store.mail_counts("test").await.unwrap(), MailCounts { pending: 2, sent: 1, failed: 0 });
    let again = store.lease_mails(499, 50, 10).await.unwrap();
    assert_eq!((again.len(), again[0].id, again[0].attempts), (1, mails[2].id, 0));
    store.settle_mail(&mails[2], &MailOutcome::Sent).await.unwrap();
    let last = store.lease_mails(500, 50, 10).await.unwrap();
    assert_eq!((last[0].id, last[0].attempts), (mails[1].id, 1));
    assert_eq!(last[0].message_id, "test.in.0.1.0@example.org");
}

async fn reference_values_are_found(world: World) {
    let store = &world.store;
    let (a, b) = (b"user:1".to_vec(), b"user:\0".to_vec());
    store.put_reference(&[(a.clone(), b"x".to_vec()), (a.clone(), b"y".to_vec())]).await.unwrap();
    store.put_reference(&[(b.clone(), vec![])]).await.unwrap();
    let answers = store.lookup_reference(&[b.clone(), b"none".to_vec(), a.clone(), b]).await.unwrap();
    assert_eq!(answers, [Some(vec![]), None, Some(b"y".to_vec()), Some(vec![])]);
    assert_eq!(store.lookup_reference(&[]).await.unwrap(), Vec::<Option<Vec<u8>>>::new());
}

async fn tokens_are_kept_once_and_revoked_once(world: World) {
    let store = &world.store;
    let live = |now_ms| async move {
        let live = store.live_tokens(now_ms).await.unwrap();
        (live.tokens.iter().map(|token| token.id).collect::<Vec<_>>(), live.any_made)
    };
    assert_eq!(live(0).await, (vec![], false));
    let ingest = Grant::Ingest(vec!["orders".into(), "ö".into()]);
    let new = |name: &str, digest: u8, grant: &Grant, expires_ms| NewToken {
        name: name.into(),
        digest: [digest; 32],
        grant: grant.clone(),
        created_ms: 5,
        created_by: "local".into(),
        expires_ms,
    };
    let (ada, shop) = (new("ada", 1, &Grant::Role(Role::Admin), None), new("shop", 2, &ingest, Some(100)));
    let first = store.add_token(&ada).await.unwrap().unwrap();
    let second = store.add_token(&shop).await.unwrap().unwrap();
    assert_eq!(store.add_token(&new("ada", 3, &ingest, None)).await.unwrap(), None, "the name");
    assert_eq!(store.add_token(&new("bob", 2, &ingest, None)).await.unwrap(), None, "the digest");
    assert_eq!(live(99).await, (vec![first, second], true));
    assert_eq!(live(100).await, (vec![first], true));
    let kept = |token: &Token| {
        let given = &token.given;
        (given.name.clone(), given.digest, given.grant.clone(), given.created_ms, given.expires_ms)
    };
    let all = store.tokens().await.unwrap();
    assert_eq!(kept(&all[0]), ("ada".into(), [1; 32], Grant::Role(Role::Admin), 5, None));
    assert_eq!(kept(&all[1]), ("shop".into(), [2; 32], ingest.clone(), 5, Some(100)));

    assert_eq!(store.revoke_token(first, "bob", 7).await.unwrap().as_deref(), Some("ada"));
    assert_eq!(store.revoke_token(first, "eve", 8).await.unwrap().as_deref(), Some("ada"));
    assert_eq!(store.revoke_token(999, "eve", 8).await.unwrap(), None);
    let all = store.tokens().await.unwrap();
    assert_eq!((all[0].revoked_ms, all[0].revoked_by.as_deref()), (Some(7), Some("bob")));
    assert_eq!((all[1].revoked_ms, all[1].revoked_by.as_deref()), (None, None));
    assert_eq!(live(100).await, (vec![], true), "it had tokens once");
    assert!(
        store.add_token(&new("ada", 4, &ingest, None)).await.unwrap().is_some(),
        "the name is free again"
    );
}
