//! Java's properties files, as Kafka's `server.properties` is one.
//!
//! Owns: the syntax, with Java's own rules: comments, lines that go on, the three separators, escapes.
//! The bytes are Latin-1, as Java reads them; other characters are written `\uXXXX`.
//! Must not know: what the keys mean. Written by hand: the few crates for it drop the line numbers,
//! without which a problem cannot name its place.

use crate::{ConfigProblem, ConfigProblems, Origin};
use std::iter::Peekable;
use std::path::Path;
use std::str::Chars;

/// One `key = value`, taken apart, and the line it begins in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    pub key: String,
    pub value: String,
    pub line: usize,
}

/// A `\uXXXX` that is none, and the line it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadEscape {
    pub line: usize,
}

/// All properties in the order of their lines; a key may stand twice.
pub fn parse_properties(text: &str) -> Result<Vec<Property>, Vec<BadEscape>> {
    let mut properties = Vec::new();
    let mut bad = Vec::new();
    for (line, text) in logical_lines(text) {
        match property(&text) {
            Some((key, value)) => properties.push(Property { key, value, line }),
            None => bad.push(BadEscape { line }),
        }
    }
    if bad.is_empty() {
        Ok(properties)
    } else {
        Err(bad)
    }
}

/// A properties file's text, for [`parse_properties`].
pub fn read_properties(path: &Path) -> Result<String, ConfigProblems> {
    let bytes = std::fs::read(path).map_err(|cause| ConfigProblem {
        origin: Origin::File {
            name: path.display().to_string(),
            line: None,
        },
        key: String::new(),
        value: None,
        what: format!("cannot be read: {cause}"),
        remedy: "name a readable file with -c".to_owned(),
    })?;
    Ok(from_latin_1(&bytes))
}

/// Bytes of a properties file as text.
pub(crate) fn from_latin_1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

/// Lines that go on put together, comments and empty ones left out, each with its first number.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (at, line) in natural_lines(text).enumerate() {
        let line = line.trim_start_matches(is_blank);
        if open.is_none() && (line.is_empty() || line.starts_with(['#', '!'])) {
            continue;
        }
        let (number, mut whole) = open.take().unwrap_or((at + 1, String::new()));
        let slashes = line.len() - line.trim_end_matches('\\').len();
        let goes_on = slashes % 2 == 1;
        whole.push_str(if goes_on {
            &line[..line.len() - 1]
        } else {
            line
        });
        if goes_on {
            open = Some((number, whole));
        } else {
            found.push((number, whole));
        }
    }
    found.extend(open);
    found
}

/// Ends at `\n`, `\r` or both.
fn natural_lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(|line| {
        let line = line.strip_suffix('\r').unwrap_or(line);
        line.split('\r')
    })
}

fn property(line: &str) -> Option<(String, String)> {
    let mut chars = line.chars().peekable();
    let key = read(&mut chars, |c| is_blank(c) || matches!(c, '=' | ':'))?;
    skip_blanks(&mut chars);
    if chars.next_if(|c| matches!(c, '=' | ':')).is_some() {
        skip_blanks(&mut chars);
    }
    let value = read(&mut chars, |_| false)?;
    Some((key, value))
}

fn skip_blanks(chars: &mut Peekable<Chars<'_>>) {
    while chars.next_if(|c| is_blank(*c)).is_some() {}
}

/// Up to a character that ends it and is not escaped. `None`: an escape is wrong.
fn read(chars: &mut Peekable<Chars<'_>>, ends: impl Fn(char) -> bool) -> Option<String> {
    let mut units: Vec<u16> = Vec::new();
    let mut buffer = [0; 2];
    while let Some(c) = chars.next_if(|c| !ends(*c)) {
        if c != '\\' {
            units.extend_from_slice(c.encode_utf16(&mut buffer));
            continue;
        }
        match chars.next() {
            Some('u') => units.push(hex(chars)?),
            Some('t') => units.push(u16::from(b'\t')),
            Some('n') => units.push(u16::from(b'\n')),
            Some('r') => units.push(u16::from(b'\r')),
            Some('f') => units.push(0x0c),
            Some(c) => units.extend_from_slice(c.encode_utf16(&mut buffer)),
            None => {}
        }
    }
    String::from_utf16(&units).ok()
}

fn hex(chars: &mut Peekable<Chars<'_>>) -> Option<u16> {
    let digits: String = chars.by_ref().take(4).collect();
    let whole = digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    whole.then(|| u16::from_str_radix(&digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answers are those of `java.util.Properties` for the same text.
    #[test]
    fn the_syntax_is_javas() {
        for (text, expected) in [
            ("a=b", "1 a=b"),
            ("  a = b c ", "1 a=b c "),
            ("a:b", "1 a=b"),
            ("a b", "1 a=b"),
            ("a\t:\tb", "1 a=b"),
            ("a = = b", "1 a== b"),
            ("a", "1 a="),
            ("=b", "1 =b"),
            ("# a=b\n ! c=d\n\n e=f", "4 e=f"),
            ("a=b\\\n   c\\\n d\ne=f", "1 a=bcd|4 e=f"),
            ("a=b\\\\\nc=d", "1 a=b\\|2 c=d"),
            ("# x \\\na=b", "2 a=b"),
            ("a=b\\\n#c", "1 a=b#c"),
            ("a\\ b\\=c=d", "1 a b=c=d"),
            ("a=\\u0041\\t\\z\\\\", "1 a=A\tz\\"),
            ("a=\\ud83d\\ude00", "1 a=😀"),
            ("a=1\r\nb=2\rc=3", "1 a=1|2 b=2|3 c=3"),
            ("a=1\na=2", "1 a=1|2 a=2"),
            ("a=b\\", "1 a=b"),
        ] {
            let properties = parse_properties(text).expect(text);
            let shown = properties
                .iter()
                .map(|p| format!("{} {}={}", p.line, p.key, p.value));
            assert_eq!(shown.collect::<Vec<_>>().join("|"), expected, "{text:?}");
        }
    }

    #[test]
    fn a_wrong_escape_is_told_with_its_line() {
        let bad = parse_properties("a=1\nb=\\u12\nc=\\u00zz\nd=\\ud83d").unwrap_err();
        assert_eq!(
            bad.iter().map(|bad| bad.line).collect::<Vec<_>>(),
            [2, 3, 4]
        );
    }

    #[test]
    fn bytes_are_latin_1() {
        assert_eq!(from_latin_1(b"a=\xe9"), "a=é");
    }
}
