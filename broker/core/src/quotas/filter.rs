//! Which entities DescribeClientQuotas shows (KIP-546).

use super::QuotaEntity;
use super::settings::{CLIENT_ID, IP, USER};
use isthmus_wire::ErrorCode;
use std::collections::BTreeMap;

/// What an entity must have under one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuotaMatch {
    Exact(String),
    Default,
    /// Anything: a name or the default.
    Specified,
}

/// A filter, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaFilter {
    components: BTreeMap<String, QuotaMatch>,
    /// Whether an entity with further types is left out.
    strict: bool,
}

/// Why a filter makes no sense; the words are Kafka's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuotaFilterError {
    #[error("Invalid empty entity type.")]
    NoType,
    #[error("Entity type {0} cannot appear more than once in the filter.")]
    Twice(String),
    #[error("Unsupported entity type {0}")]
    UnknownType(String),
    #[error("Request specified MATCH_TYPE_EXACT, but set match string to null.")]
    NoName,
    #[error("Request specified MATCH_TYPE_DEFAULT, but also specified a match string.")]
    NameOfDefault,
    #[error("Request specified MATCH_TYPE_SPECIFIED, but also specified a match string.")]
    NameOfAny,
    #[error("Unknown match type {0}")]
    UnknownMatch(i8),
    #[error(
        "Invalid entity filter component combination. IP filter component should not be used with user or clientId filter component."
    )]
    IpAndOthers,
}

impl QuotaFilterError {
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownType(_) => ErrorCode::UNSUPPORTED_VERSION,
            Self::NoType
            | Self::Twice(_)
            | Self::NoName
            | Self::NameOfDefault
            | Self::NameOfAny
            | Self::UnknownMatch(_)
            | Self::IpAndOthers => ErrorCode::INVALID_REQUEST,
        }
    }
}

impl QuotaFilter {
    /// Components as (type, code of the match, name), in the order of the request.
    pub fn read(
        components: Vec<(String, i8, Option<String>)>,
        strict: bool,
    ) -> Result<Self, QuotaFilterError> {
        let mut read = BTreeMap::new();
        for (kind, code, name) in components {
            if kind.is_empty() {
                return Err(QuotaFilterError::NoType);
            }
            if read.contains_key(&kind) {
                return Err(QuotaFilterError::Twice(kind));
            }
            if ![IP, USER, CLIENT_ID].contains(&kind.as_str()) {
                return Err(QuotaFilterError::UnknownType(kind));
            }
            let wanted = match (code, name) {
                (0, Some(name)) => QuotaMatch::Exact(name),
                (0, None) => return Err(QuotaFilterError::NoName),
                (1, None) => QuotaMatch::Default,
                (1, Some(_)) => return Err(QuotaFilterError::NameOfDefault),
                (2, None) => QuotaMatch::Specified,
                (2, Some(_)) => return Err(QuotaFilterError::NameOfAny),
                (code, _) => return Err(QuotaFilterError::UnknownMatch(code)),
            };
            read.insert(kind, wanted);
        }
        if read.contains_key(IP) && read.len() > 1 {
            return Err(QuotaFilterError::IpAndOthers);
        }
        Ok(Self {
            components: read,
            strict,
        })
    }

    pub fn matches(&self, entity: &QuotaEntity) -> bool {
        if self.strict && entity.len() != self.components.len() {
            return false;
        }
        self.components.iter().all(|(kind, wanted)| {
            let Some(name) = entity.get(kind) else {
                return false;
            };
            match wanted {
                QuotaMatch::Exact(exact) => name.as_ref() == Some(exact),
                QuotaMatch::Default => name.is_none(),
                QuotaMatch::Specified => true,
            }
        })
    }
}
