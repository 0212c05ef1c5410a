//! How long a broker may be silent: one value of the whole cluster (design, decision 7).
//!
//! The first controller that leads several nodes commits what its own file says, as the value for all
//! brokers; from then on that counts, and every controller fences by the same. It never changes by
//! itself: an operator sets another one.

use super::{ConfigResource, MetadataImage, MetadataRecord};
use crate::config::ConfigValues;
use isthmus_wire::messages::ConfigRecord;
use std::time::Duration;

/// Kafka's key.
pub const SESSION_KEY: &str = "broker.session.timeout.ms";

/// A second for an election, and time for a heartbeat that was lost. What the longest way between two
/// nodes adds, only the operator knows.
pub const SESSION_MIN_MS: i64 = 1_600;

/// What counts, once a controller has committed it.
pub fn committed_session(image: &MetadataImage) -> Option<Duration> {
    let values = image.config(&ConfigResource::broker(""))?;
    let millis: i64 = values.get(SESSION_KEY)?.trim().parse().ok()?;
    let millis = u64::try_from(millis.max(SESSION_MIN_MS)).ok()?;
    Some(Duration::from_millis(millis))
}

/// Makes a controller's own value that of the cluster, which has none yet.
pub fn commit_session(image: &MetadataImage, own: Duration) -> Vec<MetadataRecord> {
    if committed_session(image).is_some() {
        return Vec::new();
    }
    let resource = ConfigResource::broker("");
    let record = ConfigRecord {
        resource_type: resource.kind,
        resource_name: resource.name,
        name: SESSION_KEY.to_owned(),
        value: Some(own.as_millis().to_string()),
    };
    vec![record.into()]
}

/// Whether an operator may change it so; `heartbeat_ms` is how often the asked node's own broker says
/// that it lives.
pub(super) fn check_session(
    for_all_brokers: bool,
    before: Option<&ConfigValues>,
    after: &ConfigValues,
    heartbeat_ms: Option<i64>,
) -> Result<(), String> {
    let is_there = |values: &ConfigValues| values.contains_key(SESSION_KEY);
    if !for_all_brokers && is_there(after) {
        return Err(format!(
            "{SESSION_KEY} is one value of the whole cluster: set it for all brokers, not for one"
        ));
    }
    if for_all_brokers && before.is_some_and(is_there) && !is_there(after) {
        return Err(format!(
            "{SESSION_KEY} cannot be taken back, only set to another value: all controllers must go by \
             the same"
        ));
    }
    let Some(millis) = after
        .get(SESSION_KEY)
        .and_then(|it| it.trim().parse::<i64>().ok())
    else {
        return Ok(());
    };
    let fits = heartbeat_ms.is_none_or(|it| it.saturating_mul(2) <= millis);
    if millis < SESSION_MIN_MS || !fits {
        return Err(format!(
            "{SESSION_KEY} must be at least {SESSION_MIN_MS} and twice broker.heartbeat.interval.ms, but \
             it is {millis}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::MetadataDelta;

    #[test]
    fn the_first_controller_decides_and_the_next_ones_go_by_it() {
        let mut image = MetadataImage::default();
        assert_eq!(committed_session(&image), None);
        let records = commit_session(&image, Duration::from_secs(3));
        assert_eq!(records.len(), 1);
        image.apply(0, &records[0], &mut MetadataDelta::default());
        assert_eq!(committed_session(&image), Some(Duration::from_secs(3)));
        assert!(commit_session(&image, Duration::from_secs(9)).is_empty());
    }

    #[test]
    fn an_operator_changes_it_for_all_and_within_bounds() {
        let of = |millis: &str| ConfigValues::from([(SESSION_KEY.to_owned(), millis.to_owned())]);
        let (none, two) = (ConfigValues::new(), of("2000"));
        let check = |for_all, after: &ConfigValues| {
            check_session(for_all, Some(&two), after, Some(500))
                .map_err(|it| it.contains("must be"))
        };
        assert_eq!(check(true, &of("9000")), Ok(()));
        assert_eq!(check(true, &of("1600")), Ok(()));
        assert_eq!(check(true, &of("1599")), Err(true));
        assert_eq!(check(true, &none), Err(false), "it is not taken back");
        assert_eq!(check(false, &of("9000")), Err(false), "not for one broker");
        assert_eq!(check_session(false, None, &none, None), Ok(()));
        let slow = check_session(true, Some(&two), &of("2000"), Some(1_001));
        assert!(slow.is_err(), "heartbeats must fit twice");
    }
}
