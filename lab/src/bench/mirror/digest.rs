//! Whether two topics hold the same records: a digest per partition, in order, of what kcat reads.
//!
//! Must not know: how a copy was made. Key, value, headers and timestamp count, with their lengths;
//! offsets do not. kcat is neither mirror's client, so that nobody judges itself.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::process::Stdio;

use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::bench::load::Kcat;

/// Partition, then all that a record is. No record of these loads holds a line's end.
const FORMAT: &str = "%p %T %K %k %S %s %h\n";

/// Of the pipe: as much as a pipe can be made to hold.
const BUFFER_BYTES: usize = 1 << 20;

/// A topic's records, partition by partition: how many, and their digest.
pub(super) type Digests = BTreeMap<String, (u64, String)>;

/// Why a topic could not be digested. Reads after "could not".
#[derive(Debug, thiserror::Error)]
pub enum DigestError {
    #[error("read {topic} with kcat: {cause}")]
    Read { topic: String, cause: io::Error },
    #[error("read {topic} with kcat: it ended with {status}")]
    Ended {
        topic: String,
        status: std::process::ExitStatus,
    },
}

/// Reads a whole topic. The caller bounds the time; dropped, it ends kcat.
pub(super) async fn digests(
    kcat: &Kcat,
    address: SocketAddr,
    topic: &str,
) -> Result<Digests, DigestError> {
    let failed = |cause| DigestError::Read {
        topic: topic.to_owned(),
        cause,
    };
    let mut command = tokio::process::Command::from(kcat.command());
    command
        .args(["-C", "-q", "-e", "-o", "beginning", "-f", FORMAT])
        .args(["-b", &address.to_string(), "-t", topic])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(failed)?;
    let Some(out) = child.stdout.take() else {
        unreachable!("its output was to be piped");
    };
    let mut sums = Sums::default();
    let mut lines = BufReader::with_capacity(BUFFER_BYTES, out);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).await.map_err(failed)? > 0 {
        sums.add(&line);
        line.clear();
    }
    let status = child.wait().await.map_err(failed)?;
    if !status.success() {
        let topic = topic.to_owned();
        return Err(DigestError::Ended { topic, status });
    }
    Ok(sums.finish())
}

/// Says what differs first; none if the copy is as its original.
pub(super) fn difference(original: &Digests, copy: &Digests) -> Option<String> {
    let partitions = original.keys().chain(copy.keys());
    let mut partitions = partitions.filter(|it| original.get(*it) != copy.get(*it));
    let partition = partitions.next()?;
    let count = |of: &Digests| of.get(partition).map_or(0, |(count, _)| *count);
    let (wanted, found) = (count(original), count(copy));
    Some(if wanted == found {
        format!("partition {partition} has {found} records as it should, and they differ")
    } else {
        format!("partition {partition} has {found} records instead of {wanted}")
    })
}

#[derive(Default)]
struct Sums(BTreeMap<Vec<u8>, (u64, Sha256)>);

impl Sums {
    fn add(&mut self, line: &[u8]) {
        let end = line.iter().position(|&byte| byte == b' ');
        let (partition, record) = line.split_at(end.unwrap_or(0));
        if !self.0.contains_key(partition) {
            self.0.insert(partition.to_vec(), Default::default());
        }
        if let Some((count, sum)) = self.0.get_mut(partition) {
            *count += 1;
            sum.update(record);
        }
    }

    fn finish(self) -> Digests {
        let row = |(partition, (count, sum)): (Vec<u8>, (u64, Sha256))| {
            let digest = sum.finalize().into_iter();
            let digest = digest.map(|byte| format!("{byte:02x}"));
            let partition = String::from_utf8_lossy(&partition).into_owned();
            (partition, (count, digest.collect::<String>()))
        };
        self.0.into_iter().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(lines: &[&str]) -> Digests {
        let mut sums = Sums::default();
        for line in lines {
            sums.add(line.as_bytes());
        }
        sums.finish()
    }

    #[test]
    fn partitions_may_come_in_any_order_and_their_records_may_not() {
        let original = sums(&["0 1 -1  1 a \n", "1 1 -1  1 b \n", "0 2 -1  1 c \n"]);
        let check = |lines: &[&str], expected: Option<&str>| {
            let found = difference(&original, &sums(lines));
            assert_eq!(found.as_deref(), expected, "{lines:?}");
        };
        check(
            &["1 1 -1  1 b \n", "0 1 -1  1 a \n", "0 2 -1  1 c \n"],
            None,
        );
        let differ = "partition 0 has 2 records as it should, and they differ";
        check(
            &["0 2 -1  1 c \n", "0 1 -1  1 a \n", "1 1 -1  1 b \n"],
            Some(differ),
        );
        check(
            &["0 1 -1  1 a \n", "0 2 -1  1 x \n", "1 1 -1  1 b \n"],
            Some(differ),
        );
        check(
            &["0 1 -1  1 a \n", "0 2 -1  1 c \n"],
            Some("partition 1 has 0 records instead of 1"),
        );
        check(
            &[
                "0 1 -1  1 a \n",
                "0 2 -1  1 c \n",
                "1 1 -1  1 b \n",
                "1 1 -1  1 b \n",
            ],
            Some("partition 1 has 2 records instead of 1"),
        );
    }
}
