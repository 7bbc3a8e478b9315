//! What holds for every combination of fields.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, Pod};
use proptest::{prelude::*, sample::subsequence};

use super::{fields::samples, *};

/// Any of the sample values together. Limits must fit requests, so what contradicts is left out.
fn any_role(role: &'static str) -> impl Strategy<Value = Value> {
    let all: Vec<(&str, Value)> = samples(role)
        .into_iter()
        .filter(|(name, _)| *name != "memoryLimit")
        .collect();
    let count = all.len();
    subsequence(all, 0..=count)
        .prop_map(|fields| {
            fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect()
        })
        .prop_map(Value::Object)
}

fn any_spec() -> impl Strategy<Value = Value> {
    let versions = [
        "3.4.4", "3.5.9", "4.0.1", "4.1.4", "4.2.1", "4.3.0", "5.0.0",
    ];
    let version = proptest::sample::select(versions.to_vec());
    let config_maps = proptest::bool::ANY;
    (
        version,
        any_role("driver"),
        any_role("executor"),
        config_maps,
    )
        .prop_map(|(version, driver, executor, config_maps)| {
            let mut spec = json!({
                "sparkVersion": version,
                "driver": driver,
                "executor": executor,
                "volumes": [{"name": "data", "emptyDir": {}}],
            });
            if config_maps {
                spec["sparkConfigMap"] = json!("spark");
                spec["hadoopConfigMap"] = json!("hadoop");
            }
            spec
        })
}

fn distinct<'a>(names: impl Iterator<Item = &'a String>) -> bool {
    let mut seen = BTreeSet::new();
    names.into_iter().all(|name| seen.insert(name.clone()))
}

/// A pod of the real kind, in which no list holds a name twice.
fn check_pod(pod: &Value, container: &str) -> Result<Container, TestCaseError> {
    let pod: Pod = serde_json::from_value(pod.clone()).unwrap();
    let spec = pod.spec.unwrap();
    let init = spec.init_containers.iter().flatten();
    prop_assert!(distinct(
        spec.containers.iter().chain(init).map(|it| &it.name)
    ));
    prop_assert!(distinct(
        spec.volumes.iter().flatten().map(|volume| &volume.name)
    ));
    let volumes: BTreeSet<&String> = spec
        .volumes
        .iter()
        .flatten()
        .map(|volume| &volume.name)
        .collect();
    let spark = spec
        .containers
        .iter()
        .find(|it| it.name == container)
        .cloned();
    let spark = spark.ok_or_else(|| TestCaseError::fail("there is no container of Spark"))?;
    prop_assert!(distinct(
        spark.env.iter().flatten().map(|variable| &variable.name)
    ));
    let mounts = || spark.volume_mounts.iter().flatten();
    prop_assert!(distinct(mounts().map(|mount| &mount.mount_path)));
    prop_assert!(mounts().all(|mount| volumes.contains(&mount.name)));
    let ports = spark
        .ports
        .iter()
        .flatten()
        .filter_map(|port| port.name.as_ref());
    prop_assert!(distinct(ports));
    Ok(spark)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_combination_of_fields_gives_pods_that_are_whole(spec in any_spec()) {
        let app = application(spec);
        let once = lowered(&app);
        prop_assert_eq!(&once, &lowered(&app));

        let driver = check_pod(&once.submission.driver, &once.submission.container)?;
        prop_assert_eq!(&driver.args.unwrap_or_default()[0], "driver");

        let conf = &once.submission.conf;
        let name = &conf["spark.kubernetes.executor.podTemplateContainerName"];
        check_pod(&executor_template(&once), name)?;
        for key in conf.keys() {
            prop_assert!(key.starts_with("spark."), "{}", key);
        }
    }
}
