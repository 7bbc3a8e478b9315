//! From an application of that time to one of today.
//!
//! Laws: pure; every mistake is told, not only the first, by the name its field has in the original;
//! what is made is valid; what is not taken over as it stands is told in a [`Note`].

use std::collections::BTreeMap;

use kube::api::ObjectMeta;

use super::image::{OldImages, Version};
use super::{
    APP_ID_LABEL, DeployMode, FOLLOWED_NAME_MAX, SecretInfo, SecretType, SparkApplication,
    SparkApplicationSpec,
};
use crate::field::{FieldError, FieldPath, Note};
use crate::quantity::Quantity;
use crate::spark::application::{
    self, ConfValue, Dependencies, DriverSpec, ExecutorSpec, NamePath, RERUN_REQUESTED_AT,
    SparkPodSpec,
};

/// The annotation that tells the version of Spark where the tag of the image does not.
pub const SPARK_VERSION_ANNOTATION: &str = "windlass.dev/spark-version";

/// An application of today, and what it is to know about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversion {
    /// The application, of the same name and namespace.
    pub application: application::SparkApplication,
    /// What was not taken over as it stands.
    pub notes: Vec<Note>,
}

/// Settings of that time that no Spark reads any more, and why that does no harm, or does.
const FORGOTTEN: [(&str, &str); 6] = [
    (
        "spark.kubernetes.resourceStagingServer.",
        "there is no staging server any more; put files into storage or into the image",
    ),
    (
        "spark.kubernetes.initcontainer.",
        "the driver fetches files itself, without an init container",
    ),
    (
        "spark.kubernetes.initContainer.",
        "the driver fetches files itself, without an init container",
    ),
    (
        "spark.kubernetes.shuffle.",
        "there is no shuffle service in pods any more; see dynamic allocation with shuffle tracking",
    ),
    (
        "spark.kubernetes.driver.docker.image",
        "use spec.driver.image",
    ),
    (
        "spark.kubernetes.executor.docker.image",
        "use spec.executor.image",
    ),
];

/// The application of today that this one stands for.
///
/// # Errors
/// Everything that is in the way, each with the field, what is wrong and what to do.
pub fn convert(
    original: &SparkApplication,
    old_images: &OldImages,
) -> Result<Conversion, Vec<FieldError>> {
    let mut converter = Converter {
        spec: &original.spec,
        path: FieldPath::new("spec"),
        errors: Vec::new(),
        notes: Vec::new(),
    };
    let spec = converter.spec(original, old_images);
    let annotations = original.metadata.annotations.as_ref();
    let rerun = annotations.and_then(|all| all.get(RERUN_REQUESTED_AT));
    let application = application::SparkApplication {
        metadata: ObjectMeta {
            name: original.metadata.name.clone(),
            namespace: original.metadata.namespace.clone(),
            labels: original.metadata.labels.clone(),
            annotations: rerun
                .map(|text| BTreeMap::from([(RERUN_REQUESTED_AT.to_owned(), text.clone())])),
            ..ObjectMeta::default()
        },
        spec,
        status: None,
    };
    let Converter {
        mut errors, notes, ..
    } = converter;
    let known: Vec<FieldPath> = errors.iter().map(|error| error.path.clone()).collect();
    errors.extend(
        application::validate(&application)
            .into_iter()
            .map(|error| in_own_words(error, &original.spec))
            .filter(|error| !known.contains(&error.path))
            // What the original has no field for follows from its images, of which was told.
            .filter(|error| !matches!(error.path.as_str(), "spec.sparkVersion" | "spec.image")),
    );
    if errors.is_empty() {
        Ok(Conversion { application, notes })
    } else {
        Err(errors)
    }
}

