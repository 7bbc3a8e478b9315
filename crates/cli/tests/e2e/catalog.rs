//! What is in the catalog, as virtual clusters with real software.

mod cassandra;
mod standalone;
