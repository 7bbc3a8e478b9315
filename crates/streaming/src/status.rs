//! The `metav1.Status` that ends a remote command.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::backend::BackendError;

/// How a remote command ended.
pub(crate) type Outcome = Result<i32, BackendError>;

/// The status of the v4 and v5 protocols.
pub(crate) fn json(outcome: &Outcome) -> Bytes {
    let status = match outcome {
        Ok(0) => json!({"metadata": {}, "status": "Success"}),
        Ok(code) => failure(
            "NonZeroExitCode",
            &format!("command terminated with exit code {code}"),
            json!({"causes": [{"reason": "ExitCode", "message": code.to_string()}]}),
            None,
        ),
        Err(BackendError::NotFound(message)) => {
            failure("NotFound", message, Value::Null, Some(404))
        }
        Err(BackendError::BadRequest(message)) => {
            failure("BadRequest", message, Value::Null, Some(400))
        }
        Err(BackendError::Internal(message)) => failure(
            "InternalError",
            &format!("Internal error occurred: {message}"),
            json!({"causes": [{"message": message}]}),
            Some(500),
        ),
    };
    Bytes::from(status.to_string())
}

/// The text of the protocols before v4: nothing on success.
pub(crate) fn text(outcome: &Outcome) -> Option<Bytes> {
    match outcome {
        Ok(0) => None,
        Ok(code) => Some(format!("command terminated with exit code {code}").into()),
        Err(error) => Some(error.to_string().into()),
    }
}

fn failure(reason: &str, message: &str, details: Value, code: Option<u16>) -> Value {
    let mut status = json!({
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
    });
    if !details.is_null() {
        status["details"] = details;
    }
    if let Some(code) = code {
        status["code"] = code.into();
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(outcome: &Outcome) -> Value {
        serde_json::from_slice(&json(outcome)).unwrap()
    }

    #[test]
    fn a_non_zero_exit_code_is_a_cause() {
        assert_eq!(parsed(&Ok(0))["status"], "Success");
        let status = parsed(&Ok(137));
        assert_eq!(status["reason"], "NonZeroExitCode");
        assert_eq!(
            status["details"]["causes"][0],
            json!({"reason": "ExitCode", "message": "137"})
        );
    }

    #[test]
    fn a_backend_error_keeps_its_meaning() {
        let status = parsed(&Err(BackendError::Internal("no such file".into())));
        assert_eq!(status["code"], 500);
        assert_eq!(status["message"], "Internal error occurred: no such file");
        assert_eq!(text(&Ok(0)), None);
        assert_eq!(text(&Ok(3)).unwrap(), "command terminated with exit code 3");
    }
}
