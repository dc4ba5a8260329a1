/* Errors: an int (0 or a negative SAMPAN_E...) returned, and a text for a person in `struct error`.
 *
 * The message says what was being done, what was found, what was expected and what to do; inner functions state the fact, outer ones
 * put what they were doing in front of it with error_prefix(). Any function that can fail takes `struct error *err` last; NULL is legal and
 * discards the text. Thread: a struct error belongs to one call; nothing here is shared. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stdarg.h>

#include "sampan_errors.h"

#define ERROR_MESSAGE_SIZE 1024

struct error {
    int code;
    char message[ERROR_MESSAGE_SIZE]; /* NUL-terminated UTF-8, one line; cut with "..." when too long */
};

#if defined(__GNUC__)
#define BASE_PRINTF(format_index, first_argument) __attribute__((format(printf, format_index, first_argument)))
#else
#define BASE_PRINTF(format_index, first_argument)
#endif

/* Sets code and message, returns the code, so that `return error_set(err, SAMPAN_EFORMAT, "...")` reads well. Control characters that came in
 * through arguments (file contents are hostile) are replaced by '?', so that a message never plays with a terminal. */
int error_set(struct error *err, int code, const char *format, ...) BASE_PRINTF(3, 4);
int error_set_v(struct error *err, int code, const char *format, va_list arguments);

/* Puts "<format>: " in front of the message and returns err's code (SAMPAN_EINTERNAL when err is NULL): `return error_prefix(err, "loading %s", path)`.
 * Keep the code in a variable where err may be NULL. */
int error_prefix(struct error *err, const char *format, ...) BASE_PRINTF(2, 3);

/* The message for running out of memory while doing `what`; returns SAMPAN_ENOMEM. */
int error_no_memory(struct error *err, const char *what);

/* An analyser that sees one file at a time is told here that these return the code, which is never 0. */
#ifdef __clang_analyzer__
#define error_set(err, code, ...) (error_set(err, code, __VA_ARGS__), (code))
#define error_no_memory(err, what) (error_no_memory(err, what), SAMPAN_ENOMEM)
#endif

/* A short English name of a code ("out of memory"); never NULL. */
const char *error_code_name(int code);

#endif
