use serde_json::{Value, json};

use super::*;
use crate::lower::tests::application;
use crate::lower::{Settings, lower, render};

fn by_ingress(format: &str) -> Exposing {
    Exposing {
        ui_url: Some(format.parse().unwrap()),
        ..Exposing::default()
    }
}

fn by_gateway(format: &str, api: Offer) -> Exposing {
    let gateway = "edge/shared".parse().unwrap();
    Exposing {
        routes: Routes::Gateway { gateway, api },
        ..by_ingress(format)
    }
}

fn objects(spec: Value, settings: &Exposing) -> Vec<Value> {
    let exposed = expose(&application(spec), "spark-0123", settings);
    assert_eq!(exposed.not_applied, []);
    exposed.objects
}

fn yaml(objects: &[Value]) -> String {
    windlass_api::parse::to_yaml_documents(objects).unwrap()
}

fn refused(spec: Value, settings: &Exposing) -> String {
    let exposed = expose(&application(spec), "spark-0123", settings);
    let told = exposed.not_applied.iter().map(ToString::to_string);
    told.collect::<Vec<_>>().join("\n")
}

const TWO_PORTS: &str = r#"[
    {"servicePort": 6006, "servicePortName": "board", "serviceType": "NodePort",
     "serviceLabels": {"team": "ml", "sparkoperator.k8s.io/app-name": "another"},
     "serviceAnnotations": {"a": "b"},
     "ingressURLFormat": "{{$appName}}.boards.example.com",
     "ingressAnnotations": {"c": "{{$appName}}"},
     "ingressTLS": [{"secretName": "boards"}]},
    {"servicePort": 8265, "ingressURLFormat": "example.com/{{$appNamespace}}/{{$appName}}/ray"}
]"#;

fn two_ports() -> Value {
    let ports: Value = serde_json::from_str(TWO_PORTS).unwrap();
    json!({ "driverIngressOptions": ports })
}

#[test]
fn without_a_url_the_web_page_has_a_service_and_nothing_else() {
    let made = objects(json!({}), &Exposing::default());
    insta::assert_snapshot!(yaml(&made));
    let hidden = json!({"sparkConf": {"spark.ui.enabled": "false"}});
    assert_eq!(
        objects(hidden, &by_ingress("x.example.com")),
        [] as [Value; 0]
    );
    let off = Exposing {
        ui_services: false,
        ..by_ingress("x.example.com")
    };
    assert_eq!(objects(json!({}), &off), [] as [Value; 0]);
}

#[test]
fn a_url_by_host_needs_nothing_of_the_controller() {
    let mut settings = by_ingress("{{$appName}}.{{$appNamespace}}.spark.example.com");
    settings.routes = Routes::Ingress(IngressSettings {
        class: Some("haproxy".to_owned()),
        tls: serde_json::from_value(json!([{"secretName": "wildcard"}])).unwrap(),
        ..IngressSettings::default()
    });
    let ui = json!({"sparkUIOptions": {"serviceType": "LoadBalancer", "servicePort": 80}});
    insta::assert_snapshot!(yaml(&objects(ui, &settings)));
}

#[test]
fn a_path_is_taken_away_by_what_the_annotations_say() {
    let mut settings = by_ingress("spark.example.com/{{$appNamespace}}/{{$appName}}");
    let plain = objects(json!({}), &settings);
    let path = |objects: &[Value]| objects[1]["spec"]["rules"][0]["http"]["paths"][0].clone();
    assert_eq!(path(&plain)["path"], "/jobs/spark-pi");
    assert_eq!(path(&plain)["pathType"], "Prefix");

    let annotations =
        json!({"haproxy.org/path-rewrite": "/{{$appNamespace}}/{{$appName}}/(.*) /\\1"});
    settings.routes = Routes::Ingress(IngressSettings {
        annotations: serde_json::from_value(annotations).unwrap(),
        ..IngressSettings::default()
    });
    let rewritten = objects(json!({}), &settings);
    assert_eq!(
        rewritten[1]["metadata"]["annotations"]["haproxy.org/path-rewrite"],
        "/jobs/spark-pi/(.*) /\\1"
    );

    let own = json!({"sparkUIOptions": {
        "ingressAnnotations": {"nginx.ingress.kubernetes.io/rewrite-target": "/$2"},
    }});
    let nginx = objects(own, &settings);
    assert_eq!(path(&nginx)["path"], "/jobs/spark-pi(/|$)(.*)");
    assert_eq!(path(&nginx)["pathType"], "ImplementationSpecific");
    let annotations = &nginx[1]["metadata"]["annotations"];
    assert!(
        annotations.get("haproxy.org/path-rewrite").is_none(),
        "the application's own count"
    );
}

