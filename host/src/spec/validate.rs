//! From the spec's text to [`Spec`]: all that is wrong is found in one go, each issue with its place.

use super::beside::Beside;
use super::error::{Error, Issue, suggestion};
use super::raw::{RawOutput, RawSpec, RawStage};
use super::{Alert, FORMAT_VERSION, Mail, NEXT, Output, Spec, Stage, Table, TopicPattern, View};
use crate::topic_name::{LENGTH_MAX, is_legal};
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::path::Path;

pub(super) fn validate(name: &str, text: String, beside: &Beside<'_>) -> Result<Spec, Error> {
    let raw: RawSpec = match toml::from_str(&text) {
        Ok(raw) => raw,
        Err(error) => return Err(syntax_error(name, text, &error)),
    };
    let mut check = Check {
        document: toml_edit::Document::parse(text.clone()).ok(),
        issues: Vec::new(),
        files: BTreeMap::new(),
    };
    let spec = check.spec(raw, text.clone(), beside);
    if check.issues.is_empty() {
        return Ok(spec);
    }
    check.issues.sort_by_key(|issue| issue.span.start);
    Err(Error { name: name.to_owned(), text, issues: check.issues })
}

/// What the TOML reader itself found: not TOML, an unknown or missing key, a wrong type.
fn syntax_error(name: &str, text: String, error: &toml::de::Error) -> Error {
    let mut message = error.message().trim().to_owned();
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    if let (true, Some((unknown, known))) = (message.starts_with("unknown field"), quoted.split_first()) {
        message = format!("unknown key `{unknown}`{}", suggestion(unknown, known.iter().copied()));
    } else if let Some(rest) = message.strip_prefix("missing field") {
        message = format!("missing key{rest}");
    }
    let span = error.span().unwrap_or(0..0);
    Error { name: name.to_owned(), text, issues: vec![Issue { key: String::new(), message, span }] }
}

pub(super) struct Check {
    document: Option<toml_edit::Document<String>>,
    issues: Vec<Issue>,
    /// The files that were read.
    files: BTreeMap<String, String>,
}

impl Check {
    pub(super) fn issue(&mut self, key: &str, message: impl Into<String>) {
        let span = self.span(key);
        self.issues.push(Issue { key: key.to_owned(), message: message.into(), span });
    }

    /// The bytes of the item at a path such as `table[0].columns[2].type`, or of the nearest one above it.
    fn span(&self, key: &str) -> Range<usize> {
        let Some(document) = &self.document else { return 0..0 };
        let mut item = document.as_item();
        let mut span = 0..0;
        for part in key.split(['.', '[']).filter(|part| !part.is_empty()) {
            let next = match part.strip_suffix(']').and_then(|index| index.parse::<usize>().ok()) {
                Some(index) => item.get(index),
                None => item.get(part),
            };
            let Some(next) = next else { break };
            item = next;
            span = item.span().unwrap_or(span);
        }
        span
    }

