//! A process with large packages of C code loaded: how much of what it refers to is explained.

use crate::image;
use heapray_testkit::{Target, find_pythons};
use heapray_tests::test_python;

const SCRIPT: &str = r##"
import sys
import pandas, flask, sqlalchemy, sqlalchemy.orm, lxml.etree
frame = pandas.DataFrame({"a": ["x%d" % i for i in range(1000)], "b": [[i] for i in range(1000)]})
tree = lxml.etree.fromstring("<a>" + "<b c='d'>e</b>" * 100 + "</a>")
app = flask.Flask("x")
engine = sqlalchemy.create_engine("sqlite://")
print("ready", flush=True)
sys.stdin.readline()
"##;

#[test]
fn ninety_eight_percent_of_references_are_explained() {
    let mut python = find_pythons()[0].clone();
    (python.exe, python.root) = (test_python(), None);
    let mut target = Target::start(&python, SCRIPT);
    assert_eq!(target.line(), "ready");
    let (tables, summary) = image::take(&target);
    let coverage = summary.explained as f64 / summary.references as f64;
    assert!(coverage >= 0.98, "{coverage} of {} references", summary.references);
    assert!(tables.n_nodes() > 200_000, "{} objects", tables.n_nodes());
}
