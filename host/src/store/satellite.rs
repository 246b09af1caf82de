//! Satellites (Data Vault): a state is a row only where it differs from the state before it by load date. Pure: the
//! rows that come, each with the row that stands before it in the table, and out come those to insert.

use std::collections::BTreeMap;

/// A row on its way into a satellite. `L` is a load date, `H` a hashdiff.
#[derive(Clone, Debug)]
pub struct Incoming<L, H> {
    /// The parent's key.
    pub parent: Vec<u8>,
    /// Its load date.
    pub load: L,
    /// Its hashdiff.
    pub hashdiff: H,
    /// The parent's row in the table with the greatest load date that is not after this one's.
    pub before: Option<(L, H)>,
}

/// The places of the rows to insert. Each row is compared with the row before it by load date, in the batch or in the
/// table: the same hashdiff, or the same load date (the first one stays), and it is not inserted.
pub fn changes<L: PartialOrd, H: PartialEq>(incoming: &[Incoming<L, H>]) -> Vec<usize> {
    let mut parents: BTreeMap<&[u8], Vec<usize>> = BTreeMap::new();
    for (place, row) in incoming.iter().enumerate() {
        parents.entry(&row.parent).or_default().push(place);
    }
    let load = |place: &usize| incoming.get(*place).map(|row| &row.load);
    let mut changes = Vec::new();
    for mut places in parents.into_values() {
        // Stable: of one load date the earlier record comes first.
        places.sort_by(|a, b| load(a).partial_cmp(&load(b)).unwrap_or(std::cmp::Ordering::Equal));
        let mut last: Option<(&L, &H)> = None;
        for place in places {
            let Some(row) = incoming.get(place) else { continue };
            let stored = row.before.as_ref().map(|(load, hashdiff)| (load, hashdiff));
            let before = match (last, stored) {
                (Some(last), Some(stored)) if stored.0 >= last.0 => Some(stored),
                (Some(last), _) => Some(last),
                (None, stored) => stored,
            };
            if before.is_none_or(|(load, hashdiff)| *load != row.load && *hashdiff != row.hashdiff) {
                changes.push(place);
                last = Some((&row.load, &row.hashdiff));
            }
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows as (parent, load, hashdiff), the table likewise; gives the (load, hashdiff) that are inserted.
    fn check(table: &[(&str, i64, &str)], rows: &[(&str, i64, &str)], expected: &[(i64, &str)]) {
        let incoming: Vec<Incoming<i64, String>> = rows
            .iter()
            .map(|(parent, load, hashdiff)| {
                let before =
                    table.iter().filter(|row| row.0 == *parent && row.1 <= *load).max_by_key(|row| row.1);
                Incoming {
                    parent: parent.as_bytes().to_vec(),
                    load: *load,
                    hashdiff: (*hashdiff).to_owned(),
                    before: before.map(|row| (row.1, row.2.to_owned())),
                }
            })
            .collect();
        let changes = changes(&incoming);
        let got: Vec<(i64, &str)> =
            changes.iter().map(|place| (incoming[*place].load, incoming[*place].hashdiff.as_str())).collect();
        assert_eq!(got, expected, "{table:?} + {rows:?}");
    }

    #[test]
    fn only_changes_are_rows() {
        check(
            &[],
            &[("p", 1, "A"), ("p", 2, "A"), ("p", 3, "B"), ("p", 4, "A")],
            &[(1, "A"), (3, "B"), (4, "A")],
        );
        check(&[("p", 1, "A")], &[("p", 2, "A")], &[]);
        check(&[("p", 1, "A")], &[("q", 2, "A")], &[(2, "A")]);
        check(&[], &[("p", 3, "B"), ("p", 1, "A"), ("p", 2, "A")], &[(1, "A"), (3, "B")]);
    }

    #[test]
    fn of_one_load_date_the_first_stays() {
        check(&[], &[("p", 1, "A"), ("p", 1, "B")], &[(1, "A")]);
        check(&[("p", 1, "A")], &[("p", 1, "B")], &[]);
    }

    #[test]
    fn late_rows_are_compared_with_the_row_before_them() {
        check(&[("p", 1, "A"), ("p", 9, "B")], &[("p", 5, "B")], &[(5, "B")]);
        check(&[("p", 1, "A"), ("p", 9, "B")], &[("p", 5, "A"), ("p", 10, "B")], &[]);
        check(&[("p", 9, "B")], &[("p", 5, "A"), ("p", 10, "A")], &[(5, "A"), (10, "A")]);
    }
}
