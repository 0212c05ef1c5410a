//! The rows of a ledger, as text and as types.
//!
//! A row is one line, its cells parted by commas, the first one a letter for its kind. Names hold
//! no comma; the one free text stands last in its row.

use std::fmt;
use std::str::FromStr;

use crate::clock::Micros;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// `w`: records below this sequence may have been sent.
    Mark { below: u64 },
    /// `i`: a record that was intended, and its end.
    Intended(Intended),
    /// `r`: a record of ours that was read.
    Read(Read),
    /// `n`: a record that no drill's producer wrote.
    NotOurs {
        topic: String,
        partition: i32,
        offset: i64,
        at_us: Micros,
    },
    /// `p`: an audit has read this partition from `start` up to, not including, `end`.
    Whole {
        topic: String,
        partition: i32,
        start: i64,
        end: i64,
        at_us: Micros,
    },
    /// `x`: something the client complained of.
    Complaint { at_us: Micros, text: String },
    /// `f`: a fault, and when it was over.
    Fault {
        from_us: Micros,
        to_us: Option<Micros>,
        text: String,
    },
    /// `h`: a phase of the drill begins.
    Phase { at_us: Micros, text: String },
    /// `e`: the writer ended in order, having written this many rows before.
    End { rows: u64, at_us: Micros },
}

/// A record that was intended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intended {
    pub sequence: u64,
    pub key: String,
    pub intended_us: Micros,
    /// When the generator first offered it to the client library, whose queue may have been full.
    pub sent_us: Micros,
    pub outcome: Outcome,
    /// When the outcome was known.
    pub done_us: Micros,
    /// Where the broker says it is, if it says so.
    pub place: Option<(i32, i64)>,
}

/// What became of a record, as its producer was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Acked,
    /// Kafka's error code; the library's own are negative.
    Refused(i16),
    /// The client gave up waiting.
    Expired,
    /// Nobody can tell: the client ended first, or lost its connection for good.
    Unknown,
}

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub id: Id,
    pub at_us: Micros,
}

/// Which record: its payload says so, wherever it was copied to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    pub producer: String,
    pub sequence: u64,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.producer, self.sequence)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mark { below } => write!(f, "w,{below}"),
            Self::Intended(row) => write!(f, "{row}"),
            Self::Read(row) => write!(f, "{row}"),
            Self::NotOurs {
                topic,
                partition,
                offset,
                at_us,
            } => write!(f, "n,{topic},{partition},{offset},{at_us}"),
            Self::Whole {
                topic,
                partition,
                start,
                end,
                at_us,
            } => write!(f, "p,{topic},{partition},{start},{end},{at_us}"),
            Self::Complaint { at_us, text } => write!(f, "x,{at_us},{}", one_line(text)),
            Self::Fault {
                from_us,
                to_us,
                text,
            } => {
                let to = to_us.map(|to| to.to_string()).unwrap_or_default();
                write!(f, "f,{from_us},{to},{}", one_line(text))
            }
            Self::Phase { at_us, text } => write!(f, "h,{at_us},{}", one_line(text)),
            Self::End { rows, at_us } => write!(f, "e,{rows},{at_us}"),
        }
    }
}

impl fmt::Display for Intended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sequence,
            key,
            intended_us,
            sent_us,
            outcome,
            done_us,
            place,
        } = self;
        let (word, code) = match outcome {
            Outcome::Acked => ("acked", 0),
            Outcome::Refused(code) => ("refused", *code),
            Outcome::Expired => ("expired", 0),
            Outcome::Unknown => ("unknown", 0),
        };
        let (partition, offset) = place.unwrap_or((-1, -1));
        write!(
            f,
            "i,{sequence},{key},{intended_us},{sent_us},{word},{code},{done_us},{partition},{offset}"
        )
    }
}

impl fmt::Display for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            topic,
            partition,
            offset,
            id,
            at_us,
        } = self;
        let Id { producer, sequence } = id;
        write!(
            f,
            "r,{topic},{partition},{offset},{producer},{sequence},{at_us}"
        )
    }
}

/// A line that is no row. Reads after "could not".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("take {0:?} for a row")]
pub struct NoRow(pub String);

impl FromStr for Row {
    type Err = NoRow;

    fn from_str(line: &str) -> Result<Self, NoRow> {
        parse(line).ok_or_else(|| NoRow(line.chars().take(120).collect()))
    }
}

