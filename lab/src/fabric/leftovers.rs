//! What a lab left behind that was killed: namespaces named after a process that is gone, and whatever
//! still runs in them.
//!
//! A namespace is only looked at if its name is one of ours, and only touched if the process in the name
//! is gone. Where the number belongs to another process by now it stays, until that one is gone too.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::ip::run;
use super::namespace::{FOLDER, Namespace, PREFIX};

/// Removes them. What cannot be removed is told, and is in nobody's way.
pub(super) fn sweep() {
    // Without the folder nobody ever made a namespace here.
    let Ok(entries) = fs::read_dir(Path::new(FOLDER)) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if maker(&name).is_some_and(|pid| test_kill_process(pid).is_err()) {
            remove(name);
        }
    }
}

fn remove(name: String) {
    let what = format!("list the processes in {name}");
    match run(&what, ["netns", "pids", &name]) {
        Ok(pids) => pids.lines().filter_map(pid).for_each(end),
        Err(error) => tracing::warn!(event = "leftover_not_looked_at", %error),
    }
    tracing::debug!(event = "leftover_removed", %name);
    Namespace::called(name).remove();
}

/// Nobody's any more: the lab that started it is gone.
fn end(pid: Pid) {
    if let Err(cause) = kill_process(pid, Signal::KILL) {
        tracing::debug!(event = "leftover_already_gone", %cause);
    }
}

/// The process that made a namespace, if a lab made it.
fn maker(name: &str) -> Option<Pid> {
    let (process, _) = name.strip_prefix(PREFIX)?.split_once('-')?;
    pid(process)
}

fn pid(text: &str) -> Option<Pid> {
    Pid::from_raw(text.trim().parse().ok().filter(|&it| it > 0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_ours_have_a_maker() {
        let own = std::process::id();
        let made = Namespace::of_this_process(3, "broker-1");
        let raw = i32::try_from(own).unwrap();
        assert_eq!(maker(made.name()), Pid::from_raw(raw));
        for other in [
            "",
            "blue",
            "isthmus-lab-",
            "isthmus-lab-12",
            "isthmus-lab-x-0-y",
            "isthmus-lab--1-0-y",
            "isthmus-lab-0-0-y",
            "other-lab-12-0-y",
        ] {
            assert_eq!(maker(other), None, "{other:?}");
        }
    }
}
