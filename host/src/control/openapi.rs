//! `GET /openapi.json`: OpenAPI 3.1 of this host, with the routes and the columns of its pipelines' specs.

use super::ingest::MADE_UP_MAX;
use super::schemas;
use super::site::Site;
use super::tables::LIMIT_MAX;
use crate::spec::{Readable, Route, Spec, Table};
use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub(super) async fn show(State(site): State<Arc<Site>>) -> Json<Value> {
    let doors = site.doors();
    let mut document = document(&doors.specs);
    super::auth::describe(&mut document, &doors.rules);
    Json(document)
}

/// The whole document.
fn document(specs: &[Arc<Spec>]) -> Value {
    let mut paths = own_paths();
    for spec in specs {
        for table in &spec.tables {
            add(&mut paths, &format!("/v1/tables/{}", table.name), "get", read(spec, table));
        }
        for route in &spec.routes {
            match route {
                Route::Ingest { path, topic, check, .. } => {
                    add(&mut paths, path, "post", ingest(spec, topic, check.is_some()));
                }
                Route::Generate { path, topic, .. } => {
                    add(&mut paths, path, "post", made_up(spec, topic));
                }
                Route::Read { path, of } => {
                    let table = match of {
                        Readable::Table(place) => spec.tables.get(*place),
                        Readable::View(place) => spec.views.get(*place).map(|view| &view.shape),
                    };
                    if let Some(table) = table {
                        add(&mut paths, path, "get", read(spec, table));
                    }
                }
            }
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Gristmill", "version": env!("CARGO_PKG_VERSION"),
            "description": "Records come in, rows and dead letters are read, pipelines are looked after." },
        "paths": paths,
        "components": { "schemas": all_schemas() },
    })
}

/// All that the paths refer to.
fn all_schemas() -> Value {
    let mut all = schemas::all();
    for (name, schema) in super::openapi_catalog::schemas() {
        set(&mut all, &name, schema);
    }
    all
}

pub(super) fn add(paths: &mut Map<String, Value>, path: &str, method: &str, operation: Value) {
    let item = paths.entry(path).or_insert_with(|| json!({}));
    set(item, method, operation);
}

fn set(object: &mut Value, name: &str, value: Value) {
    if let Value::Object(members) = object {
        members.insert(name.to_owned(), value);
    }
}

fn own_paths() -> Map<String, Value> {
    let name = || path_parameter("name", json!({ "type": "string" }));
    let id = || path_parameter("id", json!({ "type": "integer", "format": "int64" }));
    let mut paths = Map::new();
    let any = json!({ "type": "object" });
    add(&mut paths, "/healthz", "get", operation("This process answers", vec![], &any, &[]));
    add(
        &mut paths,
        "/readyz",
        "get",
        operation("What it depends on answers and its pipelines run", vec![], &any, &[503]),
    );
    let text = json!({ "summary": "Metrics in Prometheus' text format", "responses": { "200": {
        "description": "metrics", "content": { "text/plain": { "schema": { "type": "string" } } } } } });
    add(&mut paths, "/metrics", "get", text);
    add(&mut paths, "/openapi.json", "get", operation("This document", vec![], &any, &[]));
    let pointer = json!({ "type": "string", "pattern": "^/" });
    let parameters = json!([
        path_parameter("topic", json!({ "type": "string" })),
        query_parameter(
            "key",
            pointer,
            "How each record's key is made: a JSON pointer, /order_id, or pointers in braces, {/store}-{/item}"
        ),
    ]);
    let to_topic = ingest_operation("Appends records to a topic", &parameters);
    add(&mut paths, "/v1/topics/{topic}/records", "post", to_topic);
    let list = operation("The pipelines of this host", vec![], &reference("Pipelines"), &[]);
    add(&mut paths, "/v1/pipelines", "get", list);
    let show = operation("How a pipeline is", vec![name()], &reference("Pipeline"), &[404, 503]);
    add(&mut paths, "/v1/pipelines/{name}", "get", show);
    let parameters = vec![
        name(),
        query_parameter("code", json!({ "type": "string" }), "only those with this code"),
        query_parameter(
            "before",
            json!({ "type": "integer", "minimum": 0 }),
            "the `next` of the page before",
        ),
        limit(),
    ];
    let letters =
        operation("Dead letters, newest first", parameters, &reference("DeadLetters"), &[400, 404, 503]);
    add(&mut paths, "/v1/pipelines/{name}/dead-letters", "get", letters);
    let one = "/v1/pipelines/{name}/dead-letters/{id}";
    let shown = operation("A dead letter", vec![name(), id()], &reference("DeadLetter"), &[400, 404, 503]);
    add(&mut paths, one, "get", shown);
    let dropped = json!({ "summary": "Drops a dead letter for good", "parameters": [name(), id()],
        "responses": with_problems(json!({ "204": { "description": "it is gone" } }), &[400, 404, 503]) });
    add(&mut paths, one, "delete", dropped);
    let replayed = json!({ "summary": "Puts a dead letter back, to be tried again at once",
        "parameters": [name(), id()],
        "responses": with_problems(answer("202", "it will be tried again", &any), &[400, 404, 503]) });
    add(&mut paths, &format!("{one}/replay"), "post", replayed);
    add_tokens(&mut paths);
    super::openapi_catalog::add_catalog(&mut paths);
    paths
}

