//! What leads to a driver, as it comes and goes with its attempt.

use serde_json::{Value, json};
use windlass_spark::controller::{HTTP_ROUTE, INGRESS, POD_MONITOR};
use windlass_spark::lower::{Exposing, IngressSettings, Offer, PodMonitors, Routes};

use crate::house::{House, pi};

/// An operator that gives web pages URLs by these routes.
async fn house(format: &str, routes: Routes, pod_monitors: PodMonitors) -> House {
    let mut house = House::empty().await;
    for kind in [HTTP_ROUTE, POD_MONITOR] {
        house.define_foreign(&kind).await;
    }
    house.start_operator_that_exposes(Exposing {
        ui_url: Some(format.parse().unwrap()),
        routes,
        pod_monitors,
        ..Exposing::default()
    });
    house
}

/// The application, once its status says where its web page is.
async fn until_reachable(house: &House, name: &str, field: &str) -> Value {
    house
        .apps()
        .until(name, |app| {
            app.as_ref()
                .is_some_and(|app| app["status"]["driverInfo"][field].is_string())
        })
        .await
}

#[tokio::test]
async fn ingresses_last_as_long_as_the_attempt_and_the_next_one_has_its_own() {
    let routes = Routes::Ingress(IngressSettings {
        class: Some("any".to_owned()),
        ..IngressSettings::default()
    });
    let house = house("{{$appName}}.example.com", routes, PodMonitors::Off).await;
    let mut app = pi("pi");
    app["spec"]["restartPolicy"] =
        json!({"type": "OnFailure", "onFailureRetries": 1, "onFailureRetryInterval": 1});
    app["spec"]["driverIngressOptions"] = json!([{"servicePort": 6006, "ingressURLFormat": "https://board.example.com/{{$appName}}"}]);
    let app = house.apps().create(app).await;
    let ingresses = house.of_kind(&INGRESS);
    let mut uids = Vec::new();
    for attempt in 1..=2 {
        house.until_driver("pi", attempt).await;
        house.driver_runs("pi").await;
        let running = until_reachable(&house, "pi", "webUIIngressAddress").await;
        let info = &running["status"]["driverInfo"];
        assert_eq!(info["webUIIngressName"], "pi-ui-ingress");
        assert_eq!(info["webUIIngressAddress"], "http://pi.example.com");
        let ingress = ingresses.until("pi-ui-ingress", Option::is_some).await;
        assert_eq!(ingress["spec"]["ingressClassName"], "any");
        assert_eq!(
            ingress["metadata"]["ownerReferences"][0]["uid"],
            app["metadata"]["uid"]
        );
        uids.push(ingress["metadata"]["uid"].clone());
        let board = ingresses.until("pi-ing-6006", Option::is_some).await;
        let backend = &board["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"];
        let service = backend["name"].as_str().unwrap();
        assert_eq!(service, "pi-driver-6006");
        house.services().until(service, Option::is_some).await;

        house.driver_exits("pi", i32::from(attempt == 1)).await;
        if attempt == 2 {
            let done = house.until_state("pi", "COMPLETED").await;
            let info = &done["status"]["driverInfo"];
            assert!(info.get("webUIIngressAddress").is_none(), "{info}");
        }
    }
    assert_ne!(uids[0], uids[1]);
    for name in ["pi-ui-ingress", "pi-ing-6006"] {
        ingresses.until_gone(name).await;
    }
    for name in ["pi-ui-svc", "pi-driver-6006"] {
        house.services().until_gone(name).await;
    }
}

#[tokio::test]
async fn routes_of_a_gateway_and_monitors_come_and_go_with_the_attempt() {
    let routes = Routes::Gateway {
        gateway: "edge/shared".parse().unwrap(),
        api: Offer::Served,
    };
    let format = "https://example.com/{{$appNamespace}}/{{$appName}}";
    let house = house(format, routes, PodMonitors::On(Offer::Served)).await;
    let mut app = pi("pi");
    app["spec"]["monitoring"] = json!({
        "exposeDriverMetrics": true, "exposeExecutorMetrics": true,
        "prometheus": {"jmxExporterJar": "/prometheus/agent.jar"},
    });
    house.apps().create(app).await;
    house.until_driver("pi", 1).await;
    house.driver_runs("pi").await;
    let running = until_reachable(&house, "pi", "webUIIngressAddress").await;
    let info = &running["status"]["driverInfo"];
    assert_eq!(
        info["webUIIngressAddress"],
        "https://example.com/default/pi"
    );
    let (routes, monitors) = (house.of_kind(&HTTP_ROUTE), house.of_kind(&POD_MONITOR));
    let route = routes.until("pi-ui-route", Option::is_some).await;
    assert_eq!(route["spec"]["parentRefs"][0]["name"], "shared");
    let monitor = monitors.until("pi-pod-monitor", Option::is_some).await;
    let endpoint = &monitor["spec"]["podMetricsEndpoints"][0];
    assert_eq!(endpoint["port"], "jmx-exporter");

    house
        .apps()
        .merge("pi", json!({"spec": {"suspend": true}}))
        .await;
    house.until_state("pi", "SUSPENDED").await;
    routes.until_gone("pi-ui-route").await;
    monitors.until_gone("pi-pod-monitor").await;
    assert!(house.of_kind(&INGRESS).list().await.is_empty());
}

