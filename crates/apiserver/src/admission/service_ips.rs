//! Addresses and node ports of Services.
//!
//! The stored Services are the record of what is in use; between the choice and the write, a
//! reservation keeps others from choosing the same.

use std::{collections::HashSet, net::Ipv4Addr, sync::Arc};

use parking_lot::Mutex;
use serde_json::{Value, json};
use windlass_apimachinery::field::FieldError;

use crate::{
    http::Call,
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
    /// The same for node ports.
    next_port: i64,
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
            next_port: *NODE_PORTS.start(),
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

/// Gives a Service the addresses and node ports it should have and does not. A write that is only
/// tried gets some that nobody has.
pub(super) fn assign(
    call: &Call,
    service: &mut Value,
    old: Option<&Value>,
) -> ApiResult<Option<Reservation>> {
    let server = &call.server;
    let spec = &service["spec"];
    if spec["type"] == "ExternalName" {
        return Ok(None);
    }
    let asked = spec["clusterIP"]
        .as_str()
        .or_else(|| spec["clusterIPs"][0].as_str())
        .unwrap_or_default()
        .to_owned();
    let name = metadata::text(service, "name").to_owned();
    let refused = |error: FieldError| ApiError::invalid("", "Service", &name, &[error]);

    // Chosen and reserved under one lock: two creates never see the same free address.
    let mut state = server.service_ips.state.lock();
    let used = in_use(server);
    let mut choice = Choice {
        used: &used,
        taken: Vec::new(),
        only_tried: call.query.dry_run(),
        tried: 0,
    };
    let given = asked.parse().ok();
    if !matches!(asked.as_str(), "" | "None") && given.is_none() {
        let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        return Err(refused(FieldError::invalid(
            "spec.clusterIPs[0]",
            &json!(asked),
            why,
        )));
    }
    // Once it has an address, or none, it stays so: the rules of the kind see to that.
    let has = old.is_some_and(|old| old["spec"]["type"] != "ExternalName");
    if !has && asked != "None" {
        let address = if asked.is_empty() {
            choice.free_address(&server.service_ips, &mut state)?
        } else {
            let wanted = given.unwrap_or(Ipv4Addr::UNSPECIFIED);
            choice
                .address(wanted, &server.service_ips, &state)
                .map_err(|why| {
                    let why = format!("failed to allocate IP {asked}: {why}");
                    refused(FieldError::invalid("spec.clusterIPs", &json!([asked]), why))
                })?;
            wanted
        };
        if name.is_empty() && !choice.only_tried {
            let why = format!(
                "failed to allocate IP: IPAddress.networking.k8s.io \"{address}\" is invalid: \
                 spec.parentRef.name: Required value"
            );
            return Err(refused(FieldError::invalid(
                "spec.clusterIPs",
                &json!([asked]),
                why,
            )));
        }
        let spec = &mut service["spec"];
        spec["clusterIP"] = json!(address.to_string());
        spec["clusterIPs"] = json!([address.to_string()]);
        spec["ipFamilies"] = json!(["IPv4"]);
        if spec["ipFamilyPolicy"].is_null() {
            spec["ipFamilyPolicy"] = json!("SingleStack");
        }
    }
    let before = old.map(|old| &old["spec"]);
    choice
        .asked_node_ports(&service["spec"], before, &state)
        .map_err(refused)?;
    choice.node_ports(&mut service["spec"], old.is_none(), &mut state)?;
    let taken = choice.taken;
    state.reserved.extend(taken.iter().copied());
    drop(state);
    Ok(Some(Reservation {
        state: Arc::clone(&server.service_ips.state),
        taken,
    }))
}

/// What is chosen for one write.
struct Choice<'a> {
    used: &'a HashSet<Taken>,
    taken: Vec<Taken>,
    only_tried: bool,
    /// How many node ports a write that is only tried has got: from beyond the real ones.
    tried: i64,
}

