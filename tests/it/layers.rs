//! The layer test: a layer names only the layers below it.

use std::fs;
use std::path::{Path, PathBuf};

/// From the top of the house to its ground.
const LAYERS: [&str; 12] =
    ["cli", "report", "protect", "analysis", "campaign", "engine", "fault", "hw", "host", "import", "net", "num"];

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The first parts of all paths that start with `crate::` (or that many `super::` from the layer's own folder), also inside
/// nested groups: `use crate::{hw::{A, B}, net}` names `hw` and `net`.
fn named_layers(text: &str) -> Vec<String> {
    let mut named = Vec::new();
    for (start, _) in text.match_indices("crate::") {
        let rest = &text[start + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 1;
            let mut head = String::new();
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                if depth == 0 || (depth == 1 && c == ',') {
                    named.extend(first_part(&head));
                    head.clear();
                } else {
                    head.push(c);
                }
                if depth == 0 {
                    break;
                }
            }
        } else {
            named.extend(first_part(rest));
        }
    }
    named
}

fn first_part(path: &str) -> Option<String> {
    let part: String = path.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!part.is_empty()).then_some(part)
}

#[test]
fn a_layer_names_only_layers_below_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut violations = Vec::new();
    let mut checked = 0;
    for entry in fs::read_dir(&source).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let known = LAYERS.contains(&name.as_str()) || name == "lib.rs" || name == "main.rs";
        assert!(known, "src/{name} is no layer");
    }
    for (rank, layer) in LAYERS.iter().enumerate() {
        let folder = source.join(layer);
        if !folder.exists() {
            continue;
        }
        let mut files = Vec::new();
        rust_files(&folder, &mut files);
        for file in files {
            checked += 1;
            let text = fs::read_to_string(&file).unwrap();
            // From two folders down `super::super::super` would leave the layer unseen.
            let climbs = text.contains("super::super::super::");
            if climbs {
                violations.push(format!("{}: leaves its layer by super", file.display()));
            }
            for named in named_layers(&text) {
                match LAYERS.iter().position(|l| *l == named) {
                    Some(other) if other < rank => violations.push(format!("{}: names `{named}`", file.display())),
                    _ => {}
                }
            }
        }
    }
    assert!(checked > 10, "the test found the sources");
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn exact_layers_do_no_input_or_output() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let forbidden =
        ["std::fs", "std::env", "std::time", "SystemTime", "rand::rng()", "thread_rng", "std::net", "println!"];
    let mut violations = Vec::new();
    for layer in ["num", "net", "host", "hw", "fault", "engine", "campaign", "analysis", "protect"] {
        let folder = source.join(layer);
        if !folder.exists() {
            continue;
        }
        let mut files = Vec::new();
        rust_files(&folder, &mut files);
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            for word in forbidden.iter().filter(|word| text.contains(**word)) {
                violations.push(format!("{}: {word}", file.display()));
            }
            if layer != "campaign" && text.contains("rayon") {
                violations.push(format!("{}: rayon belongs to campaign", file.display()));
            }
        }
    }
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn the_finder_sees_grouped_and_plain_paths() {
    let text = "use crate::{net::{Network, Op}, num::cast};\nuse crate::hw;\nlet x = crate::engine::Engine::new(n);";
    assert_eq!(named_layers(text), ["net", "num", "hw", "engine"]);
    assert_eq!(named_layers("use crate::{\n    hw::{BitId},\n    report::X,\n};"), ["hw", "report"]);
}
