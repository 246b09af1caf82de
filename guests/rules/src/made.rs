//! Values that a guest makes of a record before its rules are followed: keys, for example.

/// Values by name, for the record or for each item, as JSON texts.
#[derive(Debug, Default)]
pub struct Made {
    values: Vec<Vec<Option<String>>>,
}

impl Made {
    pub(crate) fn for_names(names: usize) -> Self {
        Self { values: vec![Vec::new(); names] }
    }

    /// Forgets the last record's.
    pub fn clear(&mut self) {
        self.values.iter_mut().for_each(Vec::clear);
    }

    /// Adds the record's value, or the one of the next item. `None`: there is none.
    pub fn push(&mut self, name: usize, text: Option<String>) {
        if let Some(values) = self.values.get_mut(name) {
            values.push(text);
        }
    }

    /// The item's value, else the record's.
    pub(crate) fn get(&self, name: usize, item: Option<usize>) -> Option<&str> {
        let values = self.values.get(name)?;
        let of_record = || values.first().filter(|_| values.len() == 1);
        item.and_then(|nth| values.get(nth)).or_else(of_record)?.as_deref()
    }
}
