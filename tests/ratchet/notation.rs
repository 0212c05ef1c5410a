//! How scripts are written: steps line by line, bodies as JSON without its quotes and commas.
//!
//! ```text
//! # why this script is here
//! == the title that differences refer to
//! topic orders 2 segment.bytes=1048576
//! for v in 0-9
//! @b JoinGroup $v -> MEMBER_ID_REQUIRED {groupId: g-$v protocols: [{name: range}]}
//!     .save member = memberId
//! end
//! ```
//!
//! - A step is `[@connection] Key versions [-> what the answer must hold] {body}`; versions are `*`
//!   (all), `4`, `4-7` or `$v` (the loop's, held within the key's own range). What the answer must
//!   hold is `ok`, the names of its error codes, `closed` or `silent`. Kafka is held to it, so that
//!   a script goes on testing what it was written for.
//! - `$v` is the version, `${name}` what was saved under a name, `${name+1}` one more.
//! - Lines with a dot are the step's options, see [`Options`].
//! - Where brokers have a guarded listener: `user NAME MECHANISM PASSWORD` makes a user of SCRAM,
//!   `login @connection MECHANISM NAME PASSWORD [-> …]` opens a connection and logs in, which is an
//!   exchange, and `guarded @connection` opens one that has said nothing yet.

use super::value::value;
use serde_json::{Value, json};
use std::iter::Peekable;
use std::str::Lines;

#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) name: String,
    pub(crate) items: Vec<Item>,
}

#[derive(Debug)]
pub(crate) enum Item {
    Title(String),
    /// A topic that both must have before the next step; not an exchange.
    Topic {
        name: String,
        partitions: i32,
        configs: Vec<(String, String)>,
    },
    Step(Box<Step>),
    /// Takes the answer to a step marked `.later` on this connection.
    Await(String),
    /// A user that both must know before the next step; not an exchange.
    User(Login),
    Login(Login, Vec<String>),
    /// A new connection to the guarded listener.
    Guarded(String),
    Loop {
        versions: String,
        items: Vec<Item>,
    },
}

/// Who logs in, where and how.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) connection: String,
    pub(crate) mechanism: String,
    pub(crate) user: String,
    pub(crate) password: String,
}

#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) connection: String,
    pub(crate) key: String,
    pub(crate) versions: String,
    pub(crate) expected: Vec<String>,
    pub(crate) body: Value,
    pub(crate) options: Options,
}

#[derive(Debug, Default, Clone)]
pub(crate) struct Options {
    /// `.save name = path`: keeps a value of the answer.
    pub(crate) saves: Vec<(String, String)>,
    /// `.mask name …`: fields that two brokers cannot have in common.
    pub(crate) masks: Vec<String>,
    /// `.until CODE …`: asked again while the answer holds one of these.
    pub(crate) until: Vec<String>,
    /// `.while text`: asked again while the answer, as text, holds this.
    pub(crate) while_text: Option<String>,
    /// `.needs text`: asked again until the answer, as text, holds this.
    pub(crate) needs_text: Option<String>,
    /// `.ordered`: the order of structs counts.
    pub(crate) ordered: bool,
    /// `.twin one other`: asked once more with the other's name, and told the same but for it.
    pub(crate) twin: Option<(String, String)>,
    /// `.later`: sent now, answered at `await`.
    pub(crate) later: bool,
    /// `.cut n`: bytes taken off the end of the frame.
    pub(crate) cut: usize,
    /// `.trail hex`: bytes put behind it.
    pub(crate) trail: String,
    /// `.size n`: what the frame says of its size.
    pub(crate) size: Option<i32>,
}

pub(crate) fn parse(name: &str, text: &str) -> Script {
    let mut parser = Parser {
        name,
        lines: text.lines().peekable(),
    };
    let items = parser.items(false);
    Script {
        name: name.to_owned(),
        items,
    }
}

struct Parser<'a> {
    name: &'a str,
    lines: Peekable<Lines<'a>>,
}

