//! Looking at the listeners' files: what changed is taken up, what is broken is told.

use super::{ListenerSecurity, Look};
use crate::metrics::ListenerMetrics;
use crate::settings::Listener;

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// One look at all files of a listener. Touches the disk: not for a thread of the runtime.
pub(crate) fn look_at_files(
    listener: &Listener,
    security: &ListenerSecurity,
    metrics: &ListenerMetrics,
    now_ms: i64,
) {
    let name = &listener.name;
    for look in security.look() {
        match look {
            Look::Unchanged | Look::Doubtful => {}
            Look::Taken => {
                tracing::info!(event = "listener_files_taken", listener = %name, "new connections get what the files say now");
            }
            Look::Broken(error) => {
                tracing::error!(event = "listener_files_broken", listener = %name, "could not {error}; the old stays in use");
            }
        }
    }
    metrics.files_broken(security.is_broken());
    if let Some(not_after) = security.server_tls().and_then(|tls| tls.not_after) {
        metrics.certificate_days((not_after - now_ms / 1_000).div_euclid(DAY_SECONDS));
    }
}
