//! The members recipe.

use super::{Chapter, Clause};

pub(super) const STAYING: Chapter = Chapter {
    title: "Members: staying",
    clauses: &[
        Clause {
            text: "`join` announces a member with its metadata and capabilities, and `list` returns those who are \
                   there, ascending.",
            cases: &["members.a_member_is_listed"],
        },
        Clause {
            text: "Two names are two groups, whatever characters they are made of.",
            cases: &["members.groups_are_apart"],
        },
        Clause {
            text: "Two who join under one id are one member, which says what the last of them said.",
            cases: &["members.one_id_is_one_member"],
        },
        Clause {
            text: "A member is there for as long as its process lives and reaches the backend: heartbeats are \
                   automatic.",
            cases: &["members.a_member_outlives_its_ttl"],
        },
        Clause {
            text: "Heartbeats and the renewals of locks are sent together, in batches.",
            cases: &["members.heartbeats_go_with_the_leases"],
        },
        Clause {
            text: "A member that dies is gone when its TTL has passed, within the declared slack.",
            cases: &["members.a_dead_member_is_gone_in_time"],
        },
        Clause {
            text: "A member that leaves is gone when `leave` returns; dropping the membership leaves in the \
                   background.",
            cases: &["members.who_left_can_join_again_at_once", "members.leaving_is_seen_at_once"],
        },
        Clause {
            text: "`update` and `update_capabilities` change what a member says, and it stays the member it was.",
            cases: &["members.updates_are_seen"],
        },
        Clause {
            text: "A member that the backend has lost joins again by itself, with what it said last.",
            cases: &["members.a_member_joins_again", "members.an_update_joins_again"],
        },
        Clause { text: "Every heartbeat that fails is told.", cases: &["members.a_failed_heartbeat_is_told"] },
        Clause {
            text: "`shutdown` takes every member of the coordinator off the list.",
            cases: &["members.shutdown_leaves"],
        },
        Clause {
            text: "A group, id, capability, TTL or metadata that is not allowed is refused with `InvalidArgument`.",
            cases: &["members.bad_members_are_refused"],
        },
    ],
};

pub(super) const WATCHING: Chapter = Chapter {
    title: "Members: watching",
    clauses: &[
        Clause {
            text: "`watch` tells first who is there, then `Synced`, then who joins, changes and leaves.",
            cases: &["members.who_is_there_comes_first", "members.joins_updates_and_leaves_are_told"],
        },
        Clause {
            text: "`watch` tells that a member has died, once its TTL and the declared slack have passed.",
            cases: &["members.the_dead_are_told_in_time"],
        },
        Clause { text: "A heartbeat is no change.", cases: &["members.heartbeats_are_no_changes"] },
        Clause {
            text: "The group called `default` and the nodes of the port are one.",
            cases: &["members.a_node_of_the_port_is_seen", "members.a_member_is_a_node_of_the_port"],
        },
        Clause {
            text: "Heartbeats and registrations through the port do not take a member off the list.",
            cases: &["members.a_heartbeat_of_the_port_spares_a_member"],
        },
    ],
};
