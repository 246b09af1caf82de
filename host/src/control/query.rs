//! Queries as they stand after the `?`: what is unknown, double or malformed is refused, with what would do.

use super::problem::Problem;
use crate::spec::suggestion;
use axum::http::Uri;
use url::form_urlencoded;

/// A query's names and values, in order.
pub(super) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    pub(super) fn of(uri: &Uri) -> Result<Self, Problem> {
        let text = uri.query().unwrap_or("");
        let pairs: Vec<(String, String)> = form_urlencoded::parse(text.as_bytes()).into_owned().collect();
        // No database can compare with it, and no name has it.
        if pairs.iter().any(|(name, value)| name.contains('\0') || value.contains('\0')) {
            return Err(Problem::query("a NUL character cannot be asked for"));
        }
        Ok(Query { pairs })
    }

    /// Takes the one value of a name out of the query.
    pub(super) fn take(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let mut found = self.pairs.extract_if(.., |(given, _)| given == name);
        match (found.next(), found.next()) {
            (first, None) => Ok(first.map(|(_, value)| value)),
            _ => Err(Problem::query(format!("`{name}` stands there twice"))),
        }
    }

    /// Takes a number out of the query.
    pub(super) fn take_number<T: std::str::FromStr + PartialOrd + std::fmt::Display>(
        &mut self,
        name: &str,
        range: std::ops::RangeInclusive<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.take(name)? else { return Ok(None) };
        match text.parse().ok().filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(Problem::query(format!(
                "`{name}` must be a whole number from {} to {}",
                range.start(),
                range.end()
            ))),
        }
    }

    /// What has not been taken.
    pub(super) fn rest(self) -> Vec<(String, String)> {
        self.pairs
    }

    /// Refuses whatever has not been taken.
    pub(super) fn nothing_else(self, known: &[&str]) -> Result<(), Problem> {
        match self.pairs.first() {
            None => Ok(()),
            Some((name, _)) => {
                let hint = suggestion(name, known.iter().copied());
                Err(Problem::query(format!("nothing is called `{name}` here{hint}")))
            }
        }
    }
}

/// A `Link` header to the next page: this page's address with one value replaced.
pub(super) fn link_to_next(uri: &Uri, name: &str, value: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let before = form_urlencoded::parse(uri.query().unwrap_or("").as_bytes());
    for (given, kept) in before.filter(|(given, _)| given != name) {
        query.append_pair(&given, &kept);
    }
    query.append_pair(name, value);
    format!("<{}?{}>; rel=\"next\"", uri.path(), query.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_taken_apart() {
        let uri: Uri = "/x?city=K%C3%B6ln&limit=5&limit=6&n=0".parse().unwrap();
        let mut query = Query::of(&uri).unwrap();
        assert_eq!(query.take("city").unwrap().as_deref(), Some("Köln"));
        assert!(query.take("limit").is_err());
        assert!(query.take_number("n", 1..=5_u32).is_err());
        assert!(Query::of(&"/x?a=%00".parse().unwrap()).is_err());
        assert!(Query::of(&"/x?cty=1".parse().unwrap()).unwrap().nothing_else(&["city"]).is_err());
    }

    #[test]
    fn the_next_page_has_the_same_filters() {
        let uri: Uri = "/orders?city=K%C3%B6ln&after=old".parse().unwrap();
        assert_eq!(link_to_next(&uri, "after", "a b"), "</orders?city=K%C3%B6ln&after=a+b>; rel=\"next\"");
    }
}
