//! Markup that cannot be broken by the text in it.

use std::fmt::{Display, Write as _};

/// A piece of a page. A text becomes one by being escaped, and there is no other way to make one than from texts and
/// tags: so nothing that a server says, or that a key is called, becomes markup.
///
/// What comes out is well-formed XML too, which is how the tests look into it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Html(String);

/// An element's attributes, by their names.
pub(crate) type Attributes<'a> = &'a [(&'static str, &'a dyn Display)];

impl Html {
    /// A text.
    pub(crate) fn text(text: impl AsRef<str>) -> Self {
        Self(escaped(text.as_ref()))
    }

    /// An element. Its name and its attributes' names are the program's own, the rest is escaped.
    pub(crate) fn tag(name: &'static str, attributes: Attributes<'_>, content: impl Into<Self>) -> Self {
        let mut html = format!("<{name}");
        for (attribute, value) in attributes {
            // Writing to a String cannot fail.
            let _ = write!(html, " {attribute}=\"{}\"", escaped(&value.to_string()));
        }
        let _ = write!(html, ">{}</{name}>", content.into().0);
        Self(html)
    }

    /// A text to be typed or read letter by letter.
    pub(crate) fn code(text: impl AsRef<str>) -> Self {
        Self::tag("code", &[], Self::text(text))
    }

    /// A text of less weight.
    pub(crate) fn muted(text: impl AsRef<str>) -> Self {
        Self::tag("span", &[("class", &"muted")], Self::text(text))
    }

    /// A block of lines as they are.
    pub(crate) fn lines(text: impl AsRef<str>) -> Self {
        Self::tag("pre", &[("tabindex", &0)], Self::text(text))
    }

    /// A link to a section of the same page.
    pub(crate) fn link(anchor: &str, text: impl AsRef<str>) -> Self {
        Self::tag("a", &[("href", &format!("#{anchor}"))], Self::text(text))
    }

    /// What a reader may open: `summary` is seen at once.
    pub(crate) fn details(summary: impl Into<Self>, content: impl Into<Self>, open: bool) -> Self {
        let inside = Self::tag("summary", &[], summary).then(content);
        let attributes: Attributes<'_> = if open { &[("open", &"")] } else { &[] };
        Self::tag("details", attributes, inside)
    }

    /// This, and behind it the other.
    pub(crate) fn then(mut self, other: impl Into<Self>) -> Self {
        self.0.push_str(&other.into().0);
        self
    }

    /// The markup.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Html {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Html {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl FromIterator<Self> for Html {
    fn from_iter<I: IntoIterator<Item = Self>>(pieces: I) -> Self {
        pieces.into_iter().fold(Self::default(), Self::then)
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(character),
            // Neither HTML nor XML has them; and one that turns the direction of what follows could make it lie.
            '\u{fffe}' | '\u{ffff}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => escaped.push('\u{fffd}'),
            _ if character.is_control() => escaped.push('\u{fffd}'),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_stays_text() {
        let hostile = "</p><script>alert('1')</script>&amp;\" onload=\"x\0\u{1b}[31m\u{202e}\n\tend";
        let html = Html::tag("p", &[("title", &hostile)], Html::text(hostile).then(Html::code(hostile)));
        let document = roxmltree::Document::parse(html.as_str()).expect("is well-formed");
        let expected = hostile.replace(['\0', '\u{1b}', '\u{202e}'], "\u{fffd}");
        let elements: Vec<_> = document.descendants().filter(roxmltree::Node::is_element).collect();
        assert_eq!(elements.iter().map(|element| element.tag_name().name()).collect::<Vec<_>>(), ["p", "code"]);
        assert_eq!(elements[1].text(), Some(expected.as_str()));
        // An attribute's white space is normalized by XML, and only that.
        assert_eq!(elements[0].attribute("title"), Some(expected.replace(['\n', '\t'], " ").as_str()));
        assert_eq!(elements[0].attributes().len(), 1);
    }
}
