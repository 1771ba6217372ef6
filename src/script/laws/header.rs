//! Headers and includes.

use std::collections::{BTreeMap, BTreeSet};

use super::super::contract::{Contract, Given, Param, Repeat};
use super::super::library::{MARK, expand};

const TITLE: &str = "noun/verb";

/// What is understood is in the text, and printed it is understood alike. Whether it is.
pub(crate) fn header(text: &str) -> bool {
    // A corpus has scripts of many titles.
    let title = text.lines().nth(1).and_then(|line| line.trim().split_once(": "));
    let title = title.map(|(title, _)| title).filter(|title| !title.contains(char::is_whitespace));
    let title = title.unwrap_or(TITLE);
    let Ok(contract) = Contract::parse(title, text) else { return false };
    assert_eq!(contract.title, title);
    assert!(Contract::parse("another/title", text).is_err() || title == "another/title");

    let mut names = BTreeSet::new();
    for (table, params) in [("KEYS", &contract.keys), ("ARGV", &contract.args)] {
        for (param, at) in params.iter().zip(1..) {
            assert!(names.insert(&param.name), "{} stands twice", param.name);
            assert!(param.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
            let local = format!("local {} = ", param.name);
            let is_bound = text.lines().any(|line| {
                let taken = line.strip_prefix(&local).unwrap_or_default();
                taken == format!("{table}[{at}]")
                    || taken == format!("tonumber({table}[{at}])") && table == "ARGV"
            });
            assert!(is_bound || param.variadic && at == params.len(), "{}", param.name);
        }
    }

    let printed = print(&contract);
    assert_eq!(Contract::parse(title, &printed).as_ref(), Ok(&contract), "{printed}");
    // What no editor shows means nothing.
    let (head, body) = printed.split_once("\n]]\n").unwrap();
    let head = head.replacen('\n', "\r\n", 1).replace('\n', " \t\n").replacen("\r \t\n", "\n", 1);
    let spaced = format!("{head}\n]]\n{body}");
    assert_eq!(Contract::parse(title, &spaced).as_ref(), Ok(&contract), "{spaced}");
    true
}

/// No mark of an include is left, and a text without one stays as it is.
pub(crate) fn includes(text: &str) {
    let fragments = [("shared/one", "local one = 1\n\n"), ("shared/two", "--@include shared/one")];
    let fragments = BTreeMap::from(fragments.map(|(name, text)| (name.to_owned(), text)));
    // Of which each pass takes one off the end of a line.
    let text = &text.replace('\r', "");
    let Ok(source) = expand(text, &fragments) else {
        assert!(text.contains(MARK));
        return;
    };
    assert!(!source.contains(MARK));
    assert_eq!(source.lines().count(), text.lines().count());
    assert_eq!(expand(&source, &fragments).as_ref(), Ok(&source));
    for (before, after) in text.lines().zip(source.lines()) {
        assert!(before == after || before.contains("shared/one") && after == "local one = 1");
    }
}

/// A script that has this contract and does nothing.
fn print(contract: &Contract) -> String {
    let Contract { title, summary, keys, args, gives, fails, repeat, cost, .. } = contract;
    let repeat = match repeat {
        Repeat::Same => "same",
        Repeat::Counts => "counts",
    };
    let mut text = format!("--[[\n  {title}: {summary}\n\n");
    let mut section = |label: &str, entries: Vec<String>| {
        for (at, entry) in entries.iter().enumerate() {
            let label = if at == 0 { label } else { "" };
            let line = format!("  {label:6} {entry}");
            text.push_str(line.trim_end());
            text.push('\n');
        }
    };
    section("KEYS", keys.iter().map(param).collect());
    section("ARGV", args.iter().map(param).collect());
    section("GIVES", gives.iter().map(given).collect());
    section("FAILS", Vec::from_iter((!fails.is_empty()).then(|| fails.join(", "))));
    section("REPEAT", vec![repeat.to_owned()]);
    section("COST", vec![cost.clone()]);
    text.push_str("]]\n");
    for (table, params) in [("KEYS", keys), ("ARGV", args)] {
        for (param, at) in params.iter().zip(1..).filter(|(param, _)| !param.variadic) {
            text.push_str(&format!("local {} = {table}[{at}]\n", param.name));
        }
    }
    text
}

fn param(param: &Param) -> String {
    let dots = if param.variadic { "..." } else { "" };
    format!("{}{dots} {}", param.name, param.doc)
}

fn given(given: &Given) -> String {
    let outcomes = given.outcomes.iter();
    let outcomes = outcomes.map(|outcome| format!("{} {}", outcome.value, outcome.meaning));
    format!("{} {}", given.shape, outcomes.collect::<Vec<_>>().join(", "))
}
