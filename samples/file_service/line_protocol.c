#include "line_protocol.h"

#include <string.h>

#include "file_name.h"

static bool starts_like_http(const char *line, size_t length)
{
	static const char scheme[] = "http://";
	size_t at = 0;

	while (at < length && line[at] >= 'A' && line[at] <= 'Z')
		at++;
	if (at == 0 || length - at < 2 || line[at] != ' ')
		return false;
	at++;
	return line[at] == '/' || line[at] == '*' ||
		   (length - at >= sizeof(scheme) - 1 && !memcmp(line + at, scheme, sizeof(scheme) - 1));
}

static bool names_http(const char *line, size_t length)
{
	static const char mark[] = " HTTP/";
	const size_t mark_length = sizeof(mark) - 1;

	for (size_t at = 0; at + mark_length <= length; at++) {
		if (!memcmp(line + at, mark, mark_length))
			return true;
	}
	return false;
}

enum session_protocol line_protocol_detect(const char *bytes, size_t length)
{
	const char *end = memchr(bytes, '\n', length);
	size_t line_length = end ? (size_t)(end - bytes) : length;

	if (!end && length <= LINE_NAME_MAX + 1)
		return SESSION_UNDECIDED;
	if (starts_like_http(bytes, line_length) || (end && names_http(bytes, line_length)))
		return SESSION_HTTP;
	return SESSION_LINES;
}

/* Opens what the line names. */
static int open_file(struct session *session, const char *line, size_t length, pro_handle *file,
		struct pro_file_status *status)
{
	struct file_name name;

	if (session->is_line_too_long || length > LINE_NAME_MAX)
		return PRO_ENAMETOOLONG;
	int error = file_name_from_line(&name, line, length);
	if (error)
		return error;
	if (name.is_directory)
		return PRO_EISDIR;
	return pro_file_root_open_file(session->server->root, name.text, PRO_FILE_READ, file, status);
}

static void answer(struct session *session, const char *line, size_t length)
{
	static const char refusal[] = "File transmit error!\r\n";
	struct pro_file_status status = {.size = 0};
	pro_handle file = PRO_INVALID_HANDLE;
	int error = open_file(session, line, length, &file, &status);

	session->is_line_too_long = false;
	session->is_last = false;
	session->status = error ? http_status_from_error(error) : 200;
	pro_message_block_reset(&session->head);
	if (error && pro_message_block_copy(&session->head, refusal, sizeof(refusal) - 1)) {
		pro_handler_close(&session->service.handler);
		return;
	}
	session_send(session, file, 0, status.size);
}

bool line_protocol_process(struct session *session)
{
	const char *line = (const char *)pro_message_block_rd_ptr(&session->input);
	size_t length = pro_message_block_length(&session->input);
	const char *end = length > 0 ? memchr(line, '\n', length) : NULL;

	if (!end) {
		if (length > LINE_NAME_MAX + 1) {
			session->is_line_too_long = true;
			pro_message_block_reset(&session->input);
		}
		return false;
	}
	length = (size_t)(end - line);
	session->consumed = length + 1;
	if (length > 0 && line[length - 1] == '\r')
		length--;
	session->log_line = line;
	session->log_length = length;
	answer(session, line, length);
	return true;
}
