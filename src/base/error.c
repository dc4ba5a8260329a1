#include "base/error.h"

#undef error_set
#undef error_no_memory

#include <stdio.h>
#include <string.h>

static void finish_message(struct error *err, int written)
{
    if (written >= ERROR_MESSAGE_SIZE) {
        /* Cut at a whole UTF-8 character, then say so. */
        size_t end = ERROR_MESSAGE_SIZE - 4;
        while (end > 0 && ((unsigned char)err->message[end] & 0xC0) == 0x80)
            end--;
        memcpy(err->message + end, "...", 4);
    }
    for (char *c = err->message; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7F)
            *c = '?';
}

int error_set_v(struct error *err, int code, const char *format, va_list arguments)
{
    if (!err)
        return code;
    err->code = code;
    int written = vsnprintf(err->message, sizeof err->message, format, arguments);
    if (written < 0)
        err->message[0] = '\0';
    finish_message(err, written);
    return code;
}

int error_set(struct error *err, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error_set_v(err, code, format, arguments);
    va_end(arguments);
    return code;
}

int error_prefix(struct error *err, const char *format, ...)
{
    if (!err)
        return SAMPAN_EINTERNAL;
    char inner[ERROR_MESSAGE_SIZE];
    memcpy(inner, err->message, sizeof inner);
    va_list arguments;
    va_start(arguments, format);
    int written = vsnprintf(err->message, sizeof err->message, format, arguments);
    va_end(arguments);
    if (written < 0)
        written = 0;
    if (written < ERROR_MESSAGE_SIZE)
        written += snprintf(err->message + written, sizeof err->message - (size_t)written, ": %s", inner);
    finish_message(err, written);
    return err->code;
}

int error_no_memory(struct error *err, const char *what)
{
    return error_set(err, SAMPAN_ENOMEM, "out of memory while %s", what);
}

const char *error_code_name(int code)
{
    switch (code) {
    case SAMPAN_OK: return "ok";
    case SAMPAN_EINVAL: return "invalid argument";
    case SAMPAN_ENOMEM: return "out of memory";
    case SAMPAN_EIO: return "input/output error";
    case SAMPAN_EFORMAT: return "malformed input";
    case SAMPAN_EUNSUPPORTED: return "not supported";
    case SAMPAN_ELIMIT: return "limit reached";
    case SAMPAN_EBUSY: return "busy";
    case SAMPAN_ELOST: return "chip lost";
    case SAMPAN_ECANCELLED: return "cancelled";
    case SAMPAN_ETIMEOUT: return "timed out";
    case SAMPAN_ENOTFOUND: return "not found";
    case SAMPAN_EINTERNAL: return "internal error";
    default: return "unknown error";
    }
}