/// What is in the way of following what the user submits.
pub fn check_followed(original: &SparkApplication) -> Vec<FieldError> {
    let name = original.metadata.name.as_deref().unwrap_or_default();
    if name.len() <= FOLLOWED_NAME_MAX {
        return Vec::new();
    }
    vec![FieldError::invalid(
        FieldPath::new("metadata").field("name"),
        name,
        format!(
            "has {} characters but at most {FOLLOWED_NAME_MAX} are allowed with \
             spec.submissionByUser, because the label {APP_ID_LABEL} has to hold it; choose a \
             shorter one",
            name.len()
        ),
    )]
}

/// The names that fields have in the original, where they are others.
fn in_own_words(error: FieldError, spec: &SparkApplicationSpec) -> FieldError {
    let path = error.path.as_str();
    let own = match path.strip_prefix("spec.deps.jars") {
        Some(rest) if !spec.deps.jar_files.is_empty() => format!("spec.deps.jarFiles{rest}"),
        _ => path
            .replace(".coreRequest", ".cores")
            .replace("spec.driver.envVars", "spec.driver.driverEnvVars")
            .replace("spec.executor.envVars", "spec.executor.executorEnvVars"),
    };
    FieldError {
        path: FieldPath::root().join(&own),
        ..error
    }
}

struct Converter<'a> {
    spec: &'a SparkApplicationSpec,
    path: FieldPath,
    errors: Vec<FieldError>,
    notes: Vec<Note>,
}

