//! Messages: now or never, and acknowledged.

use super::{Chapter, Clause};

pub(super) const MESSAGES: Chapter = Chapter {
    title: "Messages",
    clauses: &[
        Clause {
            text: "A message goes to every subscriber that is subscribed when it is sent, with its channel and \
                   payload.",
            cases: &["messages.a_message_arrives", "messages.every_subscriber_gets_it", "messages.own_messages_arrive"],
        },
        Clause {
            text: "A message goes to nobody who subscribes after it was sent.",
            cases: &[
                "messages.nothing_arrives_from_before",
                "messages.a_second_subscription_hears_nothing_from_before",
            ],
        },
        Clause {
            text: "A subscription is live at the server when `subscribe` returns.",
            cases: &["messages.a_subscription_is_live_when_it_is_returned", "messages.subscribing_again_works"],
        },
        Clause {
            text: "A message arrives at most once at each subscription, also where patterns overlap.",
            cases: &["messages.each_message_arrives_once", "messages.overlapping_patterns_deliver_once"],
        },
        Clause {
            text: "A subscription yields what matches its pattern, whatever else its handle is subscribed to.",
            cases: &[
                "messages.many_patterns_on_one_handle",
                "messages.equal_payloads_are_messages_each",
                "messages.others_come_and_go_unnoticed",
            ],
        },
        Clause {
            text: "Messages are ordered per publisher and channel.",
            cases: &[
                "messages.messages_keep_their_order",
                "messages.each_publisher_keeps_its_order",
                "messages.small_and_large_messages_keep_their_order",
            ],
        },
        Clause {
            text: "A payload is any bytes, or none, as many as declared.",
            cases: &[
                "messages.any_bytes_are_a_payload",
                "messages.an_empty_payload_arrives",
                "messages.payload_at_the_limit",
            ],
        },
        Clause {
            text: "A payload over the limit is refused with `InvalidArgument`, and nothing is sent.",
            cases: &["messages.payload_over_the_limit_is_refused"],
        },
        Clause {
            text: "A subscriber that lags past its bound gets an explicit `Lagged`, never silence, and goes on.",
            cases: &["messages.a_slow_subscriber_is_told_what_it_missed", "messages.a_slow_subscriber_goes_on"],
        },
        Clause {
            text: "What is kept for a subscriber that lags is bounded, in bytes too.",
            cases: &["messages.large_messages_are_bounded_as_well"],
        },
        Clause {
            text: "A subscriber that is not read holds up neither other subscribers nor publishers.",
            cases: &["messages.a_slow_subscriber_holds_nobody_up"],
        },
        Clause {
            text: "Dropping a subscription ends it, at the server too, and no other.",
            cases: &["messages.dropping_ends_a_subscription", "messages.dropping_leaves_the_others"],
        },
        Clause {
            text: "Publishing says that nobody is subscribed where the backend can know, and never where \
                   somebody is.",
            cases: &["messages.nobody_is_told_apart", "messages.reach_is_never_too_low"],
        },
        Clause {
            text: "A subscription that was cut off comes back by itself, and marks with `Lagged` what it \
                   may have missed, before the first message after that.",
            cases: &[
                "faults.a_subscription_goes_on_and_marks_the_gap",
                "faults.a_gap_is_marked_before_what_comes_after_it",
            ],
        },
    ],
};

pub(super) const ACKNOWLEDGED: Chapter = Chapter {
    title: "Acknowledged messages",
    clauses: &[
        Clause {
            text: "A subscriber acknowledges a message by taking it out of its stream; `publish_with_ack` returns how \
                   many have.",
            cases: &["port.an_acknowledged_message_returns"],
        },
        Clause {
            text: "`publish_with_ack` returns as soon as one subscriber has taken the message.",
            cases: &["port.the_first_acknowledgement_is_enough"],
        },
        Clause {
            text: "`publish_with_ack` fails with `Timeout` if no subscriber took the message in time.",
            cases: &["port.nobody_taking_it_is_a_timeout"],
        },
        Clause {
            text: "`publish_with_ack` fails with `Closed` if its handle is closed meanwhile, within a \
                   second, and says that the message may have been sent.",
            cases: &["port.closing_ends_a_wait_for_acknowledgements"],
        },
        Clause {
            text: "`publish_with_ack` fails with `NoSubscribers` at once where the backend can know that nobody is \
                   subscribed.",
            cases: &["port.nobody_subscribed_is_told"],
        },
        Clause {
            text: "`publish_with_ack` counts the acknowledgements of its own message, and of no other.",
            cases: &["port.acknowledgements_are_not_mixed_up"],
        },
        Clause {
            text: "A message that awaits acknowledgement arrives as any other.",
            cases: &["port.the_message_arrives_as_any_other"],
        },
    ],
};