fn parse(line: &str) -> Option<Row> {
    let (kind, rest) = line.split_once(',')?;
    match kind {
        "w" => Some(Row::Mark {
            below: rest.parse().ok()?,
        }),
        "i" => parse_intended(rest).map(Row::Intended),
        "r" => parse_read(rest).map(Row::Read),
        "n" => {
            let [topic, partition, offset, at] = cells(rest)?;
            Some(Row::NotOurs {
                topic: topic.to_owned(),
                partition: partition.parse().ok()?,
                offset: offset.parse().ok()?,
                at_us: at.parse().ok()?,
            })
        }
        "p" => {
            let [topic, partition, start, end, at] = cells(rest)?;
            Some(Row::Whole {
                topic: topic.to_owned(),
                partition: partition.parse().ok()?,
                start: start.parse().ok()?,
                end: end.parse().ok()?,
                at_us: at.parse().ok()?,
            })
        }
        "x" | "h" => parse_text(kind, rest),
        "f" => parse_fault(rest),
        "e" => {
            let [rows, at] = cells(rest)?;
            Some(Row::End {
                rows: rows.parse().ok()?,
                at_us: at.parse().ok()?,
            })
        }
        _ => None,
    }
}

fn parse_intended(rest: &str) -> Option<Intended> {
    let [
        sequence,
        key,
        intended,
        sent,
        word,
        code,
        done,
        partition,
        offset,
    ] = cells(rest)?;
    let outcome = match word {
        "acked" => Outcome::Acked,
        "refused" => Outcome::Refused(code.parse().ok()?),
        "expired" => Outcome::Expired,
        "unknown" => Outcome::Unknown,
        _ => return None,
    };
    let place = (partition.parse().ok()?, offset.parse().ok()?);
    Some(Intended {
        sequence: sequence.parse().ok()?,
        key: key.to_owned(),
        intended_us: intended.parse().ok()?,
        sent_us: sent.parse().ok()?,
        outcome,
        done_us: done.parse().ok()?,
        place: Some(place).filter(|&(partition, offset)| partition >= 0 && offset >= 0),
    })
}

fn parse_read(rest: &str) -> Option<Read> {
    let [topic, partition, offset, producer, sequence, at] = cells(rest)?;
    Some(Read {
        topic: topic.to_owned(),
        partition: partition.parse().ok()?,
        offset: offset.parse().ok()?,
        id: Id {
            producer: producer.to_owned(),
            sequence: sequence.parse().ok()?,
        },
        at_us: at.parse().ok()?,
    })
}

fn parse_text(kind: &str, rest: &str) -> Option<Row> {
    let (at, text) = rest.split_once(',')?;
    let (at_us, text) = (at.parse().ok()?, text.to_owned());
    match kind {
        "x" => Some(Row::Complaint { at_us, text }),
        "h" => Some(Row::Phase { at_us, text }),
        _ => None,
    }
}

fn parse_fault(rest: &str) -> Option<Row> {
    let (from, rest) = rest.split_once(',')?;
    let (to, text) = rest.split_once(',')?;
    let to_us = match to {
        "" => None,
        to => Some(to.parse().ok()?),
    };
    Some(Row::Fault {
        from_us: from.parse().ok()?,
        to_us,
        text: text.to_owned(),
    })
}

/// Exactly as many cells as the row has.
fn cells<const N: usize>(rest: &str) -> Option<[&str; N]> {
    let mut found = [""; N];
    let mut cells = rest.split(',');
    for place in &mut found {
        *place = cells.next()?;
    }
    cells.next().is_none().then_some(found)
}

fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of docs/formats/lab-ledger.md.
    const GOLDEN: &str = include_str!("../../testdata/ledger/rows.txt");

    #[test]
    fn golden_rows_are_read_and_written_the_same() {
        for line in GOLDEN.lines() {
            let row: Row = line.parse().unwrap();
            assert_eq!(row.to_string(), line);
        }
        let kinds: std::collections::BTreeSet<_> = GOLDEN.lines().map(|line| &line[..1]).collect();
        assert_eq!(kinds.len(), 9, "a row of every kind: {kinds:?}");
    }

    #[test]
    fn a_cut_row_is_no_row() {
        for line in GOLDEN.lines() {
            // A cut within the last number or the free text cannot be seen in the row itself, which
            // is why a line without its end is never read.
            let last = line.rfind(',').unwrap();
            for cut in 0..=last {
                let cut = &line[..cut];
                let free = matches!(&line[..1], "x" | "h" | "f");
                assert!(free || cut.parse::<Row>().is_err(), "{cut:?}");
            }
        }
    }

    #[test]
    fn text_stays_on_its_line() {
        let row = Row::Complaint {
            at_us: 7,
            text: "all brokers\ndown, really".to_owned(),
        };
        assert_eq!(row.to_string(), "x,7,all brokers down, really");
        assert_eq!(
            row.to_string().parse::<Row>().unwrap().to_string(),
            row.to_string()
        );
    }

    #[test]
    fn what_is_no_row() {
        for line in [
            "",
            "i",
            "q,1",
            "w,",
            "w,1,2",
            "i,1,k1,2,3,lost,0,4,0,1",
            "i,1,k1,2,3,acked,0,4,0",
            "r,t,0,1,p,x,5",
            "e,1",
        ] {
            assert!(line.parse::<Row>().is_err(), "{line:?}");
        }
    }
}
