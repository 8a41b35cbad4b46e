//! The election recipe.

use super::{Chapter, Clause};

pub(super) const CAMPAIGNING: Chapter = Chapter {
    title: "Elections: campaigning",
    clauses: &[
        Clause { text: "An election has one leader at a time.", cases: &["election.one_of_many_leads"] },
        Clause {
            text: "Two names are two elections, whatever characters they are made of.",
            cases: &["election.other_names_are_other_elections"],
        },
        Clause {
            text: "`campaign` waits until this node leads, and candidates lead in the order in which they came.",
            cases: &["election.nobody_leads_until_one_is_elected", "election.candidates_lead_in_turn"],
        },
        Clause {
            text: "`try_campaign` leads if nobody does, and says at once if it cannot.",
            cases: &["election.try_campaign_does_not_wait"],
        },
        Clause {
            text: "The term is a fencing token: it is greater than that of every leader before, also after a `clear`.",
            cases: &["election.terms_grow_with_every_leader"],
        },
        Clause {
            text: "A change of leader makes as many requests with many candidates as with few.",
            cases: &["election.a_change_of_leader_is_constant_work"],
        },
        Clause {
            text: "A candidate that gives up or dies is skipped.",
            cases: &[
                "election.a_candidate_that_gives_up_is_skipped",
                "election.a_dead_candidate_never_blocks_the_others",
            ],
        },
        Clause {
            text: "A candidate whose place is lost does not lead by it: it notices, and stands again behind the \
                   others.",
            cases: &["election.nobody_leads_by_a_place_that_has_gone"],
        },
        Clause {
            text: "A name that is not allowed, a TTL that is too short or too long, or a value over the limit is \
                   refused.",
            cases: &["election.bad_elections_are_refused"],
        },
    ],
};

pub(super) const LEADING: Chapter = Chapter {
    title: "Elections: leading",
    clauses: &[
        Clause {
            text: "A leadership is renewed at a third of its TTL: it lasts for as long as its holder lives and \
                   reaches the backend.",
            cases: &["election.a_leadership_outlives_its_ttl"],
        },
        Clause {
            text: "A leader that cannot renew counts itself out before another can lead.",
            cases: &["election.the_leader_knows_before_the_next_leads"],
        },
        Clause {
            text: "A leadership that was removed at the backend is reported lost with the next renewal.",
            cases: &["election.a_removed_leader_is_lost"],
        },
        Clause {
            text: "Who has lost the leadership can neither proclaim nor resign what is the next leader's.",
            cases: &["election.a_lost_leader_proclaims_nothing"],
        },
        Clause {
            text: "A guarded write is applied only while the term is its writer's, whatever the leadership believes.",
            cases: &["election.a_stale_term_writes_nothing", "election.a_guarded_write_follows_a_proclamation"],
        },
        Clause {
            text: "`proclaim` tells something new in the same term.",
            cases: &["election.proclaiming_keeps_the_term"],
        },
        Clause {
            text: "`run_while_leader` runs its body while this node leads, and drops it if the leadership is lost.",
            cases: &["election.a_body_runs_while_it_leads", "election.a_body_ends_with_the_leadership"],
        },
        Clause {
            text: "Callbacks tell of the election with its term, of every renewal that fails, and once of the loss.",
            cases: &["election.an_election_tells_what_happens"],
        },
        Clause {
            text: "Dropping a leadership resigns in the background.",
            cases: &["election.a_dropped_leadership_resigns"],
        },
        Clause {
            text: "`shutdown` resigns every leadership, and ends every campaign with `Closed`.",
            cases: &["election.shutdown_spares_others_of_its_name", "election.shutdown_resigns"],
        },
    ],
};

pub(super) const OBSERVING: Chapter = Chapter {
    title: "Elections: observing",
    clauses: &[
        Clause {
            text: "`observe` tells first who leads now, and then every leader, in the order of terms, and what it \
                   proclaims.",
            cases: &["election.an_observer_is_told_who_leads_now", "election.every_leader_is_told_in_order"],
        },
        Clause {
            text: "An observer that lags may miss leaders in between, and never the last one.",
            cases: &["election.the_last_leader_is_never_missed"],
        },
        Clause {
            text: "An observer is told that a leader has died, once its TTL and the declared slack have passed.",
            cases: &["election.an_expired_leader_is_told"],
        },
        Clause {
            text: "The election called `default` and the leadership of the port are one.",
            cases: &[
                "election.a_leader_of_the_port_is_seen",
                "election.an_elected_leader_is_the_ports",
                "election.a_candidate_waits_for_a_leader_of_the_port",
            ],
        },
        Clause {
            text: "Asking for the leadership through the port again does not cut an elected leader short.",
            cases: &["election.the_port_does_not_cut_a_leader_short"],
        },
        Clause {
            text: "Stepping down through the port ends the leadership of an elected leader, which is reported lost.",
            cases: &["election.the_port_can_end_a_leadership"],
        },
    ],
};
