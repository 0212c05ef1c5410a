//! Steps of programs that take words: a text of titles, words and input.

use std::path::{Path, PathBuf};

/// One run of a program.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) title: String,
    pub(super) words: String,
    pub(super) input: String,
}

pub(super) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ratchet/clients")
}

/// `== title`, words over one or more lines, and lines of input behind `<`.
pub(super) fn steps(file: &str) -> Vec<Step> {
    let text = std::fs::read_to_string(folder().join(file)).unwrap();
    let mut steps: Vec<Step> = Vec::new();
    let lines = text.lines();
    for line in lines.filter(|line| !line.starts_with('#') && !line.is_empty()) {
        if let Some(title) = line.strip_prefix("== ") {
            let taken = steps.iter().any(|step| step.title == title);
            assert!(!taken, "{file}: twice: {title}");
            steps.push(Step {
                title: title.to_owned(),
                words: String::new(),
                input: String::new(),
            });
            continue;
        }
        let step = steps.last_mut().expect("a title before the first words");
        match line.strip_prefix("< ") {
            Some(input) => {
                step.input.push_str(input);
                step.input.push('\n');
            }
            None => {
                let gap = if step.words.is_empty() { "" } else { " " };
                step.words = format!("{}{gap}{}", step.words, line.trim());
            }
        }
    }
    steps
}
