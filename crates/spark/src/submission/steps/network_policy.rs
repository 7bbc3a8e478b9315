//! Keeps everything but the application's own pods away from its executors.

use serde_json::json;

use super::super::SubmitError;
use super::{Context, Draft};

#[expect(clippy::unnecessary_wraps, reason = "every step has this signature")]
pub(super) fn apply(context: &Context<'_>, draft: &mut Draft<'_>) -> Result<(), SubmitError> {
    if !context.profile.network_policy {
        return Ok(());
    }
    let app_id = &context.request.ids.app_id;
    draft.objects.push(json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": format!("{}-policy", context.prefix),
            "namespace": context.namespace,
            "labels": {"spark-app-selector": app_id},
        },
        "spec": {
            "podSelector": {"matchLabels": {"spark-role": "executor", "spark-app-selector": app_id}},
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"spark-app-selector": app_id}}}]}],
        },
    }));
    Ok(())
}
