//! Volumes that grow by themselves: a claim whose annotations say so asks for more when its volume is nearly full.
//!
//! Reading order: [`policy`] is what its writer wants, [`usage`] how full volumes are, [`decide()`](decide::decide)
//! what follows. All of that is pure; [`controller`] watches, asks the nodes and writes.
//!
//! Laws:
//! - only the request of a claim is written, only upward and never beyond `max`; and in the same write when it was,
//!   so that an operator that dies in between neither forgets nor repeats a step;
//! - what is not known is no reason to grow: without figures of a node nothing happens.

pub mod controller;
pub mod decide;
pub mod plan;
pub mod usage;

pub use windlass_api::storage::growth as policy;

#[cfg(test)]
mod tests;
