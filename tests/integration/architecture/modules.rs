//! Resolves paths to modules, and finds modules that use each other.

use std::collections::{BTreeMap, BTreeSet};

use super::paths::{Named, Source};

/// A module, as the names on the path to it.
pub(crate) type Module = Vec<String>;

/// The modules of a crate, and the modules that its re-exports lead to.
pub(crate) struct Modules {
    all: BTreeSet<Module>,
    /// The module that a name is re-exported from, by module and name.
    reexports: BTreeMap<(Module, String), Module>,
}

impl Modules {
    pub(crate) fn of(sources: &[Source]) -> Self {
        let all: BTreeSet<Module> = sources.iter().map(|it| it.module.clone()).collect();
        let mut modules = Self {
            all,
            reexports: BTreeMap::new(),
        };
        for source in sources {
            for named in source.named.iter().filter(|it| it.is_reexport) {
                let Some(name) = named.segments.last() else {
                    continue;
                };
                if let Some(module) = modules.leads_to(named)
                    && module != source.module
                {
                    let key = (source.module.clone(), name.clone());
                    modules.reexports.insert(key, module);
                }
            }
        }
        modules
    }

    /// Returns the module of this crate that a path leads to: the last module on it, or the one that the name after it
    /// is re-exported from. `None` if the path names something else.
    pub(crate) fn leads_to(&self, path: &Named) -> Option<Module> {
        if path.is_external {
            return None;
        }
        let mut names = path.segments.iter().peekable();
        let mut at = match names.peek()?.as_str() {
            "crate" => {
                names.next();
                Module::new()
            }
            "self" => {
                names.next();
                path.module.clone()
            }
            "super" => {
                let mut at = path.module.clone();
                while names.next_if(|it| *it == "super").is_some() {
                    at.pop();
                }
                at
            }
            first => {
                // Without `crate` or `self`: a child of the current module.
                let below = [&path.module[..], &[first.to_owned()]].concat();
                self.all.contains(&below).then(|| path.module.clone())?
            }
        };
        for name in names {
            let below = [&at[..], std::slice::from_ref(name)].concat();
            if self.all.contains(&below) {
                at = below;
                continue;
            }
            while let Some(from) = self.reexports.get(&(at.clone(), name.clone())) {
                at.clone_from(from);
            }
            break;
        }
        // An inline module belongs to its file.
        while !self.all.contains(&at) {
            at.pop()?;
        }
        Some(at)
    }
}

/// Returns cycles of modules that use each other, each once. A module and its children are one unit: uses in both
/// directions between them are not a cycle.
pub(crate) fn circles(sources: &[Source]) -> Vec<Vec<Module>> {
    let modules = Modules::of(sources);
    let mut uses: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
    for source in sources.iter().filter(|it| !it.is_test) {
        let names = source.named.iter().filter(|it| !it.is_test);
        let targets = names.filter_map(|it| modules.leads_to(it));
        let others =
            targets.filter(|it| !it.starts_with(&source.module) && !source.module.starts_with(it));
        uses.entry(source.module.clone())
            .or_default()
            .extend(others);
    }
    let reachable = |from: &Module| {
        let mut seen = BTreeSet::new();
        let mut next: Vec<&Module> = uses.get(from).into_iter().flatten().collect();
        while let Some(module) = next.pop() {
            if seen.insert(module.clone()) {
                next.extend(uses.get(module).into_iter().flatten());
            }
        }
        seen
    };
    let reached: BTreeMap<&Module, BTreeSet<Module>> = uses
        .keys()
        .map(|module| (module, reachable(module)))
        .collect();
    let mut circles: BTreeSet<Vec<Module>> = BTreeSet::new();
    for (module, others) in &reached {
        let circle: Vec<Module> = others
            .iter()
            .filter(|other| reached.get(other).is_some_and(|it| it.contains(*module)))
            .cloned()
            .collect();
        if !circle.is_empty() {
            circles.insert(circle);
        }
    }
    circles.into_iter().collect()
}
