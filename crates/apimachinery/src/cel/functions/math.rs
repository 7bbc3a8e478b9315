//! Arithmetic and order.

use std::cmp::Ordering;

use super::{
    super::{
        eval::{EvalError, Work},
        value::Value,
    },
    Row, no_overload,
};
use crate::quantity::Quantity;

type Out<'a> = Result<Value<'a>, EvalError>;

const ORDERED: &str = "(bool,bool)->bool (int,int)->bool (int,uint)->bool (int,double)->bool \
     (uint,uint)->bool (uint,int)->bool (uint,double)->bool (double,double)->bool \
     (double,int)->bool (double,uint)->bool (string,string)->bool (bytes,bytes)->bool \
     (timestamp,timestamp)->bool (duration,duration)->bool";

pub(super) const FUNCTIONS: &[Row] = &[
    ("_<_", ORDERED, |values, work| {
        compared(values, work, Ordering::is_lt)
    }),
    ("_<=_", ORDERED, |values, work| {
        compared(values, work, Ordering::is_le)
    }),
    ("_>_", ORDERED, |values, work| {
        compared(values, work, Ordering::is_gt)
    }),
    ("_>=_", ORDERED, |values, work| {
        compared(values, work, Ordering::is_ge)
    }),
    ("!_", "(bool)->bool", |values, _| match &values[0] {
        Value::Bool(truth) => Ok(Value::Bool(!truth)),
        _ => no_overload(),
    }),
    (
        "-_",
        "(int)->int (double)->double",
        |values, _| match &values[0] {
            Value::Int(number) => number.checked_neg().map(Value::Int).ok_or_else(overflow),
            Value::Double(number) => Ok(Value::Double(-number)),
            _ => no_overload(),
        },
    ),
    (
        "_+_",
        "(int,int)->int (uint,uint)->uint (double,double)->double (string,string)->string \
         (bytes,bytes)->bytes (list(A),list(A))->list(A) (timestamp,duration)->timestamp \
         (duration,timestamp)->timestamp (duration,duration)->duration",
        add,
    ),
    (
        "_-_",
        "(int,int)->int (uint,uint)->uint (double,double)->double \
         (timestamp,timestamp)->duration (timestamp,duration)->timestamp \
         (duration,duration)->duration",
        subtract,
    ),
    (
        "_*_",
        "(int,int)->int (uint,uint)->uint (double,double)->double",
        multiply,
    ),
    (
        "_/_",
        "(int,int)->int (uint,uint)->uint (double,double)->double",
        divide,
    ),
    ("_%_", "(int,int)->int (uint,uint)->uint", remainder),
    ("quantity", "(string)->quantity", |values, work| {
        work.spend(values[0].weight())?;
        match &values[0] {
            Value::Str(text) => Quantity::parse(text)
                .map(Value::Quantity)
                .map_err(|error| EvalError::new(error.to_string())),
            _ => no_overload(),
        }
    }),
    ("isQuantity", "(string)->bool", |values, work| {
        work.spend(values[0].weight())?;
        match &values[0] {
            Value::Str(text) => Ok(Value::Bool(Quantity::parse(text).is_ok())),
            _ => no_overload(),
        }
    }),
    ("sign", "(quantity)->int", |values, _| match &values[0] {
        Value::Quantity(quantity) if quantity.is_zero() => Ok(Value::Int(0)),
        Value::Quantity(quantity) if quantity.is_negative() => Ok(Value::Int(-1)),
        Value::Quantity(_) => Ok(Value::Int(1)),
        _ => no_overload(),
    }),
    (
        "isGreaterThan",
        "quantity.(quantity)->bool semver.(semver)->bool",
        |values, _| ordered(values).map(|order| Value::Bool(order.is_gt())),
    ),
    (
        "isLessThan",
        "quantity.(quantity)->bool semver.(semver)->bool",
        |values, _| ordered(values).map(|order| Value::Bool(order.is_lt())),
    ),
    (
        "compareTo",
        "quantity.(quantity)->int semver.(semver)->int",
        |values, _| ordered(values).map(|order| Value::Int(order as i64)),
    ),
    (
        "isInteger",
        "quantity.()->bool",
        |values, _| match &values[0] {
            Value::Quantity(quantity) => Ok(Value::Bool(quantity.whole().is_some())),
            _ => no_overload(),
        },
    ),
    ("asInteger", "quantity.()->int", |values, _| {
        match &values[0] {
            Value::Quantity(quantity) => match quantity.whole() {
                Some(units) => Ok(Value::Int(units)),
                None => Err(EvalError::new("cannot convert value to integer")),
            },
            _ => no_overload(),
        }
    }),
    (
        "asApproximateFloat",
        "quantity.()->double",
        |values, _| match &values[0] {
            Value::Quantity(quantity) => Ok(Value::Double(quantity.approximate())),
            _ => no_overload(),
        },
    ),
    (
        "add",
        "quantity.(quantity)->quantity quantity.(int)->quantity",
        |values, _| match (&values[0], &values[1]) {
            (Value::Quantity(a), Value::Quantity(b)) => Ok(Value::Quantity(a.plus(*b))),
            (Value::Quantity(a), Value::Int(b)) => {
                Ok(Value::Quantity(a.plus(Quantity::of_units(*b))))
            }
            _ => no_overload(),
        },
    ),
    (
        "sub",
        "quantity.(quantity)->quantity quantity.(int)->quantity",
        |values, _| match (&values[0], &values[1]) {
            (Value::Quantity(a), Value::Quantity(b)) => Ok(Value::Quantity(a.minus(*b))),
            (Value::Quantity(a), Value::Int(b)) => {
                Ok(Value::Quantity(a.minus(Quantity::of_units(*b))))
            }
            _ => no_overload(),
        },
    ),
];

