//! From words to trees.

use super::{
    Issue,
    ast::{Expr, Fold, Makes, Node, Presence},
    functions,
    lexer::{Token, Word, words},
};

/// How deep expressions may nest: more would be a danger to the stack.
const DEPTH: usize = 100;
/// The longest expression, in bytes.
const LENGTH: usize = 100_000;

/// Parses an expression.
pub(super) fn parse(source: &str) -> Result<Expr, Issue> {
    if source.len() > LENGTH {
        let why = format!(
            "expression code point size exceeds limit: size: {}, limit {LENGTH}",
            source.len()
        );
        return Err(Issue::new(0, why));
    }
    let mut parser = Parser {
        tokens: words(source)?,
        next: 0,
        depth: 0,
    };
    let expr = parser.expr()?;
    if *parser.peek() != Word::End {
        return Err(parser.unexpected());
    }
    Ok(expr)
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
}

type Parsed = Result<Expr, Issue>;

impl Parser {
    fn peek(&self) -> &Word {
        &self.tokens[self.next].is
    }

    fn at(&self) -> usize {
        self.tokens[self.next].at
    }

    fn take(&mut self) -> Word {
        let word = self.tokens[self.next].is.clone();
        if word != Word::End {
            self.next += 1;
        }
        word
    }

    fn eat(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Word::Sign(found) if *found == sign);
        if found {
            self.next += 1;
        }
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), Issue> {
        if self.eat(sign) {
            return Ok(());
        }
        let (at, found) = (self.at(), self.shown());
        let why = format!("Syntax error: mismatched input '{found}' expecting '{sign}'");
        Err(Issue::new(at, why))
    }

    fn shown(&self) -> String {
        match self.peek() {
            Word::Int(number) => number.to_string(),
            Word::Uint(number) => format!("{number}u"),
            Word::Double(number) => number.to_string(),
            Word::Str(text) => format!("\"{text}\""),
            Word::Bytes(_) => "b\"\"".to_owned(),
            Word::Name(name) => name.clone(),
            Word::Sign(sign) => (*sign).to_owned(),
            Word::End => "<EOF>".to_owned(),
        }
    }

    fn unexpected(&self) -> Issue {
        let why = match self.peek() {
            Word::End => {
                "Syntax error: mismatched input '<EOF>' expecting an expression".to_owned()
            }
            _ => format!("Syntax error: extraneous input '{}'", self.shown()),
        };
        Issue::new(self.at(), why)
    }

    fn expr(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > DEPTH {
            let why = format!("expression recursion limit exceeded: {DEPTH}");
            return Err(Issue::new(self.at(), why));
        }
        let condition = self.binary(0)?;
        let at = self.at();
        let expr = if self.eat("?") {
            let yes = self.binary(0)?;
            self.expect(":")?;
            let no = self.expr()?;
            let is = Node::Condition(Box::new([condition, yes, no]));
            Expr::new(at, is)?
        } else {
            condition
        };
        self.depth -= 1;
        Ok(expr)
    }

    /// Operators of two sides, by how tightly they bind.
    fn binary(&mut self, level: usize) -> Parsed {
        const LEVELS: [&[(&str, &str)]; 5] = [
            &[("||", "||")],
            &[("&&", "&&")],
            &[
                ("==", "_==_"),
                ("!=", "_!=_"),
                ("<=", "_<=_"),
                (">=", "_>=_"),
                ("<", "_<_"),
                (">", "_>_"),
                ("in", "@in"),
            ],
            &[("+", "_+_"), ("-", "_-_")],
            &[("*", "_*_"), ("/", "_/_"), ("%", "_%_")],
        ];
        let Some(operators) = LEVELS.get(level) else {
            return self.unary();
        };
        let mut left = self.binary(level + 1)?;
        // Long chains of `&&` and `||` become low trees.
        let mut chain: Vec<(usize, Expr)> = Vec::new();
        loop {
            let at = self.at();
            let found = operators.iter().find(|(sign, _)| self.eat(sign));
            let Some((_, function)) = found else {
                chain.insert(0, (at, left));
                return balanced(level == 0, chain);
            };
            let right = self.binary(level + 1)?;
            if level < 2 {
                chain.push((at, right));
            } else {
                left = Expr::new(at, call(function, false, vec![left, right]))?;
            }
        }
    }

    fn unary(&mut self) -> Parsed {
        let at = self.at();
        for (sign, function) in [("!", "!_"), ("-", "-_")] {
            if !self.eat(sign) {
                continue;
            }
            // The least number has no positive twin, so the sign belongs to the literal.
            if sign == "-" {
                match self.peek().clone() {
                    Word::Int(number) if number <= 1 << 63 => {
                        self.next += 1;
                        let is = Node::Int(0_i64.wrapping_sub_unsigned(number));
                        return self.members(Expr::new(at, is)?);
                    }
                    Word::Double(number) => {
                        self.next += 1;
                        let is = Node::Double(-number);
                        return self.members(Expr::new(at, is)?);
                    }
                    _ => {}
                }
            }
            self.depth += 1;
            if self.depth > DEPTH {
                let why = format!("expression recursion limit exceeded: {DEPTH}");
                return Err(Issue::new(at, why));
            }
            let inner = self.unary()?;
            self.depth -= 1;
            let is = call(function, false, vec![inner]);
            return Expr::new(at, is);
        }
        let primary = self.primary()?;
        self.members(primary)
    }

    /// What follows a value: fields, methods, indexes.
    fn members(&mut self, mut expr: Expr) -> Parsed {
        loop {
            let at = self.at();
            if self.eat(".") || self.eat(".?") {
                let optional = self.tokens[self.next - 1].is == Word::Sign(".?");
                let start = self.next;
                let Word::Name(name) = self.take() else {
                    self.next = start;
                    let why = format!(
                        "Syntax error: mismatched input '{}' expecting IDENTIFIER",
                        self.shown()
                    );
                    return Err(Issue::new(self.at(), why));
                };
                let paren = self.at();
                if !optional && self.eat("(") {
                    let arguments = self.list(")")?;
                    expr = method(paren, expr, name, arguments)?;
                } else {
                    let presence = presence(optional);
                    let is = Node::Select(Box::new(expr), name, presence);
                    expr = Expr::new(at, is)?;
                }
            } else if self.eat("[") || self.eat("[?") {
                let optional = self.tokens[self.next - 1].is == Word::Sign("[?");
                let index = self.expr()?;
                self.expect("]")?;
                let is = Node::Index(Box::new(expr), Box::new(index), presence(optional));
                expr = Expr::new(at, is)?;
            } else {
                return Ok(expr);
            }
        }
    }

    fn primary(&mut self) -> Parsed {
        let at = self.at();
        let start = self.next;
        let is = match self.take() {
            Word::Int(number) => match i64::try_from(number) {
                Ok(number) => Node::Int(number),
                Err(_) => return Err(Issue::new(at, "invalid int literal".to_owned())),
            },
            Word::Uint(number) => Node::Uint(number),
            Word::Double(number) => Node::Double(number),
            Word::Str(text) => Node::Str(text),
            Word::Bytes(bytes) => Node::Bytes(bytes),
            Word::Sign("true") => Node::Bool(true),
            Word::Sign("false") => Node::Bool(false),
            Word::Sign("null") => Node::Null,
            Word::Sign("(") => {
                let inner = self.expr()?;
                self.expect(")")?;
                return Ok(inner);
            }
            // `[?x]` begins with the sign of an optional index.
            Word::Sign(open @ ("[" | "[?")) => {
                let mut items = Vec::new();
                let mut first_is_optional = open == "[?";
                while first_is_optional || !self.eat("]") {
                    let optional = std::mem::take(&mut first_is_optional) || self.eat("?");
                    items.push((self.expr()?, presence(optional)));
                    if !self.eat(",") {
                        self.expect("]")?;
                        break;
                    }
                }
                Node::List(items)
            }
            Word::Sign("{") => {
                let mut entries = Vec::new();
                while !self.eat("}") {
                    let optional = self.eat("?");
                    let key = self.expr()?;
                    self.expect(":")?;
                    entries.push((key, self.expr()?, presence(optional)));
                    if !self.eat(",") {
                        self.expect("}")?;
                        break;
                    }
                }
                Node::Map(entries)
            }
            Word::Sign(".") => return self.primary(),
            Word::Name(name) => {
                let paren = self.at();
                if !self.eat("(") {
                    return Expr::new(at, Node::Name(name));
                }
                let arguments = self.list(")")?;
                return global(paren, name, arguments);
            }
            Word::Sign(_) | Word::End => {
                self.next = start;
                return Err(self.unexpected());
            }
        };
        Expr::new(at, is)
    }

    fn list(&mut self, close: &str) -> Result<Vec<Expr>, Issue> {
        let mut items = Vec::new();
        while !self.eat(close) {
            items.push(self.expr()?);
            if !self.eat(",") {
                self.expect(close)?;
                break;
            }
        }
        Ok(items)
    }
}

