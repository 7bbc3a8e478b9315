//! Why a submission is refused.

/// Why a submission is refused. Every message names the setting and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// A setting has a value Spark refuses, or that is refused here.
    #[error("{key}: {reason}")]
    Setting {
        /// The conf key or command-line option.
        key: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A file of the client is needed and cannot be had.
    #[error("{key}: cannot read {path}: {reason}")]
    File {
        /// The conf key that names the file.
        key: String,
        /// The path on the client.
        path: String,
        /// What went wrong.
        reason: String,
    },
    /// A pod template is not a pod.
    #[error("{key}: the pod template cannot be used: {reason}")]
    Template {
        /// The conf key that names the template.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl SubmitError {
    /// A refused setting.
    pub(crate) fn setting(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Setting {
            key: key.into(),
            reason: reason.into(),
        }
    }

    /// The setting, option or template the refusal is about.
    pub fn key(&self) -> &str {
        match self {
            Self::Setting { key, .. } | Self::File { key, .. } | Self::Template { key, .. } => key,
        }
    }
}
