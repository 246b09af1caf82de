//! What `/openapi.json` says of modules, swaps, pipelines' revisions and the audit trail.

use super::openapi::{
    add, answer, limit, operation, path_parameter, query_parameter, reference, with_problems,
};
use serde_json::{Map, Value, json};

fn text(name: &str) -> Value {
    path_parameter(name, json!({ "type": "string" }))
}

/// Adds the paths.
pub(super) fn add_catalog(paths: &mut Map<String, Value>) {
    add_modules(paths);
    add_swaps(paths);
    add_revisions(paths);
    let parameters = vec![
        query_parameter(
            "before",
            json!({ "type": "integer", "minimum": 0 }),
            "the `next` of the page before",
        ),
        limit(),
    ];
    let trail = operation("Who changed what, newest first", parameters, &reference("Audit"), &[400, 503]);
    add(paths, "/v1/audit", "get", trail);
}

fn add_modules(paths: &mut Map<String, Value>) {
    let list = operation("The modules", vec![], &reference("Modules"), &[400, 503]);
    add(paths, "/v1/modules", "get", list);
    let versions = operation(
        "A module's versions, newest first",
        vec![text("name")],
        &reference("Versions"),
        &[400, 404, 503],
    );
    add(paths, "/v1/modules/{name}", "get", versions);
    let one = "/v1/modules/{name}/versions/{version}";
    let both = || vec![text("name"), text("version")];
    let shown =
        operation("A version, with the report of its check", both(), &reference("Version"), &[400, 404, 503]);
    add(paths, one, "get", shown);
    let removed = json!({ "summary": "Removes a version that is active nowhere", "parameters": both(),
        "responses": with_problems(json!({ "204": { "description": "it is gone" } }), &[400, 404, 409, 503]) });
    add(paths, one, "delete", removed);
    let mut parameters = both();
    parameters.push(query_parameter(
        "grant",
        json!({ "type": "string" }),
        "imports that it may have although the version before does not, separated by commas",
    ));
    let force = json!({ "type": "string", "enum": ["true", "false"], "default": "false" });
    parameters.push(query_parameter("force", force, "take it although it needs more fuel than is allowed"));
    let bytes = json!({ "type": "string", "format": "binary" });
    let part = json!({ "type": "object", "required": ["module"], "additionalProperties": false, "properties": {
        "module": bytes,
        "cases": { "type": "string", "description": "its cases: a JSON object of files by path, in base64" },
        "signature": { "type": "string", "description": "a detached Ed25519 signature over the module's bytes, base64" },
    } });
    let pushed = reference("Pushed");
    let mut responses = answer("201", "it was checked and is kept", &pushed);
    if let (Value::Object(all), Value::Object(same)) =
        (&mut responses, answer("200", "it was there already, with these bytes", &pushed))
    {
        all.extend(same);
    }
    let push = json!({
        "summary": "Checks a module and keeps it as a version, which never changes",
        "parameters": parameters,
        "requestBody": { "required": true, "content": {
            "application/wasm": { "schema": bytes },
            "application/octet-stream": { "schema": bytes },
            "multipart/form-data": { "schema": part },
        } },
        "responses": with_problems(responses, &[400, 408, 409, 413, 415, 422, 429, 503]),
    });
    add(paths, one, "post", push);
}

