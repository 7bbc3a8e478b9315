//! `'%s'.format([x])`, and the formats that names have to have.

use std::fmt::Write as _;

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{
    super::{
        eval::{EvalError, Work},
        value::{Map, Value},
    },
    Row, no_overload, time, url,
};
use crate::names;

type Out<'a> = Result<Value<'a>, EvalError>;

pub(super) const FUNCTIONS: &[Row] = &[
    ("format", "string.(list(dyn))->string", format),
    (
        "format.named",
        "(string)->optional(format)",
        |values, _| match &values[0] {
            Value::Str(name) => Ok(Value::Optional(
                NAMED
                    .iter()
                    .find(|known| *known == name)
                    .map(|known| Value::Format(known).into()),
            )),
            _ => no_overload(),
        },
    ),
    (
        "validate",
        "format.(string)->optional(list(string))",
        validate,
    ),
    ("format.dns1123Label", "()->format", |_, _| {
        Ok(Value::Format("dns1123Label"))
    }),
    ("format.dns1123Subdomain", "()->format", |_, _| {
        Ok(Value::Format("dns1123Subdomain"))
    }),
    ("format.dns1035Label", "()->format", |_, _| {
        Ok(Value::Format("dns1035Label"))
    }),
    ("format.qualifiedName", "()->format", |_, _| {
        Ok(Value::Format("qualifiedName"))
    }),
    ("format.labelValue", "()->format", |_, _| {
        Ok(Value::Format("labelValue"))
    }),
    ("format.uri", "()->format", |_, _| Ok(Value::Format("uri"))),
    ("format.uuid", "()->format", |_, _| {
        Ok(Value::Format("uuid"))
    }),
    ("format.byte", "()->format", |_, _| {
        Ok(Value::Format("byte"))
    }),
    ("format.date", "()->format", |_, _| {
        Ok(Value::Format("date"))
    }),
    ("format.datetime", "()->format", |_, _| {
        Ok(Value::Format("datetime"))
    }),
];

const NAMED: [&str; 10] = [
    "dns1123Label",
    "dns1123Subdomain",
    "dns1035Label",
    "qualifiedName",
    "labelValue",
    "uri",
    "uuid",
    "byte",
    "date",
    "datetime",
];

fn validate<'a>(values: &[Value<'a>], work: &mut Work) -> Out<'a> {
    let [Value::Format(format), Value::Str(text)] = values else {
        return no_overload();
    };
    work.spend(values[1].weight() * 4)?;
    let one = |holds: bool, why: &str| {
        if holds {
            Vec::new()
        } else {
            vec![why.to_owned()]
        }
    };
    let complaints: Vec<String> = match *format {
        "dns1123Label" => names::dns1123_label(text),
        "dns1123Subdomain" => names::dns1123_subdomain(text),
        "dns1035Label" => names::dns1035_label(text),
        "qualifiedName" => names::qualified_name(text),
        "labelValue" => names::label_value(text),
        "uri" => match url::parse(text) {
            Ok(_) => Vec::new(),
            Err(why) => vec![why],
        },
        "uuid" => one(
            crate::structural::matches_format("uuid", text),
            "does not match the UUID format",
        ),
        "byte" => one(
            BASE64_STANDARD.decode(text.as_ref()).is_ok(),
            "invalid base64",
        ),
        "date" => one(text.parse::<jiff::civil::Date>().is_ok(), "invalid date"),
        _ => one(time::parse_timestamp(text).is_some(), "invalid datetime"),
    };
    if complaints.is_empty() {
        return Ok(Value::Optional(None));
    }
    Ok(Value::list(complaints.into_iter().map(Value::text).collect()).some())
}

fn format<'a>(values: &[Value<'a>], work: &mut Work) -> Out<'a> {
    let [Value::Str(pattern), Value::List(arguments)] = values else {
        return no_overload();
    };
    let mut out = String::new();
    let mut next = 0;
    let mut rest: &str = pattern;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let mut precision = 6;
        if let Some(after) = rest.strip_prefix('.') {
            let digits = after
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(after.len());
            precision = after[..digits]
                .parse::<usize>()
                .map_err(|_| {
                    EvalError::new("could not parse formatting clause: missing precision")
                })?
                .min(60);
            rest = &after[digits..];
        }
        let Some(letter) = rest.chars().next() else {
            return Err(EvalError::new("unexpected end of format string"));
        };
        rest = &rest[letter.len_utf8()..];
        let argument = arguments
            .get(next)
            .ok_or_else(|| EvalError::new(format!("index {next} out of range")))?;
        next += 1;
        clause(letter, precision, &argument, &mut out)?;
        work.keep(out.len() / 10)?;
    }
    out.push_str(rest);
    work.spend(out.len() as u64 / 10)?;
    Ok(Value::text(out))
}

