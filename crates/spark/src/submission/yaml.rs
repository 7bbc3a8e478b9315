//! YAML as the libraries of Spark's Kubernetes client read it.
//!
//! Two dialects: that of Spark 3.4 is YAML 1.1 (`0123` is octal, `1_000` and `12:30` are numbers,
//! `<<` merges, of equal keys the last counts), all later ones read YAML 1.2 with the scalars of
//! JSON (what is not a JSON number is a text, `<<` is a key as any other, equal keys are refused,
//! empty documents do not count). In neither is `yes` a truth value.
//!
//! Laws: keys are texts; a whole number that fits no 64 bits, and an infinite one, is a text, which
//! no number's place accepts; aliases cannot make a document larger than [`MAX_NODES`].

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, StrInput};
use serde_json::{Map, Value, json};

/// A pod template is a few hundred nodes; what claims more by aliases is not one.
const MAX_NODES: usize = 100_000;
const MERGE: &str = "<<";
const CORE_TAG: &str = "tag:yaml.org,2002:";

/// How scalars and mappings are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// YAML 1.1, without its `yes` and `no`.
    Yaml1_1,
    /// YAML 1.2 with the scalars of JSON.
    Json,
}

/// The documents of a file.
pub(super) fn documents(text: &str, dialect: Dialect) -> Result<Vec<Value>, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        dialect,
        anchors: HashMap::new(),
        nodes: 0,
    };
    let mut documents = Vec::new();
    loop {
        match reader.event()? {
            Event::StreamEnd => break,
            Event::DocumentStart(..) => {
                let first = reader.event()?;
                documents.push(reader.node(first)?);
            }
            _ => {}
        }
    }
    if dialect == Dialect::Json {
        documents.retain(|document| !document.is_null());
    }
    Ok(documents)
}

struct Reader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    dialect: Dialect,
    anchors: HashMap<usize, Value>,
    nodes: usize,
}

impl<'t> Reader<'t> {
    fn event(&mut self) -> Result<Event<'t>, String> {
        match self.parser.next_event() {
            Some(Ok((Event::Anchor(..), _))) => self.event(),
            // The parser writes nothing as `~`.
            Some(Ok((Event::Scalar(_, ScalarStyle::Plain, anchor, tag), span)))
                if span.byte_range().is_some_and(|range| range.is_empty()) =>
            {
                Ok(Event::Scalar("".into(), ScalarStyle::Plain, anchor, tag))
            }
            Some(Ok((event, _))) => Ok(event),
            Some(Err(error)) => Err(error.to_string()),
            None => Ok(Event::StreamEnd),
        }
    }

    /// The node that begins with this event.
    fn node(&mut self, event: Event<'t>) -> Result<Value, String> {
        self.count(1)?;
        let (anchor, value) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tag = tag
                    .filter(|tag| tag.handle() == CORE_TAG)
                    .map(|tag| tag.suffix().to_owned());
                let plain = match tag.as_deref() {
                    Some("str") => false,
                    Some(_) => true,
                    None => style == ScalarStyle::Plain,
                };
                let value = if plain {
                    scalar(&text, self.dialect)
                } else {
                    Value::String(text.into_owned())
                };
                (anchor, value)
            }
            Event::SequenceStart(_, anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.event()? {
                        Event::SequenceEnd => break,
                        event => items.push(self.node(event)?),
                    }
                }
                (anchor, Value::Array(items))
            }
            Event::MappingStart(_, anchor, _) => (anchor, Value::Object(self.mapping()?)),
            Event::Alias(anchor) => {
                let value = self
                    .anchors
                    .get(&anchor)
                    .cloned()
                    .ok_or("an alias stands inside of what it stands for")?;
                self.count(size(&value))?;
                return Ok(value);
            }
            Event::UnresolvedAlias(name) => return Err(format!("nothing is named &{name}")),
            _ => return Ok(Value::Null),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn mapping(&mut self) -> Result<Map<String, Value>, String> {
        let mut fields = Map::new();
        let mut merged = Vec::new();
        loop {
            let key = match self.event()? {
                Event::MappingEnd => break,
                event => key(event)?,
            };
            let event = self.event()?;
            let value = self.node(event)?;
            if key == MERGE && self.dialect == Dialect::Yaml1_1 {
                merged.push(value);
            } else if fields.insert(key.clone(), value).is_some() && self.dialect == Dialect::Json {
                return Err(format!("{key} is there twice"));
            }
        }
        // The mapping's own fields win, then the first of several merged ones.
        for value in merged {
            let maps = match value {
                Value::Array(maps) => maps,
                map => vec![map],
            };
            for map in maps {
                let Value::Object(map) = map else {
                    return Err("<< needs a mapping".to_owned());
                };
                for (key, value) in map {
                    fields.entry(key).or_insert(value);
                }
            }
        }
        Ok(fields)
    }

    fn count(&mut self, nodes: usize) -> Result<(), String> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES {
            return Err(format!("it holds more than {MAX_NODES} values"));
        }
        Ok(())
    }
}

