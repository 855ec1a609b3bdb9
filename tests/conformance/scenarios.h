/* The statements of the contract, what of them is not shown, and the scenarios that show the rest:
 * three X-macro tables, from which the program and the table in docs/contract.md are made. */
#ifndef TESTS_CONFORMANCE_SCENARIOS_H
#define TESTS_CONFORMANCE_SCENARIOS_H

/* X(number, text) */
#define STATEMENT_LIST(X)                                                                           \
	X(0, "Beyond the statements, most from ACE's own tests")                                        \
	X(1, "An accepted operation has exactly one final completion; a refused one none.")             \
	X(2, "No callback inside the initiating call.")                                                 \
	X(3, "Callbacks only on threads that run the loop; those of one handler never overlap.")        \
	X(4, "Operation and buffer belong to the port until completion, whatever cancel returned; "     \
		 "starting one in flight is EBUSY.")                                                        \
	X(5, "Cancel leads to success with n bytes, or ECANCELED with n >= 0; bytes received are "      \
		 "never dropped.")                                                                          \
	X(6, "A cancel hits only the flight it was meant for, never the next use of the same object.")  \
	X(7, "Cancel of a finished operation is \"not found\"; the order of a cancel and its "          \
		 "target's completion is not promised.")                                                    \
	X(8, "Close with N operations in flight gives N × ECANCELED, then handle_close, and the peer " \
		 "sees the end within 100 ms.")                                                             \
	X(9, "No completion of an old handle reaches a new one that bears the same number.")            \
	X(10, "A handler closed in flight is freed only after its last completion; nothing runs "       \
		  "after handle_close.")                                                                    \
	X(11, "Any callback may restart, close itself or another handler, stop the loop, post.")        \
	X(12, "Stop and drain deliver everything, leave nothing in flight, are idempotent and "         \
		  "callable from any thread; a wake arrives within 100 ms.")                                \
	X(13, "M posters × N posts = M·N deliveries, in order per poster; no wake is lost.")            \
	X(14, "Overflow of the completion queue loses nothing.")                                        \
	X(15, "A full submission queue, EBUSY, EAGAIN and EINTR are retried, not spun on, and "         \
		  "invisible.")                                                                             \
	X(16, "Writes on a stream go out in order, never interleaved, whole or with an error and a "    \
		  "count.")                                                                                 \
	X(17, "End of stream is one outcome everywhere, repeatable; after a half-close, writing "       \
		  "still works.")                                                                           \
	X(18, "A reset gives at least one error or a \"broken\" mark, even when the receive reports "   \
		  "a clean end. A reset never commits an upload.")                                          \
	X(19, "SIGPIPE is never raised, and no signal disposition is touched.")                         \
	X(20, "A zero-copy buffer returns only after its notification.")                                \
	X(21, "Exhausted receive buffers are back-pressure, not loss.")                                 \
	X(22, "Accept under EMFILE, ENFILE, ENOMEM, ECONNABORTED: at most 100 tries a second, "         \
		  "recovery within 1 s, the waiting connection kept. A listener never goes deaf.")          \
	X(23, "Re-arming and timers need no allocation, so they cannot fail.")                          \
	X(24, "Timers: monotonic, never early, one shot per arm, none after a successful cancel; 0, "   \
		  "negative and huge delays are defined.")                                                  \
	X(25, "Fairness: a firehose and 100 ping-pong peers; no peer waits longer than 4 batches.")     \
	X(26, "Files: 64-bit offsets, sparse, beyond 4 GiB; the same end of file everywhere; a short "  \
		  "write then ENOSPC is reported with its count.")                                          \
	X(27, "TransmitFile: header + file + trailer, any may be absent; 0 bytes; > 2 GiB split; a "    \
		  "file that shrinks is an error, not a hang; a dying peer too.")                           \
	X(28, "After fork, the child's calls fail cleanly and the parent loses nothing.")               \
	X(29, "No operation runs with credentials from before a setuid.")                               \
	X(30, "A port that cannot be had leads to the next port with the same traces; a forced port "   \
		  "fails with the reason.")                                                                 \
	X(31, "When the k-th allocation fails, for every k: a clean error, no leak, still usable. In "  \
		  "the steady state there are no allocations.")                                             \
	X(32, "Queues are bounded; above the high-water mark a start is refused with its own code, "    \
		  "and the peak is reported.")                                                              \
	X(33, "One error table; an unmapped code fails a test.")                                        \
	X(34, "Double close, stale handle, NULL buffer, lengths 0 and > 4 GiB: defined errors.")        \
	X(35, "Descriptors are close-on-exec; descriptor, handle and thread counts return to where "    \
		  "they were.")                                                                             \
	X(36, "Two proactors in one process are independent; there are no globals but the optional "    \
		  "singleton.")

