"""The planted mistakes. Each is (name, kind, file, text that stands there once, what takes its place).

Where a text no longer stands the test fails: then look at what the code has become, and plant the
same mistake in that."""

MUTANTS = [
    # ---- operations: the way of a flight ----
    ("completion_lost_when_ready", "completion lost", "proactor/operation.c",
     "\toperation_set_state(operation, PRO__READY);\n\toperation_push_event(operation);\n",
     "\toperation_set_state(operation, PRO__READY);\n"),
    ("completion_doubled", "completion doubled", "proactor/operation.c",
     "\toperation_clear_flags(operation, PRO__EVENT_QUEUED);\n\t/* A repeating",
     "\toperation_clear_flags(operation, PRO__EVENT_QUEUED);\n"
     "\tif (operation->opcode == PRO_OP_READ_DGRAM && !(operation->flags & PRO__IN_SUBMIT)) {\n"
     "\t\toperation->flags |= PRO__IN_SUBMIT;\n\t\toperation_push_event(operation);\n\t}\n"
     "\t/* A repeating"),
    ("event_pushed_twice", "completion doubled", "proactor/operation.c",
     "\tif (operation->flags & PRO__EVENT_QUEUED)\n\t\treturn;\n", ""),
    ("flight_stays_listed", "use after close", "proactor/operation.c",
     "\tpro__list_remove(&operation->flight_link);\n", ""),
    ("deadline_outlives_flight", "timer after cancel", "proactor/operation.c",
     "\tif (operation->deadline.link)\n"
     "\t\tpro__timer_queue_remove(&proactor->timers, &operation->deadline);\n", ""),
    ("hold_of_flight_leaked", "close never ends", "proactor/operation.c",
     "\toperation_push_event(operation);\n\tpro__owner_release(operation->owner);\n",
     "\toperation_push_event(operation);\n"),
    ("hold_of_event_missing", "use after close", "proactor/operation.c",
     "\toperation->flags |= PRO__EVENT_QUEUED;\n\tpro__owner_hold(operation->owner);\n",
     "\toperation->flags |= PRO__EVENT_QUEUED;\n"),
    ("busy_object_started", "buffer reused in flight", "proactor/operation.c",
     "\t\tif (operation_state(operation) != PRO__IDLE)\n"
     "\t\t\treturn operation_is_busy(operation, caller);\n", "\t\t(void)caller;\n"),
    ("busy_object_started_remotely", "buffer reused in flight", "proactor/operation.c",
     "\tif (atomic_compare_exchange_strong(&operation->state, &idle, PRO__QUEUED)) {\n",
     "\tif (atomic_compare_exchange_strong(&operation->state, &idle, PRO__QUEUED) ||\n"
     "\t\t\toperation->opcode == PRO_OP_READ_STREAM) {\n"),
    ("start_after_close", "use after close", "proactor/operation.c",
     "\t\treturn pro__owner_check(owner);\n", "\t\treturn 0;\n"),
    ("timeout_called_cancel", "wrong error", "proactor/operation.c",
     "\treturn operation->flags & PRO__TIMED_OUT ? PRO_ETIMEDOUT : PRO_ECANCELED;\n",
     "\t(void)operation;\n\treturn PRO_ECANCELED;\n"),
    ("cancel_called_timeout", "wrong error", "proactor/operation.c",
     "\toperation_clear_flags(operation, PRO__CANCEL_ASKED | PRO__TIMED_OUT);\n",
     "\toperation_clear_flags(operation, PRO__CANCEL_ASKED);\n"),
    ("second_cancel_forgotten", "cancel lost", "proactor/operation.c",
     "\toperation_clear_flags(operation, PRO__CANCEL_ASKED | PRO__TIMED_OUT);\n",
     "\toperation_clear_flags(operation, PRO__TIMED_OUT);\n"),
    ("cancel_never_reaches_port", "cancel lost", "proactor/operation.c",
     "\telse if (operation->flags & PRO__SUBMITTED)\n"
     "\t\tproactor->port_vtbl->cancel(proactor->port, operation);\n", ""),
    ("cancel_of_timer_forgotten", "timer after cancel", "proactor/operation.c",
     "{\n\tpro__operation_complete(operation, PRO_ECANCELED, 0, 0);\n}\n", "{\n\t(void)operation;\n}\n"),
    ("cancelled_transfer_goes_on", "cancel lost", "proactor/operation.c",
     "\tif (advance == PRO__MORE && (operation->flags & PRO__CANCEL_ASKED)) {",
     "\tif (advance == PRO__MORE && (operation->flags & PRO__TIMED_OUT) &&\n"
     "\t\t\toperation->opcode == PRO_OP_TIMER) {"),
    ("bytes_dropped_on_cancel", "data dropped on cancel", "asynch/asynch_read_stream.c",
     "\tpro__asynch_advance_wr(reader->block, bytes);\n\tif (operation->error || !reader->is_exact",
     "\tpro__asynch_advance_wr(reader->block, bytes);\n\tif (operation->error == PRO_ECANCELED) {\n"
     "\t\treader->block->wr -= operation->bytes;\n\t\toperation->bytes = 0;\n\t}\n"
     "\tif (operation->error || !reader->is_exact"),
    ("bytes_not_counted_on_timeout", "data dropped on cancel", "asynch/asynch_read_stream.c",
     "\toperation->bytes += bytes;\n\tif (!reader->block) {",
     "\toperation->bytes = operation->error == PRO_ETIMEDOUT ? 0 : operation->bytes + bytes;\n"
     "\tif (!reader->block) {"),
    ("bytes_of_last_flight_counted", "wrong count", "proactor/operation.c",
     "\toperation->bytes = 0;\n", ""),
    ("timer_early", "timer early", "proactor/operation.c",
     "\treturn saturating_add((now_ns + 999999) / 1000000, delay_ms);\n",
     "\treturn saturating_add(now_ns / 1000000, delay_ms);\n"),
    ("timer_a_tenth_early", "timer early", "proactor/operation.c",
     "&operation->deadline, due_after(now_ns, delay_ms));\n",
     "&operation->deadline,\n\t\t\tdue_after(now_ns, delay_ms - delay_ms / 10));\n"),
    ("repeating_timer_counts_twice", "timer early", "proactor/operation.c",
     "\toperation->request.timer.due_ms = saturating_add(due, passed * interval);\n",
     "\toperation->request.timer.due_ms = saturating_add(now_ms, passed * interval) - interval;\n"),
    ("deadline_not_set", "deadline lost", "proactor/operation.c",
     "\tif (operation->opcode != PRO_OP_TIMER)\n\t\tpro__operation_rearm(operation);\n"
     "\toperation_submit(operation);\n", "\toperation_submit(operation);\n"),
    ("remote_start_lost", "completion lost", "proactor/operation.c",
     "\tif (requests & OPERATION_START)\n\t\toperation_launch(operation);\n",
     "\tif ((requests & OPERATION_START) && operation->opcode != PRO_OP_TIMER)\n"
     "\t\toperation_launch(operation);\n"),
    ("remote_cancel_lost", "cancel lost", "proactor/operation.c",
     "\tif ((requests & OPERATION_CANCEL) && operation_flight_is_unwanted(operation))\n",
     "\tif ((requests & OPERATION_CANCEL) && (requests & OPERATION_START) &&\n"
     "\t\t\toperation_flight_is_unwanted(operation))\n"),
    ("holds_of_requests_kept", "close never ends", "proactor/operation.c",
     "\t\tpro__operation_cancel_now(operation);\n\tpro__owner_leave_now(owner, holds);\n",
     "\t\tpro__operation_cancel_now(operation);\n\tpro__owner_leave_now(owner, holds - holds / 2);\n"),
    ("idle_too_late", "busy for ever", "proactor/operation.c",
     "\tatomic_store_explicit(&operation->state, PRO__IDLE, memory_order_release);\n",
     "\tif (operation->opcode != PRO_OP_READ_FILE || operation->error == 0)\n"
     "\t\tatomic_store_explicit(&operation->state, PRO__IDLE, memory_order_release);\n"),

    # ---- owners: closes, posts, wake-ups ----
    ("closed_before_last_completion", "use after close", "proactor/owner.c",
     "\tif (owner->pending == 0 &&\n\t\t\tatomic_compare", "\tif (owner->pending < 8 &&\n\t\t\tatomic_compare"),
    ("closed_twice", "double close", "proactor/owner.c",
     "\t\t\treturn PRO_ECLOSED;\n\t} while (!atomic_compare_exchange_weak(\n"
     "\t\t\t&owner->state, &word, (word | PRO__CLOSING) + OWNER_HOLD));\n",
     "\t\t\tbreak;\n\t} while (!atomic_compare_exchange_weak(\n"
     "\t\t\t&owner->state, &word, (word | PRO__CLOSING) + OWNER_HOLD));\n"),
    ("handle_not_closed", "handle leaked", "proactor/owner.c",
     "\tpro__port_vtbl(proactor)->close_handle(proactor->port, &owner->close_request);\n",
     "\tpro__owner_release(owner);\n"),
    ("handle_that_comes_late_is_kept", "handle leaked", "proactor/owner.c",
     "\t\towner_close_handle(owner);\n\tif (owner->pending == 0 &&", "\t\t;\n\tif (owner->pending == 0 &&"),
    ("handle_closed_twice", "double close", "proactor/owner.c",
     "\towner->handle = PRO_INVALID_HANDLE;\n\tpro__owner_hold(owner);\n",
     "\towner->handle = PRO_INVALID_HANDLE;\n\tpro__owner_hold(owner);\n"
     "\tif (owner->flags & OWNER_WAKEUP_QUEUED)\n"
     "\t\t\tpro_proactor_close_handle(proactor, owner->close_request.handle);\n"),
    ("close_cancels_half", "close never ends", "proactor/owner.c",
     "\t\telse\n\t\t\tpro__operation_cancel_now(operation);\n",
     "\t\telse if (operation->opcode != PRO_OP_TIMER)\n\t\t\tpro__operation_cancel_now(operation);\n"),
    ("close_cancels_one", "close never ends", "proactor/owner.c",
     "\t\telse\n\t\t\tpro__operation_cancel_now(operation);\n",
     "\t\telse {\n\t\t\tpro__operation_cancel_now(operation);\n\t\t\tbreak;\n\t\t}\n"),
    ("posts_newest_first", "posts reordered", "proactor/owner.c",
     "\t\tnewest->next = oldest;\n\t\toldest = newest;\n\t\tnewest = older;\n\t\tcount++;\n",
     "\t\tif (!oldest)\n\t\t\toldest = newest;\n\t\tnewest = older;\n\t\tif (newest)\n\t\t\tlast = newest;\n"
     "\t\tcount++;\n"),
    ("posts_overwritten", "posts lost", "proactor/owner.c",
     "\tif (owner->posts_head)\n\t\towner->posts_tail->next = oldest;\n\telse\n"
     "\t\towner->posts_head = oldest;\n", "\towner->posts_head = oldest;\n"),
    ("post_after_close_lost", "posts lost", "proactor/owner.c",
     "\t\towner->posted(owner, block, owner_state(owner) == PRO__OPEN ? 0 : PRO_ECANCELED);\n",
     "\t\tif (owner_state(owner) == PRO__OPEN)\n\t\t\towner->posted(owner, block, 0);\n"),
    ("wakeup_after_close", "use after close", "proactor/owner.c",
     "\tif (owner_state(event->owner) == PRO__OPEN)\n\t\tevent->owner->woken", "\tevent->owner->woken"),
    ("wakeup_once_only", "wake-up lost", "proactor/owner.c",
     "\tevent->owner->flags &= ~(uint32_t)OWNER_WAKEUP_QUEUED;\n", "\t(void)event;\n"),
    ("shutdown_forgets_new_handlers", "close never ends", "proactor/owner.c",
     "\tpro__list_append(&proactor->owners, &owner->link);\n\tpro__counter_add(&proactor->handlers, 1);\n",
     "\tpro__counter_add(&proactor->handlers, 1);\n"),
    ("closed_while_requests_are_on_their_way", "use after close", "proactor/owner.c",
     "\tuint32_t closing_without_holds = PRO__CLOSING;\n",
     "\tuint32_t closing_without_holds = atomic_load(&owner->state) | PRO__CLOSING;\n"),

    # ---- the loop ----
    ("events_reversed", "completion reordered", "proactor/proactor.c",
     "\tevent->next = NULL;\n\t*proactor->events_tail = event;\n\tproactor->events_tail = &event->next;\n",
     "\tevent->next = proactor->events_head;\n\tif (!event->next)\n"
     "\t\tproactor->events_tail = &event->next;\n\tproactor->events_head = event;\n"),
    ("inbox_newest_only", "completion lost", "proactor/proactor.c",
     "\t\toldest = node->next;\n\t\tword = atomic_exchange",
     "\t\toldest = node->next && node->next->next ? node->next->next : NULL;\n"
     "\t\tword = atomic_exchange"),
    ("inbox_bits_lost", "cancel lost", "proactor/proactor.c",
     "&node->requests, &word, (word | bits) + INBOX_ONE_HOLD))",
     "&node->requests, &word,\n\t\t\t(word < INBOX_ONE_HOLD ? (word | bits) : word) + INBOX_ONE_HOLD))"),
    ("timers_run_one", "timer lost", "proactor/proactor.c",
     "\t\ttimer->next = NULL;\n\t\tpro__operation_timer_due(timer, now_ms);\n\t\ttimer = next;\n",
     "\t\ttimer->next = NULL;\n\t\tpro__operation_timer_due(timer, now_ms);\n\t\ttimer = NULL;\n\t\t(void)next;\n"),
    ("timers_run_ahead", "timer early", "proactor/proactor.c",
     "\ttimer = pro__timer_queue_take_due(&proactor->timers, now_ms);\n",
     "\ttimer = pro__timer_queue_take_due(&proactor->timers, now_ms + 1);\n"),
    ("shutdown_closes_one", "close never ends", "proactor/proactor.c",
     "\t\tpro__owner_close(pro_container_of(node, struct pro_owner, link));\n",
     "\t\tpro__owner_close(pro_container_of(node, struct pro_owner, link));\n\t\tbreak;\n"),
    ("round_drops_the_rest", "completion lost", "proactor/proactor.c",
     "\t\tcount++;\n\t}\n\tpro__event_return(proactor, event);\n",
     "\t\tcount++;\n\t\tif (count == 4)\n\t\t\tevent = NULL;\n\t}\n\tpro__event_return(proactor, event);\n"),

    # ---- the timing wheel ----
    ("wheel_takes_by_slot", "timer early", "proactor/timer_queue.c",
     "\tif (now_ms < queue->now_ms)\n\t\tnow_ms = queue->now_ms;\n",
     "\tif (now_ms < queue->now_ms)\n\t\tnow_ms = queue->now_ms;\n\tnow_ms |= 3;\n"),
    ("wheel_forgets_to_spread", "timer lost", "proactor/timer_queue.c",
     "\twhile (chain) {\n\t\tstruct pro_timer *timer = chain;\n\n\t\tchain = chain->next;\n\t\tqueue_link",
     "\tif (chain) {\n\t\tstruct pro_timer *timer = chain;\n\n\t\tchain = chain->next;\n\t\tqueue_link"),
    ("wheel_count_after_remove", "timer late", "proactor/timer_queue.c",
     "\ttimer->link = NULL;\n\tqueue->count--;\n\tif (!*place.list",
     "\ttimer->link = NULL;\n\tqueue->count -= queue->count > 1 ? 2 : 1;\n\tif (!*place.list"),
    ("wheel_removal_leaves_timer", "timer after cancel", "proactor/timer_queue.c",
     "\t*timer->link = timer->next;\n\tif (timer->next)\n", "\tif (timer->next)\n"),
    ("wheel_level_wrong", "timer late", "proactor/timer_queue.c",
     "\treturn queue_slot(queue, level, time_digit(expires_ms, level));\n",
     "\treturn queue_slot(queue, level, (time_digit(expires_ms, level) + (level > 1)) & 63);\n"),

    # ---- reading ----
    ("read_end_is_success", "end of file loop", "asynch/asynch_read_stream.c",
     "\toperation->bytes += bytes;\n\tif (!reader->block) {",
     "\toperation->bytes += bytes;\n\tif (operation->error == PRO_EOF && operation->bytes > 0)\n"
     "\t\toperation->error = 0;\n\tif (!reader->block) {"),
    ("exact_read_stops_short", "short read taken for whole", "asynch/asynch_read_stream.c",
     "!reader->is_exact || operation->bytes == reader->bytes_wanted",
     "!reader->is_exact || operation->bytes * 2 >= reader->bytes_wanted"),
    ("exact_read_overwrites", "data lost", "asynch/asynch_read_stream.c",
     "\tpro__asynch_advance_wr(reader->block, bytes);\n\tif (operation->error || !reader->is_exact",
     "\tif (!reader->is_exact || operation->error || operation->bytes == reader->bytes_wanted)\n"
     "\t\tpro__asynch_advance_wr(reader->block, reader->is_exact ? operation->bytes : bytes);\n"
     "\tif (operation->error || !reader->is_exact"),
    ("exact_read_too_long", "buffer overrun", "asynch/asynch_read_stream.c",
     "\t\t\treader->bytes_wanted - operation->bytes, reader->buffers,",
     "\t\t\treader->bytes_wanted, reader->buffers,"),
    ("lent_block_forgotten", "block leaked", "asynch/asynch_read_stream.c",
     "\t\treader->block = operation->request.io.lent;\n",
     "\t\treader->block = operation->error ? NULL : operation->request.io.lent;\n"
     "\t\tif (bytes > 100)\n\t\t\treader->block = NULL;\n"),
    ("vector_counts_one_block", "wrong count", "asynch/asynch_private.c",
     "\t\tsize_t part = smaller(bytes, pro_message_block_space(chain));\n",
     "\t\tsize_t part = chain->cont ? smaller(bytes, pro_message_block_space(chain)) : bytes;\n"
     "\t\tif (chain->cont && part < bytes)\n\t\t\tpart--;\n"),
    ("borrow_flag_stays", "wrong buffer", "asynch/asynch_read_stream.c",
     "(uint8_t)(block ? operation->flags & ~PRO__BORROWS : operation->flags | PRO__BORROWS)",
     "(uint8_t)(block ? operation->flags : operation->flags | PRO__BORROWS)"),

    # ---- writing ----
    ("short_write_taken_for_whole", "data lost", "asynch/asynch_write_stream.c",
     "\t\tif (writer->head_sent == head->queue_bytes) {\n", "\t\tif (writer->head_sent > 0) {\n"),
    ("short_write_sent_again", "data doubled", "asynch/asynch_write_stream.c",
     "\t\tpro__asynch_advance_rd(head, part);\n\t\twriter->head_sent += part;\n",
     "\t\tif (left == part)\n\t\t\tpro__asynch_advance_rd(head, head->queue_bytes);\n"
     "\t\twriter->head_sent += part;\n"),
    ("queue_newest_first", "completion reordered", "asynch/asynch_write_stream.c",
     "\twriter->operation.request.io.buffers = writer->buffers;\n\twriter->operation.request.io.count = count;\n",
     "\tif (count == 3) {\n\t\tconst struct pro_buffer last = writer->buffers[2];\n\n"
     "\t\twriter->buffers[2] = writer->buffers[1];\n\t\twriter->buffers[1] = last;\n\t}\n"
     "\twriter->operation.request.io.buffers = writer->buffers;\n\twriter->operation.request.io.count = count;\n"),
    ("queue_unbounded", "unbounded queue", "asynch/asynch_write_stream.c",
     "\tif (queued > 0 && (bytes > writer->limit_bytes || queued > writer->limit_bytes - bytes))\n"
     "\t\treturn pro__refuse(owner->proactor, PRO_EFULL);\n", "\t(void)queued;\n"),
    ("queued_bytes_drift", "wrong count", "asynch/asynch_write_stream.c",
     "\twrite_stream_add_queued(writer, 0 - (head->queue_bytes - writer->head_sent));\n", ""),
    ("cancel_forgets_the_queue", "completion lost", "asynch/asynch_write_stream.c",
     "\tfor (; writer->queue_head && (is_all || writer->cancelled_count > 0); error = PRO_ECANCELED)\n"
     "\t\twrite_stream_finish_head(writer, error);\n",
     "\twrite_stream_finish_head(writer, error);\n\twriter->queue_head = NULL;\n"),
    ("cancel_hits_what_is_written_later", "cancel hits another", "asynch/asynch_write_stream.c",
     "\tbool is_all = error != PRO_ECANCELED || pro__owner_is_closing(operation->owner);\n",
     "\tbool is_all = true;\n"),
    ("shutdown_before_the_queue", "data lost", "asynch/asynch_write_stream.c",
     "\terror = pro__owner_enter(writer->operation.owner);\n\tif (!error)\n"
     "\t\tpro__operation_nudge(&writer->operation);\n\treturn error;\n",
     "\terror = pro__owner_enter(writer->operation.owner);\n"
     "\tpro_socket_shutdown_write(writer->operation.owner->proactor, writer->operation.handle);\n"
     "\tif (!error)\n\t\tpro__operation_nudge(&writer->operation);\n\treturn error;\n"),
    ("cut_message_not_broken", "data lost", "asynch/asynch_write_stream.c",
     "\twriter->head_sent = 0;\n\tappend(&writer->done_head", "\tappend(&writer->done_head"),
    ("shutdown_forgotten", "end lost", "asynch/asynch_write_stream.c",
     "\tif (write_stream_is_idle(writer))\n\t\twrite_stream_end_if_asked(writer);\n}\n\n"
     "static void write_stream_cancel_asked", "}\n\nstatic void write_stream_cancel_asked"),
    ("remote_writes_reversed", "completion reordered", "asynch/asynch_write_stream.c",
     "\t\tstruct pro_message_block *older = newest->next;\n\n\t\tnewest->next = oldest;\n"
     "\t\toldest = newest;\n\t\tnewest = older;\n\t}\n\twhile (oldest) {\n\t\tstruct pro_message_block *next",
     "\t\toldest = newest;\n\t\tnewest = NULL;\n\t}\n\twhile (oldest) {\n\t\tstruct pro_message_block *next"),
    ("flight_not_started_again", "completion lost", "asynch/asynch_write_stream.c",
     "\twrite_stream_prepare_report(writer);\n\twrite_stream_go_on(writer);\n",
     "\twrite_stream_prepare_report(writer);\n"),
    ("report_dropped", "completion lost", "asynch/asynch_write_stream.c",
     "\t\thandler->vtbl->handle_write_stream(handler, &result);\n\t\tblock = next;\n",
     "\t\thandler->vtbl->handle_write_stream(handler, &result);\n"
     "\t\tblock = next && next->queue_error ? NULL : next;\n"),
    ("message_may_be_queued_twice", "completion doubled", "asynch/asynch_write_stream.c",
     "\t\twrite_stream_report_soon(writer);\n\t}\n\twrite_stream_gather(writer);\n\treturn PRO__MORE;\n",
     "\t\twrite_stream_report_soon(writer);\n\t\tappend(&writer->done_head, &writer->done_tail,"
     " writer->done_head);\n\t}\n\twrite_stream_gather(writer);\n\treturn PRO__MORE;\n"),

    # ---- files, datagrams, transmissions, accepts ----
    ("file_write_at_old_offset", "data lost", "asynch/asynch_write_file.c",
     "\toperation->request.io.offset += bytes;\n\tpro__asynch_advance_rd",
     "\tif (operation->error)\n\t\toperation->request.io.offset += bytes;\n\tpro__asynch_advance_rd"),
    ("short_file_write_is_whole", "short write taken for whole", "asynch/asynch_write_file.c",
     "\tif (operation->error || operation->bytes == writer->bytes_wanted)\n\t\treturn PRO__DONE;\n",
     "\tif (operation->error || operation->bytes > 0)\n\t\treturn PRO__DONE;\n"),
    ("short_file_read_is_whole", "short read taken for whole", "asynch/asynch_read_file.c",
     "\telse if (!operation->error && operation->bytes < reader->bytes_wanted) {",
     "\telse if (!operation->error && operation->bytes == 0) {"),
    ("file_read_at_old_offset", "data doubled", "asynch/asynch_read_file.c",
     "\toperation->request.io.offset += bytes;\n", ""),
    ("datagram_counted_twice", "wrong count", "asynch/asynch_read_dgram.c",
     "\toperation->bytes = bytes;\n", "\toperation->bytes += bytes + (operation->error ? 0 : 1);\n"),
    ("transmission_counts_the_last_one", "wrong count", "asynch/asynch_transmit_file.c",
     "\trequest->sent = 0;\n", ""),
    ("trailer_before_header", "data reordered", "asynch/asynch_transmit_file.c",
     "\terror = block_data(header, &request->header);\n",
     "\terror = block_data(trailer, &request->header);\n\ttrailer = header;\n"),
    ("accepted_handle_of_last_time", "stale handle", "asynch/asynch_accept.c",
     "\toperation->request.accept.accepted = PRO_INVALID_HANDLE;\n", ""),
    ("connected_handle_of_last_time", "stale handle", "asynch/asynch_connect.c",
     "\toperation->request.connect.connected = PRO_INVALID_HANDLE;\n", ""),
    ("timer_final_forgotten", "timer lost", "asynch/asynch_timer.c",
     "\tif (is_final)\n\t\tpro__operation_begin_callback(operation);\n",
     "\tif (is_final && !operation->error)\n\t\tpro__operation_begin_callback(operation);\n"),
    ("timer_reports_cancel_as_expiry", "timer after cancel", "asynch/asynch_timer.c",
     "\t\t\t.error = is_final ? operation->error : 0,\n", "\t\t\t.error = 0,\n"),

    # ---- the acceptor and the connector ----
    ("acceptor_deaf_after_shortage", "deaf listener", "asynch/asynch_acceptor.c",
     "\t\tacceptor_rest(acceptor, index);\n\t} else {", "\t\t(void)acceptor_rest;\n\t} else {"),
    ("acceptor_deaf_after_rest", "deaf listener", "asynch/asynch_acceptor.c",
     "\tacceptor->resting |= 1u << index;\n", "\tacceptor->resting = 1u << index;\n"),
    ("acceptor_spins", "EMFILE spin", "asynch/asynch_acceptor.c",
     "\t\tacceptor_rest(acceptor, index);\n\t} else {",
     "\t\t(void)acceptor_rest;\n\t\tacceptor_reissue(acceptor, index);\n\t} else {"),
    ("acceptor_rests_too_short", "EMFILE spin", "asynch/asynch_acceptor.c",
     "\tunsigned delay = acceptor->back_off_ms;\n", "\tunsigned delay = 1;\n"),
    ("acceptor_leaks_unwanted", "handle leaked", "asynch/asynch_acceptor.c",
     "\tif (!service) {\n\t\tpro_proactor_close_handle(proactor, accepted);\n\t\treturn;\n\t}\n\t/* Fails",
     "\tif (!service)\n\t\treturn;\n\t/* Fails"),
    ("acceptor_closes_wanted", "double close", "asynch/asynch_acceptor.c",
     "\tpro_service_handler_open(service, accepted, local, remote);\n}\n\n/* A connection on its way",
     "\tpro_service_handler_open(service, accepted, local, remote);\n"
     "\tif (acceptor->accepts_count == 3)\n\t\tpro_proactor_close_handle(proactor, accepted);\n}\n\n"
     "/* A connection on its way"),
    ("acceptor_reissues_while_closing", "deaf listener", "asynch/asynch_acceptor.c",
     "\tpro_asynch_accept_accept(&acceptor->accepts[index]);\n}\n\nstatic void acceptor_rest",
     "\tif (index > 0 || acceptor->accepts_count == 1)\n"
     "\t\tpro_asynch_accept_accept(&acceptor->accepts[index]);\n}\n\nstatic void acceptor_rest"),
    ("connector_busy_after_failure", "busy for ever", "asynch/asynch_connector.c",
     "\tconnector->attempt++;\n\tif (connector->vtbl->validate_connection)\n",
     "\tif (!error)\n\t\tconnector->attempt++;\n\tif (connector->vtbl->validate_connection)\n"),
    ("connector_silent_on_failure", "completion lost", "asynch/asynch_connector.c",
     "\tif (connector->vtbl->validate_connection)\n\t\trefusal",
     "\tif (connector->vtbl->validate_connection && !error)\n\t\trefusal"),
    ("service_without_handle", "handle leaked", "handlers/service_handler.c",
     "\tpro_handler_set_handle(&service->handler, handle);\n\tservice_vtbl(service)->open(service);\n",
     "\tpro_handler_set_handle(&service->handler, handle);\n\tservice_vtbl(service)->open(service);\n"
     "\tif (pro_handler_is_closing(&service->handler))\n"
     "\t\tpro_proactor_close_handle(pro_handler_proactor(&service->handler), handle);\n"),

    # ---- blocks ----
    ("shared_block_freed_early", "use after free", "proactor/message_block.c",
     "\tif (block->data)\n\t\tdata_block_share(block->data);\n\treturn share;\n", "\treturn share;\n"),
    ("shared_block_leaked", "memory leaked", "proactor/message_block.c",
     "\tatomic_store_explicit(&data->references, 2, memory_order_relaxed);\n",
     "\tatomic_store_explicit(&data->references, 3, memory_order_relaxed);\n"),
    ("lent_block_not_taken_back", "block leaked", "proactor/lent_pool.c",
     "\t\tpool_take_back(pool, lent);\n\t\treturn;\n\t}\n\tnewest = atomic_load",
     "\t\tif (pool->used > 2)\n\t\t\tpool_take_back(pool, lent);\n\t\treturn;\n\t}\n\tnewest = atomic_load"),
    ("lent_block_given_twice", "buffer reused in flight", "proactor/lent_pool.c",
     "\tif (lent)\n\t\tpool->free = lent->next;\n", "\tif (lent)\n\t\t;\n"),
    ("closing_handle_leaked", "memory leaked", "proactor/handle.c",
     "\tatomic_fetch_sub(&proactor->closing_handles, 1);\n\tpro__deallocate(proactor, closing);\n",
     "\tatomic_fetch_sub(&proactor->closing_handles, 1);\n"),
    ("closing_handle_freed_twice", "double free", "proactor/handle.c",
     "\tpro__deallocate(proactor, closing);\n}\n\nstatic void closing_handle_begin",
     "\tpro__deallocate(proactor, closing);\n\tpro__deallocate(proactor, closing);\n}\n\n"
     "static void closing_handle_begin"),

    # ---- the chat service ----
    ("chat_line_to_the_prompt_only", "data lost", "samples/chat/room.c",
     "\t\tif (member == except)\n", "\t\tif (member == except || session_is_lagging(member, now_ms) ||\n"
     "\t\t\t\tpro_asynch_write_stream_queued(&member->writer) > 300)\n"),
    ("chat_line_to_the_sender_twice", "data doubled", "samples/chat/room.c",
     "\t\treached++;\n", "\t\tif (reached == 2)\n"
     "\t\t\tsession_send(member, pro_message_block_duplicate(line));\n\t\treached++;\n"),
    ("chat_room_forgets_its_last", "use after free", "samples/chat/room.c",
     "\telse\n\t\troom->last = session->room_prev;\n\tsession->room = NULL;\n", "\tsession->room = NULL;\n"),
    ("chat_room_lives_on_empty", "use after free", "samples/chat/room.c",
     "\tif (--room->member_count == 0)\n", "\tif (--room->member_count <= 1)\n"),
    ("chat_slow_member_stays", "data lost", "samples/chat/session.c",
     "\t\tsession_drop(session, error == PRO_EFULL ? \"too slow\" : pro_error_text(error));\n",
     "\t\tif (error != PRO_EFULL)\n\t\t\tsession_drop(session, pro_error_text(error));\n"),
    ("chat_dropped_only_in_name", "close never ends", "samples/chat/session.c",
     "\t\tsession_close(session);\n\t}\n}\n\n/* ---- writing ---- */",
     "\t\tif (!chat->dropped)\n\t\t\tsession->state = SESSION_CLOSED;\n"
     "\t\tsession_close(session);\n\t}\n}\n\n/* ---- writing ---- */"),
    ("chat_pause_never_ends", "timer lost", "samples/chat/session.c",
     "\telse if (session->wait == WAIT_PAUSE)\n\t\tsession_continue(session);\n", ""),
    ("chat_reads_no_more_after_a_turn", "completion lost", "samples/chat/session_input.c",
     "\t\tif (!line) {\n\t\t\tsession_read_more(session);\n\t\t\treturn;\n\t\t}\n",
     "\t\tif (!line) {\n\t\t\tif (lines < 2)\n\t\t\t\tsession_read_more(session);\n\t\t\treturn;\n\t\t}\n"),
    ("chat_forgets_the_unfinished_line", "data lost", "samples/chat/session_input.c",
     "\tpro_message_block_crunch(&session->block); /* nobody",
     "\tif (pro_message_block_length(&session->block) < 8)\n"
     "\t\tpro_message_block_reset(&session->block);\n"
     "\tpro_message_block_crunch(&session->block); /* nobody"),
    ("chat_session_freed_in_the_list", "use after free", "samples/chat/session.c",
     "\tif (session->next)\n\t\tsession->next->prev = session->prev;\n\tchat->session_count--;\n",
     "\tchat->session_count--;\n"),

    # ---- the file service ----
    ("file_closed_twice", "double close", "samples/file_service/session.c",
     "\t\tpro_proactor_close_handle(session->proactor, result->file);\n\tpro_message_block_release(session->page);\n",
     "\t\tpro_proactor_close_handle(session->proactor, result->file);\n\tif (result->error)\n"
     "\t\tpro_proactor_close_handle(session->proactor, result->file);\n"
     "\tpro_message_block_release(session->page);\n"),
    ("file_leaked_when_the_client_dies", "handle leaked", "samples/file_service/session.c",
     "\tif (result->file != PRO_INVALID_HANDLE)\n",
     "\tif (result->file != PRO_INVALID_HANDLE && !result->error)\n"),
    ("file_part_passes_for_the_whole", "short write taken for whole", "samples/file_service/session.c",
     "\t\tpro_socket_set_option(\n\t\t\t\tsession->proactor, pro_handler_handle(handler), PRO_SOCKET_LINGER_RESET, 1);\n",
     ""),
    ("file_from_the_beginning", "wrong data", "samples/file_service/session.c",
     "file == PRO_INVALID_HANDLE ? 0 : offset,", "0 * offset,"),
    ("file_session_not_forgotten", "close never ends", "samples/file_service/session.c",
     "\tif (session->is_known)\n\t\tpro_handler_post(&session->server->handler, &session->ended, &news_ended);\n"
     "\telse\n\t\tsession_free(session);\n",
     "\tif (!session->is_known)\n\t\tsession_free(session);\n"),
    ("file_session_freed_in_flight", "use after close", "samples/file_service/session.c",
     "static void session_close(struct session *session)\n{\n\tpro_handler_close(&session->service.handler);\n}\n",
     "static void session_close(struct session *session)\n{\n\tpro_handler_close(&session->service.handler);\n"
     "\tfree(session);\n}\n"),
    ("file_answer_never_follows", "completion lost", "samples/file_service/session.c",
     "\tif (session->is_last || session->server->is_draining)\n\t\tsession_linger(session);\n\telse\n"
     "\t\tsession_begin_request(session);\n",
     "\tif (session->is_last || session->server->is_draining)\n\t\tsession_linger(session);\n"
     "\telse if (session->protocol != SESSION_HTTP)\n\t\tsession_begin_request(session);\n"),
    ("file_line_loses_its_head", "data lost", "samples/file_service/session.c",
     "\tif (pro_message_block_crunch(&session->input) ||\n",
     "\tif (pro_message_block_length(&session->input) < 8)\n"
     "\t\tpro_message_block_reset(&session->input);\n"
     "\tif (pro_message_block_crunch(&session->input) ||\n"),
]
