//! The port that applications hold.

use super::{Chapter, Clause};

pub(super) const KEYS: Chapter = Chapter {
    title: "The port: keys",
    clauses: &[
        Clause {
            text: "`set` writes a key, for ever or for a time, and `get` returns its value.",
            cases: &["port.set_then_get", "port.set_for_a_time"],
        },
        Clause { text: "`exists` says whether a key exists.", cases: &["port.exists_tells_whether_it_does"] },
        Clause {
            text: "`ttl` says how long a key has left, and `None` if it does not exist or lives for ever.",
            cases: &["port.ttl_tells_how_long"],
        },
        Clause {
            text: "`incr` adds to a counter and returns its new value; one that it creates starts at 0 and lives for \
                   its TTL.",
            cases: &["port.incr_counts", "port.incr_keeps_its_ttl"],
        },
        Clause {
            text: "An error of the port names the port's method, and the key as the user wrote it.",
            cases: &["port.incr_of_text_is_a_conflict", "port.too_large_a_value_is_refused"],
        },
        Clause {
            text: "`delete` and `delete_many` remove keys, any number of them, and say whether or how many existed.",
            cases: &[
                "port.delete_tells_whether_it_existed",
                "port.delete_many_counts_what_existed",
                "port.delete_many_takes_any_number",
            ],
        },
        Clause {
            text: "`delete_many` is atomic up to the declared number of operations of a transaction.",
            cases: &["port.delete_many_is_atomic"],
        },
        Clause {
            text: "`keys` returns the keys that match a pattern, ascending, however many there are.",
            cases: &["port.keys_are_those_that_match", "port.many_keys_are_found"],
        },
        Clause {
            text: "`delete_pattern` removes the keys that match a pattern, however many there are, and returns how \
                   many.",
            cases: &["port.delete_pattern_deletes_what_matches", "port.delete_pattern_deletes_many"],
        },
        Clause {
            text: "A user's key is never taken for a node, a lock or a leader.",
            cases: &["port.user_keys_are_apart"],
        },
        Clause {
            text: "`flush_all` removes keys, nodes and leadership in its namespace, and nothing outside of it.",
            cases: &["port.flush_all_removes_everything", "port.flush_all_removes_the_cluster"],
        },
        Clause {
            text: "`flush_all` removes locks and streams too.",
            cases: &["port.flush_all_removes_locks_and_streams"],
        },
    ],
};

pub(super) const PORT_MESSAGES: Chapter = Chapter {
    title: "The port: messages",
    clauses: &[
        Clause {
            text: "What is published after `subscribe` returned arrives on the channels that match, in order.",
            cases: &["port.publish_reaches_subscribers"],
        },
        Clause {
            text: "A message has its payload as it was published, 512 KiB at least on every backend.",
            cases: &["port.payloads_are_untouched", "port.largest_payload"],
        },
        Clause {
            text: "A payload over the limit is refused with `InvalidArgument`, which names the channel.",
            cases: &["port.too_large_a_message_is_refused"],
        },
        Clause {
            text: "A message says when it was published, by the publisher's clock.",
            cases: &["port.messages_tell_when_they_were_published"],
        },
        Clause {
            text: "A `Lagged` error marks missed messages, and the stream goes on after it.",
            cases: &["port.a_gap_is_marked_and_the_stream_goes_on"],
        },
        Clause {
            text: "A user sees channels as they were named, and none of the port's own.",
            cases: &["port.channels_are_the_users_own"],
        },
    ],
};

pub(super) const NODES: Chapter = Chapter {
    title: "The port: nodes",
    clauses: &[
        Clause {
            text: "`register_node` announces a node, and `list_nodes` returns those that are alive, ascending.",
            cases: &["port.a_registered_node_is_listed"],
        },
        Clause {
            text: "A node that is registered and sends no heartbeat is listed for 60 seconds.",
            cases: &["port.a_registration_lasts_a_minute"],
        },
        Clause {
            text: "`get_node_metadata` returns what a node was last registered with while it is alive, `{}` if that \
                   was nothing.",
            cases: &["port.a_node_has_its_metadata", "port.registering_again_replaces_the_metadata"],
        },
        Clause {
            text: "`heartbeat` keeps a node listed for its TTL from now on, and that TTL alone expires it.",
            cases: &["port.heartbeats_keep_a_node", "port.a_heartbeat_alone_expires_a_node"],
        },
        Clause {
            text: "A heartbeat lists a node that had expired with its metadata, and one that nobody registered.",
            cases: &["port.a_late_heartbeat_lists_it_again", "port.a_heartbeat_of_a_stranger_lists_it"],
        },
    ],
};

pub(super) const LEADERSHIP: Chapter = Chapter {
    title: "The port: leadership",
    clauses: &[
        Clause {
            text: "`try_acquire_leadership` makes a node leader for its TTL if there is none, and returns `false` \
                   otherwise.",
            cases: &["port.the_first_becomes_leader", "port.a_second_does_not"],
        },
        Clause {
            text: "Of many candidates at once, one becomes leader.",
            cases: &["port.one_of_many_candidates_wins"],
        },
        Clause {
            text: "A leader that asks again extends its own term to the TTL from now on.",
            cases: &["port.a_leader_extends_its_term"],
        },
        Clause {
            text: "A term ends with its TTL: another node can lead from then on, and the one before gets `false`.",
            cases: &["port.a_term_ends"],
        },
        Clause {
            text: "`release_leadership` ends the term of the leader at once.",
            cases: &["port.a_leader_steps_down"],
        },
        Clause {
            text: "`release_leadership` returns `false` for a node that is not the leader, or not any more, and \
                   changes nothing.",
            cases: &["port.nobody_else_steps_down_for_it", "port.a_late_release_spares_the_next_leader"],
        },
    ],
};

pub(super) const HEALTH: Chapter = Chapter {
    title: "The port: health and statistics",
    clauses: &[
        Clause {
            text: "`health_check` returns `true` if the backend is healthy.",
            cases: &["port.a_healthy_backend_is_healthy"],
        },
        Clause {
            text: "Health has the time that the answer took, and a line for each reason why the backend is not as it \
                   should be.",
            cases: &["capabilities.health_is_answered"],
        },
        Clause {
            text: "The health of a server that does not answer is an error.",
            cases: &["faults.health_of_a_silent_server_is_an_error"],
        },
        Clause {
            text: "`stats` names the backend, its version and its latency, and the time over which rates are averages.",
            cases: &["port.stats_name_the_backend"],
        },
        Clause {
            text: "`stats` counts the nodes that are alive, and names the leader.",
            cases: &["port.stats_know_the_cluster"],
        },
        Clause {
            text: "`stats` has what this handle did: messages published and taken per second, and open subscriptions.",
            cases: &[
                "port.stats_count_messages",
                "port.stats_count_subscriptions",
                "port.shared_handles_count_together",
            ],
        },
    ],
};
