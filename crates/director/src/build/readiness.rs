//! By what the kubelet knows whether a member serves: the checks of its services, made one probe.
//!
//! A container has one probe, so one check is a probe of Kubernetes' own, and several are a script of ours
//! that the probe runs. It takes them all beside each other and says which does not hold, and why.
//!
//! Laws:
//! - one check is asked for as it says, and what it is made into depends on nothing else: members stay as they
//!   are when this module learns something;
//! - of several, a member is ready while all hold; none is cut short, none is asked for less often than it says,
//!   and none that fails makes a member unready sooner than the most patient of them would.

use serde_json::{Map, Value, json};
use windlass_api::director::app::{Endpoint, HealthCheck, HttpScheme, Service};

use crate::agent::MOUNT;

/// How long a check waits for its answer when nothing is given, in seconds. Kubernetes' own second is
/// short for what JVMs serve.
const CHECK_TIMEOUT: i32 = 5;
/// Seconds from one time to the next when nothing is given, as Kubernetes has it.
const PERIOD: i32 = 10;
/// After how many failures a member is not ready when nothing is given, as Kubernetes has it.
const FAILURE_THRESHOLD: i32 = 3;
/// Seconds that the script has beyond those of its checks: it counts whole ones, looks once a second, and is
/// to tell of a check that is late before it is late itself.
const SCRIPT_TIMEOUT: i32 = 3;

/// What a check asks.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Question<'a> {
    /// Whether the port takes connections.
    Tcp { port: i32 },
    /// Whether a page answers.
    Http {
        port: i32,
        path: String,
        scheme: HttpScheme,
    },
    /// Whether the health service of gRPC says so, of one service or of the server.
    Grpc { port: i32, service: Option<&'a str> },
    /// Whether a command ends well.
    Exec { command: &'a [String] },
}

/// When it is asked, in seconds, and what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Timing {
    initial_delay: i32,
    period: i32,
    timeout: i32,
    failure_threshold: i32,
}

