/* One of the libraries that programs link and open (libascendcl.so, libnnopbase.so, libopapi.so, ...): a list of names without code. The library is marked as a
 * filter of libascend_emulator.so, so the loader finds every name there; the bodies below only give the linker something to see and are never reached. */
#include "operator_table.h"
#include "symbol_table.h"

#define NAME(name)                                                                                                                                             \
    __attribute__((visibility("default"))) void name(void);                                                                                                    \
    __attribute__((visibility("default"))) void name(void)                                                                                                     \
    {                                                                                                                                                          \
        __builtin_trap();                                                                                                                                      \
    }
#define NAME_AND_LIMITS(name, limits) NAME(name)
#define NAME_OPERATOR(name) NAME(aclnn##name) NAME(aclnn##name##GetWorkspaceSize)
#define NAME_ROW(name, ...) NAME_OPERATOR(name)

#ifdef FACADE_RUNTIME
RUNTIME_SYMBOLS(NAME, NAME_AND_LIMITS, NAME)
NAME(ascendEmulatorCount)
#endif
#ifdef FACADE_BASE
BASE_SYMBOLS(NAME, NAME_AND_LIMITS, NAME)
#endif
#ifdef FACADE_OPERATORS
OPERATORS(NAME_ROW)
MISSING_OPERATORS(NAME_OPERATOR)
NAME(aclnnCalculateMatmulWeightSize)
NAME(aclnnCalculateMatmulWeightSizeV2)
NAME(aclnnNpuFormatCastCalculateSizeAndFormat)
#endif
