//! The one binary: arguments, output and wiring.