/* X(number, port, why): where a statement has no scenario; "all" is every port. */
#define OPEN_LIST(X)                                                                               \
	X(3, "sim", "a simulated world has one thread; the laws are asserted at each callback")        \
	X(19, "iocp", "Windows has no SIGPIPE")                                                        \
	X(19, "sim", "nothing in it reaches the system, so there is nobody to raise it")               \
	X(20, "all", "this version has no zero-copy sends")                                            \
	X(28, "iocp", "Windows has no fork")                                                           \
	X(28, "sim", "a world belongs to one process")                                                 \
	X(29, "iocp", "Windows has no setuid")                                                         \
	X(29, "sim", "there are no credentials in it")

/* X(statement, name, needs) */
#define SCENARIO_LIST(X)                                                                           \
	X(1, read_completes_once_with_its_bytes, NEEDS_NOTHING)                                        \
	X(1, read_completes_once_when_closed, NEEDS_NOTHING)                                           \
	X(1, refused_start_never_completes, NEEDS_NOTHING)                                             \
	X(1, each_class_completes_once, NEEDS_NOTHING)                                                 \
	X(2, no_callback_inside_a_start, NEEDS_NOTHING)                                                \
	X(2, no_callback_inside_a_cancel_or_close, NEEDS_NOTHING)                                      \
	X(3, callbacks_of_one_handler_never_overlap, NEEDS_THREADS)                                    \
	X(4, operation_is_busy_until_its_callback, NEEDS_NOTHING)                                      \
	X(4, one_of_many_starts_is_accepted, NEEDS_THREADS)                                            \
	X(4, buffer_is_not_touched_after_a_cancelled_completion, NEEDS_NOTHING)                        \
	X(5, each_class_can_be_cancelled, NEEDS_NOTHING)                                               \
	X(5, cancelled_read_exactly_keeps_the_bytes_that_came, NEEDS_NOTHING)                          \
	X(5, read_exactly_waits_for_all_bytes, NEEDS_NOTHING)                                          \
	X(5, bytes_survive_a_race_with_cancel, NEEDS_NOTHING)                                          \
	X(5, bytes_survive_cancels_from_other_threads, NEEDS_THREADS)                                  \
	X(5, cancelled_accept_keeps_the_connection, NEEDS_NOTHING)                                     \
	X(5, cancelled_write_reports_what_went_out, NEEDS_NOTHING)                                     \
	X(5, cancel_finds_what_waits_in_the_queue, NEEDS_NOTHING)                                      \
	X(5, each_class_times_out, NEEDS_NOTHING)                                                      \
	X(5, timeout_of_zero_polls, NEEDS_NOTHING)                                                     \
	X(5, stall_deadline_counts_from_the_last_bytes, NEEDS_NOTHING)                                 \
	X(5, hanging_connect_times_out, NEEDS_SYSTEM)                                                  \
	X(6, cancel_hits_only_its_flight, NEEDS_THREADS)                                               \
	X(6, cancels_of_the_past_do_not_hit_the_present, NEEDS_THREADS)                                \
	X(6, a_cancel_does_not_hit_what_is_written_after_it, NEEDS_NOTHING)                            \
	X(6, deadline_of_the_past_does_not_hit_the_present, NEEDS_NOTHING)                             \
	X(6, deadline_of_a_write_does_not_hit_the_next, NEEDS_SYSTEM)                                  \
	X(7, cancel_of_a_finished_operation_is_not_found, NEEDS_NOTHING)                               \
	X(7, cancel_twice_completes_once, NEEDS_NOTHING)                                               \
	X(8, close_with_nothing_gives_handle_close, NEEDS_NOTHING)                                     \
	X(8, close_with_1_read_gives_1_cancel_then_handle_close, NEEDS_NOTHING)                        \
	X(8, close_with_8_reads_gives_8_cancels_then_handle_close, NEEDS_NOTHING)                      \
	X(8, close_with_1000_reads_gives_1000_cancels_then_handle_close, NEEDS_NOTHING)                \
	X(8, close_right_after_1000_starts_cancels_them_all, NEEDS_NOTHING)                            \
	X(8, close_with_1000_accepts_gives_1000_cancels, NEEDS_NOTHING)                                \
	X(8, close_cancels_a_mixture, NEEDS_NOTHING)                                                   \
	X(8, handle_that_comes_while_closing_is_closed_too, NEEDS_NOTHING)                             \
	X(8, handle_that_comes_after_the_last_step_is_closed_too, NEEDS_NOTHING)                       \
	X(8, peer_sees_the_end_within_100_ms_of_a_close, NEEDS_NOTHING)                                \
	X(8, peer_of_a_pair_sees_the_end_within_100_ms, NEEDS_NOTHING)                                 \
	X(8, hanging_connects_are_cancelled_and_closed, NEEDS_SYSTEM)                                  \
	X(9, no_completion_of_an_old_handle_reaches_its_number_again, NEEDS_NOTHING)                   \
	X(9, stale_operations_do_not_reach_a_reused_number, NEEDS_NOTHING)                             \
	X(10, handler_is_freed_after_its_last_completion, NEEDS_NOTHING)                               \
	X(10, close_twice_gives_one_handle_close, NEEDS_NOTHING)                                       \
	X(10, close_of_an_unused_handler_gives_handle_close, NEEDS_NOTHING)                            \
	X(10, close_may_come_from_any_thread, NEEDS_THREADS)                                           \
	X(11, every_callback_may_restart, NEEDS_NOTHING)                                               \
	X(11, every_callback_may_close_its_handler, NEEDS_NOTHING)                                     \
	X(11, every_callback_may_close_another_handler, NEEDS_NOTHING)                                 \
	X(11, every_callback_may_close_both, NEEDS_NOTHING)                                            \
	X(11, every_callback_may_end_the_loop, NEEDS_NOTHING)                                          \
	X(11, every_callback_may_shut_down, NEEDS_NOTHING)                                             \
	X(11, every_callback_may_post_to_its_handler, NEEDS_NOTHING)                                   \
	X(11, every_callback_may_post_to_another_handler, NEEDS_NOTHING)                               \
	X(11, every_callback_may_wake_its_handler, NEEDS_NOTHING)                                      \
	X(11, every_callback_may_cancel_another_operation, NEEDS_NOTHING)                              \
	X(11, no_callback_may_destroy_the_proactor, NEEDS_NOTHING)                                     \
	X(11, no_callback_may_run_the_loop, NEEDS_NOTHING)                                             \
	X(12, end_stops_the_loop_after_the_running_callback, NEEDS_NOTHING)                            \
	X(12, end_before_the_loop_runs_is_not_forgotten, NEEDS_NOTHING)                                \
	X(12, end_from_another_thread_wakes_the_loop_within_100_ms, NEEDS_THREADS)                     \
	X(12, wake_arrives_within_100_ms, NEEDS_SYSTEM | NEEDS_THREADS)                                \
	X(12, end_works_from_a_signal_handler, NEEDS_SYSTEM)                                           \
	X(12, run_for_lasts_its_time, NEEDS_NOTHING)                                                   \
	X(12, handle_events_counts_callbacks_and_keeps_its_time, NEEDS_NOTHING)                        \
	X(12, only_one_thread_runs_a_loop, NEEDS_THREADS)                                              \
	X(12, refused_thread_changes_nothing, NEEDS_THREADS)                                           \
	X(12, shutdown_cancels_everything_and_the_loop_returns, NEEDS_NOTHING)                         \
	X(12, starts_are_refused_after_a_shutdown, NEEDS_NOTHING)                                      \
	X(12, shutdown_may_come_from_other_threads, NEEDS_THREADS)                                     \
	X(12, destroy_closes_what_is_in_flight, NEEDS_NOTHING)                                         \
	X(12, destroy_accepts_nothing_and_the_unused, NEEDS_NOTHING)                                   \
	X(12, destroy_after_the_thread_of_the_loop_has_ended, NEEDS_THREADS)                           \
	X(13, posts_of_4_threads_arrive_once_and_in_order, NEEDS_THREADS)                              \
	X(13, no_wake_is_lost_when_the_loop_goes_to_sleep, NEEDS_THREADS)                              \
	X(13, after_the_last_wake_everything_is_seen, NEEDS_THREADS)                                   \
	X(13, posts_carry_block_and_act_in_order, NEEDS_NOTHING)                                       \
	X(14, queue_of_4_entries_loses_nothing, NEEDS_NOTHING)                                         \
	X(15, 1000_starts_at_once_on_4_entries_are_all_served, NEEDS_NOTHING)                          \
	X(15, connects_to_a_full_listener_wait_for_room, NEEDS_LINUX)                                  \
	X(15, datagrams_to_a_full_receiver_wait_for_room, NEEDS_LINUX)                                 \
	X(15, interrupting_signals_are_invisible, NEEDS_LINUX)                                         \
	X(15, waiting_costs_no_processor_time, NEEDS_SYSTEM)                                           \
	X(16, queued_writes_go_out_in_order_through_tiny_buffers, NEEDS_NOTHING)                       \
	X(16, queued_writes_of_a_pair_go_out_in_order, NEEDS_NOTHING)                                  \
	X(16, write_sends_one_block_and_writev_its_chain, NEEDS_NOTHING)                               \
	X(16, readv_fills_the_blocks_of_a_chain_in_order, NEEDS_NOTHING)                               \
	X(16, writes_of_many_threads_never_interleave, NEEDS_THREADS)                                  \
	X(16, nothing_overtakes_a_write_that_failed, NEEDS_NOTHING)                                    \
	X(16, write_to_a_dying_peer_is_an_error_with_its_count, NEEDS_NOTHING)                         \
	X(16, full_duplex_flows_both_ways, NEEDS_NOTHING)                                              \
	X(17, end_of_a_stream_can_be_read_again_and_again, NEEDS_NOTHING)                              \
	X(17, end_of_a_pair_can_be_read_again_and_again, NEEDS_NOTHING)                                \
	X(17, after_a_half_close_writing_still_works, NEEDS_NOTHING)                                   \
	X(17, end_does_not_follow_a_write_that_failed, NEEDS_LINUX)                                    \
	X(17, raw_shutdown_ends_the_peers_stream, NEEDS_NOTHING)                                       \
	X(18, reset_is_an_error_to_reads_and_writes, NEEDS_NOTHING)                                    \
	X(18, reset_never_looks_like_a_finished_upload, NEEDS_NOTHING)                                 \
	X(19, writing_to_the_dead_raises_no_sigpipe, NEEDS_LINUX)                                      \
	X(21, used_up_lent_blocks_are_back_pressure, NEEDS_NOTHING)                                    \
	X(21, files_wait_for_lent_blocks, NEEDS_SYSTEM)                                                \
	X(21, the_end_of_a_stream_keeps_no_lent_block, NEEDS_NOTHING)                                  \
	X(21, failed_reads_keep_no_lent_block, NEEDS_SYSTEM)                                           \
	X(21, lent_blocks_may_be_released_by_another_thread, NEEDS_THREADS)                            \
	X(21, reads_that_wait_for_a_block_can_be_cancelled, NEEDS_NOTHING)                             \
	X(21, borrowed_block_can_be_echoed, NEEDS_NOTHING)                                             \
	X(21, borrowed_reads_take_no_more_than_was_asked_for, NEEDS_NOTHING)                           \
	X(22, acceptor_serves_many_connections, NEEDS_NOTHING)                                         \
	X(22, refused_connections_do_not_deafen_the_listener, NEEDS_NOTHING)                           \
	X(22, connections_that_die_in_the_queue_do_not_deafen_the_listener, NEEDS_SYSTEM)              \
	X(22, acceptor_out_of_descriptors_recovers, NEEDS_LINUX)                                       \
	X(22, many_accepts_out_of_descriptors_try_as_seldom_as_one, NEEDS_LINUX)                       \
	X(22, accept_out_of_descriptors_is_an_error_and_keeps_the_connection, NEEDS_LINUX)             \
	X(22, connect_out_of_descriptors_is_an_error, NEEDS_LINUX)                                     \
	X(22, acceptor_on_a_taken_address_fails_and_leaks_nothing, NEEDS_NOTHING)                      \
	X(23, timers_and_restarts_need_no_memory, NEEDS_NOTHING)                                       \
	X(24, timers_expire_in_order_and_never_early, NEEDS_NOTHING)                                   \
	X(24, timer_of_zero_expires_at_the_next_turn, NEEDS_NOTHING)                                   \
	X(24, negative_delays_are_refused_and_huge_ones_never_come, NEEDS_NOTHING)                     \
	X(24, timer_is_one_shot_for_each_start, NEEDS_NOTHING)                                         \
	X(24, cancelled_timer_never_expires, NEEDS_NOTHING)                                            \
	X(24, timer_cancelled_by_another_thread_completes_once, NEEDS_THREADS)                         \
	X(24, repeating_timer_repeats_until_cancelled, NEEDS_NOTHING)                                  \
	X(24, repeating_timer_without_delay_is_never_early, NEEDS_NOTHING)                             \
	X(24, missed_intervals_are_counted_not_repeated, NEEDS_SYSTEM)                                 \
	X(24, timer_restarts_itself_in_its_callback, NEEDS_NOTHING)                                    \
	X(24, all_timers_of_a_handler_can_be_cancelled_at_once, NEEDS_NOTHING)                         \
	X(24, a_million_timers_are_normal, NEEDS_NOTHING)                                              \
	X(25, firehose_does_not_starve_100_peers, NEEDS_NOTHING)                                       \
	X(26, files_reach_beyond_4_gib, NEEDS_NOTHING)                                                 \
	X(26, end_of_a_file_is_the_same_everywhere, NEEDS_NOTHING)                                     \
	X(26, vectored_file_transfers_and_many_at_once, NEEDS_NOTHING)                                 \
	X(26, write_beyond_the_limit_of_file_sizes_is_an_error_with_its_count, NEEDS_LINUX)            \
	X(26, full_disk_is_an_error_with_its_count, NEEDS_ROOT | NOT_ON_WINDOWS)                       \
	X(26, files_open_as_their_flags_say, NEEDS_NOTHING)                                            \
	X(26, file_transfers_end_before_the_close, NEEDS_NOTHING)                                      \
	X(27, transmit_file_sends_any_parts, NEEDS_NOTHING)                                            \
	X(27, transmit_file_without_blocks_sends_the_file, NEEDS_NOTHING)                              \
	X(27, transmit_file_beyond_the_end_is_an_error, NEEDS_NOTHING)                                 \
	X(27, transmit_file_beyond_2_gib, NEEDS_NOTHING)                                               \
	X(27, transmit_file_that_shrinks_is_an_error, NEEDS_NOTHING)                                   \
	X(27, transmit_file_whose_file_is_closed_is_an_error, NEEDS_SYSTEM)                            \
	X(27, transmit_file_to_a_dying_peer_is_an_error, NEEDS_NOTHING)                                \
	X(27, transmit_file_to_a_stalled_peer_times_out, NEEDS_NOTHING)                                \
	X(27, transmit_file_can_be_cancelled, NEEDS_NOTHING)                                           \
	X(27, transmit_file_in_flight_is_cancelled_by_a_close, NEEDS_NOTHING)                          \
	X(27, one_file_is_transmitted_to_many_peers, NEEDS_NOTHING)                                    \
	X(28, after_a_fork_the_child_fails_and_the_parent_loses_nothing, NEEDS_LINUX)                  \
	X(28, a_forked_child_may_have_a_proactor_of_its_own, NEEDS_LINUX)                              \
	X(29, no_operation_runs_with_credentials_from_before_a_setuid, NEEDS_LINUX | NEEDS_ROOT)       \
	X(30, forbidden_ring_leads_to_epoll_or_fails_with_the_reason, NEEDS_LINUX)                     \
	X(30, report_names_the_port_and_its_limits, NEEDS_NOTHING)                                     \
	X(31, any_failing_allocation_is_a_clean_error, NEEDS_NOTHING)                                  \
	X(31, echo_allocates_once_per_connection_and_never_per_message, NEEDS_NOTHING)                 \
	X(31, echo_with_borrowed_blocks_allocates_once_per_connection, NEEDS_NOTHING)                  \
	X(32, write_queue_refuses_above_its_limit, NEEDS_NOTHING)                                      \
	X(32, write_queue_is_bounded_by_default, NEEDS_NOTHING)                                        \
	X(33, every_error_has_one_number_name_and_text, NEEDS_NOTHING)                                 \
	X(34, impossible_options_are_refused_with_a_reason, NEEDS_NOTHING)                             \
	X(34, missing_slots_are_refused_when_operations_are_opened, NEEDS_NOTHING)                     \
	X(34, null_and_empty_arguments_are_refused, NEEDS_NOTHING)                                     \
	X(34, operations_that_were_not_opened_are_refused, NEEDS_NOTHING)                              \
	X(34, stale_handles_are_errors_not_somebody_elses, NEEDS_NOTHING)                              \
	X(34, handles_beyond_descriptors_are_nobodys, NEEDS_LINUX)                                     \
	X(34, handles_of_the_wrong_kind_are_errors, NEEDS_NOTHING)                                     \
	X(34, only_connected_streams_end_their_sending, NEEDS_NOTHING)                                 \
	X(34, handles_may_be_closed_twice, NEEDS_NOTHING)                                              \
	X(34, lengths_beyond_4_gib_are_taken_as_they_are, NEEDS_NOTHING)                               \
	X(35, every_descriptor_closes_on_exec, NEEDS_SYSTEM)                                           \
	X(35, counts_return_to_where_they_were, NEEDS_NOTHING)                                         \
	X(36, singleton_is_made_once_and_closed, NEEDS_SYSTEM)                                         \
	X(36, two_proactors_are_independent, NEEDS_THREADS)                                            \
	X(36, destroying_one_proactor_leaves_the_other_alone, NEEDS_NOTHING)                           \
	X(0, accept_and_connect_know_their_addresses, NEEDS_NOTHING)                                   \
	X(0, accept_and_connect_know_their_ipv6_addresses, NEEDS_NOTHING)                              \
	X(0, unix_sockets_are_streams_too, NEEDS_NOTHING)                                              \
	X(0, connector_opens_a_handler_for_its_connection, NEEDS_NOTHING)                              \
	X(0, connector_resolves_names_without_blocking, NEEDS_NOTHING)                                 \
	X(0, connector_reports_refusals_and_cancels, NEEDS_NOTHING)                                    \
	X(0, connector_times_out, NEEDS_SYSTEM)                                                        \
	X(0, datagrams_are_gathered_and_scattered, NEEDS_NOTHING)                                      \
	X(0, datagrams_of_ipv6_are_gathered_and_scattered, NEEDS_NOTHING)                              \
	X(0, datagrams_keep_their_boundaries, NEEDS_NOTHING)                                           \
	X(0, errors_of_earlier_sends_do_not_end_a_receive, NEEDS_NOTHING)                              \
	X(0, errors_of_a_connected_peer_are_reported, NEEDS_LINUX)                                     \
	X(0, datagrams_that_cannot_be_sent_are_errors, NEEDS_NOTHING)                                  \
	X(0, pipes_are_streams, NEEDS_SYSTEM)                                                          \
	X(0, files_are_streams_of_any_length, NEEDS_SYSTEM)                                            \
	X(0, get_handle_polls_readable_when_there_is_work, NEEDS_LINUX)                                \
	X(0, get_handle_polls_readable_for_other_threads, NEEDS_LINUX | NEEDS_THREADS)                 \
	X(0, s1_echo_at_load_in_full_duplex, NEEDS_NOTHING)                                            \
	X(0, s2_the_same_over_ipv6, NEEDS_NOTHING)                                                     \
	X(0, s3_timers_of_four_handlers_and_of_one_come_in_order, NEEDS_NOTHING)                       \
	X(0, s3_odd_timers_are_cancelled_and_the_rest_fire, NEEDS_NOTHING)                             \
	X(0, s3_repeating_timer_cancelled_late_expires_twice, NEEDS_SYSTEM)                            \
	X(0, s4_a_file_is_read_while_it_grows, NEEDS_NOTHING)                                          \
	X(0, s5_a_file_scattered_over_two_connections_is_gathered_again, NEEDS_NOTHING)                \
	X(0, s6_udp_sessions, NEEDS_NOTHING)                                                           \
	X(0, s10_connects_from_a_busy_address_fail_and_leak_nothing, NEEDS_NOTHING)                    \
	X(0, s11_timers_that_schedule_two_more_each, NEEDS_NOTHING)                                    \
	X(0, s15_two_intervals_side_by_side, NEEDS_NOTHING)                                            \
	X(0, s17_copy_a_file, NEEDS_NOTHING)                                                           \
	X(0, s18_read_and_cancel_at_once_then_close, NEEDS_NOTHING)                                    \
	X(0, s19_transmit_file_and_writes_share_a_socket_in_turn, NEEDS_NOTHING)                       \
	X(0, s23_a_read_and_a_write_of_one_socket_both_complete, NEEDS_NOTHING)

#endif
