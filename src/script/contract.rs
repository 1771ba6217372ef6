//! The header of a script, parsed and held against the lines that follow it.

use std::str::Lines;

/// What a script's header promises.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Contract {
    /// `noun/verb`.
    pub title: String,
    /// What it does, in a sentence.
    pub summary: String,
    /// The keys, in order.
    pub keys: Vec<Param>,
    /// The arguments, in order.
    pub args: Vec<Param>,
    /// The replies.
    pub gives: Vec<Given>,
    /// The codes of the errors that it raises itself or through its commands.
    pub fails: Vec<String>,
    /// What a second execution does.
    pub repeat: Repeat,
    /// The cost on the server.
    pub cost: String,
}

/// A key or an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Param {
    /// The name that the script and the wrapper bind.
    pub name: String,
    /// Whether it stands for any number of them.
    pub variadic: bool,
    /// What it holds.
    pub doc: String,
}

/// A shape of reply and what it can say.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Given {
    /// `int`, `string`, `array` or `nil`.
    pub shape: String,
    /// The outcomes told apart by the value.
    pub outcomes: Vec<Outcome>,
}

/// One outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// The value, or a name for one that varies.
    pub value: String,
    /// What it means.
    pub meaning: String,
}

/// What a second execution of the same call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Repeat {
    /// It changes nothing that matters and undoes nothing that came between.
    Same,
    /// It counts once more.
    Counts,
}

impl Contract {
    /// How many keys have a name of their own.
    pub(super) fn fixed_keys(&self) -> usize {
        self.keys.iter().filter(|key| !key.variadic).count()
    }

    /// Parses the header of `source` and checks the binding lines below it.
    pub(super) fn parse(name: &str, source: &str) -> Result<Self, String> {
        let mut lines = source.lines();
        if lines.next() != Some("--[[") {
            return Err("the first line must be `--[[`".to_owned());
        }
        let contract = Self::parse_header(name, &mut lines)?;
        contract.check_bindings(&mut lines)?;
        Ok(contract)
    }

    fn parse_header(name: &str, lines: &mut Lines<'_>) -> Result<Self, String> {
        let (prose, sections) = split_header(lines)?;
        let (title, summary) =
            prose.split_once(": ").ok_or("the header must open with `noun/verb: what it does`")?;
        if title != name {
            return Err(format!("the header is titled {title:?}"));
        }
        let mut contract = Self {
            title: title.to_owned(),
            summary: summary.trim().to_owned(),
            keys: Vec::new(),
            args: Vec::new(),
            gives: Vec::new(),
            fails: Vec::new(),
            repeat: Repeat::Same,
            cost: String::new(),
        };
        let mut seen: Vec<&str> = Vec::new();
        for (label, entries) in &sections {
            if seen.contains(&label.as_str()) {
                return Err(format!("{label} stands twice"));
            }
            seen.push(label);
            let one = entries.join(" ");
            match label.as_str() {
                "KEYS" => contract.keys = params(label, entries)?,
                "ARGV" => contract.args = params(label, entries)?,
                "GIVES" => {
                    contract.gives = entries.iter().map(|e| given(e)).collect::<Result<_, _>>()?
                }
                "FAILS" => contract.fails = codes(&one)?,
                "REPEAT" => contract.repeat = repeat(&one)?,
                "COST" => contract.cost = one,
                _ => return Err(format!("{label} is no part of a header")),
            }
        }
        for needed in ["KEYS", "GIVES", "REPEAT", "COST"] {
            if !seen.contains(&needed) {
                return Err(format!("{needed} is missing"));
            }
        }
        let mut names: Vec<_> = contract.params().map(|(_, _, param)| &param.name).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("the name {:?} stands twice", twice[0]));
        }
        Ok(contract)
    }

    /// Each name that is bound has its line, in the header's order, and nothing below takes more.
    fn check_bindings(&self, lines: &mut Lines<'_>) -> Result<(), String> {
        let bound = self.params().filter(|(_, _, param)| !param.variadic);
        for (table, index, param) in bound {
            let raw = format!("local {} = {table}[{index}]", param.name);
            let number = format!("local {} = tonumber({table}[{index}])", param.name);
            let line = lines.next().unwrap_or_default();
            if line != raw && (table == "KEYS" || line != number) {
                return Err(format!("expected `{raw}` below the header, found `{line}`"));
            }
        }
        for line in lines {
            for (table, params) in [("KEYS", &self.keys), ("ARGV", &self.args)] {
                let variadic = params.last().is_some_and(|param| param.variadic);
                if !variadic && indexes(line, table).any(|index| index > params.len()) {
                    return Err(format!("`{}` takes what the header does not name", line.trim()));
                }
            }
        }
        Ok(())
    }

    fn params(&self) -> impl Iterator<Item = (&'static str, usize, &Param)> {
        let keys = self.keys.iter().enumerate().map(|(i, p)| ("KEYS", i + 1, p));
        let args = self.args.iter().enumerate().map(|(i, p)| ("ARGV", i + 1, p));
        keys.chain(args)
    }
}

