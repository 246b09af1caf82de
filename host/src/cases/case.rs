//! One case, read: `case.toml` and the files beside it.

use super::bytes::Bytes;
use super::expected::Expected;
use super::files::Cases;
use super::input;
use super::json::Json;
use crate::lookup::{Answers, Lookups, Unavailable};
use crate::record::Batch;
use crate::secrets::{ByName, Secret};
use crate::spec::{self, Issue, suggestion};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use toml::Spanned;

const CASE: &str = "case.toml";
const INPUT: &str = "input.ndjson";
pub(super) const EXPECTED: &str = "expected.json";
const README: &str = "README.md";

/// What is compared.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Compare {
    /// The effects are those of `expected.json`, and no others.
    #[default]
    Everything,
    /// Only what `expected.json` names.
    Named,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    about: String,
    #[serde(default = "topic")]
    topic: String,
    #[serde(default)]
    partition: i32,
    config: Option<toml::Table>,
    config_file: Option<Spanned<String>>,
    #[serde(default)]
    compare: Compare,
    #[serde(default)]
    lookups: BTreeMap<String, Spanned<toml::Value>>,
    #[serde(default)]
    secrets: BTreeMap<String, Spanned<String>>,
}

fn topic() -> String {
    "test".to_owned()
}

/// A case that can be run.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) about: String,
    /// JSON.
    pub(super) config: String,
    pub(super) compare: Compare,
    pub(super) batch: Batch,
    /// The line of each record in its file.
    pub(super) lines: Vec<usize>,
    pub(super) answers: CaseAnswers,
    pub(super) secrets: ByName,
    /// `None` if the file is not there.
    pub(super) expected: Option<Expected>,
}

/// A lookup's answers by key.
type ByKey = HashMap<Vec<u8>, Option<Vec<u8>>>;

/// The answers that a case gives; a key that it does not name has none.
#[derive(Clone, Debug, Default)]
pub(super) struct CaseAnswers(HashMap<String, ByKey>);

impl CaseAnswers {
    pub(super) fn lookups(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl Lookups for CaseAnswers {
    fn get_many(&self, lookup: &str, keys: &[Vec<u8>]) -> Result<Answers, Unavailable> {
        match self.0.get(lookup) {
            Some(answers) => Ok(keys.iter().map(|key| answers.get(key).cloned().flatten()).collect()),
            None => Err(Unavailable {
                lookup: lookup.to_owned(),
                message: format!("{CASE} does not declare it; add [lookups.{lookup}] with its answers"),
            }),
        }
    }
}

impl Case {
    /// Reads a case. With `rewrite` it is no fault if there are no expectations yet, or unreadable ones.
    ///
    /// # Errors
    /// File, line and what is wrong there.
    pub(super) fn read(cases: &Cases, name: &str, rewrite: bool) -> Result<Self, String> {
        let reader = Reader { cases, name };
        let text = reader.text(CASE)?.ok_or_else(|| {
            format!("{}: not there; an empty file will do", cases.shown(&format!("{name}/{CASE}")))
        })?;
        let raw: Raw = toml::from_str(text).map_err(|error| {
            reader.wrong(text, error.span().unwrap_or_default(), error.message().to_owned())
        })?;
        reader.known_files(raw.config_file.as_ref().map(|file| file.get_ref().as_str()))?;
        let config = reader.config(text, raw.config, raw.config_file)?;
        let answers = raw.lookups.into_iter().map(|(lookup, answers)| {
            let span = answers.span();
            let answers = answers_of(answers.into_inner())
                .map_err(|error| reader.wrong(text, span, format!("lookup `{lookup}`: {error}")))?;
            Ok((lookup, answers))
        });
        let answers = CaseAnswers(answers.collect::<Result<_, String>>()?);
        let secrets = raw.secrets.into_iter().map(|(name, text_of)| {
            let secret = Secret::new(text_of.get_ref().as_bytes())
                .map_err(|what| reader.wrong(text, text_of.span(), format!("secret `{name}`: {what}")))?;
            Ok((name, secret))
        });
        let secrets = secrets.collect::<Result<_, String>>()?;
        let input = reader.text(INPUT)?;
        let (batch, lines) = input::parse(input.unwrap_or_default(), &raw.topic, raw.partition)
            .map_err(|error| reader.at(INPUT, &error))?;
        let expected = match reader.text(EXPECTED)?.map(|text| Expected::parse(text, batch.len())) {
            Some(Err(error)) if !rewrite => return Err(reader.at(EXPECTED, &error)),
            Some(read) => read.ok(),
            None if rewrite => None,
            None => return Err(reader.at(EXPECTED, ": not there; write it, or have it written with --bless")),
        };
        if batch.is_empty() && !expected.as_ref().is_some_and(Expected::needs_no_records) {
            let what = if input.is_some() { "no record in it" } else { "not there; it holds the records" };
            return Err(reader.at(INPUT, &format!(": {what}")));
        }
        Ok(Case { about: raw.about, config, compare: raw.compare, batch, lines, answers, secrets, expected })
    }
}

struct Reader<'a> {
    cases: &'a Cases,
    name: &'a str,
}

impl<'a> Reader<'a> {
    /// A file of the case as text.
    fn text(&self, file: &str) -> Result<Option<&'a str>, String> {
        let Some(bytes) = self.cases.file(&format!("{}/{file}", self.name)) else { return Ok(None) };
        std::str::from_utf8(bytes).map(Some).map_err(|error| {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            self.at(file, &format!(":{line}: not UTF-8"))
        })
    }

