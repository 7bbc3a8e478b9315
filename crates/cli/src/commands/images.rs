//! `windlass images`: what must be in a registry before a cluster without internet can work.
//!
//! Law: nothing else is pulled. The operator pulls one image, and the pods of an application those
//! that its manifest names.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use windlass_api::decode::is_kind;
use windlass_api::parse;
use windlass_api::spark::original::OldImages;
use windlass_api::spark::{ScheduledSparkApplication, SparkApplication};
use windlass_spark::lower::Lowered;

use super::{install, render};
use crate::args::ImagesArgs;
use crate::exit::{Exit, Failure};
use crate::manifest;
use crate::output::data;

/// The settings that name the image of executors, the first that is set wins.
const EXECUTOR_IMAGE: [&str; 2] = [
    "spark.kubernetes.executor.container.image",
    "spark.kubernetes.container.image",
];

/// The key of the template of executors in its ConfigMap, as Spark's submission names it.
const EXECUTOR_TEMPLATE: &str = "podspec-configmap-key";

/// Prints one image a line, each once.
pub fn images(args: &ImagesArgs) -> Result<Exit, Failure> {
    let mut images = vec![install::image_of(&args.registry)];
    for file in &args.file {
        for image in of_file(file)? {
            if !images.contains(&image) {
                images.push(image);
            }
        }
    }
    data(&images.join("\n"))
}

/// The images of every application and schedule in a file.
fn of_file(file: &Path) -> Result<BTreeSet<String>, Failure> {
    let source = file.display().to_string();
    let mut images = BTreeSet::new();
    let mut found = false;
    for object in manifest::of_today(manifest::objects(file)?, file, &OldImages::Refuse)? {
        let application = if is_kind::<ScheduledSparkApplication>(&object) {
            render::run_of(&manifest::check_scheduled(&[], &object, &source)?)
        } else if is_kind::<SparkApplication>(&object) {
            manifest::check(&object, &source)?
        } else {
            continue;
        };
        found = true;
        images.extend(of_submission(&render::lowered(&application, &source)?));
    }
    if found {
        return Ok(images);
    }
    Err(Failure::bad_input(format!(
        "{source}: holds no SparkApplication and no ScheduledSparkApplication: give a file with one"
    )))
}

fn of_submission(lowered: &Lowered) -> BTreeSet<String> {
    let submission = &lowered.submission;
    let mut images = of_pod(&submission.driver);
    let executor = EXECUTOR_IMAGE
        .iter()
        .find_map(|key| submission.conf.get(*key));
    images.extend(executor.cloned());
    for object in &submission.objects {
        if let Some(template) = object["data"][EXECUTOR_TEMPLATE].as_str() {
            let documents = parse::documents(template);
            images.extend(documents.iter().flatten().flat_map(of_pod));
        }
    }
    images
}

fn of_pod(pod: &Value) -> BTreeSet<String> {
    let containers = ["containers", "initContainers"]
        .into_iter()
        .filter_map(|list| pod["spec"][list].as_array())
        .flatten();
    let images = containers.filter_map(|container| container["image"].as_str());
    images.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_images_of_a_manifest_are_those_of_all_containers_of_both_roles() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("app.yaml");
        fs::write(
            &file,
            "
apiVersion: sparkoperator.k8s.io/v1beta2
kind: SparkApplication
metadata: {name: app}
spec:
  type: Python
  mode: cluster
  sparkVersion: 4.3.0
  image: registry.example/spark:4.3.0
  mainApplicationFile: local:///opt/job.py
  driver:
    initContainers: [{name: fetch, image: registry.example/fetch:1}]
  executor:
    image: registry.example/executor:4.3.0
    sidecars: [{name: watch, image: registry.example/watch:2}]
---
apiVersion: sparkoperator.k8s.io/v1beta2
kind: ScheduledSparkApplication
metadata: {name: nightly}
spec:
  schedule: '@daily'
  concurrencyPolicy: Forbid
  template:
    type: Python
    mode: cluster
    sparkVersion: 3.5.9
    image: registry.example/spark:3.5.9
    mainApplicationFile: local:///opt/job.py
    driver: {}
    executor: {}
",
        )
        .unwrap();
        let found: Vec<String> = of_file(&file).unwrap().into_iter().collect();
        assert_eq!(
            found,
            [
                "registry.example/executor:4.3.0",
                "registry.example/fetch:1",
                "registry.example/spark:3.5.9",
                "registry.example/spark:4.3.0",
                "registry.example/watch:2",
            ]
        );
    }
}
