//! Threads with a runtime of their own, for what must not wait behind the work of clients.

use futures::future::BoxFuture;
use std::io;

/// Runs `work` to its end, apart from everything else.
#[cfg(not(test))]
pub(crate) fn run_apart(name: &str, work: BoxFuture<'static, ()>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let run = move || {
        runtime.block_on(work);
        runtime.shutdown_background();
    };
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(run).map(|_| ())
}

/// In tests all of a node goes by one clock, and ends with it.
#[cfg(test)]
#[expect(clippy::unnecessary_wraps, reason = "a thread may fail to start")]
pub(crate) fn run_apart(_name: &str, work: BoxFuture<'static, ()>) -> io::Result<()> {
    tokio::spawn(work);
    Ok(())
}