/// One tree of the terms of a chain; each comes with the place of the operator before it.
fn balanced(or: bool, mut terms: Vec<(usize, Expr)>) -> Parsed {
    let right = terms.split_off(terms.len().div_ceil(2));
    let Some((at, _)) = right.first() else {
        return terms
            .pop()
            .map(|(_, term)| term)
            .ok_or_else(|| Issue::new(0, "an empty chain of operators".to_owned()));
    };
    let at = *at;
    let (left, right) = (
        Box::new(balanced(or, terms)?),
        Box::new(balanced(or, right)?),
    );
    let is = if or {
        Node::Or(left, right)
    } else {
        Node::And(left, right)
    };
    Expr::new(at, is)
}

fn presence(optional: bool) -> Presence {
    if optional {
        Presence::Optional
    } else {
        Presence::Required
    }
}

fn call(function: &str, method: bool, arguments: Vec<Expr>) -> Node {
    Node::Call {
        function: function.to_owned(),
        method,
        arguments,
    }
}

fn global(at: usize, name: String, mut arguments: Vec<Expr>) -> Parsed {
    if name == "has" && arguments.len() == 1 {
        let argument = arguments.remove(0);
        let is = match argument.is {
            Node::Select(operand, field, Presence::Required) => Node::Has(operand, field),
            _ => {
                let why = "invalid argument to has() macro".to_owned();
                return Err(Issue::new(argument.at, why));
            }
        };
        return Expr::new(at, is);
    }
    let is = call(&name, false, arguments);
    Expr::new(at, is)
}

