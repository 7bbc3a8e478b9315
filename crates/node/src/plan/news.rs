//! What a new status of a pod says that its watchers should be told. Pure.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};

use crate::events::Kind;

/// A container that begins to wait before it is tried again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct News {
    /// Which one.
    pub(crate) container: String,
    /// How it is shown.
    pub(crate) kind: Kind,
    /// In words.
    pub(crate) message: String,
}

/// The news in going from the status the pod has to this one: a wait is told when it begins.
pub(crate) fn news(pod: &Pod, after: &PodStatus) -> Vec<News> {
    let before = pod.status.as_ref();
    let begun = containers(after).filter_map(|status| {
        let reason = waits_for(status)?;
        let known = before
            .and_then(|before| containers(before).find(|earlier| earlier.name == status.name));
        (known.and_then(waits_for) != Some(reason)).then_some((status, reason))
    });
    begun
        .filter_map(|(status, reason)| {
            let (kind, message) = match reason {
                "CrashLoopBackOff" => (
                    Kind::Warning,
                    format!(
                        "Back-off restarting failed container {} in pod {}_{}({})",
                        status.name,
                        pod.metadata.name.as_deref().unwrap_or_default(),
                        pod.metadata.namespace.as_deref().unwrap_or_default(),
                        pod.metadata.uid.as_deref().unwrap_or_default(),
                    ),
                ),
                "ImagePullBackOff" => (
                    Kind::Normal,
                    format!("Back-off pulling image \"{}\"", status.image),
                ),
                _ => return None,
            };
            Some(News {
                container: status.name.clone(),
                kind,
                message,
            })
        })
        .collect()
}

fn containers(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    let init = status.init_container_statuses.iter().flatten();
    init.chain(status.container_statuses.iter().flatten())
}

fn waits_for(status: &ContainerStatus) -> Option<&str> {
    status.state.as_ref()?.waiting.as_ref()?.reason.as_deref()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn status(state: &Value) -> Value {
        json!({"containerStatuses": [{
            "name": "main", "image": "spark:9", "imageID": "", "ready": false, "restartCount": 1,
            "state": state,
        }]})
    }

    #[test]
    fn a_wait_is_told_when_it_begins_and_not_again() {
        let waiting = |reason: &str| json!({"waiting": {"reason": reason}});
        let ended = json!({"terminated": {"exitCode": 1}});
        let cases = [
            (
                &ended,
                waiting("CrashLoopBackOff"),
                "Back-off restarting failed container main in pod p_team(u)",
            ),
            (
                &waiting("ErrImagePull"),
                waiting("ImagePullBackOff"),
                "Back-off pulling image \"spark:9\"",
            ),
            (
                &waiting("CrashLoopBackOff"),
                waiting("CrashLoopBackOff"),
                "",
            ),
            (&waiting("ContainerCreating"), waiting("ErrImagePull"), ""),
            (&waiting("CrashLoopBackOff"), ended.clone(), ""),
        ];
        for (before, after, told) in cases {
            let metadata = json!({"name": "p", "namespace": "team", "uid": "u"});
            let pod = json!({"metadata": metadata, "status": status(before)});
            let pod: Pod = serde_json::from_value(pod).unwrap();
            let after: PodStatus = serde_json::from_value(status(&after)).unwrap();
            let news: Vec<String> = news(&pod, &after).into_iter().map(|n| n.message).collect();
            assert_eq!(news.concat(), told, "after {before}");
        }
    }
}
