/* The error codes of sampan: the negative values that functions return, inside the library and in its public API. Append only; values
 * never change. A code says who can do something about it; the message beside it (sampan_error_message, struct error) says what. */
#ifndef SAMPAN_ERRORS_H
#define SAMPAN_ERRORS_H

enum sampan_code {
    SAMPAN_OK = 0,
    SAMPAN_EINVAL = -1,       /* an argument is outside what is documented: the caller's mistake */
    SAMPAN_ENOMEM = -2,       /* memory (host or chip) is exhausted or a memory limit would be exceeded */
    SAMPAN_EIO = -3,          /* the operating system refused to open, read or write */
    SAMPAN_EFORMAT = -4,      /* a file, template, grammar or request is malformed or contradicts itself */
    SAMPAN_EUNSUPPORTED = -5, /* well formed, but this build, family or chip cannot do it */
    SAMPAN_ELIMIT = -6,       /* a limit of base/limits.h or a configured one was reached */
    SAMPAN_EBUSY = -7,        /* a bounded queue is full: try again later */
    SAMPAN_ELOST = -8,        /* a chip or executor is lost; the engine rebuilds, a caller sees this only when rebuilding failed too */
    SAMPAN_ECANCELLED = -9,   /* the caller cancelled */
    SAMPAN_ETIMEOUT = -10,    /* nothing happened within the time given; not a failure of what is being waited for */
    SAMPAN_ENOTFOUND = -11,   /* a file, tensor, key or request does not exist */
    SAMPAN_EINTERNAL = -12    /* an invariant of sampan does not hold: a bug, please report it */
};

#endif
