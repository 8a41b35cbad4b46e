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
    ("state.an_expiry_has_a_revision_of_its_own", "a key that has ended is there and gone at the same revision"),
    (
        "streams.a_waiting_claim_outlives_a_clear",
        "a claim may fail that makes a stream anew while the server still removes the old one",
    ),
    ("streams.a_removed_group_begins_anew", "a group cannot be removed"),
    ("streams.a_removed_group_holds_nothing_back", "a group cannot be removed"),
    ("streams.a_removed_group_is_gone", "a group cannot be removed"),
    ("streams.a_removed_group_takes_its_dead_letters", "a group cannot be removed"),
    ("streams.a_waiting_claim_wakes_for_a_removed_group", "a group cannot be removed"),
    ("streams.members_leave_nothing", "a group cannot be removed"),
    ("streams.removing_a_group_leaves_the_others", "a group cannot be removed"),
    ("streams.removing_a_reader_of_dead_letters_leaves_them", "a group cannot be removed"),
    ("streams.a_dead_letter_has_no_dead_letters", "dead letters have dead letters of their own"),
];
