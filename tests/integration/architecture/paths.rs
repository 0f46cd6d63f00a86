//! The paths in a source file: imports, expressions, types, and the content of macros.

use std::{
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::{Spacing, TokenStream, TokenTree};
use syn::{
    Attribute, File, ItemExternCrate, ItemMod, ItemUse, Macro, UseTree,
    visit::{self, Visit},
};

/// A path as written: `["super", "super", "store", "Stores"]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Named {
    pub(crate) segments: Vec<String>,
    /// It begins with `::`, so it names an external crate.
    pub(crate) is_external: bool,
    /// It is in `pub use`, which declares a name and is no dependency.
    pub(crate) is_reexport: bool,
    /// It is in test code.
    pub(crate) is_test: bool,
    /// The module that contains it, including inline modules.
    pub(crate) module: Vec<String>,
}

/// A source file.
pub(crate) struct Source {
    /// Its module: `["store", "redis"]` for `store/redis/mod.rs`.
    pub(crate) module: Vec<String>,
    /// Its path under `src`.
    pub(crate) place: String,
    pub(crate) lines: usize,
    pub(crate) named: Vec<Named>,
    /// The file is only compiled for tests.
    pub(crate) is_test: bool,
}

impl Source {
    /// Parses a text as the file `place`.
    pub(crate) fn read(place: &str, text: &str) -> Self {
        let module = module_of(place);
        let file: File = syn::parse_file(text).unwrap_or_else(|error| panic!("{place}: {error}"));
        let is_test = module.iter().any(|it| it == "tests" || it == "testing");
        let mut found = Visitor {
            module: module.clone(),
            is_test,
            named: Vec::new(),
        };
        found.visit_file(&file);
        Self {
            module,
            place: place.to_owned(),
            lines: text.lines().count(),
            named: found.named,
            is_test,
        }
    }
}

/// Returns all source files below `root`, sorted.
pub(crate) fn all_sources(root: &Path) -> Vec<Source> {
    let mut files = Vec::new();
    list(root, &mut files);
    files.sort();
    let read = |file: &PathBuf| {
        let place = file.strip_prefix(root).unwrap().to_str().unwrap();
        Source::read(place, &fs::read_to_string(file).unwrap())
    };
    let all: Vec<Source> = files.iter().map(read).collect();
    assert!(!all.is_empty(), "no sources were found");
    all
}

fn list(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            list(&path, out);
        } else if path.extension().is_some_and(|it| it == "rs") {
            out.push(path);
        }
    }
}

fn module_of(place: &str) -> Vec<String> {
    let parts = place.trim_end_matches(".rs").split('/');
    let mut module: Vec<String> = parts.map(str::to_owned).collect();
    if module.last().is_some_and(|it| it == "mod") || module == ["lib"] {
        module.pop();
    }
    module
}

struct Visitor {
    module: Vec<String>,
    is_test: bool,
    named: Vec<Named>,
}

impl Visitor {
    fn add(&mut self, segments: Vec<String>, is_external: bool, is_reexport: bool) {
        self.named.push(Named {
            segments,
            is_external,
            is_reexport,
            is_test: self.is_test,
            module: self.module.clone(),
        });
    }

    fn imports(&mut self, tree: &UseTree, before: &[String], external: bool, reexport: bool) {
        let with = |name: String| [before, &[name]].concat();
        match tree {
            UseTree::Path(path) => {
                self.imports(
                    &path.tree,
                    &with(path.ident.to_string()),
                    external,
                    reexport,
                );
            }
            UseTree::Name(name) => self.add(with(name.ident.to_string()), external, reexport),
            // The local name does not matter.
            UseTree::Rename(name) => self.add(with(name.ident.to_string()), external, reexport),
            UseTree::Glob(_) => self.add(before.to_vec(), external, reexport),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.imports(tree, before, external, reexport);
                }
            }
        }
    }

    /// Collects the paths in the tokens of a macro.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        let mut is_external = false;
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => {
                    colons = match (colons, punct.spacing()) {
                        (0, Spacing::Joint) => 1,
                        (1, _) => 2,
                        _ => 0,
                    };
                    continue;
                }
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.end_path(&mut path, is_external);
                        is_external = false;
                    } else if path.is_empty() {
                        is_external = true;
                    }
                    path.push(ident.to_string());
                }
                TokenTree::Group(group) => {
                    self.end_path(&mut path, is_external);
                    self.tokens(group.stream());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {
                    self.end_path(&mut path, is_external);
                }
            }
            colons = 0;
        }
        self.end_path(&mut path, is_external);
    }

    fn end_path(&mut self, path: &mut Vec<String>, is_external: bool) {
        let segments = std::mem::take(path);
        if segments.len() > 1 || (is_external && !segments.is_empty()) {
            self.add(segments, is_external, false);
        }
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|it| {
        it.path().is_ident("cfg")
            && it
                .meta
                .require_list()
                .is_ok_and(|list| list.tokens.to_string() == "test")
    })
}

impl<'ast> Visit<'ast> for Visitor {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let was_test = self.is_test;
        self.is_test |= is_for_tests(&item.attrs);
        let is_reexport = !matches!(item.vis, syn::Visibility::Inherited);
        self.imports(&item.tree, &[], item.leading_colon.is_some(), is_reexport);
        self.is_test = was_test;
    }

    fn visit_item_extern_crate(&mut self, item: &'ast ItemExternCrate) {
        self.add(vec![item.ident.to_string()], true, false);
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        let was_test = self.is_test;
        self.is_test |= is_for_tests(&item.attrs);
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
        self.is_test = was_test;
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path
            .segments
            .iter()
            .map(|it| it.ident.to_string())
            .collect();
        if segments.len() > 1 || path.leading_colon.is_some() {
            self.add(segments, path.leading_colon.is_some(), false);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, mac: &'ast Macro) {
        self.tokens(mac.tokens.clone());
        visit::visit_macro(self, mac);
    }
}
