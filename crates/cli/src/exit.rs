//! What the process's exit code says, in one place.

use std::process::ExitCode;

/// The exit codes of every command, documented in `windlass --help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The command did what it was asked; for `run`: the application completed.
    Completed,
    /// The application failed.
    JobFailed,
    /// The input was wrong: nothing was started.
    BadInput,
    /// The cluster cannot be reached, lacks the CRD, or has no live operator.
    ClusterNotReady,
    /// Stopped on the user's request before the end.
    Stopped,
    /// Something inside Windlass went wrong.
    Internal,
}

impl Exit {
    /// The number that the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::Completed => 0,
            Self::JobFailed => 1,
            Self::BadInput => 2,
            Self::ClusterNotReady => 3,
            Self::Stopped => 4,
            Self::Internal => 5,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// A failure a command ends with: what to print, and the exit code.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What a person reads on stderr: what is wrong, where, and what to do.
    pub message: String,
}

impl Failure {
    /// Wrong input.
    pub fn bad_input(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::BadInput,
            message: message.into(),
        }
    }

    /// A cluster that cannot be used.
    pub fn cluster(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::ClusterNotReady,
            message: message.into(),
        }
    }

    /// A cluster that does not answer.
    pub fn unreachable(error: kube::Error) -> Self {
        Self::cluster(format!(
            "the cluster cannot be reached: {error}: check --context, --kubeconfig and your network"
        ))
    }

    /// A failure of Windlass or of the machine, with the whole chain of causes.
    pub fn internal(error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit: Exit::Internal,
            message: format!("{:#}", error.into()),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::internal(error)
    }
}