fn add_swaps(paths: &mut Map<String, Value>) {
    let name = || text("name");
    for (action, summary) in [
        ("pause", "Finishes the batches under way, and begins no other, on every host"),
        ("resume", "Goes on"),
    ] {
        let changed = json!({ "summary": summary, "parameters": [name()],
            "responses": with_problems(answer("200", "what holds now", &reference("Paused")), &[400, 404, 503]) });
        add(paths, &format!("/v1/pipelines/{{name}}/{action}"), "post", changed);
    }
    let parameters = vec![
        name(),
        query_parameter("stage", json!({ "type": "string" }), "only those of this stage"),
        limit(),
    ];
    let list = operation("Swaps, newest first", parameters, &reference("Activations"), &[400, 404, 503]);
    add(paths, "/v1/pipelines/{name}/activations", "get", list);
    let id = path_parameter("id", json!({ "type": "integer", "format": "int64" }));
    let progress =
        operation("How far a swap is", vec![name(), id], &reference("SwapProgress"), &[400, 404, 503]);
    add(paths, "/v1/pipelines/{name}/activations/{id}", "get", progress);
    let swap = json!({ "type": "object", "additionalProperties": false, "properties": {
        "module": { "type": "string", "description": "NAME@VERSION; the one that is active if absent" },
        "config": { "type": "object", "description": "its configuration; the one that is active if absent" },
        "note": { "type": "string", "maxLength": 1000 },
    } });
    let rollback = json!({ "type": "object", "additionalProperties": false, "properties": {
        "reason": { "type": "string", "maxLength": 1000 } } });
    for (action, summary, body, required) in [
        ("swap", "Makes a version, or another configuration, active on every host", swap, true),
        ("rollback", "Goes back to what was active before, and was good", rollback, false),
    ] {
        let accepted =
            answer("202", "it holds; lanes take it up between two batches", &reference("Activation"));
        let operation = json!({
            "summary": summary,
            "parameters": [name(), text("stage")],
            "requestBody": { "required": required, "content": { "application/json": { "schema": body } } },
            "responses": with_problems(accepted, &[400, 404, 408, 409, 413, 422, 429, 503]),
        });
        add(paths, &format!("/v1/pipelines/{{name}}/stages/{{stage}}/{action}"), "post", operation);
    }
}

fn add_revisions(paths: &mut Map<String, Value>) {
    let name = || text("name");
    let body = json!({ "type": "object", "additionalProperties": false, "properties": {
        "spec": { "type": "string", "description": "the spec, TOML" },
        "files": { "type": "object", "additionalProperties": { "type": "string" },
            "description": "the texts of the files that it names" },
        "revision": { "type": "integer", "description": "instead of a spec: a revision that is to hold again" },
        "note": { "type": "string", "maxLength": 1000 },
    } });
    let applied = reference("Applied");
    let mut responses = answer("201", "it is the newest revision now; hosts go over to it", &applied);
    if let (Value::Object(all), Value::Object(same)) =
        (&mut responses, answer("200", "the newest revision says the same already, or a dry run", &applied))
    {
        all.extend(same);
    }
    let dry_run = query_parameter("dry_run", json!({ "type": "boolean" }), "only look whether it fits");
    let apply = json!({
        "summary": "Applies a spec: checks it, and makes it the newest revision of the pipeline",
        "parameters": [name(), dry_run],
        "requestBody": { "required": true, "content": {
            "application/toml": { "schema": { "type": "string" } },
            "application/json": { "schema": body },
        } },
        "responses": with_problems(responses, &[400, 404, 408, 409, 413, 415, 422, 429, 503]),
    });
    add(paths, "/v1/pipelines/{name}", "put", apply);
    let note = query_parameter("note", json!({ "type": "string", "maxLength": 1000 }), "why");
    let removed = json!({ "summary": "Removes a pipeline from the catalog; what it has written stays",
        "parameters": [name(), note],
        "responses": with_problems(answer("200", "hosts end it", &applied), &[400, 404, 409, 503]) });
    add(paths, "/v1/pipelines/{name}", "delete", removed);
    let list = operation(
        "What was applied, newest first",
        vec![name(), limit()],
        &reference("Revisions"),
        &[400, 404, 503],
    );
    add(paths, "/v1/pipelines/{name}/revisions", "get", list);
    let number = path_parameter("number", json!({ "type": "integer", "format": "int64" }));
    let progress = operation(
        "How far a revision is",
        vec![name(), number],
        &reference("RevisionProgress"),
        &[400, 404, 503],
    );
    add(paths, "/v1/pipelines/{name}/revisions/{number}", "get", progress);
}

