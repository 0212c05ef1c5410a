//! The users of PLAIN as Kafka's configuration has them: one entry of JAAS,
//! `org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="pw" … ;`
//!
//! Only options that begin with `user_` name users; `username` and `password` are what the broker
//! itself would log in with, and are passed over. Words, quotes, escapes and comments are those of
//! Java's `StreamTokenizer`, by which Kafka reads the entry. Stricter than Kafka on purpose: a user
//! who stands there twice, a user without a password, and a quote that does not end are mistakes.

use super::plain_users::{Digests, PlainUsersError};
use std::str::Chars;
use zeroize::Zeroizing;

const MODULE: &str = "PlainLoginModule";
const FLAGS: [&str; 4] = ["required", "requisite", "sufficient", "optional"];

pub(super) fn read(text: &str, users: &mut Digests) -> Result<(), PlainUsersError> {
    let mut tokens = Tokens(text.chars());
    let module = tokens.word("it holds no login module")?;
    if module.rsplit('.').next() != Some(MODULE) {
        return Err(PlainUsersError::Jaas("its module is not PlainLoginModule"));
    }
    let flag = "`required` is missing behind the module";
    let found = tokens.word(flag)?;
    if !FLAGS.iter().any(|known| known.eq_ignore_ascii_case(&found)) {
        return Err(PlainUsersError::Jaas(flag));
    }
    while let Some((name, value)) = option(&mut tokens)? {
        if let Some(user) = name.strip_prefix("user_") {
            users.add(user, &value).map_err(|()| {
                PlainUsersError::Jaas("a user stands there twice or has no password")
            })?;
        }
    }
    match tokens.next()? {
        None => Ok(()),
        Some(_) => Err(PlainUsersError::Jaas(
            "something stands behind the semicolon; one login module is allowed",
        )),
    }
}

/// It may be a password.
type Word = Zeroizing<String>;

/// `name=value`; none at the semicolon.
fn option(tokens: &mut Tokens<'_>) -> Result<Option<(Word, Word)>, PlainUsersError> {
    let broken = "an option is not name=\"value\"";
    let name = match tokens.next()? {
        Some(Token::Word(name)) => name,
        Some(Token::Sign(';')) => return Ok(None),
        Some(Token::Sign(_)) => return Err(PlainUsersError::Jaas(broken)),
        None => {
            return Err(PlainUsersError::Jaas("the semicolon at its end is missing"));
        }
    };
    match tokens.next()? {
        Some(Token::Sign('=')) => Ok(Some((name, tokens.word(broken)?))),
        Some(Token::Sign(_) | Token::Word(_)) | None => Err(PlainUsersError::Jaas(broken)),
    }
}

/// A word or what stands between quotes, which are the same to Kafka; or any other character.
enum Token {
    Word(Word),
    Sign(char),
}

/// What has not been read.
struct Tokens<'a>(Chars<'a>);

impl Tokens<'_> {
    fn next(&mut self) -> Result<Option<Token>, PlainUsersError> {
        self.pass_over_comments();
        let first = self.0.next();
        Ok(match first {
            None => None,
            Some(quote @ ('"' | '\'')) => Some(Token::Word(self.quoted(quote)?)),
            Some(char) if is_of_a_word(char) => {
                let rest = self.0.as_str();
                let end = rest.find(|char| !is_of_a_word(char)).unwrap_or(rest.len());
                self.0 = rest[end..].chars();
                Some(Token::Word(Zeroizing::new(format!(
                    "{char}{}",
                    &rest[..end]
                ))))
            }
            Some(char) => Some(Token::Sign(char)),
        })
    }

    /// The next token as a word, or else this mistake.
    fn word(&mut self, mistake: &'static str) -> Result<Word, PlainUsersError> {
        match self.next()? {
            Some(Token::Word(word)) => Ok(word),
            Some(Token::Sign(_)) | None => Err(PlainUsersError::Jaas(mistake)),
        }
    }

    /// Blanks, `/* … */`, and from any other `/` to the end of the line.
    fn pass_over_comments(&mut self) {
        loop {
            let text = self.0.as_str().trim_start_matches(|char| char <= ' ');
            let rest = match (text.strip_prefix("/*"), text.strip_prefix('/')) {
                (Some(comment), _) => comment.split_once("*/").map_or("", |(_, rest)| rest),
                (None, Some(comment)) => comment.split_once('\n').map_or("", |(_, rest)| rest),
                (None, None) => {
                    self.0 = text.chars();
                    return;
                }
            };
            self.0 = rest.chars();
        }
    }

    /// Up to the closing quote, on the same line.
    fn quoted(&mut self, quote: char) -> Result<Word, PlainUsersError> {
        let unended = PlainUsersError::Jaas("a quote does not end on its line");
        let mut value = Word::default();
        loop {
            match self.0.next() {
                Some(char) if char == quote => return Ok(value),
                Some('\n' | '\r') | None => return Err(unended),
                Some('\\') => {
                    let escaped = self.0.next().ok_or_else(|| unended.clone())?;
                    value.push(self.unescaped(escaped));
                }
                Some(char) => value.push(char),
            }
        }
    }

    /// What stands for the character behind a backslash: Java's escapes, up to three octal digits of
    /// one byte, or the character itself.
    fn unescaped(&mut self, char: char) -> char {
        match char {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '0'..='7' => {
                let digits = if char <= '3' { 2 } else { 1 };
                let mut code = char.to_digit(8).unwrap_or_default();
                for _ in 0..digits {
                    let mut ahead = self.0.clone();
                    let Some(digit) = ahead.next().and_then(|char| char.to_digit(8)) else {
                        break;
                    };
                    code = code * 8 + digit;
                    self.0 = ahead;
                }
                char::from_u32(code).unwrap_or_default()
            }
            other => other,
        }
    }
}

