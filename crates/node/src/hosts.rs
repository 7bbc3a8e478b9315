//! Names inside pods: the contents of `/etc/hosts` and `/etc/resolv.conf`.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, Seek, SeekFrom, Write};
use std::net::IpAddr;
use std::path::Path;

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;

/// The domain every Service name ends in.
const DOMAIN: &str = "svc.cluster.local";

/// The label by which a slice names its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Says what a pod's `/etc/hosts` should hold.
pub(crate) fn render<'a>(
    pod: &Pod,
    address: &str,
    services: impl Iterator<Item = &'a Service>,
    slices: &[&EndpointSlice],
) -> String {
    let spec = pod.spec.clone().unwrap_or_default();
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let mut lines = vec![
        "# Written by the node; Services appear and change in place.".to_owned(),
        "127.0.0.1\tlocalhost".to_owned(),
        "::1\tlocalhost ip6-localhost ip6-loopback".to_owned(),
    ];
    let hostname = hostname(pod);
    let full = spec
        .subdomain
        .as_ref()
        .map(|subdomain| format!("{hostname}.{subdomain}.{namespace}.{DOMAIN}\t"));
    lines.push(format!("{address}\t{}{hostname}", full.unwrap_or_default()));
    for alias in spec.host_aliases.iter().flatten() {
        lines.push(format!(
            "{}\t{}",
            alias.ip,
            alias
                .hostnames
                .iter()
                .flatten()
                .cloned()
                .collect::<Vec<_>>()
                .join("\t")
        ));
    }
    let slices = by_service(slices);
    // Sorted, so that the file changes only when its meaning does.
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for service in services {
        for (address, host) in addresses(service, &slices) {
            let name = service.metadata.name.as_deref().unwrap_or_default();
            let of = service.metadata.namespace.as_deref().unwrap_or_default();
            let mut known = Vec::new();
            if let Some(host) = host {
                known.push(format!("{host}.{name}.{of}.{DOMAIN}"));
                known.push(format!("{host}.{name}.{of}.svc"));
                known.push(format!("{host}.{name}.{of}"));
                if of == namespace {
                    known.push(format!("{host}.{name}"));
                }
            }
            known.push(format!("{name}.{of}.{DOMAIN}"));
            known.push(format!("{name}.{of}.svc"));
            known.push(format!("{name}.{of}"));
            if of == namespace {
                known.push(name.to_owned());
            }
            names
                .entry(format!("{of}/{name}/{address}"))
                .or_insert_with(|| vec![format!("{address}\t{}", known.join("\t"))]);
        }
    }
    lines.extend(names.into_values().flatten());
    lines.join("\n") + "\n"
}

/// Says what a pod's `/etc/resolv.conf` should hold: the machine's resolver answers what no
/// Service is named, and the pod's `dnsConfig` adds to it, or replaces it where the policy is
/// `None`.
pub(crate) fn resolver(pod: &Pod, machine: &str) -> String {
    let spec = pod.spec.clone().unwrap_or_default();
    let config = spec.dns_config.unwrap_or_default();
    let mut servers = config.nameservers.unwrap_or_default();
    let mut searches = config.searches.unwrap_or_default();
    let own_options = config.options.unwrap_or_default().into_iter();
    let mut options: Vec<String> = own_options
        .filter_map(|option| {
            let value = option.value.map(|value| format!(":{value}"));
            Some(option.name? + value.as_deref().unwrap_or_default())
        })
        .collect();
    if servers.is_empty() && searches.is_empty() && options.is_empty() {
        return machine.to_owned();
    }
    if spec.dns_policy.as_deref() != Some("None") {
        let of_machine = |key: &str| -> Vec<String> {
            let words = machine.lines().filter_map(|line| {
                let mut words = line.split_whitespace();
                (words.next()? == key).then(|| words.map(str::to_owned).collect::<Vec<_>>())
            });
            words.flatten().collect()
        };
        // As the kubelet does it: the machine's first, but an option of the pod's own over it.
        let first = |own: &mut Vec<String>, of_machine: Vec<String>| {
            own.retain(|item| !of_machine.contains(item));
            own.splice(0..0, of_machine);
        };
        first(&mut servers, of_machine("nameserver"));
        first(&mut searches, of_machine("search"));
        let key = |option: &str| option.split(':').next().unwrap_or_default().to_owned();
        let mut inherited = of_machine("options");
        inherited.retain(|item| options.iter().all(|own| key(own) != key(item)));
        options.splice(0..0, inherited);
    }
    let mut lines: Vec<String> = servers
        .iter()
        .map(|server| format!("nameserver {server}"))
        .collect();
    for (key, words) in [("search", searches), ("options", options)] {
        if !words.is_empty() {
            lines.push(format!("{key} {}", words.join(" ")));
        }
    }
    lines.join("\n") + "\n"
}

/// The host name a pod's containers see.
pub(crate) fn hostname(pod: &Pod) -> String {
    let name = pod
        .spec
        .as_ref()
        .and_then(|spec| {
            spec.hostname_override
                .clone()
                .or_else(|| spec.hostname.clone())
        })
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| pod.metadata.name.clone().unwrap_or_default());
    // The kernel's limit, which the kubelet observes too.
    name.chars()
        .take(63)
        .collect::<String>()
        .trim_end_matches(['-', '.'])
        .to_owned()
}

/// Slices by namespace and Service: every pod's file is rendered for every change, so nothing here
/// may look at each slice for each Service.
type SlicesByService<'a> = HashMap<(&'a str, &'a str), Vec<&'a EndpointSlice>>;

