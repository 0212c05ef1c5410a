//! What a process has used, read from `/proc`.
//!
//! Must not know: what the process is. CPU time counts all threads, those that have ended too.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::process::Pid;

/// CPU time of a process since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    pub user: Duration,
    pub system: Duration,
}

impl CpuTime {
    /// What the process has used so far.
    pub fn of(pid: Pid) -> io::Result<Self> {
        let path = format!("/proc/{}/stat", pid.as_raw_nonzero());
        let ticks_per_second = rustix::param::clock_ticks_per_second();
        parse_stat(&fs::read_to_string(&path)?, ticks_per_second)
            .ok_or_else(|| io::Error::other(format!("{path} has another form than expected")))
    }

    /// What was used between `earlier` and this.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }

    pub fn total(self) -> Duration {
        self.user + self.system
    }
}

/// Resident memory of a process, in bytes.
pub fn resident_bytes(pid: Pid) -> io::Result<u64> {
    let path = format!("/proc/{}/status", pid.as_raw_nonzero());
    parse_resident(&fs::read_to_string(&path)?)
        .ok_or_else(|| io::Error::other(format!("{path} has no VmRSS")))
}

/// The most that a process ever had resident, in bytes.
pub fn peak_resident_bytes(pid: Pid) -> io::Result<u64> {
    let path = format!("/proc/{}/status", pid.as_raw_nonzero());
    parse_kilobytes(&fs::read_to_string(&path)?, "VmHWM:")
        .ok_or_else(|| io::Error::other(format!("{path} has no VmHWM")))
}

/// Memory of the machine, in bytes.
pub fn machine_memory_bytes() -> io::Result<u64> {
    parse_kilobytes(&fs::read_to_string("/proc/meminfo")?, "MemTotal:")
        .ok_or_else(|| io::Error::other("/proc/meminfo has no MemTotal"))
}

/// `utime` and `stime` are the fields 14 and 15 (proc(5)). The second field is the program's name
/// in parentheses, which may itself hold spaces and parentheses: fields are counted after the last.
fn parse_stat(text: &str, ticks_per_second: u64) -> Option<CpuTime> {
    let (_, after_name) = text.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let time = |ticks: u64| Duration::from_nanos(ticks * (1_000_000_000 / ticks_per_second));
    Some(CpuTime {
        user: time(ticks()?),
        system: time(ticks()?),
    })
}

fn parse_resident(text: &str) -> Option<u64> {
    parse_kilobytes(text, "VmRSS:")
}

fn parse_kilobytes(text: &str, key: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(key))?;
    let kilobytes = value.trim().strip_suffix("kB")?.trim();
    kilobytes.parse::<u64>().ok().map(|it| it * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat() {
        let check = |text: &str, expected: Option<(u64, u64)>| {
            let expected = expected.map(|(user, system)| CpuTime {
                user: Duration::from_millis(user),
                system: Duration::from_millis(system),
            });
            assert_eq!(parse_stat(text, 100), expected, "{text}");
        };
        let rest = "S 1 42 42 0 -1 4194560 900 0 0 0 750 31 5 6 20 0 40 0 1000 0 0";
        check(&format!("42 (java) {rest}"), Some((7_500, 310)));
        check(&format!("42 (tokio) (x) {rest}"), Some((7_500, 310)));
        check(&format!("42 (a b) R) {rest}"), Some((7_500, 310)));
        check("42 (java) S 1 42", None);
        check("", None);
    }

    #[test]
    fn resident() {
        let status = "Name:\tjava\nVmPeak:\t 9000 kB\nVmRSS:\t  315012 kB\nRssAnon:\t 1 kB\n";
        assert_eq!(parse_resident(status), Some(315_012 * 1024));
        assert_eq!(parse_resident("Name:\tkthreadd\n"), None);
        assert_eq!(parse_resident("VmRSS:\t many kB\n"), None);
    }

    #[test]
    fn this_process_has_used_something() {
        let own = rustix::process::getpid();
        assert!(resident_bytes(own).unwrap() > 0);
        assert!(peak_resident_bytes(own).unwrap() > 0);
        let now = CpuTime::of(own).unwrap();
        assert_eq!(now.since(now), CpuTime::default());
        assert!(machine_memory_bytes().unwrap() > resident_bytes(own).unwrap());
    }
}
