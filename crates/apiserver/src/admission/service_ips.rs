//! Addresses and node ports of Services.
//!
//! The stored Services are the record of what is in use; between the choice and the write, a
//! reservation keeps others from choosing the same.

use std::{collections::HashSet, net::Ipv4Addr, sync::Arc};

use parking_lot::Mutex;
use serde_json::{Value, json};
use windlass_apimachinery::field::FieldError;

use crate::{
    metadata,
    server::Server,
    status::{ApiError, ApiResult},
    store::Scope,
};

/// The first addresses are kept for the cluster's own Services.
const FIRST_OFFSET: u32 = 16;
/// 127.N.0.0/17.
const OFFSETS: u32 = 1 << 15;
const NODE_PORTS: std::ops::RangeInclusive<i64> = 30000..=32767;

/// The addresses of one cluster.
#[derive(Debug)]
pub(crate) struct ServiceIps {
    base: u32,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// Where the next search begins, so that a freed address is not reused at once.
    next: u32,
    reserved: HashSet<Taken>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Taken {
    Address(Ipv4Addr),
    NodePort(i64),
}

/// Addresses and ports chosen for a write that is not done yet.
#[derive(Debug)]
pub(crate) struct Reservation {
    state: Arc<Mutex<State>>,
    taken: Vec<Taken>,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        for taken in &self.taken {
            state.reserved.remove(taken);
        }
    }
}

impl ServiceIps {
    pub(crate) fn new(octet: u8) -> Self {
        let state = State {
            next: FIRST_OFFSET,
            reserved: HashSet::new(),
        };
        Self {
            base: u32::from(Ipv4Addr::new(127, octet, 0, 0)),
            state: Arc::new(Mutex::new(state)),
        }
    }

    fn contains(&self, address: Ipv4Addr) -> bool {
        u32::from(address)
            .checked_sub(self.base)
            .is_some_and(|offset| offset < OFFSETS)
    }
}

/// Gives a Service the addresses and node ports it should have and does not.
pub(super) fn assign(
    server: &Server,
    service: &mut Value,
    old: Option<&Value>,
) -> ApiResult<Option<Reservation>> {
    let spec = &service["spec"];
    if spec["type"] == "ExternalName" {
        return Ok(None);
    }
    let old_address = old
        .and_then(|old| old["spec"]["clusterIP"].as_str())
        .unwrap_or_default();
    let asked = spec["clusterIP"]
        .as_str()
        .or_else(|| spec["clusterIPs"][0].as_str())
        .unwrap_or_default()
        .to_owned();
    let name = metadata::text(service, "name").to_owned();
    let refused = |field: &str, value: &Value, why: &str| {
        ApiError::invalid(
            "",
            "Service",
            &name,
            &[FieldError::invalid(field, value, why)],
        )
    };

    // Chosen and reserved under one lock: two creates never see the same free address.
    let mut state = server.service_ips.state.lock();
    let used = in_use(server);
    let mut taken = Vec::new();
    let address = if asked == "None" || (!asked.is_empty() && asked == old_address) {
        asked
    } else if asked.is_empty() {
        let free = free_address(&server.service_ips, &mut state, &used)
            .ok_or_else(|| ApiError::internal("no free ClusterIP is left"))?;
        taken.push(Taken::Address(free));
        free.to_string()
    } else {
        let shown = json!([asked]);
        let Some(wanted) = asked
            .parse()
            .ok()
            .filter(|wanted| server.service_ips.contains(*wanted))
        else {
            let range = Ipv4Addr::from(server.service_ips.base);
            let why = format!(
                "failed to allocate IP {asked}: the provided IP is not in the valid range. The \
                 range of valid IPs is {range}/17"
            );
            return Err(refused("spec.clusterIPs", &shown, &why));
        };
        if is_taken(&state, &used, Taken::Address(wanted)) {
            let why = format!("failed to allocate IP {asked}: provided IP is already allocated");
            return Err(refused("spec.clusterIPs", &shown, &why));
        }
        taken.push(Taken::Address(wanted));
        asked
    };
    let spec = &mut service["spec"];
    spec["clusterIP"] = json!(address);
    spec["clusterIPs"] = json!([address]);
    spec["ipFamilies"] = json!(["IPv4"]);
    if spec["ipFamilyPolicy"].is_null() {
        spec["ipFamilyPolicy"] = json!("SingleStack");
    }
    if matches!(spec["type"].as_str(), Some("NodePort" | "LoadBalancer")) {
        assign_node_ports(spec, &state, &used, &mut taken)
            .ok_or_else(|| ApiError::internal("no free node port is left"))?;
    }
    state.reserved.extend(taken.iter().copied());
    drop(state);
    Ok(Some(Reservation {
        state: Arc::clone(&server.service_ips.state),
        taken,
    }))
}

fn assign_node_ports(
    spec: &mut Value,
    state: &State,
    used: &HashSet<Taken>,
    taken: &mut Vec<Taken>,
) -> Option<()> {
    let ports = spec.get_mut("ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten() {
        if port["nodePort"].as_i64().is_some_and(|port| port != 0) {
            continue;
        }
        let free = NODE_PORTS
            .map(Taken::NodePort)
            .find(|candidate| !is_taken(state, used, *candidate) && !taken.contains(candidate))?;
        taken.push(free);
        if let Taken::NodePort(number) = free {
            port["nodePort"] = json!(number);
        }
    }
    Some(())
}

fn free_address(ips: &ServiceIps, state: &mut State, used: &HashSet<Taken>) -> Option<Ipv4Addr> {
    let span = OFFSETS - FIRST_OFFSET - 1;
    let start = state.next - FIRST_OFFSET;
    let offset = (0..span)
        .map(|step| FIRST_OFFSET + (start + step) % span)
        .find(|offset| {
            !is_taken(
                state,
                used,
                Taken::Address(Ipv4Addr::from(ips.base + offset)),
            )
        })?;
    state.next = FIRST_OFFSET + (offset + 1 - FIRST_OFFSET) % span;
    Some(Ipv4Addr::from(ips.base + offset))
}

fn is_taken(state: &State, used: &HashSet<Taken>, candidate: Taken) -> bool {
    used.contains(&candidate) || state.reserved.contains(&candidate)
}

fn in_use(server: &Server) -> HashSet<Taken> {
    let services = server.store.list(&Scope::new("", "services", ""));
    let mut used = HashSet::new();
    for (_, service) in &services.objects {
        let spec = &service.value()["spec"];
        let address = spec["clusterIP"]
            .as_str()
            .and_then(|address| address.parse().ok());
        used.extend(address.map(Taken::Address));
        let ports = spec["ports"].as_array().into_iter().flatten();
        used.extend(
            ports
                .filter_map(|port| port["nodePort"].as_i64())
                .map(Taken::NodePort),
        );
    }
    used
}
