//! The webhooks of the stored configurations, ready to be asked.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use windlass_apimachinery::{conditions::MatchConditions, selectors::LabelSelector};

use super::{GROUP, client::Client, matching::Rule};
use crate::store::{Scope, Store};

const DEFAULT_SECONDS: u64 = 10;

/// All webhooks, in the order in which they are asked.
#[derive(Default)]
pub(super) struct Hooks {
    pub(super) mutating: Vec<Arc<Hook>>,
    pub(super) validating: Vec<Arc<Hook>>,
}

/// One webhook.
pub(super) struct Hook {
    pub(super) name: String,
    pub(super) mutates: bool,
    pub(super) rules: Vec<Rule>,
    /// Whether other versions of a resource count, too.
    pub(super) equivalent: bool,
    pub(super) namespaces: LabelSelector,
    pub(super) objects: LabelSelector,
    pub(super) conditions: MatchConditions,
    pub(super) on_failure: OnFailure,
    pub(super) timeout: Duration,
    pub(super) has_side_effects: bool,
    pub(super) review_version: &'static str,
    pub(super) client: Client,
}

/// What happens when a webhook cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnFailure {
    Refuse,
    GoOn,
}

impl Hooks {
    pub(super) fn read(store: &Store) -> Self {
        let of = |plural: &str, mutates: bool| {
            // A list is sorted by name, which is the order that users are promised.
            let configurations = store.list(&Scope::new(GROUP, plural, "")).objects;
            configurations
                .iter()
                .flat_map(|(_, configuration)| {
                    let value = configuration.value();
                    let hooks = value["webhooks"].as_array().into_iter().flatten();
                    hooks
                        .map(|hook| Arc::new(Hook::read(hook, mutates)))
                        .collect::<Vec<_>>()
                })
                .collect()
        };
        Self {
            mutating: of("mutatingwebhookconfigurations", true),
            validating: of("validatingwebhookconfigurations", false),
        }
    }
}

impl Hook {
    /// Reads a webhook that has been validated; what is not understood matches nothing.
    fn read(hook: &Value, mutates: bool) -> Self {
        let selector = |field: &str| {
            LabelSelector::from_object(hook.get(field)).unwrap_or_else(|_| LabelSelector::nothing())
        };
        let versions = hook["admissionReviewVersions"].as_array();
        let v1 = versions
            .into_iter()
            .flatten()
            .find_map(|version| match version.as_str() {
                Some("v1") => Some("v1"),
                Some("v1beta1") => Some("v1beta1"),
                _ => None,
            });
        Self {
            name: hook["name"].as_str().unwrap_or_default().to_owned(),
            mutates,
            rules: hook["rules"]
                .as_array()
                .into_iter()
                .flatten()
                .map(Rule::read)
                .collect(),
            equivalent: hook["matchPolicy"] != "Exact",
            namespaces: selector("namespaceSelector"),
            objects: selector("objectSelector"),
            conditions: MatchConditions::compile(&hook["matchConditions"]),
            on_failure: if hook["failurePolicy"] == "Ignore" {
                OnFailure::GoOn
            } else {
                OnFailure::Refuse
            },
            timeout: Duration::from_secs(
                hook["timeoutSeconds"].as_u64().unwrap_or(DEFAULT_SECONDS),
            ),
            has_side_effects: !matches!(
                hook["sideEffects"].as_str(),
                Some("None" | "NoneOnDryRun")
            ),
            review_version: v1.unwrap_or("v1"),
            client: Client::read(&hook["clientConfig"]),
        }
    }
}
