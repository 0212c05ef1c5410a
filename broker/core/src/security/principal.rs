//! Who somebody is, once a connection has been authenticated.
//!
//! A principal is written `User:alice`: its kind, a colon, its name, which may hold colons itself.
//! Kafka gives every connection the kind `User`; ACLs may name other kinds, which then match nobody.

use std::fmt;
use std::str::FromStr;

/// A principal, as ACLs, quotas and logs name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Principal {
    pub kind: String,
    pub name: String,
}

/// The text names no principal; the words are Kafka's, because its tools show them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a string in format principalType:principalName but got {0}")]
pub struct PrincipalError(String);

impl Principal {
    /// The only kind that connections have.
    pub const USER: &str = "User";

    pub fn user(name: impl Into<String>) -> Self {
        Self {
            kind: Self::USER.to_owned(),
            name: name.into(),
        }
    }

    /// `User:ANONYMOUS`: whoever a listener lets in without asking.
    pub fn anonymous() -> Self {
        Self::user("ANONYMOUS")
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.name)
    }
}

impl FromStr for Principal {
    type Err = PrincipalError;

    fn from_str(text: &str) -> Result<Self, PrincipalError> {
        match text.split_once(':') {
            Some((kind, name)) => Ok(Self {
                kind: kind.to_owned(),
                name: name.to_owned(),
            }),
            None => Err(PrincipalError(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_is_read_and_printed_as_kafka_does() {
        for (text, kind, name) in [
            ("User:alice", "User", "alice"),
            ("User:CN=a:b,O=c", "User", "CN=a:b,O=c"),
            ("Group:ops", "Group", "ops"),
            ("User:*", "User", "*"),
            ("User:", "User", ""),
        ] {
            let principal: Principal = text.parse().unwrap();
            assert_eq!((&*principal.kind, &*principal.name), (kind, name));
            assert_eq!(principal.to_string(), text);
        }
        let refused = "alice".parse::<Principal>().unwrap_err().to_string();
        assert_eq!(
            refused,
            "expected a string in format principalType:principalName but got alice"
        );
        assert_eq!(Principal::anonymous().to_string(), "User:ANONYMOUS");
    }
}
