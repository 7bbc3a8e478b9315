//! What an application asks of a cluster: one model for queues, gang schedulers and people.
//!
//! Laws:
//! - it is read from what is submitted, so it cannot differ from what the pods ask for: the driver
//!   from its finished pod, executors from the settings and the template their driver starts with;
//! - a pod asks for the sum of its containers, or for its largest init container if that is more;
//!   a limit without a request counts as one, as the API server has it;
//! - sums never wrap: what cannot be counted counts as very much.

mod amounts;
mod pod;

use serde_json::Value;

use crate::submission::{self, ExecutorContainer, ExecutorCount, Profile, Submission, SubmitError};

pub use self::amounts::Amounts;
use self::pod::{Containers, of_pod};

/// What an application asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// The driver pod.
    pub driver: PodDemand,
    /// Each executor pod.
    pub executor: PodDemand,
    /// How many executors there are.
    pub executors: ExecutorCount,
}

/// What one pod asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PodDemand {
    /// What is set aside for it.
    pub requests: Amounts,
    /// What it may use at most.
    pub limits: Amounts,
}

impl Demand {
    /// Reads what is submitted.
    pub fn of(submission: &Submission, profile: Profile) -> Result<Self, SubmitError> {
        let (container, executors) = submission::executors(&submission.conf, profile)?;
        Ok(Self {
            driver: of_pod(&submission.driver, &Containers::default()),
            executor: executor(submission, &container),
            executors,
        })
    }

    /// The requests of the driver and of the fewest executors with which it gets anywhere.
    pub fn least(&self) -> Amounts {
        self.with(self.executors.least())
    }

    /// The requests of the driver and of the executors it begins with.
    pub fn initial(&self) -> Amounts {
        self.with(self.executors.initial())
    }

    fn with(&self, executors: u32) -> Amounts {
        let executors = self.executor.requests.times(executors);
        self.driver.requests.plus(&executors)
    }
}

/// The pod the driver makes: its template, in which Spark sets the resources of its own container.
fn executor(submission: &Submission, container: &ExecutorContainer) -> PodDemand {
    let template = executor_template(submission).unwrap_or(Value::Null);
    let name = submission
        .conf
        .get("spark.kubernetes.executor.podTemplateContainerName")
        .map(String::as_str);
    let memory = format!("{}Mi", container.memory.total_mib());
    let mut requests = vec![
        ("cpu".to_owned(), container.cpu_request.clone()),
        ("memory".to_owned(), memory.clone()),
    ];
    let mut limits = vec![("memory".to_owned(), memory)];
    limits.extend(
        container
            .cpu_limit
            .clone()
            .map(|limit| ("cpu".to_owned(), limit)),
    );
    for (resource, amount) in &container.others {
        requests.push((resource.clone(), amount.to_string()));
        limits.push((resource.clone(), amount.to_string()));
    }
    let spark = Containers {
        name,
        requests: requests.into_iter().collect(),
        limits: limits.into_iter().collect(),
    };
    of_pod(&template, &spark)
}

/// The template that goes to the driver in a ConfigMap.
fn executor_template(submission: &Submission) -> Option<Value> {
    let text = submission
        .objects
        .iter()
        .find_map(|object| object["data"]["podspec-configmap-key"].as_str())?;
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests;