    /// An error about a file; `error` begins with its place.
    fn at(&self, file: &str, error: &str) -> String {
        format!("{}{error}", self.cases.shown(&format!("{}/{file}", self.name)))
    }

    /// An error about a place in `case.toml`.
    fn wrong(&self, text: &str, span: Range<usize>, message: String) -> String {
        let issue = Issue { key: String::new(), message, span };
        let name = self.cases.shown(&format!("{}/{CASE}", self.name));
        spec::Error { name, text: text.to_owned(), issues: vec![issue] }.to_string()
    }

    /// A file that nobody reads is most likely one with a wrong name.
    fn known_files(&self, config_file: Option<&str>) -> Result<(), String> {
        let known = [CASE, INPUT, EXPECTED, README];
        let stray =
            self.cases.files_of(self.name).find(|file| !known.contains(file) && Some(*file) != config_file);
        match stray {
            None => Ok(()),
            Some(stray) => {
                let hint = suggestion(stray, known);
                Err(self.at(stray, &format!(": no file of a case, and not its `config_file`{hint}")))
            }
        }
    }

    fn config(
        &self,
        text: &str,
        config: Option<toml::Table>,
        file: Option<Spanned<String>>,
    ) -> Result<String, String> {
        let file = match (config, file) {
            (None, None) => return Ok("{}".to_owned()),
            (Some(config), None) => {
                return serde_json::to_string(&config).map_err(|error| self.at(CASE, &format!(": {error}")));
            }
            (Some(_), Some(file)) => {
                return Err(self.wrong(text, file.span(), "`config` or `config_file`, not both".to_owned()));
            }
            (None, Some(file)) => file,
        };
        let (span, named) = (file.span(), file.into_inner());
        let missing = |message: &str| self.wrong(text, span.clone(), message.to_owned());
        let path = match named.strip_prefix("../") {
            Some(shared) => shared.to_owned(),
            None => format!("{}/{named}", self.name),
        };
        let bytes = self.cases.file(&path).ok_or_else(|| {
            missing("there is no such file in the case's folder (or, with `../`, in the folder of all cases)")
        })?;
        let content =
            std::str::from_utf8(bytes).map_err(|_| format!("{}: not UTF-8", self.cases.shown(&path)))?;
        as_json(&path, content).map_err(|error| format!("{}{error}", self.cases.shown(&path)))
    }
}

/// A configuration file, `.toml` or JSON, as the text that the guest gets: as for a stage of a pipeline.
fn as_json(path: &str, content: &str) -> Result<String, String> {
    let value: serde_json::Value = if path.ends_with(".toml") {
        toml::from_str(content).map_err(|error| {
            let before = error.span().and_then(|span| content.get(..span.start)).unwrap_or_default();
            format!(":{}: {}", before.matches('\n').count() + 1, error.message())
        })?
    } else {
        serde_json::from_str(content).map_err(|error| super::at(&error, 0))?
    };
    Ok(value.to_string())
}

/// Answers by key: a table, or, for keys that are no texts, a list of `{ key, answer }`.
fn answers_of(answers: toml::Value) -> Result<ByKey, String> {
    match answers {
        toml::Value::Table(answers) => {
            answers.into_iter().map(|(key, answer)| Ok((key.into_bytes(), bytes_of(&answer)?))).collect()
        }
        toml::Value::Array(list) => list.into_iter().map(pair_of).collect(),
        _ => Err("a table of answers by key, or a list of { key = …, answer = … }".to_owned()),
    }
}

fn pair_of(entry: toml::Value) -> Result<(Vec<u8>, Option<Vec<u8>>), String> {
    let toml::Value::Table(entry) = entry else { return Err("{ key = …, answer = … }".to_owned()) };
    if let Some(unknown) = entry.keys().find(|name| !["key", "answer"].contains(&name.as_str())) {
        return Err(format!("unknown key `{unknown}`{}", suggestion(unknown, ["key", "answer"])));
    }
    let key = entry.get("key").map(bytes_of).transpose()?.flatten().ok_or("`key` is missing")?;
    Ok((key, entry.get("answer").map(bytes_of).transpose()?.flatten()))
}

