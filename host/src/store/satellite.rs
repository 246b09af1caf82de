//! Satellites (Data Vault): a state is a row only where it differs from the state before it by load date. Pure: the
//! rows that come, each with what stands in the table at its load date and before it, and out comes what is to be done.

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
    /// The hashdiff of the parent's row that stands at this very load date.
    pub at: Option<H>,
    /// The parent's last row before this load date. Not needed where `at` is this row's hashdiff.
    pub before: Option<(L, H)>,
}

/// What is to be done, by the places of the rows that come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// What stands at the load date of these is another state, and goes.
    pub replace: Vec<usize>,
    /// These begin a state, and are inserted.
    pub begin: Vec<usize>,
}

impl Changes {
    /// All places after whose load date something may be no change any more, ascending.
    pub fn all(&self) -> Vec<usize> {
        let mut all = [self.replace.as_slice(), &self.begin].concat();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// Compares each row with the state before it by load date, in the batch or in the table. Of one load date the last row
/// counts: it says what was true when the others had been said.
pub fn changes<L: PartialOrd, H: PartialEq>(incoming: &[Incoming<L, H>]) -> Changes {
    let mut parents: BTreeMap<&[u8], Vec<_>> = BTreeMap::new();
    for (place, row) in incoming.iter().enumerate() {
        parents.entry(&row.parent).or_default().push((place, row));
    }
    let mut changes = Changes::default();
    for mut rows in parents.into_values() {
        // Stable: of one load date the last record stays last.
        rows.sort_by(|(_, a), (_, b)| a.load.partial_cmp(&b.load).unwrap_or(std::cmp::Ordering::Equal));
        let mut last: Option<(&L, &H)> = None;
        for (n, (place, row)) in rows.iter().enumerate() {
            if rows.get(n + 1).is_some_and(|(_, next)| next.load == row.load) {
                continue;
            }
            let stored = row.before.as_ref().map(|(load, hashdiff)| (load, hashdiff));
            let before = match (last, stored) {
                (Some(last), Some(stored)) if stored.0 > last.0 => Some(stored),
                (Some(last), _) => Some(last),
                (None, stored) => stored,
            };
            last = Some((&row.load, &row.hashdiff));
            if row.at.as_ref() == Some(&row.hashdiff) {
                continue;
            }
            if row.at.is_some() {
                changes.replace.push(*place);
            }
            if before.is_none_or(|(_, hashdiff)| *hashdiff != row.hashdiff) {
                changes.begin.push(*place);
            }
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows as (parent, load, hashdiff), the table likewise; gives the (load, hashdiff) that are inserted, and the load dates
    /// whose rows go first.
    fn check(
        table: &[(&str, i64, &str)],
        rows: &[(&str, i64, &str)],
        expected: &[(i64, &str)],
        replaced: &[i64],
    ) {
        let incoming: Vec<Incoming<i64, String>> = rows
            .iter()
            .map(|(parent, load, hashdiff)| {
                let mine = table.iter().filter(|row| row.0 == *parent);
                let before = mine.clone().filter(|row| row.1 < *load).max_by_key(|row| row.1);
                Incoming {
                    parent: parent.as_bytes().to_vec(),
                    load: *load,
                    hashdiff: (*hashdiff).to_owned(),
                    at: mine.clone().find(|row| row.1 == *load).map(|row| row.2.to_owned()),
                    before: before.map(|row| (row.1, row.2.to_owned())),
                }
            })
            .collect();
        let changes = changes(&incoming);
        let begin: Vec<(i64, &str)> = changes
            .begin
            .iter()
            .map(|place| (incoming[*place].load, incoming[*place].hashdiff.as_str()))
            .collect();
        assert_eq!(begin, expected, "{table:?} + {rows:?}");
        let replace: Vec<i64> = changes.replace.iter().map(|place| incoming[*place].load).collect();
        assert_eq!(replace, replaced, "{table:?} + {rows:?}");
    }

    #[test]
    fn only_changes_are_rows() {
        check(
            &[],
            &[("p", 1, "A"), ("p", 2, "A"), ("p", 3, "B"), ("p", 4, "A")],
            &[(1, "A"), (3, "B"), (4, "A")],
            &[],
        );
        check(&[("p", 1, "A")], &[("p", 2, "A")], &[], &[]);
        check(&[("p", 1, "A")], &[("q", 2, "A")], &[(2, "A")], &[]);
        check(&[], &[("p", 3, "B"), ("p", 1, "A"), ("p", 2, "A")], &[(1, "A"), (3, "B")], &[]);
    }

    #[test]
    fn of_one_load_date_the_last_stays() {
        check(&[], &[("p", 1, "A"), ("p", 1, "B")], &[(1, "B")], &[]);
        check(&[("p", 1, "A")], &[("p", 1, "B")], &[(1, "B")], &[1]);
        check(&[("p", 1, "B")], &[("p", 1, "A"), ("p", 1, "B")], &[], &[]);
        // What stands there turns out to be no change: it goes, and nothing comes in its place.
        check(&[("p", 1, "A"), ("p", 5, "B")], &[("p", 5, "A"), ("p", 7, "A")], &[], &[5]);
        check(&[("p", 1, "A"), ("p", 5, "B")], &[("p", 5, "A"), ("p", 7, "B")], &[(7, "B")], &[5]);
        check(&[("p", 1, "A"), ("p", 5, "B")], &[("p", 5, "C"), ("p", 7, "B")], &[(5, "C"), (7, "B")], &[5]);
    }

    #[test]
    fn late_rows_are_compared_with_the_row_before_them() {
        check(&[("p", 1, "A"), ("p", 9, "B")], &[("p", 5, "B")], &[(5, "B")], &[]);
        check(&[("p", 1, "A"), ("p", 9, "B")], &[("p", 5, "A"), ("p", 10, "B")], &[], &[]);
        check(&[("p", 9, "B")], &[("p", 5, "A"), ("p", 10, "A")], &[(5, "A"), (10, "A")], &[]);
    }
}
