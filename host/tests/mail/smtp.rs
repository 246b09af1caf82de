//! The SMTP transport against a server that misbehaves.

use super::server::{Act, start};
use gristmill::mail::{Smtp, Transport};
use gristmill::store::PendingMail;
use std::time::{Duration, Instant};

/// A mail with this Message-ID.
pub fn mail(message_id: &str) -> PendingMail {
    PendingMail {
        id: 1,
        pipeline: "p".into(),
        message_id: message_id.into(),
        from: "Orders <orders@gristmill.example>".into(),
        to: vec!["ada@example.org".into()],
        subject: "Order".into(),
        text: "Thanks.\n.\nA line with a dot.\n".into(),
        html: Some("<p>Thanks.</p>".into()),
        attempts: 0,
        attempts_max: 3,
    }
}

#[tokio::test]
async fn mails_go_over_few_connections_and_keep_their_ids() {
    let (address, seen) = start(&[Act::Accept]).await;
    let smtp = Smtp::open(&format!("smtp://{address}")).unwrap();
    for n in 0..5 {
        smtp.send(&mail(&format!("m{n}@p.gristmill"))).await.unwrap();
    }
    let ids: Vec<String> = (0..5).map(|n| format!("<m{n}@p.gristmill>")).collect();
    assert_eq!(seen.message_ids(), ids);
    assert_eq!(*seen.connections.lock().unwrap(), 1);
}

/// What the server does, whether that is for good, and what the error says.
#[tokio::test]
async fn answers_are_told_apart() {
    for (act, permanent, part) in [
        (Act::Answer("554 no such thing"), true, "554"),
        (Act::Recipient("550 no such person"), true, "550"),
        (Act::Answer("451 try later"), false, "451"),
        (Act::Recipient("452 mailbox full"), false, "452"),
        (Act::Hang, false, "no answer within"),
        (Act::Close, false, "SMTP server"),
    ] {
        let (address, _) = start(&[act, Act::Accept]).await;
        let smtp =
            Smtp::open(&format!("smtp://{address}")).unwrap().with_send_timeout(Duration::from_millis(300));
        let began = Instant::now();
        let error = smtp.send(&mail("a@b")).await.unwrap_err();
        assert_eq!(error.permanent, permanent, "{act:?}: {error}");
        assert!(error.message.contains(part), "{act:?}: {error}");
        assert!(began.elapsed() < Duration::from_secs(5));
        smtp.send(&mail("c@d")).await.unwrap();
    }
}

#[tokio::test]
async fn no_server_may_pass() {
    let smtp = Smtp::open("smtp://127.0.0.1:1").unwrap();
    assert!(!smtp.send(&mail("a@b")).await.unwrap_err().permanent);
}

/// The late `250` of a mail that was given up must not be taken for the answer to the next one.
#[tokio::test]
async fn a_late_answer_belongs_to_nobody() {
    let (address, _) = start(&[Act::Late(300), Act::Answer("554 never"), Act::Answer("554 never")]).await;
    let smtp =
        Smtp::open(&format!("smtp://{address}")).unwrap().with_send_timeout(Duration::from_millis(150));
    assert!(smtp.send(&mail("a@b")).await.is_err());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(smtp.send(&mail("c@d")).await.unwrap_err().permanent);
    assert!(smtp.send(&mail("e@f")).await.unwrap_err().permanent);
}
