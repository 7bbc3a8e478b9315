//! What the API shows of a server's objects and executors.

use std::collections::BTreeMap;

use serde_json::Value;
use windlass_engine::Object;
use windlass_engine::plan::ObjectRef;

use super::observed::Observed;
use crate::lower::server::SERVER_ROLE;
use crate::observe::ROLE;
use crate::standing::see;

/// Reads what is there. `others` are all objects with the label of the server but pods; what has
/// another owner is not its own.
pub fn observe(uid: &str, others: &[Object], pods: &[Object], taken: Vec<ObjectRef>) -> Observed {
    let seen = see(uid, others, pods, SERVER_ROLE);
    let mut executors = BTreeMap::new();
    for pod in pods
        .iter()
        .filter(|pod| pod.label(ROLE) == Some("executor"))
    {
        let phase = pod
            .as_value()
            .pointer("/status/phase")
            .and_then(Value::as_str);
        let phase = phase.filter(|it| !it.is_empty()).unwrap_or("Pending");
        *executors.entry(phase.to_owned()).or_insert(0) += 1;
    }
    Observed {
        deployment: seen.deployment,
        present: seen.present,
        taken,
        servers: seen.servers,
        executors,
        refusal: None,
        entropy: None,
    }
}
