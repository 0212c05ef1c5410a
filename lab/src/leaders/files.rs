//! Whether the system lets a node open as many files as its partitions need.

use std::io;

use rustix::process::{Resource, getrlimit, setrlimit};

/// A replica that is written keeps its active segment open, on either target.
const FILES_PER_REPLICA: u64 = 1;

/// Connections, the metadata log, jars, and what is opened for a moment.
const FILES_BESIDES: u64 = 2_000;

/// Nodes would fail halfway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "--partitions: {partitions} replicas at every node need some {needed} open files, and the system \
     allows {limit}; raise its hard limit (ulimit -Hn), or ask for {most} partitions at most"
)]
pub struct TooFewFiles {
    partitions: u32,
    needed: u64,
    limit: u64,
    most: u64,
}

/// Raises this process's limit, which the nodes inherit, as far as the system allows.
///
/// # Errors
/// When that is not enough for so many replicas at every node.
pub fn raise_open_files(partitions: u32) -> Result<(), TooFewFiles> {
    let limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum.unwrap_or(u64::MAX);
    check(partitions, hard)?;
    let mut raised = limit;
    raised.current = raised.maximum;
    if let Err(cause) = setrlimit(Resource::Nofile, raised) {
        let cause = io::Error::from(cause);
        tracing::warn!(event = "open_files_not_raised", %cause);
        check(partitions, limit.current.unwrap_or(u64::MAX))?;
    }
    Ok(())
}

fn check(partitions: u32, limit: u64) -> Result<(), TooFewFiles> {
    let needed = u64::from(partitions) * FILES_PER_REPLICA + FILES_BESIDES;
    match needed <= limit {
        true => Ok(()),
        false => Err(TooFewFiles {
            partitions,
            needed,
            limit,
            most: limit.saturating_sub(FILES_BESIDES) / FILES_PER_REPLICA,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_low_a_limit_is_told_with_the_remedy() {
        assert_eq!(check(10_000, 20_000), Ok(()));
        assert_eq!(check(10_000, 12_000), Ok(()));
        let error = check(10_000, 4_096).unwrap_err().to_string();
        let expected = "--partitions: 10000 replicas at every node need some 12000 open files, and \
            the system allows 4096; raise its hard limit (ulimit -Hn), or ask for 2096 partitions at most";
        assert_eq!(error, expected);
        assert!(check(1, 1_000).is_err());
    }
}
