//! Match conditions of admission webhooks: expressions that say whether a request concerns one.

use serde_json::Value;

use crate::cel::{Program, Type, Value as Cel, Work};

/// What the conditions of one webhook may cost together, in steps.
const BUDGET: u64 = 2_500_000;

/// The conditions of one webhook.
#[derive(Debug, Default)]
pub struct MatchConditions {
    conditions: Vec<Condition>,
    /// What `request` is.
    request: Option<Type>,
}

#[derive(Debug)]
struct Condition {
    source: String,
    program: Program,
}

impl MatchConditions {
    /// Compiles a `matchConditions` list; what does not compile is left out.
    pub fn compile(list: &Value) -> Self {
        let conditions: Vec<Condition> = list
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|condition| {
                let source = condition["expression"].as_str()?;
                let program = compile(source).ok()?;
                let source = source.trim().to_owned();
                Some(Condition { source, program })
            })
            .collect();
        let request = (!conditions.is_empty()).then(request_type);
        Self {
            conditions,
            request,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.conditions.is_empty()
    }

    /// Whether all conditions hold. An error counts only where no condition is false.
    pub fn hold(&self, object: &Value, old: &Value, request: &Value) -> Result<bool, String> {
        let Some(request_type) = &self.request else {
            return Ok(true);
        };
        let mut work = Work::new(BUDGET);
        let mut errors = Vec::new();
        for condition in &self.conditions {
            let names = [
                ("object", Cel::lift(object, &Type::Dyn)),
                ("oldObject", Cel::lift(old, &Type::Dyn)),
                ("request", Cel::lift(request, request_type)),
            ];
            let source = &condition.source;
            match condition.program.run(names, &mut work) {
                Ok(Cel::Bool(true)) => {}
                Ok(Cel::Bool(false)) => return Ok(false),
                Ok(_) => errors.push(format!("expression '{source}' is no truth")),
                Err(error) => {
                    errors.push(format!("expression '{source}' resulted in error: {error}"));
                }
            }
        }
        match errors.as_slice() {
            [] => Ok(true),
            [one] => Err(one.clone()),
            many => Err(format!("[{}]", many.join(", "))),
        }
    }
}

/// Checks one expression; the error is what is wrong with it.
pub fn check(expression: &str) -> Result<(), String> {
    compile(expression).map(|_| ())
}

fn compile(expression: &str) -> Result<Program, String> {
    let names = [
        ("object", Type::Dyn),
        ("oldObject", Type::Dyn),
        ("request", request_type()),
    ];
    let program =
        Program::compile(expression, &names).map_err(|why| format!("compilation failed: {why}"))?;
    match program.gives() {
        Type::Bool => Ok(program),
        other => Err(format!("must evaluate to bool but got {other}")),
    }
}

/// The fields of an admission request, without the objects.
fn request_type() -> Type {
    let text = |name: &str| (name.to_owned(), Type::String);
    let kind = Type::object(["group", "version", "kind"].map(text));
    let resource = Type::object(["group", "version", "resource"].map(text));
    let user = Type::object([
        text("username"),
        text("uid"),
        ("groups".to_owned(), Type::list(Type::String)),
        (
            "extra".to_owned(),
            Type::map(Type::String, Type::list(Type::String)),
        ),
    ]);
    Type::object([
        text("uid"),
        ("kind".to_owned(), kind.clone()),
        ("resource".to_owned(), resource.clone()),
        text("subResource"),
        ("requestKind".to_owned(), kind),
        ("requestResource".to_owned(), resource),
        text("requestSubResource"),
        text("name"),
        text("namespace"),
        text("operation"),
        ("userInfo".to_owned(), user),
        ("dryRun".to_owned(), Type::Bool),
        ("options".to_owned(), Type::Dyn),
    ])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn conditions_hold_or_not() {
        let object = json!({"metadata": {"name": "a", "labels": {"x": "y"}}});
        let request = json!({
            "operation": "CREATE",
            "userInfo": {"username": "system:node:a", "groups": ["system:nodes"]},
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
        });
        let cases: &[(&[&str], Result<bool, &str>)] = &[
            (&[], Ok(true)),
            (&["object.metadata.labels.x == 'y'"], Ok(true)),
            (&["!('system:nodes' in request.userInfo.groups)"], Ok(false)),
            (
                &["request.operation != 'DELETE' && oldObject == null"],
                Ok(true),
            ),
            (
                &["object.spec.x == 1", "request.kind.kind == 'Job'"],
                Ok(false),
            ),
            (
                &["object.spec.x == 1"],
                Err("expression 'object.spec.x == 1' resulted in error: no such key: spec"),
            ),
        ];
        for (sources, expected) in cases {
            let list: Vec<Value> = sources
                .iter()
                .map(|source| json!({"name": "c", "expression": source}))
                .collect();
            let conditions = MatchConditions::compile(&json!(list));
            let found = conditions.hold(&object, &Value::Null, &request);
            assert_eq!(found, expected.map_err(str::to_owned), "{sources:?}");
        }
    }
}
