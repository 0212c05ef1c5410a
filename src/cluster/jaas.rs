//! The login that stands in `sasl.jaas.config`: one module with its options.
//!
//! ```text
//! org.apache.kafka.common.security.scram.ScramLoginModule required username="ann" password="…";
//! ```
//!
//! Only what Kafka's own two modules need is read. Nothing here is ever printed.

use isthmus_client::Secret;
use std::iter::Peekable;
use std::str::Chars;

/// A module's class, and who logs in by it.
pub(super) struct Login {
    pub(super) module: String,
    pub(super) username: String,
    pub(super) password: Secret,
}

/// `None` when it is not of that form.
pub(super) fn parse(text: &str) -> Option<Login> {
    let mut words = words(text)?.into_iter();
    let module = words.next()?;
    let _flag = words.next()?;
    let (mut username, mut password) = (None, None);
    for word in words {
        let (name, value) = word.split_once('=')?;
        match name {
            "username" => username = Some(value.to_owned()),
            "password" => password = Some(Secret::from(value)),
            _ => {}
        }
    }
    Some(Login {
        module,
        username: username?,
        password: password?,
    })
}

/// Blank-separated words up to the semicolon, without which Java takes the text for cut off.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut rest = text.chars().peekable();
    loop {
        match rest.next()? {
            '"' => quoted(&mut rest, &mut word)?,
            c if c == ';' || c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                if c == ';' {
                    return Some(words);
                }
            }
            c => word.push(c),
        }
    }
}

/// Up to the closing quote; a backslash keeps what comes behind it.
fn quoted(rest: &mut Peekable<Chars<'_>>, word: &mut String) -> Option<()> {
    loop {
        match rest.next()? {
            '"' => return Some(()),
            '\\' => word.push(rest.next()?),
            c => word.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_login_of_kafkas_modules() {
        let text = "\n a.b.ScramLoginModule  required\n username=\"ann\" other=\"x\" \
                    password=\"se cret;\\\"\" ;";
        let login = parse(text).unwrap();
        assert_eq!(login.module, "a.b.ScramLoginModule");
        assert_eq!(login.username, "ann");
        assert_eq!(login.password.expose(), "se cret;\"");
        for bad in [
            "",
            "M required username=\"a\" password=\"b\"",
            "M required username=\"a\";",
            "M required username=\"a password=b;",
            "M required username password=b;",
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }
}
