//! Who may import whom: between crates, and between the files of each.

mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use source::Source;

/// Which crates of ours each may depend on, for its tests too.
const CRATES: &[(&str, &[&str])] = &[
    ("diff-core", &[]),
    ("release-format", &["diff-core"]),
    ("updater-client", &["diff-core", "release-format"]),
    ("publisher", &["diff-core", "release-format"]),
    ("collector", &["diff-core", "release-format"]),
    (
        "satchel",
        &[
            "collector",
            "diff-core",
            "publisher",
            "release-format",
            "satchel-tests",
            "updater-client",
        ],
    ),
    (
        "satchel-tests",
        &[
            "collector",
            "diff-core",
            "publisher",
            "release-format",
            "updater-client",
        ],
    ),
    (
        "satchel-benches",
        &[
            "collector",
            "diff-core",
            "publisher",
            "release-format",
            "satchel-tests",
            "updater-client",
        ],
    ),
];

/// The files of each crate from the bottom up, one layer a line: a file imports only files of the
/// lines above its own.
const LAYERS: &[(&str, &str)] = &[
    ("diff-core", include_str!("layering/diff-core.layers")),
    (
        "release-format",
        include_str!("layering/release-format.layers"),
    ),
    (
        "updater-client",
        include_str!("layering/updater-client.layers"),
    ),
    ("publisher", include_str!("layering/publisher.layers")),
    ("collector", include_str!("layering/collector.layers")),
    ("cli", include_str!("layering/cli.layers")),
];

/// What the standard library offers and a crate must not touch.
const FORBIDDEN: &[(&str, &[&str])] = &[
    (
        "diff-core",
        &["std::net", "std::env", "std::process", "SystemTime"],
    ),
    (
        "release-format",
        &[
            "std::fs",
            "std::net",
            "std::env",
            "std::process",
            "SystemTime",
        ],
    ),
];

const SHAPELESS: &[&str] = &["util", "utils", "common", "helper", "helpers", "misc"];
const MAX_LINES: usize = 600;

#[test]
fn crates_depend_only_on_those_below_them() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(workspace())
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &serde_json::Value| value["name"].as_str().unwrap().to_owned();
    let packages: BTreeMap<String, Vec<String>> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| {
            (
                text(p),
                p["dependencies"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(text)
                    .collect(),
            )
        })
        .collect();
    assert_eq!(wrong_dependencies(&packages, CRATES), [""; 0]);
}

#[test]
fn files_import_only_those_of_lower_layers() {
    for (name, layers) in LAYERS {
        let wrong = read_crate(name).wrong_imports(layers);
        assert!(wrong.is_empty(), "{name}:\n  {}", wrong.join("\n  "));
    }
}

#[test]
fn pure_crates_touch_neither_network_nor_clock() {
    for (name, forbidden) in FORBIDDEN {
        let wrong = read_crate(name).uses_of(forbidden);
        assert!(wrong.is_empty(), "{name}:\n  {}", wrong.join("\n  "));
    }
}

