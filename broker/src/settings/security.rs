//! Whether ACLs decide, and who stands above them.

use super::breach;
use isthmus_broker_core::security::{Authorizer, Principal};
use isthmus_config::{Breach, Loaded, Rule};
use std::collections::BTreeSet;

pub(super) const SUPER_USERS: Rule = Rule {
    keys: &["super.users"],
    test: super_users_can_be_read,
};

pub(super) fn authorizer(loaded: &Loaded) -> Option<Authorizer> {
    if loaded.get::<String>("authorizer.class.name").is_empty() {
        return None;
    }
    Some(Authorizer {
        super_users: super_users(loaded).unwrap_or_default(),
        allow_everyone_if_no_acl_found: loaded.get("allow.everyone.if.no.acl.found"),
    })
}

/// Principals stand between semicolons, because distinguished names have commas in them.
fn super_users(loaded: &Loaded) -> Result<BTreeSet<Principal>, String> {
    let text = loaded.find::<String>("super.users").unwrap_or_default();
    let written = text.split(';').map(str::trim).filter(|one| !one.is_empty());
    written
        .map(|one| one.parse().map_err(|_| one.to_owned()))
        .collect()
}

fn super_users_can_be_read(loaded: &Loaded) -> Result<(), Breach> {
    match super_users(loaded) {
        Ok(_) => Ok(()),
        Err(wrong) => breach(
            "super.users",
            &format!("names {wrong}, which is no principal"),
            "write User:name, several with ; between them",
        ),
    }
}
