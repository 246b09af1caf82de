//! From a stored mail to the bytes that are sent.

use super::SendError;
use crate::store::PendingMail;
use lettre::Message;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};

/// Builds the message: plain text, and the same as HTML where there is one.
pub(super) fn build(mail: &PendingMail) -> Result<Message, SendError> {
    let mut message = Message::builder().from(address(&mail.from)?).subject(&mail.subject).date_now();
    for to in &mail.to {
        message = message.to(address(to)?);
    }
    // As it is: a header that were folded or encoded would be another identity.
    let id = format!("<{}>", mail.message_id);
    let name = HeaderName::new_from_ascii_str("Message-ID");
    message = message.raw_header(HeaderValue::dangerous_new_pre_encoded(name, id.clone(), id));
    let built = match &mail.html {
        Some(html) => message.multipart(MultiPart::alternative_plain_html(mail.text.clone(), html.clone())),
        None => message.singlepart(SinglePart::plain(mail.text.clone())),
    };
    built.map_err(|e| SendError::permanent(format!("the mail cannot be written: {e}")))
}

fn address(text: &str) -> Result<Mailbox, SendError> {
    text.parse().map_err(|e| SendError::permanent(format!("`{text}` is not a mail address: {e}")))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A mail for tests.
    pub(in crate::mail) fn mail(message_id: &str) -> PendingMail {
        PendingMail {
            id: 1,
            pipeline: "city-orders".into(),
            message_id: message_id.into(),
            from: "Gristmill Orders <orders@gristmill.example>".into(),
            to: vec!["ada@example.org".into(), "Grace <grace@example.org>".into()],
            subject: "Ihre Bestellung für Köln".into(),
            text: "Danke!\n".into(),
            html: None,
            attempts: 0,
            attempts_max: 3,
        }
    }

    #[test]
    fn a_mail_keeps_its_identity_and_names_everybody() {
        let id = "product_orders.0.12.0.0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef@city-orders.gristmill";
        let message = build(&mail(id)).unwrap();
        let text = String::from_utf8(message.formatted()).unwrap();
        assert!(text.contains(&format!("Message-ID: <{id}>\r\n")), "{text}");
        assert!(text.contains("To: ada@example.org, Grace <grace@example.org>"), "{text}");
        assert!(text.contains("From: \"Gristmill Orders\" <orders@gristmill.example>"), "{text}");
        assert!(text.contains("\r\nDate: "), "{text}");
        assert!(!text.contains("multipart"), "{text}");
        assert_eq!(message.envelope().to().len(), 2);
    }

    #[test]
    fn html_comes_beside_the_text() {
        let html = PendingMail { html: Some("<p>Danke!</p>".into()), ..mail("a@b") };
        let text = String::from_utf8(build(&html).unwrap().formatted()).unwrap();
        assert!(text.contains("multipart/alternative") && text.contains("<p>Danke!</p>"), "{text}");
    }

    #[test]
    fn a_subject_cannot_smuggle_headers_in() {
        let sly = PendingMail { subject: "x\r\nBcc: all@example.org".into(), ..mail("a@b") };
        let text = String::from_utf8(build(&sly).unwrap().formatted()).unwrap();
        assert!(!text.contains("\nBcc:"), "{text}");
    }

    #[test]
    fn a_bad_address_is_permanent() {
        let bad = PendingMail { to: vec!["nobody".into()], ..mail("a@b") };
        assert!(build(&bad).unwrap_err().permanent);
    }
}
