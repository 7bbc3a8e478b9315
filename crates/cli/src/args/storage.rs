//! How classes for claims are chosen, for the operator and for whoever asks what it would choose.

use clap::Args;
use windlass_api::names::{DnsLabel, DnsSubdomain};
use windlass_api::quantity::{Quantity, QuantityError};
use windlass_api::storage::object_store::is_endpoint;
use windlass_storage::buckets;
use windlass_storage::classes::class::Reclaim;
use windlass_storage::classes::provider::Provider;
use windlass_storage::classes::{NamePattern, Parameter, Settings, Table};
use windlass_storage::nfs;
use windlass_storage::nfs::server::{IMAGE, MAX_SIZE, NAMESPACE, ROOM};
use windlass_storage::nfs::share::is_share_name;

use super::operator::namespace;
use super::{ClusterArgs, Told};

/// How classes are chosen.
#[derive(Debug, Clone, Default, Args)]
pub struct StorageArgs {
    /// Whose machines the cluster runs on, instead of what it shows: aws, azure, google, alibaba, oracle,
    /// ibm, openstack, digitalocean, vsphere.
    #[arg(long, value_name = "NAME")]
    pub storage_provider: Option<Provider>,
    /// Drivers that are taken before all others where they are installed and do what is wanted, comma
    /// separated.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub storage_drivers: Vec<String>,
    /// A parameter of the classes of a driver, as efs.csi.aws.com:fileSystemId=fs-1; may be repeated.
    #[arg(long, value_name = "DRIVER:NAME=VALUE")]
    pub storage_parameters: Vec<Parameter>,
    /// What becomes of volumes whose claim is gone, where the claim does not say: Delete or Retain
    /// (default: Delete).
    #[arg(long, value_name = "POLICY")]
    pub storage_reclaim_policy: Option<Reclaim>,
    /// Ask the metadata services of providers where nothing else tells whose machines these are.
    #[arg(long)]
    pub storage_metadata: bool,
    /// Make classes of the provisioners that Kubernetes had in itself, as the original operator did,
    /// whatever drivers are installed.
    #[arg(long)]
    pub storage_in_tree: bool,
}

impl StorageArgs {
    /// The settings that they say, with classes of these names for everybody.
    pub fn settings(&self, names: &[NamePattern]) -> Settings {
        let mut settings = Settings {
            names: names.to_vec(),
            provider: self.storage_provider,
            drivers: self.storage_drivers.clone(),
            reclaim: self.storage_reclaim_policy.unwrap_or_default(),
            table: if self.storage_in_tree {
                Table::InTree
            } else {
                Table::Drivers
            },
            asks_metadata: self.storage_metadata,
            ..Settings::default()
        };
        for parameter in &self.storage_parameters {
            let of_driver = settings.parameters.entry(parameter.driver.clone());
            of_driver
                .or_default()
                .insert(parameter.name.clone(), parameter.value.clone());
        }
        settings
    }
}

/// What ObjectStores get that do not say it themselves.
#[derive(Debug, Clone, Default, Args)]
pub struct ObjectStoreArgs {
    /// The server that speaks S3 of ObjectStores that name none, as http://minio.storage:9000 (default: the
    /// cloud's own).
    #[arg(long, value_name = "URL", requires = "storage", value_parser = endpoint)]
    pub object_store_endpoint: Option<String>,
    /// The Secret with the keys of ObjectStores that name none, looked for in the namespace of each (default:
    /// the identity that the operator runs with).
    #[arg(long, value_name = "NAME", requires = "storage", value_parser = secret)]
    pub object_store_secret: Option<String>,
}

impl ObjectStoreArgs {
    /// The settings that they say, where these are the machines of the cluster.
    pub fn settings(&self, machines: Option<Provider>) -> buckets::Settings {
        buckets::Settings {
            machines,
            endpoint: self.object_store_endpoint.clone(),
            secret: self.object_store_secret.clone(),
        }
    }
}

fn endpoint(text: &str) -> Result<String, String> {
    if is_endpoint(text) {
        Ok(text.to_owned())
    } else {
        Err(
            "it must be a server such as https://minio.storage:9000, without user and query"
                .to_owned(),
        )
    }
}

fn secret(text: &str) -> Result<String, String> {
    let name = DnsSubdomain::new(text.to_owned()).map_err(|error| error.to_string())?;
    Ok(name.to_string())
}

/// How NFS servers are made.
#[derive(Debug, Clone, Default, Args)]
pub struct NfsArgs {
    /// Also make an NFS server for each class of shares: one whose name contains nfs, or that a claim with
    /// the annotation windlass.dev/storage-nfs=server names.
    #[arg(long, requires = "storage")]
    pub storage_nfs: bool,
    /// The namespace of NFS servers (default: windlass-nfs).
    #[arg(long, value_name = "NAME", requires = "storage_nfs", value_parser = namespace)]
    pub storage_nfs_namespace: Option<DnsLabel>,
    /// The image of NFS servers (default: the Kubernetes project's NFS-Ganesha with its provisioner).
    #[arg(long, value_name = "IMAGE", requires = "storage_nfs")]
    pub storage_nfs_image: Option<String>,
    /// The class of the disks of NFS servers (default: the cluster's default class).
    #[arg(long, value_name = "NAME", requires = "storage_nfs", value_parser = disk_class)]
    pub storage_nfs_disk_class: Option<String>,
    /// How large the disk of an NFS server may get; claims beyond that are told (default: 16Ti).
    #[arg(long, value_name = "QUANTITY", requires = "storage_nfs", value_parser = max_size)]
    pub storage_nfs_max_size: Option<Quantity>,
}

impl NfsArgs {
    /// The settings that they say; nothing where no servers are wanted.
    pub fn settings(&self) -> Option<nfs::Settings> {
        let namespace = self.storage_nfs_namespace.as_ref();
        self.storage_nfs.then(|| nfs::Settings {
            namespace: namespace.map_or_else(|| NAMESPACE.to_owned(), ToString::to_string),
            image: self
                .storage_nfs_image
                .clone()
                .unwrap_or_else(|| IMAGE.to_owned()),
            disk_class: self.storage_nfs_disk_class.clone(),
            max_size: self.storage_nfs_max_size.unwrap_or(MAX_SIZE),
        })
    }
}

/// A class that would be one of shares itself makes no disk for a server of shares.
fn disk_class(text: &str) -> Result<String, String> {
    let name = DnsSubdomain::new(text.to_owned()).map_err(|error| error.to_string())?;
    let name = name.to_string();
    if is_share_name(&name) {
        return Err(format!(
            "{name:?} is the name of a class of shares, since it contains nfs: name a class of disks"
        ));
    }
    Ok(name)
}

/// The server itself needs some of it.
fn max_size(text: &str) -> Result<Quantity, String> {
    let size: Quantity = text
        .parse()
        .map_err(|error: QuantityError| error.to_string())?;
    if size <= ROOM {
        return Err(format!(
            "{text} is no more than the {ROOM} that a server itself needs"
        ));
    }
    Ok(size)
}

/// Arguments of `windlass cloud`.
#[derive(Debug, Args)]
pub struct CloudArgs {
    /// Output format.
    #[arg(short, long, value_enum, default_value_t = Told::Text)]
    pub output: Told,
    /// How classes are chosen.
    #[command(flatten)]
    pub storage: StorageArgs,
    /// The cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}
