//! `windlass check`: is the cluster ready for the operator, or the operator well in it?
//!
//! Laws: nothing is changed; what may not be read is told.

use futures::stream::{self, StreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview,
    SubjectAccessReviewSpec,
};
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use windlass_api::names::DnsLabel;
use windlass_director::rbac::director_rules;
use windlass_engine::{Object, Selector};
use windlass_spark::rbac;
use windlass_spark::survey::{
    Answer, Category, Facts, Finding, KnownBy, Look, Right, Scope, Stage, Verdict, Whose, judge,
    serves_storage, serves_virtual_clusters,
};
use windlass_storage::rbac::storage_rules;

use super::install::{DRIVER_ACCOUNT, OPERATOR};
use crate::args::{CheckArgs, Told};
use crate::connect::{Connection, Start};
use crate::exit::{Exit, Failure};
use crate::output::data;
use crate::run::preflight::api_failure;
use crate::shown::document;

/// How many access reviews are asked for at a time.
const AT_ONCE: usize = 16;
/// How many objects of a kind are looked at; a cluster with more is judged by these.
const MOST: u32 = 5000;

/// Looks, judges and tells. Problems end it with the exit code of a cluster that is not ready.
pub async fn check(args: CheckArgs) -> Result<Exit, Failure> {
    let connection = Connection::open(&args.cluster, Start::Never).await?;
    let client = connection.client();
    let scope = Scope {
        stage: if args.pre {
            Stage::Before
        } else {
            Stage::After
        },
        home: args.namespace.to_string(),
        job_namespaces: job_namespaces(client, &args).await?,
        known_by: match selector(&args) {
            Some(_) => KnownBy::Label,
            None => KnownBy::Name,
        },
        driver_account: DRIVER_ACCOUNT.to_owned(),
        virtual_clusters: args.virtual_clusters,
        storage: args.storage,
    };
    let facts = gather(client, &scope).await?;
    let findings = judge(&scope, &facts, Timestamp::now());
    match args.output {
        Told::Text => data(&text(&findings))?,
        Told::Json | Told::Yaml => document(
            &json!({ "ready": !has_problem(&findings), "findings": findings }),
            args.output == Told::Json,
        )?,
    };
    Ok(if has_problem(&findings) {
        Exit::ClusterNotReady
    } else {
        Exit::Completed
    })
}

/// The labels of the namespaces that are meant, where labels decide.
fn selector(args: &CheckArgs) -> Option<&Selector> {
    let selector = args.namespace_selector.as_ref();
    selector.filter(|selector| !selector.is_everything())
}

/// The namespaces that are meant, by name or by their labels.
async fn job_namespaces(client: &Client, args: &CheckArgs) -> Result<Vec<String>, Failure> {
    let Some(selector) = selector(args) else {
        return Ok(args
            .job_namespaces
            .iter()
            .map(DnsLabel::to_string)
            .collect());
    };
    let found = match list(client, &kind("", "v1", "Namespace"), &[]).await? {
        Look::Seen(found) => found,
        Look::Refused(why) => {
            return Err(Failure::cluster(format!(
                "who has {selector} cannot be told: {why}: ask as somebody who may list namespaces, \
                 or name them with --job-namespaces"
            )));
        }
    };
    let with_label = found
        .into_iter()
        .map(Object::new)
        .filter(|it| selector.selects(it));
    let names: Vec<String> = with_label.map(|it| it.name().to_owned()).collect();
    if names.is_empty() {
        return Err(Failure::bad_input(format!(
            "--namespace-selector {selector}: no namespace has these labels; see kubectl get \
             namespaces --show-labels"
        )));
    }
    Ok(names)
}

fn has_problem(findings: &[Finding]) -> bool {
    findings.iter().any(|it| it.verdict == Verdict::Problem)
}

/// The findings for people, by category.
fn text(findings: &[Finding]) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut category: Option<Category> = None;
    for finding in findings {
        if category != Some(finding.category) {
            category = Some(finding.category);
            lines.push(finding.category.as_str().to_owned());
        }
        let verdict = match finding.verdict {
            Verdict::Ok => "ok     ",
            Verdict::Note => "note   ",
            Verdict::Problem => "PROBLEM",
        };
        lines.push(format!("  {verdict}  {}", finding.what));
        if let Some(next) = &finding.next {
            lines.push(format!("           next: {next}"));
        }
    }
    let count = |verdict| findings.iter().filter(|it| it.verdict == verdict).count();
    lines.push(match (count(Verdict::Problem), count(Verdict::Note)) {
        (0, 0) => "no problems".to_owned(),
        (0, notes) => format!("no problems, {notes} to note"),
        (problems, notes) => format!("problems: {problems}, to note: {notes}"),
    });
    lines.join("\n")
}

