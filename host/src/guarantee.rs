//! What a pipeline promises: for each kind of effect how often it happens, why, and what limits that. Derived from
//! the spec and the parts that it runs on, and from nothing else, so `gristmill check` can say it before anything
//! runs. Where a sentence here is wrong, the promise is: the tests of the commit path are what it stands on.

use crate::spec::{Alert, ColumnType, LookupSource, Mode, Route, Spec, Table, TopicPattern, Watch};
use comfy_table::{ContentArrangement, presets};
use serde::Serialize;

/// The log that a pipeline runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogPart {
    /// Apache Kafka, or what speaks its protocol with transactions.
    Kafka,
    /// The journal of the embedded set.
    Journal,
}

/// The store that a pipeline runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorePart {
    /// PostgreSQL.
    PostgreSql,
    /// SQLite.
    Sqlite,
}

/// How mail leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailPart {
    /// By SMTP.
    Smtp,
    /// As files.
    Files,
}

/// The parts that a pipeline runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The log.
    pub log: LogPart,
    /// The store.
    pub store: StorePart,
    /// Mail; `None` if nothing is named that takes it.
    pub mail: Option<MailPart>,
}

impl Parts {
    /// The parts that these settings name (`GRISTMILL_LOG`, `…_STORE`, `…_MAIL`).
    pub fn of(log: &str, store: &str, mail: Option<&str>) -> Self {
        Parts {
            log: if log.starts_with("journal:") { LogPart::Journal } else { LogPart::Kafka },
            store: if store.starts_with("sqlite:") { StorePart::Sqlite } else { StorePart::PostgreSql },
            mail: mail.map(|mail| if mail.starts_with("file:") { MailPart::Files } else { MailPart::Smtp }),
        }
    }

    fn store_name(self) -> &'static str {
        match self.store {
            StorePart::PostgreSql => "PostgreSQL",
            StorePart::Sqlite => "SQLite",
        }
    }
}

/// How often an effect happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Promise {
    /// Once for each record, whatever crashes.
    #[serde(rename = "exactly once")]
    ExactlyOnce,
    /// Once, or several times with the same identity.
    #[serde(rename = "at least once, always with the same Message-ID")]
    AtLeastOnceSameId,
    /// Once, or several times.
    #[serde(rename = "at least once")]
    AtLeastOnce,
    /// Not until somebody sets up what is missing; then as promised.
    #[serde(rename = "kept, not sent")]
    Kept,
}

impl Promise {
    fn text(self) -> &'static str {
        match self {
            Promise::ExactlyOnce => "exactly once",
            Promise::AtLeastOnceSameId => "at least once, always with the same Message-ID",
            Promise::AtLeastOnce => "at least once",
            Promise::Kept => "kept, not sent",
        }
    }
}

/// What one kind of effect is promised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Guarantee {
    /// The effect: `rows of orders`, `output city`.
    pub effect: String,
    /// How often it happens.
    pub promise: Promise,
    /// What that rests on.
    pub because: Vec<String>,
    /// What limits it.
    pub limits: Vec<String>,
}

/// What each kind of effect of a pipeline is promised on these parts.
pub fn guarantees(spec: &Spec, parts: Parts) -> Vec<Guarantee> {
    let mut all = vec![records(spec, parts)];
    all.extend(spec.tables.iter().map(|table| rows(spec, table, parts)));
    for output in &spec.outputs {
        let topic = match &output.topic {
            TopicPattern::Fixed(topic) => topic.clone(),
            TopicPattern::Dynamic { prefix, suffix } => format!("{prefix}{{}}{suffix}"),
        };
        all.push(messages(format!("output {} (topic {topic})", output.name), parts));
    }
    if let Some(topic) = &spec.dead_letter_topic {
        all.push(messages(format!("copies of dead letters (topic {topic})"), parts));
    }
    all.push(dead_letters(spec, parts));
    if let Some(mail) = &spec.mail {
        all.push(mails(mail.attempts_max, parts));
    }
    all.extend(spec.alerts.iter().map(|alert| notices(alert, parts)));
    all.extend(spec.watches.iter().map(|watch| files(spec, watch)));
    for route in &spec.routes {
        if let Route::Ingest { path, topic, key, check } = route {
            all.push(ingest(spec, parts, path, topic, key.is_some(), check.is_some()));
        }
    }
    all
}

