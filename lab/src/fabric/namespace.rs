//! A network namespace with a name, as `ip netns` keeps them, and programs and threads in it.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::FabricError;
use super::ip::run;
use crate::process::program;

/// Where `ip netns` keeps them.
pub(super) const FOLDER: &str = "/run/netns";

/// How the names of ours begin; the number of the process follows.
pub(super) const PREFIX: &str = "isthmus-lab-";

/// What the router's namespace must say for packets to pass it. Without the last two it would ask whether
/// an answer could go back, which a cut of one direction denies.
const ROUTING: [(&str, &str); 3] = [
    ("ip_forward", "1"),
    ("conf/all/rp_filter", "0"),
    ("conf/default/rp_filter", "0"),
];

/// One by its name. What it names is made and removed by the fabric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace(String);

impl Namespace {
    pub(super) fn of_this_process(fabric: u32, name: &str) -> Self {
        let process = std::process::id();
        Self(format!("{PREFIX}{process}-{fabric}-{name}"))
    }

    pub(super) fn called(name: String) -> Self {
        Self(name)
    }

    pub fn name(&self) -> &str {
        &self.0
    }

    fn path(&self) -> PathBuf {
        Path::new(FOLDER).join(&self.0)
    }

    pub(super) fn make(&self) -> Result<(), FabricError> {
        let what = format!("make the network namespace {}", self.0);
        run(&what, ["netns", "add", &self.0]).map(drop)
    }

    /// Lets it pass on what is not for itself.
    pub(super) fn let_pass(&self) -> Result<(), FabricError> {
        let set = self.inside(|| {
            // These files are those of the namespace of the thread that opens them.
            let set = |(key, value): (&str, &str)| {
                fs::write(Path::new("/proc/sys/net/ipv4").join(key), value)
            };
            ROUTING.into_iter().try_for_each(set)
        });
        set.and_then(|set| set)
            .map_err(|cause| FabricError::System {
                what: format!("let {} route", self.0),
                cause,
            })
    }

    /// Takes its name away; it is gone with the last process in it.
    pub(super) fn remove(&self) {
        if !self.path().exists() {
            return;
        }
        let what = format!("remove the network namespace {}", self.0);
        if let Err(error) = run(&what, ["netns", "del", &self.0]) {
            tracing::warn!(event = "namespace_not_removed", %error);
        }
    }

    /// The same program, started in it. The process is the program's own: `ip` becomes it.
    pub fn command(&self, inner: &Command) -> Command {
        let mut command = program("ip");
        command
            .args(["netns", "exec", &self.0])
            .arg(inner.get_program())
            .args(inner.get_args());
        for (key, value) in inner.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        if let Some(folder) = inner.get_current_dir() {
            command.current_dir(folder);
        }
        command
    }

    /// Moves this thread, and those that it starts from now on, into it.
    pub fn enter(&self) -> io::Result<()> {
        let file = File::open(self.path())?;
        let network = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(file.as_fd(), network).map_err(io::Error::from)
    }

    /// Does something on a thread that is in it: the sockets made there are of this namespace for good.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        thread::scope(|scope| {
            let thread = thread::Builder::new().name("inside".to_owned());
            let thread = thread.spawn_scoped(scope, || self.enter().map(|()| work()))?;
            match thread.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_keeps_what_it_was_given() {
        let mut inner = program("java");
        inner.args(["-cp", "a b"]).env("ONE", "1").env_remove("TWO");
        inner.current_dir("/tmp");
        let command = Namespace::called("x".to_owned()).command(&inner);
        assert_eq!(command.get_program(), "ip");
        let words: Vec<_> = command.get_args().collect();
        assert_eq!(words, ["netns", "exec", "x", "java", "-cp", "a b"]);
        assert_eq!(command.get_current_dir(), Some(Path::new("/tmp")));
        let envs: Vec<_> = command.get_envs().collect();
        assert_eq!(
            envs,
            [("ONE".as_ref(), Some("1".as_ref())), ("TWO".as_ref(), None)]
        );
    }
}