async fn gather(client: &Client, scope: &Scope) -> Result<Facts, Failure> {
    let version = client
        .apiserver_version()
        .await
        .map_err(Failure::unreachable)?;
    let applications = kind("sparkoperator.k8s.io", "v1beta2", "SparkApplication");
    let mut webhooks = list(client, &webhook("MutatingWebhookConfiguration"), &[]).await?;
    webhooks = both(
        webhooks,
        list(client, &webhook("ValidatingWebhookConfiguration"), &[]).await?,
    );
    let of_scope = &scope.job_namespaces;
    let deployments = list(client, &kind("apps", "v1", "Deployment"), &[]).await?;
    let virtual_clusters = serves_virtual_clusters(scope, &deployments);
    let storage = serves_storage(scope, &deployments);
    Ok(Facts {
        version: version.git_version,
        definitions: list(
            client,
            &kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
            &[],
        )
        .await?,
        leases: list(client, &kind("coordination.k8s.io", "v1", "Lease"), &[]).await?,
        deployments,
        webhooks,
        namespaces: list(client, &kind("", "v1", "Namespace"), &[]).await?,
        quotas: list(client, &kind("", "v1", "ResourceQuota"), of_scope).await?,
        limits: list(client, &kind("", "v1", "LimitRange"), of_scope).await?,
        applications: list(client, &applications, of_scope).await?,
        policies: list(
            client,
            &kind("windlass.dev", "v1alpha1", "SparkPolicy"),
            of_scope,
        )
        .await?,
        rights: rights(client, scope, virtual_clusters, storage).await,
    })
}

fn webhook(name: &str) -> ApiResource {
    kind("admissionregistration.k8s.io", "v1", name)
}