fn key(event: Event<'_>) -> Result<String, String> {
    match event {
        Event::Scalar(text, ..) => Ok(text.into_owned()),
        _ => Err("a key is not a text".to_owned()),
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Object(fields) => 1 + fields.values().map(size).sum::<usize>(),
        _ => 1,
    }
}

/// What a scalar without quotes means.
fn scalar(text: &str, dialect: Dialect) -> Value {
    let is_1_1 = dialect == Dialect::Yaml1_1;
    match text {
        "" | "null" => return Value::Null,
        "~" | "Null" | "NULL" if is_1_1 => return Value::Null,
        "true" => return Value::Bool(true),
        "false" => return Value::Bool(false),
        "True" | "TRUE" if is_1_1 => return Value::Bool(true),
        "False" | "FALSE" if is_1_1 => return Value::Bool(false),
        ".inf" => return json!("Infinity"),
        "-.inf" => return json!("-Infinity"),
        ".nan" => return json!("NaN"),
        _ => {}
    }
    let number = if is_1_1 {
        yaml_number(text)
    } else {
        json_number(text)
    };
    number.unwrap_or_else(|| Value::String(text.to_owned()))
}

/// A number as JSON writes it, though digits after the point may be missing.
fn json_number(text: &str) -> Option<Value> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let whole = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    let (whole, rest) = digits.split_at(whole);
    if whole.is_empty() || (whole.len() > 1 && whole.starts_with('0')) {
        return None;
    }
    if rest.is_empty() {
        return Some(whole_number(text, text));
    }
    let exponent = match rest.strip_prefix('.') {
        Some(rest) => rest.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => rest,
    };
    has_exponent(exponent).then(|| float(text))
}

fn has_exponent(rest: &str) -> bool {
    let digits = rest
        .strip_prefix(['e', 'E'])
        .map(|exponent| exponent.strip_prefix(['+', '-']).unwrap_or(exponent));
    match digits {
        None => rest.is_empty(),
        Some(digits) => !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()),
    }
}

/// A number as YAML 1.1 writes it.
fn yaml_number(text: &str) -> Option<Value> {
    let plain = text.replace('_', "");
    let (sign, digits) = match plain.as_bytes().first()? {
        b'-' => (-1, &plain[1..]),
        b'+' => (1, &plain[1..]),
        _ => (1, plain.as_str()),
    };
    if digits.is_empty() || text.starts_with('_') {
        return None;
    }
    let based = |digits: &str, base| i64::from_str_radix(digits, base).ok();
    if let Some(binary) = digits.strip_prefix("0b") {
        return based(binary, 2).map(|number| json!(sign * number));
    }
    if let Some(hexadecimal) = digits.strip_prefix("0x") {
        return based(hexadecimal, 16).map(|number| json!(sign * number));
    }
    let is_whole = digits.bytes().all(|b| b.is_ascii_digit());
    if is_whole && digits.len() > 1 && digits.starts_with('0') {
        return based(digits, 8).map(|number| json!(sign * number));
    }
    let unsigned = plain.strip_prefix('+').unwrap_or(&plain);
    if is_whole {
        return Some(whole_number(unsigned, text));
    }
    if let Some(number) = sexagesimal(digits) {
        return Some(json!(sign * number));
    }
    let number = digits.bytes().any(|b| b.is_ascii_digit())
        && digits
            .bytes()
            .all(|b| b.is_ascii_digit() || b".eE+-".contains(&b))
        && !digits.starts_with(['e', 'E']);
    number
        .then(|| unsigned.parse::<f64>().ok())
        .flatten()
        .map(|_| float(unsigned))
}

/// `12:30` is 750.
fn sexagesimal(digits: &str) -> Option<i64> {
    let mut places = digits.split(':');
    let first = places.next().filter(|first| !first.starts_with('0'))?;
    let mut number: i64 = first.parse().ok()?;
    let mut several = false;
    for place in places {
        let place: i64 = place.parse().ok().filter(|place| (0..60).contains(place))?;
        number = number.checked_mul(60)?.checked_add(place)?;
        several = true;
    }
    several.then_some(number)
}

fn whole_number(digits: &str, text: &str) -> Value {
    match (digits.parse::<i64>(), digits.parse::<u64>()) {
        (Ok(number), _) => json!(number),
        (_, Ok(number)) => json!(number),
        _ => Value::String(text.to_owned()),
    }
}

