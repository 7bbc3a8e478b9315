//! The built-in controllers of the embedded cluster: garbage collection, namespaces, accounts, Services, scheduling.