fn overflow() -> EvalError {
    EvalError::new("integer overflow")
}

fn unsigned_overflow() -> EvalError {
    EvalError::new("unsigned integer overflow")
}

fn compared<'a>(
    values: &[Value<'a>],
    work: &mut Work,
    holds: impl Fn(Ordering) -> bool,
) -> Out<'a> {
    work.spend(values[0].weight().min(values[1].weight()))?;
    match (&values[0], &values[1]) {
        (Value::Double(a), Value::Double(b)) if a.is_nan() || b.is_nan() => Ok(Value::Bool(false)),
        (a, b) => match a.compare(b) {
            Some(order) => Ok(Value::Bool(holds(order))),
            None => no_overload(),
        },
    }
}

fn ordered(values: &[Value<'_>]) -> Result<Ordering, EvalError> {
    match (&values[0], &values[1]) {
        (Value::Quantity(a), Value::Quantity(b)) => Ok(a.cmp(b)),
        (Value::Semver(a), Value::Semver(b)) => Ok(a.compare(b)),
        _ => no_overload(),
    }
}

fn add<'a>(values: &[Value<'a>], work: &mut Work) -> Out<'a> {
    work.spend(values[0].weight() + values[1].weight())?;
    match (&values[0], &values[1]) {
        (Value::Int(a), Value::Int(b)) => a.checked_add(*b).map(Value::Int).ok_or_else(overflow),
        (Value::Uint(a), Value::Uint(b)) => a
            .checked_add(*b)
            .map(Value::Uint)
            .ok_or_else(unsigned_overflow),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a + b)),
        (Value::Str(a), Value::Str(b)) => Ok(Value::text(format!("{a}{b}"))),
        (Value::Bytes(a), Value::Bytes(b)) => Ok(Value::Bytes([&**a, &**b].concat().into())),
        (Value::List(a), Value::List(b)) => {
            let items = a.plus(b);
            work.keep(items.len())?;
            Ok(Value::list(items))
        }
        (Value::Timestamp(at), Value::Duration(length))
        | (Value::Duration(length), Value::Timestamp(at)) => at
            .checked_add(*length)
            .map(Value::Timestamp)
            .map_err(|_| EvalError::new("timestamp overflow")),
        (Value::Duration(a), Value::Duration(b)) => a
            .checked_add(*b)
            .map(Value::Duration)
            .ok_or_else(|| EvalError::new("duration overflow")),
        _ => no_overload(),
    }
}

fn subtract<'a>(values: &[Value<'a>], _: &mut Work) -> Out<'a> {
    match (&values[0], &values[1]) {
        (Value::Int(a), Value::Int(b)) => a.checked_sub(*b).map(Value::Int).ok_or_else(overflow),
        (Value::Uint(a), Value::Uint(b)) => a
            .checked_sub(*b)
            .map(Value::Uint)
            .ok_or_else(unsigned_overflow),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a - b)),
        (Value::Timestamp(a), Value::Timestamp(b)) => Ok(Value::Duration(a.duration_since(*b))),
        (Value::Timestamp(at), Value::Duration(length)) => at
            .checked_sub(*length)
            .map(Value::Timestamp)
            .map_err(|_| EvalError::new("timestamp overflow")),
        (Value::Duration(a), Value::Duration(b)) => a
            .checked_sub(*b)
            .map(Value::Duration)
            .ok_or_else(|| EvalError::new("duration overflow")),
        _ => no_overload(),
    }
}

fn multiply<'a>(values: &[Value<'a>], _: &mut Work) -> Out<'a> {
    match (&values[0], &values[1]) {
        (Value::Int(a), Value::Int(b)) => a.checked_mul(*b).map(Value::Int).ok_or_else(overflow),
        (Value::Uint(a), Value::Uint(b)) => a
            .checked_mul(*b)
            .map(Value::Uint)
            .ok_or_else(unsigned_overflow),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a * b)),
        _ => no_overload(),
    }
}

fn divide<'a>(values: &[Value<'a>], _: &mut Work) -> Out<'a> {
    match (&values[0], &values[1]) {
        (Value::Int(_), Value::Int(0)) | (Value::Uint(_), Value::Uint(0)) => {
            Err(EvalError::new("division by zero"))
        }
        (Value::Int(a), Value::Int(b)) => a.checked_div(*b).map(Value::Int).ok_or_else(overflow),
        (Value::Uint(a), Value::Uint(b)) => Ok(Value::Uint(a / b)),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a / b)),
        _ => no_overload(),
    }
}

fn remainder<'a>(values: &[Value<'a>], _: &mut Work) -> Out<'a> {
    match (&values[0], &values[1]) {
        (Value::Int(_), Value::Int(0)) | (Value::Uint(_), Value::Uint(0)) => {
            Err(EvalError::new("modulus by zero"))
        }
        (Value::Int(a), Value::Int(b)) => a.checked_rem(*b).map(Value::Int).ok_or_else(overflow),
        (Value::Uint(a), Value::Uint(b)) => Ok(Value::Uint(a % b)),
        _ => no_overload(),
    }
}