/// The numbers by which a line takes from `KEYS` or `ARGV`.
fn indexes(line: &str, table: &str) -> impl Iterator<Item = usize> {
    let taken = line.split(table).skip(1).filter_map(|rest| rest.strip_prefix('['));
    taken.filter_map(|rest| rest.split(']').next()?.trim().parse().ok())
}

/// A label and its entries.
type Section = (String, Vec<String>);

/// The prose at the top, and the labelled sections below it. A section's entries begin in one
/// column, the first one's; deeper lines go on with the entry above.
fn split_header(lines: &mut Lines<'_>) -> Result<(String, Vec<Section>), String> {
    let mut prose: Vec<&str> = Vec::new();
    let mut sections: Vec<Section> = Vec::new();
    let mut column = 0;
    for line in lines {
        if line == "]]" {
            return Ok((prose.join(" "), sections));
        }
        let line = line.trim_end();
        let text = line.trim_start();
        let indent = line.len() - line.trim_start().len();
        if text.is_empty() {
            continue;
        }
        let label = text.split(' ').next().unwrap_or_default();
        let is_label =
            indent == 2 && label.len() > 2 && label.bytes().all(|b| b.is_ascii_uppercase());
        match sections.last_mut() {
            _ if is_label => {
                let entry = text[label.len()..].trim_start();
                column = line.len() - entry.len();
                sections.push((label.to_owned(), vec![entry.to_owned()]));
            }
            None => prose.push(text),
            // The label stood alone.
            Some((_, entries)) if entries.iter().all(String::is_empty) => {
                column = indent;
                entries[0] = text.to_owned();
            }
            Some((_, entries)) if indent == column => entries.push(text.to_owned()),
            Some((_, entries)) if indent > column => {
                let entry = entries.last_mut().expect("a section begins with an entry");
                *entry = format!("{entry} {text}");
            }
            Some((label, _)) => return Err(format!("`{text}` under {label} is out of its column")),
        }
    }
    Err("the header has no end: a line `]]`".to_owned())
}

fn params(label: &str, entries: &[String]) -> Result<Vec<Param>, String> {
    let last = entries.len() - 1;
    let param = |(at, entry): (usize, &String)| {
        let (name, doc) = entry.split_once(' ').unwrap_or((entry, ""));
        let (name, variadic) = match name.strip_suffix("...") {
            Some(name) if at == last => (name, true),
            Some(name) => return Err(format!("{label}: `{name}...` must come last")),
            None => (name, false),
        };
        let ok = |b: u8| b.is_ascii_lowercase() || b == b'_';
        if name.is_empty() || !name.bytes().all(ok) {
            return Err(format!("{label}: {name:?} is no name"));
        }
        Ok(Param { name: name.to_owned(), variadic, doc: doc.trim().to_owned() })
    };
    entries.iter().enumerate().map(param).collect()
}

fn given(entry: &str) -> Result<Given, String> {
    let (shape, outcomes) = entry.split_once(' ').unwrap_or((entry, ""));
    if !["int", "string", "array", "nil"].contains(&shape) {
        return Err(format!("GIVES: {shape:?} is none of int, string, array, nil"));
    }
    let outcome = |text: &str| {
        let (value, meaning) = text.split_once(' ').ok_or(format!("GIVES: what is {text:?}?"))?;
        Ok(Outcome { value: value.to_owned(), meaning: meaning.to_owned() })
    };
    let outcomes = outcomes.split(',').map(str::trim).map(outcome);
    Ok(Given { shape: shape.to_owned(), outcomes: outcomes.collect::<Result<_, String>>()? })
}

fn codes(entry: &str) -> Result<Vec<String>, String> {
    let code = |code: &str| match code.bytes().all(|b| b.is_ascii_uppercase()) && !code.is_empty() {
        true => Ok(code.to_owned()),
        false => Err(format!("FAILS: {code:?} is no code")),
    };
    entry.split(", ").map(code).collect()
}

fn repeat(entry: &str) -> Result<Repeat, String> {
    match entry {
        "same" => Ok(Repeat::Same),
        "counts" => Ok(Repeat::Counts),
        _ => Err(format!("REPEAT: {entry:?} is neither same nor counts")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(header: &str) -> Contract {
        let bindings = "local a = KEYS[1]\nlocal b = KEYS[2]\n";
        let source = format!("--[[\n  noun/verb: do it.\n{header}]]\n{bindings}");
        Contract::parse("noun/verb", &source).unwrap()
    }

    #[test]
    fn where_entries_begin_does_not_go_by_what_cannot_be_seen() {
        let plain =
            "  KEYS   a  one\n         b  two\n  GIVES  nil  x y\n  REPEAT same\n  COST   O(1)\n";
        let spaced = plain.replace('\n', " \t\n");
        assert_eq!(parse(&spaced), parse(plain));
    }

    #[test]
    fn a_label_may_stand_alone() {
        let beside =
            "  KEYS   a  one\n         b  two\n  GIVES  nil  x y\n  REPEAT same\n  COST   O(1)\n";
        let below =
            "  KEYS\n    a  one\n    b  two\n  GIVES  nil  x y\n  REPEAT same\n  COST\n   O(1)\n";
        assert_eq!(parse(below), parse(beside));
    }
}
