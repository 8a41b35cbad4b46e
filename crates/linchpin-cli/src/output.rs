//! How things are printed: text for people, JSON lines for programs; bytes in both.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::builder::styling::{AnsiColor, Style};
use serde_json::{Map, Value};
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::os::fd::AsFd;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::unix::pipe;

/// How data is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people, and for scripts that want a plain value.
    #[default]
    Text,
    /// For programs: one JSON object per line.
    Json,
}

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// In any case.
    Always,
    /// Never.
    Never,
}

impl Colour {
    /// A style where this one is to be coloured, and none elsewhere.
    pub(crate) fn style(self, style: Style, stream: &impl IsTerminal) -> Style {
        let plain = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let coloured = match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                stream.is_terminal()
                    && !plain("NO_COLOR")
                    && std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb")
            }
        };
        if coloured { style } else { Style::new() }
    }
}

/// Says what is not data, on the standard error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Voice(pub(crate) Colour);

impl Voice {
    /// Something to know.
    pub(crate) fn warn(self, message: &str) {
        self.say(AnsiColor::Yellow, message);
    }

    /// Why it failed.
    pub(crate) fn fail(self, message: &str) {
        self.say(AnsiColor::Red, message);
    }

    /// A callback that warns each time a renewal failed. It does not wait for whoever reads the warnings.
    pub(crate) fn on_renewal_failure(self, what: String) -> impl Fn(&linchpin::Error) + Send + Sync + 'static {
        move |error| {
            let message = format!("{what} could not be renewed, trying on: {error}");
            tokio::task::spawn_blocking(move || self.warn(&message));
        }
    }

    fn say(self, colour: AnsiColor, message: &str) {
        let style = self.0.style(colour.on_default().bold(), &io::stderr());
        // Nobody may be listening there either.
        let _ = writeln!(io::stderr(), "{style}linchpin:{style:#} {message}");
    }
}

/// Writes to the standard output. It can be interrupted, also where nobody reads.
pub(crate) async fn write(bytes: &[u8]) -> io::Result<()> {
    let mut out = tokio::io::stdout();
    out.write_all(bytes).await?;
    out.flush().await
}

/// Returns when whoever reads the standard output has gone; never, where that cannot be known.
pub(crate) async fn nobody_reads() {
    // A file cannot be watched, and has no reader to lose.
    if let Ok(out) = io::stdout().as_fd().try_clone_to_owned()
        && let Ok(out) = pipe::Sender::from_owned_fd_unchecked(out)
        && out.ready(Interest::ERROR).await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

/// Adds bytes to an object: as `name` where they are text, else as `name_base64`.
pub(crate) fn put_bytes(object: &mut Map<String, Value>, name: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => object.insert(name.to_owned(), text.into()),
        Err(_) => object.insert(format!("{name}_base64"), STANDARD.encode(bytes).into()),
    };
}

/// An object that is written field by field.
pub(crate) fn object<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Text within a line: nothing in it ends the line or steers a terminal.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            let _ = write!(line, "{}", c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

/// Bytes within a line.
pub(crate) fn bytes_in_line(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => one_line(text),
        Err(_) => format!("base64:{}", STANDARD.encode(bytes)),
    }
}

/// Columns under their titles.
pub(crate) fn table<const N: usize>(style: Style, titles: [&str; N], rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([titles[column].len()]).max().unwrap_or_default()
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |cells: [&str; N]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines = vec![format!("{style}{}{style:#}", line(titles))];
    lines.extend(rows.iter().map(|row| line(std::array::from_fn(|column| row[column].as_str()))));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_come_back_from_json(bytes: Vec<u8>) {
            let mut printed = Map::new();
            put_bytes(&mut printed, "value", &bytes);
            let text = Value::Object(printed).to_string();
            prop_assert!(!text.contains('\n'));
            let read: Map<String, Value> = serde_json::from_str(&text).expect("json");
            prop_assert_eq!(read.len(), 1);
            let back = match (read.get("value"), read.get("value_base64")) {
                (Some(Value::String(text)), None) => text.clone().into_bytes(),
                (None, Some(Value::String(text))) => STANDARD.decode(text).expect("base64"),
                other => panic!("{other:?}"),
            };
            prop_assert_eq!(back, bytes);
        }

        #[test]
        fn a_line_is_one_line_and_steers_nothing(text in r"\PC*[\x00-\x1f\x7f-\x9f]?\PC*") {
            prop_assert!(!one_line(&text).contains(char::is_control));
        }
    }

    #[test]
    fn columns_stand_under_their_titles() {
        let rows = [["é".to_owned(), "1".to_owned()], ["longer".to_owned(), String::new()]];
        assert_eq!(table(Style::new(), ["NODE", "N"], &rows), "NODE    N\né       1\nlonger");
    }
}
