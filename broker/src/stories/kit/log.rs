//! What the nodes of a story say, for whoever looks for a fault.

use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

/// With `ISTHMUS_TEST_LOG=info` nodes are heard, each line with the story's time.
pub(super) fn log() {
    let Ok(filter) = std::env::var("ISTHMUS_TEST_LOG") else {
        return;
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_timer(StoryTime)
        .with_ansi(false)
        .with_writer(std::io::stderr);
    // Another story has begun in this process.
    subscriber.try_init().ok();
}

struct StoryTime;

impl FormatTime for StoryTime {
    fn format_time(&self, to: &mut Writer<'_>) -> std::fmt::Result {
        match turmoil::sim_elapsed() {
            Some(at) => write!(to, "{:.3}", at.as_secs_f64()),
            None => write!(to, "-"),
        }
    }
}
