//! The query parameters of the streaming subresources, as the API server has split and decoded them.
//!
//! Kubernetes converts them loosely: a boolean that is present is true unless it says `false` or
//! `0`, and unknown parameters are ignored.

use crate::backend::{ExecOptions, LogOptions};

/// What is wrong with a query; the API server answers it with a 400 or 422.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// A remote command that neither reads nor writes anything.
    #[error("you must specify at least 1 of stdin, stdout, stderr")]
    NoStreams,
    /// `exec` without a command.
    #[error("command: you must specify at least one command for the container")]
    NoCommand,
    /// A number that is none.
    #[error("{field}: invalid value \"{value}\": {expected}")]
    Number {
        /// The parameter.
        field: &'static str,
        /// What was sent.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// Two parameters that exclude each other.
    #[error("at most one of `sinceTime` or `sinceSeconds` may be specified")]
    TwoSinces,
}

/// The parameters of `exec`.
pub fn exec<'a>(
    query: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<ExecOptions, QueryError> {
    let options = remote_command(query)?;
    if options.command.is_empty() {
        return Err(QueryError::NoCommand);
    }
    Ok(options)
}

/// The parameters of `attach`.
pub fn attach<'a>(
    query: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<ExecOptions, QueryError> {
    let options = remote_command(query)?;
    Ok(ExecOptions {
        command: Vec::new(),
        ..options
    })
}

/// The `ports` parameter of `portforward`; SPDY clients name their ports in stream headers instead.
pub fn ports<'a>(
    query: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Vec<u16>, QueryError> {
    query
        .into_iter()
        .filter(|(name, _)| *name == "ports")
        .flat_map(|(_, value)| value.split(','))
        .filter(|port| !port.is_empty())
        .map(port_number)
        .collect()
}

/// The parameters of `log`.
pub fn log<'a>(
    query: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<LogOptions, QueryError> {
    let mut options = LogOptions::default();
    for (name, value) in query {
        match name {
            "follow" => options.follow = flag(value),
            "previous" => options.previous = flag(value),
            "timestamps" => options.timestamps = flag(value),
            "tailLines" => options.tail_lines = Some(number("tailLines", value, 0)?),
            "sinceSeconds" => options.since_seconds = Some(number("sinceSeconds", value, 1)?),
            "limitBytes" => options.limit_bytes = Some(number("limitBytes", value, 1)?),
            "sinceTime" if !value.is_empty() => options.since_time = Some(value.to_owned()),
            _ => {}
        }
    }
    if options.since_seconds.is_some() && options.since_time.is_some() {
        return Err(QueryError::TwoSinces);
    }
    Ok(options)
}

/// A port between 1 and 65535.
pub(crate) fn port_number(value: &str) -> Result<u16, QueryError> {
    value
        .parse()
        .ok()
        .filter(|port| *port != 0)
        .ok_or_else(|| QueryError::Number {
            field: "port",
            value: value.to_owned(),
            expected: "must be a number between 1 and 65535",
        })
}

fn remote_command<'a>(
    query: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<ExecOptions, QueryError> {
    let mut options = ExecOptions::default();
    for (name, value) in query {
        match name {
            "command" => options.command.push(value.to_owned()),
            "stdin" => options.stdin = flag(value),
            "stdout" => options.stdout = flag(value),
            "stderr" => options.stderr = flag(value),
            "tty" => options.tty = flag(value),
            _ => {}
        }
    }
    if !(options.stdin || options.stdout || options.stderr) {
        return Err(QueryError::NoStreams);
    }
    // A terminal has one output; clients that ask for both are served what there is.
    options.stderr &= !options.tty;
    Ok(options)
}

fn flag(value: &str) -> bool {
    !(value == "0" || value.eq_ignore_ascii_case("false"))
}

fn number(field: &'static str, value: &str, least: u64) -> Result<u64, QueryError> {
    value
        .parse()
        .ok()
        .filter(|number| *number >= least)
        .ok_or_else(|| QueryError::Number {
            field,
            value: value.to_owned(),
            expected: if least == 0 {
                "must be greater than or equal to 0"
            } else {
                "must be greater than 0"
            },
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_command_keeps_its_words_in_order_and_a_terminal_has_no_stderr() {
        let options = exec([
            ("command", "sh"),
            ("container", "main"),
            ("command", "-c"),
            ("command", "echo a b"),
            ("stdin", "true"),
            ("stdout", ""),
            ("stderr", "1"),
            ("tty", "true"),
        ]);
        assert_eq!(
            options,
            Ok(ExecOptions {
                command: vec!["sh".into(), "-c".into(), "echo a b".into()],
                stdin: true,
                stdout: true,
                stderr: false,
                tty: true,
            })
        );
    }

    #[test]
    fn a_remote_command_without_streams_or_words_is_refused() {
        assert_eq!(exec([("command", "ls")]), Err(QueryError::NoStreams));
        assert_eq!(
            exec([("command", "ls"), ("stdout", "false")]),
            Err(QueryError::NoStreams)
        );
        assert_eq!(exec([("stdout", "true")]), Err(QueryError::NoCommand));
        assert!(attach([("stdout", "true")]).is_ok());
    }

    #[test]
    fn ports_come_repeated_or_comma_separated() {
        assert_eq!(
            ports([("ports", "80,443"), ("ports", "4040")]),
            Ok(vec![80, 443, 4040])
        );
        for wrong in ["0", "65536", "http", "-1"] {
            assert!(ports([("ports", wrong)]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn log_options_are_checked_by_name() {
        let options = log([
            ("follow", "true"),
            ("tailLines", "0"),
            ("limitBytes", "10"),
            ("sinceTime", "2026-01-01T00:00:00Z"),
        ])
        .unwrap();
        assert!(options.follow);
        assert_eq!(options.tail_lines, Some(0));
        assert_eq!(options.limit_bytes, Some(10));
        for (name, value, message) in [
            ("tailLines", "-1", "tailLines"),
            ("sinceSeconds", "0", "greater than 0"),
            ("limitBytes", "x", "limitBytes"),
        ] {
            let error = log([(name, value)]).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
        assert_eq!(
            log([("sinceSeconds", "5"), ("sinceTime", "2026-01-01T00:00:00Z")]),
            Err(QueryError::TwoSinces)
        );
    }
}
