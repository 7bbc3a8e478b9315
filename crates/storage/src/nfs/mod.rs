//! Shares where a cluster has disks alone: an NFS server for each class of shares, on a disk of its own.
//!
//! The server is NFS-Ganesha, which needs no kernel module, in the image of the Kubernetes project's
//! provisioner for it (`registry.k8s.io/sig-storage/nfs-provisioner`). Where the cluster has csi-driver-nfs
//! that makes the volumes and the server exports one tree; where not, the provisioner in the image makes them.
//!
//! Reading order: [`server`] is what a server consists of, [`share`] what its class is used by, [`plan()`](plan::plan)
//! what is written. All of that is pure; [`controller`] reads and watches.
//!
//! Laws:
//! - each class has a server and a disk, and no two classes have the same;
//! - the disk has room for all volumes of the class together, and never gets smaller;
//! - nothing is deleted: what is on the disk is the users';
//! - an object that somebody else has made under one of these names is never touched.

pub mod controller;
pub mod plan;
pub mod server;
pub mod share;

pub use server::{ACCOUNT, Settings};
