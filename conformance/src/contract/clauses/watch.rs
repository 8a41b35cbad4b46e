//! Watching keys.

use super::{Chapter, Clause};

pub(super) const WATCHES: Chapter = Chapter {
    title: "Watches",
    clauses: &[
        Clause {
            text: "A watch tells first the entries present, then `Synced`, then changes.",
            cases: &[
                "watch.present_then_synced_then_changes",
                "watch.nothing_present_is_synced_at_once",
                "watch.every_present_entry_comes_before_synced",
                "watch.a_watch_can_be_opened_again",
            ],
        },
        Clause {
            text: "The entries present are told in the order in which their keys came to be.",
            cases: &["watch.present_entries_come_in_the_order_of_their_creation"],
        },
        Clause {
            text: "`Synced` has the revision up to which everything has been told.",
            cases: &["watch.synced_tells_its_revision"],
        },
        Clause {
            text: "A watch is live when it is returned: whatever is written from then on is told.",
            cases: &[
                "watch.a_watch_is_live_when_it_is_returned",
                "watch.what_is_written_while_it_starts_is_told_once",
                "watch.what_goes_before_it_is_read_is_told",
            ],
        },
        Clause {
            text: "A write is told as the entry that a read returns, whichever mutation made it.",
            cases: &[
                "watch.a_change_is_told_as_it_is_read",
                "watch.an_add_is_told",
                "watch.every_write_of_a_transaction_is_told",
            ],
        },
        Clause {
            text: "Deletes are told, those by `clear` too, at a revision greater than any version seen of \
                   the key.",
            cases: &["watch.deletes_are_told", "watch.clear_is_told"],
        },
        Clause { text: "Expiries are told, within the declared slack.", cases: &["watch.expiries_are_told_in_time"] },
        Clause {
            text: "What makes no new version is not told.",
            cases: &["watch.what_changes_nothing_is_not_told", "watch.an_extend_is_not_told"],
        },
        Clause {
            text: "Per key, the versions told strictly increase.",
            cases: &["watch.versions_increase_under_load"],
        },
        Clause {
            text: "A watcher that lags may miss intermediate versions of a key, and never the last one.",
            cases: &["watch.a_slow_watcher_gets_the_last_versions", "watch.a_slow_watcher_learns_of_every_key"],
        },
        Clause {
            text: "Keys are told in the order in which they came to be: who is told of a key was told of every older one \
                   that is still there.",
            cases: &[
                "watch.keys_come_in_the_order_of_their_creation",
                "watch.a_slow_watcher_is_told_of_keys_in_that_order_too",
                "watch.a_rewritten_key_is_told_at_its_old_place",
                "watch.a_key_made_again_is_told_at_its_new_place",
            ],
        },
        Clause {
            text: "A watcher that lags learns of every key that is gone, once, at a revision greater than \
                   any told before, and is not synced again.",
            cases: &["watch.a_slow_watcher_learns_what_is_gone", "watch.a_watcher_far_behind_learns_what_is_gone"],
        },
        Clause {
            text: "A watch tells what the server has lost within 10 seconds, though nobody writes.",
            cases: &["faults.lost_data_are_told_though_nobody_writes"],
        },
        Clause {
            text: "After a server came back with older data a watch tells what a read says, older or not, and a key that \
                   is gone again at a revision greater than any told of it.",
            cases: &["faults.older_data_that_come_back_are_told"],
        },
        Clause { text: "A watcher that is not read holds nobody up.", cases: &["watch.an_idle_watcher_blocks_nobody"] },
        Clause {
            text: "A watch tells the keys of its range, one or all with a prefix, and no other.",
            cases: &[
                "watch.a_prefix_is_watched_and_nothing_else",
                "watch.a_watched_prefix_is_taken_literally",
                "watch.one_key_is_watched_and_nothing_else",
            ],
        },
        Clause {
            text: "Every watch of a key is told of it, whichever handle wrote.",
            cases: &["watch.every_watcher_is_told", "watch.a_watch_tells_what_other_handles_write"],
        },
        Clause { text: "Dropping a watch ends it, and no other.", cases: &["watch.a_dropped_watch_leaves_the_others"] },
        Clause {
            text: "A watch that was cut off reconnects by itself: it tells the last version of every key and every key \
                   that is gone, and is not synced again.",
            cases: &["faults.a_watch_learns_what_went_meanwhile"],
        },
    ],
};
