//! Rows: `GET /v1/tables/{table}`, and the read paths that specs add.
//!
//! `?column=value` and `?column[ne|lt|lte|gt|gte]=value` must all hold; `limit` and `after` page.

use super::problem::Problem;
use super::query::{Query, link_to_next};
use super::site::Site;
use super::{Parts, parts};
use crate::spec::{Table, View, suggestion};
use crate::store::{Filter, FilterOp, TableQuery};
use axum::Json;
use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::sync::Arc;

const LIMIT_DEFAULT: u32 = 100;
/// Rows of one page.
pub(super) const LIMIT_MAX: u32 = 1_000;
/// Conditions of one query.
const FILTERS_MAX: usize = 50;

pub(super) async fn by_name(
    State(site): State<Arc<Site>>,
    name: Parts<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let name = parts(name)?;
    let doors = site.doors();
    match doors.table(&name) {
        Some(table) => read(&site, Source::Table(table), &uri).await,
        None => {
            let hint = suggestion(&name, doors.table_names());
            Err(Problem::not_found(format!("there is no table `{name}`{hint}")))
        }
    }
}

/// What is read.
pub(super) enum Source<'s> {
    Table(&'s Table),
    View(&'s View),
}

/// Answers a query of a table or a view.
pub(super) async fn read(site: &Site, source: Source<'_>, uri: &Uri) -> Result<Response, Problem> {
    let table = match source {
        Source::Table(table) => table,
        Source::View(view) => &view.shape,
    };
    let mut query = Query::of(uri)?;
    let limit = query.take_number("limit", 1..=LIMIT_MAX)?.unwrap_or(LIMIT_DEFAULT);
    let after = query.take("after")?;
    let filters = filters(table, query.rest())?;
    let (store, query) = (&site.state.store, TableQuery { filters, after, limit });
    let page = match source {
        Source::Table(table) => store.read_table(table, &query).await?,
        Source::View(view) => store.read_view(view, &query).await?,
    };
    let link = page.next.as_ref().map(|next| [(header::LINK, link_to_next(uri, "after", next))]);
    Ok((link, Json(json!({ "rows": page.rows, "next": page.next }))).into_response())
}

fn filters(table: &Table, pairs: Vec<(String, String)>) -> Result<Vec<Filter>, Problem> {
    if pairs.len() > FILTERS_MAX {
        return Err(Problem::query(format!("a query may have {FILTERS_MAX} conditions")));
    }
    pairs.into_iter().map(|(name, value)| filter(table, &name, value)).collect()
}

fn filter(table: &Table, name: &str, value: String) -> Result<Filter, Problem> {
    let (column, op) = match name.strip_suffix(']').and_then(|name| name.split_once('[')) {
        Some((column, op)) => (column, op_of(op)?),
        None => (name, FilterOp::Eq),
    };
    match table.column(column) {
        Some(column) => Ok(Filter { column, op, value }),
        None => {
            let known = table.columns.iter().map(|column| column.name.as_str());
            let hint = suggestion(column, known.chain(["limit", "after"]));
            Err(Problem::query(format!("the table has no column `{column}`{hint}")))
        }
    }
}

fn op_of(text: &str) -> Result<FilterOp, Problem> {
    match text {
        "eq" => Ok(FilterOp::Eq),
        "ne" => Ok(FilterOp::Ne),
        "lt" => Ok(FilterOp::Lt),
        "lte" => Ok(FilterOp::Le),
        "gt" => Ok(FilterOp::Gt),
        "gte" => Ok(FilterOp::Ge),
        _ => Err(Problem::query(format!("`[{text}]` is no comparison: eq, ne, lt, lte, gt, gte are"))),
    }
}
