//! Arguments of `windlass tenant`.

use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};
use windlass_api::names::{self, DnsLabel, NameError};
use windlass_api::quantity::{Quantity, QuantityError};

use super::ClusterArgs;

/// What to do about the teams of a cluster.
#[derive(Debug, Subcommand)]
pub enum TenantCommand {
    /// Print what a team needs for a namespace of its own, for `kubectl apply -f -`, or apply it: the
    /// namespace, the account of its drivers, the rights of its people, quota, limits and network policy.
    Create(Box<TenantArgs>),
}

/// Arguments of `windlass tenant create`.
#[derive(Debug, Args)]
pub struct TenantArgs {
    /// The namespace.
    #[arg(value_name = "NAMESPACE", value_parser = namespace)]
    pub name: DnsLabel,
    /// A group whose people work in it, as the cluster's authentication names it. May be repeated.
    #[arg(long = "group", value_name = "NAME", value_parser = subject)]
    pub groups: Vec<String>,
    /// A user who works in it. May be repeated.
    #[arg(long = "user", value_name = "NAME", value_parser = subject)]
    pub users: Vec<String>,
    /// What all of its objects may use together, comma separated, by the names of a ResourceQuota: cpu,
    /// memory, pods, requests.storage, windlass.dev/running and others.
    #[arg(long, value_name = "NAME=QUANTITY", value_delimiter = ',')]
    pub quota: Vec<Amount>,
    /// What a container requests that says nothing of its own.
    #[arg(
        long,
        value_name = "NAME=QUANTITY",
        value_delimiter = ',',
        default_value = "cpu=100m,memory=256Mi"
    )]
    pub default_request: Vec<Amount>,
    /// The limit of a container that says nothing of its own (default: none).
    #[arg(long, value_name = "NAME=QUANTITY", value_delimiter = ',')]
    pub default_limit: Vec<Amount>,
    /// What no container may exceed (default: what the nodes have).
    #[arg(long, value_name = "NAME=QUANTITY", value_delimiter = ',')]
    pub max: Vec<Amount>,
    /// Namespaces whose pods may connect to those of the team, besides the operator's, comma separated:
    /// that of an ingress controller, of Prometheus.
    #[arg(long, value_name = "NAMESPACES", value_delimiter = ',', value_parser = namespace)]
    pub allow_from: Vec<DnsLabel>,
    /// Which of Kubernetes' pod security standards holds.
    #[arg(long, value_enum, default_value_t = PodSecurity::Baseline)]
    pub pod_security: PodSecurity,
    /// Namespace of the operator.
    #[arg(long, value_name = "NAMESPACE", default_value = "windlass-system", value_parser = namespace)]
    pub operator_namespace: DnsLabel,
    /// Apply it, and print what was applied.
    #[arg(long)]
    pub apply: bool,
    /// The cluster to apply it to.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// A pod security standard of Kubernetes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PodSecurity {
    /// No restrictions: pods may take over their node, and with it other teams.
    Privileged,
    /// What lets a pod take over its node is refused.
    Baseline,
    /// Hardened pods only. Those that Spark makes need settings for it.
    Restricted,
}

impl PodSecurity {
    /// Its name in the label of a namespace.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }
}

/// An amount of a resource, `NAME=QUANTITY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amount {
    /// The resource, by the name that Kubernetes has for it.
    pub resource: String,
    /// How much, as it was written.
    pub quantity: String,
}

/// Why a text is no amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// It has no equals sign.
    #[error("is not NAME=QUANTITY, for example cpu=20 or memory=64Gi")]
    Shape,
    /// The name is none of a resource.
    #[error("the name of the resource {0}")]
    Resource(NameError),
    /// The quantity is none.
    #[error("the quantity {0}")]
    Quantity(#[from] QuantityError),
    /// The quantity is below zero.
    #[error("the quantity is negative; write 0 or more")]
    Negative,
}

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let (resource, quantity) = text.split_once('=').ok_or(AmountError::Shape)?;
        // Names of quotas are like keys of labels, and `count/jobs.batch` and storage classes' are, too.
        names::check_label_key(resource).map_err(AmountError::Resource)?;
        quantity.parse::<Quantity>()?;
        if quantity.starts_with('-') {
            return Err(AmountError::Negative);
        }
        Ok(Self {
            resource: resource.to_owned(),
            quantity: quantity.to_owned(),
        })
    }
}

fn namespace(text: &str) -> Result<DnsLabel, NameError> {
    DnsLabel::new(text)
}

fn subject(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("is empty; give the name that the cluster's authentication has".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_has_a_resource_and_a_quantity_that_is_not_negative() {
        let amount: Amount = "windlass.dev/running=5".parse().unwrap();
        assert_eq!(amount.resource, "windlass.dev/running");
        assert_eq!(amount.quantity, "5");
        for (text, expected) in [
            ("cpu", "is not NAME=QUANTITY"),
            ("=5", "the name of the resource "),
            ("c p u=5", "the name of the resource "),
            ("cpu=much", "the quantity is not a quantity"),
            ("cpu=-1", "the quantity is negative"),
        ] {
            let error = text.parse::<Amount>().unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }
}
