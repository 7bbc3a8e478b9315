//! Applications in the words of the first Spark operator (`spark-operator.k8s.io/v1alpha1`), as a
//! pure function.
//!
//! There is no second state machine. Such an object is converted into a SparkApplication of its own
//! name, which it owns; that one lives as every other one does, and what is said of it is said of the
//! object in the words of that time. The name is one name for both, so the API itself forbids a second
//! SparkApplication beside it, and with that a second driver.
//!
//! With `submissionByUser` nothing is made: the pods that the user's own spark-submit made are
//! followed by their label, and neither changed nor deleted.
//!
//! Laws:
//! - [`plan`] is pure and total, and asks for nothing once everything is as it should be;
//! - the SparkApplication is created by POST and changed only while its uid is the one that was
//!   seen, so nothing of somebody else's is ever changed;
//! - what it was made from is in its annotation, so that it is changed when its original is, and
//!   not when somebody suspended it;
//! - one that was deleted is not made again: the job would run twice. It takes a change of the
//!   original, or a new one.

mod build;
mod follow;
mod machine;
mod project;

#[cfg(test)]
mod tests;

pub use build::{Wanted, wanted};
pub use machine::{Action, Decision, Observed, Spec, Standing, Twin, Wish, plan};
pub use project::project;

/// On a SparkApplication: a hash of what it was made from.
pub const MADE_FROM: &str = "windlass.dev/made-from";
