//! From the spec's text to [`Spec`]: all that is wrong is found in one go, each issue with its place.

use super::beside::Beside;
use super::error::{Error, Issue, suggestion};
use super::raw::{RawAlert, RawLookup, RawOutput, RawRoute, RawSpec, RawStage, RawWatch};
use super::{
    Alert, FORMAT_VERSION, Lookup, LookupSource, Mail, NEXT, Output, Readable, Route, Spec, Stage, Table,
    TopicPattern, View, Watch,
};
use crate::generate::Scenario;
use crate::intake::KeyRule;
use crate::topic_name::{LENGTH_MAX, is_legal};
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

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

    fn name(&mut self, key: &str, name: &str) {
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

    fn at_least_one(&mut self, key: &str, value: u64) {
        if value == 0 {
            self.issue(key, "must be at least 1");
        }
    }

    fn topic(&mut self, key: &str, topic: &str) {
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

    fn lookup(&mut self, index: usize, raw: RawLookup, tables: &[Table]) -> Lookup {
        let key = format!("lookup[{index}]");
        self.name(&format!("{key}.name"), &raw.name);
        self.at_least_one(&format!("{key}.timeout_ms_max"), raw.timeout_ms_max);
        let from = match (raw.prefix, raw.table) {
            (Some(_), Some(_)) => {
                self.issue(&key, "a lookup has a `prefix` or a `table`, not both");
                LookupSource::Keys { prefix: String::new() }
            }
            (prefix, None) => LookupSource::Keys { prefix: prefix.unwrap_or_default() },
            (None, Some(name)) => {
                let table = self.known_table(&format!("{key}.table"), &name, tables);
                let ambiguous = |table: &Table| table.key.is_empty() || table.unique() != table.key;
                if table.and_then(|table| tables.get(table)).is_some_and(ambiguous) {
                    let message =
                        format!("in `{name}` several rows may have one key: it cannot be looked up");
                    self.issue(&format!("{key}.table"), message);
                }
                LookupSource::Table { table: table.unwrap_or(0) }
            }
        };
        if raw.cache_ms_max > 0 && matches!(from, LookupSource::Table { .. }) {
            let message =
                "a table of the pipeline is asked each time: what the lane itself has written must be seen";
            self.issue(&format!("{key}.cache_ms_max"), message);
        }
        if raw.cache_bytes_max.is_some() && raw.cache_ms_max == 0 {
            self.issue(&format!("{key}.cache_bytes_max"), "goes with `cache_ms_max` only");
        }
        Lookup {
            name: raw.name,
            from,
            timeout_ms_max: raw.timeout_ms_max,
            cache_ms_max: raw.cache_ms_max,
            cache_bytes_max: raw.cache_bytes_max.unwrap_or(Lookup::CACHE_BYTES_MAX),
        }
    }

    fn alert(&mut self, index: usize, raw: RawAlert, mails: bool) -> Alert {
        let key = format!("alert[{index}]");
        self.name(&format!("{key}.name"), &raw.name);
        self.at_least_one(&format!("{key}.notices_max"), u64::from(raw.notices_max));
        if raw.window_ms < Alert::WINDOW_MS_MIN {
            let message = format!("at least {}: an alert is no log", Alert::WINDOW_MS_MIN);
            self.issue(&format!("{key}.window_ms"), message);
        }
        if raw.mail_to.is_empty() && raw.webhook.is_none() {
            self.issue(&key, "say who is told: `mail_to = [\"…\"]` or `webhook = \"https://…\"`");
        }
        if !raw.mail_to.is_empty() && !mails {
            self.issue(&format!("{key}.mail_to"), "needs a sender: [mail] from = \"…\"");
        }
        for (place, address) in raw.mail_to.iter().enumerate() {
            if address.parse::<lettre::message::Mailbox>().is_err() {
                self.issue(&format!("{key}.mail_to[{place}]"), "not a mail address");
            }
        }
        if let Some(webhook) = &raw.webhook {
            let url = url::Url::parse(webhook).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
            if url.is_none_or(|url| !url.has_host()) {
                self.issue(&format!("{key}.webhook"), "a URL that begins with https:// or http://");
            }
        }
        let RawAlert { name, codes, by_key, mail_to, webhook, window_ms, notices_max } = raw;
        Alert { name, codes, by_key, mail_to, webhook, window_ms, notices_max }
    }

    fn known_table(&mut self, key: &str, name: &str, tables: &[Table]) -> Option<usize> {
        let place = tables.iter().position(|table| table.name == name);
        if place.is_none() {
            let hint = suggestion(name, tables.iter().map(|table| table.name.as_str()));
            self.issue(key, format!("there is no table `{name}`{hint}"));
        }
        place
    }

    fn watch(&mut self, index: usize, raw: RawWatch, beside: &Beside<'_>) -> Watch {
        let key = format!("watch[{index}]");
        if raw.folder.is_empty() {
            self.issue(&format!("{key}.folder"), "names no folder");
        }
        if beside.folder().is_none() {
            // Whoever may apply a pipeline may not for that read and move files of the hosts.
            self.issue(
                &key,
                "a folder is watched for a spec that a host is started with, not for one of the catalog",
            );
        }
        self.topic(&format!("{key}.topic"), &raw.topic);
        let rule = self.key_rule(&format!("{key}.key"), raw.key.as_deref());
        Watch { folder: PathBuf::from(raw.folder), topic: raw.topic, key: rule, settle_ms: raw.settle_ms }
    }

    fn key_rule(&mut self, key: &str, rule: Option<&str>) -> Option<KeyRule> {
        match rule?.parse() {
            Ok(rule) => Some(rule),
            Err(what) => {
                self.issue(key, what);
                None
            }
        }
    }

    fn route(
        &mut self,
        index: usize,
        raw: RawRoute,
        stages: &[Stage],
        (tables, views): (&[Table], &[View]),
    ) -> Option<Route> {
        let key = format!("http[{index}]");
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.');
        if !raw.path.starts_with('/') || raw.path.len() < 2 || !raw.path.chars().all(legal) {
            self.issue(
                &format!("{key}.path"),
                "a path begins with `/` and is of letters, digits, `/`, `-`, `_`, `.`",
            );
        }
        if raw.table.is_some() && raw.view.is_some() {
            self.issue(&key, "a route has a `table` or a `view`, not both");
        }
        let own = ["/v1", "/healthz", "/readyz", "/metrics", "/openapi.json"];
        if own.iter().any(|own| raw.path == *own || raw.path.starts_with(&format!("{own}/"))) {
            self.issue(&format!("{key}.path"), "this path is the host's own");
        }
        match (raw.method.to_ascii_uppercase().as_str(), raw.topic, raw.table.map(Ok).or(raw.view.map(Err))) {
            ("POST", Some(topic), None) if raw.generate.is_some() => {
                self.topic(&format!("{key}.topic"), &topic);
                if raw.key.is_some() || raw.check.is_some() {
                    self.issue(&key, "made-up records have their own keys and are not checked");
                }
                let name = raw.generate.unwrap_or_default();
                let scenario = Scenario::named(&name);
                if scenario.is_none() {
                    let hint = suggestion(&name, Scenario::ALL.iter().map(|known| known.name()));
                    self.issue(&format!("{key}.generate"), format!("there is no scenario `{name}`{hint}"));
                }
                scenario.map(|scenario| Route::Generate { path: raw.path, topic, scenario })
            }
            ("POST", Some(topic), None) => {
                self.topic(&format!("{key}.topic"), &topic);
                let rule = self.key_rule(&format!("{key}.key"), raw.key.as_deref());
                let check = raw.check.and_then(|name| {
                    let place = stages.iter().position(|stage| stage.name == name);
                    if place.is_none() {
                        let hint = suggestion(&name, stages.iter().map(|stage| stage.name.as_str()));
                        self.issue(&format!("{key}.check"), format!("there is no stage `{name}`{hint}"));
                    }
                    place
                });
                Some(Route::Ingest { path: raw.path, topic, key: rule, check })
            }
            ("GET", None, Some(table)) => {
                if raw.key.is_some() || raw.check.is_some() || raw.generate.is_some() {
                    self.issue(&key, "`key`, `check` and `generate` go with POST only");
                }
                let of = match table {
                    Ok(table) => {
                        Readable::Table(self.known_table(&format!("{key}.table"), &table, tables)?)
                    }
                    Err(view) => {
                        let place = views.iter().position(|known| known.shape.name == view);
                        if place.is_none() {
                            let hint = suggestion(&view, views.iter().map(|known| known.shape.name.as_str()));
                            self.issue(&format!("{key}.view"), format!("there is no view `{view}`{hint}"));
                        }
                        Readable::View(place?)
                    }
                };
                Some(Route::Read { path: raw.path, of })
            }
            ("POST", ..) => {
                self.issue(&key, "a POST route needs `topic = \"…\"` and neither `table` nor `view`");
                None
            }
            ("GET", ..) => {
                self.issue(&key, "a GET route needs `table = \"…\"` or `view = \"…\"`, and no `topic`");
                None
            }
            _ => {
                self.issue(&format!("{key}.method"), "a route's method is \"GET\" or \"POST\"");
                None
            }
        }
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
