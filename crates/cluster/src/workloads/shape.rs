//! What workloads make: pods from templates, names from hashes, numbers from percentages.

use serde_json::{Value, json};

/// The letters and digits of generated names: none that make words or look alike.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// A number, or a share of a total.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Amount {
    Number(i64),
    Percent(i64),
}

/// Which way a share is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rounding {
    Up,
    Down,
}

impl Amount {
    /// Reads a number or a text like `25%`; what is neither is none.
    pub(super) fn read(value: Option<&Value>) -> Option<Self> {
        match value? {
            Value::String(text) => match text.strip_suffix('%') {
                Some(percent) => percent.parse().ok().map(Self::Percent),
                None => text.parse().ok().map(Self::Number),
            },
            other => other.as_i64().map(Self::Number),
        }
    }

    pub(super) fn of(self, total: i64, rounding: Rounding) -> i64 {
        match self {
            Self::Number(number) => number,
            Self::Percent(percent) => {
                let hundredfold = percent.saturating_mul(total);
                match rounding {
                    Rounding::Up => hundredfold.saturating_add(99).div_euclid(100),
                    Rounding::Down => hundredfold.div_euclid(100),
                }
            }
        }
    }
}

/// A pod as its template wants it, with one owner.
pub(super) fn pod(template: &Value, owner: Value) -> Value {
    let mut metadata = json!({"ownerReferences": [owner]});
    for field in ["labels", "annotations", "finalizers"] {
        if let Some(wanted) = template.pointer(&format!("/metadata/{field}")) {
            metadata[field] = wanted.clone();
        }
    }
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": template.get("spec").cloned().unwrap_or_default(),
    })
}

/// A short text that follows from a template, and from how often that text led to a name that was
/// taken. Real Kubernetes hashes the memory of a Go program, which no one can follow; names differ
/// between two clusters, but never within one.
pub(super) fn hash(template: &Value, collisions: Option<i64>) -> String {
    // Maps of JSON are sorted by their keys, so that equal templates are equal texts.
    let mut text = template.to_string();
    if let Some(collisions) = collisions {
        text.push_str(&collisions.to_string());
    }
    let hash = text.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    let letters = hash.to_string().into_bytes().into_iter();
    letters
        .map(|digit| char::from(ALPHABET[usize::from(digit) % ALPHABET.len()]))
        .collect()
}

/// A template without one of its labels.
pub(super) fn without_label(template: &Value, label: &str) -> Value {
    let mut template = template.clone();
    if let Some(labels) = template.pointer_mut("/metadata/labels")
        && let Some(labels) = labels.as_object_mut()
    {
        labels.remove(label);
    }
    template
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_rounded_the_way_that_is_asked() {
        let cases = [
            (json!(3), 10, 3, 3),
            (json!("25%"), 10, 3, 2),
            (json!("25%"), 4, 1, 1),
            (json!("0%"), 4, 0, 0),
            (json!("100%"), 7, 7, 7),
            (json!("150%"), 2, 3, 3),
        ];
        for (value, total, up, down) in cases {
            let amount = Amount::read(Some(&value)).unwrap();
            assert_eq!(amount.of(total, Rounding::Up), up, "{value} of {total}");
            assert_eq!(amount.of(total, Rounding::Down), down, "{value} of {total}");
        }
        assert_eq!(Amount::read(Some(&json!("many"))), None);
        assert_eq!(Amount::read(None), None);
    }

    #[test]
    fn a_hash_follows_from_the_template_alone() {
        let one = json!({"metadata": {"labels": {"a": "1"}}, "spec": {"x": 1, "y": 2}});
        let same = json!({"spec": {"y": 2, "x": 1}, "metadata": {"labels": {"a": "1"}}});
        let other = json!({"metadata": {"labels": {"a": "2"}}, "spec": {"x": 1, "y": 2}});
        assert_eq!(hash(&one, None), hash(&same, None));
        assert_ne!(hash(&one, None), hash(&other, None));
        assert_ne!(hash(&one, None), hash(&one, Some(1)));
        assert!(
            hash(&one, None)
                .bytes()
                .all(|byte| ALPHABET.contains(&byte))
        );
    }

    #[test]
    fn a_pod_takes_labels_annotations_and_finalizers_of_its_template_and_no_name() {
        let template = json!({
            "metadata": {"name": "x", "labels": {"a": "1"}, "annotations": {"b": "2"}},
            "spec": {"containers": []},
        });
        let pod = pod(&template, json!({"uid": "u"}));
        assert_eq!(
            pod["metadata"],
            json!({
                "labels": {"a": "1"}, "annotations": {"b": "2"}, "ownerReferences": [{"uid": "u"}],
            })
        );
        assert_eq!(pod["spec"], json!({"containers": []}));
    }
}