    fn spec(&mut self, raw: RawSpec, text: String, beside: &Beside<'_>) -> Spec {
        if raw.version != FORMAT_VERSION {
            self.issue(
                "version",
                format!("this host reads specs of version {FORMAT_VERSION}, not {}", raw.version),
            );
        }
        self.name("name", &raw.name);
        self.source(&raw);
        if raw.stages.is_empty() {
            self.issue("", "a pipeline needs at least one [[stage]]");
        }
        self.unique("stage", raw.stages.iter().map(|stage| stage.name.as_str()));
        self.unique("table", raw.tables.iter().map(|table| table.name.as_str()));
        self.unique("output", raw.outputs.iter().map(|output| output.name.as_str()));
        self.unique("lookup", raw.lookups.iter().map(|lookup| lookup.name.as_str()));
        self.limits(&raw);
        let outputs: Vec<Output> =
            raw.outputs.into_iter().enumerate().map(|(index, output)| self.output(index, output)).collect();
        let last = raw.stages.len().saturating_sub(1);
        let stages: Vec<Stage> = raw
            .stages
            .into_iter()
            .enumerate()
            .map(|(index, stage)| {
                let outputs = (index == last).then_some(&*outputs);
                self.stage(index, stage, beside, outputs)
            })
            .collect();
        let tables: Vec<Table> =
            raw.tables.into_iter().enumerate().map(|(index, table)| self.table(index, table)).collect();
        self.unique("view", raw.views.iter().map(|view| view.name.as_str()));
        let views: Vec<View> =
            raw.views.into_iter().enumerate().map(|(index, view)| self.view(index, view, &tables)).collect();
        for (index, ledger) in
            tables.iter().enumerate().filter_map(|(n, table)| Some((n, &table.counted()?.ledger)))
        {
            if tables.iter().any(|table| table.name == ledger.name) {
                let message =
                    format!("what has been counted is kept in a table `{}`, and there is one", ledger.name);
                self.issue(&format!("table[{index}].counted_by"), message);
            }
        }
        let lookups = raw
            .lookups
            .into_iter()
            .enumerate()
            .map(|(index, lookup)| self.lookup(index, lookup, &tables))
            .collect();
        self.unique("secret", raw.secrets.iter().map(|secret| secret.name.as_str()));
        let secrets = raw.secrets.into_iter().enumerate();
        let secrets = secrets.map(|(index, secret)| self.secret(index, secret, &stages)).collect();
        let watches =
            raw.watches.into_iter().enumerate().map(|(index, watch)| self.watch(index, watch, beside));
        let watches = watches.collect();
        let mut seen = HashSet::new();
        let mut routes = Vec::new();
        for (index, route) in raw.routes.into_iter().enumerate() {
            if !seen.insert((route.method.to_ascii_uppercase(), route.path.clone())) {
                self.issue(&format!("http[{index}].path"), "this method and path stand here twice");
            }
            routes.extend(self.route(index, route, &stages, (&tables, &views)));
        }
        if let Some(letters) = &raw.dead_letters {
            self.topic("dead_letters.topic", &letters.topic);
            if letters.topic == raw.source.topic {
                self.issue(
                    "dead_letters.topic",
                    "dead letters cannot go to the topic that the pipeline reads",
                );
            }
        }
        self.unique("alert", raw.alerts.iter().map(|alert| alert.name.as_str()));
        let mails = raw.mail.is_some();
        let alerts: Vec<Alert> = raw
            .alerts
            .into_iter()
            .enumerate()
            .map(|(index, alert)| self.alert(index, alert, mails))
            .collect();
        let mail = raw.mail.map(|mail| {
            if mail.from.parse::<lettre::message::Mailbox>().is_err() {
                self.issue(
                    "mail.from",
                    "not a mail address: write `name@example.org` or `Name <name@example.org>`",
                );
            }
            self.at_least_one("mail.attempts_max", u64::from(mail.attempts_max));
            Mail { from: mail.from, attempts_max: mail.attempts_max }
        });
        Spec {
            name: raw.name,
            about: raw.about,
            source: raw.source,
            stages,
            tables,
            views,
            outputs,
            lookups,
            secrets,
            mail,
            dead_letter_topic: raw.dead_letters.map(|letters| letters.topic),
            alerts,
            retry: raw.retry,
            limits: raw.limits,
            swap: raw.swap,
            watches,
            routes,
            text,
            files: std::mem::take(&mut self.files),
            folder: beside.folder().map(Path::to_owned),
        }
    }

    pub(super) fn name(&mut self, key: &str, name: &str) {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty() || name.len() > 100 || !name.chars().all(legal) {
            self.issue(key, "a name is 1 to 100 letters, digits, `.`, `_` or `-`");
        }
    }

