//! Versioned keys.

use super::{Chapter, Clause};

pub(super) const STATE: Chapter = Chapter {
    title: "State",
    clauses: &[
        Clause {
            text: "Reads are linearizable: they see every write that was answered before they began, through \
                   whichever handle. A server that another has taken over from, and that still runs, may answer reads \
                   for 2 seconds after it could have learnt that; no suite can have that done, so each adapter has \
                   tests of its own.",
            cases: &["state.put_then_get", "state.a_write_is_read_through_another_handle", "state.reads_never_go_back"],
        },
        Clause {
            text: "`get` answers with one entry per key asked for, in their order, however many there are.",
            cases: &[
                "state.entries_come_in_the_order_asked",
                "state.many_keys_are_read_at_once",
                "state.no_keys_are_no_entries",
            ],
        },
        Clause { text: "A key that does not exist has no entry.", cases: &["state.absent_is_nothing"] },
        Clause {
            text: "All entries of one `get` are as of one revision: half of a transaction is never seen.",
            cases: &["state.a_snapshot_is_of_one_revision", "state.a_large_get_is_of_one_revision"],
        },
        Clause {
            text: "A value is any bytes, or none.",
            cases: &["state.any_bytes_are_a_value", "state.an_empty_value_is_a_value"],
        },
        Clause {
            text: "A value may have as many bytes as declared, 512 KiB at least.",
            cases: &["state.value_at_the_limit"],
        },
        Clause {
            text: "A value over the limit is refused with `InvalidArgument`, and nothing is written.",
            cases: &["state.value_over_the_limit_is_refused"],
        },
        Clause { text: "A `Put` replaces the whole value.", cases: &["state.a_rewrite_replaces_the_whole_value"] },
        Clause {
            text: "A `Delete` removes the key, and says whether there was something to remove.",
            cases: &["state.delete_removes_and_reports"],
        },
    ],
};

pub(super) const REVISIONS: Chapter = Chapter {
    title: "Revisions",
    clauses: &[
        Clause {
            text: "An entry has `created`, the revision at which its key came to be, and `version`, that of its last \
                   write.",
            cases: &["state.versions_grow_and_created_stays", "state.put_reports_when_the_key_came_to_be"],
        },
        Clause {
            text: "`created` is the fencing token of whoever created the key: who creates it again has a \
                   greater one.",
            cases: &["state.recreating_is_a_new_key"],
        },
        Clause {
            text: "The revisions of a namespace only grow, whichever key and handle writes.",
            cases: &["state.revisions_grow_across_keys_and_handles", "state.revisions_grow_across_closed_handles"],
        },
        Clause {
            text: "Revisions grow across deletes, expiry and `clear`.",
            cases: &[
                "state.revisions_grow_across_deletes",
                "ttl.created_changes_after_expiry",
                "state.revisions_grow_across_clear",
            ],
        },
        Clause {
            text: "Revisions grow across a restart of the server.",
            cases: &["faults.revisions_grow_across_a_restart"],
        },
        Clause {
            text: "Revisions grow across lost data, as far as the backend can know.",
            cases: &["faults.revisions_grow_across_lost_data"],
        },
        Clause {
            text: "A version of a key never comes back, even with the same value.",
            cases: &["transactions.a_version_never_comes_back"],
        },
        Clause {
            text: "No two transactions write at the same revision.",
            cases: &["state.concurrent_commits_have_revisions_of_their_own"],
        },
        Clause {
            text: "A read is of a revision, which is at least that of everything it shows.",
            cases: &["state.reads_are_at_or_after_what_they_show"],
        },
        Clause {
            text: "Reads of one revision say the same of a key, whoever reads and how: what changes it \
                   has a revision of its own, an expiry too.",
            cases: &["state.equal_revisions_say_equal_things", "state.an_expiry_has_a_revision_of_its_own"],
        },
        Clause {
            text: "Revisions stay below 2^53, so that every language holds them exactly.",
            cases: &["state.revisions_fit_into_every_language"],
        },
    ],
};

pub(super) const RANGES: Chapter = Chapter {
    title: "Ranges and clearing",
    clauses: &[
        Clause {
            text: "A range is one key, or all keys that start with a prefix, in which no character is a wildcard.",
            cases: &[
                "state.a_range_of_one_key_is_that_key",
                "state.a_prefix_is_every_key_that_starts_with_it",
                "state.a_prefix_is_taken_literally",
            ],
        },
        Clause {
            text: "`scan` reads a range in the order of the keys' bytes.",
            cases: &["state.scan_ascends_by_bytes"],
        },
        Clause {
            text: "Pages read one after the other hold every key of the range once.",
            cases: &[
                "state.scan_pages_are_complete",
                "state.a_page_starts_after_a_key_that_need_not_exist",
                "state.keys_that_start_others_are_told_once",
                "state.expired_keys_leave_their_page_whole",
            ],
        },
        Clause {
            text: "A page has no more entries than asked for, and says whether there may be more: then it \
                   holds one at least, after which the next page starts.",
            cases: &["state.a_large_range_is_read_in_pages", "state.an_empty_range_is_an_empty_page"],
        },
        Clause {
            text: "A page of no entries, or of more than 1,000, is refused with `InvalidArgument`.",
            cases: &["state.bad_pages_are_refused"],
        },
        Clause {
            text: "All entries of a page are as of one revision.",
            cases: &["state.a_page_is_of_one_revision", "state.a_large_page_is_of_one_revision"],
        },
        Clause {
            text: "A page read without values holds the same keys and versions.",
            cases: &["state.keys_are_read_without_values"],
        },
        Clause {
            text: "`clear` removes every key that starts with a prefix and no other, however many there are; all with \
                   the empty one.",
            cases: &[
                "state.clear_removes_what_starts_with_the_prefix",
                "state.clear_removes_every_key",
                "state.many_keys_are_cleared",
                "state.clearing_nothing_is_no_error",
            ],
        },
    ],
};
