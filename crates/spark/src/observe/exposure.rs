//! What leads to a driver, as the API shows it.

use serde_json::Value;
use windlass_api::spark::application::URL;
use windlass_engine::Object;

use super::{list, text};
use crate::lifecycle::observed::{
    Exposer, ExposerKind, Exposure, PageRoute, PageService, Present, WebPage,
};

/// Reads what was found of an application's exposers, beside those that it should have.
/// `is_web_page` knows the names of what leads to its web page.
pub fn exposure(
    found: &[(ExposerKind, Object)],
    wanted: &[Exposer],
    application_uid: &str,
    is_web_page: impl Fn(&str) -> bool,
) -> Exposure {
    let is_ours = |object: &Object| object.owner_uids().any(|uid| uid == application_uid);
    let mut exposure = Exposure::default();
    for (kind, object) in found {
        // What is being deleted gives its name back soon, and is no way to anything.
        if !is_ours(object) || object.is_deleting() {
            continue;
        }
        exposure.present.push(Present {
            exposer: Exposer {
                kind: *kind,
                name: object.name().to_owned(),
            },
            uid: object.uid().to_owned(),
        });
        if is_web_page(object.name()) {
            add_way(&mut exposure.web_page, *kind, object);
        }
    }
    let is_taken = |wanted: &&Exposer| {
        found
            .iter()
            .any(|(kind, object)| *kind == wanted.kind && object.name() == wanted.name)
    };
    exposure.missing = wanted.iter().filter(|it| !is_taken(it)).cloned().collect();
    exposure
}

fn add_way(page: &mut WebPage, kind: ExposerKind, object: &Object) {
    match kind {
        ExposerKind::Service => page.service = Some(page_service(object)),
        ExposerKind::Ingress | ExposerKind::HttpRoute => {
            page.route = Some(PageRoute {
                name: object.name().to_owned(),
                address: object.annotation(URL).map(str::to_owned),
            });
        }
        ExposerKind::PodMonitor => {}
    }
}

fn page_service(service: &Object) -> PageService {
    let value = service.as_value();
    let number = |pointer: &str| {
        let number = value.pointer(pointer).and_then(Value::as_u64)?;
        u16::try_from(number).ok()
    };
    let port = number("/spec/ports/0/port");
    // A headless Service has the word None where others have an address.
    let ip = text(value, "/spec/clusterIP").filter(|ip| ip != "None");
    let mut outside = list(value, "/status/loadBalancer/ingress").iter();
    let outside = outside.find_map(|it| text(it, "/hostname").or_else(|| text(it, "/ip")));
    PageService {
        name: service.name().to_owned(),
        port,
        node_port: number("/spec/ports/0/nodePort").filter(|port| *port > 0),
        address: ip.zip(port).map(|(ip, port)| with_port(&ip, port)),
        external_address: outside.zip(port).map(|(host, port)| with_port(&host, port)),
    }
}

fn with_port(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}
