//! Many processes in one namespace.

use super::cells::{none, pairs, time, title};
use super::load::rates;
use crate::bench::report::{Cost, Processes};
use crate::bench::words::Words;
use crate::page::{Html, Table, paragraph};

pub(super) fn processes(processes: &Processes, words: &Words) -> Html {
    let about = "So many processes wait, each for a lock of its own, while another writes keys of the same namespace that \
        none of them waits for. What is told is what the server sends to each of them, and what the processors of this \
        machine work for all together, the server's part too if it is here: in a second in which nothing is written, and \
        for each change on top of that. Coordinators with connections of their own stand for processes.";
    let first = "connect, and read a key: p50, p99";
    let [p50, p99] = [50.0, 99.0].map(|percent| time(processes.first_answer.at(percent)));
    let first = pairs("How soon a new process has its first answer", [(first, p50.then(", ").then(p99))]);
    let table = Table::new("What processes that wait cost").compact().number("processes");
    let table = table.number("bytes to each, a change").number("bytes to each, an idle second");
    let table = table.number("processors, a change").number("processors, an idle second");
    let costs = processes.points.iter().fold(table, |table, point| {
        let Cost { idle_second, change } = point.sent_to_each;
        let sent = [format!("{change:.1}"), format!("{idle_second:.0}")].map(Html::text);
        let worked = point.processor_us.map_or_else(
            || [none(), none()],
            |Cost { idle_second, change }| {
                [format!("{change:.0} us"), format!("{:.1} ms", idle_second / 1e3)].map(Html::text)
            },
        );
        table.row([Html::text(point.processes.to_string())].into_iter().chain(sent).chain(worked))
    });
    let writing = format!(
        "And so many processes write, each a key of its own and with a connection of its own: the port against the same \
         work by hand and against {}.",
        words.plain
    );
    let points: Vec<_> = processes.writers.iter().collect();
    let rates = rates("set", "processes", &points);
    let lead = Html::from(first).then(paragraph(about)).then(costs);
    lead.then(title("Processes that write")).then(paragraph(writing)).then(rates)
}
