//! What an application may not say.

use std::collections::BTreeMap;

use super::{
    AppRole, AppSpec, ConfigPackage, Demand, Drain, Endpoint, HealthCheck, KubeDirectorApp, fold,
};
use crate::director::findings::Findings;
use crate::director::inherit::Inheritable;
use crate::field::{FieldError, FieldPath};
use crate::names::{DnsLabel, LabelValue};
use crate::schema;

/// The longest name of a service and of a URL scheme: the name of a port has room for no more.
const SERVICE_ID_MAX: usize = 15;

/// Everything in the application that cannot be meant.
pub fn validate(app: &KubeDirectorApp) -> Vec<FieldError> {
    let mut findings = Findings::default();
    let at = FieldPath::new("spec");
    let spec = &app.spec;
    // It is the value of a label of everything that runs the application.
    findings.label_name(app.metadata.name.as_deref());
    check_texts(&mut findings, spec, &at);
    check_services(&mut findings, spec, &at.field("services"));
    let default = spec.default_config_package.given();
    check_package(&mut findings, default, &at.field("defaultConfigPackage"));
    let directories = spec.default_persist_dirs.as_deref();
    check_directories(&mut findings, directories, &at.field("defaultPersistDirs"));
    check_roles(&mut findings, spec, &at);
    check_config(&mut findings, spec, &at.field("config"));
    findings.into_errors()
}

fn check_texts(findings: &mut Findings, spec: &AppSpec, at: &FieldPath) {
    findings.not_empty(at.field("label").field("name"), &spec.label.name);
    findings.not_empty(at.field("distroID"), &spec.distro_id);
    findings.not_empty(at.field("version"), &spec.version);
    if spec.config_schema_version < 7 {
        let detail = "must be at least 7, the oldest configmeta.json that there is";
        let path = at.field("configSchemaVersion");
        findings.invalid(path, spec.config_schema_version, detail);
    }
    if let Some(url) = &spec.logo_url {
        let scheme = ["file://", "http://", "https://"];
        let holds = scheme.iter().any(|it| url.starts_with(it))
            && [".jpeg", ".png"].iter().any(|it| url.ends_with(it));
        let detail = "must be a file, http or https URL that ends in .jpeg or .png";
        findings.matches(at.field("logoURL"), url, holds, detail);
    }
    for (index, name) in spec.capabilities.iter().enumerate() {
        let path = at.field("capabilities").index(index);
        findings.not_empty(path.clone(), name);
        if let Some(rest) = name.strip_prefix("CAP_") {
            let detail = format!("is written without CAP_ here; write {rest}");
            findings.invalid(path, name.as_str(), detail);
        }
    }
}

fn check_services(findings: &mut Findings, spec: &AppSpec, at: &FieldPath) {
    for (index, service) in spec.services.iter().enumerate() {
        let at = at.index(index);
        check_short_label(findings, at.field("id"), &service.id);
        findings.not_empty(at.field("label").field("name"), &service.label.name);
        if let Some(endpoint) = &service.endpoint {
            check_endpoint(findings, endpoint, &at.field("endpoint"));
        }
    }
    let ids = spec.services.iter().enumerate();
    let ids = ids.map(|(index, it)| (at.index(index).field("id"), it.id.as_str()));
    findings.unique("a service", ids);
}

fn check_short_label(findings: &mut Findings, path: FieldPath, text: &str) {
    if let Err(error) = DnsLabel::new(text) {
        findings.invalid(path, text, error.to_string());
    } else if text.len() > SERVICE_ID_MAX {
        let detail = format!(
            "has {} characters but at most {SERVICE_ID_MAX} are allowed; choose a shorter one",
            text.len()
        );
        findings.invalid(path, text, detail);
    }
}

fn check_endpoint(findings: &mut Findings, endpoint: &Endpoint, at: &FieldPath) {
    if !(1..=65535).contains(&endpoint.port) {
        let detail = "must be a port, from 1 to 65535";
        findings.invalid(at.field("port"), endpoint.port, detail);
    }
    match &endpoint.url_scheme {
        Some(scheme) => check_short_label(findings, at.field("urlScheme"), scheme),
        None if endpoint.is_dashboard => {
            let detail = "must be given, for example http, because isDashboard is true";
            findings.missing(at.field("urlScheme"), detail);
        }
        None => {}
    }
    if let Some(check) = &endpoint.health_check {
        check_health(findings, check, &at.field("healthCheck"));
    }
}

