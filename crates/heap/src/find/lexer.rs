//! A query's text as tokens with their columns.

use super::FindError;

/// Comparison operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Equal,
    NotEqual,
    More,
    MoreOrEqual,
    Less,
    LessOrEqual,
    Glob,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    Open,
    Close,
    Op(Op),
    /// Bare text: a field, a keyword, a value.
    Word(String),
    /// Quoted text: always a value.
    Quoted(String),
}

/// Tokens with the column of each, from 1.
pub(crate) fn tokens(query: &str) -> Result<Vec<(Token, usize)>, FindError> {
    let chars: Vec<char> = query.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let start = at;
        let token = match chars[at] {
            c if c.is_whitespace() => {
                at += 1;
                continue;
            }
            '(' => one(&mut at, Token::Open),
            ')' => one(&mut at, Token::Close),
            '~' => one(&mut at, Token::Op(Op::Glob)),
            '=' | '!' | '<' | '>' => operator(&chars, &mut at).ok_or_else(|| FindError {
                message: "`!` without `=`".to_owned(),
                column: start + 1,
                query: query.to_owned(),
                help: "write `!=` or `not`".to_owned(),
            })?,
            quote @ ('\'' | '"') => quoted(&chars, &mut at, quote).ok_or_else(|| FindError {
                message: "text without its closing quote".to_owned(),
                column: start + 1,
                query: query.to_owned(),
                help: format!("end it with {quote}"),
            })?,
            _ => word(&chars, &mut at),
        };
        tokens.push((token, start + 1));
    }
    Ok(tokens)
}

fn one(at: &mut usize, token: Token) -> Token {
    *at += 1;
    token
}

fn operator(chars: &[char], at: &mut usize) -> Option<Token> {
    let first = chars[*at];
    let has_equal = chars.get(*at + 1) == Some(&'=');
    *at += 1 + usize::from(has_equal);
    let op = match (first, has_equal) {
        ('=', _) => Op::Equal,
        ('!', true) => Op::NotEqual,
        ('!', false) => return None,
        ('<', true) => Op::LessOrEqual,
        ('<', false) => Op::Less,
        (_, true) => Op::MoreOrEqual,
        (_, false) => Op::More,
    };
    Some(Token::Op(op))
}

fn quoted(chars: &[char], at: &mut usize, quote: char) -> Option<Token> {
    let end = chars[*at + 1..].iter().position(|c| *c == quote)?;
    let text = chars[*at + 1..*at + 1 + end].iter().collect();
    *at += end + 2;
    Some(Token::Quoted(text))
}

fn word(chars: &[char], at: &mut usize) -> Token {
    let ends =
        |c: &char| c.is_whitespace() || matches!(c, '(' | ')' | '~' | '=' | '!' | '<' | '>' | '\'' | '"');
    let end = chars[*at..].iter().position(ends).map_or(chars.len(), |n| *at + n);
    let text = chars[*at..end].iter().collect();
    *at = end;
    Token::Word(text)
}
