//! The words for why things are as they are. Tools match on them, so they never change.

use std::fmt;

/// Why an attempt ended, or why it could not begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The driver exited with code 0.
    Completed,
    /// The driver exited with another code.
    DriverFailed,
    /// The kernel killed the driver for its memory.
    OomKilled,
    /// The node evicted the driver pod.
    Evicted,
    /// The driver's node was lost.
    NodeLost,
    /// An init container of the driver pod failed.
    InitContainerFailed,
    /// The driver did not start in time.
    DriverStartDeadline,
    /// The driver pod disappeared.
    DriverMissing,
    /// The spec cannot be submitted.
    InvalidSpec,
    /// A policy about the application is broken.
    PolicyInvalid,
    /// A bucket that the application names is not there yet.
    ObjectStoreNotReady,
    /// The driver's ServiceAccount does not exist.
    ServiceAccountMissing,
    /// A quota does not leave room for the driver.
    QuotaExceeded,
    /// The API server refused the driver pod.
    SubmissionRefused,
    /// Another object has the driver pod's name.
    DriverNameTaken,
    /// The user suspended the application.
    Suspended,
    /// The spec changed.
    SpecChanged,
    /// The user asked for another run.
    RerunRequested,
    /// A word of Kubernetes for something that has no name here.
    Other(String),
}

impl Reason {
    /// The word as it is written to the status.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Completed => "Completed",
            Self::DriverFailed => "DriverFailed",
            Self::OomKilled => "OOMKilled",
            Self::Evicted => "Evicted",
            Self::NodeLost => "NodeLost",
            Self::InitContainerFailed => "InitContainerFailed",
            Self::DriverStartDeadline => "DriverStartDeadlineExceeded",
            Self::DriverMissing => "DriverMissing",
            Self::InvalidSpec => "InvalidSpec",
            Self::PolicyInvalid => "PolicyInvalid",
            Self::ObjectStoreNotReady => "ObjectStoreNotReady",
            Self::ServiceAccountMissing => "ServiceAccountMissing",
            Self::QuotaExceeded => "QuotaExceeded",
            Self::SubmissionRefused => "SubmissionRefused",
            Self::DriverNameTaken => "DriverNameTaken",
            Self::Suspended => "Suspended",
            Self::SpecChanged => "SpecChanged",
            Self::RerunRequested => "RerunRequested",
            Self::Other(word) => word,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
