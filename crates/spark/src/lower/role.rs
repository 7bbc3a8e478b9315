//! Driver and executor as lowering sees them.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, SecretKeySelector};
use serde_json::Value;
use windlass_api::spark::application::{
    DriverSpec, ExecutorSpec, Port, RolePieces, SecretType, SparkApplicationSpec, SparkPodSpec,
};

use super::Context;

/// Where ConfigMaps of Spark configuration files are mounted.
pub(crate) const SPARK_CONF_DIR: &str = "/etc/spark/conf";
/// Where ConfigMaps of Hadoop configuration files are mounted.
pub(crate) const HADOOP_CONF_DIR: &str = "/etc/hadoop/conf";

/// Driver or executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Driver,
    Executor,
}

impl Kind {
    /// As it is written in fields and settings.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Driver => "driver",
            Self::Executor => "executor",
        }
    }

    /// The container Spark runs in when no template names another.
    pub(super) const fn container(self) -> &'static str {
        match self {
            Self::Driver => "spark-kubernetes-driver",
            Self::Executor => "spark-kubernetes-executor",
        }
    }
}

/// One role of an application.
pub(super) struct Role<'a> {
    pub(super) kind: Kind,
    pub(super) context: &'a Context<'a>,
    /// What both roles have.
    pub(super) pod: &'a SparkPodSpec,
    /// What of it is a Kubernetes type.
    pub(super) pieces: &'a RolePieces,
}

impl<'a> Role<'a> {
    pub(super) fn new(context: &'a Context<'a>, kind: Kind) -> Self {
        let spec = &context.app.spec;
        let (pod, pieces) = match kind {
            Kind::Driver => (&spec.driver.pod, &context.pieces.driver),
            Kind::Executor => (&spec.executor.pod, &context.pieces.executor),
        };
        Self {
            kind,
            context,
            pod,
            pieces,
        }
    }

    pub(super) fn spec(&self) -> &'a SparkApplicationSpec {
        &self.context.app.spec
    }

    pub(super) fn driver(&self) -> &'a DriverSpec {
        &self.spec().driver
    }

    pub(super) fn executor(&self) -> &'a ExecutorSpec {
        &self.spec().executor
    }

    pub(super) fn ports(&self) -> &'a [Port] {
        match self.kind {
            Kind::Driver => &self.driver().ports,
            Kind::Executor => &self.executor().ports,
        }
    }

    /// That of the role, else that of the group.
    pub(super) fn priority_class_name(&self) -> Option<&'a str> {
        let own = match self.kind {
            Kind::Driver => self.driver().priority_class_name.as_deref(),
            Kind::Executor => self.executor().priority_class_name.as_deref(),
        };
        let spec = self.spec();
        let group = spec.batch_scheduler_options.as_ref();
        let group = group.filter(|_| spec.batch_scheduler.is_some());
        own.or_else(|| group?.priority_class_name.as_deref())
    }

    /// The JSON names of the role's fields that say something.
    pub(super) fn fields_that_are_set(&self) -> BTreeSet<String> {
        let role = match self.kind {
            Kind::Driver => serde_json::to_value(self.driver()),
            Kind::Executor => serde_json::to_value(self.executor()),
        };
        match role {
            Ok(Value::Object(fields)) => fields.into_iter().map(|(name, _)| name).collect(),
            _ => BTreeSet::new(),
        }
    }

    /// The environment variables of the Spark container, each name once.
    ///
    /// The order is that in which they may refer to each other; of two with one name the later
    /// one counts: what fields imply, then the older forms, then `env`.
    pub(super) fn environment(&self) -> Vec<EnvVar> {
        let mut all = Vec::new();
        if self.spec().spark_config_map.is_some() {
            all.push(literal("SPARK_CONF_DIR", SPARK_CONF_DIR));
        }
        if self.spec().hadoop_config_map.is_some() {
            all.push(literal("HADOOP_CONF_DIR", HADOOP_CONF_DIR));
        }
        for secret in &self.pod.secrets {
            let directory = secret.path.trim_end_matches('/');
            match secret.kind {
                SecretType::GCPServiceAccount => {
                    let file = format!("{directory}/key.json");
                    all.push(literal("GOOGLE_APPLICATION_CREDENTIALS", &file));
                }
                SecretType::HadoopDelegationToken => {
                    let file = format!("{directory}/hadoop.token");
                    all.push(literal("HADOOP_TOKEN_FILE_LOCATION", &file));
                }
                SecretType::Generic => {}
            }
        }
        all.extend(
            self.pod
                .env_vars
                .iter()
                .map(|(name, value)| literal(name, value)),
        );
        let of_secrets = self.pod.env_secret_key_refs.iter();
        all.extend(of_secrets.map(|(name, source)| from_secret(name, &source.name, &source.key)));
        all.extend(self.pieces.env.iter().cloned());
        let mut seen = BTreeSet::new();
        let mut last_of_each: Vec<EnvVar> = all
            .into_iter()
            .rev()
            .filter(|variable| seen.insert(variable.name.clone()))
            .collect();
        last_of_each.reverse();
        last_of_each
    }
}

pub(super) fn literal(name: &str, value: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        ..EnvVar::default()
    }
}

pub(super) fn from_secret(name: &str, secret: &str, key: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: secret.to_owned(),
                key: key.to_owned(),
                ..SecretKeySelector::default()
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}
