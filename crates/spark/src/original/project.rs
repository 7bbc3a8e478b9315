//! What is said of an application, in the words of the first operator.

use windlass_api::spark::application::{
    ApplicationStateType as State, SparkApplicationStatus as Status,
};
use windlass_api::spark::original::{
    ApplicationState, ApplicationStateType as Word, DriverInfo, SparkApplicationStatus as Original,
};

/// The status of an original whose SparkApplication has this status. Its ids are not told there.
pub fn project(status: &Status) -> Original {
    let driver = &status.driver_info;
    let message = status.application_state.error_message.as_deref();
    let (state, said) = word(status.application_state.state);
    Original {
        submission_time: status.last_submission_attempt_time.clone(),
        completion_time: status.termination_time.clone(),
        driver_info: DriverInfo {
            pod_name: driver.pod_name.clone(),
            web_ui_service_name: driver.web_ui_service_name.clone(),
            web_ui_port: driver.web_ui_port,
            // The best address there is: one for browsers, else one from outside of the cluster.
            web_ui_address: driver
                .web_ui_ingress_address
                .clone()
                .or_else(|| driver.web_ui_external_address.clone())
                .or_else(|| driver.web_ui_address.clone()),
        },
        application_state: ApplicationState {
            state,
            error_message: message.or(said).unwrap_or_default().to_owned(),
        },
        executor_state: status.executor_state.clone(),
        ..Original::default()
    }
}

/// The word of that time, and what it does not say. It has five: an application that is not over
/// either has no driver, waits for one to start, or has one at work.
fn word(state: State) -> (Word, Option<&'static str>) {
    match state {
        State::New | State::PendingRerun | State::Resuming => (Word::New, None),
        State::SubmissionFailed => (Word::New, Some("the driver could not be submitted yet")),
        State::Suspended => (
            Word::New,
            Some("suspended: windlass resume lets it run again"),
        ),
        State::Submitted => (Word::Submitted, None),
        State::Running | State::Succeeding | State::Failing => (Word::Running, None),
        State::Invalidating => (
            Word::Running,
            Some("what runs makes way for a changed specification"),
        ),
        State::Suspending => (Word::Running, Some("being suspended")),
        State::Unknown => (Word::Running, Some("the driver's node does not answer")),
        State::Completed => (Word::Completed, None),
        State::Failed => (Word::Failed, None),
    }
}