fn by_service<'a>(slices: &[&'a EndpointSlice]) -> SlicesByService<'a> {
    let mut index = SlicesByService::new();
    for slice in slices {
        let labels = slice.metadata.labels.as_ref();
        let service = labels.and_then(|labels| labels.get(SERVICE_NAME));
        if let (Some(namespace), Some(service)) = (&slice.metadata.namespace, service) {
            index.entry((namespace, service)).or_default().push(slice);
        }
    }
    index
}

/// The addresses a Service's name stands for, with the host name of each where it has one.
fn addresses(service: &Service, slices: &SlicesByService<'_>) -> Vec<(String, Option<String>)> {
    let Some(spec) = &service.spec else {
        return vec![];
    };
    match spec.cluster_ip.as_deref() {
        Some("None") => {}
        Some(address) if !address.is_empty() => return vec![(address.to_owned(), None)],
        Some(_) | None => {
            // An external name can stand in a hosts file only if it is an address.
            let external = spec.external_name.as_deref().unwrap_or_default();
            let address = external.parse::<IpAddr>().ok();
            return address
                .map(|address| (address.to_string(), None))
                .into_iter()
                .collect();
        }
    }
    let publish_all = spec.publish_not_ready_addresses == Some(true);
    let key = (
        service.metadata.namespace.as_deref().unwrap_or_default(),
        service.metadata.name.as_deref().unwrap_or_default(),
    );
    let mut found = Vec::new();
    for slice in slices.get(&key).into_iter().flatten() {
        for endpoint in slice.endpoints.iter().flatten() {
            let ready = endpoint
                .conditions
                .as_ref()
                .and_then(|c| c.ready)
                .unwrap_or(true);
            if ready || publish_all {
                let host = endpoint.hostname.clone();
                found.extend(endpoint.addresses.iter().map(|a| (a.clone(), host.clone())));
            }
        }
    }
    found
}

/// Makes a file hold the text, keeping the file itself: containers have mounted it.
pub(crate) fn rewrite(file: &Path, text: &str) -> io::Result<bool> {
    if fs::read_to_string(file).is_ok_and(|present| present == text) {
        return Ok(false);
    }
    let mut open = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(file)?;
    open.seek(SeekFrom::Start(0))?;
    // One write, then the cut: a reader in between sees all of the new text first.
    open.write_all(text.as_bytes())?;
    open.set_len(text.len() as u64)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_stand_for_cluster_addresses_or_ready_endpoints() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "web-0", "namespace": "ns"},
            "spec": {"containers": [], "hostname": "web-0", "subdomain": "web",
                     "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["other", "another"]}]},
        }))
        .unwrap();
        let service = |name: &str, namespace: &str, spec: serde_json::Value| -> Service {
            serde_json::from_value(
                json!({"metadata": {"name": name, "namespace": namespace}, "spec": spec}),
            )
            .unwrap()
        };
        let services = [
            service("kubernetes", "default", json!({"clusterIP": "127.16.0.1"})),
            service("db", "ns", json!({"clusterIP": "127.16.0.2"})),
            service("web", "ns", json!({"clusterIP": "None"})),
            service(
                "all",
                "ns",
                json!({"clusterIP": "None", "publishNotReadyAddresses": true}),
            ),
            service(
                "outside",
                "ns",
                json!({"type": "ExternalName", "externalName": "example.org"}),
            ),
        ];
        let slice = |of: &str, namespace: &str| -> EndpointSlice {
            serde_json::from_value(json!({
                "metadata": {"name": format!("{of}-1"), "namespace": namespace,
                             "labels": {"kubernetes.io/service-name": of}},
                "addressType": "IPv4",
                "endpoints": [
                    {"addresses": ["127.16.128.1"], "hostname": "web-0", "conditions": {"ready": true}},
                    {"addresses": ["127.16.128.2"], "conditions": {"ready": false}},
                ],
            }))
            .unwrap()
        };
        let slices = [
            slice("web", "ns"),
            slice("all", "ns"),
            slice("web", "elsewhere"),
        ];
        let slices: Vec<&EndpointSlice> = slices.iter().collect();
        insta::assert_snapshot!(render(&pod, "127.16.128.1", services.iter(), &slices));
    }

    #[test]
    fn the_resolver_is_the_machines_with_what_the_pod_adds() {
        let machine = "# by hand\nnameserver 192.0.2.1\nsearch lan\noptions ndots:1 edns0\n";
        let own = json!({
            "nameservers": ["10.0.0.2", "192.0.2.1"],
            "searches": ["example.com"],
            "options": [{"name": "ndots", "value": "3"}, {"name": "rotate"}],
        });
        for (spec, expected) in [
            (json!({}), machine),
            (json!({"dnsConfig": {}}), machine),
            (
                json!({ "dnsConfig": own }),
                "nameserver 192.0.2.1\nnameserver 10.0.0.2\nsearch lan example.com\n\
                 options edns0 ndots:3 rotate\n",
            ),
            (
                json!({"dnsPolicy": "None", "dnsConfig": own}),
                "nameserver 10.0.0.2\nnameserver 192.0.2.1\nsearch example.com\n\
                 options ndots:3 rotate\n",
            ),
        ] {
            let mut pod = json!({"metadata": {}, "spec": spec});
            pod["spec"]["containers"] = json!([]);
            let pod: Pod = serde_json::from_value(pod).unwrap();
            assert_eq!(resolver(&pod, machine), expected, "{spec}");
        }
    }

    #[test]
    fn a_file_is_rewritten_in_place() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("hosts");
        assert!(rewrite(&file, "a longer text\n").unwrap());
        let reader = fs::File::open(&file).unwrap();
        assert!(rewrite(&file, "short\n").unwrap());
        assert!(!rewrite(&file, "short\n").unwrap());
        assert_eq!(io::read_to_string(reader).unwrap(), "short\n");
    }
}