/// The schemas that the paths refer to.
pub(super) fn schemas() -> Map<String, Value> {
    let (text, whole, yes) =
        (json!({ "type": "string" }), json!({ "type": "integer" }), json!({ "type": "boolean" }));
    let list = |of: &str| json!({ "type": "array", "items": reference(of) });
    let texts = json!({ "type": "array", "items": { "type": "string" } });
    let object = |required: &[&str], properties: Value| json!({ "type": "object", "required": required, "properties": properties });
    let lane = object(
        &["topic", "partition", "host", "activations", "at_ms", "pause_us", "alive", "taken_up"],
        json!({
        "topic": text, "partition": whole, "host": text, "at_ms": whole, "pause_us": whole, "alive": yes,
        "taken_up": yes, "activations": { "type": "object", "additionalProperties": whole } }),
    );
    let version = object(
        &["name", "version", "digest", "bytes", "imports", "report"],
        json!({
        "name": text, "version": text, "digest": text, "bytes": whole, "about": text, "imports": texts,
        "signed_by": { "type": ["string", "null"] }, "report": { "type": "object" }, "pushed_by": text,
        "pushed_at_ms": whole }),
    );
    let activation = object(
        &["id", "pipeline", "stage", "module", "version", "digest", "config"],
        json!({
        "id": whole, "pipeline": text, "stage": text, "module": text, "digest": text,
        "version": { "type": "string", "description": "empty for what the spec names" },
        "config": { "type": "object" }, "by": text, "at_ms": whole, "note": text,
        "taken_back": { "type": ["string", "null"], "description": "why it was rolled back" } }),
    );
    let module = object(&["name", "versions"], json!({ "name": text, "about": text, "versions": texts }));
    let line = object(
        &["id", "at_ms", "actor", "action", "target"],
        json!({
        "id": whole, "at_ms": whole, "actor": text, "action": text, "target": text, "detail": {} }),
    );
    let trouble = object(&["host", "message"], json!({ "host": text, "message": text }));
    let all = json!({
        "Module": module,
        "Modules": object(&["modules"], json!({ "modules": list("Module") })),
        "Version": version,
        "Versions": object(&["name", "versions"], json!({ "name": text, "versions": list("Version") })),
        "Pushed": object(&["module", "new"], json!({ "module": reference("Version"), "new": yes })),
        "Activation": activation,
        "Activations": object(&["activations"], json!({ "activations": list("Activation") })),
        "SwapLane": lane,
        "SwapTrouble": trouble,
        "SwapProgress": object(&["activation", "superseded", "done", "lanes", "trouble"], json!({
            "activation": reference("Activation"), "superseded": yes, "done": yes, "lanes": list("SwapLane"),
            "trouble": list("SwapTrouble") })),
        "Revision": object(&["pipeline", "revision", "removed", "spec", "files", "digest"], json!({
            "pipeline": text, "revision": whole, "removed": yes, "spec": text, "digest": text, "by": text,
            "at_ms": whole, "note": text, "files": { "type": "object", "additionalProperties": text } })),
        "Revisions": object(&["revisions"], json!({ "revisions": list("Revision") })),
        "Applied": object(&["outcome", "revision"], json!({
            "outcome": { "enum": ["applied", "unchanged", "fits", "removed"] },
            "revision": { "anyOf": [reference("Revision"), { "type": "null" }] } })),
        "RevisionHost": object(&["host", "works", "done"], json!({
            "host": text, "works": whole, "done": yes, "trouble": text })),
        "RevisionProgress": object(&["revision", "superseded", "done", "hosts"], json!({
            "revision": reference("Revision"), "superseded": yes, "done": yes, "hosts": list("RevisionHost") })),
        "Paused": object(&["pipeline", "paused", "changed"], json!({ "pipeline": text, "paused": yes, "changed": yes })),
        "AuditLine": line,
        "Audit": object(&["audit", "next"], json!({ "audit": list("AuditLine"), "next": { "type": ["string", "null"] } })),
    });
    match all {
        Value::Object(all) => all,
        _ => Map::new(),
    }
}
