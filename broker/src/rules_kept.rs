//! Which rules of docs/replication.md this broker keeps: all of them.
//!
//! Only a build with the feature `fault-points` can be told to leave one out, by the environment:
//! `ISTHMUS_FAULT_RULE=D5-ack`. The lab shows with it that what it judges by would see the rule missing.
//! It comes from the environment rather than from a setting, so that no file can ever say it.

use isthmus_broker_core::rules::Rules;

/// The variable names no rule. Follows its name.
#[derive(Debug, thiserror::Error)]
#[error(
    "there is no rule {0:?}; docs/replication.md has the rules, broker/core/src/rules.rs their ids"
)]
pub struct UnknownRule(String);

/// All of them.
#[cfg(not(feature = "fault-points"))]
#[expect(
    clippy::unnecessary_wraps,
    reason = "a build with fault points may be told a rule that there is not"
)]
pub(crate) fn check() -> Result<(), UnknownRule> {
    Ok(())
}

#[cfg(not(feature = "fault-points"))]
pub(crate) fn rules() -> Rules {
    Rules::ALL
}

/// Looks at the variable before anything is started.
#[cfg(feature = "fault-points")]
pub(crate) fn check() -> Result<(), UnknownRule> {
    match parse(variable().as_deref()) {
        Ok(rules) if rules == Rules::ALL => Ok(()),
        Ok(rules) => {
            tracing::warn!(event = "rule_left_out", ?rules, "for tests of the lab only");
            Ok(())
        }
        Err(unknown) => Err(unknown),
    }
}

/// The same for all roles of the process, as long as it runs.
#[cfg(feature = "fault-points")]
pub(crate) fn rules() -> Rules {
    use std::sync::LazyLock;

    // A name that is none was refused at the start.
    static RULES: LazyLock<Rules> =
        LazyLock::new(|| parse(variable().as_deref()).unwrap_or_default());
    *RULES
}

#[cfg(feature = "fault-points")]
fn variable() -> Option<String> {
    std::env::var("ISTHMUS_FAULT_RULE").ok()
}

#[cfg(feature = "fault-points")]
fn parse(id: Option<&str>) -> Result<Rules, UnknownRule> {
    use isthmus_broker_core::rules::Rule;

    let Some(id) = id else {
        return Ok(Rules::ALL);
    };
    let rule = Rule::ALL.iter().find(|rule| rule.id() == id);
    rule.map(|&rule| Rules::without(rule))
        .ok_or_else(|| UnknownRule(id.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_was_told_nothing_keeps_all_rules() {
        check().unwrap();
        assert_eq!(rules(), Rules::ALL);
    }

    #[cfg(feature = "fault-points")]
    #[test]
    fn a_rule_is_left_out_by_its_id_and_a_name_that_is_none_is_refused() {
        use isthmus_broker_core::rules::Rule;

        assert_eq!(parse(None).unwrap(), Rules::ALL);
        let without = parse(Some("D5-ack")).unwrap();
        assert!(!without.obeys(Rule::AckIsLogEnd) && without.obeys(Rule::Completion));
        let refused = parse(Some("D5")).unwrap_err().to_string();
        assert!(refused.starts_with("there is no rule \"D5\""), "{refused}");
    }
}
