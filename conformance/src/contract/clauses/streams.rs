//! Streams: durable, acknowledged.

use super::{Chapter, Clause};

pub(super) const RECORDS: Chapter = Chapter {
    title: "Streams: records",
    clauses: &[
        Clause {
            text: "A stream counts its records: the first has position 1, each further one the next.",
            cases: &["streams.positions_grow_by_one", "streams.each_stream_counts_for_itself"],
        },
        Clause {
            text: "Records appended together stand next to each other, in their order.",
            cases: &["streams.a_batch_stands_together", "streams.appending_nothing_appends_nothing"],
        },
        Clause {
            text: "A record is delivered with the payload, id and headers it was appended with.",
            cases: &["streams.records_come_as_appended"],
        },
        Clause {
            text: "Appended records outlive the handle that appended them.",
            cases: &["streams.records_outlive_the_handle"],
        },
        Clause {
            text: "Where the backend declares it, appended records, claims and settlements survive a restart of the server.",
            cases: &["faults.streams_survive_a_restart"],
        },
        Clause {
            text: "A record with an id is appended once per dedupe window, whoever appends it; a repeat gets the \
                   first one's position.",
            cases: &[
                "streams.a_record_id_is_appended_once",
                "streams.a_record_id_is_once_within_a_batch",
                "streams.a_record_id_is_once_for_all_handles",
                "streams.a_settled_record_keeps_its_id",
                "streams.a_trimmed_record_keeps_its_id",
                "streams.a_record_id_is_remembered_for_a_while",
            ],
        },
        Clause {
            text: "`clear` forgets the ids of records with their streams: a record appended after it is a new one.",
            cases: &["streams.a_cleared_stream_knows_no_ids"],
        },
        Clause {
            text: "The id of a record is known in its own stream, and in no other.",
            cases: &["streams.a_record_id_belongs_to_its_stream"],
        },
        Clause {
            text: "A record may have as many bytes as declared, payload and headers together, 512 KiB at least.",
            cases: &["streams.record_at_the_limit"],
        },
        Clause {
            text: "One call may have as many records or settlements as declared, 128 at least.",
            cases: &["streams.batch_at_the_limit"],
        },
        Clause {
            text: "What is over either limit is refused with `InvalidArgument`, and nothing is appended or settled.",
            cases: &["streams.record_over_the_limit_is_refused", "streams.batches_over_the_limit_are_refused"],
        },
    ],
};

pub(super) const CLAIMS: Chapter = Chapter {
    title: "Streams: claims",
    clauses: &[
        Clause {
            text: "A group sees every record of its stream, those from before its first claim too.",
            cases: &[
                "streams.every_group_sees_every_record",
                "streams.a_group_sees_what_was_before_it",
                "streams.streams_do_not_mix",
            ],
        },
        Clause {
            text: "Each record goes to one member of the group at a time, however many claim at once.",
            cases: &[
                "streams.members_share_the_records",
                "streams.concurrent_claims_are_disjoint",
                "streams.one_record_wakes_one_of_many",
            ],
        },
        Clause {
            text: "A claim is exclusive until it is settled or its visibility time has passed.",
            cases: &[
                "streams.a_claim_is_exclusive",
                "history.streams_deliver_and_settle",
                "streams.each_claim_has_its_visibility",
                "streams.visibility_counts_from_the_claim",
            ],
        },
        Clause {
            text: "A record whose visibility time has passed is delivered again, within the declared slack.",
            cases: &["streams.an_abandoned_record_comes_again"],
        },
        Clause {
            text: "A delivery has the number of times that the record has been delivered to the group.",
            cases: &["streams.every_redelivery_counts"],
        },
        Clause {
            text: "Records are delivered for the first time in the order in which they stand.",
            cases: &["streams.first_deliveries_are_in_order"],
        },
        Clause {
            text: "A claim brings no more records than it asks for. It may bring fewer than there are, of large ones above \
                   all: the next claim brings more.",
            cases: &["streams.a_claim_brings_no_more_than_asked", "streams.large_records_come_in_several_claims"],
        },
        Clause {
            text: "A claim waits for the first record as long as it says, and no longer than until there is one.",
            cases: &[
                "streams.a_waiting_claim_wakes_for_a_record",
                "streams.a_waiting_claim_ends_empty",
                "streams.a_claim_of_nothing_looks_once",
                "streams.a_claim_that_nobody_polls_holds_nobody_up",
            ],
        },
        Clause {
            text: "A claim says that there is nothing only if the server said so since it was called, also while another \
                   waits in its group.",
            cases: &["faults.a_claim_beside_one_that_waits_is_told_of_an_outage"],
        },
        Clause {
            text: "A claim that waits is woken by a record that was given back, abandoned, delayed, held for less than \
                   before or buried, when its time has come.",
            cases: &[
                "streams.a_waiting_claim_wakes_for_a_retry",
                "streams.a_waiting_claim_wakes_for_a_late_retry",
                "streams.a_waiting_claim_wakes_for_an_abandoned_record",
                "streams.a_waiting_claim_wakes_for_a_delayed_record",
                "streams.a_waiting_claim_wakes_for_what_is_delayed_meanwhile",
                "streams.a_waiting_claim_wakes_for_a_shortened_claim",
                "streams.a_waiting_claim_wakes_for_a_dead_letter",
            ],
        },
        Clause {
            text: "What is not due, and what was delivered as often as the claim allows, holds nothing up: a claim brings \
                   what is due behind it, however many they are.",
            cases: &["streams.delayed_records_hold_nothing_up", "streams.exhausted_records_hold_nothing_up"],
        },
        Clause {
            text: "A claim that waits outlives a `clear` of its stream: it or the next one brings what is appended after it.",
            cases: &["streams.a_waiting_claim_outlives_a_clear"],
        },
        Clause {
            text: "A claim for no records, no deliveries, no time or more than 100 years is refused with \
                   `InvalidArgument`.",
            cases: &["streams.senseless_claims_are_refused"],
        },
    ],
};

