//! Tokens to a tree: `or` binds least, then `and`, then `not`.

use super::lexer::{Op, Token, tokens};
use super::{DEPTH_MAX, Field, FindError};

/// A query as a tree.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expr {
    /// All hold.
    And(Vec<Expr>),
    /// One holds.
    Or(Vec<Expr>),
    /// It does not hold.
    Not(Box<Expr>),
    /// A text field.
    Text { field: Field, is_negated: bool, pattern: String },
    /// A number field.
    Number { field: Field, op: Op, value: u64 },
    /// A flag that is set, or is not.
    Flag { field: Field, is: bool },
}

/// Parses a whole query.
pub(crate) fn parse(query: &str) -> Result<Expr, FindError> {
    let mut parser = Parser { query, tokens: tokens(query)?, at: 0, depth: 0 };
    let expr = parser.or()?;
    match parser.tokens.get(parser.at) {
        None => Ok(expr),
        Some((Token::Close, column)) => Err(parser.error(*column, "`)` without `(`", "")),
        Some((_, column)) => {
            Err(parser.error(*column, "text after the end", "join comparisons with `and` or `or`"))
        }
    }
}

struct Parser<'q> {
    query: &'q str,
    tokens: Vec<(Token, usize)>,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn error(&self, column: usize, message: &str, help: &str) -> FindError {
        FindError { message: message.to_owned(), column, query: self.query.to_owned(), help: help.to_owned() }
    }

    /// Column of the next token, or one past the end.
    fn column(&self) -> usize {
        self.tokens.get(self.at).map_or_else(|| self.query.chars().count() + 1, |(_, column)| *column)
    }

    fn keyword(&mut self, keyword: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some((Token::Word(word), _)) if word == keyword);
        self.at += usize::from(found);
        found
    }

    fn or(&mut self) -> Result<Expr, FindError> {
        let mut parts = vec![self.and()?];
        while self.keyword("or") {
            parts.push(self.and()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expr::Or(parts) })
    }

    fn and(&mut self) -> Result<Expr, FindError> {
        let mut parts = vec![self.not()?];
        while self.keyword("and") {
            parts.push(self.not()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expr::And(parts) })
    }

    fn not(&mut self) -> Result<Expr, FindError> {
        if self.depth >= DEPTH_MAX {
            return Err(self.error(self.column(), "nested too deeply", ""));
        }
        self.depth += 1;
        let expr = if self.keyword("not") {
            self.not().map(|expr| Expr::Not(Box::new(expr)))
        } else if let Some((Token::Open, _)) = self.tokens.get(self.at) {
            self.at += 1;
            self.group()
        } else {
            self.comparison()
        };
        self.depth -= 1;
        expr
    }

    fn group(&mut self) -> Result<Expr, FindError> {
        let open = self.column();
        let expr = self.or()?;
        match self.tokens.get(self.at) {
            Some((Token::Close, _)) => {
                self.at += 1;
                Ok(expr)
            }
            _ => Err(self.error(open.saturating_sub(1).max(1), "`(` without `)`", "")),
        }
    }

    fn comparison(&mut self) -> Result<Expr, FindError> {
        let column = self.column();
        let Some((Token::Word(name), _)) = self.tokens.get(self.at).cloned() else {
            return Err(self.error(column, "a comparison is missing", "for example `type=list`"));
        };
        let field = Field::from_name(&name).ok_or_else(|| {
            let names: Vec<&str> = Field::NAMES.iter().map(|(name, _)| *name).collect();
            self.error(column, &format!("no field `{name}`"), &format!("fields are {}", names.join(", ")))
        })?;
        self.at += 1;
        let op_column = self.column();
        let op = match self.tokens.get(self.at) {
            Some((Token::Op(op), _)) => *op,
            _ if field.is_flag() => return Ok(Expr::Flag { field, is: true }),
            _ => {
                return Err(self.error(
                    op_column,
                    &format!("an operator is missing after `{name}`"),
                    OPERATORS,
                ));
            }
        };
        self.at += 1;
        let value_column = self.column();
        let value = match self.tokens.get(self.at) {
            Some((Token::Word(text) | Token::Quoted(text), _)) => text.clone(),
            _ => return Err(self.error(value_column, "a value is missing", "for example `len>100`")),
        };
        self.at += 1;
        self.compare(field, (op, op_column), (&value, value_column))
    }

    fn compare(
        &self,
        field: Field,
        (op, op_column): (Op, usize),
        (value, column): (&str, usize),
    ) -> Result<Expr, FindError> {
        if field.is_text() {
            return text(field, op, value)
                .ok_or_else(|| self.error(op_column, "a text has no order", "use `=`, `!=` or `~`"));
        }
        if op == Op::Glob {
            return Err(self.error(op_column, "`~` compares texts", "use `=`, `!=`, `<`, `<=`, `>` or `>=`"));
        }
        if field.is_flag() {
            let is = match value {
                "yes" | "true" | "True" | "1" => true,
                "no" | "false" | "False" | "0" => false,
                _ => return Err(self.error(column, "not `yes` or `no`", "write `tracked` or `not tracked`")),
            };
            return match op {
                Op::Equal => Ok(Expr::Flag { field, is }),
                Op::NotEqual => Ok(Expr::Flag { field, is: !is }),
                _ => Err(self.error(op_column, "a flag has no order", "use `=` or `!=`")),
            };
        }
        let value = number(value).ok_or_else(|| {
            self.error(column, &format!("`{value}` is no number"), "for example 100, 10MB, 1.5GiB, 0x7f00")
        })?;
        Ok(Expr::Number { field, op, value })
    }
}

