//! The members recipe.

chapter! { STAYING "Members: staying";
    MEMBER_IS_LISTED
        "`join` announces a member with its metadata and capabilities, and `list` returns those who are there, \
         ascending.";
    GROUPS_ARE_APART "Two names are two groups, whatever characters they are made of.";
    ONE_ID_IS_ONE_MEMBER "Two who join under one id are one member, which says what the last of them said.";
    MEMBER_OUTLIVES_ITS_TTL
        "A member is there for as long as its process lives and reaches the backend: heartbeats are automatic.";
    HEARTBEATS_GO_WITH_THE_LEASES "Heartbeats and the renewals of locks are sent together, in batches.";
    DEAD_MEMBER_IS_GONE_IN_TIME "A member that dies is gone when its TTL has passed, within the declared slack.";
    WHO_LEFT_CAN_JOIN_AGAIN_AT_ONCE
        "A member that leaves is gone when `leave` returns; dropping the membership leaves in the background.";
    UPDATES_ARE_SEEN "`update` and `update_capabilities` change what a member says, and it stays the member it was.";
    MEMBER_JOINS_AGAIN "A member that the backend has lost joins again by itself, with what it said last.";
    FAILED_HEARTBEAT_IS_TOLD "Every heartbeat that fails is told.";
    SHUTDOWN_LEAVES "`shutdown` takes every member of the coordinator off the list.";
    BAD_MEMBERS_ARE_REFUSED
        "A group, id, capability, TTL or metadata that is not allowed is refused with `InvalidArgument`.";
}

chapter! { WATCHING "Members: watching";
    WHO_IS_THERE_COMES_FIRST "`watch` tells first who is there, then `Synced`, then who joins, changes and leaves.";
    DEAD_ARE_TOLD_IN_TIME "`watch` tells that a member has died, once its TTL and the declared slack have passed.";
    HEARTBEATS_ARE_NO_CHANGES "A heartbeat is no change.";
    NODE_OF_THE_PORT_IS_SEEN "The group called `default` and the nodes of the port are one.";
    HEARTBEAT_OF_THE_PORT_SPARES_A_MEMBER
        "Heartbeats and registrations through the port do not take a member off the list.";
}
