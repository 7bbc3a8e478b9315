//! What only the real Kubernetes can show. With the scenarios' modules of the same name these are
//! the tests that need it, and `hack/e2e.sh` runs them beside all others.

mod documents;
mod growth;
mod installed;
mod operators;
mod shares;
