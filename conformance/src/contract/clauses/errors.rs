//! How things fail and end.

use super::{Chapter, Clause};

pub(super) const ERRORS: Chapter = Chapter {
    title: "Errors",
    clauses: &[
        Clause {
            text: "An error has its kind, the operation that failed, and the key, channel or stream that \
                   it was about.",
            cases: &[
                "errors.an_oversize_value_is_told_by_its_key",
                "errors.an_oversize_message_is_told_by_its_channel",
                "errors.an_oversize_record_is_told_by_its_stream",
                "errors.a_conflict_is_told_by_its_key",
            ],
        },
        Clause {
            text: "An error shows as one line in lower case, without values and payloads.",
            cases: &["errors.display_is_one_line"],
        },
        Clause {
            text: "What is refused was surely not applied, and its error says that repeating will not help.",
            cases: &["errors.what_is_refused_was_not_applied"],
        },
        Clause {
            text: "A write whose error says `Safe` was surely not applied.",
            cases: &["faults.what_is_safe_was_not_applied", "faults.a_cut_is_an_error_in_time"],
        },
        Clause {
            text: "A write that timed out says that it may have been applied.",
            cases: &["faults.a_timed_out_write_is_unknown", "faults.answers_that_never_come_are_unknown"],
        },
    ],
};

pub(super) const CLOSING: Chapter = Chapter {
    title: "Closing",
    clauses: &[
        Clause {
            text: "After `close` every call fails with `Closed`.",
            cases: &[
                "errors.a_closed_handle_answers_closed",
                "errors.a_closed_handle_has_no_messages",
                "errors.a_closed_handle_has_no_streams",
            ],
        },
        Clause {
            text: "`close` ends the watches and subscriptions of its handle.",
            cases: &["errors.a_closed_handle_watches_nothing", "errors.closing_ends_subscriptions"],
        },
        Clause {
            text: "`close` ends every wait of its handle within a second: those for a record, an event \
                   and a message.",
            cases: &[
                "errors.closing_ends_a_waiting_claim",
                "errors.closing_ends_watches_in_time",
                "errors.closing_ends_subscriptions_in_time",
            ],
        },
        Clause {
            text: "A claim that ended because its handle was closed takes nothing that is appended after the close, \
                   if the server answers within a second.",
            cases: &[
                "errors.a_claim_that_was_closed_holds_nothing",
                "faults.a_claim_that_was_closed_under_way_holds_nothing",
            ],
        },
        Clause {
            text: "What fails with `Closed` was surely not applied if it was called after the close; if \
                   it was under way, its error says whether it may have been.",
            cases: &["errors.closed_leaves_no_doubt", "errors.closed_says_whether_there_is_doubt"],
        },
        Clause {
            text: "A handle lives in the runtime in which it was opened. Once that has ended the handle works in another \
                   one, or every call, watch and subscription fails with `Closed` and says why; never silence.",
            cases: &[
                "errors.a_handle_that_outlives_its_runtime_works_or_says_so",
                "errors.a_watch_that_outlives_its_runtime_is_not_silent",
                "errors.a_subscription_that_outlives_its_runtime_is_not_silent",
            ],
        },
        Clause { text: "A second `close` does nothing.", cases: &["errors.closing_twice_does_nothing"] },
        Clause {
            text: "Closing a handle leaves all others as they are.",
            cases: &["errors.closing_one_handle_leaves_the_others"],
        },
    ],
};
