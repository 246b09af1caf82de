//! Views of a spec: questions to its tables, written in SQL.

use super::table::Table;

/// A SELECT whose rows are read as those of a table are: filtered, in pages.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// For people.
    pub about: String,
    /// Its name, its columns with their types, and as key what tells its rows apart.
    pub shape: Table,
    /// The statement, in pieces.
    pub sql: Vec<Piece>,
}

/// A piece of a view's statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// SQL as it stands.
    Text(String),
    /// The name of a table of the spec.
    Table(String),
}

impl View {
    /// Takes a statement apart: `{table}` stands for the table's name, however the store writes it.
    ///
    /// # Errors
    /// What is wrong with it, for its author.
    pub fn pieces(sql: &str) -> Result<Vec<Piece>, String> {
        let first = sql.split_whitespace().next().unwrap_or("").to_ascii_uppercase();
        if first != "SELECT" && first != "WITH" {
            return Err("a view is one SELECT".to_owned());
        }
        if sql.contains(';') {
            return Err("a view is one statement, without `;`".to_owned());
        }
        if sql.to_ascii_lowercase().contains("gristmill") {
            return Err("Gristmill's own tables are no business of a view".to_owned());
        }
        let (mut pieces, mut rest) = (Vec::new(), sql.trim());
        while let Some((before, behind)) = rest.split_once('{') {
            let (name, behind) = behind.split_once('}').ok_or("a `{` without its `}`")?;
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(Piece::Table(name.trim().to_owned()));
            rest = behind;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(pieces)
    }
}
