//! JSON Schemas of what the host answers, for `/openapi.json`.

use crate::access::Role;
use crate::spec::{Column, ColumnType, Table};
use serde_json::{Map, Value, json};

/// All schemas that answers refer to, by name.
pub(super) fn all() -> Value {
    let count = json!({ "type": "integer", "minimum": 0 });
    let bytes = json!({ "type": ["object", "null"], "description": "`text` if the bytes are UTF-8, else `base64`",
        "properties": { "text": { "type": "string" }, "base64": { "type": "string" } } });
    json!({
        "Problem": { "type": "object", "description": "RFC 9457", "required": ["type", "title", "status", "detail"],
            "properties": {
                "type": { "type": "string" }, "title": { "type": "string" }, "status": { "type": "integer" },
                "detail": { "type": "string" },
                "errors": { "type": "array", "items": { "$ref": "#/components/schemas/RecordFault" } } } },
        "RecordFault": { "type": "object", "required": ["record", "code", "pointer", "detail"], "properties": {
            "record": count, "code": { "type": "string" }, "pointer": { "type": ["string", "null"] },
            "detail": { "type": "string" } } },
        "Accepted": { "type": "object", "required": ["records"], "properties": { "records": { "type": "array",
            "items": { "type": "object", "required": ["partition", "offset"], "properties": {
                "partition": count, "offset": count } } } } },
        "Fault": { "type": "object", "required": ["code", "reason"], "properties": {
            "code": { "type": "string" }, "pointer": { "type": "string" }, "reason": { "type": "string" } } },
        "DeadLetter": { "type": "object",
            "required": ["id", "pipeline", "code", "reason", "faults", "stage", "digest", "attempts", "at", "origin",
                "key", "value", "headers"],
            "properties": {
                "id": { "type": "integer" }, "pipeline": { "type": "string" }, "code": { "type": "string" },
                "reason": { "type": "string" },
                "faults": { "type": "array", "items": { "$ref": "#/components/schemas/Fault" } },
                "stage": { "type": "string" }, "digest": { "type": "string" }, "attempts": count,
                "at": { "type": ["string", "null"] },
                "origin": { "type": "object", "properties": { "topic": { "type": "string" },
                    "partition": { "type": "integer" }, "offset": { "type": "integer" },
                    "timestamp": { "type": ["string", "null"] } } },
                "key": bytes, "value": bytes,
                "headers": { "type": "array", "items": { "type": "object", "properties": {
                    "name": { "type": "string" }, "value": bytes } } } } },
        "DeadLetters": { "type": "object", "required": ["dead_letters", "next"], "properties": {
            "dead_letters": { "type": "array", "items": { "$ref": "#/components/schemas/DeadLetter" } },
            "next": { "type": ["string", "null"] } } },
        "Pipelines": { "type": "object", "required": ["pipelines"], "properties": { "pipelines": { "type": "array",
            "items": { "type": "object", "required": ["name", "state"], "properties": {
                "name": { "type": "string" }, "about": { "type": "string" }, "state": { "type": "string" },
                "lanes": count, "lag": { "type": ["integer", "null"] }, "error": { "type": ["string", "null"] } } } } } },
        "Pipeline": { "type": "object", "required": ["name", "state", "lanes", "dead_letters", "parked", "mails"],
            "properties": {
                "name": { "type": "string" }, "about": { "type": "string" }, "source": { "type": ["string", "null"] },
                "stages": { "type": "array", "items": { "type": "object" } },
                "state": { "type": ["string", "null"] }, "error": { "type": ["string", "null"] },
                "lanes": { "type": "array", "items": { "type": "object", "required": ["topic", "partition", "batch"],
                    "properties": { "topic": { "type": "string" }, "partition": count, "batch": count,
                        "next_offset": { "type": ["integer", "null"] }, "lag": { "type": ["integer", "null"] },
                        "last_error": { "type": "string" } } } },
                "dead_letters": { "type": "object", "properties": { "total": count, "by_code": {
                    "type": "object", "additionalProperties": count } } },
                "parked": count,
                "mails": { "type": "object", "properties": { "pending": count, "sent": count, "failed": count } } } },
        "NewToken": new_token(),
        "Token": token(false),
        "MadeToken": token(true),
        "Tokens": { "type": "object", "required": ["tokens"], "properties": { "tokens": { "type": "array",
            "items": { "$ref": "#/components/schemas/Token" } } } },
    })
}

