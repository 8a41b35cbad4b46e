//! Pages that are one file: no scripts, nothing loaded, light and dark, on a phone and on paper.
//!
//! A [`Page`] has sections; what is in them is [`Html`], made from texts (which are escaped), [`Table`]s, [`badge`]s and
//! the [`plot`]s.
//! ```text
//! let mut page = Page::new("Conformance of redis", "redis 7.0.15, in 32.1 s");
//! page.section("Slowest cases", Html::from(table).then(distribution.html()));
//! std::fs::write("report.html", page.finish())?;
//! ```

#![cfg_attr(
    not(any(test, feature = "bench")),
    expect(dead_code, unused_imports, reason = "the page of the benchmarks draws the rest")
)]

mod badge;
mod html;
mod numbers;
pub(crate) mod plot;
mod table;

pub(crate) use badge::{Tone, badge};
pub(crate) use html::{Attributes, Html};
pub(crate) use numbers::{bytes, count, duration, rate, short_duration};
pub(crate) use table::Table;

const STYLE: &str = include_str!("style.css");

const HEAD: &str = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8" />
<meta name="viewport" content="width=device-width, initial-scale=1" />
<meta name="color-scheme" content="light dark" />
"#;

/// A page: a title, what it is about, and sections with a list of them at the top.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    title: String,
    subtitle: String,
    sections: Vec<Section>,
}

#[derive(Clone, Debug)]
struct Section {
    heading: String,
    anchor: String,
    content: Html,
}

impl Page {
    /// A page without sections.
    pub(crate) fn new(title: impl Into<String>, subtitle: impl Into<String>) -> Self {
        Self { title: title.into(), subtitle: subtitle.into(), sections: Vec::new() }
    }

    /// Adds a section. Its anchor is its heading in lower case, words joined by `-`.
    pub(crate) fn section(&mut self, heading: &str, content: impl Into<Html>) {
        let anchor = anchor(heading);
        self.sections.push(Section { heading: heading.to_owned(), anchor, content: content.into() });
    }

    /// The page as a file.
    pub(crate) fn finish(&self) -> String {
        let title = Html::tag("title", &[], Html::text(&self.title));
        format!("{HEAD}{}\n<style>\n{STYLE}</style>\n</head>\n{}\n</html>\n", title.as_str(), self.body().as_str())
    }

    fn body(&self) -> Html {
        let header = Html::tag("h1", &[], Html::text(&self.title))
            .then(Html::tag("p", &[("class", &"subtitle")], Html::text(&self.subtitle)))
            .then(self.contents());
        let sections: Html = self.sections.iter().map(Section::html).collect();
        Html::tag("body", &[], Html::tag("header", &[], header).then(Html::tag("main", &[], sections)))
    }

    fn contents(&self) -> Html {
        let item = |section: &Section| Html::tag("li", &[], Html::link(&section.anchor, &section.heading));
        let items: Html = self.sections.iter().map(item).collect();
        Html::tag("nav", &[("aria-label", &"Sections")], Html::tag("ul", &[], items))
    }
}

impl Section {
    fn html(&self) -> Html {
        let heading = Html::tag("h2", &[], Html::text(&self.heading));
        Html::tag("section", &[("id", &self.anchor)], heading.then(self.content.clone()))
    }
}

/// A paragraph.
pub(crate) fn paragraph(content: impl Into<Html>) -> Html {
    Html::tag("p", &[], content)
}

/// The anchor of a heading.
pub(crate) fn anchor(heading: &str) -> String {
    let words = heading.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_one_file_without_scripts() {
        let mut page = Page::new("A <page>", "1 & 2");
        page.section("What it's about", paragraph("a < b"));
        let text = page.finish();
        let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
        let document = roxmltree::Document::parse_with_options(&text, options).expect("is well-formed");
        let find = |name| document.descendants().find(|node| node.has_tag_name(name)).expect(name);
        assert_eq!((find("title").text(), find("h1").text()), (Some("A <page>"), Some("A <page>")));
        assert_eq!(find("a").attribute("href"), Some("#what-it-s-about"));
        assert_eq!(find("section").attribute("id"), Some("what-it-s-about"));
        let loads = |node: &roxmltree::Node<'_, '_>| {
            node.has_tag_name("script")
                || node.attribute("src").is_some()
                || node.attribute("href").is_some_and(|href| !href.starts_with('#'))
        };
        assert!(!document.descendants().any(|node| loads(&node)));
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
    }
}