fn float(text: &str) -> Value {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    number.map_or_else(|| Value::String(text.to_owned()), |number| json!(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_mean_what_the_dialect_says() {
        for (text, yaml_1_1, json) in [
            ("5", json!(5), json!(5)),
            ("-0", json!(0), json!(0)),
            ("+5", json!(5), json!("+5")),
            ("0123", json!(83), json!("0123")),
            ("0o17", json!("0o17"), json!("0o17")),
            ("0x1F", json!(31), json!("0x1F")),
            ("0b11", json!(3), json!("0b11")),
            ("1_000", json!(1000), json!("1_000")),
            ("12:30:45", json!(45045), json!("12:30:45")),
            ("1.10", json!(1.1), json!(1.1)),
            ("1.", json!(1.0), json!(1.0)),
            (".5", json!(0.5), json!(".5")),
            ("1e3", json!(1000.0), json!(1000.0)),
            ("1.5Gi", json!("1.5Gi"), json!("1.5Gi")),
            ("1.1.1.1", json!("1.1.1.1"), json!("1.1.1.1")),
            ("-", json!("-"), json!("-")),
            ("2001-01-01", json!("2001-01-01"), json!("2001-01-01")),
            (".inf", json!("Infinity"), json!("Infinity")),
            ("~", Value::Null, json!("~")),
            ("True", json!(true), json!("True")),
            ("yes", json!("yes"), json!("yes")),
            ("off", json!("off"), json!("off")),
            (
                "100000000000000000000",
                json!("100000000000000000000"),
                json!("100000000000000000000"),
            ),
        ] {
            assert_eq!(scalar(text, Dialect::Yaml1_1), yaml_1_1, "{text}");
            assert_eq!(scalar(text, Dialect::Json), json, "{text}");
        }
    }

    #[test]
    fn mappings_merge_and_repeat_in_yaml_1_1_only() {
        let text = "d: &d {a: 1, b: 2}\nx:\n  <<: *d\n  b: 3\n";
        let merged = documents(text, Dialect::Yaml1_1).unwrap();
        assert_eq!(merged[0]["x"], json!({"a": 1, "b": 3}));
        let plain = documents(text, Dialect::Json).unwrap();
        assert_eq!(plain[0]["x"], json!({"<<": {"a": 1, "b": 2}, "b": 3}));

        let twice = "a: 1\na: 2\n";
        assert_eq!(
            documents(twice, Dialect::Yaml1_1).unwrap(),
            [json!({"a": 2})]
        );
        assert_eq!(
            documents(twice, Dialect::Json).unwrap_err(),
            "a is there twice"
        );
    }

    #[test]
    fn empty_documents_count_in_yaml_1_1_only() {
        for (text, yaml_1_1, json) in [
            ("a: 1", 1, 1),
            ("---\na: 1\n", 1, 1),
            ("a: 1\n---\n", 2, 1),
            ("---\n---\na: 1", 2, 1),
            ("a: 1\n---\n# nothing\n", 2, 1),
            ("a: 1\n...\n", 1, 1),
            ("a: 1\n---\nb: 1", 2, 2),
            ("\u{feff}a: 1", 1, 1),
            ("", 0, 0),
        ] {
            let count = |dialect| documents(text, dialect).unwrap().len();
            assert_eq!(count(Dialect::Yaml1_1), yaml_1_1, "{text:?}");
            assert_eq!(count(Dialect::Json), json, "{text:?}");
        }
    }

    #[test]
    fn nothing_is_told_from_a_tilde() {
        let text = "a:\nb: ~\nc: [x, ]\nd:\n- \n";
        let read = |dialect| documents(text, dialect).unwrap().remove(0);
        let nothing = json!({"a": null, "b": null, "c": ["x"], "d": [null]});
        assert_eq!(read(Dialect::Yaml1_1), nothing);
        let tilde = json!({"a": null, "b": "~", "c": ["x"], "d": [null]});
        assert_eq!(read(Dialect::Json), tilde);
    }

    #[test]
    fn tags_and_quotes_decide_what_is_a_text() {
        let text = "a: !!str 5\nb: !!int \"5\"\nc: \"5\"\nd: '5'\ne: |\n  5\n";
        let expected = json!({"a": "5", "b": 5, "c": "5", "d": "5", "e": "5\n"});
        for dialect in [Dialect::Yaml1_1, Dialect::Json] {
            assert_eq!(documents(text, dialect).unwrap().remove(0), expected);
        }
    }

    #[test]
    fn what_is_not_yaml_is_refused() {
        let bomb = {
            let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
            for level in 1..10 {
                let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
                text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
            }
            text
        };
        for text in [
            "a:\n\t- b",
            "a: [",
            "? [a]\n: b",
            "a: *nobody",
            "a: &a [*a]",
            &bomb,
        ] {
            assert!(documents(text, Dialect::Json).is_err(), "{text:?}");
        }
    }
}
