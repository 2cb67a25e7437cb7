//! What can be wrong with a policy that somebody wrote.

use super::Class;

/// A policy, or a part of one, that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A text is not the value that it should be.
    #[error("{what} {text:?}: write {wanted}")]
    Value {
        /// Which value.
        what: String,
        /// As written, cut off when it is long.
        text: String,
        /// What would be accepted.
        wanted: &'static str,
    },
    /// A schedule lacks a field.
    #[error("{class}: `{field}` is missing")]
    Missing {
        /// Of this class.
        class: Class,
        /// The field.
        field: &'static str,
    },
    /// A schedule has a field that its class does not know.
    #[error("{class}: `{field}` has no meaning here")]
    Stray {
        /// Of this class.
        class: Class,
        /// The field.
        field: &'static str,
    },
    /// A schedule never comes.
    #[error("{class}: no day fits, so it would never run")]
    Never {
        /// Of this class.
        class: Class,
    },
    /// There is no schedule at all.
    #[error("the policy has no schedule: give at least one of {names}", names = Class::NAMES)]
    NoSchedule,
}

impl PolicyError {
    /// A text that is not the value that it should be.
    pub(crate) fn value(what: impl Into<String>, text: &str, wanted: &'static str) -> Self {
        Self::Value { what: what.into(), text: text.chars().take(80).collect(), wanted }
    }
}
