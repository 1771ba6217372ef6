//! What holds for every error reply.

use super::{ServerErrorKind, classify};

/// A kind goes by the code alone, and the words are the server's.
pub(crate) fn classification(code: &str, message: &str) {
    let found = classify(code, message);
    assert!(message.ends_with(&found.message), "{found:?}");
    assert_eq!(found.kind, ServerErrorKind::of(&found.code));
    if code != "ERR" {
        assert_eq!((&*found.code, &*found.message), (code, message));
    }
    let is_told_in_words = found.message.contains("while the cluster is down");
    if found.code != code && !is_told_in_words {
        let before = message.strip_suffix(&found.message).unwrap().trim_end();
        let before = before.strip_suffix(&found.code).unwrap();
        assert!(before.ends_with([' ', '-']), "{found:?}");
    }
    // What was taken out of its sentence is in none.
    assert_eq!(classify(&found.code, &found.message).kind, found.kind);
}
