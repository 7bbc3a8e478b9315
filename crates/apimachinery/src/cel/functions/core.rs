//! Equality, membership, sizes, conversions and optional values.

use super::{
    super::{
        eval::{EvalError, Work},
        value::{List, Map, Value},
    },
    Row, no_overload, time,
};

type Out<'a> = Result<Value<'a>, EvalError>;

pub(super) const FUNCTIONS: &[Row] = &[
    ("_==_", "(A,A)->bool", equal),
    ("_!=_", "(A,A)->bool", unequal),
    ("@in", "(A,list(A))->bool (A,map(A,B))->bool", within),
    (
        "size",
        "(string)->int (bytes)->int (list(A))->int (map(A,B))->int string.()->int bytes.()->int \
         list(A).()->int map(A,B).()->int",
        size,
    ),
    ("type", "(A)->type", |values, _| {
        Ok(Value::Type(values[0].type_name()))
    }),
    ("dyn", "(A)->dyn", |values, _| Ok(values[0].clone())),
    (
        "int",
        "(int)->int (uint)->int (double)->int (string)->int (timestamp)->int (duration)->int",
        int,
    ),
    (
        "uint",
        "(uint)->uint (int)->uint (double)->uint (string)->uint",
        uint,
    ),
    (
        "double",
        "(double)->double (int)->double (uint)->double (string)->double",
        double,
    ),
    (
        "string",
        "(string)->string (bool)->string (int)->string (uint)->string (double)->string \
         (bytes)->string (timestamp)->string (duration)->string (ip)->string (cidr)->string",
        string,
    ),
    ("bool", "(bool)->bool (string)->bool", truth),
    ("bytes", "(bytes)->bytes (string)->bytes", bytes),
    ("optional.of", "(A)->optional(A)", |values, _| {
        Ok(values[0].clone().some())
    }),
    ("optional.none", "()->optional(A)", |_, _| {
        Ok(Value::Optional(None))
    }),
    (
        "optional.ofNonZeroValue",
        "(A)->optional(A)",
        |values, _| {
            Ok(if is_zero(&values[0]) {
                Value::Optional(None)
            } else {
                values[0].clone().some()
            })
        },
    ),
    (
        "hasValue",
        "optional(A).()->bool",
        |values, _| match &values[0] {
            Value::Optional(inner) => Ok(Value::Bool(inner.is_some())),
            _ => no_overload(),
        },
    ),
    ("value", "optional(A).()->A", |values, _| match &values[0] {
        Value::Optional(Some(inner)) => Ok((**inner).clone()),
        Value::Optional(None) => Err(EvalError::new("optional.none() dereference")),
        _ => no_overload(),
    }),
    (
        "or",
        "optional(A).(optional(A))->optional(A)",
        |values, _| match &values[0] {
            Value::Optional(Some(_)) => Ok(values[0].clone()),
            Value::Optional(None) => Ok(values[1].clone()),
            _ => no_overload(),
        },
    ),
    ("orValue", "optional(A).(A)->A", |values, _| {
        match &values[0] {
            Value::Optional(Some(inner)) => Ok((**inner).clone()),
            Value::Optional(None) => Ok(values[1].clone()),
            _ => no_overload(),
        }
    }),
];

fn equal<'a>(values: &[Value<'a>], work: &mut Work) -> Out<'a> {
    work.spend(values[0].weight().min(values[1].weight()))?;
    Ok(Value::Bool(values[0].equals(&values[1])))
}

fn unequal<'a>(values: &[Value<'a>], work: &mut Work) -> Out<'a> {
    work.spend(values[0].weight().min(values[1].weight()))?;
    Ok(Value::Bool(!values[0].equals(&values[1])))
}

fn within<'a>(values: &[Value<'a>], work: &mut Work) -> Out<'a> {
    match &values[1] {
        Value::List(list) => {
            work.spend(list.len() as u64)?;
            Ok(Value::Bool(list.contains(&values[0])))
        }
        Value::Map(map) => Ok(Value::Bool(map.get(&values[0]).is_some())),
        _ => no_overload(),
    }
}

