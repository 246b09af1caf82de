//! What each request needs: one table, read from above, the first rule that fits holds. What no rule names, nobody may
//! do.

use crate::access::Role;
use crate::spec::{Route, Spec};
use std::collections::HashMap;
use std::sync::Arc;

/// What a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: everybody may.
    Nothing,
    /// A role, or one after it.
    Role(Role),
    /// The right to send records to the topic that the path names: a token for it, or the role operator.
    Ingest,
}

/// A rule: what it takes to ask this.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The method. `GET` is also `HEAD`.
    pub method: &'static str,
    /// The path. `{…}` is any one part of a path; `…` at its end, whatever follows, nothing too.
    pub path: &'static str,
    /// What it takes.
    pub need: Need,
    /// What the audit trail calls it; nothing for what changes nothing, and for records, which are too many.
    pub action: &'static str,
}

const fn rule(method: &'static str, path: &'static str, need: Need, action: &'static str) -> Rule {
    Rule { method, path, need, action }
}

const VIEWER: Need = Need::Role(Role::Viewer);
const OPERATOR: Need = Need::Role(Role::Operator);
const AUTHOR: Need = Need::Role(Role::Author);
const ADMIN: Need = Need::Role(Role::Admin);

/// The rules of the host's own routes. Those of the specs' routes are made of the specs: reading a table takes a viewer,
/// sending records a token for the topic.
pub const RULES: &[Rule] = &[
    rule("GET", "/healthz", Need::Nothing, ""),
    rule("GET", "/readyz", Need::Nothing, ""),
    rule("GET", "/metrics", VIEWER, ""),
    rule("GET", "/openapi.json", VIEWER, ""),
    rule("POST", "/v1/topics/{topic}/records", Need::Ingest, ""),
    rule("POST", "/v1/pipelines/{name}/dead-letters/{id}/replay", OPERATOR, "dead-letter.replay"),
    rule("DELETE", "/v1/pipelines/{name}/dead-letters/{id}", OPERATOR, "dead-letter.drop"),
    rule("POST", "/v1/pipelines/{name}/pause", OPERATOR, "pipeline.pause"),
    rule("POST", "/v1/pipelines/{name}/resume", OPERATOR, "pipeline.resume"),
    rule("POST", "/v1/pipelines/{name}/stages/{stage}/swap", OPERATOR, "stage.swap"),
    rule("POST", "/v1/pipelines/{name}/stages/{stage}/rollback", OPERATOR, "stage.rollback"),
    rule("POST", "/v1/modules/…", AUTHOR, "module.push"),
    rule("DELETE", "/v1/modules/…", AUTHOR, "module.delete"),
    rule("PUT", "/v1/pipelines/{name}", AUTHOR, "pipeline.apply"),
    rule("DELETE", "/v1/pipelines/{name}", AUTHOR, "pipeline.remove"),
    rule("GET", "/v1/tokens/…", ADMIN, ""),
    rule("POST", "/v1/tokens", ADMIN, "token.create"),
    rule("DELETE", "/v1/tokens/{id}", ADMIN, "token.revoke"),
    rule("GET", "/v1/audit/…", ADMIN, ""),
    rule("GET", "/v1/…", VIEWER, ""),
];

/// Whether a rule says who may use a method of one of the host's own routes.
pub fn ruled(method: &str, path: &str) -> bool {
    matches!(Rules::of(&[]).ruling(method, path), Ruling::Needs { .. })
}

impl Rule {
    /// Whether it is about a path, or about a route's pattern.
    fn is_about(&self, path: &str) -> bool {
        let mut parts = path.split('/');
        for wanted in self.path.split('/') {
            match (wanted, parts.next()) {
                ("…", _) => return true,
                (wanted, Some(part)) if wanted == part => {}
                (wanted, Some(part)) if wanted.starts_with('{') && !part.is_empty() => {}
                _ => return false,
            }
        }
        parts.next().is_none()
    }
}

