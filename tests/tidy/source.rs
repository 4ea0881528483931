//! The files of the tree: those committed and those about to be, never ignored ones.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use proc_macro2::{TokenStream, TokenTree};

/// A text file of the project.
pub(crate) struct File {
    /// Relative to the project's root.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    pub(crate) fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|found| found == extension)
    }

    /// The tokens of a Rust file; panics where it is not Rust, which the compiler would say too.
    pub(crate) fn tokens(&self) -> TokenStream {
        self.text.parse().unwrap_or_else(|error| panic!("{}: {error}", self.path))
    }
}

/// The project's root folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every text file, in order of path; files that are not UTF-8 are left out.
pub(crate) fn files() -> &'static [File] {
    static FILES: OnceLock<Vec<File>> = OnceLock::new();
    FILES.get_or_init(|| {
        let mut files: Vec<File> = list().into_iter().filter_map(read).collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        assert!(files.len() > 10, "git lists the project's files");
        files
    })
}

/// Every Rust file.
pub(crate) fn rust_files() -> impl Iterator<Item = &'static File> {
    files().iter().filter(|file| file.has_extension("rs"))
}

/// One token and where it stands.
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// All tokens in order, delimiters among them as `(`, `)` and so on; items under `#[cfg(test)]` only if `tests`.
pub(crate) fn flatten(stream: TokenStream, tests: bool) -> Vec<Token> {
    let mut flat = Vec::new();
    push_all(stream, tests, &mut flat);
    flat
}

/// Fails with all of `complaints`, one a line.
pub(crate) fn assert_none(rule: &str, complaints: &[String]) {
    assert!(complaints.is_empty(), "{rule}:\n  {}", complaints.join("\n  "));
}

fn list() -> Vec<String> {
    let out = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git runs");
    assert!(out.status.success(), "git ls-files: {}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).expect("paths are UTF-8");
    text.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect()
}

fn read(path: String) -> Option<File> {
    let text = std::fs::read_to_string(root().join(&path)).ok()?;
    Some(File { path, text })
}

fn push_all(stream: TokenStream, tests: bool, flat: &mut Vec<Token>) {
    let mut trees = stream.into_iter().peekable();
    while let Some(tree) = trees.next() {
        let is_test = matches!(&tree, TokenTree::Punct(punct) if punct.as_char() == '#')
            && trees.peek().is_some_and(|next| next.to_string().replace(' ', "") == "[cfg(test)]");
        if is_test && !tests {
            skip_item(&mut trees);
        } else {
            push(tree, tests, flat);
        }
    }
}

/// Skips to the end of an item: its braces, or a semicolon.
fn skip_item(trees: &mut impl Iterator<Item = TokenTree>) {
    for tree in trees {
        match tree {
            TokenTree::Group(group) if group.delimiter() == proc_macro2::Delimiter::Brace => return,
            TokenTree::Punct(punct) if punct.as_char() == ';' => return,
            _ => {}
        }
    }
}

fn push(tree: TokenTree, tests: bool, flat: &mut Vec<Token>) {
    let line = tree.span().start().line;
    let TokenTree::Group(group) = tree else {
        flat.push(Token { text: tree.to_string(), line });
        return;
    };
    let (open, close) = match group.delimiter() {
        proc_macro2::Delimiter::Parenthesis => ("(", ")"),
        proc_macro2::Delimiter::Brace => ("{", "}"),
        proc_macro2::Delimiter::Bracket => ("[", "]"),
        proc_macro2::Delimiter::None => ("", ""),
    };
    flat.push(Token { text: open.to_owned(), line });
    push_all(group.stream(), tests, flat);
    flat.push(Token { text: close.to_owned(), line: group.span_close().start().line });
}
