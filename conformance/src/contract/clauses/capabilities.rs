//! What a backend says of itself.

use super::{Chapter, Clause};

pub(super) const CAPABILITIES: Chapter = Chapter {
    title: "Capabilities",
    clauses: &[
        Clause {
            text: "A backend declares its name and the version of its server.",
            cases: &["capabilities.backend_has_a_name_and_a_version"],
        },
        Clause { text: "Every handle declares the same.", cases: &["capabilities.every_handle_declares_the_same"] },
        Clause {
            text: "Every backend offers the minimum of each limit at least.",
            cases: &["capabilities.limits_are_at_least_the_minimum"],
        },
        Clause {
            text: "What is declared is tested: no limit is declared that no test could reach.",
            cases: &["capabilities.limits_can_be_reached"],
        },
        Clause {
            text: "A backend that offers TTLs declares how it counts them: granularity, minimum and slack.",
            cases: &["capabilities.ttl_support_makes_sense"],
        },
        Clause {
            text: "A backend that offers transaction ids or record ids declares for how long it remembers them.",
            cases: &["capabilities.windows_are_longer_than_nothing"],
        },
        Clause {
            text: "A backend declares what survives a restart and a loss of power, as it is configured, and what that \
                   rests on.",
            cases: &["capabilities.durability_has_a_reason"],
        },
        Clause {
            text: "What is declared to survive a restart of the server survives it.",
            cases: &["faults.what_is_declared_to_survive_survives"],
        },
        Clause {
            text: "What is not declared is refused with `Unsupported`.",
            cases: &["capabilities.what_is_not_declared_is_refused"],
        },
        Clause {
            text: "What is refused as unsupported or not allowed is refused before anything is sent.",
            cases: &["faults.what_is_refused_needs_no_server"],
        },
    ],
};