/// As a table for a terminal of so many columns.
pub fn table(guarantees: &[Guarantee], width: u16) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(width).set_header(["effect", "happens", "because", "limited by"]);
    let lines =
        |texts: &[String]| texts.iter().map(|text| format!("· {text}")).collect::<Vec<_>>().join("\n");
    for guarantee in guarantees {
        table.add_row([
            guarantee.effect.clone(),
            guarantee.promise.text().to_owned(),
            lines(&guarantee.because),
            lines(&guarantee.limits),
        ]);
    }
    table.to_string()
}

fn texts<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}

fn records(spec: &Spec, parts: Parts) -> Guarantee {
    let mut because = vec![format!(
        "each partition has one lane, and its batches are numbered and fenced in {}: a record is in one \
         committed batch",
        parts.store_name()
    )];
    let mut limits = Vec::new();
    match parts.log {
        LogPart::Kafka => {
            because.push("any number of hosts: the store's fence decides, not the consumer group".into());
            limits.push(format!(
                "records older than the retention of {} are gone before a lane that is too far behind reads them",
                spec.source.topic
            ));
            limits.push("a topic that is made anew stops the pipeline until somebody decides".into());
        }
        LogPart::Journal => {
            limits.push("one host at a time: the journal is a file, and a second host takes over".into());
        }
    }
    limits.push("a database that comes back from a backup stops the pipeline until somebody decides".into());
    Guarantee {
        effect: format!("records of {}", spec.source.topic),
        promise: Promise::ExactlyOnce,
        because,
        limits,
    }
}

fn rows(spec: &Spec, table: &Table, parts: Parts) -> Guarantee {
    let because = vec![
        format!("written in the {} transaction that moves the lane's fenced offset", parts.store_name()),
        format!("mode {}: {}", table.mode.name(), mode_because(table)),
    ];
    let mut limits = mode_limits(spec, table);
    let looked_up = spec.lookups.iter().find(|lookup| match lookup.from {
        LookupSource::Table { table: place } => {
            spec.tables.get(place).is_some_and(|of| of.name == table.name)
        }
        LookupSource::Keys { .. } => false,
    });
    if let Some(lookup) = looked_up {
        limits.push(format!(
            "what the lookup {} reads here is exact where all records of a key are in one partition: a stage that reads it \
             and writes the table sees all that its lane has written, and not what another lane is about to",
            lookup.name
        ));
    }
    if !table.create {
        limits.push("create = false: what triggers of the table's owner do outside of it is not ours".into());
    }
    Guarantee { effect: format!("rows of {}", table.name), promise: Promise::ExactlyOnce, because, limits }
}

fn mode_because(table: &Table) -> &'static str {
    match table.mode {
        Mode::Append => "a row for each that the record causes",
        Mode::FirstWins => "a row per key, and later ones change nothing",
        Mode::LastWins => "a row per key, the last one's",
        Mode::NewestWins { .. } => "a row per key, whatever order rows come in",
        Mode::Sum { counted: None, .. } => "each record is added once",
        Mode::Sum { counted: Some(_), .. } => {
            "each event is added once to each key, in whichever record it comes"
        }
        Mode::Satellite { .. } => "a row where the hashdiff changes",
        Mode::Once { .. } => "a key decides about its record: a second one causes nothing",
    }
}