/// A comparison of texts; none for an operator that orders. `~` with no `*` and no `?` finds the value anywhere.
fn text(field: Field, op: Op, value: &str) -> Option<Expr> {
    let pattern = match op {
        Op::Glob if !value.contains(['*', '?']) => format!("*{value}*"),
        Op::Glob | Op::Equal | Op::NotEqual => value.to_owned(),
        _ => return None,
    };
    Some(Expr::Text { field, is_negated: op == Op::NotEqual, pattern })
}

const OPERATORS: &str = "use `=`, `!=`, `<`, `<=`, `>`, `>=` or `~`";

/// A number with an optional unit: `k`, `M`, `G` are thousands, `KiB`, `MiB`, `GiB` powers of 1024; `0x` is hexadecimal.
fn number(text: &str) -> Option<u64> {
    let text = text.replace('_', "");
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok();
    }
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "t" | "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return None,
    };
    if digits.contains('.') {
        let number: f64 = digits.parse().ok()?;
        return Some((number * factor as f64) as u64);
    }
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::number;
    use crate::find::Find;
    use crate::synthetic::Dice;

    #[test]
    fn units_are_read() {
        let cases =
            [("10MB", 10_000_000), ("1.5KiB", 1536), ("0xff", 255), ("1_000", 1000), ("2g", 2_000_000_000)];
        cases.iter().for_each(|(text, value)| assert_eq!(number(text), Some(*value), "{text}"));
        ["", "x", "10XB", "1.2.3", "99999999999999999999", "-1"].iter().for_each(|text| {
            assert_eq!(number(text), None, "{text}");
        });
    }

    #[test]
    fn errors_point_at_their_column_and_help() {
        for (query, column, part) in [
            ("colour=red", 1, "fields are type, isinstance"),
            ("type=list and", 14, "comparison is missing"),
            ("len ~ 5", 5, "compares texts"),
            ("len > many", 7, "is no number"),
            ("type > list", 6, "no order"),
            ("(type=list", 1, "without `)`"),
            ("type=list)", 10, "without `(`"),
            ("type list", 6, "operator is missing"),
            ("type=list len>5", 11, "join comparisons"),
            ("name='x", 6, "closing quote"),
            ("len ! 5", 5, "`!` without"),
            ("", 1, "comparison is missing"),
            ("tracked=perhaps", 9, "not `yes`"),
            ("frozen>yes", 7, "a flag has no order"),
            ("garbage ~ yes", 9, "compares texts"),
            ("garbage yes", 9, "join comparisons"),
            ("not garbage and frosen", 17, "no field `frosen`"),
            ("orphan and len", 15, "operator is missing"),
            ("len>", 5, "value is missing"),
        ] {
            let error = Find::parse(query).expect_err(query);
            assert_eq!(error.column, column, "{error}");
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic() {
        let pieces = [
            "type",
            "=",
            "list",
            " ",
            "(",
            ")",
            "and",
            "or",
            "not",
            "len",
            ">",
            ">=",
            "!=",
            "!",
            "~",
            "'",
            "\"",
            "10MB",
            "0x",
            "é",
            "*",
            "1e999",
            ".",
            "tracked",
            "garbage",
            "isinstance",
            "\u{0}",
            "not not",
            "((((",
            "9999999999999999999999",
        ];
        let mut dice = Dice::new(3);
        for _ in 0..20_000 {
            let n = dice.below(12);
            let query: String = (0..n).map(|_| pieces[dice.below(pieces.len() as u64) as usize]).collect();
            if let Err(error) = Find::parse(&query) {
                assert!(error.column >= 1 && error.column <= query.chars().count() + 1, "{error}");
            }
        }
        assert!(Find::parse(&"not ".repeat(100_000)).is_err());
        assert!(Find::parse(&"(".repeat(100_000)).is_err());
    }
}
