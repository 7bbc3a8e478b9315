//! Spark on Kubernetes: native submission, lifecycle and the controllers of the Spark kinds.
