//! Label and field selectors: the query grammar, selector objects, and matching.
//!
//! Error texts are those of `k8s.io/apimachinery`, since `kubectl` shows them verbatim.

mod fields;
mod labels;

pub use fields::{FieldSelector, SelectableFields};
pub use labels::LabelSelector;

/// A selector that cannot be understood. The API answers `400 BadRequest` with this text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(pub String);

impl SelectorError {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}
