//! Lists and sets.

use std::cmp::Ordering;

use super::{
    super::{
        eval::{EvalError, Work},
        value::{List, Value},
    },
    Row, no_overload,
};

type Out<'a> = Result<Value<'a>, EvalError>;

/// The longest range that is made.
const RANGE: i64 = 100_000;

pub(super) const FUNCTIONS: &[Row] = &[
    ("isSorted", "list(A).()->bool", |values, work| {
        let items = items(&values[0], work)?;
        for pair in items.windows(2) {
            match pair[0].compare(&pair[1]) {
                Some(Ordering::Greater) => return Ok(Value::Bool(false)),
                Some(_) => {}
                None => return no_overload(),
            }
        }
        Ok(Value::Bool(true))
    }),
    (
        "sum",
        "list(int).()->int list(uint).()->uint list(double).()->double list(duration).()->duration",
        sum,
    ),
    ("min", "list(A).()->A", |values, work| {
        extreme(values, work, "min", Ordering::is_lt)
    }),
    ("max", "list(A).()->A", |values, work| {
        extreme(values, work, "max", Ordering::is_gt)
    }),
    ("slice", "list(A).(int,int)->list(A)", |values, work| {
        let [Value::List(_), Value::Int(from), Value::Int(to)] = values else {
            return no_overload();
        };
        let items = items(&values[0], work)?;
        let wrong = |why: &str| EvalError::new(format!("cannot slice({from}, {to}), {why}"));
        if *from < 0 || *to < 0 {
            return Err(wrong("negative indexes not supported"));
        }
        if from > to {
            return Err(wrong("start index must be less than or equal to end index"));
        }
        let kept = items
            .get(*from as usize..*to as usize)
            .ok_or_else(|| wrong(&format!("list is length {}", items.len())))?;
        Ok(Value::list(kept.to_vec()))
    }),
    (
        "flatten",
        "list(list(A)).()->list(A) list(dyn).(int)->list(dyn)",
        |values, work| {
            let depth = match values.get(1) {
                None => 1,
                Some(Value::Int(depth)) if *depth >= 0 => (*depth).min(16),
                Some(_) => return Err(EvalError::new("level must be non-negative")),
            };
            let mut flat = Vec::new();
            flatten(&values[0], depth, work, &mut flat)?;
            Ok(Value::list(flat))
        },
    ),
    ("reverse", "list(A).()->list(A)", |values, work| {
        let mut items = items(&values[0], work)?;
        items.reverse();
        Ok(Value::list(items))
    }),
    ("distinct", "list(A).()->list(A)", |values, work| {
        let items = items(&values[0], work)?;
        work.spend((items.len() as u64).saturating_mul(items.len() as u64))?;
        let mut kept: Vec<Value<'_>> = Vec::new();
        for item in items {
            if !kept.iter().any(|before| before.equals(&item)) {
                kept.push(item);
            }
        }
        Ok(Value::list(kept))
    }),
    ("sort", "list(A).()->list(A)", |values, work| {
        let mut items = items(&values[0], work)?;
        let comparable = items.iter().all(|item| item.compare(&items[0]).is_some());
        if !comparable {
            return Err(EvalError::new("list elements must have the same type"));
        }
        items.sort_by(|a, b| a.compare(b).unwrap_or(Ordering::Equal));
        Ok(Value::list(items))
    }),
    (
        "first",
        "list(A).()->optional(A)",
        |values, _| match &values[0] {
            Value::List(list) => Ok(Value::Optional(list.get(0).map(Into::into))),
            _ => no_overload(),
        },
    ),
    (
        "last",
        "list(A).()->optional(A)",
        |values, _| match &values[0] {
            Value::List(list) => {
                let last = list.len().checked_sub(1).and_then(|index| list.get(index));
                Ok(Value::Optional(last.map(Into::into)))
            }
            _ => no_overload(),
        },
    ),
    (
        "lists.range",
        "(int)->list(int)",
        |values, work| match &values[0] {
            Value::Int(end) if *end > RANGE => {
                let why = format!("lists.range exceeds limit of {RANGE}");
                Err(EvalError::new(why))
            }
            Value::Int(end) => {
                work.keep((*end).max(0) as usize)?;
                Ok(Value::list((0..*end).map(Value::Int).collect()))
            }
            _ => no_overload(),
        },
    ),
    (
        "sets.contains",
        "(list(A),list(A))->bool",
        |values, work| {
            let (a, b) = sets(values, work)?;
            Ok(Value::Bool(b.iter().all(|item| a.contains(&item))))
        },
    ),
    (
        "sets.equivalent",
        "(list(A),list(A))->bool",
        |values, work| {
            let (a, b) = sets(values, work)?;
            let same =
                b.iter().all(|item| a.contains(&item)) && a.iter().all(|item| b.contains(&item));
            Ok(Value::Bool(same))
        },
    ),
    (
        "sets.intersects",
        "(list(A),list(A))->bool",
        |values, work| {
            let (a, b) = sets(values, work)?;
            Ok(Value::Bool(a.iter().any(|item| b.contains(&item))))
        },
    ),
];

fn items<'a>(value: &Value<'a>, work: &mut Work) -> Result<Vec<Value<'a>>, EvalError> {
    match value {
        Value::List(list) => {
            work.keep(list.len())?;
            Ok(list.iter().collect())
        }
        _ => no_overload(),
    }
}

fn sets<'v, 'a>(
    values: &'v [Value<'a>],
    work: &mut Work,
) -> Result<(&'v List<'a>, &'v List<'a>), EvalError> {
    match values {
        [Value::List(a), Value::List(b)] => {
            work.spend((a.len() as u64).saturating_mul(b.len() as u64))?;
            Ok((a, b))
        }
        _ => no_overload(),
    }
}

fn sum<'a>(values: &[Value<'a>], work: &mut Work) -> Out<'a> {
    let items = items(&values[0], work)?;
    let add = super::find("_+_").map(|function| function.code);
    let (Some(add), Some(mut total)) = (add, items.first().cloned()) else {
        return Ok(Value::Int(0));
    };
    for item in items.into_iter().skip(1) {
        total = add(&[total, item], work)?;
    }
    Ok(total)
}

fn extreme<'a>(
    values: &[Value<'a>],
    work: &mut Work,
    name: &str,
    better: impl Fn(Ordering) -> bool,
) -> Out<'a> {
    let mut items = items(&values[0], work)?.into_iter();
    let Some(mut best) = items.next() else {
        let why = format!("{name} called on empty list");
        return Err(EvalError::new(why));
    };
    for item in items {
        match item.compare(&best) {
            Some(order) if better(order) => best = item,
            Some(_) => {}
            None => return no_overload(),
        }
    }
    Ok(best)
}

fn flatten<'a>(
    value: &Value<'a>,
    depth: i64,
    work: &mut Work,
    flat: &mut Vec<Value<'a>>,
) -> Result<(), EvalError> {
    let Value::List(list) = value else {
        return no_overload();
    };
    work.keep(list.len())?;
    for item in list.iter() {
        match item {
            Value::List(_) if depth > 0 => flatten(&item, depth - 1, work, flat)?,
            other => flat.push(other),
        }
    }
    Ok(())
}
