//! A file system of a few mebibytes, so that a disk can be really full: a tmpfs in a mount namespace of its
//! own, kept by a program that does nothing else. Its user namespace makes that possible without root.

use super::process::{Program, run};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// A command that only mounts, or fills a file, is done long before this.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct SmallDisk {
    keeper: Program,
    dir: TempDir,
}

/// Lets commands run where a small disk is there.
#[derive(Clone, Copy)]
pub(crate) struct Entrance {
    keeper: u32,
}

impl Entrance {
    pub(crate) fn of(self, command: &Command) -> Command {
        let mut within = Command::new("nsenter");
        within.args(["--preserve-credentials", "--user", "--mount", "--target"]);
        within.arg(self.keeper.to_string());
        within.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => within.env(name, value),
                None => within.env_remove(name),
            };
        }
        within
    }
}

impl SmallDisk {
    /// Of so many KiB.
    pub(crate) fn new(kib: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let script = format!(
            "mount -t tmpfs -o size={kib}k,mode=755 none {} && echo mounted && exec tail -f /dev/null",
            dir.path().display()
        );
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
        let mut keeper = Program::start(&mut command);
        let mounted = keeper.line_where(LIMIT, |line| line == "mounted");
        assert!(
            mounted.is_some(),
            "no tmpfs could be mounted in a namespace: allow unprivileged user namespaces, or run as root \
             with CAP_SYS_ADMIN: {:?}",
            keeper.wait(LIMIT)
        );
        Self { keeper, dir }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The way to where this disk is there.
    pub(crate) fn entrance(&self) -> Entrance {
        Entrance {
            keeper: self.keeper.id(),
        }
    }

    /// Takes all the room but so many KiB.
    pub(crate) fn fill_but(&self, kib: usize) {
        let ballast = self.ballast();
        let ballast = ballast.display();
        self.sh(&format!(
            "free=$(df -k --output=avail {} | tail -n 1); \
             head -c $(((free - {kib}) * 1024)) /dev/zero > {ballast}",
            self.path().display()
        ));
    }

    /// Gives it back.
    pub(crate) fn make_room(&self) {
        self.sh(&format!("rm {}", self.ballast().display()));
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    fn sh(&self, script: &str) {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        run(&mut self.entrance().of(&command), LIMIT).succeeded();
    }
}