fn size<'a>(values: &[Value<'a>], work: &mut Work) -> Out<'a> {
    let size = match &values[0] {
        Value::Str(text) => {
            work.spend(values[0].weight())?;
            text.chars().count()
        }
        Value::Bytes(bytes) => bytes.len(),
        Value::List(list) => list.len(),
        Value::Map(map) => map.len(),
        _ => return no_overload(),
    };
    Ok(Value::Int(size as i64))
}

fn int<'a>(values: &[Value<'a>], _: &mut Work) -> Out<'a> {
    let overflow = || EvalError::new("integer overflow");
    Ok(Value::Int(match &values[0] {
        Value::Int(number) => *number,
        Value::Uint(number) => i64::try_from(*number).map_err(|_| overflow())?,
        Value::Double(number) => {
            if number.is_nan() || number.abs() >= 9.223_372_036_854_775e18 {
                return Err(overflow());
            }
            *number as i64
        }
        Value::Str(text) => text.parse().map_err(|_| not_a("int"))?,
        Value::Timestamp(at) => at.as_second(),
        Value::Duration(length) => i64::try_from(length.as_nanos()).map_err(|_| overflow())?,
        _ => return no_overload(),
    }))
}

fn uint<'a>(values: &[Value<'a>], _: &mut Work) -> Out<'a> {
    let overflow = || EvalError::new("unsigned integer overflow");
    Ok(Value::Uint(match &values[0] {
        Value::Uint(number) => *number,
        Value::Int(number) => u64::try_from(*number).map_err(|_| overflow())?,
        Value::Double(number) => {
            if !(*number >= 0.0 && *number < 1.844_674_407_370_955e19) {
                return Err(overflow());
            }
            *number as u64
        }
        Value::Str(text) => text.parse().map_err(|_| not_a("uint"))?,
        _ => return no_overload(),
    }))
}

fn double<'a>(values: &[Value<'a>], _: &mut Work) -> Out<'a> {
    Ok(Value::Double(match &values[0] {
        Value::Double(number) => *number,
        Value::Int(number) => *number as f64,
        Value::Uint(number) => *number as f64,
        Value::Str(text) => text.parse().map_err(|_| not_a("double"))?,
        _ => return no_overload(),
    }))
}

fn not_a(wanted: &str) -> EvalError {
    EvalError::not_a(wanted)
}

fn string<'a>(values: &[Value<'a>], work: &mut Work) -> Out<'a> {
    work.spend(values[0].weight())?;
    Ok(match &values[0] {
        Value::Str(_) => values[0].clone(),
        Value::Bool(truth) => Value::text(truth.to_string()),
        Value::Int(number) => Value::text(number.to_string()),
        Value::Uint(number) => Value::text(number.to_string()),
        Value::Double(number) => Value::text(number.to_string()),
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Value::text(text),
            Err(_) => {
                return Err(EvalError::new(
                    "invalid UTF-8 in bytes, cannot convert to string",
                ));
            }
        },
        Value::Timestamp(at) => Value::text(at.to_string()),
        Value::Duration(length) => Value::text(time::duration_text(*length)),
        Value::Ip(address) => Value::text(address.to_string()),
        Value::Cidr(cidr) => Value::text(cidr.to_string()),
        _ => return no_overload(),
    })
}

fn truth<'a>(values: &[Value<'a>], _: &mut Work) -> Out<'a> {
    match &values[0] {
        Value::Bool(truth) => Ok(Value::Bool(*truth)),
        Value::Str(text) => match text.as_ref() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            _ => Err(not_a("bool")),
        },
        _ => no_overload(),
    }
}

fn bytes<'a>(values: &[Value<'a>], _: &mut Work) -> Out<'a> {
    match &values[0] {
        Value::Bytes(_) => Ok(values[0].clone()),
        Value::Str(text) => Ok(Value::Bytes(text.as_bytes().to_vec().into())),
        _ => no_overload(),
    }
}

fn is_zero(value: &Value<'_>) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(truth) => !truth,
        Value::Int(number) => *number == 0,
        Value::Uint(number) => *number == 0,
        Value::Double(number) => *number == 0.0,
        Value::Str(text) => text.is_empty(),
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::List(list) => List::is_empty(list),
        Value::Map(map) => Map::is_empty(map),
        Value::Duration(length) => length.is_zero(),
        _ => false,
    }
}
