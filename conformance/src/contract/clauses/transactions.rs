//! The only way in which state changes.

use super::{Chapter, Clause};

pub(super) const TRANSACTIONS: Chapter = Chapter {
    title: "Transactions",
    clauses: &[
        Clause {
            text: "The guard `Absent` holds if the key does not exist.",
            cases: &["transactions.absent_holds_where_there_is_no_key"],
        },
        Clause {
            text: "The guard `Present` holds if the key exists.",
            cases: &["transactions.present_holds_where_there_is_one"],
        },
        Clause {
            text: "The guard `VersionIs` holds if the key exists and was last written at that revision.",
            cases: &[
                "transactions.version_holds_at_that_write_only",
                "transactions.version_never_holds_for_an_absent_key",
                "transactions.guarded_deletes_delete_what_was_read",
            ],
        },
        Clause {
            text: "The guard `PrefixAbsent`, where it is declared, holds if no key exists that starts \
                   with its key.",
            cases: &[
                "transactions.prefix_absent_holds_where_no_key_starts_so",
                "transactions.prefix_absent_does_not_see_what_expired",
                "transactions.one_of_many_takes_an_empty_prefix",
            ],
        },
        Clause {
            text: "Guards look at what there was before the transaction's own mutations.",
            cases: &["transactions.guards_see_what_was_before"],
        },
        Clause {
            text: "All mutations are applied if every guard holds, and none otherwise.",
            cases: &["transactions.all_or_nothing", "transactions.every_guard_must_hold"],
        },
        Clause {
            text: "If one mutation fails, none is applied.",
            cases: &[
                "transactions.a_failed_add_undoes_the_rest",
                "transactions.a_conflict_undoes_deletes",
                "transactions.a_conflict_undoes_extends",
            ],
        },
        Clause {
            text: "Transactions are linearizable: they take place one after the other, in an order that agrees with \
                   real time.",
            cases: &[
                "transactions.one_of_many_creators_wins",
                "transactions.one_of_many_swappers_wins",
                "history.state_is_linearizable",
            ],
        },
        Clause {
            text: "No reader sees a part of a transaction.",
            cases: &[
                "transactions.transfers_keep_the_sum",
                "transactions.moving_a_key_is_seen_whole",
                "history.transactions_are_atomic_under_load",
            ],
        },
        Clause {
            text: "All writes of a transaction have its revision, which the outcome carries.",
            cases: &["transactions.all_writes_have_the_same_revision"],
        },
        Clause {
            text: "The outcome has one result per mutation, in their order.",
            cases: &["transactions.one_result_per_mutation_in_order"],
        },
        Clause {
            text: "A refusal says which guard was the first that did not hold, and what stood at its key.",
            cases: &["transactions.the_first_failing_guard_is_told", "transactions.a_refusal_tells_what_stood_there"],
        },
        Clause {
            text: "A transaction without mutations checks its guards and changes nothing.",
            cases: &["transactions.a_check_changes_nothing"],
        },
        Clause {
            text: "A write guarded by the fencing token of a lock that has passed on is refused.",
            cases: &["transactions.a_fenced_write_is_refused"],
        },
        Clause {
            text: "A transaction mutates each key once at most, and guards it any number of times.",
            cases: &["transactions.a_key_is_changed_once", "transactions.a_key_may_be_guarded_more_than_once"],
        },
        Clause {
            text: "A transaction may have as many guards and mutations as declared, 128 at least.",
            cases: &["transactions.as_many_operations_as_declared"],
        },
        Clause {
            text: "The values of a transaction may have as many bytes together as declared, 1 MiB at least.",
            cases: &["transactions.as_many_bytes_as_declared"],
        },
        Clause {
            text: "A transaction over either limit is refused with `InvalidArgument`, and nothing is applied.",
            cases: &["transactions.too_many_operations_are_refused", "transactions.too_many_bytes_are_refused"],
        },
    ],
};

