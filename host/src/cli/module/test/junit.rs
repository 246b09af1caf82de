//! A report as JUnit XML, which CI servers show.

use crate::cases::{self, CaseReport, Outcome, Report};
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};
use std::io;

pub(super) fn xml(module: &str, report: &Report) -> io::Result<Vec<u8>> {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let (passed, failed, broken) = report.counts();
    let all = (passed + failed + broken).to_string();
    let (failures, errors) = (failed.to_string(), broken.to_string());
    let time = seconds(report.cases.iter().map(|case| case.time_us).sum());
    let facts = [("tests", all.as_str()), ("failures", &failures), ("errors", &errors), ("time", &time)];
    writer.create_element("testsuites").with_attributes(facts).write_inner_content(|writer| {
        let suite = writer.create_element("testsuite").with_attribute(("name", legal(module).as_str()));
        suite.with_attributes(facts).write_inner_content(|writer| {
            report.cases.iter().try_for_each(|one| case(writer, module, one))
        })?;
        Ok(())
    })?;
    let mut xml = writer.into_inner();
    xml.push(b'\n');
    Ok(xml)
}

fn case(writer: &mut Writer<Vec<u8>>, module: &str, case: &CaseReport) -> io::Result<()> {
    let (name, class, time) = (legal(&case.name), legal(module), seconds(case.time_us));
    let element = writer.create_element("testcase").with_attributes([
        ("name", name.as_str()),
        ("classname", class.as_str()),
        ("time", time.as_str()),
    ]);
    let (tag, message) = match &case.outcome {
        Outcome::Passed => ("", String::new()),
        Outcome::Failed(differences) => ("failure", format!("{} differences", differences.len())),
        Outcome::Broken(_) => ("error", "its files cannot be used".to_owned()),
    };
    element.write_inner_content(|writer| {
        let numbers =
            [("records", case.records as u64), ("fuel", case.fuel), ("memory_bytes", case.memory_bytes)];
        writer.create_element("properties").write_inner_content(|writer| {
            for (name, number) in numbers {
                let number = number.to_string();
                let property = writer.create_element("property");
                property.with_attributes([("name", name), ("value", number.as_str())]).write_empty()?;
            }
            Ok(())
        })?;
        if !tag.is_empty() {
            let text = legal(&cases::text(&Report { cases: vec![case.clone()] }));
            let element = writer.create_element(tag).with_attribute(("message", message.as_str()));
            element.write_text_content(BytesText::new(&text))?;
        }
        Ok(())
    })?;
    Ok(())
}

fn seconds(us: u64) -> String {
    format!("{:.6}", us as f64 / 1_000_000.0)
}

/// Without the characters that XML has no way to write.
fn legal(text: &str) -> String {
    let legal =
        |c: char| matches!(c, '\t' | '\n' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    text.chars().map(|c| if legal(c) { c } else { '\u{fffd}' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use quick_xml::Reader;

    #[test]
    fn whatever_a_case_says_is_xml() {
        let case = |name: &str, outcome| CaseReport {
            name: name.to_owned(),
            about: String::new(),
            outcome,
            records: 1,
            fuel: 2,
            time_us: 1_500,
            memory_bytes: 3,
        };
        let report = Report {
            cases: vec![
                case("good & <well>", Outcome::Passed),
                case("b", Outcome::Broken("\u{0}]]> \"quoted\" \u{fffe}".to_owned())),
                case("f", Outcome::Failed(Vec::new())),
            ],
        };
        let xml = String::from_utf8(xml("m\"", &report).unwrap()).unwrap();
        let mut reader = Reader::from_str(&xml);
        let mut elements = Vec::new();
        loop {
            match reader.read_event().unwrap() {
                Event::Eof => break,
                Event::Start(start) => {
                    assert!(start.attributes().all(|attribute| attribute.is_ok()));
                    elements.push(start.name().as_ref().to_owned());
                }
                _ => {}
            }
        }
        assert_eq!(elements.iter().filter(|name| *name == "testcase").count(), 3);
        assert!(elements.contains(&"error".to_owned()) && elements.contains(&"failure".to_owned()));
        assert!(xml.contains(r#"tests="3" failures="1" errors="1" time="0.004500""#), "{xml}");
        assert!(!xml.contains('\u{0}') && xml.contains("good &amp; &lt;well&gt;"), "{xml}");
    }
}
