//! Bodies as scripts write them: JSON without its quotes and commas.

use serde_json::{Map, Value, json};
use std::iter::Peekable;
use std::str::Chars;

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
    use super::value;
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
}
