//! What servers that stay have in common, whatever they serve: their names, the template of their pod, read as the
//! fields that an application has for the same, and what their Service starts from.

use k8s_openapi::api::core::v1::Service;
use serde_json::{Value, json};

use super::application::{SparkPodSpec, read_piece};
use crate::field::{FieldError, FieldPath};
use crate::names::{LABEL_MAX, ServiceName};

/// What is wrong with the name of a server, behind which `suffix` is put for its Service.
pub(crate) fn wrong_with_name(name: &str, suffix: &str) -> Option<FieldError> {
    let path = FieldPath::new("metadata").field("name");
    let most = LABEL_MAX - suffix.len();
    match ServiceName::new(name) {
        Err(error) => Some(FieldError::invalid(path, name, error.to_string())),
        Ok(_) if name.len() > most => {
            let detail = format!(
                "has {} characters but at most {most} are allowed, since {suffix} is put behind it",
                name.len()
            );
            Some(FieldError::invalid(path, name, detail))
        }
        Ok(_) => None,
    }
}

/// Reads what the Service of a server starts from, or says everything that is wrong with it.
pub(crate) fn read_service(value: &Value, path: &FieldPath) -> Result<Service, Vec<FieldError>> {
    let mut value = value.clone();
    if let Some(fields) = value.as_object_mut() {
        // It gets a name and labels by the operator.
        fields.entry("metadata").or_insert_with(|| json!({}));
    }
    read_piece(&value, path)
}

/// What of a Service cannot lead to a server.
pub(crate) fn wrong_with_service(service: &Service, path: &FieldPath) -> Vec<FieldError> {
    let mut findings = Vec::new();
    if let Some(name) = &service.metadata.name
        && let Err(error) = ServiceName::new(name.as_str())
    {
        let path = path.field("metadata").field("name");
        findings.push(FieldError::invalid(path, name.as_str(), error.to_string()));
    }
    let kind = service.spec.as_ref().and_then(|spec| spec.type_.as_deref());
    if kind == Some("ExternalName") {
        let path = path.field("spec").field("type");
        let detail = "leads to no pod; use ClusterIP, NodePort or LoadBalancer";
        findings.push(FieldError::invalid(path, "ExternalName", detail));
    }
    findings
}

/// The container of Spark in the pod of a server that says nothing else.
pub(crate) const CONTAINER: &str = "spark-kubernetes-driver";

/// A template, and the name of Spark's container in it.
pub(crate) struct Template<'a> {
    /// The template, if there is one.
    pub(crate) value: Option<&'a Value>,
    /// The container that is Spark's, if it is there.
    pub(crate) container: &'a str,
}

impl Template<'_> {
    /// Spark sets image and account by settings, over what the template says; here the template is
    /// the place where users say it.
    pub(crate) fn pod(&self, cores: Option<i32>, memory: Option<&String>) -> SparkPodSpec {
        let text = |value: Option<&Value>| {
            let text = value.and_then(Value::as_str);
            text.filter(|it| !it.is_empty()).map(str::to_owned)
        };
        let pod = self.value.and_then(|template| template.get("spec"));
        let of_pod = |field: &str| text(pod.and_then(|pod| pod.get(field)));
        SparkPodSpec {
            cores,
            memory: memory.cloned(),
            image: text(self.spark().and_then(|container| container.get("image"))),
            service_account: of_pod("serviceAccountName").or_else(|| of_pod("serviceAccount")),
            template: self.value.cloned(),
            ..SparkPodSpec::default()
        }
    }

    /// When the image of Spark's container is pulled, if the template says so.
    pub(crate) fn pull_policy(&self) -> Option<String> {
        let policy = self.spark()?.get("imagePullPolicy")?.as_str()?;
        Some(policy.to_owned())
    }

    /// Spark's container: the one of that name, else the first.
    fn spark(&self) -> Option<&Value> {
        let containers = self.value?.get("spec")?.get("containers")?.as_array()?;
        let named = containers.iter().find(|it| it["name"] == self.container);
        named.or_else(|| containers.first())
    }
}
