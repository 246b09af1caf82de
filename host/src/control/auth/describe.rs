//! What `/openapi.json` says about who may do what, from the same rules that decide it.

use super::rules::{Need, Rules, Ruling};
use crate::access::Role;
use serde_json::{Value, json};

/// Adds to every operation of a document what it takes, and the answers for whoever does not have it.
pub(in crate::control) fn describe(document: &mut Value, rules: &Rules) {
    let scheme = json!({ "type": "http", "scheme": "bearer",
        "description": "a token of `gristmill token create`; on loopback reading takes none until the first is made" });
    if let Some(components) = document.get_mut("components") {
        set(components, "securitySchemes", json!({ "token": scheme }));
    }
    set(document, "security", json!([{ "token": [] }]));
    let Some(paths) = document.get_mut("paths") else { return };
    for (path, item) in members(paths) {
        for (method, operation) in members(item) {
            match rules.ruling(&method.to_ascii_uppercase(), path) {
                Ruling::Needs { need: Need::Nothing, .. } => set(operation, "security", json!([])),
                Ruling::Needs { need, .. } => takes(operation, need),
                Ruling::OtherMethods(_) | Ruling::Unknown => {}
            }
        }
    }
}

fn members(value: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    value.as_object_mut().into_iter().flatten()
}

fn set(object: &mut Value, name: &str, value: Value) {
    if let Value::Object(members) = object {
        members.insert(name.to_owned(), value);
    }
}

fn takes(operation: &mut Value, need: Need) {
    let takes = match need {
        Need::Nothing => "Everybody may.".to_owned(),
        Need::Role(Role::Admin) => "Takes the role admin.".to_owned(),
        Need::Role(role) => format!("Takes the role {role}, or one above it."),
        Need::Ingest => {
            "Takes an ingest token for the topic, or the role operator or one above it.".to_owned()
        }
    };
    set(operation, "description", json!(takes));
    let problem = |description: &str| {
        json!({ "description": description, "content": { "application/problem+json": { "schema": {
            "$ref": "#/components/schemas/Problem" } } } })
    };
    let mut missing = problem("no token, or one that does not hold");
    set(&mut missing, "headers", json!({ "WWW-Authenticate": { "schema": { "type": "string" } } }));
    if let Some(responses) = operation.get_mut("responses") {
        set(responses, "401", missing);
        set(responses, "403", problem("a token that is not enough: what it takes"));
    }
}