/// Letters, digits, `_`, `$`, `-`, `.`, and everything beyond the control characters of Latin 1.
fn is_of_a_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '_' | '$' | '-' | '.') || char >= '\u{a0}'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(text: &str) -> Result<Digests, String> {
        let mut users = Digests::new([7; 32]);
        read(text, &mut users).map_err(|error| error.to_string())?;
        Ok(users)
    }

    /// What Kafka's own reader made of the same entries.
    #[test]
    fn users_of_an_entry() {
        let module = "org.apache.kafka.common.security.plain.PlainLoginModule";
        for (options, user, password) in [
            (
                "required user_alice=\"a; \\\"b\\\" = c\";",
                "alice",
                "a; \"b\" = c",
            ),
            (
                "required username=\"admin\" password=\"x\" user_bob=bob-pw;",
                "bob",
                "bob-pw",
            ),
            (
                "REQUIRED user_a = 'single \"quoted\"' ;",
                "a",
                "single \"quoted\"",
            ),
            ("required\n  user_a=\"b\"\n  user_b=\"c\";\n", "b", "c"),
            ("required \"user_a\"=\"b\";", "a", "b"),
            (
                "required user_a=\"1\\t2\\\\3\\1014\\477\\x\";",
                "a",
                "1\t2\\3A4'7x",
            ),
            (
                "required // user_z=\"z\"\n user_a=/* here */\"b\";",
                "a",
                "b",
            ),
            (
                "required user_a=\"http://b\" / user_z=\"z\";\n;",
                "a",
                "http://b",
            ),
            ("optional user_a.b-c$d=é;", "a.b-c$d", "é"),
        ] {
            let users = users(&format!("{module} {options}")).expect(options);
            assert!(users.password_is(user, password.as_bytes()), "{options}");
            assert!(!users.password_is("admin", b"x"), "{options}");
            assert!(!users.password_is("z", b"z"), "{options}");
        }
    }

    #[test]
    fn mistakes_never_show_the_entry() {
        for (text, expected) in [
            ("", "it holds no login module"),
            (";", "it holds no login module"),
            ("a.ScramLoginModule required;", "its module is not"),
            ("a.PlainLoginModule", "`required` is missing"),
            ("a.PlainLoginModule user_a=\"x\";", "`required` is missing"),
            ("M required user_a=\"x\"", "the semicolon at its end"),
            ("M required user_a;", "an option is not"),
            ("M required user_a=;", "an option is not"),
            ("M required user_a=@x;", "an option is not"),
            ("M required user_a=x@y;", "an option is not"),
            ("M required =\"x\";", "an option is not"),
            ("M required user_a=\"x;", "a quote does not end"),
            ("M required user_a=\"x\ny\";", "a quote does not end"),
            ("M required user_a=\"x\\", "a quote does not end"),
            ("M required user_a=\"x\"; more", "something stands behind"),
            (
                "M required user_a=\"x\" user_a=\"y\";",
                "stands there twice",
            ),
            ("M required user_a=\"\";", "has no password"),
            ("M required user_=\"x\";", "has no password"),
        ] {
            let text = text.replace("M ", "a.PlainLoginModule ");
            let error = users(&text).err().unwrap_or_default();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains("\"x"), "{text}: {error}");
        }
    }
}
