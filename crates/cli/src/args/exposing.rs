//! How an operator exposes the drivers it starts: for `windlass operator`, and for `windlass
//! install`, which hands it on.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use clap::Args;
use serde::Serialize;
use serde::de::DeserializeOwned;
use windlass_api::spark::application::{IngressTls, UrlFormat};
use windlass_spark::lower::{Exposing, GatewayRef, IngressSettings, Offer, PodMonitors, Routes};
use windlass_spark::rbac::Extra;

/// Who may reach drivers, and how.
#[derive(Debug, Clone, Default, Args)]
pub struct ExposingArgs {
    /// URL of each driver's web page, with {{$appName}}, {{$appNamespace}} and {{$appId}} filled
    /// in, for example {{$appName}}.{{$appNamespace}}.spark.example.com (default: no Ingress).
    #[arg(long, value_name = "URL")]
    pub ui_ingress_url_format: Option<UrlFormat>,
    /// Class of Ingresses (default: the cluster's).
    #[arg(long, value_name = "NAME")]
    pub ui_ingress_class: Option<String>,
    /// Certificates of Ingresses, as in their spec.tls: [{"secretName":"wildcard"}].
    #[arg(long, value_name = "JSON")]
    pub ui_ingress_tls: Option<Json<Vec<IngressTls>>>,
    /// Annotations of Ingresses, for example those by which their controller takes away the path
    /// of the URL.
    #[arg(long, value_name = "JSON")]
    pub ui_ingress_annotations: Option<Json<BTreeMap<String, String>>>,
    /// Make HTTPRoutes of this Gateway instead of Ingresses.
    #[arg(
        long,
        value_name = "NAMESPACE/NAME",
        conflicts_with_all = ["ui_ingress_class", "ui_ingress_tls", "ui_ingress_annotations"]
    )]
    pub ui_gateway: Option<GatewayRef>,
    /// Make no Service for the web page of each driver, and so no route to it.
    #[arg(long)]
    pub no_ui_services: bool,
    /// Make a PodMonitor for each application with metrics.
    #[arg(long)]
    pub pod_monitors: bool,
}

/// A value that is written as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromStr for Json<T> {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text).map(Self)
    }
}

impl<T: Serialize> fmt::Display for Json<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = serde_json::to_string(&self.0).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

impl ExposingArgs {
    /// What the operator may do beyond its usual rights.
    pub fn extras(&self) -> Vec<Extra> {
        let routes = self.ui_gateway.as_ref().map(|_| Extra::HttpRoutes);
        let monitors = self.pod_monitors.then_some(Extra::PodMonitors);
        routes.into_iter().chain(monitors).collect()
    }

    /// What the operator is told, in a cluster that offers these kinds or does not.
    pub fn exposing(&self, offer: impl Fn(Extra) -> Offer) -> Exposing {
        let routes = match &self.ui_gateway {
            Some(gateway) => Routes::Gateway {
                gateway: gateway.clone(),
                api: offer(Extra::HttpRoutes),
            },
            None => Routes::Ingress(IngressSettings {
                class: self.ui_ingress_class.clone(),
                annotations: self.ui_ingress_annotations.clone().unwrap_or_default().0,
                tls: self.ui_ingress_tls.clone().unwrap_or_default().0,
            }),
        };
        Exposing {
            ui_services: !self.no_ui_services,
            ui_url: self.ui_ingress_url_format.clone(),
            routes,
            pod_monitors: if self.pod_monitors {
                PodMonitors::On(offer(Extra::PodMonitors))
            } else {
                PodMonitors::Off
            },
        }
    }

    /// The same as arguments.
    pub fn arguments(&self) -> Vec<String> {
        fn argument(name: &str, value: Option<&impl fmt::Display>) -> Option<String> {
            value.map(|value| format!("--{name}={value}"))
        }
        [
            argument("ui-ingress-url-format", self.ui_ingress_url_format.as_ref()),
            argument("ui-ingress-class", self.ui_ingress_class.as_ref()),
            argument("ui-ingress-tls", self.ui_ingress_tls.as_ref()),
            argument(
                "ui-ingress-annotations",
                self.ui_ingress_annotations.as_ref(),
            ),
            argument("ui-gateway", self.ui_gateway.as_ref()),
            self.no_ui_services.then(|| "--no-ui-services".to_owned()),
            self.pod_monitors.then(|| "--pod-monitors".to_owned()),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    fn exposing(arguments: &[&str]) -> Result<ExposingArgs, String> {
        let words = ["windlass", "operator"];
        let line = words.iter().chain(arguments);
        match Cli::try_parse_from(line).map(|cli| cli.command) {
            Ok(Command::Operator(operator)) => Ok(operator.exposing),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn what_install_hands_on_is_what_the_operator_reads() {
        for arguments in [
            &[][..],
            &[
                "--ui-ingress-url-format=https://{{$appName}}.example.com",
                "--ui-ingress-class=nginx",
                r#"--ui-ingress-tls=[{"secretName":"wildcard"}]"#,
                r#"--ui-ingress-annotations={"a":"b"}"#,
            ],
            &[
                "--ui-ingress-url-format={{$appName}}.example.com",
                "--ui-gateway=edge/shared",
                "--no-ui-services",
                "--pod-monitors",
            ],
        ] {
            assert_eq!(exposing(arguments).unwrap().arguments(), arguments);
        }
    }

    #[test]
    fn mistakes_name_the_argument() {
        let mistakes = [
            "--ui-ingress-url-format={{$name}}.example.com",
            "--ui-ingress-tls=wildcard",
            "--ui-gateway=shared",
            "--ui-gateway=Edge/shared",
        ];
        let told = mistakes.map(|argument| exposing(&[argument]).unwrap_err());
        insta::assert_snapshot!(told.join("\n"));
        let both = exposing(&["--ui-gateway=edge/shared", "--ui-ingress-class=nginx"]);
        assert!(both.unwrap_err().contains("cannot be used with"));
    }

    #[test]
    fn rights_follow_what_is_made() {
        let extras = |arguments: &[&str]| exposing(arguments).unwrap().extras();
        assert_eq!(extras(&["--ui-ingress-url-format=example.com"]), []);
        assert_eq!(extras(&["--ui-gateway=edge/shared"]), [Extra::HttpRoutes]);
        assert_eq!(extras(&["--pod-monitors"]), [Extra::PodMonitors]);
    }
}