pub(super) const SETTLEMENTS: Chapter = Chapter {
    title: "Streams: settlements",
    clauses: &[
        Clause {
            text: "A group never sees again what it has acknowledged.",
            cases: &["streams.acknowledged_is_never_seen_again"],
        },
        Clause {
            text: "A record that is given back is delivered again, at once unless a delay is asked for.",
            cases: &["streams.a_retry_comes_again_at_once"],
        },
        Clause {
            text: "Extending a claim keeps its record for the time given from now on, and no longer.",
            cases: &["streams.an_extended_record_is_kept", "streams.an_extended_record_is_let_go_in_time"],
        },
        Clause {
            text: "Settling what was settled, was delivered again or never was delivered is answered `Stale`, and \
                   changes nothing.",
            cases: &[
                "streams.settled_is_stale",
                "streams.delivered_again_is_stale",
                "streams.a_delivery_that_never_was_is_stale",
            ],
        },
        Clause {
            text: "A settlement that comes after the visibility time counts until the record is delivered again.",
            cases: &["streams.a_late_acknowledgement_counts_until_redelivery"],
        },
        Clause {
            text: "A settlement is for one group, and changes nothing for another.",
            cases: &["streams.a_receipt_is_of_its_group"],
        },
        Clause { text: "A delivery may be settled through any handle.", cases: &["streams.another_handle_may_settle"] },
        Clause {
            text: "The settlements of one call are each on their own, and are answered in their order.",
            cases: &["streams.each_settlement_is_on_its_own", "streams.settling_nothing_settles_nothing"],
        },
        Clause {
            text: "Extending a claim for no time, or for more than 100 years, is refused with `InvalidArgument`.",
            cases: &["streams.senseless_settlements_are_refused"],
        },
    ],
};

pub(super) const DELAYS: Chapter = Chapter {
    title: "Streams: delays",
    clauses: &[
        Clause {
            text: "A delayed record is delivered when its delay has passed since it was appended, within the declared \
                   slack.",
            cases: &["streams.a_delay_is_honoured", "streams.delays_end_each_at_its_time", "streams.no_delay_is_none"],
        },
        Clause {
            text: "A delay means the same to every group, however late it comes.",
            cases: &["streams.a_delay_is_the_same_for_every_group"],
        },
        Clause {
            text: "A record given back with a delay is delivered again when that has passed, within the declared \
                   slack.",
            cases: &["streams.a_retry_after_is_honoured"],
        },
        Clause {
            text: "A delay holds back its own record, and no other.",
            cases: &["streams.a_delayed_record_blocks_no_other", "streams.a_retry_after_blocks_no_other"],
        },
        Clause {
            text: "The longest delay is 100 years, and a longer one is refused with `InvalidArgument`.",
            cases: &["streams.a_hundred_years_of_delay_are_held_back", "streams.a_long_delay_is_refused"],
        },
    ],
};

