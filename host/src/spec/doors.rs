//! What a pipeline has to do with the world besides its log and tables: lookups, secrets, alerts, watched folders, routes.

use super::beside::Beside;
use super::error::suggestion;
use super::raw::{RawAlert, RawLookup, RawRoute, RawSecret, RawWatch};
use super::validate::Check;
use super::{Alert, Lookup, LookupSource, Readable, Route, Secret, Stage, Table, View, Watch};
use crate::generate::Scenario;
use crate::intake::KeyRule;
use std::path::PathBuf;

impl Check {
    pub(super) fn lookup(&mut self, index: usize, raw: RawLookup, tables: &[Table]) -> Lookup {
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

    pub(super) fn secret(&mut self, index: usize, raw: RawSecret, stages: &[Stage]) -> Secret {
        let key = format!("secret[{index}]");
        self.name(&format!("{key}.name"), &raw.name);
        // It is the name of a file.
        if raw.name.starts_with('.') {
            self.issue(&format!("{key}.name"), "the name of a secret does not begin with `.`");
        }
        if raw.stages.is_empty() {
            self.issue(&format!("{key}.stages"), "name at least one stage that may use it");
        }
        for (place, name) in raw.stages.iter().enumerate() {
            if !stages.iter().any(|stage| stage.name == *name) {
                let hint = suggestion(name, stages.iter().map(|stage| stage.name.as_str()));
                self.issue(&format!("{key}.stages[{place}]"), format!("there is no stage `{name}`{hint}"));
            }
        }
        Secret { name: raw.name, stages: raw.stages }
    }

    pub(super) fn alert(&mut self, index: usize, raw: RawAlert, mails: bool) -> Alert {
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

    pub(super) fn watch(&mut self, index: usize, raw: RawWatch, beside: &Beside<'_>) -> Watch {
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

    pub(super) fn route(
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
