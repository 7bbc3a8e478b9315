//! What claims are told of growing by themselves: the field `storage.autoGrow` of a role is written on its
//! claims, where whoever lets claims grow reads it. Nothing else of it is done here.
//!
//! Laws:
//! - what a role says is on all its claims, those that are there already, too, and goes when the role says it
//!   no more;
//! - what somebody else has written on a claim stays as long as the role says nothing.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use windlass_api::director::cluster::AutoGrow;

/// On a claim: what it says of its growth is what its role says.
pub(super) const BY_ROLE: &str = "windlass.dev/auto-grow-by-role";

/// What is written on a claim.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AutoGrowMarks {
    by_role: bool,
    texts: BTreeMap<&'static str, String>,
}

impl AutoGrowMarks {
    /// What the annotations of a claim say.
    pub fn read(annotations: &BTreeMap<String, String>) -> Self {
        let nothing = AutoGrow::default();
        let texts = nothing
            .fields()
            .into_iter()
            .filter_map(|(_, annotation, _)| {
                Some((annotation, annotations.get(annotation)?.clone()))
            });
        Self {
            by_role: annotations.contains_key(BY_ROLE),
            texts: texts.collect(),
        }
    }

    /// The annotations that make a claim say what its role says, as a merge patch; empty when it does.
    pub(super) fn difference(&self, role: Option<&AutoGrow>) -> Map<String, Value> {
        let mut patch = Map::new();
        if role.is_none() && !self.by_role {
            return patch;
        }
        let nothing = AutoGrow::default();
        for (_, annotation, text) in role.unwrap_or(&nothing).fields() {
            let text = text.filter(|_| role.is_some());
            if self.texts.get(annotation).map(String::as_str) != text {
                patch.insert(annotation.to_owned(), json!(text));
            }
        }
        if self.by_role != role.is_some() {
            let mark = role.map(|_| "true");
            patch.insert(BY_ROLE.to_owned(), json!(mark));
        }
        patch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Annotations of a claim.
    type Texts<'a> = &'a [(&'a str, &'a str)];

    fn role(step: Option<&str>) -> AutoGrow {
        AutoGrow {
            max: "5Gi".to_owned(),
            threshold: Some("70%".to_owned()),
            step: step.map(str::to_owned),
            cool_down: None,
        }
    }

    /// What is on a claim after a patch.
    fn patched(before: &[(&str, &str)], role: Option<&AutoGrow>) -> BTreeMap<String, String> {
        let mut annotations: BTreeMap<String, String> = before
            .iter()
            .map(|(key, text)| ((*key).to_owned(), (*text).to_owned()))
            .collect();
        for (key, text) in AutoGrowMarks::read(&annotations).difference(role) {
            match text.as_str() {
                Some(text) => annotations.insert(key, text.to_owned()),
                None => annotations.remove(&key),
            };
        }
        // Then there is nothing left to write.
        let again = AutoGrowMarks::read(&annotations).difference(role);
        assert_eq!(again, Map::new());
        annotations
    }

    #[test]
    fn claims_say_what_their_role_says_and_what_others_say_while_it_says_nothing() {
        let other = ("note", "mine");
        let max = ("windlass.dev/auto-grow-max", "5Gi");
        let mine = ("windlass.dev/auto-grow-max", "9Gi");
        let threshold = ("windlass.dev/auto-grow-threshold", "70%");
        let step = ("windlass.dev/auto-grow-step", "1Gi");
        let by_role = (BY_ROLE, "true");
        let table: [(Texts<'_>, Option<AutoGrow>, Texts<'_>); 7] = [
            (&[other], None, &[other]),
            (
                &[other],
                Some(role(None)),
                &[other, max, threshold, by_role],
            ),
            (
                &[max, threshold, step, by_role],
                Some(role(None)),
                &[max, threshold, by_role],
            ),
            (
                &[max, threshold, by_role],
                Some(role(Some("1Gi"))),
                &[max, threshold, step, by_role],
            ),
            (&[max, threshold, step, by_role, other], None, &[other]),
            (&[mine], None, &[mine]),
            (&[mine], Some(role(None)), &[max, threshold, by_role]),
        ];
        for (before, role, after) in table {
            let mut after: Vec<(&str, &str)> = after.to_vec();
            after.sort_unstable();
            let found = patched(before, role.as_ref());
            let found: Vec<(&str, &str)> = found
                .iter()
                .map(|(key, text)| (key.as_str(), text.as_str()))
                .collect();
            assert_eq!(found, after, "{before:?} {role:?}");
        }
    }
}