#[test]
fn spark_is_told_of_the_path_and_users_of_the_last_word() {
    let settings = Settings {
        exposing: by_ingress("spark.example.com/{{$appNamespace}}/{{$appId}}/"),
        ..Settings::default()
    };
    let conf_of = |spec: Value| {
        let app = application(spec);
        let attempt = crate::lower::identity::first_attempt(&app);
        let lowered = lower(&app, &attempt, &settings).unwrap();
        (attempt.spark_application_id, lowered.submission.conf)
    };
    let (id, conf) = conf_of(json!({}));
    assert_eq!(conf["spark.ui.proxyBase"], format!("/jobs/{id}"));
    assert_eq!(conf["spark.ui.proxyRedirectUri"], "/");
    let (_, conf) = conf_of(json!({"sparkConf": {"spark.ui.proxyBase": "/mine"}}));
    assert_eq!(conf["spark.ui.proxyBase"], "/mine");
    let (_, conf) = conf_of(json!({"sparkConf": {"spark.ui.enabled": "false"}}));
    assert!(!conf.contains_key("spark.ui.proxyBase"));
}

#[test]
fn ports_of_the_driver_get_a_service_and_a_route_each() {
    insta::assert_snapshot!(yaml(&objects(two_ports(), &Exposing::default())));
}

#[test]
fn a_gateway_gets_routes_that_take_the_path_away_themselves() {
    let settings = by_gateway(
        "https://spark.example.com/{{$appNamespace}}/{{$appName}}",
        Offer::Served,
    );
    let mut spec = two_ports();
    spec["driverIngressOptions"][0]
        .as_object_mut()
        .unwrap()
        .remove("ingressTLS");
    insta::assert_snapshot!(yaml(&objects(spec, &settings)));
}

#[test]
fn what_cannot_be_had_is_told_and_the_rest_is_made() {
    let own = json!({"sparkUIOptions": {"ingressTLS": [{"secretName": "x"}]}});
    let gateway = by_gateway("x.example.com", Offer::Missing);
    let long = json!({"driverIngressOptions": [{"servicePort": 80,
        "ingressURLFormat": "{{$appName}}-{{$appNamespace}}-a-name-with-too-many-characters-by-far-for-one-part-of-a-host.example.com"}]});
    let monitored = json!({"monitoring": {
        "exposeDriverMetrics": true, "exposeExecutorMetrics": true,
        "prometheus": {"jmxExporterJar": "/prometheus/agent.jar"},
    }});
    let monitors = |offer: Offer| Exposing {
        pod_monitors: PodMonitors::On(offer),
        ..Exposing::default()
    };
    let forbidden = by_gateway("x.example.com", Offer::Forbidden);
    insta::assert_snapshot!(
        [
            refused(own, &Exposing::default()),
            refused(two_ports(), &gateway),
            refused(two_ports(), &by_gateway("x.example.com", Offer::Served)),
            refused(long, &Exposing::default()),
            refused(monitored.clone(), &monitors(Offer::Missing)),
            refused(two_ports(), &forbidden),
            refused(monitored, &monitors(Offer::Forbidden)),
        ]
        .join("\n")
    );
    let services = expose(&application(two_ports()), "", &gateway).objects;
    assert!(services.iter().all(|object| object["kind"] == "Service"));
    assert_eq!(services.len(), 3);
}

