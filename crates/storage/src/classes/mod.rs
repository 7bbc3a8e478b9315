//! Classes for claims: what a claim that names a class which does not exist gets in this cluster.

/// Which claims get classes, and how it is known which.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {}
