#include "http_protocol.h"

#include <proactor/socket.h>

#include <time.h>

#include "file_name.h"
#include "listing.h"
#include "mime.h"

/* What is sent back: the head says it, and the body is in `file` or the session's page. */
struct answer {
	struct http_response response;
	pro_handle file;
	int64_t now_s;
};

/* What the request's conditions make of a file that was changed at `modified_s`, or of a list,
 * whose change has no date: 412 when the client goes on with another version, 304 when it has this
 * one, 0 when it wants it. */
static unsigned status_of_conditions(const struct http_request *request, int64_t modified_s)
{
	if (request->if_match == HTTP_TAGS_OTHER || (request->if_unmodified_since != HTTP_NO_DATE &&
														modified_s > request->if_unmodified_since))
		return 412;
	if (request->if_none_match == HTTP_TAGS_ANY ||
			(request->if_modified_since != HTTP_NO_DATE && modified_s != HTTP_NO_DATE &&
					modified_s <= request->if_modified_since))
		return 304;
	return 0;
}

/* The file is open: all of it, a part, or only the news that it has not changed. */
static void answer_with_file(struct answer *answer, const struct http_request *request,
		const char *name, const struct pro_file_status *status)
{
	struct http_response *response = &answer->response;
	struct http_range range = request->range;

	response->modified_s = status->modified_s < answer->now_s ? status->modified_s : answer->now_s;
	response->size = status->size;
	response->status = status_of_conditions(request, response->modified_s);
	if (response->status)
		return;
	/* The client has a part of another version: it needs the whole. It may have one of this second
	 * that is not over, in which the file may have changed twice. */
	if (request->has_if_range &&
			(request->if_range != response->modified_s || response->modified_s >= answer->now_s))
		range.kind = HTTP_RANGE_NONE;
	switch (http_range_resolve(&range, status->size, &response->offset, &response->length)) {
	case HTTP_RANGE_WHOLE:
		response->status = 200;
		break;
	case HTTP_RANGE_PART:
		response->status = 206;
		break;
	case HTTP_RANGE_UNSATISFIABLE:
		response->status = 416;
		return;
	}
	response->content_type = mime_type(name);
}

static int open_file(struct session *session, struct answer *answer, const struct file_name *name)
{
	struct pro_file_status status;
	int error = pro_file_root_open_file(
			session->server->root, name->text, PRO_FILE_READ, &answer->file, &status);

	if (!error)
		answer_with_file(answer, &session->request, name->text, &status);
	return error;
}

static int list_directory(
		struct session *session, struct answer *answer, const struct file_name *name)
{
	int error = listing_create(session->server->root, name->text,
			pro_proactor_allocator(session->proactor), &session->page);

	if (error)
		return error;
	answer->response.status = status_of_conditions(&session->request, HTTP_NO_DATE);
	if (answer->response.status) {
		pro_message_block_release(session->page);
		session->page = NULL;
		return 0;
	}
	answer->response.status = 200;
	answer->response.content_type = mime_type("index.html");
	answer->response.length = pro_message_block_length(session->page);
	return 0;
}

/* The index.html of the directory, or else a list of what is in it. */
static int answer_directory(
		struct session *session, struct answer *answer, const struct file_name *name)
{
	struct file_name index = *name;
	struct pro_file_status status;
	int error = pro_file_root_status(session->server->root, name->text, &status);

	if (error)
		return error;
	if (status.type != PRO_FILE_DIRECTORY)
		return PRO_ENOTDIR;
	error = file_name_append(&index, "index.html");
	if (!error)
		error = open_file(session, answer, &index);
	if (error == PRO_ENOENT || error == PRO_EISDIR || error == PRO_ENAMETOOLONG)
		error = list_directory(session, answer, name);
	return error;
}

/* Finds what the target names, and fills the answer. */
static int find(struct session *session, struct answer *answer, struct file_name *name)
{
	const struct http_request *request = &session->request;
	int error = file_name_from_target(
			name, session->log_line + request->target - request->line, request->target_length);

	if (error)
		return error;
	if (name->is_directory)
		return answer_directory(session, answer, name);
	error = open_file(session, answer, name);
	if (error == PRO_EISDIR) {
		/* Without the slash the references of a page would lead beside it. */
		answer->response.status = 301;
		answer->response.location = file_name_last_part(name);
		error = 0;
	}
	return error;
}

static void send_answer(struct session *session, struct answer *answer)
{
	const struct http_response *response = &answer->response;
	bool has_file = response->content_type && !session->page && !response->is_head;

	pro_message_block_reset(&session->head);
	int error = http_response_print(&session->head, response, answer->now_s);
	if (response->is_head) {
		pro_message_block_release(session->page);
		session->page = NULL;
	}
	if (answer->file != PRO_INVALID_HANDLE && (error || !has_file)) {
		pro_proactor_close_handle(session->proactor, answer->file);
		answer->file = PRO_INVALID_HANDLE;
	}
	if (error) {
		pro_handler_close(&session->service.handler);
		return;
	}
	session->status = response->status;
	session->is_last = !response->is_kept;
	session_send(session, answer->file, response->offset, response->length);
}

bool http_protocol_process(struct session *session)
{
	struct http_request *request = &session->request;
	const char *head = (const char *)pro_message_block_rd_ptr(&session->input);
	struct file_name name;

	if (http_request_parse(request, head, pro_message_block_length(&session->input)) == HTTP_MORE)
		return false;
	struct answer answer = {
			.response =
					{
							.status = request->status,
							.is_kept = request->is_kept && !session->server->is_draining,
							.is_version_1_0 = request->is_version_1_0,
							.is_head = request->method == HTTP_HEAD,
							.modified_s = HTTP_NO_DATE,
					},
			.file = PRO_INVALID_HANDLE,
			.now_s = (int64_t)time(NULL),
	};
	session->log_line = head + request->line;
	session->log_length = request->line_length;
	session->consumed = request->head_length;
	session->skip = request->is_kept ? request->body_length : 0;
	if (!request->status) {
		int error = find(session, &answer, &name);
		if (error)
			answer.response.status = http_status_from_error(error);
	}
	send_answer(session, &answer);
	return true;
}