fn check_health(findings: &mut Findings, check: &HealthCheck, at: &FieldPath) {
    let kinds = [
        check.tcp.is_some(),
        check.http.is_some(),
        check.grpc.is_some(),
        check.exec.is_some(),
    ];
    if kinds.into_iter().filter(|it| *it).count() != 1 {
        let detail = "must have exactly one of tcp, http, grpc and exec";
        findings.missing(at.clone(), detail);
    }
    if let Some(path) = check.http.as_ref().and_then(|it| it.path.as_ref()) {
        findings.absolute(at.field("http").field("path"), path);
    }
    if check.exec.as_ref().is_some_and(|it| it.command.is_empty()) {
        let path = at.field("exec").field("command");
        findings.missing(path, "must name a program");
    }
    let least = [
        ("initialDelaySeconds", check.initial_delay_seconds, 0),
        ("periodSeconds", check.period_seconds, 1),
        ("timeoutSeconds", check.timeout_seconds, 1),
        ("failureThreshold", check.failure_threshold, 1),
    ];
    for (field, value, least) in least {
        if let Some(value) = value.filter(|it| *it < least) {
            findings.invalid(at.field(field), value, format!("must be at least {least}"));
        }
    }
}

fn check_package(findings: &mut Findings, package: Option<&ConfigPackage>, at: &FieldPath) {
    let Some(package) = package else {
        return;
    };
    if package.source().is_none() {
        let detail = "must be an http or https URL, file:///PATH for a file of the image, or \
                      configmap://NAME/KEY, and end in .tgz or .tar.gz";
        let url = package.package_url.as_str();
        findings.invalid(at.field("packageURL"), url, detail);
    }
    if let Some(sum) = &package.sha256 {
        let holds = sum.len() == 64 && sum.bytes().all(|it| it.is_ascii_hexdigit());
        let detail = "must be 64 hex digits, as sha256sum prints them";
        findings.matches(at.field("sha256"), sum, holds, detail);
    }
}

fn check_directories(findings: &mut Findings, directories: Option<&[String]>, at: &FieldPath) {
    for (index, directory) in directories.unwrap_or_default().iter().enumerate() {
        let holds = directory.starts_with('/') && !directory.ends_with('/');
        let detail = "must be an absolute path of a directory other than /, without a / at its end";
        findings.matches(at.index(index), directory, holds, detail);
    }
}

fn check_roles(findings: &mut Findings, spec: &AppSpec, at: &FieldPath) {
    let list = at.field("roles");
    let ids = spec.roles.iter().enumerate();
    let ids = ids.map(|(index, it)| (list.index(index).field("id"), it.id.as_str()));
    findings.unique("a role", ids);
    let folded = fold(spec);
    for (index, (role, own)) in spec.roles.iter().zip(&folded.roles).enumerate() {
        let at = list.index(index);
        check_role(findings, role, &at);
        if own.image_repo_tag.as_ref().is_none_or(String::is_empty) {
            let detail = "must be given, or spec.defaultImageRepoTag";
            findings.missing(at.field("imageRepoTag"), detail);
        }
        let has_package = own.config_package.given().is_some();
        check_drain(findings, &role.drain, has_package, &at.field("drain"));
        if role.drain.is_inherited()
            && needs_package(&spec.default_drain)
            && !has_package
            && spec.selects(&role.id)
        {
            let detail = "must be given, because spec.defaultDrain calls the startscript of a setup \
                          package and this role has none; write null for no drain";
            findings.missing(at.field("drain"), detail);
        }
        if let Some(demand) = &role.demand {
            check_demand(findings, demand, &role.id, &folded, &at.field("demand"));
        }
    }
    check_drain(
        findings,
        &spec.default_drain,
        true,
        &at.field("defaultDrain"),
    );
}

fn check_role(findings: &mut Findings, role: &AppRole, at: &FieldPath) {
    findings.not_empty(at.field("id"), &role.id);
    if let Err(error) = LabelValue::new(role.id.as_str()) {
        findings.invalid(at.field("id"), role.id.as_str(), error.to_string());
    }
    if let Err(error) = role.cardinality.read() {
        let path = at.field("cardinality");
        findings.invalid(path, role.cardinality.as_str(), error.to_string());
    }
    let package = role.config_package.given();
    check_package(findings, package, &at.field("configPackage"));
    let directories = role.persist_dirs.as_deref();
    check_directories(findings, directories, &at.field("persistDirs"));
    findings.amounts(&at.field("minResources"), &role.min_resources);
    if let Some(storage) = &role.min_storage {
        findings.positive(at.field("minStorage").field("size"), &storage.size);
    }
    if let Some(container) = &role.container_spec {
        let at = at.field("containerSpec");
        if container.tty && !container.stdin {
            let detail = "must be true, because tty is: a terminal is a standard input";
            findings.invalid(at.field("stdin"), false, detail);
        }
        if container.idle && (container.command.is_some() || container.args.is_some()) {
            let detail = "runs nothing, and command or args says what to run; remove one of them";
            findings.forbidden(at.field("idle"), detail);
        }
        if container.command.as_ref().is_some_and(Vec::is_empty) {
            findings.missing(at.field("command"), "must name a program");
        }
        if let Some(user) = container.run_as_user.filter(|it| *it < 0) {
            findings.invalid(at.field("runAsUser"), user, "must be at least 0");
        }
    }
    let names = role.env.iter().map(|it| it.name.as_str());
    findings.environment(&at.field("env"), names);
    let budget = role.disruption_budget.as_ref();
    findings.budget(&at.field("disruptionBudget"), budget);
}

