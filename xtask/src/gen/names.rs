//! Rust names for the schema's names.

use anyhow::{Result, ensure};

/// Field names of the schema that are Rust keywords.
const KEYWORDS: [&str; 2] = ["type", "match"];

/// camelCase or PascalCase to snake_case: `_` before every capital that follows a non-capital.
pub(super) fn snake(name: &str) -> String {
    let mut out = String::new();
    let mut after_capital = true;
    for (index, letter) in name.chars().enumerate() {
        let capital = letter.is_uppercase() || index == 0;
        if capital && !after_capital {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
        after_capital = capital;
    }
    out
}

/// The Rust identifier of a field.
pub(super) fn field(name: &str) -> String {
    let name = snake(name);
    if KEYWORDS.contains(&name.as_str()) {
        format!("r#{name}")
    } else {
        name
    }
}

/// SCREAMING_CASE to PascalCase.
pub(super) fn pascal(name: &str) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        format!("{first}{}", rest.to_lowercase())
    };
    name.split('_').map(word).collect()
}

/// Names go into the code as they are; nothing but a plain identifier may.
pub(super) fn check(name: &str) -> Result<()> {
    let plain = name
        .chars()
        .all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    ensure!(
        plain && name.starts_with(|c: char| c.is_ascii_alphabetic()),
        "name {name:?}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_follow_the_rule_of_the_schema() {
        for (name, expected) in [
            ("kRaftVersion", "kraft_version"),
            ("KRaftVersionRecord", "kraft_version_record"),
            ("topicId", "topic_id"),
            ("FetchRequest", "fetch_request"),
            ("type", "type"),
            ("isKRaftController", "is_kraft_controller"),
        ] {
            assert_eq!(super::snake(name), expected);
        }
        assert_eq!(super::field("match"), "r#match");
        assert_eq!(super::pascal("KRAFT_VOTERS"), "KraftVoters");
    }
}
