//! What a specification may not say.

use super::{PodPieces, SparkApplication};
use crate::field::FieldError;

/// Everything that cannot be meant.
pub fn validate(application: &SparkApplication) -> Vec<FieldError> {
    PodPieces::parse(&application.spec)
        .err()
        .unwrap_or_default()
}
