/* The texts and names of the error table. */
#include <proactor/error.h>

/* A number that stands twice in the table is a duplicate case: the compiler finds it. */
const char *pro_error_text(int error)
{
	switch (error) {
	case PRO_OK:
		return "success";
#define ERROR_TEXT(name, number, text)                                                             \
	case number:                                                                                   \
		return text;
		PRO_ERROR_LIST(ERROR_TEXT)
#undef ERROR_TEXT
	default:
		return "unknown error";
	}
}

const char *pro_error_name(int error)
{
	switch (error) {
	case PRO_OK:
		return "PRO_OK";
#define ERROR_NAME(name, number, text)                                                             \
	case number:                                                                                   \
		return "PRO_" #name;
		PRO_ERROR_LIST(ERROR_NAME)
#undef ERROR_NAME
	default:
		return "PRO_?";
	}
}
