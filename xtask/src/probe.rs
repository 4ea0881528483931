//! Compiles and runs the C probe against one interpreter's headers, and reads what it says.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use heapray_cpython::layouts::Root;
use heapray_testkit::Python;

/// What the headers of one interpreter say.
#[derive(Default)]
pub(crate) struct Said {
    /// `PY_VERSION_HEX`.
    pub(crate) version_hex: u32,
    /// Fields of the runtime part by name.
    pub(crate) runtime: BTreeMap<String, u32>,
    /// Fields of the object part by name.
    pub(crate) objects: BTreeMap<String, u32>,
    /// Fields of structures that no header declares.
    pub(crate) private: Vec<String>,
    /// Roots: scope (`interp`, `runtime`, `thread`), label, first, count, stride.
    pub(crate) roots: Vec<(String, String, u32, u32, u32)>,
    /// Fields that `_Py_DebugOffsets` repeats, and where.
    pub(crate) debug: BTreeMap<String, u32>,
}

/// Runs the probe for `python`.
///
/// Errors: no C compiler, headers that the probe does not compile with, output that is not understood.
pub(crate) fn run(python: &Python) -> anyhow::Result<Said> {
    let dir = std::env::temp_dir().join(format!("heapray-layouts-{}", std::process::id()));
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let said = compile(python, &dir).and_then(|exe| {
        let out = Command::new(&exe).output().context("cannot run the probe")?;
        parse(&String::from_utf8(out.stdout).context("the probe's output is not text")?)
    });
    fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    said
}

fn compile(python: &Python, dir: &Path) -> anyhow::Result<std::path::PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("probe");
    let exe = dir.join("probe");
    let mut command = Command::new(std::env::var("CC").unwrap_or_else(|_| "cc".into()));
    command.arg("-w").arg("-I").arg(&python.include).arg("-I").arg(python.include.join("internal"));
    command.arg("-I").arg(&source).arg("-o").arg(&exe).arg(source.join("probe.c"));
    if let Some(root) = &python.root {
        // For the architecture's own pyconfig.h; last, so that the host's C library stays in charge.
        command.arg("-idirafter").arg(root.join("usr/include"));
    }
    let out = command.output().context("cannot run the C compiler; set $CC or install one")?;
    if !out.status.success() {
        bail!("the probe does not compile:\n{}", String::from_utf8_lossy(&out.stderr));
    }
    Ok(exe)
}

fn parse(text: &str) -> anyhow::Result<Said> {
    let mut said = Said::default();
    let mut in_objects = false;
    for line in text.lines() {
        let words: Vec<&str> = line.splitn(6, ' ').collect();
        let number =
            |word: &str| word.parse::<u32>().with_context(|| format!("a number is expected in {line:?}"));
        match words[..] {
            ["objects"] => in_objects = true,
            ["private", name] => said.private.push(name.into()),
            ["version", value] => said.version_hex = number(value)?,
            ["debug", name, at] => _ = said.debug.insert(name.into(), number(at)?),
            ["root", scope, first, count, stride, label] => {
                said.roots.push((
                    scope.into(),
                    label.into(),
                    number(first)?,
                    number(count)?,
                    number(stride)?,
                ));
            }
            [name, value] => {
                let part = if in_objects { &mut said.objects } else { &mut said.runtime };
                part.insert(name.into(), number(value)?);
            }
            _ => bail!("the probe's line {line:?} is not understood"),
        }
    }
    Ok(said)
}

/// Our roots in the form of [`Said::roots`].
pub(crate) fn flatten(scope: &str, roots: &[Root]) -> Vec<(String, String, u32, u32, u32)> {
    roots.iter().map(|root| (scope.into(), root.label.into(), root.first, root.count, root.stride)).collect()
}
