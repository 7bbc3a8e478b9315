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
fn mistakes_in_an_application_are_told_with_their_fields() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("page");
    let at = folder.display().to_string();
    assert_eq!(windlass(&["app", "init", &at]).code, 0);
    let file = folder.join("app.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let text = text.replace("serviceIDs: [web]", "serviceIDs: [wbe]");
    fs::write(&file, text.replace("\"1+\"", "\"many\"")).unwrap();
    let linted = windlass(&["app", "lint", &at]);
    assert_eq!(linted.code, 2, "{}", linted.stdout);
    for part in ["cardinality", "many", "serviceIDs", "wbe"] {
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
