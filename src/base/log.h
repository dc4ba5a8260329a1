/* Logging: one line per message, to a sink that the program sets (default: standard error). Libraries log rarely: what an operator needs to know and
 * cannot learn from a return value. Prompts are never logged. Thread: any. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

/* The sink gets a whole line without newline. NULL restores standard error. Set before threads start. */
void log_set_sink(void (*sink)(void *self, enum log_level level, const char *line), void *self);
void log_set_level(enum log_level level); /* default LOG_WARNING */
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
