//! Copies of the scripts that are wrong in one place.

use auth_adapter_redis::{ScriptLibrary, scripts};
use include_dir::{Dir, DirEntry, File};

/// A copy of all scripts in which each of these texts is replaced, in the files that end so.
pub fn copy(replacements: &[(&str, &str, &str)]) -> &'static ScriptLibrary {
    let mut hits = vec![0; replacements.len()];
    let mut folders = Vec::new();
    for folder in scripts!("$CARGO_MANIFEST_DIR/scripts").dirs() {
        let mut files = Vec::new();
        for file in folder.files() {
            let path = leaked(file.path().to_str().unwrap().to_owned());
            let mut text = file.contents_utf8().unwrap().to_owned();
            for ((end, from, to), hits) in replacements.iter().zip(&mut hits) {
                if path.ends_with(end) && text.contains(from) {
                    *hits += 1;
                    text = text.replace(from, to);
                }
            }
            files.push(DirEntry::File(File::new(path, leaked(text).as_bytes())));
        }
        let path = leaked(folder.path().to_str().unwrap().to_owned());
        folders.push(DirEntry::Dir(Dir::new(path, files.leak())));
    }
    for ((end, from, _), hits) in replacements.iter().zip(hits) {
        assert!(hits > 0, "no {end} says {from:?}: find out what stands for it now");
    }
    let root = Box::leak(Box::new(Dir::new("", folders.leak())));
    Box::leak(Box::new(ScriptLibrary::new(root).unwrap()))
}

fn leaked(text: String) -> &'static str {
    text.leak()
}
