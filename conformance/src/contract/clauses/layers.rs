//! What goes around a driver.

chapter! { LAYERS "Layers";
    LAYERS_PREFIX_HAS_ROOM
        "A stored name may have 768 bytes: a user's 512, and what layers and recipes put in front of them.";
    NESTED_NAMESPACE_IS_A_NAMESPACE "A nested namespace is a namespace of its own.";
    RETRIES_APPLY_NOTHING_TWICE
        "A retry repeats what was surely not applied, and what may have been only if that cannot apply it twice. A \
         write may still end as unknown: when its attempts or their time are used up while the last of them had no \
         answer, or when its id is remembered no longer.";
    WAITING_CLAIM_IS_REPEATED_FOR_WHAT_IS_LEFT
        "A claim that breaks while it waits is repeated for what is left of its wait, which is not taken off the \
         time for retries.";
    EXHAUSTED_RETRIES_SAY_NEVER
        "The error of the last attempt says that repeating will not help, and still whether it may have been applied.";
    ATTEMPT_ENDS_IN_TIME "An attempt that gets no answer ends after its timeout.";
}
