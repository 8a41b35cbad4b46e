//! What there is to check in a page.

use mdbook_markdown::pulldown_cmark::{CodeBlockKind, Event, Tag};
use mdbook_markdown::{MarkdownOptions, new_cmark_parser};

/// What there is to check in a page.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// Where its links lead, as they are written.
    pub(crate) links: Vec<String>,
    /// Its code blocks.
    pub(crate) blocks: Vec<Block>,
}

/// A code block.
#[derive(Debug, Default)]
pub(crate) struct Block {
    /// What follows the opening fence: the language, and words behind commas.
    pub(crate) info: String,
    /// The code.
    pub(crate) text: String,
}

impl Page {
    pub(crate) fn parse(text: &str) -> Self {
        let mut page = Self::default();
        let mut in_block = false;
        for event in new_cmark_parser(text, &MarkdownOptions::default()) {
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(dest_url.into_string());
                }
                Event::Start(Tag::CodeBlock(kind)) => {
                    let info = match kind {
                        CodeBlockKind::Fenced(info) => info.into_string(),
                        CodeBlockKind::Indented => String::new(),
                    };
                    page.blocks.push(Block { info, ..Block::default() });
                    in_block = true;
                }
                Event::Text(text) if in_block => {
                    if let Some(block) = page.blocks.last_mut() {
                        block.text.push_str(&text);
                    }
                }
                Event::End(_) => in_block = false,
                _ => {}
            }
        }
        page
    }
}

impl Block {
    /// Whether nothing compiles it although it is a program: marked so, or passed off as something else.
    pub(crate) fn is_uncompiled_rust(&self) -> bool {
        let mut words = self.info.split([',', ' ']);
        match words.next() {
            Some("rust") => words.any(|word| word.starts_with("ignore")),
            Some("toml" | "sh" | "html") => false,
            _ => self.text.lines().any(is_rust),
        }
    }
}

fn is_rust(line: &str) -> bool {
    let line = line.trim_start();
    let starts = ["use ", "fn ", "pub ", "async fn ", "let ", "impl ", "#[", "//!"];
    line.contains(".await") || starts.iter().any(|start| line.starts_with(start))
}