fn role() -> Value {
    json!({ "enum": Role::ALL })
}

fn new_token() -> Value {
    json!({ "type": "object", "description": "either `role` or `ingest`", "required": ["name"],
        "additionalProperties": false, "properties": {
            "name": { "type": "string", "maxLength": 64 }, "role": role(),
            "ingest": { "type": "array", "minItems": 1, "items": { "type": "string" },
                "description": "the topics to which records may be sent" },
            "expires_days": { "type": "integer", "minimum": 1, "maximum": 3650 } } })
}

/// A token as it is listed; when it is made, also the secret.
fn token(made: bool) -> Value {
    let time = json!({ "type": ["string", "null"], "format": "date-time" });
    let mut schema = json!({ "type": "object", "required": ["id", "name", "created_at", "created_by"], "properties": {
        "id": { "type": "integer" }, "name": { "type": "string" }, "role": role(),
        "ingest": { "type": "array", "items": { "type": "string" } },
        "created_at": time, "created_by": { "type": "string" }, "expires_at": time, "revoked_at": time,
        "revoked_by": { "type": ["string", "null"] } } });
    if let (true, Some(Value::Object(properties))) = (made, schema.get_mut("properties")) {
        properties
            .insert("token".to_owned(), json!({ "type": "string", "description": "it is told this once" }));
    }
    schema
}

/// A page of a table's rows.
pub(super) fn page(table: &Table) -> Value {
    let columns: Map<String, Value> =
        table.columns.iter().map(|column| (column.name.clone(), row_column(column))).collect();
    let names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    json!({ "type": "object", "required": ["rows", "next"], "properties": {
        "rows": { "type": "array", "items": { "type": "object", "required": names, "properties": columns } },
        "next": { "type": ["string", "null"], "description": "what to pass as `after` for the next page" } } })
}

/// A column as a query compares with it: never null, always written as text.
pub(super) fn filter(column: &Column) -> Value {
    match column.ty {
        ColumnType::Smallint
        | ColumnType::Integer
        | ColumnType::Bigint
        | ColumnType::Double
        | ColumnType::Boolean => typed(column.ty),
        _ => json!({ "type": "string" }),
    }
}

fn row_column(column: &Column) -> Value {
    let mut schema = typed(column.ty);
    if let (true, Some(ty)) = (column.nullable, schema.get_mut("type")) {
        *ty = json!([ty.take(), "null"]);
    }
    schema
}

fn typed(ty: ColumnType) -> Value {
    match ty {
        ColumnType::Text => json!({ "type": "string" }),
        ColumnType::Varchar(length) => json!({ "type": "string", "maxLength": length }),
        ColumnType::Smallint => json!({ "type": "integer", "minimum": i16::MIN, "maximum": i16::MAX }),
        ColumnType::Integer => json!({ "type": "integer", "format": "int32" }),
        ColumnType::Bigint => json!({ "type": "integer", "format": "int64" }),
        ColumnType::Double => json!({ "type": "number", "format": "double" }),
        ColumnType::Boolean => json!({ "type": "boolean" }),
        ColumnType::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
        ColumnType::Uuid => json!({ "type": "string", "format": "uuid" }),
        ColumnType::Timestamptz => json!({ "type": "string", "format": "date-time" }),
        ColumnType::Timestamp => json!({ "type": "string", "description": "date and time without zone" }),
        ColumnType::Date => json!({ "type": "string", "format": "date" }),
        ColumnType::Numeric(_) => json!({ "type": "string", "description": "an exact decimal number" }),
        ColumnType::Json => json!({ "description": "any JSON" }),
    }
}
