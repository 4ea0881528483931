//! How files and functions look: a head that says what the file is for, and lengths within limits.
//!
//! A length over the limit is allowed only as listed in `exceptions.txt`, with the very number listed there, so that
//! the list can only shrink.

use std::collections::BTreeMap;

use syn::spanned::Spanned;
use syn::visit::Visit;

use crate::source::{File, assert_none, files, rust_files};

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

#[test]
fn every_file_says_what_it_is_for() {
    let rust = rust_files().filter(|file| !file.text.starts_with("//!"));
    let python = files().iter().filter(|file| file.has_extension("py")).filter(|file| !has_head(&file.text));
    let complaints: Vec<String> = rust.chain(python).map(|file| file.path.clone()).collect();
    assert_none("a file opens with `//!` (Rust), a docstring or a comment (Python)", &complaints);
}

#[test]
fn files_and_functions_stay_within_limits() {
    let allowed = exceptions();
    let mut found = BTreeMap::new();
    for file in rust_files() {
        let n_lines = file.text.lines().count();
        if n_lines > FILE_LINES_MAX {
            found.insert(file.path.clone(), n_lines);
        }
        found.extend(long_functions(file));
    }
    let over = found.iter().filter(|(name, n)| allowed.get(*name) != Some(n));
    let mut complaints: Vec<String> = over
        .map(|(name, n)| match allowed.get(name) {
            Some(listed) => format!("{name}: {n} lines, listed with {listed}"),
            None => format!("{name}: {n} lines"),
        })
        .collect();
    let stale = allowed.keys().filter(|name| !found.contains_key(*name));
    complaints.extend(stale.map(|name| format!("{name}: no longer over its limit, take it off the list")));
    assert_none(
        "at most 600 lines a file and 70 a function, or exactly as in tests/tidy/exceptions.txt",
        &complaints,
    );
}

fn has_head(text: &str) -> bool {
    let first = text.lines().find(|line| !line.starts_with("#!") && !line.trim().is_empty());
    first.is_none_or(|line| ["\"\"\"", "r\"\"\"", "# "].iter().any(|head| line.starts_with(head)))
}

/// `path` or `path::function`, and its number of lines.
fn exceptions() -> BTreeMap<String, usize> {
    let list = include_str!("exceptions.txt");
    let lines = list.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines
        .map(|line| {
            let (name, n) = line.split_once(' ').expect("a line is a name and a number");
            (name.to_owned(), n.trim().parse().expect("the number of lines"))
        })
        .collect()
}

fn long_functions(file: &File) -> Vec<(String, usize)> {
    let parsed = syn::parse_file(&file.text).unwrap_or_else(|error| panic!("{}: {error}", file.path));
    let mut lengths = Lengths { path: &file.path, long: Vec::new() };
    lengths.visit_file(&parsed);
    lengths.long
}

struct Lengths<'a> {
    path: &'a str,
    long: Vec<(String, usize)>,
}

impl Lengths<'_> {
    fn measure(&mut self, name: &syn::Ident, body: &impl Spanned) {
        let n_lines = body.span().end().line + 1 - name.span().start().line;
        if n_lines > FUNCTION_LINES_MAX {
            self.long.push((format!("{}::{name}", self.path), n_lines));
        }
    }
}

impl<'ast> Visit<'ast> for Lengths<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.measure(&item.sig.ident, &item.block);
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.measure(&item.sig.ident, &item.block);
        syn::visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(body) = &item.default {
            self.measure(&item.sig.ident, body);
        }
        syn::visit::visit_trait_item_fn(self, item);
    }
}