fn mode_limits(spec: &Spec, table: &Table) -> Vec<String> {
    let mut limits = Vec::new();
    let order = |limits: &mut Vec<String>, what: &str| {
        limits.extend(across_partitions(spec, table).map(|unless| format!("{what} {unless}")));
    };
    match &table.mode {
        Mode::Append => {}
        Mode::FirstWins => order(&mut limits, "which row of a key is the first"),
        Mode::LastWins => order(&mut limits, "which row of a key is the last"),
        Mode::Satellite { .. } => order(&mut limits, "what a hashdiff is compared with"),
        Mode::Once { .. } => order(&mut limits, "which of two different contents of a key is the first"),
        Mode::NewestWins { by } => {
            let name = column_name(table, *by);
            order(&mut limits, &format!("which of two rows with an equal {name} stays"));
        }
        Mode::Sum { columns, .. } => {
            let others = (0..table.columns.len())
                .any(|place| !columns.contains(&place) && !table.key.contains(&place));
            if others {
                order(&mut limits, "whose the columns are that are not summed");
            }
            let float = |place: &&usize| {
                table.columns.get(**place).is_some_and(|column| column.ty == ColumnType::Double)
            };
            for place in columns.iter().filter(float) {
                let name = column_name(table, *place);
                limits.push(format!("{name} is a double: its last digits depend on the order of adding"));
            }
        }
    }
    limits
}

fn column_name(table: &Table, place: usize) -> &str {
    table.columns.get(place).map_or("", |column| column.name.as_str())
}

/// What decides about the order of two records of one key, if that is not certain.
fn across_partitions(spec: &Spec, table: &Table) -> Option<String> {
    if spec.source.partitions == 1 {
        return Some("is the topic's order, as long as it has one partition".to_owned());
    }
    let key: Vec<&str> = table.key.iter().map(|place| column_name(table, *place)).collect();
    let keyed = spec.routes.iter().find_map(|route| match route {
        Route::Ingest { path, topic, key: Some(rule), .. } if *topic == spec.source.topic => {
            let last = |pointer: &str| pointer.rsplit('/').next().unwrap_or("").to_owned();
            (rule.pointers().map(last).collect::<Vec<_>>() == key).then_some(path)
        }
        _ => None,
    });
    Some(match keyed {
        Some(path) => format!(
            "is the order of arrival for records of POST {path}, which are keyed by {}; other producers must \
             key theirs so",
            key.join(", ")
        ),
        None => format!("is by chance, unless the topic is keyed by {}", key.join(", ")),
    })
}

fn messages(effect: String, parts: Parts) -> Guarantee {
    let outbox = format!("kept in {} in the batch's transaction until published", parts.store_name());
    let (because, limits) = match parts.log {
        LogPart::Kafka => (
            vec![
                outbox,
                "published in one Kafka transaction with the group's offset and the batch's number, so a \
                 successor knows what is out"
                    .into(),
                "a successor fences the publisher before it: any number of hosts".into(),
            ],
            texts([
                "consumers must read with isolation.level=read_committed",
                "a group offset that has expired (offsets.retention.minutes) or was reset while messages wait \
                 stops the pipeline until somebody decides",
                "the order is that of the records, within one source partition",
            ]),
        ),
        LogPart::Journal => (
            vec![
                outbox,
                "appended in one SQLite transaction with the group's offset and the batch's number".into(),
            ],
            texts([
                "one host at a time: the journal is a file",
                "the order is that of the records, within one source partition",
            ]),
        ),
    };
    Guarantee { effect, promise: Promise::ExactlyOnce, because, limits }
}

fn dead_letters(spec: &Spec, parts: Parts) -> Guarantee {
    Guarantee {
        effect: "dead letters".into(),
        promise: Promise::ExactlyOnce,
        because: vec![
            format!(
                "written in the batch's {} transaction, instead of all of the record's effects",
                parts.store_name()
            ),
            format!(
                "a record that is to be retried is parked there, and is one after {} attempts",
                spec.retry.attempts_max
            ),
        ],
        limits: texts([
            "a record that was parked or replayed comes after records that followed it: order within its key \
             is lost for it",
        ]),
    }
}

