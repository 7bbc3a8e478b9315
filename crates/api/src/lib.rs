//! What users write: the API types, their parsing, defaulting and validation. Pure: no client, no I/O.
