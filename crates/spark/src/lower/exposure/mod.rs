//! What leads to a driver from outside of its pod: Services, Ingresses or HTTPRoutes, and who
//! measures it.
//!
//! Laws:
//! - names follow from the application's name, so the objects of a later attempt are those of an
//!   earlier one;
//! - the application owns them all;
//! - no controller of Ingresses is assumed: what only one of them understands is said by the
//!   annotations that an operator or a user gives;
//! - what cannot be made is told as [`NotApplied`], and holds up nothing else.

mod monitor;
mod route;
mod service;
mod settings;

use serde_json::Value;
use windlass_api::{
    names::{LABEL_MAX, SUBDOMAIN_MAX, shorten},
    spark::{
        SparkApplication,
        application::{DriverIngressOptions, Scheme, SparkUiOptions, Url, UrlFormat, UrlValues},
    },
};

pub use self::settings::{
    Exposing, GatewayRef, GatewayRefError, IngressSettings, Offer, PodMonitors, Routes,
};
use self::{route::Backend, service::Port};
use super::{NotApplied, identity::beside, route::ConfBuilder};

/// Where a driver serves its web page when nobody says otherwise.
const UI_PORT: u16 = 4040;

/// What exposes one application, and what of it cannot be had.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Exposed {
    /// The objects, Services first.
    pub objects: Vec<Value>,
    /// What is asked for and cannot be made.
    pub not_applied: Vec<NotApplied>,
}

/// Makes what exposes an application whose attempt has this id of Spark's.
pub fn expose(app: &SparkApplication, application_id: &str, settings: &Exposing) -> Exposed {
    let mut maker = Maker {
        app,
        values: values(app, application_id),
        settings,
        made: Exposed::default(),
    };
    maker.web_page();
    for (index, options) in app.spec.driver_ingress_options.iter().enumerate() {
        maker.driver_port(index, options);
    }
    monitor::add(app, settings, &mut maker.made);
    // Routes name the Services they lead to.
    maker
        .made
        .objects
        .sort_by_key(|object| object["kind"] != "Service");
    maker.made
}

/// Makes the settings by which Spark knows where its web page is: under a path, its links begin
/// with it. The proxy in front takes the path away again.
pub(super) fn settings(
    app: &SparkApplication,
    application_id: &str,
    exposing: &Exposing,
    conf: &mut ConfBuilder,
) {
    let url = web_page_url(app, application_id, exposing).and_then(Result::ok);
    if let Some(url) = url.filter(|url| !url.path.is_empty()) {
        conf.set_default("spark.ui.proxyBase", url.path);
        conf.set_default("spark.ui.proxyRedirectUri", "/");
    }
}

/// Whether an object of this name leads to the web page of the application.
pub fn is_web_page(app_name: &str, name: &str) -> bool {
    [
        ui_service(app_name),
        ui_ingress(app_name),
        ui_route(app_name),
    ]
    .iter()
    .any(|known| known == name)
}

fn ui_service(app: &str) -> String {
    shorten(&format!("{app}-ui-svc"), LABEL_MAX)
}

fn ui_ingress(app: &str) -> String {
    shorten(&format!("{app}-ui-ingress"), SUBDOMAIN_MAX)
}

fn ui_route(app: &str) -> String {
    shorten(&format!("{app}-ui-route"), SUBDOMAIN_MAX)
}

/// The URL of the web page, if it is to have one.
fn web_page_url(
    app: &SparkApplication,
    application_id: &str,
    exposing: &Exposing,
) -> Option<Result<Url, String>> {
    let format = exposing.ui_url.as_ref()?;
    let wanted = exposing.ui_services && has_web_page(app) && exposing.routes.are_served();
    wanted.then(|| fill(format, &values(app, application_id)))
}

fn fill(format: &UrlFormat, values: &UrlValues<'_>) -> Result<Url, String> {
    format
        .fill(values)
        .map_err(|error| format!("{format}: {error}"))
}

fn has_web_page(app: &SparkApplication) -> bool {
    setting(app, "spark.ui.enabled").is_none_or(|value| value != "false")
}

fn setting<'a>(app: &'a SparkApplication, key: &str) -> Option<&'a str> {
    let value = app.spec.spark_conf.get(key)?;
    value.text().map(str::trim)
}

fn values<'a>(app: &'a SparkApplication, application_id: &'a str) -> UrlValues<'a> {
    UrlValues {
        app_name: app_name(app),
        app_namespace: app_namespace(app),
        app_id: application_id,
    }
}

fn app_name(app: &SparkApplication) -> &str {
    app.metadata.name.as_deref().unwrap_or_default()
}

fn app_namespace(app: &SparkApplication) -> &str {
    app.metadata.namespace.as_deref().unwrap_or("default")
}

struct Maker<'a> {
    app: &'a SparkApplication,
    values: UrlValues<'a>,
    settings: &'a Exposing,
    made: Exposed,
}

