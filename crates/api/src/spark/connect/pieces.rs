//! The second stage: the parts of a SparkConnect that are Kubernetes' own types.

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::NetworkPolicyPeer;

use super::SparkConnectSpec;
use crate::field::{FieldError, FieldPath};
use crate::spark::application::read_piece;
use crate::spark::standing::read_service;

/// Every part that is a Kubernetes type, but for the templates, which are read with the application.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConnectPieces {
    /// What the Service of the server starts from.
    pub service: Option<Service>,
    /// Who reaches the server, if that is limited; empty for the pods of the namespace.
    pub peers: Option<Vec<NetworkPolicyPeer>>,
}

impl ConnectPieces {
    /// Reads the parts, or says everything that is wrong with them.
    pub fn parse(spec: &SparkConnectSpec) -> Result<Self, Vec<FieldError>> {
        let path = FieldPath::new("spec");
        let mut errors = Vec::new();
        let service_path = path.field("server").field("service");
        let service = spec.server.service.as_ref().and_then(|value| {
            read_service(value, &service_path)
                .map_err(|wrong| errors.extend(wrong))
                .ok()
        });
        let network = spec
            .access
            .as_ref()
            .and_then(|it| it.network_policy.as_ref());
        let from = path.field("access").field("networkPolicy").field("from");
        let peers = network.map(|network| {
            let mut peers = Vec::new();
            for (index, value) in network.from.iter().enumerate() {
                match read_piece(value, &from.index(index)) {
                    Ok(peer) => peers.push(peer),
                    Err(wrong) => errors.extend(wrong),
                }
            }
            peers
        });
        if errors.is_empty() {
            Ok(Self { service, peers })
        } else {
            Err(errors)
        }
    }
}