fn method(at: usize, target: Expr, name: String, mut arguments: Vec<Expr>) -> Parsed {
    if let Some(makes) = macro_named(&name, arguments.len()) {
        let names = match name.strip_prefix("transform") {
            Some(_) => 2,
            None if makes == Makes::Mapped || arguments.len() == 2 => 1,
            None => 2,
        };
        return fold(at, makes, names, target, arguments);
    }
    if let Some(qualified) = dotted(&target).map(|prefix| format!("{prefix}.{name}"))
        && functions::is_qualified(&qualified)
    {
        let is = call(&qualified, false, arguments);
        return Expr::new(at, is);
    }
    arguments.insert(0, target);
    let is = call(&name, true, arguments);
    Expr::new(at, is)
}

/// `a.b.c` as a text, if the expression is that.
pub(super) fn dotted(expr: &Expr) -> Option<String> {
    match &expr.is {
        Node::Name(name) => Some(name.clone()),
        Node::Select(operand, field, Presence::Required) => {
            Some(format!("{}.{field}", dotted(operand)?))
        }
        _ => None,
    }
}

fn macro_named(name: &str, arguments: usize) -> Option<Makes> {
    Some(match (name, arguments) {
        ("all", 2 | 3) => Makes::All,
        ("exists", 2 | 3) => Makes::Exists,
        ("exists_one", 2) | ("existsOne", 2 | 3) => Makes::ExistsOne,
        ("filter", 2) => Makes::Filter,
        ("map", 2 | 3) | ("transformList", 3 | 4) => Makes::Mapped,
        ("transformMap", 3 | 4) => Makes::MappedEntries,
        ("optMap", 2) => Makes::OptionalMapped,
        ("optFlatMap", 2) => Makes::OptionalFlat,
        _ => return None,
    })
}

fn fold(at: usize, makes: Makes, names: usize, range: Expr, arguments: Vec<Expr>) -> Parsed {
    let conditional = arguments.len() == names + 2;
    let mut arguments = arguments.into_iter();
    let mut found = Vec::new();
    for argument in arguments.by_ref().take(names) {
        match argument.is {
            Node::Name(name) => found.push(name),
            _ => {
                let why = "argument must be a simple name".to_owned();
                return Err(Issue::new(argument.at, why));
            }
        }
    }
    let when = if conditional { arguments.next() } else { None };
    let Some(body) = arguments.next() else {
        return Err(Issue::new(at, "a macro without a body".to_owned()));
    };
    let is = Node::Fold(Box::new(Fold {
        makes,
        range,
        names: found,
        when,
        body,
    }));
    Expr::new(at, is)
}
