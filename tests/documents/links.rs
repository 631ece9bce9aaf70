//! Links within the project: the file is there, and so is the heading.

use std::path::Path;

use crate::{documents, root};

#[test]
fn every_link_leads_somewhere() {
    let mut broken = Vec::new();
    let mut followed = 0;
    for document in documents() {
        let text = std::fs::read_to_string(&document).expect("a document");
        for target in links(&text) {
            followed += 1;
            if !leads_somewhere(&document, &text, &target) {
                let name = document.strip_prefix(root()).unwrap_or(&document);
                broken.push(format!("{}: {target}", name.display()));
            }
        }
    }
    assert!(followed > 20, "only {followed} links were found");
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn headings_are_named_as_they_are_shown() {
    assert_eq!(anchor("Probes and migration"), "probes-and-migration");
    assert_eq!(anchor("`ping`, and 1.0!"), "ping-and-10");
}

fn leads_somewhere(document: &Path, text: &str, target: &str) -> bool {
    if target.starts_with("http://") || target.starts_with("https://") {
        return true;
    }
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    if file.is_empty() {
        return has_heading(text, heading);
    }
    let path = document.parent().expect("a folder").join(file);
    match std::fs::read_to_string(&path) {
        Ok(linked) => heading.is_empty() || has_heading(&linked, heading),
        Err(_) => path.is_dir() && heading.is_empty(),
    }
}

fn has_heading(text: &str, heading: &str) -> bool {
    let mut is_code = false;
    text.lines().any(|line| {
        is_code ^= line.starts_with("```");
        !is_code && line.starts_with('#') && anchor(line.trim_start_matches('#').trim()) == heading
    })
}

/// The name that a heading has in a link.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// The targets of `[text](target)`, code left out.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_code = false;
    for line in text.lines() {
        is_code ^= line.trim_start().starts_with("```");
        if is_code {
            continue;
        }
        for rest in line.split("](").skip(1) {
            if let Some((target, _)) = rest.split_once(')') {
                found.push(target.to_owned());
            }
        }
    }
    found
}
