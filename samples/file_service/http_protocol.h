/* HTTP/1.1 for files: GET and HEAD. */
#ifndef FILE_SERVICE_HTTP_PROTOCOL_H
#define FILE_SERVICE_HTTP_PROTOCOL_H

#include "session.h"

/* Takes a request from the input and begins to answer it; false when no whole request is there. */
bool http_protocol_process(struct session *session);

#endif
