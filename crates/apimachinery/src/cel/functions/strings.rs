//! Text: searching, patterns, cutting and changing.

use std::borrow::Cow;

use regex::Regex;

use super::{
    super::{
        eval::{EvalError, Work},
        value::Value,
    },
    Row, no_overload,
};

type Out<'a> = Result<Value<'a>, EvalError>;

pub(super) const FUNCTIONS: &[Row] = &[
    ("contains", "string.(string)->bool", |values, work| {
        let (text, part) = two(values, work)?;
        Ok(Value::Bool(text.contains(part)))
    }),
    ("startsWith", "string.(string)->bool", |values, work| {
        let (text, part) = two(values, work)?;
        Ok(Value::Bool(text.starts_with(part)))
    }),
    ("endsWith", "string.(string)->bool", |values, work| {
        let (text, part) = two(values, work)?;
        Ok(Value::Bool(text.ends_with(part)))
    }),
    (
        "matches",
        "string.(string)->bool (string,string)->bool",
        |values, work| {
            let (text, regex) = pattern(values, work)?;
            Ok(Value::Bool(regex.is_match(text)))
        },
    ),
    ("find", "string.(string)->string", |values, work| {
        let (text, regex) = pattern(values, work)?;
        let found = regex.find(text).map_or("", |found| found.as_str());
        Ok(Value::text(found))
    }),
    (
        "findAll",
        "string.(string)->list(string) string.(string,int)->list(string)",
        find_all,
    ),
    ("charAt", "string.(int)->string", |values, _| match values {
        [Value::Str(text), Value::Int(index)] => {
            let length = text.chars().count() as i64;
            if *index < 0 || *index > length {
                return Err(out_of_range(*index));
            }
            let found = text.chars().nth(*index as usize);
            Ok(Value::text(found.map(String::from).unwrap_or_default()))
        }
        _ => no_overload(),
    }),
    (
        "indexOf",
        "string.(string)->int string.(string,int)->int list(A).(A)->int",
        index_of,
    ),
    (
        "lastIndexOf",
        "string.(string)->int string.(string,int)->int list(A).(A)->int",
        last_index_of,
    ),
    ("lowerAscii", "string.()->string", |values, work| {
        Ok(Value::text(one(values, work)?.to_ascii_lowercase()))
    }),
    ("upperAscii", "string.()->string", |values, work| {
        Ok(Value::text(one(values, work)?.to_ascii_uppercase()))
    }),
    ("trim", "string.()->string", |values, work| {
        Ok(Value::text(one(values, work)?.trim()))
    }),
    (
        "replace",
        "string.(string,string)->string string.(string,string,int)->string",
        replace,
    ),
    (
        "split",
        "string.(string)->list(string) string.(string,int)->list(string)",
        split,
    ),
    (
        "substring",
        "string.(int)->string string.(int,int)->string",
        substring,
    ),
    (
        "join",
        "list(string).()->string list(string).(string)->string",
        join,
    ),
    ("strings.quote", "(string)->string", |values, work| {
        Ok(Value::text(crate::field::quote(one(values, work)?)))
    }),
];

fn out_of_range(index: i64) -> EvalError {
    EvalError::new(format!("index out of range: {index}"))
}

fn one<'v>(values: &'v [Value<'_>], work: &mut Work) -> Result<&'v str, EvalError> {
    match values {
        [Value::Str(text), ..] => {
            work.spend(values[0].weight())?;
            Ok(text)
        }
        _ => no_overload(),
    }
}

fn two<'v>(values: &'v [Value<'_>], work: &mut Work) -> Result<(&'v str, &'v str), EvalError> {
    match values {
        [Value::Str(text), Value::Str(part), ..] => {
            work.spend(values[0].weight())?;
            Ok((text, part))
        }
        _ => no_overload(),
    }
}

fn pattern<'v>(values: &'v [Value<'_>], work: &mut Work) -> Result<(&'v str, Regex), EvalError> {
    let (text, pattern) = two(values, work)?;
    // What a search costs grows with both.
    work.spend(values[0].weight().saturating_mul(values[1].weight()))?;
    Ok((text, work.regex(pattern)?))
}

fn find_all<'a>(values: &[Value<'a>], work: &mut Work) -> Out<'a> {
    let (text, regex) = pattern(values, work)?;
    let most = match values.get(2) {
        None => usize::MAX,
        Some(Value::Int(number)) if *number < 0 => usize::MAX,
        Some(Value::Int(number)) => *number as usize,
        Some(_) => return no_overload(),
    };
    let found: Vec<Value<'a>> = regex
        .find_iter(text)
        .take(most)
        .map(|found| Value::text(found.as_str()))
        .collect();
    work.keep(found.len())?;
    Ok(Value::list(found))
}

/// The offset in characters of an offset in bytes.
fn characters(text: &str, bytes: usize) -> i64 {
    text[..bytes].chars().count() as i64
}