fn kind(group: &str, version: &str, kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

/// The objects of a kind, in some namespaces or in all (and of the cluster). A kind that is not
/// served has none.
pub(super) async fn list(
    client: &Client,
    resource: &ApiResource,
    namespaces: &[String],
) -> Result<Look, Failure> {
    let apis: Vec<Api<DynamicObject>> = if namespaces.is_empty() {
        vec![Api::all_with(client.clone(), resource)]
    } else {
        let namespaced =
            |namespace: &String| Api::namespaced_with(client.clone(), namespace, resource);
        namespaces.iter().map(namespaced).collect()
    };
    let mut all = Vec::new();
    for api in apis {
        match api.list(&ListParams::default().limit(MOST)).await {
            Ok(found) => {
                for object in found.items {
                    let mut object = serde_json::to_value(object).map_err(Failure::internal)?;
                    object["kind"] = json!(resource.kind);
                    all.push(object);
                }
            }
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(kube::Error::Api(status)) if matches!(status.code, 401 | 403) => {
                return Ok(Look::Refused(status.message));
            }
            Err(error) => return Err(api_failure(error)),
        }
    }
    Ok(Look::Seen(all))
}

fn both(first: Look, second: Look) -> Look {
    match (first, second) {
        (Look::Seen(mut first), Look::Seen(second)) => {
            first.extend(second);
            Look::Seen(first)
        }
        (refused @ Look::Refused(_), _) | (_, refused @ Look::Refused(_)) => refused,
    }
}

/// Asks who may do what: before the installation the person who asks, then the accounts.
async fn rights(
    client: &Client,
    scope: &Scope,
    virtual_clusters: bool,
    storage: bool,
) -> Vec<Right> {
    let mut questions = match scope.stage {
        Stage::Before => yours(scope),
        Stage::After => accounts(scope),
    };
    if virtual_clusters && scope.stage == Stage::After {
        let rules = director_rules();
        questions.extend(by_rules(Whose::Operators, &rules, None));
    }
    if storage && scope.stage == Stage::After {
        let rules = storage_rules();
        questions.extend(by_rules(Whose::Operators, &rules, None));
    }
    stream::iter(questions)
        .map(|right| ask(client, scope, right))
        .buffered(AT_ONCE)
        .collect()
        .await
}

/// To create what `windlass install` prints.
fn yours(scope: &Scope) -> Vec<Right> {
    const ROLES: &str = "rbac.authorization.k8s.io";
    let question = |group: &str, resource: &str, namespace: Option<&str>| Right {
        whose: Whose::Yours,
        group: group.to_owned(),
        resource: resource.to_owned(),
        verb: "create".to_owned(),
        namespace: namespace.map(str::to_owned),
        answer: Answer::Denied,
    };
    let mut questions = vec![
        question("apiextensions.k8s.io", "customresourcedefinitions", None),
        question("", "namespaces", None),
    ];
    // Where labels decide, nothing is made in the namespaces that have them today.
    let named: &[String] = match scope.known_by {
        KnownBy::Name => &scope.job_namespaces,
        KnownBy::Label => &[],
    };
    if named.is_empty() {
        questions.push(question(ROLES, "clusterroles", None));
        questions.push(question(ROLES, "clusterrolebindings", None));
    }
    let home = Some(scope.home.as_str());
    questions.push(question("apps", "deployments", home));
    for namespace in std::iter::once(&scope.home).chain(named) {
        for (group, resource) in [
            ("", "serviceaccounts"),
            (ROLES, "roles"),
            (ROLES, "rolebindings"),
        ] {
            questions.push(question(group, resource, Some(namespace)));
        }
    }
    questions
}

/// What the operator and drivers need, by the rules that `windlass install` prints.
fn accounts(scope: &Scope) -> Vec<Right> {
    let places: Vec<Option<&str>> = if scope.job_namespaces.is_empty() {
        vec![None]
    } else {
        let names = scope.job_namespaces.iter();
        names.map(|name| Some(name.as_str())).collect()
    };
    let drivers_at: Vec<Option<&str>> = if scope.job_namespaces.is_empty() {
        vec![Some(super::install::DEFAULT_NAMESPACE)]
    } else {
        places.clone()
    };
    let home = Some(scope.home.as_str());
    let mut questions = by_rules(Whose::Operators, &rbac::leader_rules(), home);
    if scope.known_by == KnownBy::Label {
        let rules = rbac::selecting_rules();
        questions.extend(by_rules(Whose::Operators, &rules, None));
    }
    for place in places {
        questions.extend(by_rules(
            Whose::Operators,
            &rbac::operator_rules(&[]),
            place,
        ));
    }
    for place in drivers_at {
        questions.extend(by_rules(Whose::Drivers, &rbac::driver_rules(), place));
    }
    questions
}

fn by_rules(whose: Whose, rules: &[PolicyRule], namespace: Option<&str>) -> Vec<Right> {
    let mut questions = Vec::new();
    for rule in rules {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                questions.extend(rule.verbs.iter().map(|verb| Right {
                    whose,
                    group: group.clone(),
                    resource: resource.clone(),
                    verb: verb.clone(),
                    namespace: namespace.map(str::to_owned),
                    answer: Answer::Denied,
                }));
            }
        }
    }
    questions
}

/// Fills in the answer.
async fn ask(client: &Client, scope: &Scope, right: Right) -> Right {
    let (resource, subresource) = match right.resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (right.resource.as_str(), None),
    };
    let attributes = ResourceAttributes {
        group: Some(right.group.clone()),
        resource: Some(resource.to_owned()),
        subresource,
        verb: Some(right.verb.clone()),
        namespace: right.namespace.clone(),
        ..ResourceAttributes::default()
    };
    let account = match right.whose {
        Whose::Yours => None,
        Whose::Operators => Some((scope.home.as_str(), OPERATOR)),
        Whose::Drivers => {
            let namespace = right.namespace.as_deref().unwrap_or_default();
            Some((namespace, scope.driver_account.as_str()))
        }
    };
    let answer = match account {
        None => review(client, &of_oneself(attributes)).await,
        Some((namespace, name)) => review(client, &of_account(namespace, name, attributes)).await,
    };
    Right { answer, ..right }
}

pub(super) fn of_oneself(attributes: ResourceAttributes) -> SelfSubjectAccessReview {
    SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    }
}

