//! Following what a user has submitted: the pods with the label, and nothing else.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use windlass_api::spark::application::ExecutorState;
use windlass_api::spark::original::{
    ApplicationState, ApplicationStateType as Word, DriverInfo, SparkApplicationStatus as Status,
};

use crate::lifecycle::executors::{self, Book, Outlook};
use crate::lifecycle::health::{self, Health};
use crate::lifecycle::observed::{DriverPod, ExecutorPod};
use crate::lifecycle::spec::Limits;

/// The status of an original whose pods are these. A driver that was seen and is not there any more
/// has not ended well: whoever deletes it leaves nothing that says so.
pub(super) fn follow(
    before: &Status,
    drivers: &[DriverPod],
    pods: &[ExecutorPod],
    now: Timestamp,
) -> Status {
    let mut status = before.clone();
    // One that was submitted again has the same label and a younger driver.
    let newest = drivers
        .iter()
        .max_by_key(|driver| (driver.created, &driver.uid));
    let Some(driver) = newest else {
        if let Some(name) = &before.driver_info.pod_name
            && !before.application_state.state.is_terminal()
        {
            status.application_state = ApplicationState {
                state: Word::Failed,
                error_message: format!("driver pod {name} is gone, and did not say how it ended"),
            };
            status.completion_time = Some(Time(whole(now)));
            status.executor_state = executors_of(&status, None, pods, Outlook::EndedBadly);
        }
        return status;
    };
    let is_another = before.driver_info.pod_name.as_ref() != Some(&driver.name)
        || before.submission_time != Some(Time(whole(driver.created)));
    if is_another {
        status = Status {
            driver_info: DriverInfo {
                pod_name: Some(driver.name.clone()),
                ..DriverInfo::default()
            },
            submission_time: Some(Time(whole(driver.created))),
            completion_time: None,
            executor_state: BTreeMap::new(),
            ..status
        };
    }
    let (state, message, outlook) = match health::of_driver(driver, &Limits::default(), now) {
        Health::Pending(hold) => {
            let message = hold.is_troubling().then_some(hold.message);
            (Word::Submitted, message, Outlook::Working)
        }
        Health::Running { .. } => (Word::Running, None, Outlook::Working),
        Health::Unreachable(_) => {
            let message = "the driver's node does not answer".to_owned();
            (Word::Running, Some(message), Outlook::Working)
        }
        Health::Ended(ending) => {
            // A pod without a time of its end ended when that was first seen.
            status.completion_time.get_or_insert(Time(ending.at));
            if ending.is_success() {
                (Word::Completed, None, Outlook::EndedWell)
            } else {
                (Word::Failed, Some(ending.message), Outlook::EndedBadly)
            }
        }
    };
    status.application_state = ApplicationState {
        state,
        error_message: message.unwrap_or_default(),
    };
    status.executor_state = executors_of(&status, Some(driver), pods, outlook);
    status
}

fn executors_of(
    status: &Status,
    driver: Option<&DriverPod>,
    pods: &[ExecutorPod],
    outlook: Outlook,
) -> BTreeMap<String, ExecutorState> {
    // Executors of an earlier submission may still be there.
    let id = driver.and_then(|driver| driver.application_id.as_ref());
    let own: Vec<&ExecutorPod> = pods
        .iter()
        .filter(|pod| id.is_none() || pod.application_id.as_ref() == id)
        .collect();
    let book = Book {
        listed: status.executor_state.clone(),
        ..Book::default()
    };
    executors::keep(&book, &own, outlook, &Limits::default()).listed
}

fn whole(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