fn clause(
    letter: char,
    precision: usize,
    value: &Value<'_>,
    out: &mut String,
) -> Result<(), EvalError> {
    let text = match (letter, value) {
        ('s', value) => return shown(value, out),
        ('d', Value::Int(number)) => number.to_string(),
        ('d', Value::Uint(number)) => number.to_string(),
        ('d', Value::Double(number)) if number.fract() == 0.0 => format!("{number:.0}"),
        ('f', Value::Double(number)) => format!("{number:.precision$}"),
        ('f', Value::Int(number)) => format!("{:.precision$}", *number as f64),
        ('e', Value::Double(number)) => scientific(*number, precision),
        ('b', Value::Int(number)) if *number < 0 => format!("-{:b}", number.unsigned_abs()),
        ('b', Value::Int(number)) => format!("{number:b}"),
        ('b', Value::Uint(number)) => format!("{number:b}"),
        ('b', Value::Bool(truth)) => u8::from(*truth).to_string(),
        ('o', Value::Int(number)) if *number < 0 => format!("-{:o}", number.unsigned_abs()),
        ('o', Value::Int(number)) => format!("{number:o}"),
        ('o', Value::Uint(number)) => format!("{number:o}"),
        ('x', Value::Int(number)) if *number < 0 => format!("-{:x}", number.unsigned_abs()),
        ('x', Value::Int(number)) => format!("{number:x}"),
        ('x', Value::Uint(number)) => format!("{number:x}"),
        ('x', Value::Str(text)) => hexadecimal(text),
        ('X', Value::Int(number)) if *number < 0 => format!("-{:X}", number.unsigned_abs()),
        ('X', Value::Int(number)) => format!("{number:X}"),
        ('X', Value::Uint(number)) => format!("{number:X}"),
        ('X', Value::Str(text)) => hexadecimal(text).to_ascii_uppercase(),
        ('d' | 'f' | 'e' | 'b' | 'o' | 'x' | 'X', value) => {
            let why = format!(
                "error during formatting: no such overload for %{letter}: {}",
                value.type_name()
            );
            return Err(EvalError::new(why));
        }
        (other, _) => {
            let why = format!(
                "could not parse formatting clause: unrecognized formatting clause \"{other}\""
            );
            return Err(EvalError::new(why));
        }
    };
    out.push_str(&text);
    Ok(())
}

fn hexadecimal(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn scientific(number: f64, precision: usize) -> String {
    let text = format!("{number:.precision$e}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, magnitude) = match exponent.strip_prefix('-') {
                Some(magnitude) => ('-', magnitude),
                None => ('+', exponent),
            };
            format!("{digits}e{sign}{magnitude:0>2}")
        }
        None => text,
    }
}

/// A value as `%s` shows it.
fn shown(value: &Value<'_>, out: &mut String) -> Result<(), EvalError> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Int(number) => out.push_str(&number.to_string()),
        Value::Uint(number) => out.push_str(&number.to_string()),
        Value::Double(number) => out.push_str(&number.to_string()),
        Value::Str(text) => out.push_str(text),
        Value::Bytes(bytes) => out.push_str(&String::from_utf8_lossy(bytes)),
        Value::Duration(length) => out.push_str(&time::duration_text(*length)),
        Value::Timestamp(at) => out.push_str(&at.to_string()),
        Value::Type(name) => out.push_str(name),
        Value::List(list) => {
            out.push('[');
            for (index, item) in list.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                shown(&item, out)?;
            }
            out.push(']');
        }
        Value::Map(map) => {
            let mut entries = Map::entries(map)
                .into_iter()
                .map(|(key, value)| {
                    let mut text = String::new();
                    shown(&key, &mut text)?;
                    text.push_str(": ");
                    shown(&value, &mut text)?;
                    Ok(text)
                })
                .collect::<Result<Vec<String>, EvalError>>()?;
            entries.sort();
            out.push('{');
            out.push_str(&entries.join(", "));
            out.push('}');
        }
        other => {
            let why = format!(
                "error during formatting: string clause can only be used on strings, bools, bytes, \
                 ints, doubles, maps, lists, types, durations, and timestamps, was given {}",
                other.type_name()
            );
            return Err(EvalError::new(why));
        }
    }
    Ok(())
}
