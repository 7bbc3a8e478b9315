//! Buckets: what an ObjectStore asks for, on the servers of a provider.
