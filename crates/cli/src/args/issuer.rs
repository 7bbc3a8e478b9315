//! An issuer of cert-manager, as a command line names it.

use std::str::FromStr;

use windlass_api::names::{DnsSubdomain, NameError};

/// Issuer/NAME or ClusterIssuer/NAME.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerRef {
    /// Its kind.
    pub kind: IssuerKind,
    /// Its name.
    pub name: DnsSubdomain,
}

/// Where an issuer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IssuerKind {
    /// In the namespace of the operator.
    Issuer,
    /// In no namespace.
    ClusterIssuer,
}

impl IssuerKind {
    /// The kind's name in the API group `cert-manager.io`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issuer => "Issuer",
            Self::ClusterIssuer => "ClusterIssuer",
        }
    }
}

/// Why a text names no issuer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssuerRefError {
    /// It has no kind, or another one.
    #[error("is neither Issuer/NAME nor ClusterIssuer/NAME")]
    Kind,
    /// The name is none.
    #[error("{0}")]
    Name(#[from] NameError),
}

impl FromStr for IssuerRef {
    type Err = IssuerRefError;

    fn from_str(text: &str) -> Result<Self, IssuerRefError> {
        let (kind, name) = text.split_once('/').ok_or(IssuerRefError::Kind)?;
        let kind = match kind {
            "Issuer" => IssuerKind::Issuer,
            "ClusterIssuer" => IssuerKind::ClusterIssuer,
            _ => return Err(IssuerRefError::Kind),
        };
        Ok(Self {
            kind,
            name: DnsSubdomain::new(name)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_has_a_kind_and_a_name() {
        let issuer: IssuerRef = "ClusterIssuer/company.ca".parse().unwrap();
        assert_eq!(issuer.kind.as_str(), "ClusterIssuer");
        assert_eq!(issuer.name.as_str(), "company.ca");
        for (text, expected) in [
            ("company", "is neither Issuer/NAME nor ClusterIssuer/NAME"),
            ("Secret/x", "is neither Issuer/NAME nor ClusterIssuer/NAME"),
        ] {
            let error = text.parse::<IssuerRef>().unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        let error = "Issuer/No Name".parse::<IssuerRef>().unwrap_err();
        assert!(matches!(error, IssuerRefError::Name(_)));
    }
}
