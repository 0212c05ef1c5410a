//! A key as its program declares it.

use crate::Kind;

/// One key: everything the loader, `explain` and the manual need to know about it.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Kafka's name where Kafka has one.
    pub name: &'static str,
    pub kind: Kind,
    pub default: DefaultValue,
    /// What it does and why one would change it. Sentences.
    pub doc: &'static str,
    /// What the worst choice costs. Empty where no choice hurts.
    pub worst: &'static str,
}

/// What holds when no layer gives a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultValue {
    /// Loading fails: the program cannot guess this one.
    Required,
    /// The program goes without it.
    Unset,
    /// This text, read by the key's kind.
    Is(&'static str),
}

impl Key {
    pub const fn new(name: &'static str, kind: Kind, default: DefaultValue) -> Self {
        Self {
            name,
            kind,
            default,
            doc: "",
            worst: "",
        }
    }

    pub const fn required(name: &'static str, kind: Kind) -> Self {
        Self::new(name, kind, DefaultValue::Required)
    }

    pub const fn optional(name: &'static str, kind: Kind) -> Self {
        Self::new(name, kind, DefaultValue::Unset)
    }

    pub const fn with_default(name: &'static str, kind: Kind, default: &'static str) -> Self {
        Self::new(name, kind, DefaultValue::Is(default))
    }

    #[must_use]
    pub const fn doc(self, doc: &'static str) -> Self {
        Self { doc, ..self }
    }

    #[must_use]
    pub const fn worst(self, worst: &'static str) -> Self {
        Self { worst, ..self }
    }
}