impl Converter<'_> {
    fn spec(
        &mut self,
        original: &SparkApplication,
        old_images: &OldImages,
    ) -> application::SparkApplicationSpec {
        self.check_mode();
        self.note_forgotten_settings();
        let spec = self.spec;
        let images = self.images(original, old_images);
        let (driver, executor) = (&spec.driver, &spec.executor);
        let driver_pod = self.role(
            "driver",
            Role {
                cores: driver.cores.as_deref(),
                memory: driver.memory.as_deref(),
                image: images.driver,
                config_maps: [
                    &driver.driver_conig_maps,
                    &driver.driver_config_maps,
                    &driver.config_maps,
                ],
                secrets: [&driver.driver_secrets, &driver.secrets],
                env_vars: [&driver.driver_env_vars, &driver.env_vars],
            },
        );
        let executor_pod = self.role(
            "executor",
            Role {
                cores: executor.cores.as_deref(),
                memory: executor.memory.as_deref(),
                image: images.executor,
                config_maps: [
                    &executor.executor_conig_maps,
                    &executor.executor_config_maps,
                    &executor.config_maps,
                ],
                secrets: [&executor.executor_secrets, &executor.secrets],
                env_vars: [&executor.executor_env_vars, &executor.env_vars],
            },
        );
        application::SparkApplicationSpec {
            language: spec.language,
            spark_version: images.version,
            main_class: spec.main_class.clone(),
            main_application_file: spec.main_application_file.clone(),
            arguments: spec.arguments.clone(),
            spark_conf: conf(&spec.spark_conf),
            hadoop_conf: conf(&spec.hadoop_conf),
            spark_config_map: spec.spark_config_map.clone(),
            hadoop_config_map: spec.hadoop_config_map.clone(),
            deps: self.dependencies(),
            driver: DriverSpec {
                core_request: driver_pod.core_request,
                pod: driver_pod.pod,
                pod_name: spec.driver.pod_name.clone(),
                ..DriverSpec::default()
            },
            executor: ExecutorSpec {
                core_request: executor_pod.core_request,
                pod: executor_pod.pod,
                instances: spec.executor.instances,
                ..ExecutorSpec::default()
            },
            ..application::SparkApplicationSpec::default()
        }
    }

    fn check_mode(&mut self) {
        let (word, why) = match self.spec.mode {
            DeployMode::Cluster => return,
            DeployMode::Client => (
                "client",
                "would run the driver inside of the operator; use cluster",
            ),
            DeployMode::InClusterClient => (
                "in-cluster-client",
                "has the driver in a pod that is not submitted; use cluster, or have such a pod \
                 followed by submissionByUser: true and its label spark-operator.k8s.io/appId",
            ),
        };
        let path = self.path.field("mode");
        self.errors.push(FieldError::invalid(path, word, why));
    }

    fn note_forgotten_settings(&mut self) {
        for key in self.spec.spark_conf.keys() {
            let forgotten = FORGOTTEN.iter().find(|(begin, _)| key.starts_with(begin));
            if let Some((_, instead)) = forgotten {
                self.notes.push(Note {
                    field: self.path.field("sparkConf").key(key),
                    what: format!("has no effect: {instead}"),
                });
            }
        }
    }

    /// The images of today, and the version of the Spark in them.
    fn images(&mut self, original: &SparkApplication, old_images: &OldImages) -> Images {
        let annotations = original.metadata.annotations.as_ref();
        let told = annotations.and_then(|all| all.get(SPARK_VERSION_ANNOTATION));
        let stated: Option<Version> = told.and_then(|text| match text.parse() {
            Ok(version) => Some(version),
            Err(_) => {
                let path = FieldPath::new("metadata").field("annotations");
                let path = path.key(SPARK_VERSION_ANNOTATION);
                let detail = "is not a version of Spark; write it like 4.3.0";
                self.errors
                    .push(FieldError::invalid(path, text.as_str(), detail));
                None
            }
        });
        let (driver, driver_version) = self.image("driver", stated.as_ref(), old_images);
        let (executor, executor_version) = self.image("executor", stated.as_ref(), old_images);
        if let (Some(ours), Some(theirs)) = (&driver_version, &executor_version)
            && !ours.fits(theirs)
        {
            let path = self.path.field("executor").field("image");
            let detail = format!(
                "has Spark {}, and the driver has {}; use the same image for both",
                theirs.text, ours.text
            );
            let given = executor.clone().unwrap_or_default();
            self.errors.push(FieldError::invalid(path, given, detail));
        }
        let version = driver_version.or(executor_version);
        Images {
            driver,
            executor,
            version: version.map(|it| it.text).unwrap_or_default(),
        }
    }

    /// The image of a role, and the version of the Spark in it.
    fn image(
        &mut self,
        role: &str,
        stated: Option<&Version>,
        old_images: &OldImages,
    ) -> (Option<String>, Option<Version>) {
        let path = self.path.field(role).field("image");
        let given = match role {
            "driver" => self.spec.driver.image.as_deref(),
            _ => self.spec.executor.image.as_deref(),
        };
        let Some(given) = given.filter(|image| !image.is_empty()) else {
            let detail = "must be given, for example apache/spark:4.3.0";
            self.errors.push(FieldError::missing(path, detail));
            return (None, None);
        };
        let Some(version) = stated.cloned().or_else(|| Version::of_image(given)) else {
            self.errors.push(FieldError::invalid(
                path,
                given,
                format!(
                    "does not tell its version of Spark; use a tag that begins with it, or set the \
                     annotation {SPARK_VERSION_ANNOTATION}"
                ),
            ));
            return (Some(given.to_owned()), None);
        };
        if !version.is_too_old() {
            return (Some(given.to_owned()), Some(version));
        }
        match old_images {
            OldImages::Refuse => {
                self.errors.push(FieldError::invalid(
                    path,
                    given,
                    format!(
                        "has Spark {}, which cannot be run: its images start drivers in a way of \
                         their own, and its client does not speak with API servers of today; use an \
                         image of Spark 3 or later, or have the operator put one in its place \
                         (--original-image)",
                        version.text
                    ),
                ));
                (Some(given.to_owned()), None)
            }
            OldImages::Replace(current) => {
                self.note_replacement(path, &version, current.as_str());
                // The tag of a current image was read when it was given.
                let version = Version::of_image(current.as_str());
                (Some(current.as_str().to_owned()), version)
            }
        }
    }

    fn note_replacement(&mut self, field: FieldPath, version: &Version, current: &str) {
        let is_jar = self.spec.language.runs_on_jvm();
        let in_image = self.spec.main_application_file.starts_with("local:");
        let is_driver = field.as_str() == "spec.driver.image";
        self.notes.push(Note {
            field,
            what: format!(
                "{current} takes the place of an image of Spark {}",
                version.text
            ),
        });
        let what = match (in_image, is_jar) {
            (true, true) => {
                "must be in the new image, compiled for its versions of Scala and Spark"
            }
            (true, false) => "must be in the new image, in a form that its version of Spark runs",
            (false, true) => {
                "must be compiled for the versions of Scala and Spark of the new image"
            }
            (false, false) => return,
        };
        if is_driver {
            self.notes.push(Note {
                field: self.path.field("mainApplicationFile"),
                what: what.to_owned(),
            });
        }
    }

    fn role(&mut self, name: &str, role: Role<'_>) -> Pod {
        let path = self.path.field(name).field("cores");
        let (cores, core_request) = match role.cores {
            None => (None, None),
            Some(text) => self.cores(path, text),
        };
        let secrets = role.secrets.into_iter().flatten();
        Pod {
            pod: SparkPodSpec {
                cores,
                memory: role.memory.map(str::to_owned),
                image: role.image,
                config_maps: role.config_maps.into_iter().flatten().cloned().collect(),
                secrets: secrets.map(secret).collect(),
                env_vars: role
                    .env_vars
                    .into_iter()
                    .flatten()
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect(),
                ..SparkPodSpec::default()
            },
            core_request,
        }
    }

    /// A share of a core is requested as it stands, and lets one task run at a time.
    fn cores(&mut self, path: FieldPath, text: &str) -> (Option<i32>, Option<String>) {
        let quantity: Quantity = match text.parse() {
            Ok(quantity) => quantity,
            Err(error) => {
                self.errors
                    .push(FieldError::invalid(path, text, error.to_string()));
                return (None, None);
            }
        };
        let whole = quantity.units().and_then(|units| i32::try_from(units).ok());
        let Some(whole) = whole.filter(|units| *units > 0) else {
            let detail = "must be more than nothing, for example \"1\" or \"0.5\"";
            self.errors.push(FieldError::invalid(path, text, detail));
            return (None, None);
        };
        let is_whole = Quantity::from_units(i64::from(whole)) == quantity;
        let request = (!is_whole).then(|| quantity.to_string());
        (Some(whole), request)
    }

    fn dependencies(&self) -> Option<Dependencies> {
        let deps = &self.spec.deps;
        let jars = deps.jar_files.iter().chain(&deps.jars);
        let made = Dependencies {
            jars: jars.cloned().collect(),
            files: deps.files.clone(),
            py_files: deps.py_files.clone(),
            ..Dependencies::default()
        };
        (made != Dependencies::default()).then_some(made)
    }
}

