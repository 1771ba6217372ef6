//! Scripts that break the form of the header are refused when the library is built, by an error that
//! names the script and the rule. Each folder of `broken/` breaks one rule.

use auth_adapter_redis::script::ContractError;
use auth_adapter_redis::{ScriptLibrary, scripts};

#[track_caller]
fn assert_refused(library: Result<ScriptLibrary, ContractError>, rule: &str) {
    let error = library.expect_err("it is broken");
    assert_eq!(error.script, "seat/free");
    let text = error.to_string();
    assert!(text.starts_with("script seat/free: ") && text.contains(rule), "{text}");
}

#[test]
fn a_title_that_is_not_the_path_is_refused() {
    let library = ScriptLibrary::new(scripts!("$CARGO_MANIFEST_DIR/broken/title"));
    assert_refused(library, "titled \"seat/leave\"");
}

#[test]
fn a_name_that_is_bound_as_another_is_refused() {
    let library = ScriptLibrary::new(scripts!("$CARGO_MANIFEST_DIR/broken/binding"));
    assert_refused(
        library,
        "expected `local seat = KEYS[1]` below the header, found `local place = KEYS[1]`",
    );
}

#[test]
fn an_argument_that_the_header_does_not_name_is_refused() {
    let library = ScriptLibrary::new(scripts!("$CARGO_MANIFEST_DIR/broken/unnamed_binding"));
    assert_refused(library, "`local guest = ARGV[1]` takes what the header does not name");
}

#[test]
fn a_fragment_that_is_not_there_is_refused() {
    let library = ScriptLibrary::new(scripts!("$CARGO_MANIFEST_DIR/broken/missing_fragment"));
    assert_refused(library, "includes \"shared/absent\", which is not there");
}

#[test]
fn a_fragment_that_includes_another_is_refused() {
    let library = ScriptLibrary::new(scripts!("$CARGO_MANIFEST_DIR/broken/nested_fragment"));
    assert_refused(library, "includes \"shared/outer\", which includes again");
}

#[test]
fn a_section_that_is_none_is_refused() {
    let library = ScriptLibrary::new(scripts!("$CARGO_MANIFEST_DIR/broken/section"));
    assert_refused(library, "PRICE is no part of a header");
}

#[test]
fn a_section_that_is_missing_is_refused() {
    let library = ScriptLibrary::new(scripts!("$CARGO_MANIFEST_DIR/broken/missing_section"));
    assert_refused(library, "REPEAT is missing");
}
