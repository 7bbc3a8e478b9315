//! What the cluster fills into new pods: their account with its token, and their priority.

use serde_json::{Value, json};

use crate::{
    metadata,
    server::Server,
    status::{ApiError, ApiResult},
    store::{Key, Object, Scope},
};

const TOKEN_DIRECTORY: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// One hour, and the seven seconds by which the cluster knows its own requests.
const TOKEN_SECONDS: u64 = 3607;

/// Every pod runs as an account of its namespace, which has to exist.
pub(super) fn service_account(server: &Server, namespace: &str, pod: &mut Value) -> ApiResult<()> {
    let spec = &mut pod["spec"];
    if spec["serviceAccountName"]
        .as_str()
        .is_none_or(str::is_empty)
    {
        spec["serviceAccountName"] = match spec["serviceAccount"].as_str() {
            Some(account) if !account.is_empty() => json!(account),
            _ => json!("default"),
        };
    }
    let account_name = spec["serviceAccountName"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    spec["serviceAccount"] = json!(account_name);
    let found = server
        .store
        .get(&Key::new("", "serviceaccounts", namespace, &account_name));
    let Some(account) = found else {
        let why = format!(
            "error looking up service account {namespace}/{account_name}: serviceaccount \
             \"{account_name}\" not found"
        );
        return Err(ApiError::forbidden(
            "",
            "pods",
            metadata::text(pod, "name"),
            why,
        ));
    };
    let spec = &mut pod["spec"];
    let account = account.value();
    if spec["imagePullSecrets"]
        .as_array()
        .is_none_or(Vec::is_empty)
        && account["imagePullSecrets"]
            .as_array()
            .is_some_and(|secrets| !secrets.is_empty())
    {
        spec["imagePullSecrets"] = account["imagePullSecrets"].clone();
    }
    let automount = spec["automountServiceAccountToken"]
        .as_bool()
        .or_else(|| account["automountServiceAccountToken"].as_bool())
        .unwrap_or(true);
    if automount {
        mount_token(spec);
    }
    Ok(())
}

/// Mounts a token into every container that does not mount something there itself.
fn mount_token(spec: &mut Value) {
    let name = format!("kube-api-access-{}", metadata::random_suffix());
    let mut mounted = false;
    for list in ["initContainers", "containers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let mount = json!({"name": name, "readOnly": true, "mountPath": TOKEN_DIRECTORY});
            match container
                .get_mut("volumeMounts")
                .and_then(Value::as_array_mut)
            {
                Some(mounts) if mounts.iter().any(|own| own["mountPath"] == TOKEN_DIRECTORY) => {
                    continue;
                }
                Some(mounts) => mounts.push(mount),
                None => container["volumeMounts"] = json!([mount]),
            }
            mounted = true;
        }
    }
    if !mounted {
        return;
    }
    let volume = json!({
        "name": name,
        "projected": {
            "defaultMode": 420,
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
                {"configMap": {
                    "name": "kube-root-ca.crt",
                    "items": [{"key": "ca.crt", "path": "ca.crt"}],
                }},
                {"downwardAPI": {"items": [{
                    "path": "namespace",
                    "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                }]}},
            ],
        },
    });
    match spec.get_mut("volumes").and_then(Value::as_array_mut) {
        Some(volumes) => volumes.push(volume),
        None => spec["volumes"] = json!([volume]),
    }
}

/// Resolves the priority class, which has to exist.
pub(super) fn priority(server: &Server, pod: &mut Value) -> ApiResult<()> {
    let name = metadata::text(pod, "name").to_owned();
    let forbidden = |why: String| ApiError::forbidden("", "pods", &name, why);
    let class_name = pod["spec"]["priorityClassName"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let class = if class_name.is_empty() {
        default_class(server)
    } else {
        let key = Key::new("scheduling.k8s.io", "priorityclasses", "", &class_name);
        let found = server.store.get(&key);
        if found.is_none() {
            return Err(forbidden(format!(
                "no PriorityClass with name {class_name} was found"
            )));
        }
        found
    };
    let (value, policy) = match &class {
        Some(class) => {
            let class = class.value();
            pod["spec"]["priorityClassName"] = class["metadata"]["name"].clone();
            (
                class["value"].as_i64().unwrap_or(0),
                class["preemptionPolicy"].clone(),
            )
        }
        None => (0, Value::Null),
    };
    let spec = &mut pod["spec"];
    if let Some(own) = spec["priority"].as_i64()
        && own != value
    {
        return Err(forbidden(format!(
            "the integer value of priority ({own}) must not be provided in pod spec; priority \
             admission controller computed {value} from the given PriorityClass name"
        )));
    }
    spec["priority"] = json!(value);
    if spec["preemptionPolicy"].is_null() {
        spec["preemptionPolicy"] = if policy.is_string() {
            policy
        } else {
            json!("PreemptLowerPriority")
        };
    }
    if spec["priorityClassName"].is_null()
        && let Some(fields) = spec.as_object_mut()
    {
        fields.remove("priorityClassName");
    }
    Ok(())
}

fn default_class(server: &Server) -> Option<std::sync::Arc<Object>> {
    let classes = server
        .store
        .list(&Scope::new("scheduling.k8s.io", "priorityclasses", ""));
    classes
        .objects
        .into_iter()
        .map(|(_, class)| class)
        .filter(|class| class.value()["globalDefault"] == true)
        .min_by_key(|class| class.value()["value"].as_i64())
}
