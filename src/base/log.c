#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

enum { LOG_LINE_SIZE = 2048 };

static void write_standard_error(void *self, enum log_level level, const char *line)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    (void)self;
    fprintf(stderr, "sampan: %s: %s\n", names[level], line);
}

static void (*current_sink)(void *self, enum log_level level, const char *line) = write_standard_error;
static void *current_sink_self;
static enum log_level current_level = LOG_WARNING;

void log_set_sink(void (*sink)(void *self, enum log_level level, const char *line), void *self)
{
    current_sink = sink ? sink : write_standard_error;
    current_sink_self = self;
}

void log_set_level(enum log_level level)
{
    current_level = level;
}

void log_write(enum log_level level, const char *format, ...)
{
    if (level > current_level)
        return;
    char line[LOG_LINE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    current_sink(current_sink_self, level, line);
}
