//! What a client printed, without what two brokers cannot have in common.

use super::At;
use crate::support::records::now_ms;
use isthmus_wire::Uuid;

/// Times this near to now are times of the run.
const DAY_MS: i64 = 24 * 3_600_000;

/// What is a broker's own, and what stands for it.
pub(super) struct Blots {
    addresses: Vec<(String, &'static str)>,
    ports: Vec<(u16, &'static str)>,
}

impl Blots {
    pub(super) fn of(broker: At) -> Self {
        let guarded = broker.guarded.map(|guarded| (guarded, "<guarded>"));
        let all = [Some((broker.open, "<broker>")), guarded];
        let all = all.into_iter().flatten();
        Self {
            addresses: all
                .clone()
                .map(|(address, name)| (address.to_string(), name))
                .collect(),
            ports: all.map(|(address, name)| (address.port(), name)).collect(),
        }
    }

    /// Lines as they are compared. What a step's title has in brackets at its end says more.
    pub(super) fn normal(&self, title: &str, printed: &[String]) -> Vec<String> {
        let kind = Kind::of(title);
        let kept = printed.iter().filter(|line| !is_of_a_trace(line));
        let mut lines: Vec<String> = kept
            .map(|line| {
                let mut line = self.line(line);
                if line.starts_with("exit ") {
                    return line;
                }
                if kind.figures {
                    line = without_figures(&line);
                }
                if kind.any_order {
                    line = sorted_words(&line);
                }
                line
            })
            .collect();
        if kind.any_order || kind.sorted {
            lines.sort();
        }
        lines
    }

    fn line(&self, line: &str) -> String {
        let mut line = line.trim_end().to_owned();
        for (address, name) in &self.addresses {
            line = line.replace(address, name);
        }
        by_words(&without_inner_words(&line), |word| self.blotted(word))
    }

    /// An id of 22 letters, a member's id, the broker's port, a time of today.
    fn blotted(&self, word: &str) -> Option<String> {
        let is_id = word.len() == 22 && word.parse::<Uuid>().is_ok();
        let has = |is: fn(&u8) -> bool| word.as_bytes().iter().any(is);
        // Of 22 letters, two in a million million are of one case.
        if is_id && has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) {
            return Some("<id>".to_owned());
        }
        let mut ports = self.ports.iter();
        if let Some((_, name)) = ports.find(|(port, _)| word.parse() == Ok(*port)) {
            return Some(format!("{name}'s port"));
        }
        let time = word.parse::<i64>();
        if time.is_ok_and(|time| (now_ms() - time).abs() < DAY_MS) {
            return Some("<time>".to_owned());
        }
        let at = word.len().checked_sub(36)?;
        let (name, end) = word.split_at_checked(at)?;
        let is_uuid = end.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
        is_uuid.then(|| format!("{name}<uuid>"))
    }
}

/// What a step's title says of its output.
#[derive(Debug, Default)]
struct Kind {
    /// `(sorted)`: the order of lines is nobody's promise.
    sorted: bool,
    /// `(any order)`: nor is that of the words within a line, which come from a table by hash.
    any_order: bool,
    /// `(figures)`: numbers are measured and never the same.
    figures: bool,
}

impl Kind {
    fn of(title: &str) -> Self {
        let brackets = title
            .rsplit_once(" (")
            .and_then(|(_, end)| end.strip_suffix(')'));
        let mut kind = Self::default();
        for word in brackets.unwrap_or_default().split(", ") {
            match word {
                "sorted" => kind.sorted = true,
                "any order" => kind.any_order = true,
                "figures" => kind.figures = true,
                "" => {}
                other => panic!("{title}: what is {other}?"),
            }
        }
        kind
    }
}

/// Which line of Kafka's code a tool failed at is no part of the answer.
fn is_of_a_trace(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("at ") || line.starts_with("... ")
}

fn by_words(line: &str, blot: impl Fn(&str) -> Option<String>) -> String {
    let is_of_word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let mut told = String::new();
    for part in line.split_inclusive(|c| !is_of_word(c)) {
        let word = part.trim_end_matches(|c| !is_of_word(c));
        told += &blot(word).unwrap_or_else(|| word.to_owned());
        told += &part[word.len()..];
    }
    told
}

/// Kafka prints its own object where it names a request, and we the request.
pub(crate) fn without_inner_words(line: &str) -> String {
    let (begin, end) = ("Request ", " needs ");
    match line.find(begin).zip(line.rfind(end)) {
        Some((from, to)) if from < to && line.ends_with(" permission.") => {
            format!("{}{begin}…{}", &line[..from], &line[to..])
        }
        Some(_) | None => line.to_owned(),
    }
}

fn sorted_words(line: &str) -> String {
    let is_between = |c: char| c.is_whitespace() || ",[]{}()".contains(c);
    let mut words: Vec<&str> = line.split(is_between).collect();
    words.retain(|word| !word.is_empty());
    words.sort_unstable();
    words.join(" ")
}

/// `12.5 MB` becomes `# MB`.
fn without_figures(line: &str) -> String {
    let mut told = String::new();
    for c in line.chars() {
        match c {
            '0'..='9' | '.' if told.ends_with('#') => {}
            '0'..='9' => told.push('#'),
            other => told.push(other),
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::{At, Blots};

    #[test]
    fn only_what_cannot_be_the_same_is_blotted() {
        let broker = At {
            open: "127.0.0.1:19092".parse().unwrap(),
            guarded: Some("127.0.0.1:19093".parse().unwrap()),
        };
        for (title, line, expected) in [
            (
                "a",
                "host 127.0.0.1:19092 (19093) ",
                "host <broker> (<guarded>'s port)",
            ),
            (
                "a",
                "TopicId: Bq1UsYYTA1FwXtDNq-SLSg\tx",
                "TopicId: <id>\tx",
            ),
            ("a", "m-01234567-89ab-cdef-0123-456789abcdef,", "m-<uuid>,"),
            ("a", "then 1700000000000, 42", "then 1700000000000, 42"),
            (
                "a",
                "no DESCRIBE_CLIENT_QUOTAS",
                "no DESCRIBE_CLIENT_QUOTAS",
            ),
            (
                "a",
                "why: Request Request(a=1, b=(Request())) needs ALTER permission.",
                "why: Request … needs ALTER permission.",
            ),
            ("b (figures)", "12.5 MB in 3 s", "# MB in # s"),
            ("b (any order)", "Configs: b=1,a=2", "Configs: a=2 b=1"),
            ("b (any order, figures)", "b 1 a 22", "# # a b"),
        ] {
            let told = Blots::of(broker).normal(title, &[line.to_owned()]);
            assert_eq!(told, [expected]);
        }
        let exit = "exit 1".to_owned();
        let told = Blots::of(broker).normal("b (any order, figures)", &[exit]);
        assert_eq!(told, ["exit 1"]);
        let trace = "\tat Tool.main(Tool.java:1)".to_owned();
        assert_eq!(Blots::of(broker).normal("a", &[trace]), [""; 0]);
    }
}