/// The offset in bytes of an offset in characters.
fn byte_offset(text: &str, characters: i64) -> Option<usize> {
    let index = usize::try_from(characters).ok()?;
    text.char_indices()
        .map(|(at, _)| at)
        .chain([text.len()])
        .nth(index)
}

fn index_of<'a>(values: &[Value<'a>], work: &mut Work) -> Out<'a> {
    if let [Value::List(list), wanted] = values {
        work.spend(list.len() as u64)?;
        let found = list.iter().position(|item| item.equals(wanted));
        return Ok(Value::Int(found.map_or(-1, |index| index as i64)));
    }
    let (text, part) = two(values, work)?;
    let from = match values.get(2) {
        None => 0,
        Some(Value::Int(from)) => byte_offset(text, *from).ok_or_else(|| out_of_range(*from))?,
        Some(_) => return no_overload(),
    };
    let found = text[from..]
        .find(part)
        .map(|at| characters(text, from + at));
    Ok(Value::Int(found.unwrap_or(-1)))
}

fn last_index_of<'a>(values: &[Value<'a>], work: &mut Work) -> Out<'a> {
    if let [Value::List(list), wanted] = values {
        work.spend(list.len() as u64)?;
        let found = (0..list.len())
            .rev()
            .find(|index| list.get(*index).is_some_and(|item| item.equals(wanted)));
        return Ok(Value::Int(found.map_or(-1, |index| index as i64)));
    }
    let (text, part) = two(values, work)?;
    let end = match values.get(2) {
        None => text.len(),
        Some(Value::Int(from)) => {
            let start = byte_offset(text, *from).ok_or_else(|| out_of_range(*from))?;
            (start + part.len()).min(text.len())
        }
        Some(_) => return no_overload(),
    };
    let found = text
        .get(..end)
        .and_then(|head| head.rfind(part))
        .map(|at| characters(text, at));
    Ok(Value::Int(found.unwrap_or(-1)))
}

fn replace<'a>(values: &[Value<'a>], work: &mut Work) -> Out<'a> {
    let [Value::Str(text), Value::Str(from), Value::Str(to), ..] = values else {
        return no_overload();
    };
    let most = match values.get(3) {
        None => usize::MAX,
        Some(Value::Int(number)) if *number < 0 => usize::MAX,
        Some(Value::Int(number)) => *number as usize,
        Some(_) => return no_overload(),
    };
    let occurrences = if from.is_empty() {
        text.chars().count() + 1
    } else {
        text.len() / from.len()
    };
    work.spend(values[0].weight())?;
    work.keep(occurrences.min(most).saturating_mul(to.len()) + text.len())?;
    Ok(Value::text(text.replacen(from.as_ref(), to, most)))
}

fn split<'a>(values: &[Value<'a>], work: &mut Work) -> Out<'a> {
    let (text, separator) = two(values, work)?;
    let most = match values.get(2) {
        None => -1,
        Some(Value::Int(number)) => *number,
        Some(_) => return no_overload(),
    };
    let parts: Vec<Value<'a>> = match most {
        0 => Vec::new(),
        _ if separator.is_empty() => text.chars().map(|c| Value::text(c.to_string())).collect(),
        most if most < 0 => text.split(separator).map(Value::text).collect(),
        most => text
            .splitn(most as usize, separator)
            .map(Value::text)
            .collect(),
    };
    work.keep(parts.len())?;
    Ok(Value::list(parts))
}

fn substring<'a>(values: &[Value<'a>], work: &mut Work) -> Out<'a> {
    let text = one(values, work)?;
    let (from, to) = match &values[1..] {
        [Value::Int(from)] => (*from, text.chars().count() as i64),
        [Value::Int(from), Value::Int(to)] => (*from, *to),
        _ => return no_overload(),
    };
    let start = byte_offset(text, from).ok_or_else(|| out_of_range(from))?;
    let end = byte_offset(text, to).ok_or_else(|| out_of_range(to))?;
    if start > end {
        let why = format!("invalid substring range. start: {from}, end: {to}");
        return Err(EvalError::new(why));
    }
    Ok(Value::text(&text[start..end]))
}

fn join<'a>(values: &[Value<'a>], work: &mut Work) -> Out<'a> {
    let Value::List(list) = &values[0] else {
        return no_overload();
    };
    let separator = match values.get(1) {
        None => Cow::Borrowed(""),
        Some(Value::Str(separator)) => separator.clone(),
        Some(_) => return no_overload(),
    };
    let mut joined = String::new();
    for (index, item) in list.iter().enumerate() {
        let Value::Str(text) = item else {
            return no_overload();
        };
        if index > 0 {
            joined.push_str(&separator);
        }
        joined.push_str(&text);
        work.keep(text.len() + separator.len())?;
    }
    Ok(Value::text(joined))
}
