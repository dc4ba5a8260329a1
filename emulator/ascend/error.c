/* How a call fails: a code, and a message in the calling thread that names the caller's mistake. */
#include "emulator.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static __thread char newest[512], handed_out[512];
static __thread int last_code;

int fail(int code, const char *format, ...)
{
    char text[sizeof newest];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    const char *name = entry_name();
    snprintf(newest, sizeof newest, "%s%s%.400s [%d]", name, *name ? ": " : "", text, code);
    last_code = code;
    if (emulator_settings()->verbose)
        fprintf(stderr, "ascend emulator: %s\n", newest);
    return code;
}

const char *fail_message(void)
{
    return newest;
}

void fail_adopt(int code, const char *message)
{
    last_code = code;
    snprintf(newest, sizeof newest, "%s", message);
}

EXPORT const char *aclGetRecentErrMsg(void)
{
    ENTER();
    if (!*newest)
        return NULL;
    memcpy(handed_out, newest, sizeof newest);
    *newest = 0;
    return handed_out;
}

EXPORT aclError aclrtPeekAtLastError(int level)
{
    (void)level;
    return last_code;
}

EXPORT aclError aclrtGetLastError(int level)
{
    (void)level;
    int code = last_code;
    last_code = 0;
    return code;
}
