//! Generates the files that code is the source of.

fn main() {}