impl Maker<'_> {
    fn web_page(&mut self) {
        let options = self.app.spec.spark_ui_options.clone().unwrap_or_default();
        if self.settings.ui_url.is_none() && asks_for_a_route(&options) {
            self.refuse(
                "spec.sparkUIOptions",
                "the operator gives web pages no URL; start it with --ui-ingress-url-format",
            );
        }
        if !self.settings.ui_services || !has_web_page(self.app) {
            return;
        }
        let target = setting(self.app, "spark.ui.port")
            .and_then(|port| port.parse().ok())
            .unwrap_or(UI_PORT);
        let port = Port {
            name: options
                .service_port_name
                .as_deref()
                .unwrap_or("spark-driver-ui-port"),
            number: options.service_port.unwrap_or_else(|| target.into()),
            target: target.into(),
        };
        let service = service::service(
            self.app,
            &ui_service(self.values.app_name),
            &port,
            options.service_type,
            (&options.service_labels, &options.service_annotations),
        );
        let Some(format) = &self.settings.ui_url else {
            return self.made.objects.push(service);
        };
        let source = "--ui-ingress-url-format";
        let names = (
            ui_ingress(self.values.app_name),
            ui_route(self.values.app_name),
        );
        self.route(source, format, &names, &service, &Own::of_ui(&options));
        self.made.objects.push(service);
    }

    fn driver_port(&mut self, index: usize, options: &DriverIngressOptions) {
        // Validation tells of what is missing; nothing can be made without it.
        let (Some(number), Ok(format)) = (
            options.service_port,
            options.ingress_url_format.parse::<UrlFormat>(),
        ) else {
            return;
        };
        let app = self.values.app_name;
        let fallback = format!("driver-ing-{number}");
        let port = Port {
            name: options.service_port_name.as_deref().unwrap_or(&fallback),
            number,
            target: number,
        };
        let service = service::service(
            self.app,
            &shorten(&format!("{app}-driver-{number}"), LABEL_MAX),
            &port,
            options.service_type,
            (&options.service_labels, &options.service_annotations),
        );
        let names = (
            shorten(&format!("{app}-ing-{number}"), SUBDOMAIN_MAX),
            shorten(&format!("{app}-route-{number}"), SUBDOMAIN_MAX),
        );
        let source = format!("spec.driverIngressOptions[{index}]");
        self.route(&source, &format, &names, &service, &Own::of_port(options));
        self.made.objects.push(service);
    }

    /// One Ingress, or one HTTPRoute, to a Service.
    fn route(
        &mut self,
        source: &str,
        format: &UrlFormat,
        (ingress, route): &(String, String),
        service: &Value,
        own: &Own<'_>,
    ) {
        let url = match fill(format, &self.values) {
            Ok(url) => url,
            Err(reason) => return self.refuse(source, &reason),
        };
        let backend = Backend {
            service: service["metadata"]["name"].as_str().unwrap_or_default(),
            port: service["spec"]["ports"][0]["port"]
                .as_i64()
                .unwrap_or_default(),
        };
        let object = match &self.settings.routes {
            Routes::Ingress(settings) => route::ingress(
                self.app,
                ingress,
                (&url, &self.values),
                &backend,
                &own.over(settings),
            ),
            Routes::Gateway {
                gateway,
                api: Offer::Served,
            } => {
                if !own.tls.is_empty() {
                    self.refuse(
                        source,
                        "ingressTLS: an HTTPRoute has no certificates; give them to the listener \
                         of the Gateway",
                    );
                }
                let annotations = own.annotations;
                route::http_route(self.app, route, &url, &backend, (gateway, annotations))
            }
            Routes::Gateway {
                api: Offer::Missing,
                ..
            } => {
                return self.refuse(
                    source,
                    "the cluster does not serve httproutes.gateway.networking.k8s.io; install \
                     the Gateway API and restart the operator, or start it without --ui-gateway",
                );
            }
            Routes::Gateway {
                api: Offer::Forbidden,
                ..
            } => {
                return self.refuse(
                    source,
                    "the operator has no rights for httproutes.gateway.networking.k8s.io; apply \
                     what windlass install prints with --ui-gateway, or set gateway of the chart, \
                     and restart the operator",
                );
            }
        };
        self.made.objects.push(object);
    }

    fn refuse(&mut self, field: &str, reason: &str) {
        self.made.not_applied.push(NotApplied {
            field: field.to_owned(),
            reason: reason.to_owned(),
        });
    }
}

fn asks_for_a_route(options: &SparkUiOptions) -> bool {
    !options.ingress_annotations.is_empty() || !options.ingress_tls.is_empty()
}

/// What the application says about a route itself; it stands in the place of the operator's.
struct Own<'a> {
    annotations: &'a std::collections::BTreeMap<String, String>,
    tls: &'a [windlass_api::spark::application::IngressTls],
}

impl<'a> Own<'a> {
    fn of_ui(options: &'a SparkUiOptions) -> Self {
        Self {
            annotations: &options.ingress_annotations,
            tls: &options.ingress_tls,
        }
    }

    fn of_port(options: &'a DriverIngressOptions) -> Self {
        Self {
            annotations: &options.ingress_annotations,
            tls: &options.ingress_tls,
        }
    }

    fn over(&self, settings: &IngressSettings) -> IngressSettings {
        let mut settings = settings.clone();
        if !self.annotations.is_empty() {
            settings.annotations.clone_from(self.annotations);
        }
        if !self.tls.is_empty() {
            settings.tls = self.tls.to_vec();
        }
        settings
    }
}

/// The scheme of what is served with, or without, certificates.
fn usual_scheme(has_certificates: bool) -> Scheme {
    if has_certificates {
        Scheme::Https
    } else {
        Scheme::Http
    }
}

#[cfg(test)]
mod tests;
