//! Names of modules and versions: they become parts of paths and of URLs.

/// The longest name.
const LENGTH_MAX: usize = 100;

/// Why a text is no name of a module or a version, if it is none.
pub fn fault(text: &str) -> Option<String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+');
    if text.is_empty() || text.len() > LENGTH_MAX {
        return Some(format!("it must have 1 to {LENGTH_MAX} characters"));
    }
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Some("it must begin with a letter or a digit".to_owned());
    }
    let wrong = text.chars().find(|c| !legal(*c))?;
    Some(format!("`{}` is not allowed in it: letters, digits, `.`, `_`, `-`, `+`", wrong.escape_default()))
}

/// Takes `NAME@VERSION` apart.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str) -> Result<(&str, &str), String> {
    let (name, version) = text.split_once('@').ok_or_else(|| format!("`{text}` is not MODULE@VERSION"))?;
    for (what, part) in [("module", name), ("version", version)] {
        if let Some(fault) = fault(part) {
            return Err(format!("`{part}` is no name of a {what}: {fault}"));
        }
    }
    Ok((name, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_harmless_in_paths() {
        for good in ["route", "route-js", "1.2.3", "v1.0.0+build.7", "a_b"] {
            assert_eq!(fault(good), None, "{good}");
        }
        let long = "x".repeat(101);
        for bad in ["", "../x", "a/b", ".hidden", "a b", "a\0", "ä", "-x", "a@b", &long, "a%2fb"] {
            assert!(fault(bad).is_some(), "{bad}");
        }
        assert_eq!(parse("route@1.0"), Ok(("route", "1.0")));
        assert!(parse("route").is_err() && parse("@1").is_err() && parse("route@").is_err());
    }
}
