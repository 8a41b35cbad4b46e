//! The cases that the NATS adapter is left out of, in one place.

/// What the adapter does not do yet, and will once it is built on a replicated log: the cases that it cannot pass, and why.
pub(crate) const NOT_YET: &[(&str, &str)] = &[
    (
        "transactions.another_way_to_write_a_number_is_no_counter",
        "it takes a plus and leading zeros for part of a counter",
    ),
    (
        "transactions.an_id_survives_a_clear",
        "a clear removes what a repeat is to be told, and the repeat is a conflict",
    ),
    ("transactions.a_refused_repeat_tells_what_still_stands", "it keeps the value that refused a transaction"),
    (
        "messages.a_second_subscription_hears_nothing_from_before",
        "a second subscription hears what is on its way to the first one",
    ),
];
