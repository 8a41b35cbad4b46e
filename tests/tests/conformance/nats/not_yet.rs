//! The cases that the NATS adapter is left out of, in one place. `docs/nats.md` says it in words, under "Not yet".

/// What the adapter does not do yet, and will once it is built on a replicated log: the cases that it cannot pass, and why.
pub(crate) const NOT_YET: &[(&str, &str)] = &[
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
    (
        "faults.a_claim_beside_one_that_waits_is_told_of_an_outage",
        "a claim of a server that stands still says that there is nothing",
    ),
    ("faults.a_gap_is_marked_before_what_comes_after_it", "what comes after a gap may come before it is marked"),
    ("faults.large_records_come_over_a_slow_line", "what a claim brings has to arrive within the time that it waits"),
    ("faults.a_large_range_is_watched_over_a_slow_line", "all of a range has to arrive within one attempt"),
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

/// What it does not do in a cluster besides: there a page or several keys are read one by one until nobody has written
/// meanwhile, and with somebody who writes all the time they never are.
#[allow(dead_code, reason = "not every run is of a cluster")]
pub(crate) const NOT_YET_IN_A_CLUSTER: &[(&str, &str)] = &[
    ("state.a_large_get_is_of_one_revision", "many keys are not read while one of them is written all the time"),
    ("state.a_large_page_is_of_one_revision", "a page is not read while one of its keys is written all the time"),
    ("state.equal_revisions_say_equal_things", "a page is not read while one of its keys is written all the time"),
];
