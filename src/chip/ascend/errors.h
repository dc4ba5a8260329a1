/* What the vendor's codes mean for whoever runs a step: a table of rows. */
#ifndef CHIP_ASCEND_ERRORS_H
#define CHIP_ASCEND_ERRORS_H

#include "base/error.h"
#include "chip/ascend/library.h"

enum ascend_error_class {
    ERROR_RETRY,   /* nothing happened; the same call may succeed later: SAMPAN_EBUSY */
    ERROR_RESTART, /* this device's state is void, a reset makes it good: SAMPAN_ELOST */
    ERROR_LOST,    /* the hardware itself: SAMPAN_ELOST; opening it again may fail */
    ERROR_MEMORY,  /* SAMPAN_ENOMEM */
    ERROR_BUG,     /* a call that was wrong: ours, or a combination this chip or version refuses: SAMPAN_EINTERNAL */
};

struct ascend_error_row {
    int code;
    enum ascend_error_class class;
    const char *name;
};

/* The row of a code; codes that are not in the table: 1xxxxx and 16xxxx..56xxxx (aclnn) are bugs, 2xxxxx memory or resources, the rest a restart. Never
 * NULL. */
const struct ascend_error_row *ascend_error_find(int code);

int ascend_error_code(enum ascend_error_class class); /* SAMPAN_E... */

/* Sets err from a code and the vendor's newest message of this thread: "<what was being done>: aclrtMalloc: 207001 (...): message". Returns the SAMPAN code. */
int ascend_fail(const struct ascend_library *library, int code, struct error *err, const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