fn add_tokens(paths: &mut Map<String, Value>) {
    let list = operation("The tokens, also those that are revoked", vec![], &reference("Tokens"), &[503]);
    add(paths, "/v1/tokens", "get", list);
    let made = json!({ "summary": "Makes a token; the answer is the only place where it is",
        "requestBody": { "required": true, "content": { "application/json": { "schema": reference("NewToken") } } },
        "responses": with_problems(answer("201", "the token", &reference("MadeToken")), &[400, 409, 413, 415, 503]) });
    add(paths, "/v1/tokens", "post", made);
    let id = path_parameter("id", json!({ "type": "integer", "format": "int64" }));
    let revoked = json!({ "summary": "Revokes a token: no host takes it a few seconds later", "parameters": [id],
        "responses": with_problems(json!({ "204": { "description": "it is revoked" } }), &[400, 404, 503]) });
    add(paths, "/v1/tokens/{id}", "delete", revoked);
}

fn ingest(spec: &Spec, topic: &str, checked: bool) -> Value {
    let checked = if checked { ", checked before they are taken" } else { "" };
    let summary = format!("Pipeline {}: records for the topic {topic}{checked}", spec.name);
    ingest_operation(&summary, &json!([]))
}

fn made_up(spec: &Spec, topic: &str) -> Value {
    let number = json!({ "type": "integer", "minimum": 1, "maximum": MADE_UP_MAX, "default": 1 });
    let body = json!({ "type": "object", "additionalProperties": false, "properties": {
        "N": number, "seed": { "type": "integer", "minimum": 0 } } });
    let pushed = json!({ "type": "object", "required": ["status", "messages_pushed"], "properties": {
        "status": { "const": "success" }, "messages_pushed": { "type": "integer" } } });
    json!({
        "summary": format!("Pipeline {}: makes up records for the topic {topic}", spec.name),
        "requestBody": { "content": { "application/json": { "schema": body } } },
        "responses": with_problems(
            answer("200", "the log has acknowledged all records", &pushed),
            &[400, 404, 408, 413, 429, 503],
        ),
    })
}

fn ingest_operation(summary: &str, parameters: &Value) -> Value {
    json!({
        "summary": summary,
        "parameters": parameters,
        "requestBody": { "required": true, "content": {
            "application/json": { "schema": { "description": "one record, or an array of records" } },
            "application/x-ndjson": { "schema": { "type": "string", "description": "one record per line" } },
        } },
        "responses": with_problems(
            answer("202", "the log has acknowledged all records", &reference("Accepted")),
            &[400, 404, 408, 413, 415, 422, 429, 503],
        ),
    })
}

fn read(spec: &Spec, table: &Table) -> Value {
    let mut parameters =
        vec![limit(), query_parameter("after", json!({ "type": "string" }), "the `next` of the page before")];
    for column in &table.columns {
        for op in ["", "[ne]", "[lt]", "[lte]", "[gt]", "[gte]"] {
            parameters.push(query_parameter(
                &format!("{}{op}", column.name),
                schemas::filter(column),
                "only rows for which this holds",
            ));
        }
    }
    let summary = format!("Pipeline {}: rows of the table {}", spec.name, table.name);
    operation(&summary, parameters, &schemas::page(table), &[400, 503])
}

pub(super) fn limit() -> Value {
    let schema = json!({ "type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": 100 });
    query_parameter("limit", schema, "how many at most")
}

pub(super) fn operation(summary: &str, parameters: Vec<Value>, schema: &Value, problems: &[u16]) -> Value {
    json!({ "summary": summary, "parameters": parameters,
        "responses": with_problems(answer("200", "what was asked for", schema), problems) })
}

pub(super) fn answer(status: &str, description: &str, schema: &Value) -> Value {
    json!({ status: { "description": description, "content": { "application/json": { "schema": schema } } } })
}

pub(super) fn with_problems(mut responses: Value, problems: &[u16]) -> Value {
    for status in problems {
        let problem = json!({ "description": "a problem (RFC 9457)",
            "content": { "application/problem+json": { "schema": reference("Problem") } } });
        set(&mut responses, &status.to_string(), problem);
    }
    responses
}

pub(super) fn path_parameter(name: &str, schema: Value) -> Value {
    json!({ "name": name, "in": "path", "required": true, "schema": schema })
}

pub(super) fn query_parameter(name: &str, schema: Value, description: &str) -> Value {
    json!({ "name": name, "in": "query", "schema": schema, "description": description })
}

pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}
