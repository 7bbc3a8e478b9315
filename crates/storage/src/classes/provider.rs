//! Whose machines a cluster runs on, and what tells so in the objects of the API.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// Whose machines a cluster runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// Amazon Web Services.
    Aws,
    /// Microsoft Azure.
    Azure,
    /// Google Cloud.
    Google,
    /// Alibaba Cloud.
    Alibaba,
    /// Oracle Cloud Infrastructure.
    Oracle,
    /// IBM Cloud, VPC.
    Ibm,
    /// An OpenStack.
    OpenStack,
    /// DigitalOcean.
    DigitalOcean,
    /// A vSphere.
    VSphere,
}

impl Provider {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Aws,
        Self::Azure,
        Self::Google,
        Self::Alibaba,
        Self::Oracle,
        Self::Ibm,
        Self::OpenStack,
        Self::DigitalOcean,
        Self::VSphere,
    ];

    /// As it is written in settings and annotations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Azure => "azure",
            Self::Google => "google",
            Self::Alibaba => "alibaba",
            Self::Oracle => "oracle",
            Self::Ibm => "ibm",
            Self::OpenStack => "openstack",
            Self::DigitalOcean => "digitalocean",
            Self::VSphere => "vsphere",
        }
    }

    /// What `spec.providerID` of a node tells.
    pub fn of_node(provider_id: &str) -> NodeTells {
        if provider_id.is_empty() {
            return NodeTells::Nothing;
        }
        let Some((scheme, _)) = provider_id.split_once("://") else {
            return of_id_without_scheme(provider_id);
        };
        let provider = match scheme {
            "aws" => Self::Aws,
            "azure" => Self::Azure,
            "gce" => Self::Google,
            "alicloud" => Self::Alibaba,
            "oci" => Self::Oracle,
            "ibm" => Self::Ibm,
            "openstack" => Self::OpenStack,
            "digitalocean" => Self::DigitalOcean,
            "vsphere" => Self::VSphere,
            // Distributions, which say nothing of the machines that they run on.
            "kind" | "k3s" | "k3d" | "rke2" | "minikube" => return NodeTells::Nothing,
            _ => return NodeTells::Unknown,
        };
        NodeTells::Provider(provider)
    }

    /// Whose disks a provisioner of Kubernetes' own, from before CSI, makes.
    pub fn of_in_tree(provisioner: &str) -> Option<Self> {
        Some(match provisioner {
            "kubernetes.io/aws-ebs" => Self::Aws,
            "kubernetes.io/azure-disk" | "kubernetes.io/azure-file" => Self::Azure,
            "kubernetes.io/gce-pd" => Self::Google,
            "kubernetes.io/cinder" => Self::OpenStack,
            "kubernetes.io/vsphere-volume" => Self::VSphere,
            _ => return None,
        })
    }
}

/// The providers that name machines without a scheme: `ocid1.instance.oc1...` (Oracle) and
/// `cn-hangzhou.i-...` (Alibaba).
fn of_id_without_scheme(id: &str) -> NodeTells {
    if id.starts_with("ocid1.") {
        return NodeTells::Provider(Provider::Oracle);
    }
    match id.split_once('.') {
        Some((region, machine)) if region.contains('-') && machine.starts_with("i-") => {
            NodeTells::Provider(Provider::Alibaba)
        }
        _ => NodeTells::Unknown,
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No provider has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no provider that is known here: one of aws, azure, google, alibaba, oracle, ibm, openstack, digitalocean, vsphere"
)]
pub struct UnknownProvider(pub String);

impl FromStr for Provider {
    type Err = UnknownProvider;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut all = Self::ALL.into_iter();
        all.find(|it| it.as_str() == text)
            .ok_or_else(|| UnknownProvider(text.to_owned()))
    }
}

/// What the id of a node tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeTells {
    /// It has none, or one of a distribution.
    Nothing,
    /// It has one that nobody here knows.
    Unknown,
    /// Whose machine it is.
    Provider(Provider),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_node_tells_whose_machine_it_is() {
        use NodeTells::{Nothing, Unknown};
        let provider = NodeTells::Provider;
        for (id, tells) in [
            ("", Nothing),
            ("aws:///eu-west-1a/i-0123", provider(Provider::Aws)),
            ("gce://project/zone/name", provider(Provider::Google)),
            (
                "azure:///subscriptions/x/resourceGroups/y",
                provider(Provider::Azure),
            ),
            ("openstack:///uuid", provider(Provider::OpenStack)),
            ("openstack://region/uuid", provider(Provider::OpenStack)),
            ("digitalocean://1234", provider(Provider::DigitalOcean)),
            ("ibm://account///cluster/worker", provider(Provider::Ibm)),
            ("ocid1.instance.oc1.phx.abc", provider(Provider::Oracle)),
            ("oci://ocid1.instance.oc1", provider(Provider::Oracle)),
            ("cn-hangzhou.i-bp1234", provider(Provider::Alibaba)),
            ("alicloud://cn-beijing.i-2z", provider(Provider::Alibaba)),
            ("vsphere://4230-uuid", provider(Provider::VSphere)),
            ("kind://docker/kind/kind-control-plane", Nothing),
            ("k3s://laptop", Nothing),
            ("hcloud://1234", Unknown),
            ("something", Unknown),
            ("some.thing", Unknown),
        ] {
            assert_eq!(Provider::of_node(id), tells, "{id}");
        }
    }

    #[test]
    fn every_provider_is_read_as_it_is_written() {
        for provider in Provider::ALL {
            assert_eq!(provider.to_string().parse(), Ok(provider));
        }
        assert!("amazon".parse::<Provider>().is_err());
    }
}