/// What is said of driver or executors, under its old and its later names.
struct Role<'a> {
    cores: Option<&'a str>,
    memory: Option<&'a str>,
    image: Option<String>,
    config_maps: [&'a Vec<NamePath>; 3],
    secrets: [&'a Vec<SecretInfo>; 2],
    env_vars: [&'a BTreeMap<String, String>; 2],
}

struct Pod {
    pod: SparkPodSpec,
    core_request: Option<String>,
}

struct Images {
    driver: Option<String>,
    executor: Option<String>,
    /// Empty where it is not known, of which an error tells.
    version: String,
}

fn conf(given: &BTreeMap<String, String>) -> BTreeMap<String, ConfValue> {
    let entries = given.iter();
    entries
        .map(|(key, value)| (key.clone(), ConfValue::Text(value.clone())))
        .collect()
}

fn secret(given: &SecretInfo) -> application::SecretInfo {
    application::SecretInfo {
        name: given.name.clone(),
        path: given.path.clone(),
        kind: match given.kind {
            SecretType::GCPServiceAccount => application::SecretType::GCPServiceAccount,
            SecretType::HDFSDelegationToken | SecretType::HadoopDelegationToken => {
                application::SecretType::HadoopDelegationToken
            }
            SecretType::Generic => application::SecretType::Generic,
        },
    }
}