pub(super) const COUNTERS: Chapter = Chapter {
    title: "Counters and leases",
    clauses: &[
        Clause {
            text: "`Add` adds to a signed counter of 64 bits, which the key holds as decimal text, exact over its \
                   whole range.",
            cases: &[
                "transactions.a_counter_is_decimal_text",
                "transactions.counters_go_below_zero",
                "transactions.counters_are_exact",
            ],
        },
        Clause {
            text: "To `Add`, an absent key counts as 0.",
            cases: &["transactions.an_absent_counter_counts_as_zero"],
        },
        Clause {
            text: "A counter's text is exactly as `Add` writes it: no plus, no leading zero, no `-0`, no \
                   space, no digit but 0 to 9. Any other text is no counter.",
            cases: &["transactions.another_way_to_write_a_number_is_no_counter"],
        },
        Clause {
            text: "An `Add` that overflows, or meets a value that is no counter, fails with `Conflict` and changes \
                   nothing.",
            cases: &["transactions.overflow_is_a_conflict", "transactions.what_is_no_counter_is_a_conflict"],
        },
        Clause {
            text: "Every `Add` counts, and each returns a result of its own, however many add at once.",
            cases: &["transactions.concurrent_adds_all_count"],
        },
        Clause { text: "An `Add` is a write: the key has a new version.", cases: &["transactions.an_add_is_a_write"] },
        Clause {
            text: "An `Extend` is no write: the key keeps its version.",
            cases: &["transactions.extend_is_no_new_version"],
        },
        Clause {
            text: "An `Extend` of a key that is gone or has another version does nothing, and says so.",
            cases: &[
                "transactions.extend_of_another_version_does_nothing",
                "transactions.extend_of_an_absent_key_does_nothing",
                "ttl.an_expired_version_is_not_extended",
            ],
        },
        Clause {
            text: "An `Extend` that does nothing does not fail its transaction.",
            cases: &["transactions.a_failed_extend_does_not_fail_the_rest"],
        },
        Clause {
            text: "One transaction extends as many leases as it may have operations, so a few renew thousands.",
            cases: &[
                "transactions.many_leases_are_extended_at_once",
                "transactions.every_lease_of_a_transaction_is_extended",
            ],
        },
    ],
};

pub(super) const IDS: Chapter = Chapter {
    title: "Transaction ids",
    clauses: &[
        Clause {
            text: "A transaction with an id is applied once within the declared window, however often and by \
                   whichever handle it is sent.",
            cases: &[
                "transactions.concurrent_repeats_apply_once",
                "transactions.ids_of_a_contended_key_are_remembered",
                "transactions.ids_are_remembered_for_their_window",
                "transactions.a_repeat_through_another_handle_is_one",
                "transactions.an_id_outlasts_thousands_of_others",
            ],
        },
        Clause {
            text: "A transaction that is sent again under its id gets the first outcome, whatever has \
                   happened since.",
            cases: &[
                "transactions.a_repeat_gets_the_first_outcome",
                "transactions.a_repeat_is_blind_to_what_came_after",
                "transactions.a_guarded_repeat_gets_the_first_outcome",
                "transactions.the_id_of_a_check_is_known",
                "transactions.an_id_survives_a_clear",
            ],
        },
        Clause {
            text: "A repeat does nothing: it neither writes nor extends.",
            cases: &["transactions.a_repeat_renews_nothing"],
        },
        Clause {
            text: "A refusal is remembered as well: an attempt that arrives late cannot apply what was refused.",
            cases: &["transactions.a_refusal_is_kept_too"],
        },
        Clause {
            text: "A refusal that is repeated tells what stood there if that very version still does, and \
                   nothing of it otherwise: the value is not kept.",
            cases: &["transactions.a_refused_repeat_tells_what_still_stands"],
        },
        Clause {
            text: "The same changes under another id are another transaction.",
            cases: &["transactions.other_ids_are_other_transactions"],
        },
        Clause {
            text: "A conflict is an outcome too: what failed once is not applied by an attempt that arrives late.",
            cases: &["transactions.a_conflict_is_kept_too"],
        },
        Clause {
            text: "Another transaction under an id that was used before fails with `Conflict`, and \
                   changes nothing.",
            cases: &[
                "transactions.a_reused_id_is_a_conflict",
                "transactions.every_part_of_a_transaction_tells_it_apart",
                "transactions.a_conflict_under_an_id_is_not_sent_again",
            ],
        },
        Clause {
            text: "Where data survives a restart of the server, the outcomes of transactions with an id survive it \
                   too.",
            cases: &["faults.transaction_ids_survive_a_restart"],
        },
    ],
};