/// What is found about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::control) enum Ruling {
    /// A rule; of a spec's ingest route also the topic.
    Needs { need: Need, topic: Option<Arc<str>>, action: &'static str },
    /// Rules for other methods.
    OtherMethods(Vec<&'static str>),
    /// No rule at all.
    Unknown,
}

/// The rules of a host: its own, and those of its specs' routes.
pub(in crate::control) struct Rules {
    /// By path.
    specs: HashMap<String, Vec<SpecRule>>,
}

/// The rule of a spec's route: the method, and the topic of an ingest route.
type SpecRule = (&'static str, Option<Arc<str>>);

impl Rules {
    pub(in crate::control) fn of(specs: &[Arc<Spec>]) -> Self {
        let mut found: HashMap<String, Vec<SpecRule>> = HashMap::new();
        for route in specs.iter().flat_map(|spec| &spec.routes) {
            let rule = match route {
                Route::Ingest { topic, .. } | Route::Generate { topic, .. } => {
                    ("POST", Some(Arc::from(topic.as_str())))
                }
                Route::Read { .. } => ("GET", None),
            };
            found.entry(route.path().to_owned()).or_default().push(rule);
        }
        Rules { specs: found }
    }

    /// What is needed for a method of a path, which is a route's pattern or stands for one.
    pub(in crate::control) fn ruling(&self, method: &str, path: &str) -> Ruling {
        let method = if method == "HEAD" { "GET" } else { method };
        let own: Vec<&Rule> = RULES.iter().filter(|rule| rule.is_about(path)).collect();
        if let Some(rule) = own.iter().find(|rule| rule.method == method) {
            return Ruling::Needs { need: rule.need, topic: None, action: rule.action };
        }
        let of_specs = self.specs.get(path).map(Vec::as_slice).unwrap_or_default();
        if let Some((_, topic)) = of_specs.iter().find(|(known, _)| *known == method) {
            let need = if topic.is_some() { Need::Ingest } else { VIEWER };
            return Ruling::Needs { need, topic: topic.clone(), action: "" };
        }
        let mut others: Vec<&'static str> = own.iter().map(|rule| rule.method).collect();
        others.extend(of_specs.iter().map(|(method, _)| *method));
        others.sort_unstable();
        others.dedup();
        if others.is_empty() { Ruling::Unknown } else { Ruling::OtherMethods(others) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_fits_holds() {
        let rules = Rules::of(&[]);
        for (method, path, need) in [
            ("GET", "/healthz", Some(Need::Nothing)),
            ("HEAD", "/metrics", Some(VIEWER)),
            ("GET", "/v1/tables/{table}", Some(VIEWER)),
            ("GET", "/v1/tables/dds.orders", Some(VIEWER)),
            ("GET", "/v1/modules", Some(VIEWER)),
            ("GET", "/v1/tokens", Some(ADMIN)),
            ("GET", "/v1/tokens/{id}", Some(ADMIN)),
            ("GET", "/v1/audit", Some(ADMIN)),
            ("PUT", "/v1/pipelines/{name}", Some(AUTHOR)),
            ("POST", "/v1/modules/{name}/versions/{version}", Some(AUTHOR)),
            ("POST", "/v1/pipelines/{name}/stages/{stage}/swap", Some(OPERATOR)),
            ("POST", "/v1/topics/{topic}/records", Some(Need::Ingest)),
            ("POST", "/v1/topics//records", None),
            ("POST", "/v1/pipelines/{name}/anything", None),
            ("GET", "/v1", Some(VIEWER)),
            ("GET", "/v10", None),
            ("GET", "/healthz/x", None),
            ("GET", "", None),
        ] {
            let found = match rules.ruling(method, path) {
                Ruling::Needs { need, .. } => Some(need),
                _ => None,
            };
            assert_eq!(found, need, "{method} {path}");
        }
        assert_eq!(rules.ruling("PATCH", "/healthz"), Ruling::OtherMethods(vec!["GET"]));
        assert_eq!(rules.ruling("GET", "/nowhere"), Ruling::Unknown);
    }

    #[test]
    fn whatever_changes_something_is_named_in_the_audit_trail() {
        for rule in RULES {
            let changes = rule.method != "GET" && rule.need != Need::Ingest;
            assert_eq!(changes, !rule.action.is_empty(), "{} {}", rule.method, rule.path);
        }
    }
}
