//! The steps of a plan, each started here as a task that reports back.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, Preconditions};

use super::{Report, SetUpFailure, Worker, container, tasks};
use crate::config::NodeError;
use crate::events::Kind;
use crate::plan::{Ongoing, Sandbox, Step};
use crate::poddir::PodRecord;

/// How long to wait before asking for the pod's removal again.
const REMOVE_RETRY: Duration = Duration::from_secs(1);

impl Worker {
    /// Starts a step; what comes of it is reported.
    pub(super) fn take(&mut self, step: Step) {
        match step {
            Step::SetUp => self.set_up(),
            Step::Start {
                container,
                attempt,
                streak,
            } => self.start(&container, attempt, streak),
            Step::Stop {
                container,
                attempt,
                kill_at,
                why,
            } => {
                self.stop(&container, attempt, kill_at, why);
            }
            Step::TearDown => {
                self.seen.sandbox = Sandbox::Making;
                let shim = self.shim.clone();
                self.tasks.spawn(async move {
                    Report::TornDown(match shim {
                        Some(shim) => tasks::dismiss(shim).await,
                        None => Ok(()),
                    })
                });
            }
            Step::Remove => self.remove(),
        }
    }

    fn set_up(&mut self) {
        let now = Timestamp::now();
        let address = match self.seen.address {
            Some(address) => address,
            None if self.uses_host_network() => Ipv4Addr::LOCALHOST,
            None => match self.take_address() {
                Ok(address) => address,
                Err(error) => {
                    self.take_report(Report::SetUp(Err(SetUpFailure::Walls(error.to_string()))));
                    return;
                }
            },
        };
        self.seen.address = Some(address);
        let accepted_at = *self.seen.accepted_at.get_or_insert(now);
        self.seen.sandbox = Sandbox::Making;
        let record = PodRecord {
            namespace: self.pod.metadata.namespace.clone().unwrap_or_default(),
            name: self.pod.metadata.name.clone().unwrap_or_default(),
            address,
            accepted_at,
        };
        let hosts = self.hosts_text(address);
        let task = tasks::set_up(
            Arc::clone(&self.context),
            self.pod.clone(),
            self.dir.clone(),
            record,
            hosts,
        );
        self.tasks.spawn(async move { Report::SetUp(task.await) });
    }

    fn take_address(&self) -> Result<Ipv4Addr, NodeError> {
        self.context.addresses.lock().take()
    }

    fn start(&mut self, name: &str, attempt: u32, streak: u32) {
        let (Some(container), Some(shim)) = (container(&self.pod, name), self.shim.clone()) else {
            return;
        };
        let seen = self.seen.containers.entry(name.to_owned()).or_default();
        seen.ongoing = Ongoing::Starting;
        seen.streak = streak;
        let job = tasks::Start {
            context: Arc::clone(&self.context),
            pod: self.pod.clone(),
            container: container.clone(),
            attempt,
            address: self.seen.address.unwrap_or(Ipv4Addr::LOCALHOST),
            dir: self.dir.clone(),
            volumes: self.volumes.clone(),
            shim,
            ending: self.ending.clone(),
        };
        let container = name.to_owned();
        self.tasks.spawn(async move {
            Report::Started {
                container,
                attempt,
                outcome: job.run().await,
            }
        });
    }

    fn stop(&mut self, name: &str, attempt: u32, kill_at: Timestamp, why: String) {
        let (Some(container), Some(shim)) = (container(&self.pod, name), self.shim.clone()) else {
            return;
        };
        let Some(seen) = self.seen.containers.get_mut(name) else {
            return;
        };
        let hooked = matches!(seen.ongoing, Ongoing::Stopping { .. });
        seen.ongoing = Ongoing::Stopping { kill_at };
        if let Some(earlier) = self.stops.remove(name) {
            earlier.abort();
        }
        if !hooked {
            let events = &self.context.events;
            let text = if why == "Stopping container" {
                format!("{why} {name}")
            } else {
                why
            };
            events.tell(&self.pod, Some(name), Kind::Normal, "Killing", text);
        }
        let process = seen.instance.as_ref().and_then(|(_, life)| life.process());
        let job = tasks::Stop {
            context: Arc::clone(&self.context),
            container: container.clone(),
            attempt,
            process,
            address: self.seen.address.unwrap_or(Ipv4Addr::LOCALHOST),
            dir: self.dir.clone(),
            shim,
            kill_at,
            run_hook: !hooked,
        };
        let name = name.to_owned();
        let handle = self.tasks.spawn({
            let container = name.clone();
            async move {
                job.run().await;
                Report::Stopped { container }
            }
        });
        self.stops.insert(name, handle);
    }

    fn remove(&mut self) {
        self.seen.sandbox = Sandbox::Making;
        let namespace = self.pod.metadata.namespace.clone().unwrap_or_default();
        let name = self.pod.metadata.name.clone().unwrap_or_default();
        let api: Api<Pod> = Api::namespaced(self.context.client.clone(), &namespace);
        let uid = self.uid.clone();
        self.tasks.spawn(async move {
            let preconditions = Preconditions {
                uid: Some(uid),
                resource_version: None,
            };
            let params = DeleteParams {
                grace_period_seconds: Some(0),
                preconditions: Some(preconditions),
                ..DeleteParams::default()
            };
            Report::Removed(match api.delete(&name, &params).await {
                // Finalizers may keep the object; nothing of it is left here all the same.
                Ok(_) => true,
                Err(kube::Error::Api(error)) => error.is_not_found() || error.is_conflict(),
                Err(_) => {
                    tokio::time::sleep(REMOVE_RETRY).await;
                    false
                }
            })
        });
    }
}
