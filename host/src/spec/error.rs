//! What is wrong with a spec: file, line, key, what to do.

use std::fmt;
use std::ops::Range;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// The key, as a path: `table[0].columns[2].type`; empty for the whole file.
    pub key: String,
    /// What is wrong and what to do.
    pub message: String,
    /// The bytes of the text that it is about.
    pub span: Range<usize>,
}

/// A spec that cannot be used.
#[derive(Clone, Debug)]
pub struct Error {
    /// The spec's file.
    pub name: String,
    /// The spec's text.
    pub text: String,
    /// At least one.
    pub issues: Vec<Issue>,
}

impl Error {
    /// An error about the file as a whole.
    pub(super) fn whole(name: &str, text: &str, message: String) -> Self {
        let issue = Issue { key: String::new(), message, span: 0..0 };
        Error { name: name.to_owned(), text: text.to_owned(), issues: vec![issue] }
    }

    /// Line and column of an issue, counted from 1.
    pub fn place(&self, issue: &Issue) -> (usize, usize) {
        let before = self.text.get(..issue.span.start).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        (line, column)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, issue) in self.issues.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            let (line, column) = self.place(issue);
            let key = if issue.key.is_empty() { String::new() } else { format!("{}: ", issue.key) };
            write!(f, "{}:{line}:{column}: {key}{}", self.name, issue.message)?;
            if let Some(source) = self.text.lines().nth(line - 1).filter(|_| !issue.span.is_empty()) {
                let margin = line.to_string().len();
                let width = issue.span.len().min(source.chars().count().saturating_sub(column - 1)).max(1);
                write!(f, "\n {line} | {source}\n {:margin$} | {:>column$}", "", "^")?;
                write!(f, "{}", "^".repeat(width - 1))?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// What to add to an error about an unknown name: the nearest of the known ones.
pub(crate) fn suggestion<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let nearest = known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= 2.max(candidate.len() / 3))
        .min();
    match nearest {
        Some((_, candidate)) => format!("; did you mean `{candidate}`?"),
        None if known.is_empty() => String::new(),
        None => format!("; known are {}", known.join(", ")),
    }
}