#[test]
fn a_device_changes_its_disk_through_one_seam_alone() {
    let is_seam = |told: &String| {
        let seam = ["library/disk.rs ", "library/disk/", "transport/folder.rs "];
        seam.iter().any(|file| told.starts_with(file))
    };
    let mut wrong = read_crate("updater-client").uses_of(&["std::fs", "tempfile", "memmap2"]);
    // The two types of a locked file, which opens nothing by itself.
    wrong.retain(|told| {
        !is_seam(told) && !told.ends_with("::fs::File") && !told.ends_with("::fs::TryLockError")
    });
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn files_are_one_noun_and_short() {
    let mut wrong = Vec::new();
    let root = workspace();
    for folder in ["crates", "tests", "benches", "fuzz"] {
        for file in rust_files(&root.join(folder)) {
            let lines = fs::read_to_string(&file).unwrap().lines().count();
            let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap();
            if lines > MAX_LINES {
                wrong.push(format!("{} has {lines} lines", file.display()));
            }
            if SHAPELESS.contains(&stem) {
                wrong.push(format!("{} is named for nothing", file.display()));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

/// The files of one crate, by module path; the root has the empty one.
#[derive(Default)]
struct Crate {
    files: BTreeMap<String, Source>,
}

impl Crate {
    fn parse<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Crate {
        let files = files
            .into_iter()
            .map(|(path, text)| (module_of(path), Source::parse(text)));
        let mut all = Crate {
            files: files.collect(),
        };
        // What only tests declare is no part of the house.
        let tests: Vec<String> = all
            .files
            .iter()
            .flat_map(|(parent, source)| source.test_modules.iter().map(|m| below(parent, m)))
            .collect();
        all.files.retain(|module, _| {
            !tests
                .iter()
                .any(|test| module == test || module.starts_with(&format!("{test}::")))
        });
        all
    }

    fn wrong_imports(&self, layers: &str) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut layer_of = BTreeMap::new();
        for (layer, line) in layers.lines().enumerate() {
            for file in line.split_whitespace() {
                if layer_of.insert(module_of(file), layer).is_some() {
                    wrong.push(format!("{file} stands twice in the layers"));
                }
            }
        }
        for module in layer_of
            .keys()
            .filter(|module| !self.files.contains_key(*module))
        {
            wrong.push(format!(
                "{} stands in the layers and is not there",
                file_of(module)
            ));
        }
        for (module, source) in &self.files {
            let Some(own) = layer_of.get(module) else {
                wrong.push(format!("{} stands in no layer", file_of(module)));
                continue;
            };
            for used in self.imports_of(module, source) {
                if layer_of.get(&used).is_none_or(|layer| layer >= own) {
                    wrong.push(format!("{} imports {}", file_of(module), file_of(&used)));
                }
            }
        }
        wrong
    }

    /// Returns the modules whose items `module` uses.
    fn imports_of(&self, module: &str, source: &Source) -> BTreeSet<String> {
        let imports = source.imports.iter().filter_map(|import| {
            let used = self.resolve(module, &import.path, 0)?;
            // A folder's face gives what is inside a name; that uses nothing of it.
            let is_face = import.is_export && used.starts_with(&below(module, ""));
            (!is_face).then_some(used)
        });
        let paths = source
            .paths
            .iter()
            .filter_map(|path| self.resolve(module, path, 0));
        imports.chain(paths).filter(|used| used != module).collect()
    }

    /// Returns the module that defines what `path`, written in `module`, begins with.
    fn resolve(&self, module: &str, path: &[String], depth: usize) -> Option<String> {
        let (first, mut rest) = path.split_first()?;
        let mut at = match first.as_str() {
            "crate" => String::new(),
            "self" => module.to_owned(),
            "super" => parent(module),
            name => {
                let child = below(module, name);
                if !self.files.contains_key(&child) {
                    return None;
                }
                child
            }
        };
        while let Some((name, behind)) = rest.split_first() {
            let child = below(&at, name);
            if name == "super" {
                at = parent(&at);
            } else if self.files.contains_key(&child) {
                at = child;
            } else {
                let source = self.files.get(&at)?;
                let import = source.imports.iter().find(|import| import.name == *name);
                return match import {
                    Some(import) if depth < MAX_DEPTH => self.resolve(&at, &import.path, depth + 1),
                    _ => Some(at),
                };
            }
            rest = behind;
        }
        Some(at)
    }

    fn uses_of(&self, forbidden: &[&str]) -> Vec<String> {
        let mut wrong = Vec::new();
        for (module, source) in &self.files {
            let imports = source.imports.iter().map(|import| &import.path);
            for path in imports.chain(&source.paths).map(|path| path.join("::")) {
                let hit = |rule: &&&str| match rule.split_once("::") {
                    Some(_) => path == **rule || path.starts_with(&format!("{rule}::")),
                    None => path.split("::").any(|name| name == **rule),
                };
                if forbidden.iter().find(hit).is_some() {
                    wrong.push(format!("{} uses {path}", file_of(module)));
                }
            }
        }
        wrong
    }
}

fn wrong_dependencies(
    packages: &BTreeMap<String, Vec<String>>,
    allowed: &[(&str, &[&str])],
) -> Vec<String> {
    let mut wrong = Vec::new();
    for (package, dependencies) in packages {
        let Some((_, allowed)) = allowed.iter().find(|(name, _)| name == package) else {
            wrong.push(format!("{package} has no place among the crates"));
            continue;
        };
        for dependency in dependencies
            .iter()
            .filter(|name| packages.contains_key(*name))
        {
            if !allowed.contains(&dependency.as_str()) {
                wrong.push(format!("{package} depends on {dependency}"));
            }
        }
    }
    wrong
}

fn read_crate(name: &str) -> Crate {
    let root = workspace().join("crates").join(name).join("src");
    let files: Vec<(String, String)> = rust_files(&root)
        .iter()
        .map(|file| {
            let path = file
                .strip_prefix(&root)
                .unwrap()
                .to_str()
                .unwrap()
                .replace('\\', "/");
            (
                path.trim_end_matches(".rs").to_owned(),
                fs::read_to_string(file).unwrap(),
            )
        })
        .collect();
    Crate::parse(
        files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str())),
    )
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn module_of(path: &str) -> String {
    match path {
        "lib" | "main" => String::new(),
        path => path.trim_end_matches("/mod").replace('/', "::"),
    }
}

fn file_of(module: &str) -> String {
    match module {
        "" => "the root".to_owned(),
        module => module.replace("::", "/") + ".rs",
    }
}

fn below(module: &str, name: &str) -> String {
    if module.is_empty() {
        name.to_owned()
    } else {
        format!("{module}::{name}")
    }
}

fn parent(module: &str) -> String {
    module
        .rsplit_once("::")
        .map(|(parent, _)| parent.to_owned())
        .unwrap_or_default()
}

const MAX_DEPTH: usize = 8;

/// The checker itself, on small houses.
mod planted {
    use super::*;

    const ROOT: (&str, &str) = (
        "lib",
        "mod low; mod high; mod wide;\npub use low::Low;\npub use high::High;",
    );
    const LOWS: &str = "low\nwide wide/inner\nhigh\nlib";

    fn wrong(low: &str, wide: &str, inner: &str, high: &str) -> Vec<String> {
        let files = [
            ROOT,
            ("low", low),
            ("wide", wide),
            ("wide/inner", inner),
            ("high", high),
        ];
        Crate::parse(files).wrong_imports(LOWS)
    }

    #[test]
    fn a_sound_house_is_let_through() {
        let face = "mod inner; pub use inner::Inner;";
        let high = "use crate::{low, wide::Inner}; fn f() { low::g(); crate::wide::inner::h() }";
        assert_eq!(wrong("", face, "use crate::Low;", high), [""; 0]);
    }

    #[test]
    fn an_import_of_a_higher_layer_is_found_however_it_is_written() {
        for low in [
            "use crate::high::High;",
            "use crate::High;",
            "use crate::{High as Tall};",
            "use crate::{wide::{self}};",
            "use super::high::{self, High};",
            "fn f() -> crate::high::High { g() }",
            "fn f() { let x = super::High::new(); }",
            "use crate::wide::Inner;",
            "pub use crate::high;",
        ] {
            let found = wrong(low, "mod inner; pub use inner::Inner;", "", "");
            assert_eq!(found.len(), 1, "{low}: {found:?}");
        }
    }

    #[test]
    fn files_of_one_layer_do_not_import_each_other() {
        let found = wrong(
            "",
            "mod inner; fn f() { inner::g() }",
            "use super::Wide;",
            "",
        );
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn what_tests_comments_and_texts_say_is_no_import() {
        let low = r##"
            // use crate::high::High;
            /* use /* crate::high */ crate::high; */
            const A: &str = "crate::high::High"; const B: &str = r#""crate::high::x"#;
            fn f<'a>(x: &'a str) -> char { '"' } fn g() -> char { '\'' }
            #[cfg(test)] #[allow(x)] mod tests { use crate::high::High; fn f() { { } } }
            #[cfg(test)] use crate::high::High;
        "##;
        assert_eq!(wrong(low, "mod inner;", "", ""), [""; 0]);
        let behind = format!("{low} use crate::high::High;");
        assert_eq!(wrong(&behind, "mod inner;", "", "").len(), 1);
    }

    #[test]
    fn a_file_without_a_layer_and_a_layer_without_a_file_are_found() {
        let found = Crate::parse([("lib", ""), ("new", "")]).wrong_imports("old\nlib");
        assert_eq!(
            found,
            [
                "old.rs stands in the layers and is not there",
                "new.rs stands in no layer"
            ]
        );
    }

    #[test]
    fn a_file_that_only_tests_declare_is_no_part_of_the_house() {
        let files = [
            ("lib", "mod low; #[cfg(test)] mod proofs;"),
            ("low", ""),
            ("proofs", ""),
        ];
        assert_eq!(Crate::parse(files).wrong_imports("low\nlib"), [""; 0]);
    }

    #[test]
    fn a_dependency_against_the_direction_is_found() {
        let package = |name: &str, on: &[&str]| {
            (
                name.to_owned(),
                on.iter().map(|&name| name.to_owned()).collect(),
            )
        };
        let packages = [
            package("diff-core", &["blake3", "release-format"]),
            package("release-format", &["diff-core"]),
            package("stranger", &[]),
        ];
        assert_eq!(
            wrong_dependencies(&packages.into(), CRATES),
            [
                "diff-core depends on release-format",
                "stranger has no place among the crates"
            ]
        );
    }

    #[test]
    fn a_forbidden_corner_of_the_standard_library_is_found() {
        let files = [(
            "lib",
            "use std::{fs, time::SystemTime}; fn f() { std::env::var(g()) }",
        )];
        let found = Crate::parse(files).uses_of(&["std::fs", "std::env", "SystemTime"]);
        assert_eq!(found.len(), 3, "{found:?}");
    }
}