    fn unique<'a>(&mut self, kind: &str, names: impl Iterator<Item = &'a str>) {
        let mut seen = HashSet::new();
        for (index, name) in names.enumerate() {
            if !seen.insert(name) {
                self.issue(&format!("{kind}[{index}].name"), format!("there is a {kind} `{name}` already"));
            }
        }
    }

    pub(super) fn at_least_one(&mut self, key: &str, value: u64) {
        if value == 0 {
            self.issue(key, "must be at least 1");
        }
    }

    pub(super) fn topic(&mut self, key: &str, topic: &str) {
        if !is_legal(topic) {
            self.issue(key, format!("not a legal topic name: 1 to {LENGTH_MAX} of A-Z a-z 0-9 . _ -"));
        }
    }

    fn partitions(&mut self, key: &str, partitions: i32, replication: i32) {
        if !(1..=10_000).contains(&partitions) {
            self.issue(&format!("{key}.partitions"), "must be from 1 to 10000");
        }
        if !(1..=32).contains(&replication) {
            self.issue(&format!("{key}.replication"), "must be from 1 to 32");
        }
    }

    fn source(&mut self, raw: &RawSpec) {
        self.topic("source.topic", &raw.source.topic);
        self.partitions("source", raw.source.partitions, raw.source.replication);
    }

    fn limits(&mut self, raw: &RawSpec) {
        let limits = &raw.limits;
        for (key, value) in [
            ("batch_records_max", u64::from(limits.batch_records_max)),
            ("batch_bytes_max", u64::from(limits.batch_bytes_max)),
            ("guest_time_ms_max", limits.guest_time_ms_max),
            ("effects_bytes_max", limits.effects_bytes_max),
            ("effects_rows_max", u64::from(limits.effects_rows_max)),
            ("message_bytes_max", u64::from(limits.message_bytes_max)),
            ("drain_ms_max", limits.drain_ms_max),
        ] {
            self.at_least_one(&format!("limits.{key}"), value);
        }
        if !(0.0..=1.0).contains(&raw.swap.refused_share_max) {
            self.issue("swap.refused_share_max", "must be from 0 to 1");
        }
        if limits.batch_bytes_max > 1 << 30 {
            self.issue("limits.batch_bytes_max", "must be at most 1 GiB (1073741824)");
        }
        if u64::from(limits.message_bytes_max) > crate::log::MESSAGE_BYTES_MAX {
            self.issue("limits.message_bytes_max", "must be at most 64 MiB less 64 KiB (67043328)");
        }
        if !((1 << 20)..=super::Limits::GUEST_MEMORY_BYTES_MAX).contains(&limits.guest_memory_bytes_max) {
            self.issue(
                "limits.guest_memory_bytes_max",
                "must be from 1 MiB (1048576) to 128 MiB (134217728)",
            );
        }
        self.at_least_one("retry.attempts_max", u64::from(raw.retry.attempts_max));
        self.at_least_one("retry.delay_ms_first", raw.retry.delay_ms_first);
        if raw.retry.delay_ms_max < raw.retry.delay_ms_first {
            self.issue("retry.delay_ms_max", "is smaller than retry.delay_ms_first");
        }
    }

    /// `outputs`: of the last stage, which may send there what it sends to `next`.
    fn stage(
        &mut self,
        index: usize,
        raw: RawStage,
        beside: &Beside<'_>,
        outputs: Option<&[Output]>,
    ) -> Stage {
        let key = format!("stage[{index}]");
        self.name(&format!("{key}.name"), &raw.name);
        if raw.module.is_empty() {
            self.issue(&format!("{key}.module"), "names no module");
        }
        if beside.folder().is_none() && is_file(&raw.module) {
            let module = file_stem(&raw.module);
            let message = format!(
                "a pipeline of the catalog takes no module from a file, for hosts do not share files: push it \
                 (`gristmill module push`) and name it `{module}@VERSION`"
            );
            self.issue(&format!("{key}.module"), message);
        }
        let config = match (raw.config, raw.config_file) {
            (Some(_), Some(_)) => {
                self.issue(&format!("{key}.config_file"), "a stage has `config` or `config_file`, not both");
                None
            }
            (Some(config), None) => Some(serde_json::to_string(&config).map_err(|e| e.to_string())),
            (None, Some(file)) => Some(self.config_file(&file, beside)),
            (None, None) => None,
        };
        let config = match config {
            Some(Ok(config)) => config,
            Some(Err(message)) => {
                self.issue(&format!("{key}.config_file"), message);
                "{}".to_owned()
            }
            None => "{}".to_owned(),
        };
        let next = raw.next.and_then(|next| self.next(&format!("{key}.next"), &next, outputs));
        Stage { name: raw.name, module: raw.module, config, next }
    }

    /// The output that takes what the last stage sends to `next`.
    fn next(&mut self, key: &str, name: &str, outputs: Option<&[Output]>) -> Option<usize> {
        let Some(outputs) = outputs else {
            self.issue(key, "a stage is behind this one and reads what it sends to `next`");
            return None;
        };
        let place = outputs.iter().position(|output| output.name == name);
        match place.and_then(|place| outputs.get(place)).map(|output| &output.topic) {
            Some(TopicPattern::Fixed(_)) => {}
            Some(TopicPattern::Dynamic { .. }) => {
                self.issue(key, "messages to `next` compute no topic: name an output without {}");
            }
            None => {
                let hint = suggestion(name, outputs.iter().map(|output| output.name.as_str()));
                self.issue(key, format!("there is no output `{name}`{hint}"));
            }
        }
        place
    }

    /// Reads a stage's configuration file, `.json` or `.toml`, as JSON text.
    fn config_file(&mut self, file: &str, beside: &Beside<'_>) -> Result<String, String> {
        let (shown, text) = beside.read(file)?;
        let value: serde_json::Value =
            if Path::new(file).extension().is_some_and(|extension| extension == "toml") {
                toml::from_str(&text).map_err(|e| format!("{shown} is not TOML: {e}"))?
            } else {
                serde_json::from_str(&text).map_err(|e| format!("{shown} is not JSON: {e}"))?
            };
        self.files.insert(file.to_owned(), text);
        Ok(value.to_string())
    }

    fn output(&mut self, index: usize, raw: RawOutput) -> Output {
        let key = format!("output[{index}]");
        self.name(&format!("{key}.name"), &raw.name);
        if raw.name == NEXT {
            self.issue(&format!("{key}.name"), "`next` is the following stage and cannot be declared");
        }
        self.partitions(&key, raw.partitions, raw.replication);
        let topic = match raw.topic.split_once("{}") {
            Some((prefix, suffix)) => {
                let affixes = [prefix, suffix].concat();
                if !affixes.is_empty() && !is_legal(&format!("x{affixes}")) || affixes.len() > 150 {
                    let message =
                        "what stands around {} must be of A-Z a-z 0-9 . _ -, 150 at most, and {} once";
                    self.issue(&format!("{key}.topic"), message);
                }
                TopicPattern::Dynamic { prefix: prefix.to_owned(), suffix: suffix.to_owned() }
            }
            None => {
                self.topic(&format!("{key}.topic"), &raw.topic);
                TopicPattern::Fixed(raw.topic)
            }
        };
        Output { name: raw.name, topic, partitions: raw.partitions, replication: raw.replication }
    }
}

/// Whether a stage's module is a file, and no name.
fn is_file(module: &str) -> bool {
    module.contains('/') || module.ends_with(".wasm")
}

fn file_stem(module: &str) -> &str {
    let file = module.rsplit('/').next().unwrap_or(module);
    file.strip_suffix(".wasm").unwrap_or(file)
}
