//! Kubernetes API semantics on JSON values: patches, managed fields, schemas, selectors, OpenAPI, protobuf. Pure.
