//! File names as users know them: packages from their own root, the program's own files from the directory that they
//! share. The full name stays available beside the short one.

/// What the program's own files have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paths {
    /// With the final `/`; empty where it would say nothing.
    prefix: String,
}

impl Paths {
    /// Finds the directory that all files of the program itself share, of Python's: those of no package and not of the
    /// library.
    pub fn new<'a>(files: impl IntoIterator<Item = &'a str>) -> Self {
        let mut common: Option<&str> = None;
        for file in files.into_iter().filter(|file| is_own(file)) {
            let directory = &file[..=file.rfind('/').unwrap_or(0)];
            common = Some(common.map_or(directory, |so_far| shared(so_far, directory)));
        }
        let prefix = common.filter(|prefix| prefix.matches('/').count() >= 3).unwrap_or_default();
        Self { prefix: prefix.to_owned() }
    }

    /// `flask/app.py`, `json/decoder.py`, `data_pipeline.py`; of a program or a library of native code its name.
    pub fn short<'a>(&self, file: &'a str) -> &'a str {
        if let Some(rest) = in_package(file).or_else(|| in_library(file)) {
            return rest;
        }
        let name = file.rsplit('/').next().unwrap_or(file);
        if is_in_bin(file) || name.ends_with(".so") || name.contains(".so.") {
            return name;
        }
        file.strip_prefix(self.prefix.as_str()).unwrap_or(file)
    }

    /// As [`Self::short`], of a frame of native code: a source file from its last directory on (`Objects/call.c`), as the
    /// rest is where it was built.
    pub fn short_native<'a>(&self, file: &'a str) -> &'a str {
        let short = self.short(file);
        if short != file {
            return short;
        }
        file.rmatch_indices('/').nth(1).map_or(file, |(at, _)| &file[at + 1..])
    }
}

/// The module that a short file name belongs to: `flask.app` of `flask/app.py`.
pub fn module_of(short_file: &str) -> String {
    let name = short_file.strip_prefix("<frozen ").and_then(|rest| rest.strip_suffix('>'));
    let name = name.unwrap_or(short_file);
    let name = name.strip_suffix(".py").unwrap_or(name);
    let name = name.strip_suffix("/__init__").unwrap_or(name);
    name.replace('/', ".")
}

/// The part behind `site-packages/`.
fn in_package(file: &str) -> Option<&str> {
    ["/site-packages/", "/dist-packages/"]
        .iter()
        .find_map(|mark| file.rfind(mark).map(|at| &file[at + mark.len()..]))
}

/// The part behind `lib/python3.12/` or `lib/python312.zip/`.
fn in_library(file: &str) -> Option<&str> {
    let at = file.find("/lib/python3").or_else(|| file.find("/lib64/python3"))?;
    let (_, rest) = file[at + 1..].split_once('/')?;
    rest.split_once('/').map(|(_, rest)| rest)
}

fn is_in_bin(file: &str) -> bool {
    file.rsplit('/').nth(1) == Some("bin")
}

fn is_own(file: &str) -> bool {
    file.starts_with('/')
        && in_package(file).is_none()
        && in_library(file).is_none()
        && !is_in_bin(file)
        && !file.contains(".so")
}

/// The longest directory that starts both.
fn shared<'a>(a: &'a str, b: &str) -> &'a str {
    let n = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    &a[..a.as_bytes()[..n].iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [&str; 5] = [
        "/srv/shop/app.py",
        "/srv/shop/jobs/ünder.py",
        "/srv/env/bin/gunicorn",
        "/srv/env/lib/python3.12/site-packages/flask/app.py",
        "/usr/lib/python3.12/json/decoder.py",
    ];

    #[test]
    fn files_are_named_from_the_root_that_users_know() {
        let paths = Paths::new(FILES);
        let short: Vec<_> = FILES.iter().map(|file| paths.short(file)).collect();
        assert_eq!(short, ["app.py", "jobs/ünder.py", "gunicorn", "flask/app.py", "json/decoder.py"]);
        assert_eq!(paths.short("<frozen importlib._bootstrap>"), "<frozen importlib._bootstrap>");
        assert_eq!(paths.short("/elsewhere/x.py"), "/elsewhere/x.py");
        assert_eq!(paths.short("/srv/shop/../env/bin/gunicorn"), "gunicorn");
        assert_eq!(paths.short("/opt/lib/libpython3.12.so.1.0"), "libpython3.12.so.1.0");
    }

    #[test]
    fn files_without_a_common_directory_keep_their_names() {
        let paths = Paths::new(["/a/x.py", "/b/y.py", "z.py", ""]);
        assert_eq!(paths.short("/a/x.py"), "/a/x.py");
        assert_eq!(paths.short("z.py"), "z.py");
    }

    #[test]
    fn sources_of_native_code_keep_one_directory() {
        let paths = Paths::new(FILES);
        assert_eq!(paths.short_native("/tmp/build/Python-3.12.1/Objects/call.c"), "Objects/call.c");
        assert_eq!(paths.short_native("/call.c"), "/call.c");
        assert_eq!(paths.short_native("src/call.c"), "src/call.c");
        assert_eq!(paths.short_native("/opt/lib/libpython3.12.so.1.0"), "libpython3.12.so.1.0");
        assert_eq!(paths.short_native("/usr/bin/python3.12"), "python3.12");
    }

    #[test]
    fn modules_follow_from_files() {
        for (file, module) in [
            ("flask/app.py", "flask.app"),
            ("flask/__init__.py", "flask"),
            ("<frozen importlib._bootstrap>", "importlib._bootstrap"),
            ("<string>", "<string>"),
        ] {
            assert_eq!(module_of(file), module);
        }
    }
}
