//! The embedded Kubernetes API server: store, registry, verbs, watch, authorization.
