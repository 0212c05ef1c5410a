//! Tasks that the node cannot do without.
//!
//! An assertion that fails ends its task, and the runtime goes on: a node that fences nobody any more, or
//! fetches from nobody, would look healthy from outside. So the end of such a task is the end of the
//! node, which is started again whole.

use futures::FutureExt;
use std::any::Any;
use std::panic::AssertUnwindSafe;
use tokio_util::sync::CancellationToken;

/// Runs `task`; if it panics, that is told, and `failed` is cancelled.
pub(crate) async fn vital(
    name: &'static str,
    failed: CancellationToken,
    task: impl Future<Output = ()>,
) {
    // What the task has left half done is not looked at again: the node ends.
    if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
        let cause = words(panic.as_ref());
        tracing::error!(event = "task_failed", task = name, cause);
        failed.cancel();
    }
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_ends_the_node() {
        let failed = CancellationToken::new();
        vital("counting", failed.clone(), async {}).await;
        assert!(!failed.is_cancelled());
        vital("counting", failed.clone(), async {
            assert_eq!(1, 2, "on purpose");
        })
        .await;
        assert!(failed.is_cancelled());
    }

    #[test]
    fn the_words_of_a_panic_are_found() {
        assert_eq!(words(&"constant"), "constant");
        assert_eq!(words(&"made up".to_owned()), "made up");
        assert_eq!(words(&7), "a panic without words");
    }
}
