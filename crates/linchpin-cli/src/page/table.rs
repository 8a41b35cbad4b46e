//! Tables.

use super::Html;

/// A table: a caption, columns, rows. The first cell of a row is its heading; numbers are right-aligned. One that is too
/// wide for the window scrolls by itself.
///
/// ```text
/// Table::new("Slowest cases").text("case").number("time").row([Html::code(id), duration(took).into()])
/// ```
#[derive(Clone, Debug)]
pub(crate) struct Table {
    caption: String,
    columns: Vec<Column>,
    rows: Vec<Html>,
    class: &'static str,
}

#[derive(Clone, Debug)]
struct Column {
    heading: String,
    class: &'static str,
}

impl Table {
    /// A table without columns.
    pub(crate) fn new(caption: impl Into<String>) -> Self {
        Self { caption: caption.into(), columns: Vec::new(), rows: Vec::new(), class: "" }
    }

    /// No wider than what is in it.
    pub(crate) fn compact(self) -> Self {
        Self { class: "compact", ..self }
    }

    /// With a column of text.
    pub(crate) fn text(self, heading: impl Into<String>) -> Self {
        self.column(heading, "text")
    }

    /// With a column of numbers.
    pub(crate) fn number(self, heading: impl Into<String>) -> Self {
        self.column(heading, "number")
    }

    /// With a column of small plots, or of badges: as wide as they are.
    pub(crate) fn narrow(self, heading: impl Into<String>) -> Self {
        self.column(heading, "narrow")
    }

    fn column(mut self, heading: impl Into<String>, class: &'static str) -> Self {
        self.columns.push(Column { heading: heading.into(), class });
        self
    }

    /// With a row: a cell for each column.
    pub(crate) fn row(self, cells: impl IntoIterator<Item = Html>) -> Self {
        self.row_of("", cells)
    }

    /// With a row that sums up the others.
    pub(crate) fn total(self, cells: impl IntoIterator<Item = Html>) -> Self {
        self.row_of("total", cells)
    }

    fn row_of(mut self, class: &'static str, cells: impl IntoIterator<Item = Html>) -> Self {
        let cell = |(index, (column, cell)): (usize, (&Column, Html))| match index {
            0 => Html::tag("th", &[("scope", &"row"), ("class", &column.class)], cell),
            _ => Html::tag("td", &[("class", &column.class)], cell),
        };
        let cells: Html = self.columns.iter().zip(cells).enumerate().map(cell).collect();
        self.rows.push(Html::tag("tr", &[("class", &class)], cells));
        self
    }
}

impl From<Table> for Html {
    fn from(Table { caption, columns, rows, class }: Table) -> Self {
        let heading = |column: &Column| {
            Self::tag("th", &[("scope", &"col"), ("class", &column.class)], Self::text(&column.heading))
        };
        let head = Self::tag("tr", &[], columns.iter().map(heading).collect::<Self>());
        let inside = Self::tag("caption", &[], Self::text(&caption))
            .then(Self::tag("thead", &[], head))
            .then(Self::tag("tbody", &[], rows.into_iter().collect::<Self>()));
        let region: super::Attributes<'_> =
            &[("class", &"scroll"), ("role", &"region"), ("tabindex", &0), ("aria-label", &caption)];
        Self::tag("div", region, Self::tag("table", &[("class", &class)], inside))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_caption_headings_and_aligned_numbers() {
        let table = Table::new("Times <all>").text("case").number("ms").row(["a&b".into(), "7".into()]);
        let html = Html::from(table.total(["all".into(), "7".into()]));
        let document = roxmltree::Document::parse(html.as_str()).expect("is well-formed");
        let texts = |name: &str| {
            let named = document.descendants().filter(|node| node.has_tag_name(name));
            named.map(|node| node.text().unwrap_or_default().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(texts("caption"), ["Times <all>"]);
        assert_eq!(texts("th"), ["case", "ms", "a&b", "all"]);
        assert_eq!(texts("td"), ["7", "7"]);
        let number = document.descendants().find(|node| node.has_tag_name("td")).expect("is there");
        assert_eq!(number.attribute("class"), Some("number"));
    }
}
