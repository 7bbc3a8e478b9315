//! Policies and where they stand.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use windlass_api::decode::decode;
use windlass_api::parse;
use windlass_api::spark::SparkPolicy;
use windlass_api::spark::policy::{ImageAlias, SparkPolicySpec, validate};
use windlass_engine::Object;

/// One policy that can be meant.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// What it is, for people.
    pub source: String,
    /// The namespace whose jobs it is about; all of them when not given.
    pub namespace: Option<String>,
    /// What it says.
    pub spec: SparkPolicySpec,
}

impl Layer {
    /// Reads a SparkPolicy of the cluster, or says what is wrong with it.
    pub fn read(object: &Object) -> Read {
        let namespace = object.namespace().unwrap_or_default();
        let source = format!("SparkPolicy {namespace}/{}", object.name());
        let told = |problem: String| format!("{source}: {problem}");
        let policy = SparkPolicy::deserialize(object.as_value())
            .map_err(|error| vec![told(error.to_string())])?;
        let problems = validate(&policy);
        if !problems.is_empty() {
            return Err(problems.iter().map(|it| told(it.to_string())).collect());
        }
        Ok(Arc::new(Self {
            source,
            namespace: Some(namespace.to_owned()),
            spec: policy.spec,
        }))
    }
}

/// The policies of a file: those with a namespace are about its jobs, the others about all. `Err`
/// has one line per mistake.
pub fn read_file(text: &str) -> Result<Vec<Arc<Layer>>, Vec<String>> {
    let objects = parse::objects(text).map_err(|error| vec![error.to_string()])?;
    if objects.is_empty() {
        return Err(vec![
            "is empty: give a SparkPolicy (windlass.dev/v1alpha1)".to_owned(),
        ]);
    }
    let mut layers = Vec::new();
    let mut problems = Vec::new();
    for object in &objects {
        let policy: SparkPolicy = match decode(object) {
            Ok(policy) => policy,
            Err(error) => {
                problems.extend(error.to_string().lines().map(str::to_owned));
                continue;
            }
        };
        problems.extend(validate(&policy).iter().map(ToString::to_string));
        let name = policy.metadata.name.as_deref().unwrap_or("without a name");
        let namespace = policy.metadata.namespace.clone();
        let place = namespace.as_deref().map(|it| format!("{it}/"));
        layers.push(Arc::new(Layer {
            source: format!("SparkPolicy {}{name}", place.unwrap_or_default()),
            namespace,
            spec: policy.spec,
        }));
    }
    if problems.is_empty() {
        Ok(layers)
    } else {
        Err(problems)
    }
}

/// A policy, or one line per mistake of it.
pub type Read = Result<Arc<Layer>, Vec<String>>;

/// All policies about the jobs of one namespace, those of the operator first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policies {
    layers: Vec<Arc<Layer>>,
    broken: Vec<String>,
}

impl Policies {
    /// The policies of the operator and those of the cluster, as far as they are about this
    /// namespace.
    pub fn of<'a>(
        operators: &[Arc<Layer>],
        found: impl IntoIterator<Item = &'a Read>,
        namespace: &str,
    ) -> Self {
        let is_about = |layer: &&Arc<Layer>| {
            let about = layer.namespace.as_deref();
            about.is_none_or(|about| about == namespace)
        };
        let mut policies = Self::default();
        for layer in operators.iter().filter(is_about) {
            policies.layers.push(Arc::clone(layer));
        }
        // What is about all namespaces goes before what is about one.
        policies
            .layers
            .sort_by_key(|layer| layer.namespace.is_some());
        for read in found {
            match read {
                Ok(layer) if is_about(&layer) => policies.layers.push(Arc::clone(layer)),
                Ok(_) => {}
                Err(problems) => policies.broken.extend(problems.iter().cloned()),
            }
        }
        policies.broken.extend(policies.chained_aliases());
        policies
    }

    /// Whether nothing is decided.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty() && self.broken.is_empty()
    }

    /// What is wrong with policies, one line each; while anything is, nothing may be submitted.
    pub fn broken(&self) -> &[String] {
        &self.broken
    }

    pub(super) fn layers(&self) -> &[Arc<Layer>] {
        &self.layers
    }

    /// The names for images, the nearer ones first.
    pub(super) fn aliases(&self) -> impl Iterator<Item = &ImageAlias> {
        let nearest_first = self.layers.iter().rev();
        nearest_first.flat_map(|layer| &layer.spec.image_aliases)
    }

    /// A name must not stand for another policy's name: what is resolved would be resolved again.
    fn chained_aliases(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for layer in &self.layers {
            for alias in &layer.spec.image_aliases {
                if self.aliases().any(|other| other.name == alias.image) {
                    problems.push(format!(
                        "{}: spec.imageAliases[{}]: {:?} is the name of an alias of another \
                         policy; write the image itself",
                        layer.source, alias.name, alias.image
                    ));
                }
            }
        }
        problems
    }
}

/// The policies of a namespace, from what the API shows.
pub fn of_objects(operators: &[Arc<Layer>], found: &[Value], namespace: &str) -> Policies {
    let read: Vec<Read> = found
        .iter()
        .map(|value| Object::new(value.clone()))
        .filter(|object| object.namespace() == Some(namespace))
        .map(|object| Layer::read(&object))
        .collect();
    Policies::of(operators, &read, namespace)
}
