//! `docs/faults.md`: written from what one run found, and compared with it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;
use std::{env, fs};

use crate::answer::{Answer, WORDS};
use crate::faults::NAMES;
use crate::operations::{self, Column, Operation};
use crate::support::ROOT;

const PATH: &str = "docs/faults.md";
/// The seven operations, in the order of the trait.
const SEVEN: [&str; 7] =
    ["get", "set", "delete", "delete_many", "acquire_lock", "release_lock", "is_available"];

/// What was found of one fault.
pub struct Row {
    pub fault: &'static str,
    pub how: &'static str,
    pub afterwards: &'static str,
    pub answers: Vec<(Operation, Answer)>,
    pub longest: Duration,
}

/// A row of each table.
type Lines = [String; 3];

impl Row {
    /// Keeps the row for the page that is written once all are there, or compares it with the page.
    pub fn settle(self) {
        static FOUND: Mutex<BTreeMap<&str, Lines>> = Mutex::new(BTreeMap::new());
        let lines = self.lines();
        if writes() {
            let mut found = FOUND.lock().unwrap();
            found.insert(self.fault, lines);
            if NAMES.iter().all(|name| found.contains_key(name)) {
                fs::create_dir_all(ROOT.join("docs")).unwrap();
                fs::write(ROOT.join(PATH), page(&found)).unwrap();
            }
            return;
        }
        let told = rows(&committed(), self.fault);
        for (found, told) in lines.iter().zip(&told) {
            assert_eq!(timeless(found), timeless(told), "{PATH} says otherwise: see `make faults`");
        }
    }

    fn lines(&self) -> Lines {
        let seven = SEVEN.map(|verb| self.answer(&format!("adapter/{verb}")).to_string());
        let typed = Column::TYPED.map(|column| self.cell(column));
        let longest = format!("{:.0} ms", self.longest.as_secs_f64() * 1000.0);
        [
            line([self.fault].into_iter().chain(seven.iter().map(String::as_str))),
            line(
                [self.fault].into_iter().chain(typed.iter().map(String::as_str)).chain([&*longest]),
            ),
            line([self.fault, self.how, self.afterwards]),
        ]
    }

    fn answer(&self, name: &str) -> &Answer {
        let mut answers = self.answers.iter();
        let (_, answer) = answers.find(|(of, _)| of.name == name).expect("it was called");
        answer
    }

    /// What most came to, and which came to something else.
    fn cell(&self, column: Column) -> String {
        let mut by_answer = BTreeMap::<&Answer, Vec<&str>>::new();
        for (of, answer) in self.answers.iter().filter(|(of, _)| of.column == column) {
            by_answer.entry(answer).or_default().push(of.name);
        }
        let mut by_answer: Vec<_> = by_answer.into_iter().collect();
        by_answer.sort_by_key(|(_, names)| std::cmp::Reverse(names.len()));
        let mut cell = String::new();
        for (answer, names) in by_answer {
            match cell.is_empty() {
                true => write!(cell, "{answer}"),
                false => write!(cell, "; {answer}: {}", named(names)),
            }
            .unwrap();
        }
        cell
    }
}

fn writes() -> bool {
    match env::var("FAULTS_TABLE").ok().as_deref() {
        None | Some("") => false,
        Some("write") => true,
        Some(other) => panic!("FAULTS_TABLE={other} is not write"),
    }
}

fn committed() -> String {
    fs::read_to_string(ROOT.join(PATH)).unwrap_or_else(|error| panic!("{PATH}: {error}"))
}

fn line<'c>(cells: impl IntoIterator<Item = &'c str>) -> String {
    format!("| {} |", cells.into_iter().collect::<Vec<_>>().join(" | "))
}

/// The rows of a fault on the page.
fn rows(page: &str, fault: &str) -> Lines {
    let begins = format!("| {fault} | ");
    let rows: Vec<_> =
        page.lines().filter(|line| line.starts_with(&begins)).map(String::from).collect();
    rows.try_into().unwrap_or_else(|rows| panic!("{fault} has these rows in {PATH}: {rows:?}"))
}

/// A row without its last cell, if that is a time.
fn timeless(row: &str) -> &str {
    match row.strip_suffix(" ms |").and_then(|row| row.rsplit_once(" | ")) {
        Some((row, _time)) => row,
        None => row,
    }
}

fn page(found: &BTreeMap<&str, Lines>) -> String {
    let tables = [
        line([&["fault"][..], &SEVEN[..]].concat()),
        line(["fault"].into_iter().chain(Column::TYPED.map(Column::title)).chain(["longest"])),
        line(["fault", "how it comes about", "afterwards"]),
    ];
    let [seven, typed, how] = [0, 1, 2].map(|at| {
        let columns = tables[at].matches('|').count() - 1;
        let mut text = format!("{}\n{}|\n", tables[at], "|---".repeat(columns));
        for name in NAMES {
            writeln!(text, "{}", found[name][at]).unwrap();
        }
        text
    });
    let words: String =
        WORDS.iter().map(|(word, means)| format!("- **{word}**: {means}.\n")).collect();
    let columns: String = Column::TYPED.iter().map(|&column| names_of(column)).collect();
    format!(
        "# What each fault does to each operation\n\n\
         Written by `make faults`, from real servers: on each with a fault every operation was called. `cargo \
         test --test fault_table` does the same and compares. From Redis 6.2 to Valkey 9.1 the answers are \
         the same, unless a row says otherwise.\n\n\
         ## The words\n\n{words}\n\
         ## The seven operations\n\n{seven}\n\
         ## The typed operations\n\n\
         `lock/` is `Leases`, `guard/` is `Locks` and `LockGuard`, `limiter/` is `FallbackRateLimiter`. The \
         longest call is that of one run, in which the call deadline was 150 ms where a fault lets calls have \
         no answer. Not counted are `script/load`, a call for each script, and the 40 ms for which one waits \
         in line.\n\n\
         {columns}\n{typed}\n\
         ## How each comes about, and what holds afterwards\n\n\
         After each of them, without a restart of the caller: the handle comes to life by itself, its circuit is \
         closed, every operation is right again, deletes that were missed are done and what they were about \
         was not read before, nothing that was sent is executed after what is sent later, and no connection \
         is left.\n\n{how}"
    )
}

fn names_of(column: Column) -> String {
    let all = operations::all();
    let names = all.iter().filter(|of| of.column == column).map(|of| of.name);
    format!("- **{}**: {}.\n", column.title(), named(names))
}

fn named<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[test]
fn it_has_these_rows_and_no_others() {
    if writes() {
        return;
    }
    let committed = committed();
    let rows = NAMES.iter().map(|&name| (name, rows(&committed, name))).collect();
    assert_eq!(committed, page(&rows), "see `make faults`");
}
