//! `windlass app`: from an empty folder to what is applied.

use std::fs;

use crate::common::{root, windlass};

#[test]
fn an_application_is_begun_checked_and_packed_the_same_each_time() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("page");
    let at = folder.display().to_string();
    let begun = windlass(&["app", "init", &at]);
    assert_eq!(begun.code, 0, "{}", begun.stderr);
    let again = windlass(&["app", "init", &at]);
    assert_eq!(again.code, 2, "{}", again.stdout);
    assert!(
        again.stderr.contains("is there already"),
        "{}",
        again.stderr
    );
    let linted = windlass(&["app", "lint", &at]);
    assert_eq!(linted.code, 0, "{}", linted.stderr);

    let packed = windlass(&["app", "package", &at]);
    assert_eq!(packed.code, 0, "{}", packed.stderr);
    assert_eq!(packed.stdout, windlass(&["app", "package", &at]).stdout);
    let objects = windlass_api::parse::objects(&packed.stdout).unwrap();
    let kinds: Vec<&str> = objects
        .iter()
        .filter_map(|it| it["kind"].as_str())
        .collect();
    assert_eq!(kinds, ["ConfigMap", "KubeDirectorApp"]);
    let archive = scratch.path().join("page.tgz");
    let file = archive.display().to_string();
    let written = windlass(&["app", "package", &at, "--output", &file]);
    let package = &objects[1]["spec"]["defaultConfigPackage"];
    assert_eq!(package["sha256"], written.stdout.trim());
    assert_eq!(package["packageURL"], "configmap://page-setup/page.tgz");
    assert!(archive.is_file());
}

#[test]
fn mistakes_in_an_application_are_told_with_their_lines_and_fields() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("page");
    let at = folder.display().to_string();
    assert_eq!(windlass(&["app", "init", &at]).code, 0);
    let file = folder.join("app.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let line = text.lines().position(|it| it.contains("\"1+\"")).unwrap() + 1;
    let text = text.replace("serviceIDs: [web]", "serviceIDs: [wbe]");
    fs::write(&file, text.replace("\"1+\"", "\"many\"")).unwrap();
    let linted = windlass(&["app", "lint", &at]);
    assert_eq!(linted.code, 2, "{}", linted.stdout);
    let place = format!("app.yaml:{line}: ");
    for part in ["cardinality", "many", "serviceIDs", "wbe", &place] {
        assert!(linted.stderr.contains(part), "{part}: {}", linted.stderr);
    }
    fs::remove_file(folder.join("package/startscript")).unwrap();
    fs::write(
        &file,
        include_str!("../../src/commands/app/app.yaml").replace("NAME", "page"),
    )
    .unwrap();
    let linted = windlass(&["app", "lint", &at]);
    assert_eq!(linted.code, 2, "{}", linted.stdout);
    assert!(linted.stderr.contains("startscript"), "{}", linted.stderr);
}

#[test]
fn the_catalog_is_in_order() {
    let catalog = root().join("catalog");
    let apps = fs::read_dir(&catalog).unwrap().map(|it| it.unwrap().path());
    let apps: Vec<_> = apps.collect();
    assert_eq!(apps.len(), 5, "{apps:?}");
    for app in apps {
        let answer = windlass(&["app".as_ref(), "lint".as_ref(), app.as_os_str()]);
        assert_eq!((answer.code, &*answer.stderr), (0, ""), "{app:?}");
    }
}

/// Whether applications can be tested here; says so where they cannot.
fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("left out: members are set up by root alone");
    }
    is_root
}

/// An application that was begun with `windlass app init`, with this instead of its `--configure`.
fn begun(scratch: &tempfile::TempDir, configure: &str) -> String {
    let folder = scratch.path().join("page");
    let at = folder.display().to_string();
    assert_eq!(windlass(&["app", "init", &at]).code, 0);
    if !configure.is_empty() {
        let script = format!("#!/bin/sh\ncase $1 in --configure)\n{configure}\n;;\nesac\n");
        fs::write(folder.join("package/startscript"), script).unwrap();
    }
    at
}

#[test]
fn an_application_that_was_begun_passes_its_test() {
    if !is_root() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let at = begun(&scratch, "");
    let tested = windlass(&["app", "test", &at, "-o", "json"]);
    assert_eq!(tested.code, 0, "{}\n{}", tested.stdout, tested.stderr);
    let told: serde_json::Value = serde_json::from_str(&tested.stdout).unwrap();
    assert_eq!(
        (&told["app"], &told["passed"]),
        (&"page".into(), &true.into())
    );
    let steps = told["steps"].as_array().unwrap();
    let steps: Vec<&str> = steps.iter().filter_map(|it| it["step"].as_str()).collect();
    assert_eq!(
        steps,
        [
            "set up",
            "services answer (1)",
            "one more server",
            "services answer (2)",
            "one server less",
            "services answer (1)"
        ]
    );
    assert_eq!(told["members"][0]["state"], "configured");
    for line in ["server", "set up, and ready", "web answers at 127.", "gone"] {
        assert!(tested.stderr.contains(line), "{line}: {}", tested.stderr);
    }
}

#[test]
fn an_application_that_cannot_be_set_up_fails_its_test_with_what_its_script_wrote() {
    if !is_root() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let at = begun(
        &scratch,
        "echo on my way; echo there is no such port >&2; exit 3",
    );
    let tested = windlass(&["app", "test", &at, "--no-grow"]);
    assert_eq!(tested.code, 1, "{}\n{}", tested.stdout, tested.stderr);
    for line in [
        "startscript --configure ended with 3",
        "/opt/guestconfig/configure.stdout\non my way",
        "/opt/guestconfig/configure.stderr\nthere is no such port",
        "page failed the test",
    ] {
        assert!(tested.stderr.contains(line), "{line}: {}", tested.stderr);
    }
    assert!(tested.stdout.contains("FAILED"), "{}", tested.stdout);
}

#[test]
fn an_application_that_does_not_serve_fails_its_test_and_wrong_ones_are_not_begun() {
    if !is_root() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let at = begun(&scratch, "echo serves nothing");
    let tested = windlass(&["app", "test", &at, "--timeout", "5"]);
    assert_eq!(tested.code, 1, "{}\n{}", tested.stdout, tested.stderr);
    assert!(
        tested.stderr.contains("is set up, and not ready"),
        "{}",
        tested.stderr
    );
    let asked = windlass(&["app", "test", &at, "--grow", "worker"]);
    assert_eq!(asked.code, 2, "{}", asked.stderr);
    assert!(asked.stderr.contains("--grow worker"), "{}", asked.stderr);
    let cluster = scratch.path().join("page/cluster.yaml");
    fs::write(
        &cluster,
        "apiVersion: kubedirector.hpe.com/v1beta1\nkind: KubeDirectorCluster\nmetadata: {name: x}\nspec: {app: other, roles: []}\n",
    )
    .unwrap();
    let asked = windlass(&["app", "test", &at]);
    assert_eq!(asked.code, 2, "{}", asked.stderr);
    assert!(
        asked.stderr.contains("another application"),
        "{}",
        asked.stderr
    );
}
