//! What something comes to, as a word with a colour.

use super::Html;

/// What something comes to. Its colour only repeats what the word says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it should be.
    Good,
    /// As it was declared, or another thing to know.
    Note,
    /// Wrong.
    Bad,
    /// Not tried.
    Quiet,
}

impl Tone {
    /// The class that gives it its colours.
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Note => "note",
            Self::Bad => "bad",
            Self::Quiet => "quiet",
        }
    }
}

/// A word with a colour.
pub(crate) fn badge(tone: Tone, word: &str) -> Html {
    Html::tag("span", &[("class", &format!("badge {}", tone.class()))], Html::text(word))
}
