//! What the client wants to see: the whole objects, a table, or metadata only.

use http::{HeaderMap, header};

use crate::status::{ApiError, ApiResult};

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Whole objects.
    Objects,
    /// `meta.k8s.io/v1 Table`.
    Table,
    /// `meta.k8s.io/v1 PartialObjectMetadata` and its list.
    Metadata,
}

/// The text format of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Json,
    Yaml,
}

/// What was negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) form: Form,
    pub(crate) encoding: Encoding,
}

/// Reads the `Accept` header. Clients list what they can read in the order they like it; formats
/// this server does not write, such as protobuf, are passed over.
pub(crate) fn negotiate(headers: &HeaderMap) -> ApiResult<Wanted> {
    let mut ranges = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|range| !range.is_empty())
        .peekable();
    if ranges.peek().is_none() {
        return Ok(Wanted {
            form: Form::Objects,
            encoding: Encoding::Json,
        });
    }
    ranges.find_map(wanted).ok_or_else(|| {
        ApiError::not_acceptable(
            "application/json, application/yaml, application/vnd.kubernetes.protobuf",
        )
    })
}

fn wanted(range: &str) -> Option<Wanted> {
    let mut parts = range.split(';').map(str::trim);
    let encoding = match parts.next()? {
        "application/json" | "application/*" | "*/*" => Encoding::Json,
        "application/yaml" => Encoding::Yaml,
        _ => return None,
    };
    let mut kind = "";
    let mut group = "";
    let mut version = "";
    for parameter in parts {
        match parameter.split_once('=') {
            Some(("as", value)) => kind = value,
            Some(("g", value)) => group = value,
            Some(("v", value)) => version = value,
            _ => {}
        }
    }
    let form = match kind {
        "" => Form::Objects,
        "Table" if group == "meta.k8s.io" && version == "v1" => Form::Table,
        "PartialObjectMetadata" | "PartialObjectMetadataList"
            if group == "meta.k8s.io" && version == "v1" =>
        {
            Form::Metadata
        }
        _ => return None,
    };
    Some(Wanted { form, encoding })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_first_range_that_can_be_served_wins() {
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,\
                       application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        let cases = [
            ("", Some((Form::Objects, Encoding::Json))),
            ("*/*", Some((Form::Objects, Encoding::Json))),
            ("application/yaml", Some((Form::Objects, Encoding::Yaml))),
            (kubectl, Some((Form::Table, Encoding::Json))),
            (
                "application/vnd.kubernetes.protobuf,application/json",
                Some((Form::Objects, Encoding::Json)),
            ),
            (
                "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
                Some((Form::Metadata, Encoding::Json)),
            ),
            ("application/json;as=Table;v=v1beta1;g=meta.k8s.io", None),
            ("application/vnd.kubernetes.protobuf", None),
        ];
        for (accept, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            let got = negotiate(&headers)
                .ok()
                .map(|wanted| (wanted.form, wanted.encoding));
            assert_eq!(got, expected, "{accept}");
        }
    }
}
