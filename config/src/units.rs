//! Units in values: `"64MiB"`, `"50MB"`, `"30s"`, and plain numbers as Kafka writes them.
//!
//! Owns: the readings of text as bytes, milliseconds and points in time, and short printed forms. The
//! grammar is that of the `bytesize` and `humantime` crates; what is added here is the range
//! (`i64`), negative plain numbers (Kafka's -1 is "no limit") and the refusal of parts of a unit.

use std::time::{Duration, SystemTime};

use bytesize::ByteSize;

/// Reads a size: a plain number of bytes, or a number with `B`, `kB`, `KiB`, `MB`, `MiB`, …
pub fn parse_bytes(text: &str) -> Option<i64> {
    if let Ok(plain) = text.parse::<i64>() {
        return Some(plain);
    }
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let size: ByteSize = text.parse().ok()?;
    i64::try_from(size.as_u64()).ok()
}

/// Reads a duration: a plain number of milliseconds, or `250ms`, `30s`, `5m`, `1h 30m`, `7d`.
pub fn parse_millis(text: &str) -> Option<i64> {
    if let Ok(plain) = text.parse::<i64>() {
        return Some(plain);
    }
    let duration = humantime::parse_duration(text).ok()?;
    if duration.subsec_nanos() % 1_000_000 != 0 {
        return None;
    }
    i64::try_from(duration.as_millis()).ok()
}

/// Reads a point in time, in milliseconds since 1970: RFC 3339 as `2026-11-22T06:00:00Z` (a space for
/// `T`, and UTC where no zone is given), or a plain number of milliseconds.
pub fn parse_time_ms(text: &str) -> Option<i64> {
    if let Ok(plain) = text.parse::<i64>() {
        return (plain >= 0).then_some(plain);
    }
    let time = humantime::parse_rfc3339_weak(text).ok()?;
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok()
}

/// Prints a point in time as RFC 3339, to the second; what no calendar has stays a number.
pub fn show_time(ms: i64) -> String {
    /// The last second of the year 9999.
    const LAST_MS: u64 = 253_402_300_799_000;
    match u64::try_from(ms) {
        Ok(since) if since <= LAST_MS => {
            let time = SystemTime::UNIX_EPOCH + Duration::from_millis(since);
            humantime::format_rfc3339_seconds(time).to_string()
        }
        Ok(_) | Err(_) => format!("{ms}ms since 1970"),
    }
}

/// Prints bytes in the largest binary unit that divides them; others stay plain.
pub fn show_bytes(bytes: i64) -> String {
    const UNITS: [(i64, &str); 4] = [
        (1 << 40, "TiB"),
        (1 << 30, "GiB"),
        (1 << 20, "MiB"),
        (1 << 10, "KiB"),
    ];
    match UNITS
        .iter()
        .find(|(size, _)| bytes > 0 && bytes % size == 0)
    {
        Some((size, unit)) => format!("{}{unit}", bytes / size),
        None => format!("{bytes}B"),
    }
}

/// Prints milliseconds as a person would say them; negative numbers stay plain.
pub fn show_millis(millis: i64) -> String {
    match u64::try_from(millis) {
        Ok(millis) => humantime::format_duration(Duration::from_millis(millis)).to_string(),
        Err(_) => format!("{millis}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes() {
        let cases = "
            0            | 0
            -1           | -1
            1048576      | 1048576
            64MiB        | 67108864
            64 MiB       | 67108864
            50MB         | 50000000
            1.5KiB       | 1536
            12           | 12
            9223372036854775807 | 9223372036854775807
            99999999EiB  | none
            -1MiB        | none
            MiB          | none
            12 parsecs   | none
                         | none";
        check(cases, parse_bytes);
    }

    #[test]
    fn durations() {
        let cases = "
            0        | 0
            -1       | -1
            30000    | 30000
            30s      | 30000
            250ms    | 250
            1h 30m   | 5400000
            7d       | 604800000
            1500us   | none
            2000us   | 2
            30       | 30
            soon     | none
            -30s     | none
                     | none";
        check(cases, parse_millis);
    }

    #[test]
    fn times() {
        let cases = "
            1970-01-01T00:00:01Z     | 1000
            1970-01-02 00:00:00.250  | 86400250
            86400000                 | 86400000
            -1                       | none
            1969-12-31T23:59:59Z     | none
            2026-02-30T00:00:00Z     | none
            yesterday                | none
                                     | none";
        check(cases, parse_time_ms);
    }

    #[test]
    fn printed_forms_read_back() {
        for bytes in [0, 1, 1023, 1024, 1536, 1 << 20, 5 << 30, 1_000_000] {
            assert_eq!(parse_bytes(&show_bytes(bytes)), Some(bytes));
        }
        for millis in [0, 1, 999, 30_000, 604_800_000, 86_400_001] {
            assert_eq!(parse_millis(&show_millis(millis)), Some(millis));
        }
        assert_eq!(show_millis(-1), "-1ms");
        for ms in [0, 1_000, 1_700_000_000_000, 253_402_300_799_000] {
            assert_eq!(parse_time_ms(&show_time(ms)), Some(ms));
        }
        assert_eq!(show_time(1_700_000_000_999), "2023-11-14T22:13:20Z");
        for ms in [-1, i64::MAX, i64::MIN, 253_402_300_800_000] {
            assert_eq!(show_time(ms), format!("{ms}ms since 1970"));
        }
    }

    fn check(cases: &str, parse: fn(&str) -> Option<i64>) {
        for case in cases.lines().skip(1) {
            let (text, expected) = case.split_once('|').unwrap();
            let expected = expected.trim().parse::<i64>().ok();
            assert_eq!(parse(text.trim()), expected, "{text:?}");
        }
    }
}