fn of_account(namespace: &str, name: &str, attributes: ResourceAttributes) -> SubjectAccessReview {
    let group = |name: &str| format!("system:{name}");
    SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(format!("system:serviceaccount:{namespace}:{name}")),
            groups: Some(vec![
                group("serviceaccounts"),
                group(&format!("serviceaccounts:{namespace}")),
                group("authenticated"),
            ]),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    }
}

pub(super) async fn review<K>(client: &Client, question: &K) -> Answer
where
    K: kube::Resource<DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::Serialize
        + serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::all(client.clone());
    match api.create(&PostParams::default(), question).await {
        Ok(answered) => {
            let answered = serde_json::to_value(answered).unwrap_or_default();
            if answered.pointer("/status/allowed") == Some(&Value::Bool(true)) {
                Answer::Allowed
            } else {
                Answer::Denied
            }
        }
        Err(kube::Error::Api(status)) => Answer::Unknown(status.message),
        Err(error) => Answer::Unknown(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_goes_by_category_and_ends_with_the_count() {
        let finding = |category, verdict, what: &str, next: Option<&str>| Finding {
            category,
            verdict,
            what: what.to_owned(),
            next: next.map(str::to_owned),
        };
        let findings = [
            finding(Category::Cluster, Verdict::Ok, "Kubernetes v1.35.4", None),
            finding(
                Category::Operators,
                Verdict::Problem,
                "another lives",
                Some("stop it"),
            ),
            finding(Category::Operators, Verdict::Note, "a webhook", None),
        ];
        insta::assert_snapshot!(text(&findings), @r"
        Cluster
          ok       Kubernetes v1.35.4
        Operators
          PROBLEM  another lives
                   next: stop it
          note     a webhook
        problems: 1, to note: 1
        ");
    }

    fn scope(stage: Stage, known_by: KnownBy, namespaces: &[&str]) -> Scope {
        Scope {
            stage,
            home: "windlass-system".to_owned(),
            job_namespaces: namespaces.iter().map(|&it| it.to_owned()).collect(),
            known_by,
            driver_account: "spark".to_owned(),
            virtual_clusters: false,
            storage: false,
        }
    }

    #[test]
    fn an_operator_that_goes_by_labels_has_to_see_namespaces_and_gets_rights_in_all() {
        let of = |known_by| accounts(&scope(Stage::After, known_by, &["etl"]));
        let by_label = of(KnownBy::Label);
        let by_name = of(KnownBy::Name);
        let more: Vec<(&str, &str, Option<String>)> = by_label
            .iter()
            .filter(|right| !by_name.contains(right))
            .map(|right| (&*right.verb, &*right.resource, right.namespace.clone()))
            .collect();
        assert_eq!(
            more,
            ["get", "list", "watch"].map(|verb| (verb, "namespaces", None))
        );
        let created = |known_by| {
            let questions = yours(&scope(Stage::Before, known_by, &["etl"]));
            let roles = questions
                .into_iter()
                .filter(|right| right.resource.ends_with("roles"));
            let mut places: Vec<_> = roles
                .map(|right| (right.resource, right.namespace))
                .collect();
            places.sort();
            places
        };
        let role = |namespace: &str| ("roles".to_owned(), Some(namespace.to_owned()));
        assert_eq!(
            created(KnownBy::Label),
            [("clusterroles".to_owned(), None), role("windlass-system")]
        );
        assert_eq!(
            created(KnownBy::Name),
            [role("etl"), role("windlass-system")]
        );
    }

    #[test]
    fn an_operator_of_some_namespaces_is_asked_about_in_these_alone() {
        let places = |namespaces: &[&str]| {
            let mut places: Vec<(Whose, Option<String>)> =
                accounts(&scope(Stage::After, KnownBy::Name, namespaces))
                    .into_iter()
                    .map(|right| (right.whose, right.namespace))
                    .collect();
            places.sort();
            places.dedup();
            places
        };
        let at = |namespace: &str| Some(namespace.to_owned());
        assert_eq!(
            places(&["etl"]),
            [
                (Whose::Operators, at("etl")),
                (Whose::Operators, at("windlass-system")),
                (Whose::Drivers, at("etl")),
            ]
        );
        assert_eq!(
            places(&[]),
            [
                (Whose::Operators, None),
                (Whose::Operators, at("windlass-system")),
                (Whose::Drivers, at("default")),
            ]
        );
    }
}
