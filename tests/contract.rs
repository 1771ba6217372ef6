//! Every script keeps its contract, and every operation stands in its four places.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use auth_adapter_redis::Script;
use auth_adapter_redis::script::{Contract, Repeat, library};
use support::ROOT;

/// Source of a file of this package; empty where there is none.
fn text(path: &str) -> String {
    fs::read_to_string(ROOT.join(path)).unwrap_or_default()
}

fn noun_and_verb(script: &Script) -> (&str, &str) {
    script.name().split_once('/').unwrap()
}

/// The lines of `mod verb { … }` of a test file, or the file of `mod verb;`.
fn module(noun: &str, verb: &str) -> Option<String> {
    let file = text(&format!("tests/{noun}.rs"));
    if file.lines().any(|line| line == format!("mod {verb};")) {
        return Some(text(&format!("tests/{noun}/{verb}.rs")));
    }
    let open = format!("mod {verb} {{");
    let inside = file.lines().skip_while(|line| *line != open).skip(1);
    let lines: Vec<_> = inside.take_while(|line| *line != "}").collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn lua_files(dir: &Path, into: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => lua_files(&path, into),
            false => into.push(path),
        }
    }
}

#[test]
fn the_embedded_scripts_are_those_on_disk() {
    let root = ROOT.join("scripts");
    let mut files = Vec::new();
    lua_files(&root, &mut files);
    let mut on_disk = BTreeSet::new();
    for file in files {
        let name = file.strip_prefix(&root).unwrap().with_extension("");
        let name = name.to_str().unwrap().to_owned();
        if name.starts_with("shared/") {
            continue;
        }
        let source = fs::read_to_string(&file).unwrap();
        if !source.contains("-- @include ") {
            let embedded = library()
                .get(&name)
                .unwrap_or_else(|| panic!("{name} is not embedded: build again"));
            assert_eq!(embedded.source(), source, "{name} is stale: build again");
        }
        on_disk.insert(name);
    }
    let embedded = library().iter().map(|script| script.name().to_owned());
    assert_eq!(embedded.collect::<BTreeSet<_>>(), on_disk);
    assert!(!on_disk.is_empty());
}

#[test]
fn every_script_has_its_wrapper() {
    for script in library().iter() {
        let (noun, verb) = noun_and_verb(script);
        let source = text(&format!("src/{noun}.rs"));
        assert!(source.contains(&format!("own(\"{}\")", script.name())), "{noun}/{verb}");
        assert!(source.contains(&format!("pub async fn {verb}")), "fn {verb} in src/{noun}.rs");
    }
}

#[test]
fn every_wrapper_binds_the_names_of_the_header() {
    for script in library().iter() {
        let (noun, _) = noun_and_verb(script);
        let source = text(&format!("src/{noun}.rs"));
        let Contract { keys, args, .. } = script.contract();
        let bound = |name: &str, many: bool, one: &str| {
            let call = if many { format!("{one}s") } else { one.to_owned() };
            assert!(source.contains(&format!(".{call}(\"{name}\"")), "{}: {name}", script.name());
        };
        keys.iter().for_each(|key| bound(&key.name, key.variadic, "key"));
        args.iter().for_each(|arg| bound(&arg.name, arg.variadic, "arg"));
    }
}

#[test]
fn every_outcome_of_a_header_has_a_test_that_reaches_it() {
    for script in library().iter() {
        let (noun, verb) = noun_and_verb(script);
        let tests = module(noun, verb).unwrap_or_else(|| panic!("mod {verb} in tests/{noun}.rs"));
        let contract = script.contract();
        let gives = contract.gives.iter().flat_map(|given| &given.outcomes);
        let names = gives.map(|outcome| format!("gives_{}", outcome.value.replace('-', "minus_")));
        let fails = contract.fails.iter().map(|code| format!("fails_{}", code.to_lowercase()));
        for name in names.chain(fails) {
            let reached = tests.contains(&format!("async fn {name}_"));
            assert!(reached, "tests/{noun}.rs: mod {verb} has no test {name}_…");
        }
    }
}

#[test]
fn every_operation_has_its_bench() {
    for script in library().iter() {
        let (noun, verb) = noun_and_verb(script);
        let source = text(&format!("benches/{noun}.rs"));
        assert!(source.contains(&format!("fn {verb}(")), "fn {verb} in benches/{noun}.rs");
    }
}

#[test]
fn no_script_uses_what_the_rules_forbid() {
    let mut files = Vec::new();
    lua_files(&ROOT.join("scripts"), &mut files);
    for file in files {
        let source = fs::read_to_string(&file).unwrap();
        let body = source.split_once("\n]]\n").map_or(source.as_str(), |(_, body)| body);
        for word in ["cjson", "replicate_commands", "loadstring", "EVAL"] {
            assert!(!body.contains(word), "{}: {word}", file.display());
        }
        // A key that is built inside would not be routed, nor pass a tight ACL.
        for call in body.split("redis.call(").skip(1) {
            let args = call.split(')').next().unwrap();
            assert!(!args.contains(".."), "{}: builds a word in {args}", file.display());
        }
        // A fragment is what several operations are spared.
        let most = if file.starts_with(ROOT.join("scripts/shared")) { 200 } else { 80 };
        assert!(source.lines().count() <= most, "{}: is it two operations?", file.display());
    }
}

#[test]
fn the_parsed_header_says_what_the_script_says() {
    let contract = library().get("lock/acquire").unwrap().contract();
    assert_eq!(contract.title, "lock/acquire");
    assert!(contract.summary.starts_with("take the lock"));
    assert_eq!(contract.keys.len(), 1);
    let args: Vec<_> = contract.args.iter().map(|arg| arg.name.as_str()).collect();
    assert_eq!(args, ["holder", "ttl"]);
    let outcomes: Vec<_> = contract.gives[0].outcomes.iter().map(|o| o.value.as_str()).collect();
    assert_eq!(outcomes, ["0", "left", "-1"]);
    assert_eq!(contract.fails, ["WRONGTYPE", "OOM"]);
    assert_eq!(contract.repeat, Repeat::Same);

    let delete_many = library().get("cache/delete_many").unwrap().contract();
    assert!(delete_many.keys[0].variadic);
}
