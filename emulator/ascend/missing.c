/* Symbols that exist but do nothing: each fails with a message that says so, so that a program gets further than "undefined symbol" and its author learns what
 * to ask for. They take no arguments here; the caller's are ignored. */
#include "emulator.h"

#include "operator_table.h"
#include "symbol_table.h"

#define SKIP(...)
#define MISSING_SYMBOL(name)                                                                                                                                   \
    EXPORT int name(void);                                                                                                                                     \
    EXPORT int name(void)                                                                                                                                      \
    {                                                                                                                                                          \
        ENTER();                                                                                                                                               \
        return fail(RT_FEATURE_NOT_SUPPORT, "the emulator does not have this function (see COVERAGE.md)");                                                     \
    }
#define MISSING_OPERATOR(name)                                                                                                                                 \
    EXPORT int aclnn##name##GetWorkspaceSize(void);                                                                                                            \
    EXPORT int aclnn##name##GetWorkspaceSize(void)                                                                                                             \
    {                                                                                                                                                          \
        ENTER();                                                                                                                                               \
        return fail(ACLNN_INNER_FIND_KERNEL, "the emulator does not have this operator (see COVERAGE.md)");                                                    \
    }                                                                                                                                                          \
    EXPORT int aclnn##name(void);                                                                                                                              \
    EXPORT int aclnn##name(void)                                                                                                                               \
    {                                                                                                                                                          \
        ENTER();                                                                                                                                               \
        return fail(ACLNN_INNER_FIND_KERNEL, "the emulator does not have this operator (see COVERAGE.md)");                                                    \
    }

RUNTIME_SYMBOLS(SKIP, SKIP, MISSING_SYMBOL)
BASE_SYMBOLS(SKIP, SKIP, MISSING_SYMBOL)
MISSING_OPERATORS(MISSING_OPERATOR)