#[tokio::test]
async fn a_cluster_without_the_gateway_api_runs_the_job_and_says_what_is_missing() {
    let mut house = House::empty().await;
    house.start_operator_that_exposes(Exposing {
        ui_url: Some("{{$appName}}.example.com".parse().unwrap()),
        routes: Routes::Gateway {
            gateway: "edge/shared".parse().unwrap(),
            api: Offer::Missing,
        },
        ..Exposing::default()
    });
    house.apps().create(pi("pi")).await;
    house.until_driver("pi", 1).await;
    house.driver_runs("pi").await;
    let running = until_reachable(&house, "pi", "webUIAddress").await;
    let conditions = running["status"]["conditions"].as_array().unwrap();
    let told = conditions.iter().find(|it| it["type"] == "FieldNotApplied");
    let message = told.unwrap()["message"].as_str().unwrap();
    assert!(message.contains("install the Gateway API"), "{message}");
}

#[tokio::test]
async fn an_operator_without_rights_for_routes_and_monitors_runs_the_job_and_says_so() {
    let mut house = House::empty().await;
    for kind in [HTTP_ROUTE, POD_MONITOR] {
        house.define_foreign(&kind).await;
    }
    house.start_operator_that_exposes(Exposing {
        ui_url: Some("{{$appName}}.example.com".parse().unwrap()),
        routes: Routes::Gateway {
            gateway: "edge/shared".parse().unwrap(),
            api: Offer::Forbidden,
        },
        pod_monitors: PodMonitors::On(Offer::Forbidden),
        ..Exposing::default()
    });
    let mut app = pi("pi");
    app["spec"]["monitoring"] = json!({
        "exposeDriverMetrics": true, "exposeExecutorMetrics": true,
        "prometheus": {"jmxExporterJar": "/prometheus/agent.jar"},
    });
    house.apps().create(app).await;
    house.until_driver("pi", 1).await;
    house.driver_runs("pi").await;
    let running = until_reachable(&house, "pi", "webUIAddress").await;
    let conditions = running["status"]["conditions"].as_array().unwrap();
    let told = conditions.iter().find(|it| it["type"] == "FieldNotApplied");
    let message = told.unwrap()["message"].as_str().unwrap();
    for kind in [
        "httproutes.gateway.networking.k8s.io",
        "podmonitors.monitoring.coreos.com",
    ] {
        let expected = format!("the operator has no rights for {kind}");
        assert!(message.contains(&expected), "{message}");
    }
    house.driver_exits("pi", 0).await;
    house.until_state("pi", "COMPLETED").await;
}

#[tokio::test]
async fn the_addresses_of_node_ports_and_load_balancers_are_in_the_status() {
    let house = House::start().await;
    let mut app = pi("pi");
    app["spec"]["sparkUIOptions"] = json!({"serviceType": "LoadBalancer", "servicePort": 80});
    house.apps().create(app).await;
    house.until_driver("pi", 1).await;
    house.services().until("pi-ui-svc", Option::is_some).await;
    let given = json!({"status": {"loadBalancer": {"ingress": [{"hostname": "lb.example.com"}]}}});
    house.services().merge_status("pi-ui-svc", given).await;
    house.driver_runs("pi").await;
    let running = until_reachable(&house, "pi", "webUIExternalAddress").await;
    let info = &running["status"]["driverInfo"];
    assert_eq!(info["webUIExternalAddress"], "lb.example.com:80");
    assert_eq!(info["webUIPort"], 80);
    let service = house.services().get("pi-ui-svc").await.unwrap();
    assert_eq!(
        info["webUINodePort"],
        service["spec"]["ports"][0]["nodePort"]
    );
}
