use super::*;
use std::path::Path;

const REAL: Parts = Parts { log: LogPart::Kafka, store: StorePart::PostgreSql, mail: Some(MailPart::Smtp) };
const EMBEDDED: Parts =
    Parts { log: LogPart::Journal, store: StorePart::Sqlite, mail: Some(MailPart::Files) };

/// A pipeline with one table, of this mode (and its options), and more.
fn spec(partitions: i32, mode: &str, more: &str) -> Spec {
    let text = format!(
        "version = 1\nname = \"p\"\n[source]\ntopic = \"in\"\npartitions = {partitions}\n[[stage]]\nname = \"s\"\n\
         module = \"m\"\n[[table]]\nname = \"t\"\nkey = [\"id\"]\n{mode}\ncolumns = [{{ name = \"id\", type = \"bigint\" }}, \
         {{ name = \"at\", type = \"timestamptz\" }}, {{ name = \"n\", type = \"double\" }}, \
         {{ name = \"h\", type = \"text\" }}]\n{more}\n"
    );
    Spec::parse("test.toml", text, Path::new(".")).unwrap()
}

/// The promise of one effect, with what limits it.
#[track_caller]
fn of(spec: &Spec, parts: Parts, effect: &str) -> (Promise, String) {
    let all = guarantees(spec, parts);
    let found = all.iter().find(|guarantee| guarantee.effect == effect);
    let found = found.unwrap_or_else(|| panic!("no `{effect}` among {all:#?}"));
    assert!(!found.because.is_empty(), "{effect}");
    (found.promise, found.limits.join("; "))
}

#[test]
fn rows_are_exactly_once_and_order_is_told() {
    for (partitions, mode, part) in [
        (1, "mode = \"last-wins\"", "as long as it has one partition"),
        (
            4,
            "mode = \"last-wins\"",
            "which row of a key is the last is by chance, unless the topic is keyed by id",
        ),
        (4, "mode = \"first-wins\"", "which row of a key is the first is by chance"),
        (4, "mode = \"once\"", "which of two different contents"),
        (4, "mode = \"newest-wins\"\nnewest_by = \"at\"", "which of two rows with an equal at stays"),
        (4, "mode = \"satellite\"\nhashdiff = \"h\"\nload = \"at\"", "what a hashdiff is compared with"),
        (4, "mode = \"sum\"\nsum = [\"n\"]", "n is a double: its last digits"),
        (4, "mode = \"sum\"\nsum = [\"n\"]", "whose the columns are that are not summed"),
        (4, "mode = \"last-wins\"\ncreate = false", "create = false"),
    ] {
        for parts in [REAL, EMBEDDED] {
            let (promise, limits) = of(&spec(partitions, mode, ""), parts, "rows of t");
            assert_eq!(promise, Promise::ExactlyOnce, "{mode}");
            assert!(limits.contains(part), "{mode}: {limits}");
        }
    }
    assert_eq!(of(&spec(4, "mode = \"append\"", ""), REAL, "rows of t").1, "");
}

#[test]
fn a_route_that_keys_by_the_tables_key_keeps_the_order() {
    let route = "[[http]]\nmethod = \"POST\"\npath = \"/t\"\ntopic = \"in\"\nkey = \"/id\"";
    let (_, limits) = of(&spec(4, "mode = \"last-wins\"", route), REAL, "rows of t");
    assert!(limits.contains("order of arrival for records of POST /t, which are keyed by id"), "{limits}");
}

#[test]
fn messages_mails_and_ingest_say_what_they_are() {
    let more = "[[output]]\nname = \"o\"\ntopic = \"o-{}\"\n[mail]\nfrom = \"a@b.example\"\n[dead_letters]\n\
                topic = \"in.dlq\"\n[[http]]\nmethod = \"POST\"\npath = \"/t\"\ntopic = \"in\"";
    let once = spec(4, "mode = \"once\"", more);
    let no_mail = Parts { mail: None, ..REAL };
    for (parts, effect, promise, part) in [
        (REAL, "records of in", Promise::ExactlyOnce, "retention of in"),
        (EMBEDDED, "records of in", Promise::ExactlyOnce, "one host at a time"),
        (REAL, "output o (topic o-{})", Promise::ExactlyOnce, "read_committed"),
        (REAL, "output o (topic o-{})", Promise::ExactlyOnce, "offsets.retention.minutes"),
        (EMBEDDED, "output o (topic o-{})", Promise::ExactlyOnce, "one host at a time"),
        (REAL, "copies of dead letters (topic in.dlq)", Promise::ExactlyOnce, "read_committed"),
        (REAL, "dead letters", Promise::ExactlyOnce, "order within its key is lost"),
        (REAL, "mail", Promise::AtLeastOnceSameId, "does not look at Message-IDs"),
        (EMBEDDED, "mail", Promise::AtLeastOnceSameId, "20 times"),
        (no_mail, "mail", Promise::Kept, "names no server"),
        (REAL, "POST /t (topic in)", Promise::AtLeastOnce, "t (once) absorbs them"),
        (REAL, "POST /t (topic in)", Promise::AtLeastOnce, "get no key"),
    ] {
        let (found, limits) = of(&once, parts, effect);
        assert_eq!(found, promise, "{effect}");
        assert!(limits.contains(part), "{effect}: {limits}");
    }
    let first = spec(4, "mode = \"first-wins\"", more);
    assert!(of(&first, REAL, "POST /t (topic in)").1.contains("not their messages and mails"));
    let sum = spec(4, "mode = \"sum\"\nsum = [\"n\"]", more);
    assert!(of(&sum, REAL, "POST /t (topic in)").1.contains("no table here absorbs them"));
}

#[test]
fn it_is_shown_as_a_table_and_as_json() {
    let all = guarantees(&spec(1, "mode = \"append\"", ""), REAL);
    let table = table(&all, 120);
    assert!(table.contains("rows of t") && table.contains("exactly once"), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 120), "{table}");
    let json = serde_json::to_value(&all).unwrap();
    assert_eq!(json[1]["promise"], "exactly once");
}

#[test]
fn parts_are_read_from_settings() {
    assert_eq!(Parts::of("kafka://h:1", "postgres://h/d", Some("smtp://h:25")), REAL);
    assert_eq!(Parts::of("journal:", "sqlite:x.db", Some("file:mails")), EMBEDDED);
}