fn notices(alert: &Alert, parts: Parts) -> Guarantee {
    let seconds = alert.window_ms / 1_000;
    Guarantee {
        effect: format!("notices of alert {}", alert.name),
        promise: Promise::AtLeastOnce,
        because: vec![format!(
            "noted in {} in the transaction that has the dead letters, once for each cause in {seconds} s, and sent after it",
            parts.store_name()
        )],
        limits: vec![
            format!("{} causes are told in {seconds} s; what comes beyond is counted", alert.notices_max),
            "a host that dies between the answer and its own note sends again, under the same id".to_owned(),
        ],
    }
}

fn files(spec: &Spec, watch: &Watch) -> Guarantee {
    let once = spec.tables.iter().find(|table| matches!(table.mode, Mode::Once { .. }));
    let again = "a host that dies in the middle of a file takes all of it once more";
    Guarantee {
        effect: format!("files in {} (topic {})", watch.folder.display(), watch.topic),
        promise: Promise::AtLeastOnce,
        because: texts([
            "read to its end before the first record is appended: of a file that cannot be read nothing is taken",
            "one host at a time watches the folder",
        ]),
        limits: vec![match once.filter(|_| watch.topic == spec.source.topic) {
            Some(table) => format!("{again}; the table {} (once) absorbs it with all effects", table.name),
            None => again.to_owned(),
        }],
    }
}

fn mails(attempts_max: u32, parts: Parts) -> Guarantee {
    let kept = format!(
        "kept in {} in the batch's transaction, sent after it by one host at a time",
        parts.store_name()
    );
    let mut because = vec![kept, "the Message-ID is made from the record's origin".to_owned()];
    let given_up =
        format!("a mail that is refused for good, or {attempts_max} times, is given up and counted");
    let (promise, limits) = match parts.mail {
        Some(MailPart::Smtp) => (
            Promise::AtLeastOnceSameId,
            vec![
                "a host that dies between the server's answer and its own note sends again: a server that does \
                 not look at Message-IDs shows both"
                    .to_owned(),
                given_up,
            ],
        ),
        Some(MailPart::Files) => {
            because.push("a file per Message-ID: sent again, it is the same file".to_owned());
            (Promise::AtLeastOnceSameId, vec![given_up])
        }
        None => (
            Promise::Kept,
            vec!["GRISTMILL_MAIL names no server: mails wait in the store until one is named".to_owned()],
        ),
    };
    Guarantee { effect: "mail".into(), promise, because, limits }
}

fn ingest(spec: &Spec, parts: Parts, path: &str, topic: &str, keyed: bool, checked: bool) -> Guarantee {
    let acknowledged = match parts.log {
        LogPart::Kafka => "answered once Kafka has acknowledged every record (acks=all, idempotent producer)",
        LogPart::Journal => "answered once all records are committed to the journal's file, all or none",
    };
    let mut because = vec![acknowledged.to_owned()];
    if checked {
        because.push("what the stage's module would reject is refused before the log sees it".to_owned());
    }
    let repeated = "a client that repeats a request whose answer it lost makes second records";
    let reads_it = topic == spec.source.topic;
    let by_mode = |wanted: fn(&Mode) -> bool| {
        spec.tables.iter().find(|table| reads_it && wanted(&table.mode)).map(|table| table.name.as_str())
    };
    let once = by_mode(|mode| matches!(mode, Mode::Once { .. }));
    let first = by_mode(|mode| matches!(mode, Mode::FirstWins));
    let mut limits = vec![match (once, first) {
        (Some(table), _) => {
            format!("{repeated}; the table {table} (once) absorbs them with all of their effects")
        }
        (None, Some(table)) => {
            format!(
                "{repeated}; the table {table} (first-wins) absorbs their rows, not their messages and mails"
            )
        }
        (None, None) => format!("{repeated}, and no table here absorbs them"),
    }];
    if !keyed {
        limits.push("records get no key, so they are spread over the partitions in no order".to_owned());
    }
    Guarantee {
        effect: format!("POST {path} (topic {topic})"),
        promise: Promise::AtLeastOnce,
        because,
        limits,
    }
}

#[cfg(test)]
#[path = "guarantee_tests.rs"]
mod tests;