#[test]
fn a_pod_monitor_names_what_the_application_serves() {
    let settings = Exposing {
        pod_monitors: PodMonitors::On(Offer::Served),
        ..Exposing::default()
    };
    let endpoints = |monitoring: Value, conf: Value| {
        let spec = json!({"monitoring": monitoring, "sparkConf": conf});
        let made = objects(spec, &settings);
        let monitor = made.iter().find(|object| object["kind"] == "PodMonitor");
        monitor.map(|monitor| monitor["spec"]["podMetricsEndpoints"].clone())
    };
    let monitoring = |driver: bool, executor: bool, rest: Value| {
        let mut monitoring = rest;
        monitoring["exposeDriverMetrics"] = json!(driver);
        monitoring["exposeExecutorMetrics"] = json!(executor);
        monitoring
    };
    let exporter = json!({"prometheus": {"jmxExporterJar": "/agent.jar", "portName": "jmx"}});
    let servlet = json!({"metricsProperties": "*.sink.prom.class = \
        org.apache.spark.metrics.sink.PrometheusServlet\n*.sink.prom.path=/metrics/here\n"});
    let on = json!({"spark.ui.prometheus.enabled": "true"});
    let none = json!({});
    for (monitoring, conf, expected) in [
        (
            monitoring(true, true, exporter.clone()),
            &none,
            json!([{"port": "jmx", "path": "/metrics"}]),
        ),
        (monitoring(false, false, exporter), &none, Value::Null),
        (
            monitoring(true, true, servlet.clone()),
            &on,
            json!([
                {"port": "spark-ui", "path": "/metrics/here"},
                {"port": "spark-ui", "path": "/metrics/executors/prometheus"},
            ]),
        ),
        (
            monitoring(false, true, servlet),
            &on,
            json!([{"port": "spark-ui", "path": "/metrics/executors/prometheus"}]),
        ),
        (
            monitoring(
                true,
                false,
                json!({"metricsProperties": "executor.sink.x.class=\
                org.apache.spark.metrics.sink.PrometheusServlet"}),
            ),
            &on,
            Value::Null,
        ),
        (monitoring(true, true, json!({})), &none, Value::Null),
    ] {
        let made = endpoints(monitoring, conf.clone()).unwrap_or_default();
        assert_eq!(made, expected);
    }
    let whole = monitoring(
        true,
        true,
        json!({"prometheus": {"jmxExporterJar": "/agent.jar"}}),
    );
    let made = objects(json!({"monitoring": whole}), &settings);
    insta::assert_snapshot!(yaml(&made[1..]));
}

#[test]
fn the_objects_of_every_application_have_names_that_differ_and_fit() {
    let mut app = application(two_ports());
    app.metadata.name = Some("x".repeat(63));
    let made = expose(&app, "spark-0123", &by_ingress("example.com/{{$appId}}")).objects;
    let names: std::collections::BTreeSet<(&str, &str)> = made
        .iter()
        .map(|object| {
            let kind = object["kind"].as_str().unwrap();
            let name = object["metadata"]["name"].as_str().unwrap();
            if kind == "Service" {
                assert!(name.len() <= LABEL_MAX, "{name}");
            }
            (kind, name)
        })
        .collect();
    assert_eq!(names.len(), made.len());
    let page = made.iter().filter(|object| {
        let name = object["metadata"]["name"].as_str().unwrap();
        is_web_page(&"x".repeat(63), name)
    });
    assert_eq!(page.count(), 2);
}

#[test]
fn rendering_shows_what_leads_to_the_driver() {
    let (objects, lowered) = render(&application(two_ports()), &Settings::default()).unwrap();
    let names: Vec<&str> = objects
        .iter()
        .filter(|it| it["kind"] == "Service" || it["kind"] == "Ingress")
        .filter_map(|it| it["metadata"]["name"].as_str())
        .skip(1)
        .collect();
    let expected = [
        "spark-pi-ui-svc",
        "spark-pi-driver-6006",
        "spark-pi-driver-8265",
        "spark-pi-ing-6006",
        "spark-pi-ing-8265",
    ];
    assert_eq!(names, expected, "after the driver's own Service");
    assert_eq!(lowered.not_applied, []);
}

#[test]
fn a_server_is_not_told_of_the_urls_of_applications() {
    let settings = Settings {
        exposing: by_ingress("spark.example.com/{{$appNamespace}}/{{$appName}}"),
        ..Settings::default()
    };
    let lowered = crate::lower::lower_server(&application(json!({})), &settings).unwrap();
    let text = serde_json::to_string(&lowered.submission.objects).unwrap();
    assert!(!text.contains("proxyBase"), "{text}");
}
