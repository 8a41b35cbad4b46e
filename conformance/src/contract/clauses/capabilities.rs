//! What a backend says of itself.

chapter! { CAPABILITIES "Capabilities";
    BACKEND_HAS_A_NAME_AND_A_VERSION "A backend declares its name and the version of its server.";
    EVERY_HANDLE_DECLARES_THE_SAME "Every handle declares the same.";
    LIMITS_ARE_AT_LEAST_THE_MINIMUM "Every backend offers the minimum of each limit at least.";
    LIMITS_CAN_BE_REACHED "What is declared is tested: no limit is declared that no test could reach.";
    TTL_SUPPORT_MAKES_SENSE "A backend that offers TTLs declares how it counts them: granularity, minimum and slack.";
    WINDOWS_ARE_LONGER_THAN_NOTHING
        "A backend that offers transaction ids or record ids declares for how long it remembers them.";
    DURABILITY_HAS_A_REASON
        "A backend declares what survives a restart and a loss of power, as it is configured, and what that rests on.";
    WHAT_IS_DECLARED_TO_SURVIVE_SURVIVES "What is declared to survive a restart of the server survives it.";
    WHAT_IS_NOT_DECLARED_IS_REFUSED "What is not declared is refused with `Unsupported`.";
    WHAT_IS_REFUSED_NEEDS_NO_SERVER "What is refused as unsupported or not allowed is refused before anything is sent.";
}