impl Choice<'_> {
    fn free_address(&mut self, ips: &ServiceIps, state: &mut State) -> ApiResult<Ipv4Addr> {
        if self.only_tried {
            return Ok(Ipv4Addr::from(ips.base));
        }
        let free = free_address(ips, state, self.used)
            .ok_or_else(|| ApiError::internal("no free ClusterIP is left"))?;
        self.taken.push(Taken::Address(free));
        Ok(free)
    }

    fn address(&mut self, wanted: Ipv4Addr, ips: &ServiceIps, state: &State) -> Result<(), String> {
        if !ips.contains(wanted) {
            // Two allocators of a real server refuse it, in words of their own.
            let base = Ipv4Addr::from(ips.base);
            return Err(if self.only_tried {
                format!(
                    "the provided IP ({wanted}) is not in the valid range. The range of valid IPs \
                     is {base}/16"
                )
            } else {
                "the provided network does not match the current range".to_owned()
            });
        }
        if is_taken(state, self.used, Taken::Address(wanted)) {
            return Err("provided IP is already allocated".to_owned());
        }
        self.taken.push(Taken::Address(wanted));
        Ok(())
    }

    /// The node ports that somebody wants and does not have yet.
    fn asked_node_ports(
        &mut self,
        spec: &Value,
        before: Option<&Value>,
        state: &State,
    ) -> Result<(), FieldError> {
        if !matches!(spec["type"].as_str(), Some("NodePort" | "LoadBalancer")) {
            return Ok(());
        }
        let ports = |spec: &Value| spec["ports"].as_array().cloned().unwrap_or_default();
        let number = |port: &Value| port["nodePort"].as_i64().unwrap_or_default();
        let before: Vec<i64> = before
            .map(ports)
            .unwrap_or_default()
            .iter()
            .map(number)
            .collect();
        for (index, port) in ports(spec).iter().enumerate() {
            let wanted = number(port);
            let chosen = Taken::NodePort(wanted);
            if wanted == 0 || before.contains(&wanted) || self.taken.contains(&chosen) {
                continue;
            }
            let why = if !NODE_PORTS.contains(&wanted) {
                "provided port is not in the valid range. The range of valid ports is 30000-32767"
            } else if is_taken(state, self.used, chosen) {
                "provided port is already allocated"
            } else {
                self.taken.push(chosen);
                continue;
            };
            let field = format!("spec.ports[{index}].nodePort");
            return Err(FieldError::invalid(field, &json!(wanted), why));
        }
        Ok(())
    }

    /// A new Service has one node port for all protocols of a port.
    fn node_ports(&mut self, spec: &mut Value, new: bool, state: &mut State) -> ApiResult<()> {
        let balanced = spec["type"] == "LoadBalancer";
        let wanted = spec["type"] == "NodePort"
            || balanced && spec["allocateLoadBalancerNodePorts"] != json!(false);
        let mut chosen: Vec<(Value, i64)> = Vec::new();
        let ports = spec.get_mut("ports").and_then(Value::as_array_mut);
        for port in ports.into_iter().flatten().filter(|_| wanted) {
            let number = port["port"].clone();
            if port["nodePort"].as_i64().is_some_and(|port| port != 0) {
                continue;
            }
            let same = chosen.iter().find(|(known, _)| new && *known == number);
            let free = match same {
                Some((_, free)) => *free,
                None => self.free_node_port(state)?,
            };
            port["nodePort"] = json!(free);
            chosen.push((number, free));
        }
        if balanced
            && spec["externalTrafficPolicy"] == "Local"
            && spec["healthCheckNodePort"].as_i64().unwrap_or_default() == 0
        {
            spec["healthCheckNodePort"] = json!(self.free_node_port(state)?);
        }
        Ok(())
    }

    fn free_node_port(&mut self, state: &mut State) -> ApiResult<i64> {
        if self.only_tried {
            self.tried += 1;
            return Ok(NODE_PORTS.end() + self.tried);
        }
        let (first, last) = (*NODE_PORTS.start(), *NODE_PORTS.end());
        let mut candidates = (state.next_port..=last).chain(first..state.next_port);
        let free = candidates.find(|candidate| {
            let candidate = Taken::NodePort(*candidate);
            !is_taken(state, self.used, candidate) && !self.taken.contains(&candidate)
        });
        let number = free.ok_or_else(|| ApiError::internal("no free node port is left"))?;
        state.next_port = if number == last { first } else { number + 1 };
        self.taken.push(Taken::NodePort(number));
        Ok(number)
    }
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
                .chain(spec["healthCheckNodePort"].as_i64())
                .map(Taken::NodePort),
        );
    }
    used
}