fn needs_package(drain: &Inheritable<Drain>) -> bool {
    drain.given().is_some_and(|it| it.arguments.is_some())
}

fn check_drain(
    findings: &mut Findings,
    drain: &Inheritable<Drain>,
    has_package: bool,
    at: &FieldPath,
) {
    let Some(hook) = drain.given() else {
        return;
    };
    check_call(findings, hook.arguments.as_ref(), hook.command.as_ref(), at);
    if needs_package(drain) && !has_package {
        let detail = "are for the startscript of a setup package, which this role has none of; use \
                      command";
        findings.forbidden(at.field("arguments"), detail);
    }
    if let Some(seconds) = hook.timeout_seconds.filter(|it| *it < 1) {
        findings.invalid(at.field("timeoutSeconds"), seconds, "must be at least 1");
    }
}

/// What is called in a member: the startscript with these arguments, or this program.
fn check_call(
    findings: &mut Findings,
    arguments: Option<&Vec<String>>,
    command: Option<&Vec<String>>,
    at: &FieldPath,
) {
    if arguments.is_some() == command.is_some() {
        findings.missing(at.clone(), "must have exactly one of arguments and command");
    }
    for (field, words) in [("arguments", arguments), ("command", command)] {
        if words.is_some_and(Vec::is_empty) {
            findings.missing(at.field(field), "must not be empty");
        }
    }
}

/// The application is folded, so that the package of the role that is asked is known.
fn check_demand(
    findings: &mut Findings,
    demand: &Demand,
    role: &str,
    app: &AppSpec,
    at: &FieldPath,
) {
    let (arguments, command) = (demand.arguments.as_ref(), demand.command.as_ref());
    check_call(findings, arguments, command, at);
    let id = demand.asked(role);
    match app.role(id) {
        None => {
            let known = app.roles.iter().map(|it| it.id.as_str());
            let detail = unknown("role", "spec.roles", id, known);
            findings.invalid(at.field("roleID"), id, detail);
        }
        Some(asked) if arguments.is_some() && asked.config_package.given().is_none() => {
            let detail = format!(
                "are for the startscript of a setup package, which the role {id} has none of; use \
                 command"
            );
            findings.forbidden(at.field("arguments"), detail);
        }
        Some(_) => {}
    }
    if let Some(seconds) = demand.period_seconds.filter(|it| *it < 1) {
        findings.invalid(at.field("periodSeconds"), seconds, "must be at least 1");
    }
    let most = Demand::TIMEOUT_SECONDS_MAX;
    if let Some(seconds) = demand.timeout_seconds.filter(|it| !(1..=most).contains(it)) {
        let detail = format!("must be from 1 to {most}");
        findings.invalid(at.field("timeoutSeconds"), seconds, detail);
    }
}

fn check_config(findings: &mut Findings, spec: &AppSpec, at: &FieldPath) {
    let role_ids = || spec.roles.iter().map(|it| it.id.as_str());
    let list = at.field("selectedRoles");
    let selected = spec.config.selected_roles.iter().enumerate();
    let selected = selected.map(|(index, it)| (list.index(index), it.as_str()));
    findings.unique("selected", selected.clone());
    for (path, id) in selected {
        if spec.role(id).is_none() {
            findings.invalid(path, id, unknown("role", "spec.roles", id, role_ids()));
        }
    }
    let list = at.field("roleServices");
    let of_roles = spec.config.role_services.iter().enumerate();
    let ids = of_roles.clone();
    let ids = ids.map(|(index, it)| (list.index(index).field("roleID"), it.role_id.as_str()));
    findings.unique("a role", ids);
    for (index, of_role) in of_roles {
        let at = list.index(index);
        let id = of_role.role_id.as_str();
        if spec.role(id).is_none() {
            let detail = unknown("role", "spec.roles", id, role_ids());
            findings.invalid(at.field("roleID"), id, detail);
        }
        let list = at.field("serviceIDs");
        let services = of_role.service_ids.iter().enumerate();
        let services = services.map(|(index, it)| (list.index(index), it.as_str()));
        findings.unique("a service of the role", services.clone());
        let mut ports = BTreeMap::new();
        for (path, id) in services {
            let Some(service) = spec.services.iter().find(|it| it.id == id) else {
                let known = spec.services.iter().map(|it| it.id.as_str());
                findings.invalid(path, id, unknown("service", "spec.services", id, known));
                continue;
            };
            let Some(endpoint) = &service.endpoint else {
                continue;
            };
            match ports.insert(endpoint.port, id) {
                Some(other) if other != id => {
                    let detail = format!(
                        "has port {}, which {other} of the same role has, too; give it another one",
                        endpoint.port
                    );
                    findings.invalid(path, id, detail);
                }
                _ => {}
            }
        }
    }
}

fn unknown<'a>(what: &str, place: &str, id: &str, known: impl Iterator<Item = &'a str>) -> String {
    match schema::nearest(id, known) {
        Some(nearest) => format!("is no {what} of {place}; did you mean {nearest}?"),
        None => format!("is no {what} of {place}; add it there, or remove it here"),
    }
}
