//! The `spark-submit` command line, read into a [`crate::submission::SubmitRequest`].