impl Parser<'_> {
    fn items(&mut self, inner: bool) -> Vec<Item> {
        let mut items = Vec::new();
        while let Some(line) = self.lines.next() {
            let line = line.trim_end();
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "" | "#" => {}
                "==" => items.push(Item::Title(rest.to_owned())),
                "topic" => items.push(topic(rest)),
                "await" => items.push(Item::Await(rest.trim_start_matches('@').to_owned())),
                "user" => items.push(Item::User(user(rest))),
                "login" => items.push(login(rest)),
                "guarded" => items.push(Item::Guarded(rest.trim_start_matches('@').to_owned())),
                "for" => items.push(Item::Loop {
                    versions: rest.trim_start_matches("v in ").to_owned(),
                    items: self.items(true),
                }),
                "end" if inner => return items,
                _ => items.push(Item::Step(Box::new(self.step(line)))),
            }
        }
        assert!(!inner, "{}: a loop without its end", self.name);
        items
    }

    fn step(&mut self, line: &str) -> Step {
        let (head, body) = match line.find(" {") {
            Some(at) => line.split_at(at),
            None => (line, ""),
        };
        let mut body = body.to_owned();
        let mut options = Options::default();
        while let Some(more) = self.lines.next_if(|line| line.starts_with(' ')) {
            match more.trim().strip_prefix('.') {
                Some(option) => options.read(option),
                None => {
                    body.push(' ');
                    body.push_str(more.trim());
                }
            }
        }
        let (head, expected) = head.split_once("->").unwrap_or((head, "ok"));
        let mut words: Vec<&str> = head.split_whitespace().collect();
        let connection = match words[0].strip_prefix('@') {
            Some(name) => {
                words.remove(0);
                name
            }
            None => "main",
        };
        assert!(words.len() == 2, "{}: not a step: {line}", self.name);
        Step {
            connection: connection.to_owned(),
            key: words[0].to_owned(),
            versions: words[1].to_owned(),
            expected: expectation(expected),
            body: if body.trim().is_empty() {
                json!({})
            } else {
                value(&body)
            },
            options,
        }
    }
}

impl Options {
    fn read(&mut self, option: &str) {
        let (word, rest) = option.split_once(' ').unwrap_or((option, ""));
        let words = || rest.split_whitespace().map(str::to_owned);
        match word {
            "save" => {
                let (name, path) = rest.split_once(" = ").expect(option);
                self.saves.push((name.to_owned(), path.to_owned()));
            }
            "mask" => self.masks.extend(words()),
            "until" => self.until.extend(words()),
            "while" => self.while_text = Some(rest.to_owned()),
            "needs" => self.needs_text = Some(rest.to_owned()),
            "ordered" => self.ordered = true,
            "twin" => {
                let (one, other) = rest.split_once(' ').expect(option);
                self.twin = Some((one.to_owned(), other.to_owned()));
            }
            "later" => self.later = true,
            "cut" => self.cut = rest.parse().unwrap(),
            "trail" => self.trail = rest.to_owned(),
            "size" => self.size = Some(rest.parse().unwrap()),
            other => panic!("no option is called {other}"),
        }
    }
}

/// `NAME MECHANISM PASSWORD`.
fn user(text: &str) -> Login {
    let words: Vec<&str> = text.split_whitespace().collect();
    let &[user, mechanism, password] = &words[..] else {
        panic!("not a user: {text}")
    };
    Login {
        connection: format!("the first login of {user}"),
        mechanism: mechanism.to_owned(),
        user: user.to_owned(),
        password: password.to_owned(),
    }
}

/// `@connection MECHANISM NAME PASSWORD [-> …]`.
fn login(text: &str) -> Item {
    let (head, expected) = text.split_once("->").unwrap_or((text, "ok"));
    let words: Vec<&str> = head.split_whitespace().collect();
    let &[connection, mechanism, user, password] = &words[..] else {
        panic!("not a login: {text}")
    };
    let login = Login {
        connection: connection.trim_start_matches('@').to_owned(),
        mechanism: mechanism.to_owned(),
        user: user.to_owned(),
        password: password.to_owned(),
    };
    Item::Login(login, expectation(expected))
}

/// The words behind an arrow.
fn expectation(text: &str) -> Vec<String> {
    let words = text.split_whitespace().filter(|word| *word != "ok");
    words.map(str::to_owned).collect()
}

fn topic(text: &str) -> Item {
    let mut words = text.split_whitespace();
    let name = words.next().unwrap().to_owned();
    let partitions = words.next().map_or(1, |word| word.parse().unwrap());
    let configs = words.map(|word| {
        let (key, value) = word.split_once('=').unwrap();
        (key.to_owned(), value.to_owned())
    });
    Item::Topic {
        name,
        partitions,
        configs: configs.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Item, parse};
    use serde_json::json;

    #[test]
    fn steps_have_connection_versions_expectation_body_and_options() {
        let text = "# why\n\n== title\n@b Fetch 4-7 -> A B {x: 1\n    y: 2}\n    .save n = a.0\n    .ordered\nfor v in 0-9\nSyncGroup $v\nend\n";
        let script = parse("some", text);
        let [
            Item::Title(title),
            Item::Step(step),
            Item::Loop { versions, items },
        ] = &script.items[..]
        else {
            panic!("{script:?}")
        };
        assert_eq!(
            (title.as_str(), versions.as_str(), items.len()),
            ("title", "0-9", 1)
        );
        assert_eq!(
            (step.connection.as_str(), step.key.as_str()),
            ("b", "Fetch")
        );
        assert_eq!(
            (step.versions.as_str(), step.expected.join(" ")),
            ("4-7", "A B".to_owned())
        );
        assert_eq!(step.body, json!({"x": 1, "y": 2}));
        assert_eq!(step.options.saves, [("n".to_owned(), "a.0".to_owned())]);
        assert!(step.options.ordered && !step.options.later);
    }
}
