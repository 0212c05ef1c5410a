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

use serde_json::{Map, Value, json};
use std::iter::Peekable;
use std::str::{Chars, Lines};

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
    Loop {
        versions: String,
        items: Vec<Item>,
    },
}

#[derive(Debug)]
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
        let expected = expected.split_whitespace().filter(|word| *word != "ok");
        Step {
            connection: connection.to_owned(),
            key: words[0].to_owned(),
            versions: words[1].to_owned(),
            expected: expected.map(str::to_owned).collect(),
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
            "later" => self.later = true,
            "cut" => self.cut = rest.parse().unwrap(),
            "trail" => self.trail = rest.to_owned(),
            "size" => self.size = Some(rest.parse().unwrap()),
            other => panic!("no option is called {other}"),
        }
    }
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

/// JSON in which words need no quotes, and blanks part as commas do.
pub(crate) fn value(text: &str) -> Value {
    let mut reader = Reader {
        chars: text.chars().peekable(),
        text,
    };
    let value = reader.value();
    reader.skip_blanks();
    assert!(
        reader.chars.peek().is_none(),
        "something behind the value: {text}"
    );
    value
}

struct Reader<'a> {
    chars: Peekable<Chars<'a>>,
    text: &'a str,
}

impl Reader<'_> {
    fn value(&mut self) -> Value {
        self.skip_blanks();
        match self.chars.peek() {
            Some('{') => self.object(),
            Some('[') => self.array(),
            Some('"') => json!(self.quoted()),
            Some(_) => literal(&self.word()),
            None => panic!("a value is missing: {}", self.text),
        }
    }

    fn object(&mut self) -> Value {
        self.chars.next();
        let mut object = Map::new();
        while !self.ends_with('}') {
            let name = match self.chars.peek() {
                Some('"') => self.quoted(),
                _ => self.word(),
            };
            self.skip_blanks();
            assert_eq!(
                self.chars.next(),
                Some(':'),
                "behind {name} in {}",
                self.text
            );
            let value = self.value();
            assert!(
                object.insert(name, value).is_none(),
                "twice in {}",
                self.text
            );
        }
        Value::Object(object)
    }

    fn array(&mut self) -> Value {
        self.chars.next();
        let mut array = Vec::new();
        while !self.ends_with(']') {
            array.push(self.value());
        }
        Value::Array(array)
    }

    fn ends_with(&mut self, end: char) -> bool {
        self.skip_blanks();
        assert!(
            self.chars.peek().is_some(),
            "{end} is missing: {}",
            self.text
        );
        self.chars.next_if_eq(&end).is_some()
    }

    fn quoted(&mut self) -> String {
        self.chars.next();
        let mut text = String::new();
        loop {
            match self.chars.next().expect("the end of a quoted text") {
                '"' => return text,
                '\\' => text.push(match self.chars.next().unwrap() {
                    'n' => '\n',
                    '0' => '\0',
                    other => other,
                }),
                other => text.push(other),
            }
        }
    }

    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some(&next) = self.chars.peek() {
            let variable = next == '{' && word.ends_with('$');
            if !variable && (next.is_whitespace() || "{}[]:,\"".contains(next)) {
                break;
            }
            word.push(next);
            self.chars.next();
            if variable {
                for inner in self.chars.by_ref() {
                    word.push(inner);
                    if inner == '}' {
                        break;
                    }
                }
            }
        }
        assert!(!word.is_empty(), "a word is missing: {}", self.text);
        word
    }

    fn skip_blanks(&mut self) {
        while self
            .chars
            .next_if(|c| c.is_whitespace() || *c == ',')
            .is_some()
        {}
    }
}

fn literal(word: &str) -> Value {
    match word {
        "true" => json!(true),
        "false" => json!(false),
        "null" => Value::Null,
        text => match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(number), _) => json!(number),
            (Err(_), Ok(number)) if text.contains('.') => json!(number),
            (Err(_), _) => json!(word),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{Item, parse, value};
    use serde_json::json;

    #[test]
    fn bodies_need_neither_quotes_nor_commas() {
        let told =
            "{a: [1 -2 x-$v ${id} ${id+1}], \"b c\": {d: null e: true f: 0.5 g: \"1\"} h: \"\"}";
        let expected = json!({
            "a": [1, -2, "x-$v", "${id}", "${id+1}"],
            "b c": {"d": null, "e": true, "f": 0.5, "g": "1"},
            "h": "",
        });
        assert_eq!(value(told), expected);
    }

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
