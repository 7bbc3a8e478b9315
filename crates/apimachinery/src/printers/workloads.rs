//! Rows of what runs pods.

use jiff::Timestamp;
use serde_json::Value;

use super::cells::{
    NONE, age, containers, count, has_condition, is_terminating, items, labels, name, number,
    selector, since, text, text_or,
};
use super::duration;

const POD_CONTAINERS: &str = "/spec/template/spec/containers";

pub(super) fn deployment(o: &Value, now: Timestamp) -> Vec<Value> {
    let [names, images] = containers(o, POD_CONTAINERS);
    vec![
        name(o),
        ready_of(o),
        number(o, "/status/updatedReplicas").into(),
        number(o, "/status/availableReplicas").into(),
        age(o, now),
        names,
        images,
        selector(o, "/spec/selector"),
    ]
}

fn ready_of(o: &Value) -> Value {
    format!(
        "{}/{}",
        number(o, "/status/readyReplicas"),
        number(o, "/spec/replicas")
    )
    .into()
}

pub(super) fn replica_set(o: &Value, now: Timestamp) -> Vec<Value> {
    let [names, images] = containers(o, POD_CONTAINERS);
    // Replication controllers select by a plain map.
    let is_map = o.pointer("/spec/selector/matchLabels").is_none()
        && o.pointer("/spec/selector/matchExpressions").is_none();
    vec![
        name(o),
        number(o, "/spec/replicas").into(),
        number(o, "/status/replicas").into(),
        number(o, "/status/readyReplicas").into(),
        age(o, now),
        names,
        images,
        if is_map {
            labels(o, "/spec/selector")
        } else {
            selector(o, "/spec/selector")
        },
    ]
}

pub(super) fn stateful_set(o: &Value, now: Timestamp) -> Vec<Value> {
    let [names, images] = containers(o, POD_CONTAINERS);
    vec![name(o), ready_of(o), age(o, now), names, images]
}

pub(super) fn revision(o: &Value, now: Timestamp) -> Vec<Value> {
    let mut owners = items(o, "/metadata/ownerReferences").iter();
    let controller = owners.find(|owner| owner["controller"] == true);
    let controller = controller.map_or(NONE.to_owned(), |owner| {
        let kind = text(owner, "/kind").to_lowercase();
        let owner_name = text(owner, "/name");
        match text(owner, "/apiVersion").split_once('/') {
            Some((group, _)) => format!("{kind}.{group}/{owner_name}"),
            None => format!("{kind}/{owner_name}"),
        }
    });
    vec![
        name(o),
        controller.into(),
        number(o, "/revision").into(),
        age(o, now),
    ]
}

pub(super) fn daemon_set(o: &Value, now: Timestamp) -> Vec<Value> {
    let [names, images] = containers(o, POD_CONTAINERS);
    let status = |field: &str| Value::from(number(o, &format!("/status/{field}")));
    vec![
        name(o),
        status("desiredNumberScheduled"),
        status("currentNumberScheduled"),
        status("numberReady"),
        status("updatedNumberScheduled"),
        status("numberAvailable"),
        labels(o, "/spec/template/spec/nodeSelector"),
        age(o, now),
        names,
        images,
        selector(o, "/spec/selector"),
    ]
}

pub(super) fn job(o: &Value, now: Timestamp) -> Vec<Value> {
    let status = if has_condition(o, "Complete", "True") {
        "Complete"
    } else if has_condition(o, "Failed", "True") {
        "Failed"
    } else if is_terminating(o) {
        "Terminating"
    } else if has_condition(o, "Suspended", "True") {
        "Suspended"
    } else if has_condition(o, "FailureTarget", "True") {
        "FailureTarget"
    } else {
        "Running"
    };
    let succeeded = number(o, "/status/succeeded");
    let completions = match o.pointer("/spec/completions").and_then(Value::as_i64) {
        Some(wanted) => format!("{succeeded}/{wanted}"),
        None => match number(o, "/spec/parallelism") {
            ..=1 => format!("{succeeded}/1"),
            parallel => format!("{succeeded}/1 of {parallel}"),
        },
    };
    let started = text(o, "/status/startTime").parse::<Timestamp>().ok();
    let ended = text(o, "/status/completionTime")
        .parse::<Timestamp>()
        .unwrap_or(now);
    let [names, images] = containers(o, POD_CONTAINERS);
    vec![
        name(o),
        status.into(),
        completions.into(),
        started
            .map(|started| duration::since(started, ended))
            .unwrap_or_default()
            .into(),
        age(o, now),
        names,
        images,
        selector(o, "/spec/selector"),
    ]
}

pub(super) fn cron_job(o: &Value, now: Timestamp) -> Vec<Value> {
    let last = match text(o, "/status/lastScheduleTime") {
        "" => NONE.to_owned(),
        _ => since(o, "/status/lastScheduleTime", now),
    };
    let suspended = o.pointer("/spec/suspend").and_then(Value::as_bool);
    let [names, images] = containers(o, "/spec/jobTemplate/spec/template/spec/containers");
    vec![
        name(o),
        text(o, "/spec/schedule").into(),
        text_or(o, "/spec/timeZone", NONE),
        suspended
            .map_or_else(|| "<unset>".to_owned(), title_case)
            .into(),
        count(o, "/status/active").into(),
        last.into(),
        age(o, now),
        names,
        images,
        selector(o, "/spec/jobTemplate/spec/selector"),
    ]
}

fn title_case(flag: bool) -> String {
    if flag { "True" } else { "False" }.to_owned()
}