/// The probe of a member with these services; nothing where none has a check.
pub(super) fn readiness(services: &[Service]) -> Option<Value> {
    let checks = services.iter().filter_map(|service| {
        let endpoint = service.endpoint.as_ref()?;
        let check = endpoint.health_check.as_ref()?;
        Some((service.id.as_str(), check, Question::of(endpoint, check)?))
    });
    let checks: Vec<(&str, &HealthCheck, Question<'_>)> = checks.collect();
    match checks.as_slice() {
        [] => None,
        [(_, check, question)] => Some(native(check, question)),
        several => Some(script(several)),
    }
}

/// A probe of Kubernetes' own. What is not given is left to it, but for the time-out.
fn native(check: &HealthCheck, question: &Question<'_>) -> Value {
    let mut probe = Map::new();
    let (kind, handler) = question.handler();
    probe.insert(kind.to_owned(), handler);
    let timeout = check.timeout_seconds.unwrap_or(CHECK_TIMEOUT);
    probe.insert("timeoutSeconds".to_owned(), json!(timeout));
    for (field, value) in [
        ("initialDelaySeconds", check.initial_delay_seconds),
        ("periodSeconds", check.period_seconds),
        ("failureThreshold", check.failure_threshold),
    ] {
        if let Some(value) = value {
            probe.insert(field.to_owned(), json!(value));
        }
    }
    Value::Object(probe)
}

/// A probe that runs the script with all checks.
fn script(checks: &[(&str, &HealthCheck, Question<'_>)]) -> Value {
    let mut command = vec!["sh".to_owned(), format!("{MOUNT}/probe")];
    for (service, check, question) in checks {
        let timing = Timing::of(check);
        let (kind, arguments) = question.words();
        command.extend([
            (*service).to_owned(),
            timing.timeout.to_string(),
            kind.to_owned(),
            arguments.len().to_string(),
        ]);
        command.extend(arguments);
    }
    let timings: Vec<Timing> = checks.iter().map(|(_, it, _)| Timing::of(it)).collect();
    let timing = Timing::combined(&timings);
    json!({
        "exec": {"command": command},
        "initialDelaySeconds": timing.initial_delay,
        "periodSeconds": timing.period,
        "timeoutSeconds": timing.timeout,
        "failureThreshold": timing.failure_threshold,
    })
}

impl<'a> Question<'a> {
    fn of(endpoint: &'a Endpoint, check: &'a HealthCheck) -> Option<Self> {
        let port = endpoint.port;
        if let Some(http) = &check.http {
            let path = http.path.as_deref().or(endpoint.path.as_deref());
            let path = path.unwrap_or("/");
            let is_https = endpoint.url_scheme.as_deref() == Some("https");
            let otherwise = if is_https {
                HttpScheme::Https
            } else {
                HttpScheme::Http
            };
            return Some(Self::Http {
                port,
                path: if path.starts_with('/') {
                    path.to_owned()
                } else {
                    format!("/{path}")
                },
                scheme: http.scheme.unwrap_or(otherwise),
            });
        }
        if let Some(grpc) = &check.grpc {
            let service = grpc.service.as_deref();
            return Some(Self::Grpc { port, service });
        }
        if let Some(exec) = &check.exec {
            let command = &exec.command;
            return Some(Self::Exec { command });
        }
        check.tcp.as_ref().map(|_| Self::Tcp { port })
    }

    /// As a probe of Kubernetes has it.
    fn handler(&self) -> (&'static str, Value) {
        match self {
            Self::Tcp { port } => ("tcpSocket", json!({"port": port})),
            Self::Http { port, path, scheme } => (
                "httpGet",
                json!({"port": port, "path": path, "scheme": scheme}),
            ),
            Self::Grpc { port, service } => {
                let mut handler = json!({"port": port});
                if let Some(service) = service {
                    handler["service"] = json!(service);
                }
                ("grpc", handler)
            }
            Self::Exec { command } => ("exec", json!({"command": command})),
        }
    }

    /// As the script is told of it.
    fn words(&self) -> (&'static str, Vec<String>) {
        match self {
            Self::Tcp { port } => ("tcp", vec![port.to_string()]),
            Self::Http { port, path, scheme } => {
                let scheme = match scheme {
                    HttpScheme::Http => "http",
                    HttpScheme::Https => "https",
                };
                (
                    "http",
                    vec![scheme.to_owned(), port.to_string(), path.clone()],
                )
            }
            Self::Grpc { port, service } => {
                let service = service.unwrap_or_default().to_owned();
                ("grpc", vec![port.to_string(), service])
            }
            Self::Exec { command } => ("exec", command.to_vec()),
        }
    }
}

impl Timing {
    /// What a check says, and what holds where it says nothing.
    fn of(check: &HealthCheck) -> Self {
        Self {
            initial_delay: check.initial_delay_seconds.unwrap_or(0),
            period: check.period_seconds.unwrap_or(PERIOD),
            timeout: check.timeout_seconds.unwrap_or(CHECK_TIMEOUT),
            failure_threshold: check.failure_threshold.unwrap_or(FAILURE_THRESHOLD),
        }
    }

    /// That of one probe for all of them. It begins when the last may be asked for, since before that no
    /// member is ready anyway; it comes as often as the most frequent, and has the time of the slowest. A
    /// member stays ready for as long as the most patient check lets it: that is for how long it may fail,
    /// period by period.
    fn combined(all: &[Self]) -> Self {
        let most = |of: fn(&Self) -> i32| all.iter().map(of).max();
        let periods = all.iter().map(|it| it.period.max(1));
        let period = periods.min().unwrap_or(PERIOD);
        let patience = |it: &Self| i64::from(it.period) * i64::from(it.failure_threshold);
        let patience = all.iter().map(patience).max().unwrap_or(0);
        let failures = (patience + i64::from(period) - 1) / i64::from(period);
        Self {
            initial_delay: most(|it| it.initial_delay).unwrap_or(0),
            period,
            timeout: most(|it| it.timeout)
                .unwrap_or(CHECK_TIMEOUT)
                .saturating_add(SCRIPT_TIMEOUT),
            failure_threshold: i32::try_from(failures.max(1)).unwrap_or(i32::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use windlass_api::parse;

    use super::*;

    fn service(id: &str, endpoint: Value) -> Service {
        let service = json!({"id": id, "label": {"name": id}, "endpoint": endpoint});
        serde_json::from_value(service).unwrap()
    }

    fn every_kind() -> Vec<Service> {
        vec![
            service("sql", json!({"port": 9042, "healthCheck": {"tcp": {}}})),
            service(
                "page",
                json!({"port": 8443, "urlScheme": "https", "path": "ui",
                       "healthCheck": {"http": {}, "timeoutSeconds": 2, "periodSeconds": 5}}),
            ),
            service("none", json!({"port": 22})),
            service(
                "rpc",
                json!({"port": 9090, "healthCheck":
                       {"grpc": {"service": "data"}, "initialDelaySeconds": 20}}),
            ),
            service(
                "any-rpc",
                json!({"port": 9091, "healthCheck": {"grpc": {}}}),
            ),
            service(
                "log",
                json!({"port": 1, "healthCheck": {"exec": {"command": ["test", "-e", "/a b"]}}}),
            ),
        ]
    }

    #[test]
    fn one_check_is_a_probe_of_kubernetes_and_several_are_the_script() {
        let mut shown = Vec::new();
        for service in every_kind() {
            let id = service.id.clone();
            let probe = readiness(&[service]);
            shown.push(json!({ id: probe }));
        }
        shown.push(json!({"all": readiness(&every_kind())}));
        insta::assert_snapshot!(parse::to_yaml_documents(&shown).unwrap());
    }

    #[test]
    fn several_checks_have_one_time() {
        let timing = |initial_delay, period, timeout, failure_threshold| Timing {
            initial_delay,
            period,
            timeout,
            failure_threshold,
        };
        let usual = timing(0, 10, 5, 3);
        for (all, expected) in [
            // What nobody says stays what it is, with time for the script.
            (vec![usual, usual], timing(0, 10, 8, 3)),
            (vec![usual, timing(30, 10, 1, 3)], timing(30, 10, 8, 3)),
            // Asked for twice as often, it fails twice as often before the member is not ready.
            (vec![usual, timing(0, 5, 5, 3)], timing(0, 5, 8, 6)),
            (
                vec![timing(0, 7, 5, 1), timing(0, 3, 5, 1)],
                timing(0, 3, 8, 3),
            ),
            (
                vec![timing(0, 1, 60, 1), timing(5, 60, 1, 1)],
                timing(5, 1, 63, 60),
            ),
            (vec![usual, timing(0, 10, 5, 1)], timing(0, 10, 8, 3)),
            (
                vec![timing(0, i32::MAX, i32::MAX, i32::MAX), timing(0, 1, 1, 1)],
                timing(0, 1, i32::MAX, i32::MAX),
            ),
        ] {
            assert_eq!(Timing::combined(&all), expected, "{all:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_check_is_cut_short_or_judged_before_its_time(
            all in proptest::collection::vec((0..100, 1..100, 1..100, 1..100), 2..6),
        ) {
            let all: Vec<Timing> = all
                .into_iter()
                .map(|(initial_delay, period, timeout, failure_threshold)| Timing {
                    initial_delay,
                    period,
                    timeout,
                    failure_threshold,
                })
                .collect();
            let one = Timing::combined(&all);
            for it in all {
                proptest::prop_assert!(one.timeout > it.timeout);
                proptest::prop_assert!(one.period <= it.period);
                proptest::prop_assert!(one.initial_delay >= it.initial_delay);
                let patience = one.period * one.failure_threshold;
                proptest::prop_assert!(patience >= it.period * it.failure_threshold);
            }
        }
    }
}
