//! Which share of 127.0.0.0/8 a cluster has.
//!
//! Several clusters run on one machine, so each takes an octet of its own the first time and keeps
//! it: addresses of pods and Services stay the same over restarts.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use windlass_node::LoopbackOctet;

use crate::exit::Failure;

/// The octets that clusters choose from, in this order.
const CANDIDATES: std::ops::RangeInclusive<u8> = 20..=250;

/// The ports under which a cluster's API would answer on its own address.
const API_PORTS: [u16; 2] = [443, 6443];

/// The octet of a data directory: the one it has, else the first that nobody uses.
pub(super) fn octet(data_dir: &Path) -> Result<LoopbackOctet, Failure> {
    let file = data_dir.join("loopback-octet");
    match std::fs::read_to_string(&file) {
        Ok(text) => {
            return text
                .trim()
                .parse()
                .map_err(|error| Failure::bad_input(format!("{}: {error}", file.display())));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => {
            return Err(Failure::internal(anyhow::anyhow!(
                "{}: {error}",
                file.display()
            )));
        }
    }
    // Clusters that start at the same moment begin to look at different places.
    let offset = std::process::id() as usize % CANDIDATES.count();
    let octet = CANDIDATES
        .cycle()
        .skip(offset)
        .take(CANDIDATES.count())
        .find(|octet| is_free(*octet))
        .ok_or_else(|| {
            Failure::cluster(
                "every loopback network from 127.20.0.0 to 127.250.0.0 is in use: stop a cluster with windlass down",
            )
        })?;
    std::fs::write(&file, octet.to_string())
        .map_err(|error| Failure::internal(anyhow::anyhow!("{}: {error}", file.display())))?;
    LoopbackOctet::new(octet).map_err(Failure::internal)
}

/// Whether no API answers on the octet's first address.
fn is_free(octet: u8) -> bool {
    API_PORTS.iter().all(|port| {
        match TcpListener::bind((Ipv4Addr::new(127, octet, 0, 1), *port)) {
            Ok(_) => true,
            // An ordinary user may not bind 443; the other port still tells.
            Err(error) => error.kind() == std::io::ErrorKind::PermissionDenied,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_directory_keeps_its_octet() {
        let folder = tempfile::tempdir().unwrap();
        let first = octet(folder.path()).unwrap();
        assert_eq!(octet(folder.path()).unwrap(), first);
    }

    #[test]
    fn an_octet_whose_api_address_is_bound_is_not_free() {
        let bound = CANDIDATES
            .rev()
            .find_map(|octet| TcpListener::bind((Ipv4Addr::new(127, octet, 0, 1), 6443)).ok())
            .unwrap();
        let std::net::IpAddr::V4(address) = bound.local_addr().unwrap().ip() else {
            panic!("not IPv4")
        };
        assert!(!is_free(address.octets()[1]));
    }
}
