//! The port that applications hold.

chapter! { KEYS "The port: keys";
    SET_THEN_GET "`set` writes a key, for ever or for a time, and `get` returns its value.";
    EXISTS_TELLS_WHETHER_IT_DOES "`exists` says whether a key exists.";
    TTL_TELLS_HOW_LONG "`ttl` says how long a key has left, and `None` if it does not exist or lives for ever.";
    INCR_COUNTS
        "`incr` adds to a counter and returns its new value; one that it creates starts at 0 and lives for its TTL.";
    INCR_OF_TEXT_IS_A_CONFLICT "An error of the port names the port's method, and the key as the user wrote it.";
    DELETE_TELLS_WHETHER_IT_EXISTED
        "`delete` and `delete_many` remove keys, any number of them, and say whether or how many existed.";
    DELETE_MANY_IS_ATOMIC "`delete_many` is atomic up to the declared number of operations of a transaction.";
    KEYS_ARE_THOSE_THAT_MATCH "`keys` returns the keys that match a pattern, ascending, however many there are.";
    DELETE_PATTERN_DELETES_WHAT_MATCHES
        "`delete_pattern` removes the keys that match a pattern, however many there are, and returns how many.";
    USER_KEYS_ARE_APART "A user's key is never taken for a node, a lock or a leader.";
    FLUSH_ALL_REMOVES_EVERYTHING
        "`flush_all` removes keys, nodes and leadership in its namespace, and nothing outside of it.";
    FLUSH_ALL_REMOVES_LOCKS_AND_STREAMS "`flush_all` removes locks and streams too.";
}

chapter! { PORT_MESSAGES "The port: messages";
    PUBLISH_REACHES_SUBSCRIBERS
        "What is published after `subscribe` returned arrives on the channels that match, in order.";
    PAYLOADS_ARE_UNTOUCHED "A message has its payload as it was published, 512 KiB at least on every backend.";
    TOO_LARGE_A_MESSAGE_IS_REFUSED
        "A payload over the limit is refused with `InvalidArgument`, which names the channel.";
    MESSAGES_TELL_WHEN_THEY_WERE_PUBLISHED "A message says when it was published, by the publisher's clock.";
    GAP_IS_MARKED_AND_THE_STREAM_GOES_ON "A `Lagged` error marks missed messages, and the stream goes on after it.";
    CHANNELS_ARE_THE_USERS_OWN "A user sees channels as they were named, and none of the port's own.";
}

chapter! { NODES "The port: nodes";
    REGISTERED_NODE_IS_LISTED
        "`register_node` announces a node, and `list_nodes` returns those that are alive, ascending.";
    REGISTRATION_LASTS_A_MINUTE "A node that is registered and sends no heartbeat is listed for 60 seconds.";
    NODE_HAS_ITS_METADATA
        "`get_node_metadata` returns what a node was last registered with while it is alive, `{}` if that was nothing.";
    HEARTBEATS_KEEP_A_NODE "`heartbeat` keeps a node listed for its TTL from now on, and that TTL alone expires it.";
    LATE_HEARTBEAT_LISTS_IT_AGAIN
        "A heartbeat lists a node that had expired with its metadata, and one that nobody registered.";
}

chapter! { LEADERSHIP "The port: leadership";
    FIRST_BECOMES_LEADER
        "`try_acquire_leadership` makes a node leader for its TTL if there is none, and returns `false` otherwise.";
    ONE_OF_MANY_CANDIDATES_WINS "Of many candidates at once, one becomes leader.";
    LEADER_EXTENDS_ITS_TERM "A leader that asks again extends its own term to the TTL from now on.";
    TERM_ENDS "A term ends with its TTL: another node can lead from then on, and the one before gets `false`.";
    LEADER_STEPS_DOWN "`release_leadership` ends the term of the leader at once.";
    NOBODY_ELSE_STEPS_DOWN_FOR_IT
        "`release_leadership` returns `false` for a node that is not the leader, or not any more, and changes nothing.";
}

chapter! { HEALTH "The port: health and statistics";
    HEALTHY_BACKEND_IS_HEALTHY "`health_check` returns `true` if the backend is healthy.";
    HEALTH_IS_ANSWERED
        "Health has the time that the answer took, and a line for each reason why the backend is not as it should be.";
    HEALTH_OF_A_SILENT_SERVER_IS_AN_ERROR "The health of a server that does not answer is an error.";
    STATS_NAME_THE_BACKEND
        "`stats` names the backend, its version and its latency, and the time over which rates are averages.";
    STATS_KNOW_THE_CLUSTER "`stats` counts the nodes that are alive, and names the leader.";
    STATS_COUNT_MESSAGES
        "`stats` has what this handle did: messages published and taken per second, and open subscriptions.";
}
