//! What is: the objects of one server and its pods, reduced to what decisions rest on.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use windlass_engine::plan::ObjectRef;

use crate::standing::{DeploymentState, Present, ServerPod};

/// Everything the decision may look at besides the object itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// The objects that this SparkConnect owns, pods aside.
    pub present: Vec<Present>,
    /// Objects of somebody else that have a name of ours.
    pub taken: Vec<ObjectRef>,
    /// The Deployment, as far as it tells how the server stands.
    pub deployment: Option<DeploymentState>,
    /// The pods of servers that are not on their way out, the latest first.
    pub servers: Vec<ServerPod>,
    /// How many executor pods there are in each phase.
    pub executors: BTreeMap<String, i32>,
    /// What the API refused last.
    pub refusal: Option<String>,
    /// A new token, in case one is needed.
    pub entropy: Option<Entropy>,
}

impl Observed {
    /// Whether any executor is there that has not ended.
    pub(super) fn has_executors(&self) -> bool {
        let ended = |phase: &str| matches!(phase, "Succeeded" | "Failed");
        self.executors
            .iter()
            .any(|(phase, count)| *count > 0 && !ended(phase))
    }
}

/// A random text that nobody is told.
#[derive(Clone, PartialEq, Eq)]
pub struct Entropy(String);

impl Entropy {
    /// Draws one: 244 random bits.
    pub fn draw() -> Self {
        let half = || uuid::Uuid::new_v4().simple();
        Self(format!("{}{}", half(), half()))
    }

    /// The one in a Secret that was to be written, so that the same is tried again.
    pub fn of_secret(secret: &Value) -> Option<Self> {
        let data = secret.get("data")?.as_object()?;
        let text = data.values().next()?.as_str()?;
        let bytes = STANDARD.decode(text).ok()?;
        String::from_utf8(bytes).ok().map(Self)
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy(..)")
    }
}

#[cfg(test)]
impl Entropy {
    pub(super) fn fixed(text: &str) -> Self {
        Self(text.to_owned())
    }
}
