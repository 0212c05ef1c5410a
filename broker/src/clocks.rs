//! The three clocks (design, decision 21). The only place of the broker that reads time.
//!
//! - boot: goes on while the machine sleeps; leases and sessions are measured with it;
//! - mono: `tokio::time`, for time-outs of waits;
//! - wall: milliseconds since 1970, for timestamps and retention. It may jump.
//!
//! In the tests of this crate the other two go by mono, which a story holds and hurries, and the wall clock
//! jumps when a story says so. Who reads that clock, and what for, stands in `broker/testdata/wall-clock.txt`.

#[cfg(test)]
pub(crate) use source::jump_wall;
pub(crate) use source::{boot, wall_ms};

#[cfg(not(test))]
mod source {
    use rustix::time::{ClockId, clock_gettime};
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    /// Time since the machine was started, sleep included.
    pub(crate) fn boot() -> Duration {
        let now = clock_gettime(ClockId::Boottime);
        Duration::new(
            u64::try_from(now.tv_sec).unwrap_or(0),
            u32::try_from(now.tv_nsec).unwrap_or(0),
        )
    }

    /// Milliseconds since 1970.
    pub(crate) fn wall_ms() -> i64 {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod source {
    use std::cell::Cell;
    use std::sync::LazyLock;
    use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

    /// How long the machine had been up when the first test looked.
    const UP_BEFORE: Duration = Duration::from_secs(3_600);

    static FIRST_LOOK: LazyLock<(Instant, SystemTime)> =
        LazyLock::new(|| (Instant::now(), SystemTime::now()));

    thread_local! {
        /// What the wall clock has jumped by, in ms. A story's nodes are in the story's thread.
        static JUMPED_MS: Cell<i64> = const { Cell::new(0) };
    }

    /// From now on the wall clock is off by so much, for all that runs in this thread.
    pub(crate) fn jump_wall(by_ms: i64) {
        JUMPED_MS.set(by_ms);
    }

    fn since_first_look() -> Duration {
        let (first, _) = *FIRST_LOOK;
        let now = tokio::time::Instant::now().into_std();
        now.saturating_duration_since(first)
    }

    pub(crate) fn boot() -> Duration {
        UP_BEFORE + since_first_look()
    }

    pub(crate) fn wall_ms() -> i64 {
        let (_, first) = *FIRST_LOOK;
        let before = first.duration_since(UNIX_EPOCH).unwrap_or_default();
        let right = (before + since_first_look()).as_millis();
        i64::try_from(right).unwrap_or(i64::MAX) + JUMPED_MS.get()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    const READERS: &str = include_str!("../testdata/wall-clock.txt");

    /// Files of this crate's programs, without what only tests have.
    fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "tests" && name != "stories" {
                sources(&path, found);
            } else if name.ends_with(".rs") && name != "tests.rs" && name != "clocks.rs" {
                found.push(path);
            }
        }
    }

    /// A session, a lease or a wait that went by the wall clock would end when that jumps.
    #[test]
    fn who_reads_the_wall_clock_is_listed_with_the_reason() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut found = Vec::new();
        sources(&root, &mut found);
        let reads = |path: &&PathBuf| {
            let text = fs::read_to_string(path).unwrap();
            text.contains("wall_ms()") || text.contains("SystemTime::now")
        };
        let readers = found.iter().filter(reads);
        let name = |path: &PathBuf| path.strip_prefix(&root).unwrap().display().to_string();
        let readers: BTreeSet<String> = readers.map(name).collect();
        let rows = READERS
            .lines()
            .filter(|it| !it.is_empty() && !it.starts_with('#'));
        let listed = rows.map(|row| match row.split_once('|') {
            Some((file, why)) if !why.trim().is_empty() => file.trim().to_owned(),
            Some(_) | None => panic!("no reason in {row:?}"),
        });
        assert_eq!(readers, listed.collect::<BTreeSet<_>>());
    }
}
