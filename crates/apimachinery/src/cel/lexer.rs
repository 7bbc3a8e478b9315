//! The words of an expression.

use super::{Issue, types::RESERVED};

/// A word, and where it begins, in bytes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) at: usize,
    pub(super) is: Word,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Word {
    Int(u64),
    Uint(u64),
    Double(f64),
    Str(String),
    Bytes(Vec<u8>),
    Name(String),
    /// Operators, brackets, and the words `true`, `false`, `null` and `in`.
    Sign(&'static str),
    End,
}

const SIGNS: [&str; 26] = [
    "==", "!=", "<=", ">=", "&&", "||", "[?", ".?", "{", "}", "[", "]", "(", ")", ".", ",", "-",
    "!", "?", ":", "+", "*", "/", "%", "<", ">",
];

/// Splits a text into words; the last one is [`Word::End`].
pub(super) fn words(source: &str) -> Result<Vec<Token>, Issue> {
    let mut lexer = Lexer { source, at: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blank();
        let at = lexer.at;
        let is = lexer.word()?;
        let end = is == Word::End;
        tokens.push(Token { at, is });
        if end {
            return Ok(tokens);
        }
    }
}

struct Lexer<'s> {
    source: &'s str,
    at: usize,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.source[self.at..]
    }

    fn skip_blank(&mut self) {
        loop {
            let rest = self.rest();
            let blank = rest.len() - rest.trim_start().len();
            self.at += blank;
            if !self.rest().starts_with("//") {
                return;
            }
            self.at += self.rest().find('\n').unwrap_or(self.rest().len());
        }
    }

    fn word(&mut self) -> Result<Word, Issue> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return Ok(Word::End);
        };
        let digit_follows = rest[first.len_utf8()..].starts_with(|c: char| c.is_ascii_digit());
        if first.is_ascii_digit() || (first == '.' && digit_follows) {
            return self.number();
        }
        if let Some((raw, bytes, prefix)) = text_prefix(rest) {
            return self.text(raw, bytes, prefix);
        }
        if first.is_ascii_alphabetic() || first == '_' {
            let length = rest
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            let name = rest[..length].to_owned();
            let at = self.at;
            self.at += length;
            return Ok(match name.as_str() {
                "true" => Word::Sign("true"),
                "false" => Word::Sign("false"),
                "null" => Word::Sign("null"),
                "in" => Word::Sign("in"),
                other if RESERVED.contains(&other) => {
                    return Err(Issue::new(at, format!("reserved identifier: {other}")));
                }
                _ => Word::Name(name),
            });
        }
        for sign in SIGNS {
            if rest.starts_with(sign) {
                self.at += sign.len();
                return Ok(Word::Sign(sign));
            }
        }
        Err(syntax_error(
            self.at,
            format!("token recognition error at: '{first}'"),
        ))
    }

    fn number(&mut self) -> Result<Word, Issue> {
        let at = self.at;
        let rest = self.rest();
        let hex = rest.starts_with("0x") || rest.starts_with("0X");
        if hex {
            let digits: String = rest[2..]
                .chars()
                .take_while(char::is_ascii_hexdigit)
                .collect();
            self.at += 2 + digits.len();
            let number = u64::from_str_radix(&digits, 16)
                .map_err(|_| Issue::new(at, "invalid int literal".to_owned()))?;
            return Ok(self.integer(number));
        }
        let whole = digits(rest);
        let mut length = whole;
        let mut floating = false;
        if rest[length..].starts_with('.') && digits(&rest[length + 1..]) > 0 {
            length += 1 + digits(&rest[length + 1..]);
            floating = true;
        }
        if rest[length..].starts_with(['e', 'E']) {
            let signed = usize::from(rest[length + 1..].starts_with(['+', '-']));
            let exponent = digits(&rest[length + 1 + signed..]);
            if exponent > 0 {
                length += 1 + signed + exponent;
                floating = true;
            }
        }
        let text = rest[..length].to_owned();
        self.at += length;
        if floating {
            return text
                .parse()
                .map(Word::Double)
                .map_err(|_| Issue::new(at, "invalid double literal".to_owned()));
        }
        let number = text
            .parse()
            .map_err(|_| Issue::new(at, "invalid int literal".to_owned()))?;
        Ok(self.integer(number))
    }

    fn integer(&mut self, number: u64) -> Word {
        if self.rest().starts_with(['u', 'U']) {
            self.at += 1;
            return Word::Uint(number);
        }
        Word::Int(number)
    }

    fn text(&mut self, raw: bool, bytes: bool, prefix: usize) -> Result<Word, Issue> {
        let at = self.at;
        self.at += prefix;
        let rest = self.rest();
        let quote = ["\"\"\"", "'''", "\"", "'"]
            .into_iter()
            .find(|quote| rest.starts_with(quote))
            .unwrap_or("\"");
        self.at += quote.len();
        let mut out = Vec::new();
        loop {
            let rest = self.rest();
            if rest.starts_with(quote) {
                self.at += quote.len();
                break;
            }
            match rest.chars().next() {
                None => {
                    return Err(syntax_error(
                        at,
                        "token recognition error: unterminated string",
                    ));
                }
                Some('\n' | '\r') if quote.len() == 1 => {
                    return Err(syntax_error(
                        at,
                        "token recognition error: unterminated string",
                    ));
                }
                Some('\\') if !raw => self.escape(at, bytes, &mut out)?,
                // Even in a raw string a backslash keeps the quote from ending it.
                Some('\\') => {
                    out.push(b'\\');
                    self.at += 1;
                    if let Some(next) = self.rest().chars().next() {
                        out.extend_from_slice(next.encode_utf8(&mut [0; 4]).as_bytes());
                        self.at += next.len_utf8();
                    }
                }
                Some(c) => {
                    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                    self.at += c.len_utf8();
                }
            }
        }
        if bytes {
            return Ok(Word::Bytes(out));
        }
        String::from_utf8(out)
            .map(Word::Str)
            .map_err(|_| syntax_error(at, "invalid string literal"))
    }

    fn escape(&mut self, at: usize, bytes: bool, out: &mut Vec<u8>) -> Result<(), Issue> {
        let rest = &self.source[self.at + 1..];
        let wrong = || Issue::new(at, "invalid escape sequence".to_owned());
        let letter = rest.chars().next().ok_or_else(wrong)?;
        let simple = match letter {
            'a' => Some('\u{7}'),
            'b' => Some('\u{8}'),
            'f' => Some('\u{c}'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\u{b}'),
            '\\' | '\'' | '"' | '`' | '?' => Some(letter),
            _ => None,
        };
        if let Some(c) = simple {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            self.at += 2;
            return Ok(());
        }
        let (skip, length, radix) = match letter {
            'x' | 'X' => (1, 2, 16),
            'u' => (1, 4, 16),
            'U' => (1, 8, 16),
            '0'..='3' => (0, 3, 8),
            _ => return Err(wrong()),
        };
        let digits = rest.get(skip..skip + length).ok_or_else(wrong)?;
        let number = u32::from_str_radix(digits, radix).map_err(|_| wrong())?;
        self.at += 1 + skip + length;
        if bytes && !matches!(letter, 'u' | 'U') {
            out.push(number as u8);
        } else {
            let c = char::from_u32(number).ok_or_else(wrong)?;
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        Ok(())
    }
}

fn syntax_error(at: usize, why: impl Into<String>) -> Issue {
    Issue::new(at, format!("Syntax error: {}", why.into()))
}

/// How many digits a text begins with.
fn digits(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len())
}

/// Whether a text begins with a quoted one: raw or not, bytes or not, and how long the prefix is.
fn text_prefix(text: &str) -> Option<(bool, bool, usize)> {
    for (prefix, raw, bytes) in [
        ("", false, false),
        ("r", true, false),
        ("b", false, true),
        ("br", true, true),
        ("rb", true, true),
    ] {
        let head = text.get(..prefix.len())?;
        if head.eq_ignore_ascii_case(prefix) && text[prefix.len()..].starts_with(['"', '\'']) {
            return Some((raw, bytes, prefix.len()));
        }
    }
    None
}
