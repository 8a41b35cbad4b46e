//! What the adapter's tables take while very much goes through them.

use super::cells::title;
use crate::bench::report::{Soak, TableSize};
use crate::bench::text::Size;
use crate::page::{Html, Table, paragraph};

pub(super) fn soak(soak: &Soak) -> Html {
    let about = format!(
        "{} records of streams that were appended, claimed, acknowledged and trimmed, {} transactions with an id and {} \
         messages, {} of them larger than the server sends at once, in {:.0} s and in laps of the same work. What only \
         grows would be twice as large after twice the laps. After each lap the tables are looked at and then vacuumed, \
         as the server does in its own time; the last look is after everything was deleted and forgotten.",
        soak.records, soak.commits, soak.messages, soak.large, soak.seconds
    );
    paragraph(about).then(totals(soak)).then(title("Each table")).then(each(soak))
}

fn totals(soak: &Soak) -> Table {
    let table = Table::new("All tables together").compact().text("when").number("size").number("of it indexes");
    let table = table.number("rows").number("dead rows").number("autovacuums");
    soak.samples.iter().fold(table, |table, sample| {
        let total = sample.total();
        let sizes = [total.bytes, total.index_bytes].map(|bytes| Html::text(Size(bytes).to_string()));
        let numbers = [total.rows, total.dead, total.autovacuums].map(|number| Html::text(number.to_string()));
        table.row([Html::text(&sample.when)].into_iter().chain(sizes).chain(numbers))
    })
}

fn each(soak: &Soak) -> Table {
    let table = Table::new("Each table: before, at the most, and in the end").compact().text("table");
    let table = table.number("size before").number("at the most").number("in the end").number("of it indexes");
    let table = table.number("rows before").number("at the most").number("in the end").number("dead rows at the most");
    soak.tables().iter().fold(table, |table, samples| {
        let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return table };
        let most = |of: fn(&TableSize) -> u64| samples.iter().map(of).max().unwrap_or_default();
        let sizes = [first.bytes, most(|one| one.bytes), last.bytes, last.index_bytes];
        let rows = [first.rows, most(|one| one.rows), last.rows, most(|one| one.dead)];
        let sizes = sizes.map(|bytes| Html::text(Size(bytes).to_string()));
        table
            .row([Html::text(&last.name)].into_iter().chain(sizes).chain(rows.map(|rows| Html::text(rows.to_string()))))
    })
}
