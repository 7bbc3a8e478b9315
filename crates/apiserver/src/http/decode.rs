//! Request bodies to JSON values.

use bytes::Bytes;
use http::{HeaderMap, header};
use serde_json::Value;
use windlass_apimachinery::{protobuf, schema};

use crate::status::{ApiError, ApiResult};

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";

/// A decoded body.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) value: Value,
    /// Fields that occur twice, as `duplicate field "spec.x"`.
    pub(crate) duplicates: Vec<String>,
}

/// The media type of the body, without parameters.
pub(crate) fn content_type(headers: &HeaderMap) -> &str {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map_or(JSON, str::trim)
}

/// Decodes an object.
pub(crate) fn object(headers: &HeaderMap, body: &Bytes) -> ApiResult<Decoded> {
    match content_type(headers) {
        JSON | "" | "*/*" => json(body),
        YAML | "application/x-yaml" | "text/yaml" => yaml(body),
        protobuf::CONTENT_TYPE => match protobuf::decode(body) {
            Ok(value) => Ok(Decoded {
                value,
                duplicates: Vec::new(),
            }),
            Err(error) => Err(ApiError::bad_request(error.to_string())),
        },
        _ => Err(ApiError::unsupported_media_type(&[
            JSON,
            YAML,
            protobuf::CONTENT_TYPE,
        ])),
    }
}

/// Decodes JSON.
pub(crate) fn json(body: &Bytes) -> ApiResult<Decoded> {
    let value: Value = serde_json::from_slice(body).map_err(|error| {
        ApiError::bad_request(format!("the object provided is unrecognized: {error}"))
    })?;
    Ok(Decoded {
        value,
        duplicates: schema::duplicate_fields(body),
    })
}

/// Decodes YAML the way kubectl does: the last of two equal keys wins, `0644` is octal, and
/// numbers without a fraction are integers.
pub(crate) fn yaml(body: &Bytes) -> ApiResult<Decoded> {
    let refused = |error: &dyn std::fmt::Display| {
        ApiError::bad_request(format!("error decoding from YAML: {error}"))
    };
    let text = std::str::from_utf8(body).map_err(|error| refused(&error))?;
    // JSON is YAML; take the exact and quicker decoder where it fits.
    if text.trim_start().starts_with('{') && serde_json::from_slice::<Value>(body).is_ok() {
        return json(body);
    }
    let options = serde_saphyr::options! {
        legacy_octal_numbers: true,
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins,
    };
    let mut value: Value =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| refused(&error))?;
    integers(&mut value);
    let strict = serde_saphyr::options! {
        legacy_octal_numbers: true,
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
    };
    let duplicates = match serde_saphyr::from_str_with_options::<Value>(text, strict) {
        Ok(_) => Vec::new(),
        Err(error) => vec![format!("line {error}: key already set in map")],
    };
    Ok(Decoded { value, duplicates })
}

/// YAML has one kind of number: `1e3` is the integer 1000.
fn integers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            let exact = number
                .as_f64()
                .filter(|_| number.is_f64())
                .filter(|float| float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0);
            if let Some(float) = exact {
                *value = Value::from(float as i64);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(integers),
        Value::Object(fields) => fields.values_mut().for_each(integers),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_means_what_kubectl_takes_it_for() {
        let body = Bytes::from_static(
            b"mode: 0644\nbig: 1e3\nflag: yes\ntext: \"yes\"\nname: a\nname: b\n",
        );
        let decoded = yaml(&body).unwrap();
        assert_eq!(
            decoded.value,
            json!({"mode": 420, "big": 1000, "flag": true, "text": "yes", "name": "b"}),
        );
        assert_eq!(decoded.duplicates.len(), 1, "{:?}", decoded.duplicates);
    }
}
