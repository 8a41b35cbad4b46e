//! What goes around a driver.

use super::{Chapter, Clause};

pub(super) const LAYERS: Chapter = Chapter {
    title: "Layers",
    clauses: &[
        Clause {
            text: "A stored name may have 768 bytes: a user's 512, and what layers and recipes put in \
                   front of them.",
            cases: &["names.a_layers_prefix_has_room"],
        },
        Clause {
            text: "A nested namespace is a namespace of its own.",
            cases: &[
                "names.a_nested_namespace_is_a_namespace",
                "names.a_nested_namespace_has_transaction_ids_of_its_own",
            ],
        },
        Clause {
            text: "A retry repeats what was surely not applied, and what may have been only if that cannot apply it \
                   twice. A write may still end as unknown: when its attempts or their time are used up while the last of \
                   them had no answer, or when its id is remembered no longer.",
            cases: &[
                "faults.retries_apply_nothing_twice",
                "errors.a_lost_answer_is_not_applied_twice",
                "errors.what_may_have_been_applied_is_repeated_if_that_is_harmless",
                "errors.what_was_surely_not_applied_is_repeated",
                "errors.what_will_not_help_is_not_repeated",
            ],
        },
        Clause {
            text: "A claim that breaks while it waits is repeated for what is left of its wait, which is \
                   not taken off the time for retries.",
            cases: &["errors.a_waiting_claim_is_repeated_for_what_is_left"],
        },
        Clause {
            text: "The error of the last attempt says that repeating will not help, and still whether it may have \
                   been applied.",
            cases: &["errors.exhausted_retries_say_never"],
        },
        Clause {
            text: "An attempt that gets no answer ends after its timeout.",
            cases: &["errors.an_attempt_ends_in_time"],
        },
    ],
};