pub(super) const DEAD_LETTERS: Chapter = Chapter {
    title: "Streams: dead letters",
    clauses: &[
        Clause {
            text: "A record that is rejected goes to the group's dead letters, once, and is never delivered again.",
            cases: &["streams.a_rejected_record_is_a_dead_letter_once", "streams.a_stale_reject_makes_no_dead_letter"],
        },
        Clause {
            text: "A record delivered as often as a claim allows goes to the dead letters, once, instead of being \
                   delivered again.",
            cases: &[
                "streams.an_exhausted_record_is_a_dead_letter_once",
                "streams.an_abandoned_record_is_exhausted_too",
            ],
        },
        Clause {
            text: "Without a limit on its deliveries no record is given up.",
            cases: &["streams.without_a_limit_nothing_is_given_up"],
        },
        Clause {
            text: "A dead letter has its payload and headers, and besides them the reason, the delivery count and the \
                   position.",
            cases: &["streams.a_dead_letter_keeps_what_it_was"],
        },
        Clause {
            text: "Dead letters are the group's own: other groups still get the record.",
            cases: &["streams.dead_letters_are_the_groups_own"],
        },
        Clause {
            text: "Dead letters are read, claimed, settled and trimmed as any other stream.",
            cases: &["streams.dead_letters_are_a_stream"],
        },
        Clause {
            text: "There are no dead letters of dead letters: one that any group rejects, or was given too often, is \
                   dropped for that group, as if acknowledged.",
            cases: &["streams.a_dead_letter_has_no_dead_letters"],
        },
        Clause {
            text: "A reason of more than 512 bytes is refused with `InvalidArgument`.",
            cases: &["streams.a_long_reason_is_refused"],
        },
    ],
};

pub(super) const KEEPING: Chapter = Chapter {
    title: "Streams: what is kept",
    clauses: &[
        Clause {
            text: "`trim` keeps the newest so many records, or those from a position on, and returns how many it \
                   dropped.",
            cases: &[
                "streams.the_newest_are_kept",
                "streams.what_stands_from_a_position_is_kept",
                "streams.trimming_nothing_is_no_error",
            ],
        },
        Clause {
            text: "`trim` drops nothing that a group has not settled.",
            cases: &[
                "streams.what_is_not_settled_is_kept",
                "streams.what_is_settled_is_trimmed",
                "streams.what_was_given_back_is_kept",
                "streams.what_is_delayed_is_kept",
            ],
        },
        Clause {
            text: "`trim` of what is settled drops what every group has settled, and nothing where there is no group.",
            cases: &["streams.what_some_group_has_not_settled_is_kept"],
        },
        Clause {
            text: "Positions go on after a `trim`, and for a day after a `clear`: an old receipt fits nothing new.",
            cases: &[
                "streams.positions_go_on_after_trimming",
                "streams.positions_go_on_after_clearing_an_empty_stream",
                "streams.a_receipt_from_before_a_clear_is_stale",
            ],
        },
        Clause {
            text: "`clear` removes the streams that start with a prefix and no other, with their groups and dead \
                   letters.",
            cases: &[
                "streams.clear_removes_streams_by_prefix",
                "streams.clear_removes_streams_and_groups",
                "streams.clear_removes_dead_letters",
            ],
        },
        Clause {
            text: "`inspect` says how many records a stream holds; all zero if nobody appended to it.",
            cases: &["streams.inspect_of_nothing_is_zero"],
        },
        Clause {
            text: "`inspect` says the position of the newest record ever appended, also if it was dropped since, and none \
                   where none was appended since the stream was cleared.",
            cases: &["streams.a_cleared_stream_says_no_last_position"],
        },
        Clause {
            text: "`inspect` says what each group has pending, before it and dead, the groups ascending by name.",
            cases: &[
                "streams.inspect_counts",
                "streams.inspect_counts_what_waits",
                "streams.inspect_counts_what_is_left_of_a_trim",
                "streams.inspect_lists_groups_in_order",
                "streams.inspect_counts_dead_letters",
            ],
        },
        Clause {
            text: "`remove_group` removes a group with what it has pending and its dead letters, and returns whether there was \
                   one. Records, other groups and their dead letters stay.",
            cases: &[
                "streams.a_removed_group_is_gone",
                "streams.a_removed_group_holds_nothing_back",
                "streams.removing_a_group_leaves_the_others",
                "streams.a_removed_group_takes_its_dead_letters",
                "streams.removing_a_reader_of_dead_letters_leaves_them",
            ],
        },
        Clause {
            text: "A claim under the name of a removed group, one that waits too, makes a new group, which sees every record \
                   that is still there.",
            cases: &["streams.a_removed_group_begins_anew", "streams.a_waiting_claim_wakes_for_a_removed_group"],
        },
        Clause {
            text: "Members leave nothing behind once what they claimed is settled.",
            cases: &["streams.members_leave_nothing"],
        },
    ],
};
