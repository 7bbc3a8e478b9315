//! The differences that stay. docs/conformance.md lists each with its reason.

use crate::compare::{self, Difference};

/// A difference that is known and stays.
#[derive(Debug)]
pub struct Allowed {
    /// How docs/conformance.md calls it.
    pub name: &'static str,
    /// The status code of the real server, where it matters.
    pub status: Option<u16>,
    /// The general places, such as `/body/items/*/metadata`.
    pub places: &'static [&'static str],
    /// What the embedded server's value has in it.
    pub embedded: &'static str,
    /// What the real server's value has in it.
    pub real: &'static str,
}

/// What the embedded server tells whoever makes an object that nothing in it acts upon; on a real
/// cluster something does.
pub const OWN_WARNING: &str = "is only stored: nothing in this cluster acts upon it";

const MESSAGE: &[&str] = &["/body/message"];
const TRAFFIC_POLICY: &[&str] = &[
    "/body/spec/internalTrafficPolicy",
    "/body/items/*/spec/internalTrafficPolicy",
    "/events/*/object/spec/internalTrafficPolicy",
];

/// All of them.
pub const ALLOWED: &[Allowed] = &[
    Allowed {
        name: "column descriptions",
        status: None,
        places: &["/body/columnDefinitions/*/description"],
        embedded: "",
        real: "",
    },
    Allowed {
        name: "damaged continue tokens",
        status: None,
        places: MESSAGE,
        embedded: "continue key is not valid",
        real: "continue key is not valid",
    },
    Allowed {
        name: "places in decoding errors",
        status: None,
        places: MESSAGE,
        embedded: "illegal base64 data",
        real: "illegal base64 data",
    },
    Allowed {
        name: "places in decoding errors",
        status: None,
        places: MESSAGE,
        embedded: "quantities must match the regular expression",
        real: "quantities must match the regular expression",
    },
    Allowed {
        name: "applied objects that cannot be decoded",
        status: Some(500),
        places: MESSAGE,
        embedded: "cannot be handled as a ",
        real: "failed to convert new object",
    },
    Allowed {
        name: "traffic policies of external names",
        status: None,
        places: TRAFFIC_POLICY,
        embedded: "",
        real: "Cluster",
    },
    Allowed {
        name: "traffic policies of external names",
        status: None,
        places: TRAFFIC_POLICY,
        embedded: "",
        real: "Local",
    },
    Allowed {
        name: "keys of the store",
        status: None,
        places: MESSAGE,
        embedded: "Precondition failed: UID in precondition",
        real: "StorageError: invalid object, Code: 4, Key: ",
    },
    Allowed {
        name: "bodies in messages",
        status: None,
        places: MESSAGE,
        embedded: "Object 'Kind' is missing in",
        real: "Object 'Kind' is missing in",
    },
    Allowed {
        name: "changes of pods in messages",
        status: Some(422),
        places: &["/body/message", "/body/details/causes/*/message"],
        embedded: "pod updates may not change fields other than",
        real: "pod updates may not change fields other than",
    },
    Allowed {
        name: "Go types of fields",
        status: Some(400),
        places: MESSAGE,
        embedded: "json: cannot unmarshal ",
        real: " of type v1.",
    },
    Allowed {
        name: "scales that cannot be decoded",
        status: None,
        places: MESSAGE,
        embedded: "Scale in version \"v1\" cannot be handled as a Scale",
        real: "no kind is registered for the type v1.Scale in scheme",
    },
    Allowed {
        name: "warnings of a lost race",
        status: Some(409),
        places: &["/warnings/*"],
        embedded: "",
        real: "prefer a domain-qualified finalizer name",
    },
    Allowed {
        name: "warnings of a lost race",
        status: Some(422),
        places: &["/warnings/*"],
        embedded: "",
        real: "prefer a domain-qualified finalizer name",
    },
    Allowed {
        name: "Go types of patches",
        status: Some(400),
        places: MESSAGE,
        embedded: "cannot unmarshal object into Go value of type",
        real: "cannot unmarshal object into Go value of type jsonpatch.Patch",
    },
    Allowed {
        name: "patched objects in messages",
        status: None,
        places: &["/body/message", "/body/details/causes/*/message"],
        embedded: "Invalid value: \"{",
        real: "Invalid value: \"",
    },
];

/// The entry that allows a difference.
pub fn entry(status: u16, difference: &Difference) -> Option<&'static Allowed> {
    let place = compare::general(&difference.place);
    let text = |value: &Option<serde_json::Value>| match value {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => String::new(),
    };
    let (embedded, real) = (text(&difference.embedded), text(&difference.real));
    ALLOWED.iter().find(|allowed| {
        allowed.status.is_none_or(|wanted| wanted == status)
            && allowed.places.contains(&place.as_str())
            && embedded.contains(allowed.embedded)
            && real.contains(allowed.real)
    })
}