fn bytes_of(value: &toml::Value) -> Result<Option<Vec<u8>>, String> {
    let json = serde_json::to_string(value).map_err(|error| error.to_string())?;
    Ok(Bytes::of(&Json::parse(&json)?)?.map(Bytes::into_vec))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)]) -> Result<Case, String> {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()));
        Case::read(&Cases::from_bundle(files.collect()).unwrap(), "a", false)
    }

    const RECORD: (&str, &str) = ("a/input.ndjson", "{\"text\": \"x\"}\n");
    const NOTHING: (&str, &str) = ("a/expected.json", "{}");

    #[test]
    fn a_case_says_where_its_records_come_from_and_what_is_answered() {
        let text = r#"
about = "All there is."
topic = "orders"
partition = 2
compare = "named"
config = { n = 1, list = ["x"] }
[lookups.users]
u1 = "Ann"
u2 = { base64 = "/w==" }
[[lookups.codes]]
key = { hex = "00" }
answer = "zero"
[[lookups.codes]]
key = "none"
"#;
        let case = read(&[("a/case.toml", text), RECORD, NOTHING]).unwrap();
        assert_eq!((case.batch.topic.as_str(), case.batch.partition), ("orders", 2));
        assert_eq!((case.compare, case.config.as_str()), (Compare::Named, r#"{"list":["x"],"n":1}"#));
        let get =
            |lookup: &str, key: &[u8]| case.answers.get_many(lookup, &[key.to_vec()]).unwrap().remove(0);
        assert_eq!(get("users", b"u1").unwrap(), b"Ann");
        assert_eq!(get("users", b"u2").unwrap(), [255]);
        assert_eq!(get("users", b"u3"), None);
        assert_eq!(get("codes", b"\0").unwrap(), b"zero");
        assert_eq!(get("codes", b"none"), None);
        let error = case.answers.get_many("cities", &[]).unwrap_err().to_string();
        assert!(error.contains("add [lookups.cities]"), "{error}");
    }

    #[test]
    fn configurations_may_be_shared_files() {
        for (file, path, content) in [
            ("c.json", "a/c.json", "{\"n\": 1}"),
            ("c.toml", "a/c.toml", "n = 1"),
            ("../c.json", "c.json", "{\"n\": 1}"),
        ] {
            let text = format!("config_file = \"{file}\"");
            let case = read(&[("a/case.toml", &text), (path, content), RECORD, NOTHING]).unwrap();
            assert_eq!(case.config, "{\"n\":1}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_file_and_line() {
        let case = ("a/case.toml", "");
        for (files, error) in [
            (vec![("a/input.ndjson", "")], "a/case.toml: not there"),
            (vec![case, NOTHING], "a/input.ndjson: not there"),
            (vec![case, ("a/input.ndjson", "\n"), NOTHING], "a/input.ndjson: no record in it"),
            (vec![case, ("a/input.ndjson", "\n{"), NOTHING], "a/input.ndjson:2:1: EOF"),
            (vec![case, RECORD], "a/expected.json: not there; write it, or have it written with --bless"),
            (
                vec![case, RECORD, ("a/expected.json", "{\n\"x\": 1}")],
                "a/expected.json:2:3: unknown field `x`",
            ),
            (vec![case, RECORD, ("a/expect.json", "{}")], "did you mean `expected.json`"),
            (
                vec![("a/case.toml", "about = \"\"\ntopik = \"x\""), RECORD, NOTHING],
                "a/case.toml:2:1: unknown field `topik`",
            ),
            (
                vec![("a/case.toml", "compare = \"some\""), RECORD, NOTHING],
                "a/case.toml:1:11: unknown variant",
            ),
            (vec![("a/case.toml", "x = "), RECORD, NOTHING], "a/case.toml:1:"),
            (
                vec![("a/case.toml", "config_file = \"x.json\""), RECORD, NOTHING],
                "a/case.toml:1:15: there is no such file",
            ),
            (vec![("a/case.toml", "config_file = \"../../x\""), RECORD, NOTHING], "there is no such file"),
            (
                vec![
                    ("a/case.toml", "config_file = \"x.json\"\n[config]"),
                    ("a/x.json", ""),
                    RECORD,
                    NOTHING,
                ],
                "not both",
            ),
            (
                vec![("a/case.toml", "config_file = \"x.json\""), ("a/x.json", "{\n!"), RECORD, NOTHING],
                "a/x.json:2:1: key must be a string",
            ),
            (
                vec![("a/case.toml", "config_file = \"x.toml\""), ("a/x.toml", "\nx ="), RECORD, NOTHING],
                "a/x.toml:2: ",
            ),
            (
                vec![("a/case.toml", "[lookups]\nusers = 1"), RECORD, NOTHING],
                "a/case.toml:2:9: lookup `users`: a table of answers",
            ),
            (
                vec![("a/case.toml", "[lookups.users]\nu1 = 5"), RECORD, NOTHING],
                "lookup `users`: write a text",
            ),
            (vec![("a/case.toml", "[[lookups.users]]\nkeys = \"\""), RECORD, NOTHING], "did you mean `key`"),
        ] {
            let found = read(&files).unwrap_err();
            assert!(found.contains(error), "{files:?}: {found}");
        }
        let refused = ("a/expected.json", r#"{"config_refused": ""}"#);
        assert!(read(&[case, refused]).is_ok(), "no records are needed where none is read");
    }
}
